"""Is all well? What is counted in the database, judged in plain words that say what to do."""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from integration.clock import DAY, HOUR, MINUTE, SECOND

State = Literal["ok", "warning", "broken"]

# A healthy worker takes an event within a second; the alerts wait longer than this, so that nobody is woken for it.
BACKLOG_OLD = MINUTE
BACKLOG_STUCK = 10 * MINUTE
MESSAGES_STUCK = 15 * MINUTE
REWARDS_STUCK = HOUR  # a platform that was away for a while is asked again by itself
SILENT_AFTER = 60 * SECOND  # six beats: a worker that is busy or whose database restarts is not dead yet
AUDIT_OLD = 3 * DAY  # the clock comes by once a day
BACKUP_OLD = 7 * DAY
PRIVACY_SLOW = 29 * DAY  # of the thirty a request has: it should have been done long ago
PRIVACY_LATE = 7 * DAY


class Finding(NamedTuple):
    """One thing that was looked at; `todo` says what to do where it is not well."""

    name: str
    state: State
    words: str
    todo: str = ""


class Counted(NamedTuple):
    """What is judged, in plain numbers; ages in microseconds, None where there is nothing of the kind."""

    backlog: int
    backlog_age: int
    retrying: int
    dead_letters: int
    last_dead_age: int | None
    unknown_events: int
    messages_failed: int
    message_age: int
    settlements_retrying: int
    settlements_given_up: int
    quiet: int  # connections whose webhooks have gone quiet
    rewards: int  # rewards a platform is still to be asked about
    reward_age: int  # since the oldest of them was asked for
    friends: int  # friends' codes a platform is still to be asked about
    friend_age: int  # since the oldest of them should have been there, or gone
    privacy: int  # requests by law that are open
    privacy_left: int | None  # until the nearest deadline of those that do not wait on purpose; below 0 = it has passed
    workers: int
    workers_lost: Sequence[str]  # heard of today, and not any more
    audited: int
    drifts: int
    audit_age: int | None  # of the merchant audited longest ago
    backup_age: int | None


def judge(seen: Counted) -> Iterator[Finding]:
    """Say of each count what it means, in the order somebody would look."""
    yield _workers(seen)
    yield _backlog(seen)
    yield _dead_letters(seen)
    yield _webhooks(seen)
    yield _unknown(seen)
    yield _settlements(seen)
    yield _messages(seen)
    yield _rewards(seen)
    yield _friends(seen)
    yield _privacy(seen)
    yield _audit(seen)
    yield _backup(seen)


def _workers(seen: Counted) -> Finding:
    if seen.workers:
        words = f"{_many(seen.workers, 'worker')} heard of within a minute."
        if seen.workers_lost:
            lost = ", ".join(seen.workers_lost[:3])
            return Finding(
                "worker",
                "warning",
                f"{words} Not heard of any more: {lost}.",
                "They were killed or cut off: look at their last log lines. They are forgotten after a day.",
            )
        return Finding("worker", "ok", words)
    todo = "Start `regulars serve`, or `regulars worker` beside `regulars web`."
    if seen.backlog or seen.message_age > MESSAGES_STUCK:
        return Finding("worker", "broken", "No worker is alive, and there is work: nothing is earned or sent.", todo)
    return Finding("worker", "warning", "No worker is alive; nothing waits for one.", todo)


def _backlog(seen: Counted) -> Finding:
    words = f"{_many(seen.backlog, 'event')} to be worked, the oldest due for {spoken(seen.backlog_age)}."
    if not seen.backlog:
        words = "Nothing waits."
    if seen.retrying:
        words += f" {seen.retrying} failed before and will be tried again."
    if seen.backlog_age > BACKLOG_STUCK:
        return Finding(
            "backlog",
            "broken",
            words,
            "Where a worker is alive it is stuck: its log says why (work_paused, batch_failed); restart it, or start "
            "more workers.",
        )
    if seen.backlog_age > BACKLOG_OLD:
        return Finding("backlog", "warning", words, "Watch it: if it grows, start more workers.")
    return Finding("backlog", "ok", words)


def _dead_letters(seen: Counted) -> Finding:
    if not seen.dead_letters:
        return Finding("dead letters", "ok", "None.")
    age = "" if seen.last_dead_age is None else f", the newest {spoken(seen.last_dead_age)} ago"
    return Finding(
        "dead letters",
        "warning",
        f"{_many(seen.dead_letters, 'event')} given up{age}: what they told has had no effect.",
        "`regulars events list --state failed` says why; once that is mended, `regulars events replay --failed`.",
    )


def _webhooks(seen: Counted) -> Finding:
    if not seen.quiet:
        return Finding("webhooks", "ok", "No platform is known to have news that no webhook told of.")
    return Finding(
        "webhooks",
        "broken",
        f"{_many(seen.quiet, 'connection')} gone quiet: the platform has news, and no webhook tells of it.",
        "`regulars reconcile` names the merchant, and takes in what is missing. See in Shopify or Stripe whether the "
        "webhooks are still subscribed, to this address.",
    )


def _unknown(seen: Counted) -> Finding:
    if not seen.unknown_events:
        return Finding("unknown shops", "ok", "None has sent anything.")
    return Finding(
        "unknown shops",
        "warning",
        f"{_many(seen.unknown_events, 'event')} kept of shops that are not connected, for seven days.",
        "Connect the shop with `regulars merchant add … --shopify DOMAIN`: its events are then worked.",
    )


