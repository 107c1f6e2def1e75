"""Migrated PostgreSQL databases that tests borrow: one is emptied and lent again while only its rows were changed."""

import asyncio
import itertools
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import asyncpg

T = TypeVar("T")

TEMPLATE = "migrated"
OURS = "tests"  # the application_name of the sessions kept here, for a test that counts sessions
MOST_LOANS = 200
SWEEP_EVERY = 20  # loans; emptying a table leaves dead rows in the catalogue
GOODBYE_TRIES, GOODBYE_PAUSE_S = 100, 0.002  # for sessions of a pool that was closed a moment ago

# What tells that more than rows changed: the schema, the planner's statistics, settings. Whatever is changed in these
# catalogues has a newer `xmin`, whatever is dropped is missing in the count; emptying a table changes only `pg_class`.
_STATE = """
SELECT jsonb_agg(jsonb_build_array(rows, newest))::text FROM (
  SELECT count(*) AS rows, max(xmin::text::bigint) AS newest FROM pg_attribute WHERE attrelid >= 16384
  UNION ALL SELECT count(*), max(xmin::text::bigint) FROM pg_attrdef
  UNION ALL SELECT count(*), max(xmin::text::bigint) FROM pg_index WHERE indexrelid >= 16384
  UNION ALL SELECT count(*), max(xmin::text::bigint) FROM pg_constraint
  UNION ALL SELECT count(*), max(xmin::text::bigint) FROM pg_trigger
  UNION ALL SELECT count(*), max(xmin::text::bigint) FROM pg_statistic WHERE starelid >= 16384
  UNION ALL SELECT count(*), max(xmin::text::bigint) FROM pg_proc WHERE oid >= 16384
  UNION ALL SELECT count(*), max(xmin::text::bigint) FROM pg_namespace
  UNION ALL SELECT count(*), max(xmin::text::bigint) FROM pg_db_role_setting
  UNION ALL SELECT count(*), max(xmin::text::bigint) FROM pg_database WHERE datname = current_database()
  UNION ALL SELECT count(*), sum(hashtext(relname || coalesce(relacl::text, '') || coalesce(reloptions::text, '')))
            FROM pg_class WHERE oid >= 16384
) AS catalogues
"""
# The file of a table nobody wrote to since it was emptied is empty too.
_WRITTEN = """
SELECT array_agg(oid::regclass::text ORDER BY oid) FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND pg_relation_size(oid) > 0
"""
_COUNT_ANEW = """
SELECT setval(format('%I', sequencename)::regclass, start_value, false) FROM pg_sequences
WHERE schemaname = 'public' AND last_value IS NOT NULL
"""
_OTHERS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""


@dataclass(slots=True)
class _Kept:
    """A database to lend, our session in it, and what it looked like when it was new."""

    name: str
    session: Any
    state: str = ""
    seeds: tuple[str, ...] = ()  # tables the revisions put rows into
    sown: tuple[str, ...] = ()  # and these rows
    loans: int = 0


class Databases:
    """Lends copies of the database `migrated` of one PostgreSQL server.

    Sessions are kept in a thread with a loop of its own, so that a test's loop is left alone.
    """

    def __init__(self, maintenance: str) -> None:
        self._maintenance = maintenance
        self._numbers = itertools.count(1)
        self._free: list[_Kept] = []
        self._thread = ThreadPoolExecutor(1, "databases")
        self._runner = asyncio.Runner()
        self._admin = self._do(asyncpg.connect(maintenance, server_settings={"application_name": OURS}))

    def close(self) -> None:
        """Let go of every session; the databases end with their server."""
        for kept in self._free:
            kept.session.terminate()
        self._admin.terminate()
        self._thread.submit(self._runner.close).result()
        self._thread.shutdown()

    @contextmanager
    def lent(self) -> Iterator[str]:
        """Lend a fresh, migrated database: yields its address."""
        kept = self._free.pop() if self._free else self._do(self._new())
        try:
            yield self.address(kept.name)
        finally:
            self._do(self._back(kept))

    def address(self, name: str) -> str:
        """Return the address of a database of this server."""
        return self._maintenance.removesuffix("/postgres") + f"/{name}"

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return self._thread.submit(self._runner.run, work).result()

    async def _new(self) -> _Kept:
        name = f"shop_{next(self._numbers)}"
        await self._admin.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
        session = await asyncpg.connect(self.address(name), server_settings={"application_name": OURS})
        kept = _Kept(name, session, await session.fetchval(_STATE))
        kept.seeds = tuple(await session.fetchval(_WRITTEN) or ())
        kept.sown = await _rows(session, kept.seeds)
        return kept

    async def _back(self, kept: _Kept) -> None:
        kept.loans += 1
        try:
            if kept.loans < MOST_LOANS and await _emptied(kept):
                self._free.append(kept)
                return
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            # The test cut our session off or left a table locked: whatever it did, nobody else gets this database.
            pass
        kept.session.terminate()
        await self._admin.execute(f"DROP DATABASE {kept.name} WITH (FORCE)")


async def _emptied(kept: _Kept) -> bool:
    """Empty what was written to; False where more was changed than that, or somebody is still there."""
    session = kept.session
    if not await _alone(session) or await session.fetchval(_STATE) != kept.state:
        return False
    written = [table for table in await session.fetchval(_WRITTEN) or () if table not in kept.seeds]
    if written:
        await session.execute(f"SET lock_timeout = '2s'; TRUNCATE {', '.join(written)} CASCADE")
    await session.execute(_COUNT_ANEW)
    if kept.loans % SWEEP_EVERY == 0:
        await session.execute("VACUUM pg_class")
    return await _rows(session, kept.seeds) == kept.sown


async def _alone(session: Any) -> bool:
    for _ in range(GOODBYE_TRIES):
        if not await session.fetchval(_OTHERS):
            return True
        await asyncio.sleep(GOODBYE_PAUSE_S)
    return False


async def _rows(session: Any, tables: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(
        [await session.fetchval(f"SELECT string_agg(t::text, ';' ORDER BY t::text) FROM {table} t") for table in tables]
    )
