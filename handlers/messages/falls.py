"""Tells people when points they could have spent went down, once the balance has been still for a while."""

from collections.abc import Mapping
from pathlib import Path

from handlers.merchants.rules import Program
from handlers.messages.kinds import Content, Occasion
from handlers.messages.letters import TEMPLATES, choose_words, fill, number
from handlers.messages.outbox import Later, Never
from integration.clock import MINUTE
from integration.database.steps import BIG, TEXT, Steps, ask, insert, keyed

KIND = "points_down"
STILL = 10 * MINUTE  # a late Stripe session gives back what its charge took: that is no fall
WORDS: Path = TEMPLATES / "points_down.toml"
_MICRO = 1_000_000

_NOTICES = keyed(
    "SELECT m.merchant_id, m.customer, count(*),"
    " min(CASE WHEN m.state IN ('scheduled', 'waiting') THEN m.key END)"
    " FROM {keys} k CROSS JOIN messages m WHERE m.merchant_id = k.merchant_id AND m.customer = k.customer"
    " AND m.kind = 'points_down' GROUP BY m.merchant_id, m.customer",
    merchant_id=BIG,
    customer=BIG,
)
_SCHEDULE = insert(
    "messages",
    # The fall began when the notice was first wanted (created_at): that stays.
    "ON CONFLICT (merchant_id, key) DO UPDATE SET state = 'scheduled', due_at = excluded.due_at,"
    " next_attempt_at = excluded.next_attempt_at, reason = NULL,"
    " trace = coalesce(excluded.trace, messages.trace)"
    " WHERE messages.state IN ('scheduled', 'waiting')",
    merchant_id=BIG,
    key=TEXT,
    kind=TEXT,
    customer=BIG,
    channel=TEXT,
    state=TEXT,
    due_at=BIG,
    next_attempt_at=BIG,
    created_at=BIG,
    trace=TEXT,
)
_LEVEL = keyed(
    "SELECT COALESCE(SUM(a.micropoints), 0) FROM {keys} k CROSS JOIN accounts a"
    " WHERE a.merchant_id = k.merchant_id AND a.account = k.account",
    merchant_id=BIG,
    account=TEXT,
)
# What has lapsed is not what this tells of: people were told of that before.
_TAKEN = keyed(
    "SELECT COALESCE(SUM(CASE WHEN e.at >= k.since AND e.reason <> 'expiry' THEN e.micropoints ELSE 0 END), 0),"
    " max(e.at) FROM {keys} k CROSS JOIN ledger_entries e WHERE e.merchant_id = k.merchant_id AND e.source = k.account",
    merchant_id=BIG,
    account=TEXT,
    since=BIG,
)
_ADDED = keyed(
    "SELECT COALESCE(SUM(CASE WHEN e.at >= k.since THEN e.micropoints ELSE 0 END), 0), max(e.at)"
    " FROM {keys} k CROSS JOIN ledger_entries e"
    " WHERE e.merchant_id = k.merchant_id AND e.destination = k.account",
    merchant_id=BIG,
    account=TEXT,
    since=BIG,
)


def points_fell(people: Mapping[tuple[int, int], str | None], now: int) -> Steps[None]:
    """Want a notice for each (merchant, customer) whose available points a settlement has just lowered.

    With each comes the trace of the event that did it. One that waits already is put off again; whether there is
    something to tell is looked at when it goes out.
    """
    fallen = sorted(people)
    counts: dict[tuple[int, int], tuple[int, str | None]] = {}
    found = yield from ask(_NOTICES, fallen)
    for merchant_id, customer, count, open_key in found:
        counts[(merchant_id, customer)] = (count, open_key)
    schedule = []
    for merchant_id, customer in fallen:
        count, open_key = counts.get((merchant_id, customer), (0, None))
        key = open_key or f"points_down:customer:{customer}:{count + 1}"
        due_at = now + STILL
        trace = people[merchant_id, customer]
        schedule.append((merchant_id, key, KIND, customer, "email", "scheduled", due_at, due_at, now, trace))
    yield from ask(_SCHEDULE, schedule)


class PointsDown:
    """The kind `points_down`: about what is owed alone, and nothing to buy."""

    name = KIND
    transactional = True
    solicits = False
    promotes = False
    words = WORDS
    placeholders = frozenset({"first_name", "shop_name", "points", "balance"})

    def off(self, program: Program) -> str | None:
        """Tell whether the merchant wants these notices."""
        if program.earning.notify_reductions:
            return None
        return "notices about points going down are switched off"

    def compose(self, occasion: Occasion) -> Steps[Content | Later | Never]:
        """Compare the balance with what it was when the fall began, over all numbers of the person.

        Points moved between two numbers of one person (a merge) cancel out.
        """
        merchant_id = occasion.shop.id
        accounts = [f"customer:{n}:available" for n in occasion.person.numbers]
        since = occasion.message.created_at
        level = yield from ask(_LEVEL, [(merchant_id, account) for account in accounts])
        keys = [(merchant_id, account, since) for account in accounts]
        taken = yield from ask(_TAKEN, keys)
        added = yield from ask(_ADDED, keys)
        last_at = max(taken[0][1] or 0, added[0][1] or 0)
        if last_at + STILL > occasion.now:
            return Later(last_at + STILL, "the balance is still moving")
        now_micro = int(level[0][0])
        before_micro = now_micro + int(taken[0][0]) - int(added[0][0])
        before, after = before_micro // _MICRO, now_micro // _MICRO
        if after >= before:
            return Never("cancelled", "the balance is no longer lower than it was")
        words = choose_words(occasion.program, KIND, occasion.language, WORDS)
        values = {
            "first_name": occasion.person.first_name,
            "shop_name": occasion.shop.name,
            "points": number(before - after, occasion.locale),
            "balance": number(after, occasion.locale),
        }
        return self.example(fill(words.subject, values), fill(words.body, values), occasion.language, values)

    def example(self, subject: str, body: str, language: str, values: Mapping[str, str]) -> Content:
        """Set the words; nothing stands around them."""
        return Content(subject, body)
