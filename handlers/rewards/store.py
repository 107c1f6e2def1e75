"""The tables of rewards: points taken for one and how far that has come, and what is looked at when."""

import json
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from sqlalchemy import CheckConstraint, Column, Index, Integer, Table, Text, UniqueConstraint, text

from handlers.merchants.offers import Reward
from handlers.rewards.rules import KEEPS, Standing, State
from integration.database.schema import Instant, Number, metadata
from integration.database.steps import BIG, TEXT, Steps, ask, insert, keyed, plain

redemptions = Table(
    "redemptions",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("number", Number, primary_key=True, autoincrement=False),
    Column("key", Text, nullable=False),  # of whoever asked for it: the same wish again is the same redemption
    Column("customer", Number, nullable=False),  # who they were then; merges are followed
    Column("reward", Text, nullable=False),  # its id in the programme
    Column("version", Number, nullable=False),  # of the programme it was had under
    Column("kind", Text, nullable=False),
    Column("terms", Text, nullable=False),  # JSON of the reward as it was then
    Column("steps", Integer, nullable=False, server_default="1"),
    Column("points", Number, nullable=False),  # whole ones
    Column("value_minor", Number, nullable=False),  # 0 = depends on the order
    Column("currency", Text, nullable=False),
    Column("state", Text, nullable=False),  # asked, issued, returning, used, expired, voided, refused
    Column("reason", Text),  # why it is still asked for, or was refused; in words
    Column("code", Text),  # what the customer types, upper case
    Column("connection", Number),  # the platform's account it is made at
    Column("buyer", Text),  # what the platform calls the customer, since it was first asked
    Column("platform_id", Text),  # what the platform calls it
    Column("asked_at", Instant, nullable=False),
    Column("issued_at", Instant),
    Column("expires_at", Instant),  # unused; null = never
    Column("returning_at", Instant),  # since when it is to be taken back
    Column("used_at", Instant),
    Column("used_by", Number),  # the sale it was used on
    Column("closed_at", Instant),  # since when it can neither be used nor come back
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("next_at", Instant),  # when to ask the platform next; null = nothing to ask
    Column("claim", Text),
    Column("claimed_until", Instant),
    Column("tried_at", Instant),  # since when what is wanted was asked for without a clear answer; null = never
    Column("mark", Text),  # where the platform's account stood before it was asked: what came since may be ours
    # What the ledger has of it, kept in the same transaction.
    Column("reserved", Number, nullable=False, server_default="0"),  # micropoints
    Column("spent", Number, nullable=False, server_default="0"),
    Column("restored", Number, nullable=False, server_default="0"),  # to come back since the purchase did
    Column("postings", Integer, nullable=False, server_default="0"),
    Column("used_minor", Number, nullable=False, server_default="0"),  # of money, as far as it is known
    UniqueConstraint("merchant_id", "key"),
    CheckConstraint("points > 0", name="points"),
    CheckConstraint("steps > 0", name="steps"),
)
# Discounts that codes share and that the merchant has switched off at the platform; a row goes when it is on again.
discounts_off = Table(
    "discounts_off",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("platform_id", Text, primary_key=True),
    Column("reward", Text, nullable=False),
    Column("terms", Text, nullable=False),  # of the reward, as `redemptions` has them
    Column("since_at", Instant, nullable=False),  # when we noticed
)
# When a merchant's codes are looked at next, and behind which redemption a look goes on.
discount_looks = Table(
    "discount_looks",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("next_at", Instant, nullable=False),
    Column("after_number", Number, nullable=False, server_default="0"),
)
# Discounts of ours that Shopify told somebody has changed, and when each is looked at.
discount_changes = Table(
    "discount_changes",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("platform_id", Text, primary_key=True),
    Column("next_at", Instant, nullable=False),
    Index("ix_discount_changes_next_at", "next_at"),
)
# When the rewards of money at an account are looked at next, and behind which one a look goes on.
money_looks = Table(
    "money_looks",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("connection", Number, primary_key=True, autoincrement=False),
    Column("next_at", Instant, nullable=False),
    Column("after_number", Number, nullable=False, server_default="0"),
)
_TO_ASK = text("next_at IS NOT NULL")
Index("ix_redemptions_due", redemptions.c.next_at, sqlite_where=_TO_ASK, postgresql_where=_TO_ASK)
_WAITS = text("next_at IS NOT NULL AND claim IS NULL")
Index(
    "ix_redemptions_waiting",
    redemptions.c.merchant_id,
    redemptions.c.next_at,
    redemptions.c.number,
    sqlite_where=_WAITS,
    postgresql_where=_WAITS,
)
_CLAIMED = text("claim IS NOT NULL")
Index("ix_redemptions_claimed", redemptions.c.claimed_until, sqlite_where=_CLAIMED, postgresql_where=_CLAIMED)
Index("ix_redemptions_customer", redemptions.c.customer, redemptions.c.merchant_id)
Index("ix_redemptions_platform", redemptions.c.platform_id, redemptions.c.merchant_id)
Index("ix_redemptions_code", redemptions.c.code, redemptions.c.merchant_id)
Index("ix_redemptions_reward", redemptions.c.merchant_id, redemptions.c.reward, redemptions.c.state)
Index("ix_redemptions_state", redemptions.c.merchant_id, redemptions.c.state, redemptions.c.number)
_THERE = text("platform_id IS NOT NULL")
Index(
    "ix_redemptions_parent",
    redemptions.c.merchant_id,
    redemptions.c.reward,
    redemptions.c.connection,
    redemptions.c.issued_at,
    redemptions.c.number,
    sqlite_where=_THERE,
    postgresql_where=_THERE,
)
_USED = text("used_by IS NOT NULL")
Index(
    "ix_redemptions_sale",
    redemptions.c.used_by,
    redemptions.c.merchant_id,
    sqlite_where=_USED,
    postgresql_where=_USED,
)
# What is used bit by bit, and told of by nobody.
_MONEY = "state = 'issued' AND kind IN ('balance_credit', 'gift_card', 'store_credit')"
Index(
    "ix_redemptions_money",
    redemptions.c.merchant_id,
    redemptions.c.connection,
    redemptions.c.number,
    sqlite_where=text(_MONEY),
    postgresql_where=text(_MONEY),
)
_LAPSES = text("state = 'issued' AND expires_at IS NOT NULL")
Index("ix_redemptions_lapse", redemptions.c.expires_at, sqlite_where=_LAPSES, postgresql_where=_LAPSES)


