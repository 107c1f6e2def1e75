"""Health answers: the process, its engines by name, and what was counted."""

import asyncio
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from config import health
from config.routes import ROUTES
from integration.errors import Unavailable
from integration.queue import Queue


class Engine:
    """An engine that answers, is away, or is silent."""

    def __init__(self, state: str) -> None:
        self.state = state

    async def ping(self) -> None:
        if self.state == "away":
            raise Unavailable("It restarts.")
        if self.state == "silent":
            await asyncio.Event().wait()


class House:
    """As much of a context as health looks at."""

    def __init__(self, database: str, queue: Any) -> None:
        self.database, self.queue = Engine(database), queue
        self.counters = {"deliveries_401": 3}


async def ask(path: str, house: House) -> httpx.Response:
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


async def test_without_redis_it_is_ready_and_says_so() -> None:
    """Deliveries are stored and worked without it."""
    answer = await ask("/readyz", House("well", Queue()))
    assert answer.status_code == 200
    assert answer.json() == {"ready": True, "down": {"queue": "There is no Redis: set REDIS_URL."}}


async def test_counters_are_told_in_prometheus_words() -> None:
    """A forged delivery leaves nothing but this."""
    text = (await ask("/metrics", House("well", Queue()))).text
    assert "regulars_deliveries_401_total 3.0" in text
