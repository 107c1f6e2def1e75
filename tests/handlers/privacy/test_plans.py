"""Nothing of forgetting walks through a table that grows with a shop, on either engine."""

import re
import sys
from collections.abc import Iterator
from types import ModuleType

import asyncpg
import pytest

from config.personal_data import HOLDERS, TABLES
from handlers.points import ledger
from handlers.privacy import gate, kept, leaving, personal, store
from integration.database.engine import _SESSION
from integration.database.steps import Sql

# Whoever holds anything of persons, and what asks them.
MODULES = (*dict.fromkeys(sys.modules[one.forget.__module__] for one in HOLDERS), ledger, gate, kept, leaving, personal,
           store)  # fmt: skip
# Read whole, into a file or from one, by hand.
WHOLE = {f"privacy.kept.{name}[0]" for name in ("_STONES", "_NAMES", "_DONE_NAMES", "_MERCHANTS")}
# A handful of rows each, or read whole on purpose, once a minute at most.
SMALL = {"privacy_keys", "privacy_requests", "privacy_files", "unknown_shops", "connections"}


def statements() -> Iterator[tuple[str, Sql]]:
    """Name every statement of these modules that looks for rows."""
    for module in MODULES:
        for name, value in vars(module).items():
            several = value if isinstance(value, tuple) else (value,)
            for place, one in enumerate(several):
                if isinstance(one, Sql) and one.kind != "many":
                    yield f"{_called(module)}.{name}[{place}]", one


def _called(module: ModuleType) -> str:
    return module.__name__.removeprefix("handlers.")


EVERY = {name: one for name, one in statements() if name not in WHOLE}


@pytest.mark.parametrize("name", EVERY)
def test_sqlite_looks_rows_up(name: str, plans: "Plans") -> None:
    """No plan scans a table that grows."""
    read = {match[1] for match in re.finditer(r"SCAN (\w+)(?! .*USING)", plans.sqlite(EVERY[name]))}
    assert not (read & set(TABLES)) - SMALL, plans.sqlite(EVERY[name])


async def test_postgresql_looks_rows_up(postgres_database: str) -> None:
    """On tables nobody has analysed; a batch's keys come first."""
    connection = await asyncpg.connect(postgres_database, server_settings=_SESSION)
    walked = {}
    try:
        for name, one in EVERY.items():
            prepared = await connection.prepare(f"EXPLAIN {one.postgres}")
            values = [_empty(parameter.name) for parameter in prepared.get_parameters()]
            plan = "\n".join(row[0] for row in await prepared.fetch(*values))
            read = {match[1] for match in re.finditer(r"Seq Scan on (\w+)", plan)} & set(TABLES)
            if read - SMALL:
                walked[name] = plan
    finally:
        await connection.close()
    assert walked == {}


def _empty(kind: str) -> object:
    if kind.endswith("[]"):
        return []
    return {"text": "", "bytea": b""}.get(kind, 0)


class Plans:
    """Plans of SQLite, on a migrated database."""

    def __init__(self, path: str) -> None:
        import sqlite3

        self._connection = sqlite3.connect(path)

    def sqlite(self, one: Sql) -> str:
        """Return the plan of one statement, a step a line."""
        count = max((int(n) for n in re.findall(r"\?(\d+)", one.sqlite)), default=0)
        values = ["[]"] * count if one.kind == "keyed" else [0] * count
        aliases = dict(re.findall(r"(?:FROM|JOIN) (\w+) (\w)\b", one.sqlite))
        rows = self._connection.execute(f"EXPLAIN QUERY PLAN {one.sqlite}", values).fetchall()
        plan = "\n".join(str(row[3]) for row in rows)
        for table, alias in aliases.items():
            plan = re.sub(rf"\b(SCAN|SEARCH) {alias}\b", rf"\1 {table}", plan)
        return plan


@pytest.fixture(scope="module")
def plans(sqlite_database, tmp_path_factory: pytest.TempPathFactory) -> Plans:
    """Plans on a database that is migrated and empty."""
    return Plans(sqlite_database(tmp_path_factory.mktemp("plans")).removeprefix("sqlite:///"))
