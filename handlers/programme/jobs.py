"""Working out forecasts: a shop's own sales, read page by page and counted under programmes that might be."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from handlers.context import Context
from handlers.ladder import NOBODY
from handlers.merchants.books import shops
from handlers.merchants.rules import Program, Shop
from handlers.points.forecast import Counting, Forecast
from handlers.points.standing import seen
from handlers.programme import store
from handlers.programme.store import Asked, Moved, Question
from handlers.sales.books import LoadedSale, Sold, count_sold, load_sales, sold_between
from handlers.sales.goods import with_stays_of
from integration.database.steps import Steps

JOB = "programme.forecast"
PAGE = 250  # sales read and counted in one go
EARLIER_PAGE = 2_000  # sales before the time asked for, of which only the place of those that follow is needed
PEOPLE = 100  # placed in one go
MOST_PEOPLE = 1_000_000  # placed for one question
FEW_PEOPLE = 200  # so few are placed while the page is made
MOST_SALES = 1_000_000  # looked at for one forecast
AT_ONCE = 300  # so few are counted while the page is made
TOLD_EVERY = 1.0  # seconds between two words on progress
REST = 0.2  # of the time a page of sales took is left to others behind it

Tell = Callable[[int, int], Awaitable[None]]


class TooMany(Exception):
    """There are more sales, or people, than a forecast looks at; says so."""


class _Unwanted(Exception):
    """Nobody waits for the forecast any more, or another process works it out."""


async def forecast(context: Context, merchant_id: int, digest: str) -> None:
    """Work out a forecast that was asked for; nothing where it has its answer already."""
    asked = await context.database.read(lambda: store.read_forecast(merchant_id, digest))
    if asked is not None and asked.answered_at is None:
        await work_out(context, merchant_id, asked)


async def ask_for(context: Context, merchant_id: int, digest: str, question: Question) -> Asked | None:
    """Have a forecast worked out: at once where there are few sales, else by a job; returns it as it stands.

    None where too many of the merchant's are under way.
    """
    now = context.clock.now()
    asked, is_new = await context.database.run(lambda: store.ask_for(merchant_id, digest, question, now))
    if asked is None or not is_new:
        return asked
    few = await context.database.read(
        lambda: sold_between(merchant_id, (question.since, 0), question.until, AT_ONCE + 1)
    )
    if question.what == "tiers":
        people = await context.database.read(lambda: store.count_people(merchant_id, FEW_PEOPLE + 1))
        if people <= FEW_PEOPLE and len(few) <= AT_ONCE:
            await work_out(context, merchant_id, asked)
            return await context.database.read(lambda: store.read_forecast(merchant_id, digest))
    # Whose third or tenth purchase one is takes a look at all that came before.
    known = await context.database.read(lambda: count_sold(merchant_id, 0, question.until, EARLIER_PAGE + 1))
    if question.what == "sales" and len(few) <= AT_ONCE and known <= EARLIER_PAGE:
        await work_out(context, merchant_id, asked)
        return await context.database.read(lambda: store.read_forecast(merchant_id, digest))
    await context.queue.enqueue(JOB, merchant_id, digest, job_id=f"{JOB}:{merchant_id}:{digest}:{asked.asked_at}")
    return asked


async def work_out(context: Context, merchant_id: int, asked: Asked) -> None:
    """Count, and keep the answer or why there is none; a word on progress now and then."""

    async def tell(done: int, due: int) -> None:
        now = context.clock.now()
        if not await context.database.run(lambda: store.advance(merchant_id, asked, done, due, now)):
            raise _Unwanted

    found: tuple[Forecast, ...] | Moved | None = None
    failure, done = None, 0
    try:
        if asked.question.what == "tiers":
            found = moved = await count_moves(context, merchant_id, asked.question, tell)
            done = sum(many for _, _, many in moved.moves)
        else:
            found = counted = await count(context, merchant_id, asked.question, tell)
            done = sum(counted[0].nothing.values()) + counted[0].earning
    except TooMany as failed:
        failure = str(failed)
    except _Unwanted:
        return
    now = context.clock.now()
    await context.database.run(lambda: store.answer(merchant_id, asked, found, failure, done, now))


async def count(context: Context, merchant_id: int, question: Question, tell: Tell) -> tuple[Forecast, ...]:
    """Count a merchant's sales under each programme of a question. Raises TooMany."""
    read = context.database.read
    shop = (await read(lambda: shops([merchant_id])))[merchant_id]
    now = context.clock.now()
    countings = [
        Counting(shop, Program.model_validate_json(document), context.aims, now) for document in question.programs
    ]
    due = await read(lambda: count_sold(merchant_id, question.since, question.until, MOST_SALES + 1))
    if due > MOST_SALES:
        raise TooMany(f"There are more than {MOST_SALES} sales in this time.")
    places = await _places_before(context, merchant_id, question.since)
    after, done, told_at = (question.since, 0), 0, time.monotonic()
    while True:
        began = time.monotonic()
        page = await read(lambda after=after: _page(countings, after, question.until))  # type: ignore[misc]
        sold = page.sold
        if not sold:
            break
        # Beside the event loop: whoever asks for something meanwhile need not wait for the whole page.
        await asyncio.to_thread(_counted, countings, page, places)
        after, done = (sold[-1].sold_at, sold[-1].number), done + len(sold)
        if time.monotonic() - told_at > TOLD_EVERY:
            await tell(done, due)
            told_at = time.monotonic()
        await asyncio.sleep((time.monotonic() - began) * REST)
    return tuple(counting.result() for counting in countings)


