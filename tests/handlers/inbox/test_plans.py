"""The statements of the hot path go by index: their cost must not grow with what has been worked before."""

import json
from pathlib import Path
from typing import Any

import pytest

from handlers.inbox import claim, prune, record
from integration.database.engine import Database
from integration.database.steps import Sql, ask

STATEMENTS = {
    "due": claim._DUE,
    "lost": claim._LOST,
    "lease": claim._LEASE,
    "connections": claim._CONNECTIONS,
    "finish": claim._FINISH,
    "release": claim._RELEASE,
    "give up": claim._GIVE_UP,
    "insert events": record._INSERT_EVENTS,
    "insert bodies": record._INSERT_BODIES,
    "insert left": record._INSERT_LEFT,
    "insert left bodies": record._INSERT_LEFT_BODIES,
    "known": record._KNOWN,
    "present": record._PRESENT,
    "adopt": record._ADOPT,
    "old unknown": record._OLD_UNKNOWN,
    "unhandled": prune._UNHANDLED,
    "page": prune._PAGE,
    "delete worked": prune._DELETE_WORKED,
    "delete left bodies": prune._DELETE_LEFT_BODIES,
}


@pytest.mark.parametrize("name", STATEMENTS)
async def test_sqlite_never_scans_a_table(name: str, sqlite_database: Any, data_dir: Path) -> None:
    """Only the relation of keys or rows given is read from end to end."""
    database = await Database.open(sqlite_database(data_dir), data_dir)
    rows = await database.run(lambda: ask(_explained(name), _given(name)))
    await database.close()
    # What is already narrowed to unknown shops' events may be gone through.
    scans = [row[3] for row in rows if row[3].startswith("SCAN ") and "ix_events_unknown" not in row[3]]
    allowed = (
        "SCAN json_each",
        "SCAN k",
        "SCAN u",
        "SCAN CONSTANT ROW",
        "SCAN 2 CONSTANT",
        "SCAN s",  # the steps from merchant to merchant, of which there are few
        "SCAN o",
        "SCAN p",  # one page of the oldest
        "SCAN w",
        "SCAN events USING INDEX ix_events_leased",  # only what is in somebody's hands
    )
    assert [scan for scan in scans if not scan.startswith(allowed)] == []


def _given(name: str) -> tuple[Any, ...]:
    statement: Sql = STATEMENTS[name]
    if statement.kind == "keyed":
        return (json.dumps([]),)
    if statement.kind == "many":
        return (None,) * (2 * statement.columns)
    arguments = max(n for n in range(1, 10) if f"?{n}" in statement.sqlite)
    return tuple(range(arguments))


def _explained(name: str) -> Sql:
    row = "(" + ", ".join("?" * STATEMENTS[name].columns) + ")"
    sql = f"EXPLAIN QUERY PLAN {STATEMENTS[name].sqlite}".replace("{rows}", f"{row}, {row}")
    return Sql(sqlite=sql, postgres=sql, kind="plain", returns=True)
