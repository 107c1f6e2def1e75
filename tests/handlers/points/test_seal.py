"""New entries come under a chained digest, once each, whoever seals."""

import asyncio
from typing import Any

from handlers.points.audit import audit_books
from handlers.points.seal import MOST_ENTRIES, seal_all
from integration.database.steps import ask, plain
from tests.handlers.points.books import NOW, open_books, post

_SEALS = plain("SELECT last_entry, entries, micropoints FROM ledger_seals WHERE merchant_id = ?1 ORDER BY 1")


async def seals(database: Any, merchant: int) -> list[tuple[int, ...]]:
    return list(await database.run(lambda: ask(_SEALS, (merchant,))))


async def test_new_entries_are_sealed_once(database: Any) -> None:
    """A run seals what is new; a second one finds nothing to do."""
    hats, caps = await open_books(database, "Hats"), await open_books(database, "Caps")
    await post(database, hats, [("program:issued", "customer:1:pending", 5)] * 3)
    await post(database, caps, [("program:issued", "customer:1:pending", 7)])
    assert await seal_all(database, NOW) == 2
    assert await seal_all(database, NOW) == 0
    await post(database, hats, [("customer:1:pending", "customer:1:available", 15)])
    assert await seal_all(database, NOW) == 1
    assert await seals(database, hats) == [(3, 3, 15), (4, 1, 15)]
    assert await seals(database, caps) == [(1, 1, 7)]


async def test_a_long_ledger_is_sealed_in_pieces(database: Any) -> None:
    """No seal covers more than its limit, and together they cover everything."""
    hats = await open_books(database, "Hats")
    await post(database, hats, [("program:issued", "customer:1:pending", 1)] * (2 * MOST_ENTRIES + 1))
    assert await seal_all(database, NOW) == 3
    assert [row[1] for row in await seals(database, hats)] == [MOST_ENTRIES, MOST_ENTRIES, 1]
    findings = await database.read(lambda: audit_books(hats, NOW))
    assert (findings.sealed, findings.drifts) == (2 * MOST_ENTRIES + 1, [])


async def test_two_processes_that_seal_at_once_make_one_chain(database: Any) -> None:
    """What one sealed while the other was counting is not sealed twice."""
    hats = await open_books(database, "Hats")
    await post(database, hats, [("program:issued", "customer:1:pending", 1)] * 50)
    await asyncio.gather(*(seal_all(database, NOW) for _ in range(4)))
    assert await seals(database, hats) == [(50, 50, 50)]
    assert (await database.read(lambda: audit_books(hats, NOW))).drifts == []
