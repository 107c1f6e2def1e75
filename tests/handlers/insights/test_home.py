"""Home: figures that agree with the books whoever added them up, the set-up's state, and what needs somebody."""

from collections.abc import Callable
from pathlib import Path

import pytest

from config.wiring import COUNTS
from handlers.insights import store as insights
from handlers.insights.jobs import count
from handlers.insights.rules import DAYS, Figures, day_of, start_of, summed
from handlers.insights.store import days
from handlers.reconcile import store as reconcile
from integration.clock import DAY, HOUR, MINUTE
from integration.database.engine import Database
from integration.database.steps import Sql, ask
from tests.visits import MONDAY_NOON, NORA, OTTO, House

POINT = 1_000_000
PARIS = "Europe/Paris"


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
        "2 events from your shop could not be read",
        "1 event does not fit your shop",
        "1 order could not be settled",
        "1 purchase was told twice",
    ):
        assert words in page, words
    assert page.count('class="banner-title"') == 5


async def unsent(
    house: House, key: str, at: int, state: str = "waiting", attempts: int = 0, merchant: int = NORA
) -> None:
    """Write a message that did not go out: looked at next, or given up, at an instant."""
    await house.does(
        "INSERT INTO messages (merchant_id, key, kind, channel, state, due_at, next_attempt_at, attempts, closed_at,"
        " reason, created_at) VALUES (?1, ?2, 'thank_you', 'email', ?3, ?4, ?4, ?5, ?6, 'no such mailbox', 0)",
        merchant, key, state, at, attempts, at if state == "failed" else None,
    )  # fmt: skip


async def test_what_keeps_messages_back_is_said(house: House) -> None:
    """A mail server that refuses, a sender that stands still, mailboxes that are gone; each with where to look."""
    nora, now = await house.signed_in(NORA), house.clock.now()
    await unsent(house, "a", now + HOUR, attempts=4)  # put off, as a busy mailbox asks for
    await unsent(house, "b", now - MINUTE)
    await unsent(house, "c", now - 8 * DAY, "failed")  # long ago
    await unsent(house, "d", now - DAY, attempts=9, merchant=OTTO)
    await unsent(house, "e", now - DAY, "failed", merchant=OTTO)
    assert "What needs you" not in (await nora.get("/app")).text
    await unsent(house, "f", now - HOUR)
    assert "1 message is late" in (await nora.get("/app")).text
    await unsent(house, "g", now + 5 * HOUR, attempts=5)
    await unsent(house, "h", now - DAY, "failed")
    page = (await nora.get("/app")).text
    assert "1 message cannot be sent" in page and "is late" not in page, "one cause is told of once"
    assert "/app/messages/queue?state=waiting" in page
    assert "1 message could not be delivered in the last 7 days" in page and "/app/messages/undelivered" in page
    await house.does("UPDATE merchants SET messages_paused_at = ?1", now)
    page = (await nora.get("/app")).text
    assert "All messages are paused" in page and "/app/messages/resume" in page
    assert "cannot be sent" not in page and "Everything is running" not in page


async def test_what_keeps_orders_from_us_is_said(house: House) -> None:
    """Webhooks that went quiet, a key that ran out, a webhook somebody deleted in Stripe."""
    nora, now = await house.signed_in(NORA), house.clock.now()
    for merchant in (NORA, OTTO):
        await house.does(
            "INSERT INTO reconcile_marks (merchant_id, connection, next_at, state, quiet_since)"
            " VALUES (?1, ?2, 0, 'ok', ?3)",
            merchant, merchant, None if merchant == NORA else now - HOUR,
        )  # fmt: skip
    await house.does("UPDATE connections SET refresh_problem = 'away', token_expires_at = ?1", now + HOUR)
    await house.does(
        "INSERT INTO connections (id, merchant_id, platform, account, created_at, connected_at)"
        " VALUES (9, 1, 'stripe', 'path', 0, 0)"
    )
    await house.does(
        "INSERT INTO stripe_accounts (merchant_id, connection, account, livemode, name, key_hint, state, connected_at)"
        " VALUES (1, 9, 'acct_1', 1, 'Tea to go', 'a1b2', 'new', 0)"
    )
    assert "What needs you" not in (await nora.get("/app")).text, "a key that still holds, an account being set up"
    await house.does("UPDATE reconcile_marks SET quiet_since = ?1 WHERE merchant_id = 1", now - HOUR)
    await house.does("UPDATE connections SET token_expires_at = ?1", now)
    await house.does("UPDATE stripe_accounts SET state = 'missing', reason = 'somebody deleted the webhook'")
    page = (await nora.get("/app")).text
    assert "Orders no longer reach us by themselves" in page
    assert "Our access to Shopify has run out" in page
    assert "Stripe does not tell us of payments: Tea to go" in page and "Somebody deleted the webhook." in page
    assert "/app/connections#stripe-9" in page
    await house.does("UPDATE connections SET closed_at = 1 WHERE id = 1")
    assert "no longer reach us" not in (await nora.get("/app")).text


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        (insights._AMISS, "ix_events_amiss (merchant_id=?"),
        (insights._TWINS, "ix_sales_paired (merchant_id=?"),
        (insights._ENTRIES, "sqlite_autoindex_ledger_entries_1 (merchant_id=?"),
        (insights._SENT, "ix_messages_sent (merchant_id=? AND sent_at>? AND sent_at<?)"),
        (insights._DAYS, "sqlite_autoindex_daily_figures_1 (merchant_id=? AND day>? AND day<?)"),
        (insights._CONNECTIONS, "ix_connections_merchant_id (merchant_id=?)"),
        (insights._GIVEN_UP, "sqlite_autoindex_settlements_1 (merchant_id=?"),  # which holds what failed alone
        (reconcile._QUIET, "sqlite_autoindex_reconcile_marks_1 (merchant_id=?)"),
    ],
)
async def test_home_finds_its_rows_by_index(
    sqlite_database: Callable[[Path], str], data_dir: Path, statement: Sql, index: str
) -> None:
    """Nothing on the page is counted by walking through a shop's history."""
    sql = f"EXPLAIN QUERY PLAN {statement.sqlite}"
    wanted = max(n for n in range(1, 5) if f"?{n}" in sql)
    database = await Database.open(sqlite_database(data_dir), data_dir)
    try:
        rows = await database.read(lambda: ask(Sql(sql, sql, "plain", True), (1,) * wanted))
    finally:
        await database.close()
    assert index in (plan := " | ".join(str(row[3]) for row in rows)), plan
