"""Tables of referrals: which orders were made with a friend's code, by whom, what they brought, where they went."""

from collections import Counter
from collections.abc import Iterable
from typing import Literal, NamedTuple

from sqlalchemy import Column, Index, Integer, Table, Text, text

from handlers.referrals.rules import State
from integration.clock import DAY
from integration.database.schema import Instant, Number, metadata
from integration.database.steps import BIG, TEXT, Steps, ask, insert, keyed, plain

MOST_COUNTED = 1_000  # friends who wait for the merchant
HOMES_KEPT = 180 * DAY
MOST_PRUNED = 5_000
MOST_AT_HOME = 200  # customers of one address who are looked at

# Orders made with a code; one row an order is what makes a friend's points once.
referrals = Table(
    "referrals",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("sale", Number, primary_key=True, autoincrement=False),
    Column("referrer", Number, nullable=False),  # who both were then; merges are followed
    Column("friend", Number),  # null = nobody knows who bought
    Column("state", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("decision", Text, nullable=False, server_default=""),  # the merchant's: allowed, refused
    Column("at", Instant, nullable=False),  # of the order
    Column("pending", Number, nullable=False, server_default="0"),  # micropoints
    Column("available", Number, nullable=False, server_default="0"),
    Column("postings", Integer, nullable=False, server_default="0"),
    Column("due_at", Instant),  # when to look; null = nothing comes by itself
)
_TO_LOOK = text("due_at IS NOT NULL")
Index(
    "ix_referrals_due",
    referrals.c.merchant_id,
    referrals.c.due_at,
    referrals.c.sale,
    sqlite_where=_TO_LOOK,
    postgresql_where=_TO_LOOK,
)
_HELD = text("state = 'held'")
Index("ix_referrals_held", referrals.c.merchant_id, referrals.c.sale, sqlite_where=_HELD, postgresql_where=_HELD)
Index("ix_referrals_referrer", referrals.c.referrer, referrals.c.merchant_id, referrals.c.at)
Index("ix_referrals_friend", referrals.c.friend, referrals.c.merchant_id, referrals.c.at)

# Where orders went, as digests that say no more than whether two went to the same address.
homes = Table(
    "referral_homes",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("sale", Number, primary_key=True, autoincrement=False),
    Column("digest", Text, nullable=False),
    Column("at", Instant, nullable=False),  # of the order
)
Index("ix_referral_homes_digest", homes.c.merchant_id, homes.c.digest)
Index("ix_referral_homes_at", homes.c.at)

Key = tuple[int, int]
"""(Merchant, customer or sale)."""


class Referral(NamedTuple):
    """One order made with a code, and what it has brought so far."""

    merchant_id: int
    sale: int
    referrer: int
    friend: int | None
    state: State
    why: str
    decision: str
    at: int
    pending: int
    available: int
    postings: int
    due_at: int | None


_ROW = ", ".join(f"r.{name}" for name in Referral._fields)
_WHO = {"merchant_id": BIG, "customer": BIG}
_SALE = {"merchant_id": BIG, "sale": BIG}
_CHANGED = ", ".join(f"{name} = excluded.{name}" for name in Referral._fields if name not in _SALE)

_PUT = insert(
    "referrals",
    f"ON CONFLICT (merchant_id, sale) DO UPDATE SET {_CHANGED}",
    **{name: TEXT if name in ("state", "why", "decision") else BIG for name in Referral._fields},
)
_TOLD = insert(
    "referrals",
    "ON CONFLICT (merchant_id, sale) DO UPDATE SET friend = excluded.friend, due_at = excluded.due_at",
    **_SALE,
    referrer=BIG,
    friend=BIG,
    state=TEXT,
    why=TEXT,
    at=BIG,
    due_at=BIG,
)
_STIR_SALES = keyed(
    "UPDATE referrals SET due_at = k.now FROM {keys} k"
    " WHERE referrals.merchant_id = k.merchant_id AND referrals.sale = k.sale",
    **_SALE,
    now=BIG,
)
_STIR_FRIENDS = keyed(
    "UPDATE referrals SET due_at = k.now FROM {keys} k"
    " WHERE referrals.merchant_id = k.merchant_id AND referrals.friend = k.customer",
    **_WHO,
    now=BIG,
)
_STIR_REFERRERS = keyed(
    "UPDATE referrals SET due_at = k.now FROM {keys} k"
    " WHERE referrals.merchant_id = k.merchant_id AND referrals.referrer = k.customer",
    **_WHO,
    now=BIG,
)
_OF_REFERRERS = keyed(
    f"SELECT {_ROW} FROM {{keys}} k CROSS JOIN referrals r"
    " WHERE r.referrer = k.customer AND r.merchant_id = k.merchant_id",
    **_WHO,
)
_ONE = plain(f"SELECT {_ROW} FROM referrals r WHERE r.merchant_id = ?1 AND r.sale = ?2")
_AFTER = plain(f"SELECT {_ROW} FROM referrals r WHERE r.merchant_id = ?1 AND r.sale > ?2 ORDER BY r.sale LIMIT ?3")
_PAGE = plain(f"SELECT {_ROW} FROM referrals r WHERE r.merchant_id = ?1 AND r.sale < ?2 ORDER BY r.sale DESC LIMIT ?3")
_WAITING = plain(
    f"SELECT {_ROW} FROM referrals r WHERE r.merchant_id = ?1 AND r.state = 'held' AND r.sale < ?2"
    " ORDER BY r.sale DESC LIMIT ?3"
)
_HOW_MANY_WAIT = plain(
    "SELECT count(*) FROM (SELECT r.sale FROM referrals r WHERE r.merchant_id = ?1 AND r.state = 'held'"
    " AND r.at >= ?2 AND r.at < ?3 LIMIT ?4) few"
)
_COUNTED = keyed(
    "SELECT r.state, count(*) FROM {keys} k CROSS JOIN referrals r"
    " WHERE r.referrer = k.customer AND r.merchant_id = k.merchant_id GROUP BY r.state",
    **_WHO,
)
_BEFORE = {
    side: plain(
        f"SELECT {_ROW} FROM referrals r WHERE r.merchant_id = ?1 AND r.{side} = ?2 AND r.at <= ?3"
        " ORDER BY r.at DESC, r.sale DESC LIMIT ?4"
    )
    for side in ("referrer", "friend")
}
# What came to nothing before it was paid is no purchase; the Stripe side of a Shopify order is none of its own.
_BOUGHT = keyed(
    "SELECT s.merchant_id, s.customer, s.number, s.sold_at FROM {keys} k CROSS JOIN sales s"
    " WHERE s.customer = k.customer AND s.merchant_id = k.merchant_id AND +s.sold_at IS NOT NULL"
    " AND s.merged_into IS NULL AND s.test = 0"
    " AND s.standing NOT IN ('elsewhere', 'undone', 'cancelled', 'voided', 'deleted')",
    **_WHO,
)
_CALLED = keyed(
    "SELECT c.merchant_id, c.number, c.email, c.phone FROM {keys} k CROSS JOIN customers c"
    " WHERE c.merchant_id = k.merchant_id AND c.number = k.customer",
    **_WHO,
)

_PUT_HOME = insert(
    "referral_homes",
    "ON CONFLICT (merchant_id, sale) DO UPDATE SET digest = excluded.digest, at = excluded.at"
    " WHERE referral_homes.digest <> excluded.digest",
    **_SALE,
    digest=TEXT,
    at=BIG,
)
_DROP_HOMES = keyed(
    "DELETE FROM referral_homes WHERE (merchant_id, sale) IN (SELECT k.merchant_id, k.sale FROM {keys} k)", **_SALE
)
_HOMES = keyed(
    "SELECT h.sale, h.digest, h.at FROM {keys} k CROSS JOIN referral_homes h"
    " WHERE h.merchant_id = k.merchant_id AND h.sale = k.sale",
    **_SALE,
)
_HOMES_OF = keyed(
    "SELECT DISTINCT s.customer, h.digest FROM {keys} k CROSS JOIN sales s CROSS JOIN referral_homes h"
    " WHERE s.customer = k.customer AND s.merchant_id = k.merchant_id"
    " AND h.merchant_id = s.merchant_id AND h.sale = s.number",
    **_WHO,
)
_AT_HOME = plain(
    "SELECT DISTINCT s.customer FROM referral_homes h CROSS JOIN sales s WHERE h.merchant_id = ?1 AND h.digest = ?2"
    " AND s.merchant_id = h.merchant_id AND s.number = h.sale AND s.customer IS NOT NULL LIMIT ?3"
)
_OLD_HOMES = plain(
    "DELETE FROM referral_homes WHERE (merchant_id, sale) IN"
    " (SELECT merchant_id, sale FROM referral_homes WHERE at < ?1 ORDER BY at LIMIT ?2)"
)
_NEXT_WITH_HOMES = plain("SELECT min(merchant_id) FROM referral_homes WHERE merchant_id > ?1")
_HOMES_OF_SHOP = plain(
    "DELETE FROM referral_homes WHERE merchant_id = ?1 AND sale IN"
    " (SELECT sale FROM referral_homes WHERE merchant_id = ?1 ORDER BY sale LIMIT ?2)"
)


def told(rows: Iterable[tuple[int, int, int, int | None, int]], now: int) -> Steps[None]:
    """Note orders made with a code, as (merchant, sale, referrer, friend, instant), and have them looked at."""
    listed = [(m, sale, who, friend, "waiting", "unpaid", at, now) for m, sale, who, friend, at in sorted(rows)]
    yield from ask(_TOLD, listed)


def stir(sales: Iterable[Key], people: Iterable[Key], now: int) -> Steps[None]:
    """Have referrals looked at: of these orders, and whatever these people brought or were brought by."""
    yield from ask(_STIR_SALES, [(*key, now) for key in sorted(set(sales))])
    for statement in (_STIR_FRIENDS, _STIR_REFERRERS):
        yield from ask(statement, [(*key, now) for key in sorted(set(people))])


def of_referrers(people: Iterable[Key]) -> Steps[list[Referral]]:
    """List all referrals of customers."""
    return [Referral(*row) for row in (yield from ask(_OF_REFERRERS, sorted(people)))]


def counted(people: Iterable[Key]) -> Steps[dict[str, int]]:
    """Count the referrals of customers by their state."""
    found: Counter[str] = Counter()
    for state, count in (yield from ask(_COUNTED, sorted(people))):
        found[state] += count
    return found


def newest(person: Key, side: Literal["referrer", "friend"], before: int, limit: int) -> Steps[list[Referral]]:
    """List referrals by a customer, or that brought them, up to an instant, the newest first."""
    return [Referral(*row) for row in (yield from ask(_BEFORE[side], (*person, before, limit)))]


def one(merchant_id: int, sale: int) -> Steps[Referral | None]:
    """Find the referral of an order."""
    rows = yield from ask(_ONE, (merchant_id, sale))
    return Referral(*rows[0]) if rows else None


def after(merchant_id: int, sale: int, limit: int) -> Steps[list[Referral]]:
    """One page of everything, by order."""
    return [Referral(*row) for row in (yield from ask(_AFTER, (merchant_id, sale, limit)))]


def page(merchant_id: int, before: int, limit: int, *, waiting: bool = False) -> Steps[list[Referral]]:
    """One page of everything, or of what waits for the merchant, the newest first."""
    return [Referral(*row) for row in (yield from ask(_WAITING if waiting else _PAGE, (merchant_id, before, limit)))]


def waiting(merchant_id: int, since: int, until: int, /) -> Steps[int]:
    """Count friends of orders between two instants who wait for the merchant's decision, up to MOST_COUNTED."""
    rows = yield from ask(_HOW_MANY_WAIT, (merchant_id, since, until, MOST_COUNTED))
    return int(rows[0][0])


def put(rows: Iterable[Referral]) -> Steps[None]:
    """Write referrals as they are now; the merchant's books must be locked."""
    yield from ask(_PUT, sorted(rows, key=lambda row: (row.merchant_id, row.sale)))


def bought(numbers: Iterable[Key]) -> Steps[dict[Key, list[tuple[int, int]]]]:
    """Say when customers bought what, as (instant, sale), by the number they had then."""
    found: dict[Key, list[tuple[int, int]]] = {}
    for merchant_id, customer, sale, sold_at in (yield from ask(_BOUGHT, sorted(numbers))):
        found.setdefault((merchant_id, customer), []).append((sold_at, sale))
    return found


def called(numbers: Iterable[Key]) -> Steps[dict[Key, set[tuple[str, str]]]]:
    """Say how customers can be reached: addresses and telephones, as their profile tells them."""
    found: dict[Key, set[tuple[str, str]]] = {}
    for merchant_id, number, email, phone in (yield from ask(_CALLED, sorted(numbers))):
        told_of = {("email", email or ""), ("phone", phone or "")}
        found[merchant_id, number] = {one for one in told_of if one[1]}
    return found


# --- Where orders went ----------------------------------------------------------------------------


def put_homes(rows: Iterable[tuple[int, int, str, int]]) -> Steps[None]:
    """Note where orders went, as (merchant, sale, digest, instant); the newest word counts."""
    yield from ask(_PUT_HOME, sorted(rows))


def drop_homes(sales: Iterable[Key]) -> Steps[int]:
    """Forget where orders went; returns of how many that was known."""
    rows = yield from ask(_DROP_HOMES, sorted(sales))
    return int(rows[0][0]) if rows else 0


def homes_of_sales(sales: Iterable[Key]) -> Steps[dict[int, tuple[str, int]]]:
    """Say where orders of one merchant went and when, by sale; of many it is not known."""
    return {row[0]: (row[1], row[2]) for row in (yield from ask(_HOMES, sorted(sales)))}


def homes_of(people: Iterable[Key]) -> Steps[dict[int, set[str]]]:
    """Say where orders of one merchant's customers went, by customer."""
    found: dict[int, set[str]] = {}
    for customer, digest in (yield from ask(_HOMES_OF, sorted(people))):
        found.setdefault(customer, set()).add(digest)
    return found


def at_home(merchant_id: int, digest: str) -> Steps[list[int]]:
    """List customers something was sent to at an address, MOST_AT_HOME at most."""
    return [row[0] for row in (yield from ask(_AT_HOME, (merchant_id, digest, MOST_AT_HOME)))]


def prune_homes(now: int) -> Steps[int]:
    """Forget where orders went HOMES_KEPT ago; returns of how many."""
    return int((yield from ask(_OLD_HOMES, (now - HOMES_KEPT, MOST_PRUNED)))[0][0])


def next_with_homes(after: int) -> Steps[int | None]:
    """Name the next merchant of whose orders it is known where they went."""
    found: int | None = (yield from ask(_NEXT_WITH_HOMES, (after,)))[0][0]
    return found


def drop_homes_of_shop(merchant_id: int) -> Steps[int]:
    """Forget where some of a merchant's orders went; returns of how many."""
    return int((yield from ask(_HOMES_OF_SHOP, (merchant_id, MOST_PRUNED)))[0][0])
