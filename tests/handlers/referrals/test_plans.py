"""Every statement of referrals finds its rows by an index, however many there are."""

from collections.abc import Callable
from pathlib import Path

import pytest

from handlers.referrals import codes, jobs, personal, store
from integration.database.steps import Sql
from tests.plans import postgres_finds, sqlite_plan

ROWS = 30_000
CODES = "ix_referral_codes"


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        (jobs._DUE, "ix_referrals_due (merchant_id=? AND due_at>? AND due_at<?)"),
        (jobs._TO_ASK, f"{CODES}_due (merchant_id=? AND next_at>? AND next_at<?)"),
        (codes._LINK_CALLED, "ix_referral_links_code (code=?)"),
        (codes._ONE_LINK, "sqlite_autoindex_referral_links_1 (merchant_id=? AND code=?)"),
        (codes._LINKS_OF, "ix_referral_links_customer (customer=? AND merchant_id=?)"),
        (codes._CODE_CALLED, f"{CODES}_code (code=?)"),
        (codes._ONE_CODE, "sqlite_autoindex_referral_codes_1 (merchant_id=? AND code=?)"),
        (codes._OF_CODES, "sqlite_autoindex_referral_codes_1 (merchant_id=? AND code=?)"),
        (codes._USED, "sqlite_autoindex_referral_codes_1 (merchant_id=? AND code=?)"),
        (codes._CLAIM, "sqlite_autoindex_referral_codes_1 (merchant_id=? AND code=?)"),
        (codes._OF_PLATFORM, f"{CODES}_platform (platform_id=? AND merchant_id=?)"),
        (codes._PRUNE, f"{CODES}_ended (expires_at<?)"),
        (codes._OPEN, f"{CODES}_link (merchant_id=? AND link=? AND expires_at>?)"),
        (codes._OF_LINK, f"{CODES}_made (merchant_id=? AND created_at>?)"),
        (codes._OF_SHOP, f"{CODES}_made (merchant_id=? AND created_at>?)"),
        (codes._OF_ASKER, f"{CODES}_asker (asker=? AND created_at>?)"),
        (codes._WAITS, f"{CODES}_made (merchant_id=? AND created_at>?)"),
        (store._STIR_SALES, "sqlite_autoindex_referrals_1 (merchant_id=? AND sale=?)"),
        (store._STIR_FRIENDS, "ix_referrals_friend (friend=? AND merchant_id=?)"),
        (store._STIR_REFERRERS, "ix_referrals_referrer (referrer=? AND merchant_id=?)"),
        (store._OF_REFERRERS, "ix_referrals_referrer (referrer=? AND merchant_id=?)"),
        (store._COUNTED, "ix_referrals_referrer (referrer=? AND merchant_id=?)"),
        (store._BEFORE["referrer"], "ix_referrals_referrer (referrer=? AND merchant_id=? AND at<?)"),
        (store._BEFORE["friend"], "ix_referrals_friend (friend=? AND merchant_id=? AND at<?)"),
        (store._PAGE, "sqlite_autoindex_referrals_1 (merchant_id=? AND sale<?)"),
        (store._WAITING, "ix_referrals_held (merchant_id=? AND sale<?)"),
        (store._HOW_MANY_WAIT, "ix_referrals_held (merchant_id=?)"),
        (store._AFTER, "sqlite_autoindex_referrals_1 (merchant_id=? AND sale>?)"),
        (store._BOUGHT, "ix_sales_customer (customer=? AND merchant_id=?)"),
        (store._DROP_HOMES, "sqlite_autoindex_referral_homes_1 (merchant_id=? AND sale=?)"),
        (store._HOMES, "sqlite_autoindex_referral_homes_1 (merchant_id=? AND sale=?)"),
        (store._HOMES_OF, "sqlite_autoindex_referral_homes_1 (merchant_id=? AND sale=?)"),
        (store._AT_HOME, "ix_referral_homes_digest (merchant_id=? AND digest=?)"),
        (store._OLD_HOMES, "ix_referral_homes_at (at<?)"),
        (store._NEXT_WITH_HOMES, "(merchant_id>?)"),
        (store._HOMES_OF_SHOP, "sqlite_autoindex_referral_homes_1 (merchant_id=?"),
        (personal._UNDER_WAY, f"{CODES}_customer (customer=? AND merchant_id=?)"),
        (personal._CLOSE, f"{CODES}_customer (customer=? AND merchant_id=?)"),
    ],
)
async def test_sqlite_finds_friends_by_index(
    sqlite_database: Callable[[Path], str], data_dir: Path, statement: Sql, index: str
) -> None:
    """Nothing here walks through a table, whatever its size."""
    steps = await sqlite_plan(sqlite_database(data_dir), data_dir, statement)
    assert index in " | ".join(steps), steps
    assert not [
        step for step in steps if step in ("SCAN r", "SCAN c", "SCAN l", "SCAN referrals", "SCAN referral_codes")
    ]


