"""The table of reviews, and what becomes of a review link: stored once, or the question is put off."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from sqlalchemy import CheckConstraint, Column, Index, Integer, Table, Text

from handlers.merchants.books import shops
from handlers.merchants.rules import Shop
from handlers.messages.kinds import Bought, bought
from handlers.messages.outbox import Next, follow
from handlers.messages.people import Person, load
from handlers.reviews.rules import (
    ASKED_ABOUT,
    LINK_LIFE,
    MOST_POSTPONED,
    POSTPONED_BY,
    REMINDER,
    products,
    reminder_key,
)
from integration.clock import DAY
from integration.database.schema import Instant, Number, metadata
from integration.database.steps import BIG, TEXT, Steps, ask, insert, plain
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
Index("ix_reviews_product", reviews.c.product_id, reviews.c.merchant_id)

# Two answers at once take turns here.
_LOCK = plain(
    "SELECT customer FROM sales WHERE merchant_id = ?1 AND number = ?2",
    postgres="SELECT customer FROM sales WHERE merchant_id = ?1 AND number = ?2 FOR UPDATE",
)
_BUYER = plain("SELECT customer FROM sales WHERE merchant_id = ?1 AND number = ?2")
_WRITTEN = plain("SELECT count(*) FROM reviews WHERE merchant_id = ?1 AND sale = ?2")
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
_STOP = plain(
    "UPDATE messages SET state = 'cancelled', closed_at = ?3, reason = ?4"
    " WHERE merchant_id = ?1 AND sale = ?2 AND kind IN ('review_request', 'review_reminder')"
    " AND state IN ('scheduled', 'waiting')"
)
_REMINDERS = plain("SELECT key, state FROM messages WHERE merchant_id = ?1 AND sale = ?2 AND kind = 'review_reminder'")
_MOVE = plain(
    "UPDATE messages SET state = 'scheduled', reason = NULL, due_at = ?3, next_attempt_at = ?3"
    " WHERE merchant_id = ?1 AND key = ?2 AND state IN ('scheduled', 'waiting')"
)
_DETAILS = plain("SELECT details, test FROM messages WHERE merchant_id = ?1 AND sale = ?2 AND kind = 'review_request'")


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
    if sale is None or sale.facts.order is None or link.merchant_id not in known:
        return None
    shop = known[link.merchant_id]
    version = shop.version_at(now)
    returned_too = version is None or version.program.reviews.ask_about_returns
    lines = list(products(sale.facts.order, sale.facts, returned_too))[:ASKED_ABOUT]
    rows = yield from ask(_BUYER, (link.merchant_id, sale.number))
    key = (link.merchant_id, rows[0][0] or 0)
    people = yield from load([key], now)
    written = yield from ask(_WRITTEN, (link.merchant_id, sale.number))
    if not lines and not written[0][0]:
        return None
    return Asked(shop, sale, people.get(key), lines, bool(written[0][0]))


def write(page: Asked, answers: Sequence[Answer], name: str, locale: str, now: int) -> Steps[bool]:
    """Store the reviews of an order, unpublished, and ask no more; False = it was answered before."""
    merchant_id, number = page.shop.id, page.sale.number
    rows = yield from ask(_LOCK, (merchant_id, number))
    written = yield from ask(_WRITTEN, (merchant_id, number))
    if not rows or written[0][0]:
        return False
    yield from ask(
        _WRITE,
        [
            (
                merchant_id,
                number,
                answer.line.id,
                rows[0][0],
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
    yield from ask(_STOP, (merchant_id, number, now, "it was answered"))
    return True


def put_off(page: Asked, now: int) -> Steps[Literal["postponed", "enough", "answered"]]:
    """Ask again in a week, at most a few times; pressing the button twice is once."""
    merchant_id, number = page.shop.id, page.sale.number
    rows = yield from ask(_LOCK, (merchant_id, number))
    written = yield from ask(_WRITTEN, (merchant_id, number))
    if not rows or written[0][0]:
        return "answered"
    reminders = yield from ask(_REMINDERS, (merchant_id, number))
    again = {key: state for key, state in reminders if key != reminder_key(number)}
    waiting = [key for key, state in again.items() if state in ("scheduled", "waiting")]
    if waiting:
        yield from ask(_MOVE, (merchant_id, waiting[0], now + POSTPONED_BY))
        return "postponed"
    yield from ask(_STOP, (merchant_id, number, now, "it has not arrived yet"))
    if len(again) >= MOST_POSTPONED:
        return "enough"
    found = yield from ask(_DETAILS, (merchant_id, number))
    details, test = found[0] if found else ("{}", 0)
    then = Next(reminder_key(number, len(again) + 1), REMINDER, now + POSTPONED_BY, details)
    yield from follow(merchant_id, number, rows[0][0], bool(test), then, now)
    return "postponed"