def _settlements(seen: Counted) -> Finding:
    if seen.settlements_given_up:
        return Finding(
            "sales",
            "broken",
            f"{_many(seen.settlements_given_up, 'sale')} could not be settled and will not be tried again.",
            "The log names capability, merchant and sale (settling_failed). It is a fault in the program: report it; "
            "any later event of the sale tries again.",
        )
    if seen.settlements_retrying:
        words = f"{_many(seen.settlements_retrying, 'sale')} could not be settled yet and will be tried again."
        return Finding("sales", "warning", words, "The log says why (settling_failed).")
    return Finding("sales", "ok", "All are settled.")


def _messages(seen: Counted) -> Finding:
    if seen.message_age > MESSAGES_STUCK:
        return Finding(
            "messages",
            "broken",
            f"The oldest message that is due has waited for {spoken(seen.message_age)}.",
            "See `mail` above: the mail server is away or refuses us. `customer show` tells the reason of each.",
        )
    if seen.messages_failed:
        return Finding(
            "messages",
            "warning",
            f"{_many(seen.messages_failed, 'message')} could not be sent for good.",
            "`regulars customer show EMAIL --merchant NAME` tells each one's reason; many at once: see `mail` above.",
        )
    return Finding("messages", "ok", "None is late.")


def _rewards(seen: Counted) -> Finding:
    if not seen.rewards:
        return Finding("rewards", "ok", "No platform is still to be asked about one.")
    words = f"{_many(seen.rewards, 'reward')} still to be made or taken back"
    if seen.reward_age <= REWARDS_STUCK:
        return Finding("rewards", "ok", f"{words}.")
    return Finding(
        "rewards",
        "warning",
        f"{words}; the oldest was asked for {spoken(seen.reward_age)} ago.",
        "See the platforms' tokens above. Each one's reason stands on the page Rewards taken (/app/rewards?state=open);"
        " its points are safe meanwhile, and it is asked for again by itself.",
    )


def _friends(seen: Counted) -> Finding:
    if not seen.friends:
        return Finding("friends", "ok", "No platform is still to be asked about a friend's code.")
    words = f"{_many(seen.friends, 'code')} of friends still to be made or taken off"
    if seen.friend_age <= REWARDS_STUCK:
        return Finding("friends", "ok", f"{words}.")
    return Finding(
        "friends",
        "warning",
        f"{words}; the oldest for {spoken(seen.friend_age)}.",
        "See the platforms' tokens above. Why stands on the merchant's page of friends (/app/friends); it is tried"
        " again by itself, and a friend whose code is not there sees that it is being made.",
    )


def _privacy(seen: Counted) -> Finding:
    if seen.privacy_left is None and not seen.privacy:
        return Finding("privacy", "ok", "Nothing that was asked for by law is open.")
    words = f"{_many(seen.privacy, 'request')} by law open"
    todo = (
        "`regulars privacy list --open` says what each waits for; `regulars privacy run` carries out what can be. The "
        "log says what failed (privacy_failed)."
    )
    if seen.privacy_left is None:
        return Finding("privacy", "ok", f"{words}, all of which wait on purpose, with time left.", todo)
    if seen.privacy_left <= 0:
        return Finding("privacy", "broken", f"{words}; the deadline of one has passed.", todo)
    words += f", the nearest deadline in {spoken(seen.privacy_left)}."
    if seen.privacy_left < PRIVACY_LATE:
        return Finding("privacy", "broken", words, todo)
    # A request is carried out within minutes of being asked for.
    return Finding("privacy", "warning" if seen.privacy_left < PRIVACY_SLOW else "ok", words, todo)


def _audit(seen: Counted) -> Finding:
    if seen.drifts:
        return Finding(
            "audit",
            "broken",
            f"The books do not agree in {_many(seen.drifts, 'place')}.",
            "Run `regulars audit`: it names each. Change nothing by hand; keep a copy with `regulars backup FILE`.",
        )
    if not seen.audited:
        return Finding("audit", "ok", "No books have been audited yet; the clock does it once a day.")
    if seen.audit_age is not None and seen.audit_age > AUDIT_OLD:
        words = f"A merchant's books were last audited {spoken(seen.audit_age)} ago."
        return Finding("audit", "warning", words, "Run `regulars audit`, and see whether `queue` is well.")
    return Finding("audit", "ok", f"The books of {_many(seen.audited, 'merchant')} agree.")


def _backup(seen: Counted) -> Finding:
    todo = "Run `regulars backup FILE` every day, and keep SECRET_KEY with the files."
    if seen.backup_age is None:
        return Finding("backup", "warning", "None was made with `regulars backup` yet.", todo)
    words = f"The last one was made {spoken(seen.backup_age)} ago."
    return Finding("backup", "warning", words, todo) if seen.backup_age > BACKUP_OLD else Finding("backup", "ok", words)


def spoken(age: int) -> str:
    """Say a length of time, given in microseconds, the way people do."""
    for unit, name in ((DAY, "day"), (HOUR, "hour"), (MINUTE, "minute"), (SECOND, "second")):
        if age >= unit:
            return _many(age // unit, name)
    return "less than a second"


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
