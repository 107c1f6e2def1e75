"""A commit that stands still: who waits behind it is told at once, and it heals by itself."""

import asyncio
import time
from typing import Any

import pytest

from integration.database import writer
from integration.database.writer import GroupCommit
from integration.errors import Unavailable


class Disk:
    """A place to store things that stands still until it is let go on."""

    def __init__(self) -> None:
        self.goes = asyncio.Event()
        self.goes.set()
        self.kept: list[str] = []

    async def store(self, items: list[str]) -> list[bool]:
        await self.goes.wait()
        self.kept += items
        return [True] * len(items)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    monkeypatch.setattr(writer, "STANDSTILL_SECONDS", 0.05)
    return Disk()


async def test_who_waits_behind_a_standstill_is_sent_away_at_once(disk: Disk) -> None:
    """And whoever comes while it lasts; what was under way is kept when it goes on."""
    commits: GroupCommit[str, bool] = GroupCommit(disk.store, lambda: None)
    disk.goes.clear()
    under_way = asyncio.create_task(commits.add("under way", 1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    begun = time.monotonic()
    with pytest.raises(Unavailable):
        await commits.add("behind it", 1)
    assert time.monotonic() - begun < writer.COMMIT_DEADLINE_SECONDS / 2
    with pytest.raises(Unavailable, match="at the moment"):
        commits.place("late", 1)
    disk.goes.set()
    assert await under_way
    assert await commits.add("after it", 1)
    assert disk.kept == ["under way", "after it"]
    assert commits._pending == commits._pending_bytes == 0


async def test_a_disk_that_is_only_slow_is_waited_for(disk: Disk) -> None:
    """What takes as long as it took before does not stand still."""

    async def slow(items: list[str]) -> list[bool]:
        await asyncio.sleep(0.04)
        return await disk.store(items)

    commits: GroupCommit[str, bool] = GroupCommit(slow, lambda: None)
    verdicts: list[Any] = await asyncio.gather(*(commits.add(str(n), 1) for n in range(5)))
    for _ in range(3):
        verdicts += await asyncio.gather(*(commits.add(str(n), 1) for n in range(5)))
    assert verdicts == [True] * 20


async def test_a_second_commit_goes_beside_the_first_once_it_is_worth_it(disk: Disk) -> None:
    """Half as many as are under way are worth it; a third never goes, and nobody is lost."""
    begun: list[int] = []

    async def store(items: list[str]) -> list[bool]:
        begun.append(len(items))
        return await disk.store(items)

    commits: GroupCommit[str, bool] = GroupCommit(store, lambda: None, abreast=2)
    disk.goes.clear()
    asked = [asyncio.create_task(commits.add(str(n), 1)) for n in range(4)]
    await _turns()
    asked.append(asyncio.create_task(commits.add("alone", 1)))
    await _turns()
    assert begun == [4]
    asked.append(asyncio.create_task(commits.add("with company", 1)))
    await _turns()
    assert begun == [4, 2]
    asked += [asyncio.create_task(commits.add(f"late {n}", 1)) for n in range(9)]
    await _turns()
    assert begun == [4, 2]
    disk.goes.set()
    await commits.drained()
    assert await asyncio.gather(*asked) == [True] * 15
    assert begun == [4, 2, 9]
    assert len(set(disk.kept)) == 15


async def test_who_comes_during_a_commit_shares_the_next(disk: Disk) -> None:
    """One writer, however many ask: two commits for what came in two bursts."""
    begun: list[int] = []

    async def store(items: list[str]) -> list[bool]:
        begun.append(len(items))
        return await disk.store(items)

    commits: GroupCommit[str, bool] = GroupCommit(store, lambda: None)
    disk.goes.clear()
    first = [asyncio.create_task(commits.add(str(n), 1)) for n in range(3)]
    await _turns()
    second = [asyncio.create_task(commits.add(str(n), 1)) for n in range(3, 10)]
    await _turns()
    disk.goes.set()
    assert await asyncio.gather(*first, *second) == [True] * 10
    assert begun == [3, 7]


async def _turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)