class Redemption(NamedTuple):
    """One row of the table."""

    merchant_id: int
    number: int
    key: str
    customer: int
    reward: str
    version: int
    kind: str
    terms: str
    steps: int
    points: int
    value_minor: int
    currency: str
    state: State
    reason: str | None
    code: str | None
    connection: int | None
    buyer: str | None
    platform_id: str | None
    asked_at: int
    issued_at: int | None
    expires_at: int | None
    used_at: int | None
    used_by: int | None
    closed_at: int | None
    attempts: int
    next_at: int | None
    claim: str | None
    claimed_until: int | None
    reserved: int
    spent: int
    restored: int
    postings: int
    tried_at: int | None = None
    mark: str | None = None
    returning_at: int | None = None
    used_minor: int = 0

    @property
    def offer(self) -> Reward:
        """The reward as it was when it was taken."""
        return read_terms(self.terms)

    @property
    def left_minor(self) -> int:
        """Of a reward of money: how much of it nobody has used, as far as it is known."""
        return self.value_minor - self.used_minor

    @property
    def posted(self) -> Standing:
        """Where its points are by the ledger."""
        return Standing(self.reserved, self.spent)


@lru_cache(maxsize=4096)
def read_terms(terms: str) -> Reward:
    """Read a reward as it was kept; the same text is parsed once."""
    return Reward.model_validate_json(terms)


