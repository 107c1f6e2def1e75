"""What the home page says: the steps of the set-up, and what needs somebody, each with the place it is dealt with."""

from typing import NamedTuple

from handlers.insights.store import Connected, State
from handlers.merchants.door import Visit

_PLATFORMS = {"shopify": "Shopify", "stripe": "Stripe"}
_CONNECTIONS = "/app/connections"
_STRIPE_AMISS = ("missing", "disabled", "refused")  # an account's webhook that does not mend by itself


class Step(NamedTuple):
    """One step of the set-up."""

    title: str
    words: str
    done: bool
    action: str
    href: str


class Need(NamedTuple):
    """Something that waits for the merchant, and where it is dealt with."""

    tone: str
    title: str
    words: str
    action: str
    href: str


def set_up(standing: State, visit: Visit) -> list[Step]:
    """Say of each step whether it is done, and where it is taken."""
    program = standing.program
    on = [
        name
        for name, section in (
            ("points", program.earning),
            ("thank-you notes", program.thanks),
            ("review requests", program.reviews),
        )
        if section.enabled
    ]
    connected = [one for one in standing.connected if one.revoked_at is None]
    told = ", ".join(dict.fromkeys(_PLATFORMS.get(one.platform, one.platform) for one in connected))
    return [
        Step(
            "Connect your shop",
            f"{told} tells us of every order." if connected else "So that we hear of every order and payment.",
            bool(connected),
            "Connect",
            _CONNECTIONS,
        ),
        Step(
            "Look at what your customers would get",
            "What an order would earn, and how the notes look. Nobody is written to while you look.",
            standing.previewed or bool(on),
            "Preview",
            "/app/programme",
        ),
        Step(
            "Switch on",
            f"On: {', '.join(on)}."
            if on
            else "Points, thank-you notes and review requests, one by one. Each can be switched off again.",
            bool(on),
            "Choose what to switch on",
            "/app/programme",
        ),
    ]


def needs(standing: State, *, paused: bool) -> list[Need]:
    """List what waits for the merchant, the most urgent first; a pause they asked for is no news to them."""
    found = [
        *_access(standing),
        *_orders(standing),
        *_mail(standing, paused=paused),
        *_rewards(standing),
        *_to_look_at(standing),
    ]
    return sorted(found, key=lambda need: ("critical", "warning", "info").index(need.tone))


def _access(standing: State) -> list[Need]:
    """What keeps us from hearing of orders, or from looking them up."""
    found = [_shut_out(one) for one in standing.connected if one.revoked_at is not None or one.has_lapsed]
    for number, name, state, reason in standing.accounts:
        # What was connected a moment ago is still being set up.
        if state in _STRIPE_AMISS or (state == "new" and reason):
            why = f"{reason[:1].upper()}{reason[1:]}. " if reason else ""
            found.append(
                Need(
                    "warning",
                    f"Stripe does not tell us of payments: {name or 'an account'}",
                    f"{why}The connection's page sets it right again.",
                    "See the connection",
                    f"{_CONNECTIONS}#stripe-{number}",
                )
            )
    if standing.quiet:
        found.append(
            Need(
                "warning",
                "Orders no longer reach us by themselves",
                "Your shop has orders that no webhook told us of. We find them by asking every quarter of an hour, so"
                " none is lost, but their points and notes come later. The connection's page says what was noticed.",
                "See the connection",
                _CONNECTIONS,
            )
        )
    return found


def _shut_out(one: Connected) -> Need:
    platform = _PLATFORMS.get(one.platform, one.platform)
    again = "Open Regulars from your Shopify admin" if one.platform == "shopify" else "Give us a new key"
    if one.revoked_at is None:
        return Need(
            "warning",
            f"Our access to {platform} has run out",
            "New orders are still counted, but what they do not say cannot be looked up. We go on trying to renew it;"
            f" if this stays, do this: {again[0].lower()}{again[1:]}.",
            "See the connection",
            _CONNECTIONS,
        )
    return Need(
        "critical",
        f"{platform} does not let us in any more",
        f"New orders are still counted, but what they do not say cannot be looked up. {again}, and it goes on by"
        " itself.",
        "See the connection",
        _CONNECTIONS,
    )


