"""A commit that stands still: who waits behind it is told at once, and it heals by itself."""

import asyncio

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


async def test_who_waits_behind_a_standstill_is_sent_away_at_once(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """And whoever comes while it lasts; what was under way is kept when it goes on."""
    commits: GroupCommit[str, bool] = GroupCommit(disk.store, lambda: None)
    disk.goes.clear()
    under_way = asyncio.create_task(commits.add("under way", 1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    # Long before the deadline of its own, which this test would not live to see.
    monkeypatch.setattr(writer, "COMMIT_DEADLINE_SECONDS", 3600.0)
    with pytest.raises(Unavailable):
        await commits.add("behind it", 1)
    with pytest.raises(Unavailable, match="at the moment"):
        commits.place("late", 1)
    disk.goes.set()
    assert await under_way
    assert await commits.add("after it", 1)
    assert disk.kept == ["under way", "after it"]
    assert commits._pending == commits._pending_bytes == 0


async def test_a_disk_that_is_only_slow_is_waited_for(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes as long as it took before does not stand still."""
    monkeypatch.setattr(writer, "LONGEST_STANDSTILL_SECONDS", 60.0)
    commits: GroupCommit[str, bool] = GroupCommit(disk.store, lambda: None)
    commits._took = 30.0  # As if the commit before had.
    disk.goes.clear()
    under_way = asyncio.create_task(commits.add("under way", 1))
    await _turns()
    behind = asyncio.create_task(commits.add("behind it", 1))
    await asyncio.sleep(3 * writer.STANDSTILL_SECONDS)
    assert not behind.done()
    disk.goes.set()
    assert await under_way and await behind


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
