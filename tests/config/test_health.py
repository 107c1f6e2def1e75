"""Health answers: the process, its engines by name, and its workers."""

import asyncio
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from config import health
from config.routes import ROUTES
from handlers.watch.store import tell
from integration.clock import MINUTE, Clock
from integration.database.steps import ask as sql
from integration.database.steps import plain
from integration.errors import Unavailable
from integration.queue import Queue
from tests.handlers.inbox.conftest import desk_on


class Engine:
    """An engine that answers, is away, or is silent."""

    def __init__(self, state: str) -> None:
        self.state = state

    async def ping(self) -> None:
        if self.state == "away":
            raise Unavailable("It restarts.")
        if self.state == "silent":
            await asyncio.Event().wait()
        if self.state == "odd":
            raise KeyError("ada@hats.example")

    async def read(self, make: Any) -> Any:
        await self.ping()
        return ()


class House:
    """As much of a context as health looks at."""

    def __init__(self, database: str, queue: Any) -> None:
        self.database, self.queue = Engine(database), queue
        self.clock = Clock()


async def ask(path: str, house: Any) -> httpx.Response:
    app = Starlette(routes=ROUTES)
    app.state.context = house
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://shop") as client:
        return await client.get(path)


@pytest.mark.parametrize("database", ["away", "silent"])
async def test_without_its_database_a_process_is_alive_but_not_ready(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Restarting it would not help; sending it requests would not either."""
    monkeypatch.setattr(health, "PING_SECONDS", 0.05)
    house = House(database, Engine("well"))
    assert (await ask("/healthz", house)).status_code == 200
    answer = await ask("/readyz", house)
    assert answer.status_code == 503 and set(answer.json()["down"]) == {"database"}
    assert answer.json()["workers"] is None


async def test_a_fault_nobody_foresaw_is_told_by_its_type_and_logged(capsys: pytest.CaptureFixture[str]) -> None:
    """The page does not break of it, and does not repeat what it may have been about."""
    answer = await ask("/readyz", House("odd", Engine("well")))
    assert answer.status_code == 503
    assert answer.json()["down"] == {"database": "It failed (KeyError)."}
    said = capsys.readouterr().out
    assert "health_not_told" in said and "ada@" not in said


async def test_without_redis_it_is_ready_and_says_what_that_means() -> None:
    """Deliveries are stored and worked without it."""
    answer = await ask("/readyz", House("well", Queue()))
    assert answer.status_code == 200 and answer.json()["ready"] is True
    said = answer.json()["down"]["queue"]
    assert said.startswith("There is no Redis: set REDIS_URL.") and "worked all the same" in said


async def test_a_database_without_our_tables_is_not_ready_and_says_what_to_do(database: Any) -> None:
    """It answers, and yet nothing can be stored in it."""
    desk = desk_on(database)
    await database.run(lambda: sql(plain("ALTER TABLE events RENAME TO gone"), ()))
    answer = await ask("/readyz", desk.context)
    assert answer.status_code == 503
    assert "regulars migrate" in answer.json()["down"]["database"]


async def test_it_tells_how_many_workers_are_alive(database: Any) -> None:
    """One that has not been heard of for a minute is none; without any, deliveries are stored and wait."""
    desk = desk_on(database)
    now = desk.clock.now()
    assert (await ask("/readyz", desk.context)).json()["workers"] == 0
    await database.run(lambda: tell("process", "till:1", now))
    await database.run(lambda: tell("process", "till:2", now - 2 * MINUTE))
    answer = await ask("/readyz", desk.context)
    assert (answer.status_code, answer.json()["workers"]) == (200, 1)
