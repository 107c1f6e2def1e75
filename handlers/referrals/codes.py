"""Tables of links and of friends' codes: whose link is which, which friend has which code, and how it is made."""

import json
from collections.abc import Iterable
from typing import Literal, NamedTuple

from sqlalchemy import Column, Index, Integer, Table, Text, text

from handlers.merchants.offers import Reward
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

Key = tuple[int, int]
"""(Merchant, customer)."""
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


_LINK = ", ".join(f"l.{name}" for name in Link._fields)
_CODE = ", ".join(f"c.{name}" for name in Code._fields)
_TEXTS = {column.name for table in (links, codes) for column in table.columns if isinstance(column.type, Text)}
_WHO = {"merchant_id": BIG, "customer": BIG}


def _put(table: str, fields: Iterable[str]) -> Sql:
    changed = ", ".join(f"{name} = excluded.{name}" for name in fields if name not in ("merchant_id", "code"))
    types = {name: TEXT if name in _TEXTS else BIG for name in fields}
    return insert(table, f"ON CONFLICT (merchant_id, code) DO UPDATE SET {changed}", **types)


_PUT_LINK = _put("referral_links", Link._fields)
_PUT_CODE = _put("referral_codes", Code._fields)
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
