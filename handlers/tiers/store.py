"""Tables of tiers: where everybody stands by now, what the merchant gave by hand, and which terms were applied."""

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import Column, Index, Integer, Table, Text, text

from handlers.customers.rounds import marks
from handlers.tiers.rules import Grant
from integration.database.schema import Instant, Number, metadata
from integration.database.steps import BIG, TEXT, Steps, ask, insert, keyed

# Worked out from sales, programme and clock, and kept for who asks: pages, rewards, the next look by the clock.
standings = Table(
    "standings",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("customer", Number, primary_key=True, autoincrement=False),
    Column("tier", Text),  # its id in the programme; null = none yet
    Column("since_at", Instant, nullable=False),
    Column("kept_until", Instant),  # before grace; null = nothing ends
    Column("falls_at", Instant),  # when it will be lost, as things are; null = it is safe
    Column("due_at", Instant),  # when to look again
    Column("history", Text),  # the tier from each instant on, of who bought too much to be placed at once
)
_TO_LOOK = text("due_at IS NOT NULL")
Index(
    "ix_standings_due",
    standings.c.merchant_id,
    standings.c.due_at,
    standings.c.customer,
    sqlite_where=_TO_LOOK,
    postgresql_where=_TO_LOOK,
)
Index("ix_standings_tier", standings.c.merchant_id, standings.c.tier, standings.c.customer)

tier_grants = Table(
    "tier_grants",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("customer", Number, primary_key=True, autoincrement=False),
    Column("at", Instant, primary_key=True, autoincrement=False),
    Column("tier", Text),  # null = none at all
    Column("is_floor", Integer, nullable=False),  # 1 = nothing less than it; 0 = nothing more
    Column("until", Instant),  # null = for good
    Column("who", Text, nullable=False),
    Column("reason", Text, nullable=False),
)

# How far everybody has been looked at under the newest programme.
tier_marks = Table(
    "tier_marks",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("version", Number, nullable=False),
    Column("after_customer", Number),  # null = everybody was
)
MARKS = marks(tier_marks.name)


class Row(NamedTuple):
    """Where one person stands, as it is kept."""

    merchant_id: int
    customer: int
    tier: str | None
    since_at: int
    kept_until: int | None
    falls_at: int | None
    due_at: int | None
    history: str | None = None


_KEEP = insert(
    "standings",
    "ON CONFLICT (merchant_id, customer) DO UPDATE SET tier = excluded.tier, since_at = excluded.since_at,"
    " kept_until = excluded.kept_until, falls_at = excluded.falls_at, due_at = excluded.due_at,"
    " history = excluded.history",
    merchant_id=BIG,
    customer=BIG,
    tier=TEXT,
    since_at=BIG,
    kept_until=BIG,
    falls_at=BIG,
    due_at=BIG,
    history=TEXT,
)
_CALL = insert(
    "standings",
    "ON CONFLICT (merchant_id, customer) DO UPDATE SET due_at = excluded.due_at",
    merchant_id=BIG,
    customer=BIG,
    since_at=BIG,
    due_at=BIG,
)
_DROP = keyed(
    "DELETE FROM standings WHERE (merchant_id, customer) IN (SELECT k.merchant_id, k.customer FROM {keys} k)",
    merchant_id=BIG,
    customer=BIG,
)
_OF = keyed(
    "SELECT t.merchant_id, t.customer, t.tier, t.since_at, t.kept_until, t.falls_at, t.due_at, t.history"
    " FROM {keys} k CROSS JOIN standings t WHERE t.merchant_id = k.merchant_id AND t.customer = k.customer",
    merchant_id=BIG,
    customer=BIG,
)
_GRANTS = keyed(
    "SELECT g.merchant_id, g.customer, g.at, g.until, g.tier, g.is_floor FROM {keys} k CROSS JOIN tier_grants g"
    " WHERE g.merchant_id = k.merchant_id AND g.customer = k.customer",
    merchant_id=BIG,
    customer=BIG,
)
_STIR = keyed(
    "UPDATE standings SET due_at = k.at FROM {keys} k"
    " WHERE standings.merchant_id = k.merchant_id AND standings.customer = k.customer",
    merchant_id=BIG,
    customer=BIG,
    at=BIG,
)
_GRANT = insert(
    "tier_grants",
    "ON CONFLICT (merchant_id, customer, at) DO UPDATE SET until = excluded.until, tier = excluded.tier,"
    " is_floor = excluded.is_floor, who = excluded.who, reason = excluded.reason",
    merchant_id=BIG,
    customer=BIG,
    at=BIG,
    until=BIG,
    tier=TEXT,
    is_floor=BIG,
    who=TEXT,
    reason=TEXT,
)
_END_GRANTS = keyed(
    "UPDATE tier_grants SET until = k.at FROM {keys} k"
    " WHERE tier_grants.merchant_id = k.merchant_id AND tier_grants.customer = k.customer"
    " AND (tier_grants.until IS NULL OR tier_grants.until > k.at)",
    merchant_id=BIG,
    customer=BIG,
    at=BIG,
)
_SETTLE_AGAIN = keyed(
    "UPDATE sales SET settle_at = k.at FROM {keys} k"
    " WHERE sales.merchant_id = k.merchant_id AND sales.number = k.number AND sales.merged_into IS NULL",
    merchant_id=BIG,
    number=BIG,
    at=BIG,
)
_WELCOMED = keyed(
    "SELECT e.merchant_id, e.key FROM {keys} k CROSS JOIN ledger_entries e"
    " WHERE e.merchant_id = k.merchant_id AND e.key = k.key",
    merchant_id=BIG,
    key=TEXT,
)