async def count_moves(context: Context, merchant_id: int, question: Question, tell: Tell) -> Moved:
    """Count who would have which tier under the programme of a question, page by page. Raises TooMany."""
    assert context.ladder is not None
    ladder, tiers = context.ladder, Program.model_validate_json(question.programs[0]).tiers
    due = await context.database.read(lambda: store.count_people(merchant_id, MOST_PEOPLE + 1))
    if due > MOST_PEOPLE:
        raise TooMany(f"There are more than {MOST_PEOPLE} customers.")
    found = NOBODY
    after: int | None = 0
    told_at = time.monotonic()
    while after is not None:
        began = time.monotonic()
        page, after = await context.database.read(
            lambda a=after: ladder.moves(merchant_id, tiers, a, PEOPLE, question.until)  # type: ignore[misc]
        )
        found = found.plus(page)
        if time.monotonic() - told_at > TOLD_EVERY:
            await tell(found.moves.total(), due)
            told_at = time.monotonic()
        await asyncio.sleep((time.monotonic() - began) * REST)
    moves = tuple((before, then, many) for (before, then), many in found.moves.items())
    return Moved(moves, *(tuple(sorted(each.items())) for each in (found.given, found.tagged, found.untagged)))


class _Page(NamedTuple):
    """Some sales, and the shop of each count as it is where these were made."""

    sold: list[Sold]
    loaded: list[LoadedSale]
    shops: list[Shop]


def _page(countings: Sequence[Counting], after: tuple[int, int], until: int) -> Steps[_Page]:
    merchant_id = countings[0].shop.id
    sold = yield from sold_between(merchant_id, after, until, PAGE)
    loaded = yield from load_sales((merchant_id, one.number) for one in sold)
    knowing: list[Shop] = []
    for counting in countings:
        knowing += [(yield from with_stays_of(counting.shop, loaded))]
    return _Page(sold, loaded, knowing)


def _counted(countings: Sequence[Counting], page: _Page, places: dict[int, int]) -> None:
    by_number = {one.number: one for one in page.loaded}
    for row in page.sold:
        place = _next_place(row, places)
        one = by_number.get(row.number)
        if one is not None and one.merged_into is None:
            for counting, shop in zip(countings, page.shops, strict=True):
                counting.add(seen(shop, one), place)


async def _places_before(context: Context, merchant_id: int, since: int) -> dict[int, int]:
    """Return how many sales that count each person had before an instant."""
    places: dict[int, int] = {}
    after = (0, 0)
    while True:
        page = await context.database.read(
            lambda after=after: sold_between(merchant_id, after, since, EARLIER_PAGE)  # type: ignore[misc]
        )
        if not page:
            return places
        for row in page:
            _next_place(row, places)
        after = (page[-1].sold_at, page[-1].number)
        await asyncio.sleep(0)


def _next_place(row: Sold, places: dict[int, int]) -> int | None:
    """Return a sale's place among those of its person that count; None where it has none."""
    if row.customer is None or row.standing != "counted" or row.test:
        return None
    places[row.customer] = places.get(row.customer, 0) + 1
    return places[row.customer]
