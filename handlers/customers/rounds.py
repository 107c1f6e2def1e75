"""Looking at everybody of a shop whose programme has changed: whose turn it is, and how far the look has come."""

import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import NamedTuple

from handlers.customers.persons import customers_after
from handlers.merchants.books import shops
from handlers.merchants.rules import Version
from integration.clock import DAY
from integration.database.engine import Database
from integration.database.shares import Limit
from integration.database.steps import BIG, Sql, Steps, ask, insert, plain

LOOK_BACK = 7 * DAY  # for programmes that changed; longer than any worker is away
MOST_MERCHANTS = 500  # whose programme changed, of one run


class Marks(NamedTuple):
    """What is asked of a table that keeps how far everybody was looked at under a version of the programme."""

    changed: Sql
    unfinished: Sql
    is_unfinished: Sql
    mark: Sql
    pass_over: Sql
    anew: Sql


def marks(table: str) -> Marks:
    """Build what is asked of a table (merchant_id, version, after_customer; where that is null, everybody was)."""
    return Marks(
        plain(
            "SELECT p.merchant_id, max(p.version), coalesce(max(t.version), 0) FROM program_versions p"
            f" LEFT JOIN {table} t ON t.merchant_id = p.merchant_id"
            " WHERE p.in_force_at > ?1 AND p.in_force_at <= ?2 AND (t.version IS NULL OR t.version < p.version)"
            " GROUP BY p.merchant_id ORDER BY p.merchant_id LIMIT ?3"
        ),
        plain(
            f"SELECT merchant_id, version, after_customer FROM {table} WHERE after_customer IS NOT NULL"
            " ORDER BY merchant_id LIMIT ?1"
        ),
        plain(
            f"SELECT 1 FROM {table} t WHERE t.merchant_id = ?1 AND t.after_customer IS NOT NULL"
            " UNION ALL SELECT 1 FROM program_versions p"
            " WHERE p.merchant_id = ?1 AND p.in_force_at > ?2 AND p.in_force_at <= ?3 AND p.version >"
            f" COALESCE((SELECT t.version FROM {table} t WHERE t.merchant_id = ?1), 0)"
        ),
        insert(
            table,
            "ON CONFLICT (merchant_id) DO UPDATE SET version = excluded.version,"
            " after_customer = excluded.after_customer",
            merchant_id=BIG,
            version=BIG,
            after_customer=BIG,
        ),
        plain(
            f"INSERT INTO {table} (merchant_id, version, after_customer) VALUES (?1, ?2, NULL)"
            " ON CONFLICT (merchant_id) DO UPDATE SET version = excluded.version"
        ),
        plain(
            f"INSERT INTO {table} (merchant_id, version, after_customer) SELECT ?1, coalesce(max(p.version), 0), 0"
            " FROM program_versions p WHERE p.merchant_id = ?1"
            " ON CONFLICT (merchant_id) DO UPDATE SET after_customer = 0",
        ),
    )


Concerns = Callable[[Sequence[Version], int, int], bool]
"""Tells whether versions in force by now, behind the numbered one, are everybody's business: (versions, it, now)."""


async def everybody(
    database: Database, kept: Marks, concerns: Concerns, now: int, limit: Limit
) -> AsyncIterator[tuple[int, list[int]]]:
    """Yield (merchant, customers) of shops with a new programme that concerns everybody: a page of each shop in turn.

    Whoever comes back for the next page has looked at the people of the one before; cut off anywhere, the next run
    goes on there.
    """
    await _begin(database, kept, concerns, now)
    under_way = deque(await database.read(lambda: ask(kept.unfinished, (MOST_MERCHANTS,))))
    done = 0
    while under_way and done < limit.most and time.monotonic() < limit.ends:
        merchant_id, version, after = under_way.popleft()
        page = await database.read(partial(customers_after, merchant_id, after, limit.batch))
        if page:
            yield merchant_id, page
        last = page[-1] if len(page) == limit.batch else None
        await database.run(partial(mark, kept, merchant_id, version, last))
        if last is not None:
            under_way.append((merchant_id, version, last))
        done += len(page)


async def _begin(database: Database, kept: Marks, concerns: Concerns, now: int) -> None:
    """Begin looking at everybody of shops whose programme has changed, or note that nobody is concerned."""
    since = (now - LOOK_BACK, now, MOST_MERCHANTS)
    for merchant_id, version, marked in await database.read(lambda: ask(kept.changed, since)):
        shop = (await database.read(partial(shops, [merchant_id])))[merchant_id]
        if concerns(shop.versions, marked, now):
            await database.run(partial(mark, kept, merchant_id, version, 0))
        else:
            # A look over everybody that is under way goes on where it is.
            await database.run(partial(ask, kept.pass_over, (merchant_id, version)))


def mark(kept: Marks, merchant_id: int, version: int, after: int | None) -> Steps[None]:
    """Note how far a merchant's customers have been looked at under a version; None = all of them were."""
    yield from ask(kept.mark, [(merchant_id, version, after)])


def look_anew(kept: Marks, merchant_id: int) -> Steps[None]:
    """Have everybody of a merchant looked at once more, under the version they were looked at."""
    yield from ask(kept.anew, (merchant_id,))


def is_unfinished(kept: Marks, merchant_id: int, now: int) -> Steps[bool]:
    """Tell whether people of a merchant are still to be looked at under a version in force."""
    return bool((yield from ask(kept.is_unfinished, (merchant_id, now - LOOK_BACK, now))))