Key = tuple[int, int]
"""(Merchant, customer)."""


def keep(rows: Iterable[Row]) -> Steps[None]:
    """Write where people stand; the merchants' books must be locked."""
    yield from ask(_KEEP, sorted(rows, key=lambda row: row[:2]))


def drop(people: Iterable[Key]) -> Steps[None]:
    """Forget where people stand who stand nowhere any more."""
    yield from ask(_DROP, sorted(people))


def of_people(people: Iterable[Key]) -> Steps[dict[Key, Row]]:
    """Look up where people stand; those who stand nowhere are left out."""
    rows = yield from ask(_OF, sorted(set(people)))
    return {(row[0], row[1]): Row(*row) for row in rows}


def call(people: Iterable[Key], now: int) -> Steps[None]:
    """Have people looked at by the clock, also those who stand nowhere yet."""
    yield from ask(_CALL, [(*who, 0, now) for who in sorted(set(people))])


def stir(people: Iterable[Key], now: int) -> Steps[None]:
    """Have people looked at by the clock at once."""
    yield from ask(_STIR, [(*who, now) for who in sorted(set(people))])


def grants_of(numbers: Iterable[Key]) -> Steps[dict[Key, list[Grant]]]:
    """List what merchants gave these customers by hand."""
    found: dict[Key, list[Grant]] = {}
    for merchant_id, customer, at, until, tier, is_floor in (yield from ask(_GRANTS, sorted(numbers))):
        found.setdefault((merchant_id, customer), []).append(Grant(at, until, tier, bool(is_floor)))
    return found


def grant(who: Key, given: Grant, by: str, reason: str) -> Steps[None]:
    """Write down what somebody was given by hand, by whom and why."""
    yield from ask(_GRANT, [(*who, given.at, given.until, given.tier, int(given.is_floor), by, reason)])


def end_grants(numbers: Iterable[Key], now: int) -> Steps[int]:
    """End what these customers were given by hand; say how much there was."""
    rows = yield from ask(_END_GRANTS, [(*who, now) for who in sorted(numbers)])
    return int(rows[0][0]) if rows else 0


def welcomed(keys: Iterable[tuple[int, str]]) -> Steps[set[tuple[int, str]]]:
    """Say which (merchant, key) the ledger has."""
    return {(row[0], row[1]) for row in (yield from ask(_WELCOMED, sorted(keys)))}


def settle_again(sales: Iterable[Key], now: int) -> Steps[None]:
    """Have (merchant, sale) settled by the clock at once."""
    if keys := sorted(sales):
        yield from ask(_SETTLE_AGAIN, [(*key, now) for key in keys])
