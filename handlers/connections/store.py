"""What the page of connections shows: how the shop and each account stands, and when each was last heard of."""

import json
from dataclasses import dataclass
from typing import NamedTuple

from handlers.merchants.stripe_accounts import StripeAccount, accounts_of
from integration.clock import DAY
from integration.database.steps import Steps, ask, plain

RECOVERED_IN = 30 * DAY
HEARD_AMONG = 1_000  # of a merchant's newest events, the last of each connection is looked for

_SHOPIFY = plain(
    "SELECT id, account, CASE WHEN token IS NULL THEN 0 ELSE 1 END, scopes, connected_at, revoked_at, revoked_why,"
    " refresh_problem FROM connections WHERE merchant_id = ?1 AND platform = 'shopify' AND closed_at IS NULL"
    " ORDER BY id LIMIT 1"
)
_HEARD = plain(
    "SELECT n.source, n.connection, max(n.received_at) FROM (SELECT e.source, e.connection, e.received_at, e.recovered"
    f" FROM events e WHERE e.merchant_id = ?1 ORDER BY e.id DESC LIMIT {HEARD_AMONG}) n WHERE n.recovered = 0"
    " GROUP BY n.source, n.connection"
)
_MARKS = plain(
    "SELECT connection, state, reason, checked_at, heard_at, quiet_since, quiet_why FROM reconcile_marks"
    " WHERE merchant_id = ?1"
)
_RECOVERED = plain(
    "SELECT CAST(coalesce(sum(sales), 0) AS bigint), CAST(coalesce(sum(micropoints), 0) AS bigint)"
    " FROM reconciliations WHERE merchant_id = ?1 AND connection = ?2 AND started_at >= ?3"
)


class Looked(NamedTuple):
    """How asking a platform for what it did not tell stands, and what that brought lately."""

    state: str | None  # ok, no_key, revoked, away, refused; None = never asked
    reason: str | None
    checked_at: int | None
    heard_at: int | None  # the last webhook
    quiet_since: int | None
    quiet_why: str | None
    sales: int
    micropoints: int


@dataclass(frozen=True, slots=True)
class ShopState:
    """The connected Shopify shop; `scopes` is None where the shop has not told them."""

    domain: str
    has_token: bool
    scopes: frozenset[str] | None
    connected_at: int
    revoked_at: int | None
    revoked_why: str | None
    problem: str | None
    looked: Looked


class Connections(NamedTuple):
    """Everything a merchant is connected by."""

    shop: ShopState | None
    accounts: tuple[tuple[StripeAccount, Looked], ...]


def connections(merchant_id: int, now: int) -> Steps[Connections]:
    """Read how a merchant's connections stand; nothing outside is asked."""
    heard = {(row[0], row[1]): row[2] for row in (yield from ask(_HEARD, (merchant_id,)))}
    marks = {row[0]: row[1:] for row in (yield from ask(_MARKS, (merchant_id,)))}

    def looked(number: int, platform: str, account: str) -> Steps[Looked]:
        rows = yield from ask(_RECOVERED, (merchant_id, number, now - RECOVERED_IN))
        state, reason, checked_at, heard_at, quiet_since, quiet_why = marks.get(number, (None,) * 6)
        last = max(heard_at or 0, heard.get((platform, account), 0)) or None
        return Looked(state, reason, checked_at, last, quiet_since, quiet_why, *rows[0])

    shop = None
    rows = yield from ask(_SHOPIFY, (merchant_id,))
    for number, domain, has_token, scopes, connected_at, revoked_at, revoked_why, problem in rows:
        granted = frozenset(json.loads(scopes)) if scopes is not None else None
        seen = yield from looked(number, "shopify", domain)
        shop = ShopState(domain, bool(has_token), granted, connected_at, revoked_at, revoked_why, problem, seen)
    accounts = []
    for one in (yield from accounts_of(merchant_id)):
        seen = yield from looked(one.connection, "stripe", one.path_token)
        accounts.append((one, seen))
    return Connections(shop, tuple(accounts))
