"""What a shop's outstanding points come to, on its page and in its files, from a ledger with a history."""

import csv
import io
import re
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from handlers.liability import store
from handlers.liability.jobs import count
from handlers.merchants.books import lock_books, save_books
from handlers.points.posting import Posting, post
from handlers.points.rules import EXPIRED, ISSUED, MICRO
from handlers.points.statement import SPENT
from integration.clock import from_iso
from integration.database.engine import Database
from integration.database.steps import Steps
from tests.visits import NORA, OTTO, House, Visitor

MINE, WAITING = "customer:1:available", "customer:1:pending"
# Of each month: from, to, points, reason, sale.
HISTORY: dict[str, list[tuple[str, str, int, str, int | None]]] = {
    "2026-09-30T22:30:00Z": [(ISSUED, WAITING, 1_000, "earn", 1), (WAITING, MINE, 1_000, "release", 1)],
    "2026-10-20T10:00:00Z": [(MINE, ISSUED, 100, "refund", 1), (ISSUED, MINE, 50, "adjustment", None)],
    "2026-11-10T10:00:00Z": [
        (MINE, SPENT, 300, "redeemed", None),
        (MINE, EXPIRED, 40, "expiry", None),
        (ISSUED, "test:customer:1:pending", 9_999, "earn", 2),
    ],
}


class Desk:
    """Nora at her page, with a ledger of three months."""

    def __init__(self, house: House, nora: Visitor) -> None:
        self.house, self.nora = house, nora

    async def writes(self, merchant: int, history: dict[str, list[tuple[str, str, int, str, int | None]]]) -> None:
        """Post a history, month by month; test postings come from the test account."""
        for at, entries in history.items():
            now = from_iso(at)
            postings = [
                Posting(
                    merchant,
                    f"{at}:{place}",
                    f"test:{source}" if destination.startswith("test:") else source,
                    destination,
                    points * MICRO,
                    reason,
                    sale,
                )
                for place, (source, destination, points, reason, sale) in enumerate(entries)
            ]

            def steps(postings: list[Posting] = postings, now: int = now) -> Steps[None]:
                counters = yield from lock_books([merchant])
                yield from post(postings, counters, now)
                yield from save_books(counters.values())

            await self.house.database.run(steps)

    async def file(self, page: str, name: str) -> list[list[str]]:
        """Follow the page's link to a file; returns its rows."""
        answer = await self.nora.get(page)
        links = re.findall(r'href="(/app/liability/files/[^"]+)"', answer.text)
        fetched = [await self.nora.get(link) for link in links]
        found = next(one for one in fetched if f'filename="points-{name}.csv"' in one.headers["content-disposition"])
        assert found.text.startswith("\ufeff")
        return list(csv.reader(io.StringIO(found.text[1:])))

    async def kept(self) -> list[tuple[Any, ...]]:
        """What was added up aside."""
        async with self.house.context.engine.connect() as connection:
            return [tuple(row) for row in await connection.execute(text("SELECT * FROM ledger_months ORDER BY 1, 2"))]


@pytest.fixture
async def desk(database: Database) -> AsyncIterator[Desk]:
    """Nora's page over her three months."""
    house = await House(database).open()
    desk = Desk(house, await house.signed_in(NORA))
    await desk.writes(NORA, HISTORY)
    yield desk


async def test_an_empty_shop_is_told_what_will_stand_here(database: Database) -> None:
    """And nothing is worth anything yet."""
    house = await House(database).open()
    answer = await (await house.signed_in(NORA)).get("/app/liability")
    assert answer.status_code == 200
    assert "Nothing is outstanding yet" in answer.text


async def test_each_month_rolls_forward_by_the_shops_calendar(desk: Desk) -> None:
    """Half past midnight in Paris on the first of October is October; tests count for nothing."""
    rows = await desk.file("/app/liability?value=0.01", "months")
    assert [row[:8] for row in rows[1:]] == [
        ["2026-10", "0", "1000", "-100", "50", "0", "0", "950"],
        ["2026-11", "950", "0", "0", "0", "-300", "-40", "610"],
    ]
    page = (await desk.nora.get("/app/liability?value=0.01")).text
    assert "the same number of points as the balances" in page and "610" in page


