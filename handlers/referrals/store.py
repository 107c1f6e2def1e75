"""Tables of referrals: whose link is which, which friend has which code, and which orders were made with it."""

import json
from collections import Counter
from collections.abc import Iterable
from typing import Literal, NamedTuple

from sqlalchemy import Column, Index, Integer, Table, Text, text

from handlers.merchants.offers import Reward
from handlers.referrals.rules import State
from integration.clock import DAY, HOUR, MINUTE
from integration.database.schema import Instant, Number, metadata
from integration.database.steps import BIG, TEXT, Sql, Steps, ask, insert, keyed, plain

LEASE = 5 * MINUTE  # of whoever asks the platform; longer than any question lasts
KEPT = 60 * DAY  # unused codes after their end: orders made with them may be told of so late
MOST_PRUNED = 5_000
WITHIN = HOUR
MOST_OPEN = 100  # codes of one link that were asked for and can still be used
MOST_OF_LINK = 10  # codes asked for with one link within WITHIN
MOST_ASKED = 10  # codes asked for from one address of the network within WITHIN
MOST_COUNTED = 1_000  # friends who wait for the merchant
MOST_OF_SHOP = 300  # codes asked for at one shop within WITHIN

# Each customer's link.
links = Table(
    "referral_links",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("code", Text, primary_key=True),
    Column("customer", Number, nullable=False),  # who they were then; merges are followed
    Column("state", Text, nullable=False),  # open, closed
    Column("created_at", Instant, nullable=False),
)
Index("ix_referral_links_code", links.c.code)
Index("ix_referral_links_customer", links.c.customer, links.c.merchant_id)

# What friends type at the checkout: a code for each, used once.
codes = Table(
    "referral_codes",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("code", Text, primary_key=True),
    Column("link", Text, nullable=False),
    Column("customer", Number, nullable=False),  # whose link it was; merges are followed
    Column("asker", Text, nullable=False),  # keyed digest of the address of the network it was asked for from
    Column("state", Text, nullable=False),  # asked, made, closing, closed, refused
    Column("kind", Text, nullable=False),
    Column("terms", Text, nullable=False),  # JSON of what it takes off
    Column("value_minor", Number, nullable=False),  # 0 = depends on the order
    Column("currency", Text, nullable=False),
    Column("connection", Number),
    Column("platform_id", Text),
    Column("reason", Text),  # why it is not there yet, in words
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("used_at", Instant),  # when an order named it
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("next_at", Instant),  # when the platform is asked next; null = nothing to ask
    Column("claim", Text),
    Column("claimed_until", Instant),
    Column("tried_at", Instant),  # since when it was asked for without a clear answer
)
Index("ix_referral_codes_code", codes.c.code)
Index("ix_referral_codes_link", codes.c.merchant_id, codes.c.link, codes.c.expires_at)
Index("ix_referral_codes_customer", codes.c.customer, codes.c.merchant_id)
Index("ix_referral_codes_asker", codes.c.asker, codes.c.created_at)
Index("ix_referral_codes_made", codes.c.merchant_id, codes.c.created_at)
_UNUSED = text("used_at IS NULL")
Index("ix_referral_codes_ended", codes.c.expires_at, sqlite_where=_UNUSED, postgresql_where=_UNUSED)
_TO_ASK = text("next_at IS NOT NULL")
Index(
    "ix_referral_codes_due",
    codes.c.merchant_id,
    codes.c.next_at,
    codes.c.code,
    sqlite_where=_TO_ASK,
    postgresql_where=_TO_ASK,
)
_THERE = text("platform_id IS NOT NULL")
Index(
    "ix_referral_codes_platform", codes.c.platform_id, codes.c.merchant_id, sqlite_where=_THERE, postgresql_where=_THERE
)

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

Key = tuple[int, int]
"""(Merchant, customer or sale)."""
Named = tuple[int, str]
"""(Merchant, code or what a platform calls it)."""


class Link(NamedTuple):
    """One customer's link."""

    merchant_id: int
    code: str
    customer: int
    state: Literal["open", "closed"]
    created_at: int


class Code(NamedTuple):
    """What one friend types at the checkout."""

    merchant_id: int
    code: str
    link: str
    customer: int
    asker: str
    state: Literal["asked", "made", "closing", "closed", "refused"]
    kind: str
    terms: str
    value_minor: int
    currency: str
    created_at: int
    expires_at: int
    connection: int | None = None
    platform_id: str | None = None
    reason: str | None = None
    used_at: int | None = None
    attempts: int = 0
    next_at: int | None = None
    claim: str | None = None
    claimed_until: int | None = None
    tried_at: int | None = None

    @property
    def welcome(self) -> Reward:
        """What it takes off."""
        return Reward.model_validate_json(self.terms)


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


