"""Tables of earning: who is to be looked at when, what was given for which occasion, and which terms were applied."""

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import Column, Index, Table, Text, text

from handlers.customers.rounds import marks
from handlers.earning.rules import Birthday, Given
from integration.database.schema import Instant, Number, metadata
from integration.database.steps import BIG, TEXT, Steps, ask, insert, keyed, plain

# Whoever may have reached an occasion: since when they have an account, and when to look.
earners = Table(
    "earners",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("customer", Number, primary_key=True, autoincrement=False),
    Column("joined_at", Instant),  # null = not that we know
    Column("due_at", Instant),  # null = nothing comes by itself
)
_TO_LOOK = text("due_at IS NOT NULL")
Index(
    "ix_earners_due",
    earners.c.merchant_id,
    earners.c.due_at,
    earners.c.customer,
    sqlite_where=_TO_LOOK,
    postgresql_where=_TO_LOOK,
)

# What was given for each occasion, net of what was taken back; one row an occasion is what makes it once.
occasions = Table(
    "occasions",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("customer", Number, primary_key=True, autoincrement=False),  # the number it was given under
    Column("occasion", Text, primary_key=True),  # sign_up, order:1, milestone:5, birthday:2026-03-01, …
    Column("at", Instant, nullable=False),  # of the occasion
    Column("version", Number, nullable=False),  # of the programme it was given under
    Column("pending", Number, nullable=False),  # micropoints
    Column("available", Number, nullable=False),  # micropoints
    Column("postings", Number, nullable=False),
)

# How far everybody has been looked at under the newest programme.
earning_marks = Table(
    "earning_marks",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("version", Number, nullable=False),
    Column("after_customer", Number),  # null = everybody was
)
MARKS = marks(earning_marks.name)

Key = tuple[int, int]
"""(Merchant, customer)."""

_KEY = {"merchant_id": BIG, "customer": BIG}
_STIR = insert(
    "earners", "ON CONFLICT (merchant_id, customer) DO UPDATE SET due_at = excluded.due_at", **_KEY, due_at=BIG
)
# Told twice, the earlier instant is the one at which the account was opened.
_JOIN = insert(
    "earners",
    "ON CONFLICT (merchant_id, customer) DO UPDATE SET due_at = excluded.due_at, joined_at ="
    " CASE WHEN earners.joined_at <= excluded.joined_at THEN earners.joined_at ELSE excluded.joined_at END",
    **_KEY,
    joined_at=BIG,
    due_at=BIG,
)
_JOINED = keyed(
    "SELECT e.merchant_id, e.customer, e.joined_at FROM {keys} k CROSS JOIN earners e"
    " WHERE e.merchant_id = k.merchant_id AND e.customer = k.customer AND e.joined_at IS NOT NULL",
    **_KEY,
)
_DONE = keyed(
    "UPDATE earners SET due_at = NULL FROM {keys} k"
    " WHERE earners.merchant_id = k.merchant_id AND earners.customer = k.customer",
    **_KEY,
)
_IDLE = keyed(
    "DELETE FROM earners WHERE due_at IS NULL AND joined_at IS NULL AND (merchant_id, customer) IN"
    " (SELECT k.merchant_id, k.customer FROM {keys} k)",
    **_KEY,
)
_SEEN_BIRTHDAYS = keyed(
    "UPDATE customers SET birthday_due_at = NULL FROM {keys} k WHERE customers.merchant_id = k.merchant_id"
    " AND customers.number = k.customer AND customers.birthday_due_at IS NOT NULL",
    **_KEY,
)
_GIVEN = keyed(
    "SELECT o.merchant_id, o.customer, o.occasion, o.at, o.version, o.pending, o.available, o.postings"
    " FROM {keys} k CROSS JOIN occasions o WHERE o.merchant_id = k.merchant_id AND o.customer = k.customer",
    **_KEY,
)
_GIVE = insert(
    "occasions",
    "ON CONFLICT (merchant_id, customer, occasion) DO UPDATE SET at = excluded.at, version = excluded.version,"
    " pending = excluded.pending, available = excluded.available, postings = excluded.postings",
    **_KEY,
    occasion=TEXT,
    at=BIG,
    version=BIG,
    pending=BIG,
    available=BIG,
    postings=BIG,
)
_PAGE = plain(
    "SELECT o.customer, o.occasion, o.at, o.version, o.pending, o.available, o.postings FROM occasions o"
    " WHERE o.merchant_id = ?1 AND (o.customer, o.occasion) > (?2, ?3) ORDER BY o.customer, o.occasion LIMIT ?4"
)
_LIVES = keyed(
    "SELECT c.merchant_id, c.number, c.country, c.region, c.birthday, c.birthday_at"
    " FROM {keys} k CROSS JOIN customers c WHERE c.merchant_id = k.merchant_id AND c.number = k.customer",
    **_KEY,
)


def stir(people: Iterable[Key], now: int) -> Steps[None]:
    """Have people looked at by the clock at once."""
    yield from ask(_STIR, [(*who, now) for who in sorted(set(people))])


def join(who: Key, joined_at: int, now: int) -> Steps[None]:
    """Note when somebody opened an account; told again, the earliest instant stays."""
    yield from ask(_JOIN, [(*who, joined_at, now)])


def joined(numbers: Iterable[Key]) -> Steps[dict[Key, int]]:
    """Say when customers opened an account; those of whom we do not know that they did are left out."""
    return {(row[0], row[1]): row[2] for row in (yield from ask(_JOINED, sorted(numbers)))}


def looked(numbers: Iterable[Key], next_at: dict[Key, int]) -> Steps[None]:
    """Note that people were looked at, under all their numbers, and when to look again."""
    keys = sorted(set(numbers))
    yield from ask(_DONE, keys)
    yield from ask(_SEEN_BIRTHDAYS, keys)
    yield from ask(_STIR, [(*who, at) for who, at in sorted(next_at.items())])
    yield from ask(_IDLE, keys)


def given(numbers: Iterable[Key]) -> Steps[dict[Key, list[Given]]]:
    """List what customers were given for occasions, by the number it was given under."""
    found: dict[Key, list[Given]] = {}
    for merchant_id, *row in (yield from ask(_GIVEN, sorted(numbers))):
        found.setdefault((merchant_id, row[0]), []).append(Given(*row))
    return found


def give(merchant_id: int, rows: Iterable[Given]) -> Steps[None]:
    """Write what was given for occasions; the merchant's books must be locked."""
    yield from ask(_GIVE, [(merchant_id, *row) for row in sorted(rows)])


def page(merchant_id: int, after: tuple[int, str], limit: int) -> Steps[list[Given]]:
    """One page of everything a merchant gave for occasions, by customer and occasion."""
    return [Given(*row) for row in (yield from ask(_PAGE, (merchant_id, *after, limit)))]


class Life(NamedTuple):
    """Where a customer lives, and when they were born, as far as they told."""

    country: str | None
    region: str | None
    birthday: Birthday | None


def lives(numbers: Iterable[Key]) -> Steps[dict[Key, Life]]:
    """Look up where customers live and their birthdays."""
    found = {}
    for merchant_id, number, country, region, day, told_at in (yield from ask(_LIVES, sorted(numbers))):
        birthday = Birthday(int(day[:2]), int(day[3:]), told_at) if day and told_at is not None else None
        found[merchant_id, number] = Life(country, region, birthday)
    return found