async def test_postgresql_finds_friends_by_index(postgres_database: str) -> None:
    """30,000 links, codes and orders of one shop, of which few are due."""
    few = "CASE WHEN n % 1000 = 0 THEN n END"
    filled = (
        ("referral_links", "merchant_id, code, customer, state, created_at", "1, 'L' || n, n, 'open', n"),
        (
            "referral_codes",
            "merchant_id, code, link, customer, asker, state, kind, terms, value_minor, currency, created_at,"
            " expires_at, platform_id, next_at",
            "1, 'C' || n, 'L' || n % 5000, n % 5000, 'a' || n % 900, 'made', 'promotion_code', '{}', 5, 'EUR', n,"
            f" n + 1000, 'p' || n, {few}",
        ),
        (
            "referrals",
            "merchant_id, sale, referrer, friend, state, why, at, due_at",
            f"1, n, n % 5000, n, CASE WHEN n % 1000 = 0 THEN 'held' ELSE 'given' END, '', n, {few}",
        ),
    )
    asked = (
        (jobs._DUE, (0, 9_000, 50, 50), "ix_referrals_due"),
        (jobs._TO_ASK, (0, 9_000, 50, 50), f"{CODES}_due"),
        (codes._LINK_CALLED, ("L7",), "ix_referral_links_code"),
        (codes._LINKS_OF, ([1], [7]), "ix_referral_links_customer"),
        (codes._CODE_CALLED, ("C7",), f"{CODES}_code"),
        (codes._OF_CODES, ([1], ["C7"]), "referral_codes"),
        (codes._OF_PLATFORM, ([1], ["p7"]), f"{CODES}_platform"),
        (codes._OPEN, (1, "L7", 7, 10), f"{CODES}_link"),
        (codes._PRUNE, (50, 100), f"{CODES}_ended"),
        (codes._OF_ASKER, ("a7", 29_000), CODES),
        (codes._OF_LINK, (1, "L7", 29_900), CODES),
        (codes._OF_SHOP, (1, 29_900), CODES),
        (codes._WAITS, (1, 29_900), CODES),
        (store._OF_REFERRERS, ([1], [7]), "ix_referrals_referrer"),
        (store._COUNTED, ([1], [7]), "ix_referrals_referrer"),
        (store._BEFORE["referrer"], (1, 7, 29_000, 30), "ix_referrals_referrer"),
        (store._BEFORE["friend"], (1, 7, 29_000, 30), "ix_referrals_friend"),
        (store._PAGE, (1, 29_000, 50), "pk_referrals"),
        (store._WAITING, (1, 29_000, 50), "ix_referrals_held"),
        (store._HOW_MANY_WAIT, (1, 0, 29_000, 1_000), "ix_referrals_held"),
        (store._STIR_FRIENDS, ([1], [7], [9]), "ix_referrals_friend"),
        (store._STIR_REFERRERS, ([1], [7], [9]), "ix_referrals_referrer"),
        (personal._CLOSE, ([1], [7], [9]), f"{CODES}_customer"),
    )
    await postgres_finds(postgres_database, filled, asked, rows=ROWS)