def _orders(standing: State) -> list[Need]:
    """What came in and had no effect."""
    found = []
    if standing.failed:
        found.append(
            Need(
                "critical",
                _many(standing.failed, "event from your shop could", "events from your shop could") + " not be read",
                "What they tell of earns nothing until they are read. They are kept; look at why, then try them again.",
                "See them",
                "/app/activity?state=failed",
            )
        )
    if standing.given_up:
        found.append(
            Need(
                "critical",
                _many(standing.given_up, "order could", "orders could") + " not be settled",
                "Points or notes of theirs are missing. Replaying the order's events settles it afresh.",
                "See events",
                "/app/activity",
            )
        )
    if standing.suspect:
        found.append(
            Need(
                "warning",
                _many(standing.suspect, "event does", "events do") + " not fit your shop",
                "They were signed, but what they hold is another shop's or of another kind. They had no effect.",
                "See them",
                "/app/activity?state=suspect",
            )
        )
    return found


def _mail(standing: State, *, paused: bool) -> list[Need]:
    """What should have gone out and did not."""
    found, mail = [], standing.mail
    if mail.in_vain and not paused:
        found.append(
            Need(
                "critical",
                _many(mail.in_vain, "message", "messages") + " cannot be sent",
                "The mail server is away or refuses them, and several attempts failed. They are kept and tried again by"
                " themselves; the queue says why. If it stays so, tell whoever runs Regulars for you.",
                "See the queue",
                "/app/messages/queue?state=waiting",
            )
        )
    elif mail.late and not paused:
        found.append(
            Need(
                "critical",
                _many(mail.late, "message is", "messages are") + " late",
                "They should have gone out by now, and nothing sends them. They are kept. If it stays so, tell whoever"
                " runs Regulars for you.",
                "See the queue",
                "/app/messages/queue",
            )
        )
    if mail.failed:
        found.append(
            Need(
                "info",
                _many(mail.failed, "message", "messages") + " could not be delivered in the last 7 days",
                "Mostly the address does not exist any more. Points are not touched by that.",
                "See whose",
                "/app/messages/undelivered",
            )
        )
    return found


def _rewards(standing: State) -> list[Need]:
    """What customers wanted for their points and do not have."""
    found = []
    if standing.rewards_off:
        found.append(
            Need(
                "warning",
                _many(standing.rewards_off, "reward is", "rewards are") + " switched off in Shopify",
                "The discount behind it was switched off or has ended in your Shopify admin: codes of it do not work,"
                " and nobody can take it. Switch it on again there, or end it in your programme and give the points"
                " back.",
                "See which",
                "/app/rewards",
            )
        )
    if standing.rewards_waiting:
        found.append(
            Need(
                "warning",
                _many(standing.rewards_waiting, "reward has", "rewards have") + " waited for more than an hour",
                "The platform is away, or does not let us make them. The points are set aside, and we go on asking;"
                " each one says why it waits.",
                "See why",
                "/app/rewards?state=open",
            )
        )
    if standing.rewards_refused:
        found.append(
            Need(
                "info",
                _many(standing.rewards_refused, "reward", "rewards") + " could not be made in the last 7 days",
                "Their customers have the points again. Each one says why; it may be something in your shop that you"
                " can set right.",
                "See why",
                "/app/rewards?state=refused",
            )
        )
    return found


def _to_look_at(standing: State) -> list[Need]:
    """What is well as far as we can tell, and only people can know."""
    found = []
    if standing.twins:
        found.append(
            Need(
                "info",
                _many(standing.twins, "purchase was", "purchases were") + " told twice, by Shopify and by Stripe",
                "Same buyer, same amount, same time: each earned once, in the last 30 days. If two of them were two"
                " purchases after all, give the missing points by hand on the customer's page.",
                "See them",
                "/app/activity/duplicates",
            )
        )
    if standing.friends:
        found.append(
            Need(
                "info",
                _many(standing.friends, "friend waits", "friends wait") + " for your decision",
                "They may be of the household of whoever brought them, or are very many for one day. Until you decide"
                " nobody gets points for them.",
                "Decide",
                "/app/friends?waiting=1",
            )
        )
    return found


def _many(count: int, one: str, more: str) -> str:
    return f"1 {one}" if count == 1 else f"{'More than ' if count >= 1_000 else ''}{count} {more}"
