"""The table of reviews, and what becomes of a review link: stored once, or the question is put off."""

import json
from collections.abc import Sequence
from typing import Literal, NamedTuple

from sqlalchemy import CheckConstraint, Column, Index, Integer, Table, Text

from handlers.merchants.books import shops
from handlers.merchants.rules import Shop
from handlers.messages.kinds import MOST_JOINED, Bought, bought
from handlers.messages.outbox import Next, follow
from handlers.messages.people import Person, load
from handlers.reviews.rules import (
    ASKED_ABOUT,
    LINK_LIFE,
    MOST_POSTPONED,
    POSTPONED_BY,
    REMINDER,
    REQUEST,
    products,
    reminder_key,
)
from integration.clock import DAY
from integration.database.schema import Instant, Number, metadata
from integration.database.steps import BIG, TEXT, Sql, Steps, ask, insert, keyed, plain
from integration.facts import OrderLine

reviews = Table(
    "reviews",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("sale", Number, primary_key=True, autoincrement=False),
    Column("line", Text, primary_key=True),  # the order line's id; "" = the purchase as a whole
    Column("customer", Number),
    Column("product_id", Text),
    Column("product_title", Text, nullable=False, server_default=""),
    Column("stars", Integer, nullable=False),
    Column("words", Text, nullable=False, server_default=""),
    Column("name", Text),  # as it would be shown
    Column("locale", Text),
    Column("written_at", Instant, nullable=False),
    Column("published_at", Instant),  # null until the shop shows it
    CheckConstraint("stars BETWEEN 1 AND 5", name="stars"),
)
Index("ix_reviews_customer", reviews.c.customer, reviews.c.merchant_id)
Index("ix_reviews_written", reviews.c.merchant_id, reviews.c.written_at)
Index("ix_reviews_product", reviews.c.product_id, reviews.c.merchant_id)

_SALE = plain("SELECT merged_into, customer, absorbed FROM sales WHERE merchant_id = ?1 AND number = ?2")
# Two answers at once take turns here.
_LOCK = plain(_SALE.sqlite, postgres=f"{_SALE.sqlite} FOR UPDATE")
_WRITTEN = keyed(
    f"SELECT count(*) FROM {{keys}} k CROSS JOIN {reviews.name} r"
    " WHERE r.merchant_id = k.merchant_id AND r.sale = k.number",
    merchant_id=BIG,
    number=BIG,
)
_WRITE = insert(
    "reviews",
    merchant_id=BIG,
    sale=BIG,
    line=TEXT,
    customer=BIG,
    product_id=TEXT,
    product_title=TEXT,
    stars=BIG,
    words=TEXT,
    name=TEXT,
    locale=TEXT,
    written_at=BIG,
)
_STOP = keyed(
    "UPDATE messages SET state = 'cancelled', closed_at = k.at, reason = k.why FROM {keys} k"
    " WHERE messages.merchant_id = k.merchant_id AND messages.sale = k.number"
    " AND kind IN ('review_request', 'review_reminder') AND state IN ('scheduled', 'waiting')",
    merchant_id=BIG,
    number=BIG,
    at=BIG,
    why=TEXT,
)
_MESSAGES = keyed(
    "SELECT m.kind, m.key, m.state, m.details, m.test FROM {keys} k CROSS JOIN messages m"
    " WHERE m.merchant_id = k.merchant_id AND m.sale = k.number AND m.kind IN ('review_request', 'review_reminder')",
    merchant_id=BIG,
    number=BIG,
)
_MOVE = plain(
    "UPDATE messages SET state = 'scheduled', reason = NULL, due_at = ?3, next_attempt_at = ?3"
    " WHERE merchant_id = ?1 AND key = ?2 AND state IN ('scheduled', 'waiting')"
)


_RECEIVED = plain("SELECT count(*) FROM reviews WHERE merchant_id = ?1 AND written_at >= ?2 AND written_at < ?3")


class Link(NamedTuple):
    """What a review link names: a sale, and the day it was made."""

    merchant_id: int
    sale: int
    day: int

    def holds(self, now: int) -> bool:
        """Tell whether the link is young enough."""
        return now - self.day * DAY <= LINK_LIFE + DAY


class Asked(NamedTuple):
    """All the form shows."""

    shop: Shop
    sale: Bought
    person: Person | None
    lines: Sequence[OrderLine]
    answered: bool