_LINK = ", ".join(f"l.{name}" for name in Link._fields)
_CODE = ", ".join(f"c.{name}" for name in Code._fields)
_ROW = ", ".join(f"r.{name}" for name in Referral._fields)
_TEXTS = {
    column.name for table in (links, codes, referrals) for column in table.columns if isinstance(column.type, Text)
}
_WHO = {"merchant_id": BIG, "customer": BIG}
_SALE = {"merchant_id": BIG, "sale": BIG}


def _put(table: str, fields: Iterable[str], *key: str) -> Sql:
    changed = ", ".join(f"{name} = excluded.{name}" for name in fields if name not in key)
    types = {name: TEXT if name in _TEXTS else BIG for name in fields}
    return insert(table, f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {changed}", **types)


_PUT_LINK = _put("referral_links", Link._fields, "merchant_id", "code")
_PUT_CODE = _put("referral_codes", Code._fields, "merchant_id", "code")
_PUT = _put("referrals", Referral._fields, "merchant_id", "sale")
# Codes are drawn from so many that none is another merchant's.
_LINK_CALLED = plain(f"SELECT {_LINK} FROM referral_links l WHERE l.code = ?1 ORDER BY l.merchant_id LIMIT 1")
_CODE_CALLED = plain(f"SELECT {_CODE} FROM referral_codes c WHERE c.code = ?1 ORDER BY c.merchant_id LIMIT 1")
_LINKS_OF = keyed(
    f"SELECT {_LINK} FROM {{keys}} k CROSS JOIN referral_links l"
    " WHERE l.customer = k.customer AND l.merchant_id = k.merchant_id",
    **_WHO,
)
_ONE_LINK = plain(f"SELECT {_LINK} FROM referral_links l WHERE l.merchant_id = ?1 AND l.code = ?2")
_ONE_CODE = plain(f"SELECT {_CODE} FROM referral_codes c WHERE c.merchant_id = ?1 AND c.code = ?2")
_OPEN = plain(
    f"SELECT {_CODE} FROM referral_codes c WHERE c.merchant_id = ?1 AND c.link = ?2 AND c.expires_at > ?3"
    " AND c.used_at IS NULL AND c.state IN ('asked', 'made') LIMIT ?4"
)
_OF_LINK = plain("SELECT count(*) FROM referral_codes c WHERE c.merchant_id = ?1 AND c.link = ?2 AND c.created_at > ?3")
_OF_SHOP = plain("SELECT count(*) FROM referral_codes c WHERE c.merchant_id = ?1 AND c.created_at > ?2")
_OF_ASKER = plain(
    "SELECT count(*) FROM referral_codes c WHERE c.asker = ?1 AND c.created_at > ?2",
    across="counts what one address of the network asks for, at whatever shop",
)
_WAITS = plain(
    "SELECT c.reason FROM referral_codes c WHERE c.merchant_id = ?1 AND c.created_at > ?2 AND c.reason IS NOT NULL"
    " AND c.state IN ('asked', 'refused') ORDER BY c.created_at DESC LIMIT 1"
)
_OF_CODES = keyed(
    "SELECT c.merchant_id, c.code, c.customer, c.code FROM {keys} k CROSS JOIN referral_codes c"
    " WHERE c.merchant_id = k.merchant_id AND c.code = k.code",
    merchant_id=BIG,
    code=TEXT,
)
_OF_PLATFORM = keyed(
    "SELECT c.merchant_id, c.platform_id, c.customer, c.code FROM {keys} k CROSS JOIN referral_codes c"
    " WHERE c.platform_id = k.platform_id AND c.merchant_id = k.merchant_id AND c.kind = 'promotion_code'",
    merchant_id=BIG,
    platform_id=TEXT,
)
_USED = keyed(
    "UPDATE referral_codes SET used_at = k.now, asker = '' FROM {keys} k"
    " WHERE referral_codes.merchant_id = k.merchant_id AND referral_codes.code = k.code"
    " AND referral_codes.used_at IS NULL",
    merchant_id=BIG,
    code=TEXT,
    now=BIG,
)
_PRUNE = plain(
    "DELETE FROM referral_codes WHERE (merchant_id, code) IN (SELECT merchant_id, code FROM referral_codes"
    " WHERE used_at IS NULL AND expires_at < ?1 AND +next_at IS NULL ORDER BY expires_at LIMIT ?2)"
)
_CLAIM = plain(
    "UPDATE referral_codes SET claim = ?3, claimed_until = ?4, attempts = attempts + 1"
    " WHERE merchant_id = ?1 AND code = ?2 AND next_at IS NOT NULL AND (claim IS NULL OR claimed_until <= ?5)"
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


# --- Links ----------------------------------------------------------------------------------------


def terms_of(welcome: Reward) -> str:
    """Write what a code takes off, the same for the same."""
    return json.dumps(welcome.model_dump(mode="json"), sort_keys=True)


def put_link(link: Link) -> Steps[None]:
    """Write a link as it is now; the merchant's books must be locked."""
    yield from ask(_PUT_LINK, [link])


def link_called(code: str) -> Steps[Link | None]:
    """Find the link of a code, of all merchants'."""
    rows = yield from ask(_LINK_CALLED, (code,))
    return Link(*rows[0]) if rows else None


def link_of(merchant_id: int, code: str) -> Steps[Link | None]:
    """Find one link of a merchant's."""
    rows = yield from ask(_ONE_LINK, (merchant_id, code))
    return Link(*rows[0]) if rows else None


def links_of(numbers: Iterable[Key]) -> Steps[list[Link]]:
    """List the links of customers, the oldest first."""
    found = [Link(*row) for row in (yield from ask(_LINKS_OF, sorted(numbers)))]
    return sorted(found, key=lambda link: (link.created_at, link.code))


# --- Codes ----------------------------------------------------------------------------------------


def put_code(code: Code) -> Steps[None]:
    """Write a code as it is now; the merchant's books must be locked."""
    yield from ask(_PUT_CODE, [code])


def code_called(code: str) -> Steps[Code | None]:
    """Find a friend's code, of all merchants'."""
    rows = yield from ask(_CODE_CALLED, (code,))
    return Code(*rows[0]) if rows else None


def code_of(merchant_id: int, code: str) -> Steps[Code | None]:
    """Find one code of a merchant's."""
    rows = yield from ask(_ONE_CODE, (merchant_id, code))
    return Code(*rows[0]) if rows else None


def open_codes(link: Link, now: int) -> Steps[list[Code]]:
    """List codes of a link that can still be used, as many as there may be."""
    return [Code(*row) for row in (yield from ask(_OPEN, (link.merchant_id, link.code, now, MOST_OPEN)))]


def is_over(link: Link, asker: str, now: int) -> Steps[bool]:
    """Tell whether too many codes were asked for: of a link, at its shop, or from one address (empty = not told)."""
    since = now - WITHIN
    if len((yield from open_codes(link, now))) >= MOST_OPEN:
        return True
    if (yield from ask(_OF_LINK, (link.merchant_id, link.code, since)))[0][0] >= MOST_OF_LINK:
        return True
    if (yield from ask(_OF_SHOP, (link.merchant_id, since)))[0][0] >= MOST_OF_SHOP:
        return True
    return bool(asker) and (yield from ask(_OF_ASKER, (asker, since)))[0][0] >= MOST_ASKED


def why_waits(merchant_id: int, since: int) -> Steps[str | None]:
    """Say why the newest code that could not be made was not, of those asked for since an instant."""
    rows = yield from ask(_WAITS, (merchant_id, since))
    return str(rows[0][0]) if rows else None


def owners(typed: Iterable[Named], platform_ids: Iterable[Named]) -> Steps[dict[Named, tuple[int, str]]]:
    """Say whose codes are, and what they are: by (merchant, code), and by (merchant, what Stripe calls it)."""
    of_codes = yield from ask(_OF_CODES, sorted(set(typed)))
    of_platform = yield from ask(_OF_PLATFORM, sorted(set(platform_ids)))
    return {(row[0], row[1]): (row[2], row[3]) for row in (*of_codes, *of_platform)}


def used(named: Iterable[Named], now: int) -> Steps[None]:
    """Note that orders were made with codes."""
    yield from ask(_USED, [(*each, now) for each in sorted(set(named))])


def prune(now: int) -> Steps[int]:
    """Delete codes that ended KEPT ago and that nobody used; returns how many."""
    return int((yield from ask(_PRUNE, (now - KEPT, MOST_PRUNED)))[0][0])


def claim(merchant_id: int, code: str, token: str, now: int) -> Steps[Code | None]:
    """Take the asking of a platform over; None where somebody else is at it, or there is nothing to ask."""
    yield from ask(_CLAIM, (merchant_id, code, token, now + LEASE, now))
    found = yield from code_of(merchant_id, code)
    return found if found is not None and found.claim == token else None


# --- Referrals ------------------------------------------------------------------------------------


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
