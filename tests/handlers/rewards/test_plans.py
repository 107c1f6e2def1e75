"""Every statement of rewards finds its rows by an index, however many there are."""

from collections.abc import Callable
from pathlib import Path

import pytest

from handlers.rewards import claims, feeds, store, views
from handlers.rewards.kinds import asking, spent
from integration.database.steps import Sql
from tests.plans import postgres_finds, sqlite_plan

ROWS = 30_000


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        (claims._DUE, "ix_redemptions_waiting (merchant_id=? AND next_at>? AND next_at<?)"),
        (claims._OF_MERCHANT, "ix_redemptions_waiting (merchant_id=? AND next_at>? AND next_at<?)"),
        (claims._LOOK, "ix_redemptions_claimed"),
        (claims._FREE, "ix_redemptions_claimed"),
        (claims._LAPSED, "ix_redemptions_lapse (expires_at>? AND expires_at<?)"),
        (store._PAGE_OF_STATE, "ix_redemptions_state (merchant_id=? AND state=? AND number<?)"),
        (store._UNUSED_AFTER, "ix_redemptions_state (merchant_id=? AND state=? AND number>?)"),
        (store._MONEY_AFTER, "ix_redemptions_money (merchant_id=? AND connection=? AND number>?)"),
        (spent._DUE, "ix_redemptions_money (merchant_id=? AND connection=?)"),
        (store._UNUSED_WITH, "ix_redemptions_platform (platform_id=? AND merchant_id=?)"),
        (feeds._CHANGED, "ix_discount_changes_next_at (next_at<?)"),
        (store._UNUSED_OF, "ix_redemptions_platform (platform_id=? AND merchant_id=?)"),
        (views._REFUSED, "ix_redemptions_state (merchant_id=? AND state=?)"),
        (views._WAITING, "ix_redemptions_state (merchant_id=? AND state=?)"),
        (claims._CLAIM, "sqlite_autoindex_redemptions_1 (merchant_id=? AND number=?)"),
        (store._BY_CODE, "ix_redemptions_code (code=? AND merchant_id=?)"),
        (store._BY_PLATFORM, "ix_redemptions_platform (platform_id=? AND merchant_id=?)"),
        (store._OF, "ix_redemptions_customer (customer=? AND merchant_id=?)"),
        (asking._PARENT, "ix_redemptions_parent (merchant_id=? AND reward=? AND connection=?"),
    ],
)
async def test_sqlite_finds_rewards_by_index(
    sqlite_database: Callable[[Path], str], data_dir: Path, statement: Sql, index: str
) -> None:
    """Nothing here walks through the table, whatever its size."""
    plan = " | ".join(await sqlite_plan(sqlite_database(data_dir), data_dir, statement))
    assert index in plan, plan


@pytest.mark.parametrize("analysed", [False, True])
async def test_postgresql_finds_rewards_by_index(postgres_database: str, analysed: bool) -> None:
    """Many of one merchant, most of them done with; a few are due, claimed or lapsed."""
    columns = (
        "merchant_id, number, key, customer, reward, version, kind, terms, points, value_minor, currency, state,"
        " asked_at, issued_at, expires_at, code, platform_id, connection, next_at, claim, claimed_until"
    )
    values = (
        "1 + n % 3, n, n, n % 5000, 'five', 1, 'amount_off', '{}', 5, 0, 'EUR',"
        " CASE WHEN n % 50 = 0 THEN 'asked' WHEN n % 2 = 0 THEN 'issued' ELSE 'used' END, n, n, n * 1000, n, n, 1,"
        " CASE WHEN n % 50 = 0 THEN n END, CASE WHEN n % 5000 = 0 THEN 'x' END, CASE WHEN n % 5000 = 0 THEN n END"
    )
    asked = (
        (claims._DUE, (0, ROWS, 1, 1), "ix_redemptions_waiting"),
        (claims._OF_MERCHANT, (1, ROWS, 100), "ix_redemptions_waiting"),
        (claims._LOOK, (ROWS,), "ix_redemptions_claimed|ix_redemptions_due|ix_redemptions_waiting"),
        (claims._FREE, (), "ix_redemptions_claimed"),
        (claims._LAPSED, (5_000_000, 0, 0, 0, 200), "ix_redemptions_lapse"),
        (store._PAGE_OF_STATE, (1, "asked", ROWS, 50), "ix_redemptions_state"),
        (store._MONEY_AFTER, (1, 1, 0, 50), "ix_redemptions_money"),
        (asking._PARENT, (1, "five", "{}", 1), "ix_redemptions_parent" if analysed else "ix_redemptions_"),
    )
    filled = [("redemptions", columns, values)]
    await postgres_finds(postgres_database, filled, asked, rows=ROWS, analysed=analysed)
