"""Who changed what and who looked at whose data: written down, read by page, kept a named time, each shop's own."""

from typing import Any

from handlers.merchants import journal
from integration.clock import DAY
from integration.database.steps import Steps

NORA, OTTO = 1, 2
NOW = 1_800_000_000_000_000


async def test_changes_are_read_back_the_newest_first_page_by_page(database: Any) -> None:
    """Two of one instant are both there; Otto's are not Nora's."""

    def write() -> Steps[None]:
        for number in range(5):
            yield from journal.note(
                NORA, "link:nora", f"did {number}", "programme", {"before": number}, NOW + number // 2
            )
        yield from journal.note(OTTO, "shopify:7", "did otto's", "programme", None, NOW)

    await database.run(write)
    first = await database.read(lambda: journal.entries_before(NORA, None, 3))
    rest = await database.read(lambda: journal.entries_before(NORA, (first[-1].at, first[-1].mark), 3))
    assert [len(first), len(rest)] == [3, 2]
    assert {entry.did for entry in first + rest} == {f"did {number}" for number in range(5)}
    assert [entry.at for entry in first + rest] == sorted((entry.at for entry in first + rest), reverse=True)
    assert first[0].detail == {"before": 4}
    [others] = await database.read(lambda: journal.entries_before(OTTO, None, 3))
    assert (others.who, others.detail) == ("shopify:7", None)


async def test_an_endless_detail_is_kept_as_its_length(database: Any) -> None:
    """A journal that anybody can fill up would be none."""
    await database.run(lambda: journal.note(NORA, "link:nora", "did", "programme", {"after": "x" * 100_000}, NOW))
    [entry] = await database.read(lambda: journal.entries_before(NORA, None, 9))
    assert list(entry.detail or ()) == ["left_out"]


async def test_entries_are_kept_their_time_and_no_longer(database: Any) -> None:
    """Changes two years, looks at personal data one."""

    def write() -> Steps[None]:
        for age in (10, 400, 800):
            yield from journal.note(NORA, "link:nora", f"{age}", "programme", None, NOW - age * DAY)
            yield from journal.looked(NORA, "link:nora", f"{age}", 7, NOW - age * DAY)

    await database.run(write)
    assert await database.run(lambda: journal.prune(NOW)) == 3
    assert [entry.did for entry in await database.read(lambda: journal.entries_before(NORA, None, 9))] == ["10", "400"]
    assert [look.what for look in await database.read(lambda: journal.looks_before(NORA, None, 9))] == ["10"]