async def test_what_is_counted_aside_is_what_is_counted_at_once(desk: Desk) -> None:
    """The job adds up every entry once, whoever runs it and however often; new entries are shown at once."""
    before = await desk.file("/app/liability?value=0.01", "months")
    assert await count(desk.house.context) == 7
    assert await count(desk.house.context) == 0
    assert await desk.file("/app/liability?value=0.01", "months") == before
    assert len(await desk.kept()) == 2
    await desk.writes(NORA, {"2026-11-20T10:00:00Z": [(ISSUED, WAITING, 90, "earn", 3)]})
    assert (await desk.file("/app/liability?value=0.01", "months"))[-1][7] == "700"


async def test_entries_are_added_up_in_parts_that_can_be_cut_off(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of the ledger is one transaction; until all are added up, the page says so."""
    monkeypatch.setattr(store, "MOST_ENTRIES", 3)
    page = (await desk.nora.get("/app/liability?value=0.01")).text
    assert "Still adding up" in page and "The sums differ" not in page
    assert await count(desk.house.context) == 7
    page = (await desk.nora.get("/app/liability?value=0.01")).text
    assert "the same number of points as the balances" in page


async def test_a_balance_that_is_not_its_entries_is_told(desk: Desk) -> None:
    """Nobody books figures that do not tie."""
    await desk.house.does("UPDATE accounts SET micropoints = micropoints - 5000000 WHERE account = 'program:issued'")
    assert "The sums differ" in (await desk.nora.get("/app/liability?value=0.01")).text


async def test_journal_lines_balance_and_tie_to_the_liability(desk: Desk) -> None:
    """Debits are credits in every month, and the liability's lines come to what is deferred at the end."""
    months = await desk.file("/app/liability?value=0.01", "months")
    heading, *lines = await desk.file("/app/liability?value=0.01", "journal")
    assert heading == ["date", "account", "description", "points", "debit", "credit", "currency"]
    assert {row[0] for row in lines} == {"2026-10-31", "2026-11-30"}
    debits = sum(Decimal(row[4] or 0) for row in lines)
    credits = sum(Decimal(row[5] or 0) for row in lines)
    assert debits == credits > 0
    owed = sum(Decimal(row[5] or 0) - Decimal(row[4] or 0) for row in lines if row[1].startswith("Loyalty"))
    assert owed == Decimal(months[-1][8])


async def test_without_rewards_of_fixed_value_the_page_asks_what_a_point_buys(desk: Desk) -> None:
    """And takes it from the rewards where there are such."""
    page = (await desk.nora.get("/app/liability")).text
    assert "What does a point buy?" in page and "Journal lines" not in page


@pytest.mark.parametrize(
    "query",
    ["value=much", "value=-1", "value=", "value=NaN", "value=1e999999", "value=0.01&breakage=101", "value=1&cost=x"],
)
async def test_a_number_that_cannot_be_is_told_beside_its_field(desk: Desk, query: str) -> None:
    """What was typed stays; nothing is worked out from it."""
    answer = await desk.nora.get(f"/app/liability?{query}")
    assert answer.status_code == 422
    assert 'aria-invalid="true"' in answer.text and "Journal lines" not in answer.text


async def test_a_file_is_of_the_shop_whose_page_made_its_link(desk: Desk) -> None:
    """Otto's books are not in Nora's file, and a link is nobody's once it was changed."""
    await desk.writes(OTTO, {"2026-11-10T10:00:00Z": [(ISSUED, WAITING, 77_777, "earn", 1)]})
    rows = await desk.file("/app/liability?value=0.01", "months")
    assert "77777" not in str(rows)
    page = (await desk.nora.get("/app/liability?value=0.01")).text
    link = re.findall(r'href="(/app/liability/files/[^"]+)"', page)[0]
    assert (await desk.nora.get(link[:-2] + "xx")).status_code == 404
    looks = await desk.house.rows("SELECT what FROM looks WHERE merchant_id = ?1", NORA)
    assert ("file: points month by month",) in looks
