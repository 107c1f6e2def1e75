"""Ada's shop, which comes from another loyalty app, on each engine."""

import io
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from config.settings import Settings
from config.wiring import opened
from handlers.context import Context
from handlers.exchange import jobs
from handlers.exchange.jobs import Upload
from handlers.exchange.store import Import, find
from handlers.merchants.connections import Wish, add_merchant
from handlers.points.audit import audit_books
from handlers.points.statement import find_customer, statement

ADA = "link:ada"


@dataclass
class Shop:
    """One merchant and what can be done with a file of theirs."""

    context: Context
    merchant: int
    other: int

    async def reads(self, content: str | bytes, name: str = "smile.csv", newcomers: str = "add") -> Import:
        """Upload a file, which is only looked at."""
        raw = content.encode() if isinstance(content, str) else content
        return await jobs.read(self.context, self.merchant, Upload(io.BytesIO(raw), name, ADA, newcomers))

    async def brings_in(self, number: int) -> Import:
        """Bring an import in to its end."""
        await jobs.begin(self.context, self.merchant, number, ADA)
        await jobs.carry_out(self.context, self.merchant, number)
        return await self.stands(number)

    async def takes_back(self, number: int) -> Import:
        """Take an import back to its end."""
        await jobs.undo(self.context, self.merchant, number, ADA)
        await jobs.carry_out(self.context, self.merchant, number)
        return await self.stands(number)

    async def stands(self, number: int) -> Import:
        found = await self.context.database.read(lambda: find(self.merchant, number))
        assert found is not None
        return found

    async def points(self, email: str) -> int:
        """What somebody has available."""
        now = self.context.clock.now()

        def look() -> Any:
            customer = yield from find_customer(self.merchant, email)
            return (yield from statement(self.merchant, customer, now))

        shown: dict[str, Any] = await self.context.database.read(look)
        return int(shown["points"]["available"])

    async def is_sound(self) -> None:
        """The audit finds nothing, and nobody is mailed."""
        now = self.context.clock.now()
        findings = await self.context.database.read(lambda: audit_books(self.merchant, now, self.context.auditors))
        assert findings.drifts == []
        assert await self.rows("SELECT count(*) FROM messages") == [(0,)]

    async def rows(self, sql: str, **values: Any) -> list[tuple[Any, ...]]:
        """Rows of a query."""
        async with self.context.engine.connect() as connection:
            return [tuple(row) for row in await connection.execute(text(sql), values)]


@pytest.fixture
async def shop(database_url: str, data_dir: Path) -> AsyncIterator[Shop]:
    """The program, opened."""
    settings = Settings(
        _env_file=None, database_url=database_url, data_dir=data_dir, secret_key="the-secret-key-of-ada-is-long-enough"
    )
    async with opened(settings) as context:
        now = context.clock.now()
        ids = []
        for name in ("Ada", "Bob"):
            wish = Wish(name, None, "USD", "America/New_York")
            ids.append((await context.database.run(lambda w=wish: add_merchant(w, context.vault, now))).id)
        yield Shop(context, *ids)
