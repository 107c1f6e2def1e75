"""Home: figures that agree with the books whoever added them up, the set-up's state, and what needs somebody."""

from typing import Any

import pytest

from config.wiring import COUNTS
from handlers.insights.jobs import count
from handlers.insights.rules import DAYS, Figures, day_of, start_of, summed
from handlers.insights.store import days
from integration.clock import DAY, HOUR, MINUTE
from tests.visits import MONDAY_NOON, NORA, OTTO, House

POINT = 1_000_000
PARIS = "Europe/Paris"


@pytest.fixture
async def house(database: Any) -> House:
    """Nora's and Otto's shops on each engine."""
    return await House(database).open()


class Life:
    """What happened in a shop, written straight into the tables."""

    def __init__(self, house: House, merchant: int = NORA) -> None:
        self.house, self.merchant, self.number = house, merchant, 0

    async def entry(self, at: int, source: str, destination: str, points: int) -> None:
        """Write a ledger entry, numbered as the books do."""
        self.number += 1
        await self.house.does(
            "INSERT INTO ledger_entries (merchant_id, number, key, source, destination, micropoints, reason, at)"
            " VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'test', ?7)",
            self.merchant, self.number, f"k{self.number}", source, destination, points * POINT, at,
        )  # fmt: skip
        await self.house.does("UPDATE books SET next_entry = ?2 WHERE merchant_id = ?1", self.merchant, self.number + 1)

    async def sale(self, number: int, at: int, customer: int, standing: str = "counted", test: int = 0) -> None:
        """Write a sale of a customer."""
        await self.house.does(
            "INSERT INTO sales (merchant_id, number, facts, revision, customer, sold_at, standing, test, created_at)"
            " VALUES (?1, ?2, '{}', 1, ?3, ?4, ?5, ?6, ?4)",
            self.merchant, number, customer, at, standing, test,
        )  # fmt: skip

    async def letter(self, key: str, kind: str, at: int, test: int = 0) -> None:
        """Write a message that went out."""
        await self.house.does(
            "INSERT INTO messages (merchant_id, key, kind, channel, state, due_at, next_attempt_at, sent_at, test,"
            " created_at) VALUES (?1, ?2, ?3, 'email', 'sent', ?4, ?4, ?4, ?5, ?4)",
            self.merchant, key, kind, at, test,
        )  # fmt: skip


async def lived(house: House) -> None:
    """Four days of Nora's shop, and a day of Otto's that is none of hers."""
    nora, now = Life(house), MONDAY_NOON
    midnight = start_of(day_of(now, PARIS), PARIS)
    await nora.entry(now - 100 * DAY, "program:issued", "customer:1:available", 5)  # longer ago than is shown
    await nora.entry(now - 3 * DAY, "program:issued", "customer:1:pending", 100)
    await nora.entry(now - 3 * DAY, "customer:1:pending", "customer:1:available", 100)
    await nora.entry(now - 2 * DAY, "customer:1:available", "program:issued", 30)
    await nora.entry(midnight - MINUTE, "customer:1:available", "program:redeemed", 20)
    await nora.entry(midnight, "program:issued", "customer:2:pending", 7)
    await nora.entry(now, "test:program:issued", "test:customer:2:pending", 999)
    for number, (ago, customer) in enumerate([(100, 1), (3, 1), (3, 2), (1, 2), (0, 3)], start=1):
        await nora.sale(number, now - ago * DAY, customer)
    await nora.sale(8, now - DAY, 1, standing="cancelled")
    await nora.sale(9, now - DAY, 1, test=1)
    await nora.letter("a", "thank_you", now - 3 * DAY)
    await nora.letter("b", "thank_you", now - HOUR)
    await nora.letter("c", "review_request", now - HOUR)
    await nora.letter("d", "review_reminder", now - HOUR)
    await nora.letter("e", "thank_you", now - HOUR, test=1)
    await house.does(
        "INSERT INTO reviews (merchant_id, sale, line, stars, written_at)"
        " VALUES (1, 2, '1', 5, ?1), (1, 2, '2', 4, ?1)",
        now - 2 * DAY,
    )
    await house.does(
        "INSERT INTO reconciliations (merchant_id, connection, started_at, since_at, sales) VALUES (1, 1, ?1, 0, 3)",
        now - DAY,
    )
    otto = Life(house, OTTO)
    await otto.entry(now, "program:issued", "customer:1:pending", 1_000)
    await otto.sale(1, now, 1)


