"""What the inbox hands on and gets back: a told event, and what became of it."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, Protocol

from integration.database.steps import Steps
from integration.facts import Envelope, PrivacyRequest, Reading


class Run(NamedTuple):
    """A backfill's number, and the programme version under which it awards what was sold before there was one."""

    number: int
    version: int


class Told(NamedTuple):
    """One claimed event of a known merchant, or one object a backfill lists, read."""

    event_id: int  # of a backfill: its place in the batch
    merchant_id: int
    connection: str  # the connection's account: shop domain, or the Stripe path's token
    envelope: Envelope
    reading: Reading
    run: Run | None = None  # the backfill that tells it, where no delivery does
    trace: str | None = None  # where in its event's trace it is worked


class Outcome(NamedTuple):
    """What became of a told event; `reason` in words for everything but `applied`."""

    kind: Literal["applied", "suspect", "waiting", "unhandled"]
    reason: str | None = None
    sale: int | None = None  # the number of the sale it told of


Apply = Callable[[Sequence[Told], int], Steps[dict[int, Outcome]]]
"""Applies told events at an instant, in one transaction: event id -> outcome. Raises to have them retried."""


class Gate(Protocol):
    """Who stands before the hot path for those who were forgotten, and takes what people ask for by law."""

    def sieve(self, told: Sequence[Told], now: int, /) -> Steps[tuple[list[Told], dict[int, Outcome]]]:
        """Keep back what tells of somebody who was forgotten; returns what may pass, and what became of the rest.

        The merchants' books are locked.
        """
        ...

    def ask(self, told: Told, request: PrivacyRequest, now: int, /) -> Steps[Outcome]:
        """Take note of a request that has to be carried out."""
        ...


class Resettled(NamedTuple):
    """How many sales were settled by the clock, whether more may be due, and behind which merchant to go on."""

    sales: int
    more: bool = False
    after: int = 0


class Resettle(Protocol):
    """The clock's share of settling."""

    def __call__(self, limit: int, now: int, after: int = 0, ahead: int | None = None, /) -> Steps[Resettled]:
        """Settle some `limit` sales whose `settle_at` or failed capability is due at `now`.

        Fair between merchants, those behind merchant `after` first. What is due up to `ahead`, where a clock that has
        been set back since had come to, is due now.
        """
        ...


class Connection(NamedTuple):
    """What the inbox needs to know of a merchant's connection to a platform."""

    id: int
    merchant_id: int
    platform: str
    account: str  # shop domain, or the Stripe webhook path's token
    shop_id: str | None  # Shopify's number, Stripe's acct_…, once known
    hosts: tuple[str, ...]  # hosts seen in this shop's own signed bodies
    token: str | None  # sealed
    revoked_at: int | None


class Recovered(NamedTuple):
    """What one look at a platform found that no webhook had told of; sales and points once that has been worked."""

    at: int
    platform: str
    account: str
    taken_in: int  # events
    sales: int | None
    micropoints: int | None


Recoveries = Callable[[int, int, int], Steps[Sequence[Recovered]]]
"""Lists a merchant's looks that found something before an instant, the newest first: (merchant, before, limit)."""


class Elsewhere(NamedTuple):
    """What other merchants' Shopify connections are known by, as far as a batch asks for it."""

    shop_ids: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()


_SHOP_HOST = ".myshopify.com"


def strange(connection: Connection, reading: Reading) -> bool:
    """Tell whether a body names a shop id or hosts we have not yet seen from its connection."""
    return connection.platform == "shopify" and (
        (reading.shop_id is not None and connection.shop_id is None)
        or any(host not in connection.hosts and not host.endswith(_SHOP_HOST) for host in reading.hosts)
    )


def suspicion(connection: Connection, reading: Reading, elsewhere: Elsewhere) -> str | None:
    """Say in words why a body does not belong to the connection it came under; None when it may.

    Headers are unsigned, so the signed body's own words decide (settlement rules, section 4).
    """
    if connection.platform == "stripe":
        if reading.account is not None and reading.account != connection.shop_id:
            return f"the event is about account {reading.account}, which is not this connection's own"
        return None
    if reading.shop_id is not None:
        if connection.shop_id is not None and connection.shop_id != reading.shop_id:
            return f"the body is of shop {reading.shop_id}, the connection of shop {connection.shop_id}"
        if connection.shop_id is None and reading.shop_id in elsewhere.shop_ids:
            return f"the body is of shop {reading.shop_id}, which is another merchant's"
    for host in reading.hosts:
        if host.endswith(_SHOP_HOST) and host != connection.account:
            return f"the body names {host}, the connection is {connection.account}"
        if host in elsewhere.hosts and host not in connection.hosts:
            return f"the body names {host}, which is another merchant's"
    return None