_NAMES = Redemption._fields
_COLUMNS = ", ".join(f"r.{name}" for name in _NAMES)
_INTEGERS = {column.name for column in redemptions.columns if not isinstance(column.type, Text)}
_PUT = insert(
    "redemptions",
    "ON CONFLICT (merchant_id, number) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _NAMES if name not in ("merchant_id", "number", "key")),
    **{name: BIG if name in _INTEGERS else TEXT for name in _NAMES},
)
_BY_KEY = plain(f"SELECT {_COLUMNS} FROM redemptions r WHERE r.merchant_id = ?1 AND r.key = ?2")
_ONE = plain(f"SELECT {_COLUMNS} FROM redemptions r WHERE r.merchant_id = ?1 AND r.number = ?2")
_PAGE = plain(
    f"SELECT {_COLUMNS} FROM redemptions r WHERE r.merchant_id = ?1 AND r.number < ?2 ORDER BY r.number DESC LIMIT ?3"
)
_PAGE_OF_STATE = plain(
    f"SELECT {_COLUMNS} FROM redemptions r WHERE r.merchant_id = ?1 AND r.state = ?2 AND r.number < ?3"
    " ORDER BY r.number DESC LIMIT ?4"
)
_WITH_ADDRESS = plain(
    "SELECT DISTINCT COALESCE(c.merged_into, c.number) FROM customer_identities i CROSS JOIN customers c"
    " WHERE i.merchant_id = ?1 AND i.kind = 'email' AND i.value = ?2"
    " AND c.merchant_id = i.merchant_id AND c.number = i.customer ORDER BY 1 LIMIT 20"
)
_AFTER = plain(
    f"SELECT {_COLUMNS} FROM redemptions r WHERE r.merchant_id = ?1 AND r.number > ?2 ORDER BY r.number LIMIT ?3"
)
_UNUSED_AFTER = plain(
    f"SELECT {_COLUMNS} FROM redemptions r WHERE r.merchant_id = ?1 AND r.state = 'issued' AND r.number > ?2"
    " ORDER BY r.number LIMIT ?3"
)
_MONEY_AFTER = plain(
    f"SELECT {_COLUMNS} FROM redemptions r WHERE r.merchant_id = ?1 AND r.connection = ?2 AND r.number > ?3"
    " AND r.state = 'issued' AND r.kind IN ('balance_credit', 'gift_card', 'store_credit') ORDER BY r.number LIMIT ?4"
)
_UNUSED_OF = plain(
    "SELECT number FROM redemptions WHERE merchant_id = ?1 AND platform_id = ?2 AND state = 'issued' LIMIT ?3"
)
_UNUSED_WITH = plain(
    f"SELECT {_COLUMNS} FROM redemptions r WHERE r.merchant_id = ?1 AND r.platform_id = ?2 AND r.state = 'issued'"
    " AND r.next_at IS NULL LIMIT ?3"
)
_RETURN_UNUSED = plain(
    "UPDATE redemptions SET state = 'returning', returning_at = ?3, next_at = ?3, attempts = 0, reason = NULL"
    " WHERE merchant_id = ?1 AND number IN (SELECT number FROM redemptions"
    " WHERE merchant_id = ?1 AND platform_id = ?2 AND state = 'issued' AND next_at IS NULL LIMIT ?4)"
)
_LAST = plain("SELECT number FROM redemptions WHERE merchant_id = ?1 ORDER BY number DESC LIMIT 1")
_OF = keyed(
    f"SELECT {_COLUMNS} FROM {{keys}} k CROSS JOIN redemptions r"
    " WHERE r.customer = k.customer AND r.merchant_id = k.merchant_id",
    merchant_id=BIG,
    customer=BIG,
)
_BY_CODE = keyed(
    f"SELECT {_COLUMNS} FROM {{keys}} k CROSS JOIN redemptions r"
    " WHERE r.code = k.code AND r.merchant_id = k.merchant_id",
    merchant_id=BIG,
    code=TEXT,
)
_BY_PLATFORM = keyed(
    f"SELECT {_COLUMNS} FROM {{keys}} k CROSS JOIN redemptions r"
    " WHERE r.platform_id = k.platform_id AND r.merchant_id = k.merchant_id",
    merchant_id=BIG,
    platform_id=TEXT,
)
_KEPT_STATES = ", ".join(f"'{state}'" for state in sorted(KEEPS))
_TAKEN = plain(f"SELECT count(*) FROM redemptions WHERE merchant_id = ?1 AND reward = ?2 AND state IN ({_KEPT_STATES})")


def put(rows: Iterable[Redemption]) -> Steps[None]:
    """Write redemptions as they are now; the merchants' books must be locked."""
    yield from ask(_PUT, sorted(rows))


def by_key(merchant_id: int, key: str) -> Steps[Redemption | None]:
    """Find what a wish has become; None where it is new."""
    rows = yield from ask(_BY_KEY, (merchant_id, key))
    return Redemption(*rows[0]) if rows else None


