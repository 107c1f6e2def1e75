"""What people allow on a channel: the newest word of a platform wins."""

from collections.abc import Iterator, Sequence

from handlers.customers.timeline import Badge, Bound, Item, Whose
from integration.database.steps import BIG, TEXT, Steps, ask, insert, keyed
from integration.facts import ConsentSeen

_KEEP = insert(
    "consents",
    "ON CONFLICT (merchant_id, channel, address) DO UPDATE SET state = excluded.state,"
    " source = excluded.source, told_at = excluded.told_at"
    # Between two words of one instant the stricter wins, whichever comes first.
    " WHERE excluded.told_at > consents.told_at OR (excluded.told_at = consents.told_at"
    " AND excluded.state <> 'subscribed'"
    " AND (consents.state = 'subscribed' OR excluded.state >= consents.state))",
    merchant_id=BIG,
    channel=TEXT,
    address=TEXT,
    state=TEXT,
    source=TEXT,
    told_at=BIG,
)


def keep_consents(merchant_id: int, told: Sequence[ConsentSeen]) -> Steps[None]:
    """Keep consent as told, under the address where there is one, else under the platform's customer id."""
    rows = [
        (
            merchant_id,
            one.channel,
            one.address or f"{one.platform}:{one.customer_id}",
            one.state,
            one.platform,
            one.told_at,
        )
        for one in told
        if one.address or one.customer_id
    ]
    yield from ask(_KEEP, sorted(rows))


_TOLD = keyed(
    "SELECT c.channel, c.address, c.state, c.source, c.told_at FROM {keys} k CROSS JOIN consents c"
    " WHERE c.merchant_id = k.merchant_id AND c.channel = k.channel AND c.address = k.address",
    merchant_id=BIG,
    channel=TEXT,
    address=TEXT,
)
_STOPPED = keyed(
    "SELECT s.address, s.reason, s.at, s.lifted_at FROM {keys} k CROSS JOIN suppressions s"
    " WHERE s.merchant_id = k.merchant_id AND s.channel = k.channel AND s.address = k.address",
    merchant_id=BIG,
    channel=TEXT,
    address=TEXT,
)
_CHANNELS = {"email": "E-mail", "sms": "SMS"}
_STATES = {
    "subscribed": Badge("Subscribed", "success"),
    "unsubscribed": Badge("Unsubscribed", "warning"),
    "not_subscribed": Badge("Not subscribed"),
    "pending": Badge("Not confirmed yet", "info"),
    "redacted": Badge("Erased in the shop", "warning"),
    "invalid": Badge("Address not valid", "warning"),
}
_SOURCES = {"shopify": "Shopify", "link": "the link in an e-mail", "one-click": "their mail program"}


class Wishes:
    """The source `consent`: the newest word on each channel and address, and addresses that get no mail."""

    name = "consent"

    def items(self, whose: Whose, before: Bound, limit: int) -> Steps[Sequence[Item]]:
        """List what a person allows by when it was said."""
        keys = [(whose.shop.id, channel, address) for channel in _CHANNELS for address in whose.addresses]
        told = yield from ask(_TOLD, keys)
        stopped = yield from ask(_STOPPED, keys)
        found = [_wish(*row) for row in told] + [item for row in stopped for item in _stop(*row)]
        below = [item for item in found if (item.at, item.key) < before]
        return sorted(below, key=lambda item: (item.at, item.key), reverse=True)[:limit]


def _wish(channel: str, address: str, state: str, source: str, told_at: int) -> Item:
    place = "" if address.startswith("shopify:") else f" to {address}"
    return Item(
        at=told_at,
        key=f"told:{channel}:{address}",
        what="consent",
        title=f"{_CHANNELS[channel]} marketing{place}",
        badge=_STATES.get(state, Badge(state)),
        details=(f"Told by {_SOURCES.get(source, source)}",),
    )


def _stop(address: str, reason: str, at: int, lifted_at: int | None) -> Iterator[Item]:
    to = "" if address.startswith("customer:") else f" to {address}"
    if reason == "refused":
        yield Item(
            at=at,
            key=f"stop:{address}",
            what="consent",
            title=f"The mailbox refused mail{to}",
            badge=Badge("No more mail", "critical"),
        )
        return
    yield Item(at=at, key=f"stop:{address}", what="consent", title=f"Stopped our e-mails{to}", badge=Badge("Stopped"))
    if lifted_at is not None:
        yield Item(at=lifted_at, key=f"back:{address}", what="consent", title=f"Wants our e-mails{to} again")