async def shown(house: House) -> list[Figures]:
    """The figures as the page reads them."""
    now = house.clock.now()
    found: list[Figures] = await house.database.read(lambda: days(NORA, PARIS, COUNTS, now))
    return found


async def test_figures_are_those_of_the_books_before_and_after_they_were_added_up(house: House) -> None:
    """The ledger's end is read as it stands; added up twice, nothing counts twice."""
    await lived(house)
    early = await shown(house)
    assert len(early) == DAYS and early[-1].notes == 1 and early[-1].issued == 7 * POINT
    for _ in range(2):
        await count(house.context)
        figures = await shown(house)
        assert summed(figures) == Figures(
            issued=107 * POINT, taken_back=30 * POINT, redeemed=20 * POINT, orders=4, repeats=2, notes=2, asked=1,
            reviews=2, recovered=3,
        )  # fmt: skip
        assert [figures[-1].issued, figures[-2].redeemed] == [7 * POINT, 20 * POINT], "a day is the shop's own"
        assert summed(figures)[:3] == summed(early)[:3]
    assert figures[-1] == early[-1]
    assert summed(figures).repeat_share == 0.5


async def test_a_day_that_is_over_is_counted_once_more_and_stays(house: House) -> None:
    """What was written late in a day is in it the next morning."""
    await lived(house)
    await count(house.context)
    await Life(house).letter("late", "thank_you", MONDAY_NOON + 11 * HOUR)
    house.clock.offset = 14 * HOUR
    await count(house.context)
    house.clock.offset = 30 * HOUR
    await count(house.context)
    figures = await shown(house)
    assert figures[-2].notes == 2 and figures[-1].notes == 0
    assert summed(figures).notes == 3


async def test_what_a_merchant_sees_follows_what_is_done(house: House) -> None:
    """A new shop is shown the next step; once something is on, the steps make room for what needs somebody."""
    nora = await house.signed_in(NORA)
    page = (await nora.get("/app")).text
    assert "Set up Regulars" in page and "No order has been counted yet" in page and "What needs you" not in page
    assert page.count(": done</span>") == 1, "connected, and no more"
    await house.does("UPDATE program_versions SET document = ?1", '{"thanks": {"enabled": true}}')
    await lived(house)
    page = (await nora.get("/app")).text
    assert "Set up Regulars" not in page and "Everything is running" in page and "On: thank-you notes." in page
    assert 'aria-label="Points of each day: 107 issued' in page


async def test_what_went_wrong_is_said_with_the_next_step(house: House) -> None:
    """Access that was revoked, messages nobody could read, orders left behind, purchases told twice."""
    nora = await house.signed_in(NORA)
    await house.does("UPDATE connections SET revoked_at = 1, revoked_why = 'gone' WHERE merchant_id = 1")
    for number, (failed_at, outcome) in enumerate([(1, None), (1, None), (None, "suspect"), (None, "waiting")]):
        for merchant in (NORA, OTTO):
            await house.does(
                "INSERT INTO events (source, connection, delivery_id, topic, merchant_id, received_at, next_attempt_at,"
                " failed_at, worked_at, outcome) VALUES ('shopify', 'x', ?1, 'orders/paid', ?2, 1, 1, ?3, ?4, ?5)",
                f"{merchant}-{number}", merchant, failed_at, None if failed_at else 1, outcome,
            )  # fmt: skip
    await house.does(
        "INSERT INTO settlements (merchant_id, sale, capability, revision, attempts, failure, failed_at)"
        " VALUES (1, 1, 'points', 1, 9, 'x', 1)"
    )
    await Life(house).sale(1, house.clock.now() - DAY, 1, standing="elsewhere")
    await house.does("UPDATE sales SET paired_with = 2")
    page = (await nora.get("/app")).text
    for words in (
        "Shopify does not let us in any more",
        "2 messages from your shop could not be read",
        "1 message does not fit your shop",
        "1 order could not be settled",
        "1 purchase was told twice",
    ):
        assert words in page, words
    assert page.count('class="banner-title"') == 5
