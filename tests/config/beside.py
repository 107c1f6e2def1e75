"""The database under a command or a process, as whoever stands beside it reaches it."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from handlers.inbox.record import Delivery, record
from integration.database.engine import Database
from integration.database.steps import Row, ask, plain
from tests.conftest import apart

T = TypeVar("T")
SHOP = "lavender.myshopify.com"


def beside(database_url: str, work: Callable[[Database], Awaitable[T]]) -> T:
    """Open the database, have something done on it, close it; on a loop of its own."""

    async def whole() -> T:
        database = await Database.open(database_url, Path())
        try:
            return await work(database)
        finally:
            await database.close()

    return apart(whole())


def rows(database_url: str, *statements: str) -> list[Row]:
    """Run statements; returns the rows of the last one."""
    found: list[Row] = []
    for sql in statements:
        found = beside(database_url, lambda database: database.run(lambda: ask(plain(sql), ())))  # noqa: B023
    return found


def delivered(database_url: str, *bodies: bytes) -> None:
    """Put deliveries of a known shop into the database as the receiver does."""
    rows(
        database_url,
        "INSERT INTO connections (merchant_id, platform, account, created_at, connected_at)"
        f" VALUES (1, 'shopify', '{SHOP}', 0, 0)",
    )
    told = [Delivery("shopify", SHOP, f"w{n}", "carts/create", None, 1, body) for n, body in enumerate(bodies)]
    beside(database_url, lambda database: database.run(lambda: record(told)))