class _One(NamedTuple):
    """A sale as it is by now: the number it goes under, whose it is, and every number that is part of it."""

    merchant_id: int
    number: int
    customer: int | None
    numbers: tuple[int, ...]

    @property
    def keys(self) -> list[tuple[int, int]]:
        return [(self.merchant_id, number) for number in self.numbers]


class Answer(NamedTuple):
    """One product's stars and words."""

    line: OrderLine
    stars: int
    words: str


def asked(link: Link, now: int) -> Steps[Asked | None]:
    """Load what a link asks about; None where it asks about nothing (any more)."""
    if not link.holds(now):
        return None
    known = yield from shops([link.merchant_id])
    sale = yield from bought(link.merchant_id, link.sale)
    if sale is None or sale.facts.order is None or sale.facts.forgotten or link.merchant_id not in known:
        return None
    shop = known[link.merchant_id]
    version = shop.version_at(now)
    returned_too = version is None or version.program.reviews.ask_about_returns
    lines = list(products(sale.facts.order, sale.facts, returned_too))[:ASKED_ABOUT]
    one = yield from _one(link.merchant_id, sale.number, _SALE)
    key = (link.merchant_id, (one.customer if one is not None else None) or 0)
    people = yield from load([key], now)
    written = yield from answered(link.merchant_id, sale.number)
    if not lines and not written:
        return None
    return Asked(shop, sale, people.get(key), lines, written)


def answered(merchant_id: int, number: int) -> Steps[bool]:
    """Tell whether a sale was answered, under its own number or that of a sale that is part of it by now."""
    one = yield from _one(merchant_id, number, _SALE)
    return one is not None and (yield from _is_answered(one))


def _one(merchant_id: int, number: int, sql: Sql) -> Steps[_One | None]:
    """Follow a sale to the one it was joined into."""
    for _ in range(MOST_JOINED):
        rows = yield from ask(sql, (merchant_id, number))
        if not rows:
            return None
        merged_into, customer, absorbed = rows[0]
        if merged_into is None:
            return _One(merchant_id, number, customer, (number, *json.loads(absorbed)))
        number = merged_into
    return None


def _is_answered(one: _One) -> Steps[bool]:
    rows = yield from ask(_WRITTEN, one.keys)
    return bool(rows[0][0])


def write(page: Asked, answers: Sequence[Answer], name: str, locale: str, now: int) -> Steps[bool]:
    """Store the reviews of an order, unpublished, and ask no more; False = it was answered before."""
    one = yield from _one(page.shop.id, page.sale.number, _LOCK)
    if one is None or (yield from _is_answered(one)):
        return False
    yield from ask(
        _WRITE,
        [
            (
                one.merchant_id,
                one.number,
                answer.line.id,
                one.customer,
                answer.line.product_id,
                answer.line.title,
                answer.stars,
                answer.words,
                name or None,
                locale,
                now,
            )
            for answer in answers
        ],
    )
    yield from ask(_STOP, [(*key, now, "it was answered") for key in one.keys])
    return True


def put_off(page: Asked, now: int) -> Steps[Literal["postponed", "enough", "answered"]]:
    """Ask again in a week, at most a few times; pressing the button twice is once."""
    one = yield from _one(page.shop.id, page.sale.number, _LOCK)
    if one is None or (yield from _is_answered(one)):
        return "answered"
    messages = yield from ask(_MESSAGES, one.keys)
    reminders = {reminder_key(number) for number in one.numbers}
    again = {key: state for kind, key, state, *_ in messages if kind == REMINDER and key not in reminders}
    waiting = [key for key, state in again.items() if state in ("scheduled", "waiting")]
    if waiting:
        yield from ask(_MOVE, (one.merchant_id, waiting[0], now + POSTPONED_BY))
        return "postponed"
    yield from ask(_STOP, [(*key, now, "it has not arrived yet") for key in one.keys])
    if len(again) >= MOST_POSTPONED:
        return "enough"
    found = [(details, test) for kind, _, _, details, test in messages if kind == REQUEST]
    details, test = found[0] if found else ("{}", 0)
    then = Next(reminder_key(one.number, len(again) + 1), REMINDER, now + POSTPONED_BY, details)
    yield from follow(one.merchant_id, one.number, one.customer, bool(test), then, now)
    return "postponed"


def received(merchant_id: int, since: int, until: int, /) -> Steps[int]:
    """Count the reviews a merchant got between two instants, the first included."""
    rows = yield from ask(_RECEIVED, (merchant_id, since, until))
    return int(rows[0][0])