def one(merchant_id: int, number: int) -> Steps[Redemption | None]:
    """Find one redemption by its number."""
    rows = yield from ask(_ONE, (merchant_id, number))
    return Redemption(*rows[0]) if rows else None


def page(merchant_id: int, before: int, limit: int, states: Collection[State] = ()) -> Steps[list[Redemption]]:
    """List a merchant's redemptions with lower numbers than `before`, the newest first; none of `states` = of all."""
    if not states:
        return [Redemption(*row) for row in (yield from ask(_PAGE, (merchant_id, before, limit)))]
    rows = []
    for state in sorted(states):
        rows += yield from ask(_PAGE_OF_STATE, (merchant_id, state, before, limit))
    return sorted((Redemption(*row) for row in rows), key=lambda r: r.number, reverse=True)[:limit]


def with_address(merchant_id: int, email: str) -> Steps[list[int]]:
    """Name the customers who have an address, by the numbers they go under by now."""
    return [row[0] for row in (yield from ask(_WITH_ADDRESS, (merchant_id, email.lower())))]


def after(merchant_id: int, number: int, limit: int) -> Steps[list[Redemption]]:
    """List a merchant's redemptions after a number, in order."""
    return [Redemption(*row) for row in (yield from ask(_AFTER, (merchant_id, number, limit)))]


def unused_after(merchant_id: int, number: int, limit: int) -> Steps[list[Redemption]]:
    """List a merchant's redemptions after a number that are there and unused, in order."""
    return [Redemption(*row) for row in (yield from ask(_UNUSED_AFTER, (merchant_id, number, limit)))]


def money_after(merchant_id: int, connection: int, number: int, limit: int) -> Steps[list[Redemption]]:
    """List rewards of money after a number that one account has, in order, as far as they are not used up."""
    return [Redemption(*row) for row in (yield from ask(_MONEY_AFTER, (merchant_id, connection, number, limit)))]


def unused_of(merchant_id: int, platform_id: str, limit: int) -> Steps[list[int]]:
    """Name the redemptions of a discount that are there and unused, at most `limit` of them."""
    return [row[0] for row in (yield from ask(_UNUSED_OF, (merchant_id, platform_id, limit)))]


def unused_with(merchant_id: int, platform_id: str, limit: int) -> Steps[list[Redemption]]:
    """List redemptions of a discount that are there and unused, at most `limit` of them."""
    return [Redemption(*row) for row in (yield from ask(_UNUSED_WITH, (merchant_id, platform_id, limit)))]


def return_unused(merchant_id: int, platform_id: str, now: int, limit: int) -> Steps[int]:
    """Have what is unused of a discount taken back, which moves no points yet; returns how many there were.

    The books must be locked.
    """
    return int((yield from ask(_RETURN_UNUSED, (merchant_id, platform_id, now, limit)))[0][0])


def next_number(merchant_id: int) -> Steps[int]:
    """Return the number after the last one; the merchant's books must be locked."""
    rows = yield from ask(_LAST, (merchant_id,))
    return rows[0][0] + 1 if rows else 1


def of_people(merchant_id: int, numbers: Sequence[int]) -> Steps[list[Redemption]]:
    """List all redemptions of a person's numbers, the newest first."""
    rows = yield from ask(_OF, [(merchant_id, number) for number in sorted(numbers)])
    return sorted((Redemption(*row) for row in rows), key=lambda r: r.number, reverse=True)


def by_codes(codes: Iterable[tuple[int, str]]) -> Steps[list[Redemption]]:
    """Find redemptions by (merchant, code); codes are compared without case."""
    keys = sorted({(merchant_id, code.upper()) for merchant_id, code in codes})
    return [Redemption(*row) for row in (yield from ask(_BY_CODE, keys))]


def by_platform(names: Iterable[tuple[int, str]]) -> Steps[list[Redemption]]:
    """Find redemptions by (merchant, what their platform calls them)."""
    return [Redemption(*row) for row in (yield from ask(_BY_PLATFORM, sorted(set(names))))]


def taken(merchant_id: int, reward: str) -> Steps[int]:
    """Count how often a reward was had by all customers, net of what came back."""
    return int((yield from ask(_TAKEN, (merchant_id, reward)))[0][0])


def terms_of(reward: Reward) -> str:
    """Write a reward down as it is now."""
    return json.dumps(reward.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
