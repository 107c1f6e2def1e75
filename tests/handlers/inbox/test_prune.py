"""What came in goes after its time: bodies first, then rows, in small steps and nothing too early."""

import pytest

from handlers.inbox import prune
from handlers.inbox.prune import prune_all
from handlers.inbox.record import Delivery, record, record_all
from integration.clock import DAY
from integration.database.engine import Database
from tests.handlers.inbox.conftest import LAVENDER, Desk

LEFT = (
    "SELECT e.delivery_id, CASE WHEN b.event_id IS NULL THEN 0 ELSE 1 END"
    " FROM events e LEFT JOIN event_bodies b ON b.event_id = e.id ORDER BY e.delivery_id"
)


async def came(desk: Desk, *names: str, topic: str = "note", at: int = 1) -> None:
    """Record deliveries of Lavender's under these ids."""
    told = [Delivery("shopify", LAVENDER, name, topic, None, at, b"{}") for name in names]
    assert all(await record_all(desk.context.database, told))


async def ended(desk: Desk, name: str, outcome: str | None, at: int = 1) -> None:
    """Write how a delivery ended: worked with an outcome, or (None) as a dead letter."""
    column = "failed_at" if outcome is None else "worked_at"
    await desk.rows(f"UPDATE events SET {column} = ?1, outcome = ?2 WHERE delivery_id = ?3", at, outcome, name)


async def test_bodies_go_before_their_rows_and_dead_letters_last(desk: Desk) -> None:
    """30 and 90 days for what was worked, 90 and 180 for what failed; what waits stays whole."""
    database = desk.context.database
    await came(desk, "applied", "failed", "suspect", "waits")
    await ended(desk, "applied", "applied")
    await ended(desk, "suspect", "suspect")
    await ended(desk, "failed", None)
    whole, empty = 1, 0

    async def after(days: int) -> dict[str, int]:
        await prune_all(database, now=days * DAY)
        return dict(await desk.rows(LEFT))  # type: ignore[arg-type]

    assert await after(30) == {"applied": whole, "failed": whole, "suspect": whole, "waits": whole}
    assert await after(31) == {"applied": empty, "failed": whole, "suspect": empty, "waits": whole}
    assert await after(90) == {"applied": empty, "failed": whole, "suspect": empty, "waits": whole}
    assert await after(91) == {"failed": empty, "waits": whole}
    assert await after(180) == {"failed": empty, "waits": whole}
    assert await after(181) == {"waits": whole}


async def test_what_nothing_reads_goes_whole_after_three_days(desk: Desk) -> None:
    """It is of no use to anybody."""
    await came(desk, "applied", "unhandled")
    await ended(desk, "applied", "applied")
    await ended(desk, "unhandled", "unhandled")
    await prune_all(desk.context.database, now=4 * DAY)
    assert await desk.rows(LEFT) == [("applied", 1)]


async def test_what_was_worked_again_lately_is_kept_from_then_on(desk: Desk) -> None:
    """An event may be replayed long after it came."""
    await came(desk, "replayed", "once")
    await ended(desk, "replayed", "applied", at=80 * DAY)
    await ended(desk, "once", "applied")
    await prune_all(desk.context.database, now=100 * DAY)
    assert await desk.rows(LEFT) == [("replayed", 1)]


@pytest.mark.parametrize("topic", ["customers/data_request", "customers/redact", "shop/redact"])
async def test_what_the_law_asks_of_us_is_kept_until_it_is_carried_out(desk: Desk, topic: str) -> None:
    """A request for somebody's data says whose only in its body; one that could not be read is a request, too."""
    await came(desk, "asked", "failed", "done", topic=topic)
    await came(desk, "seen")
    await ended(desk, "asked", "waiting")
    await ended(desk, "failed", None)
    await ended(desk, "done", "applied")
    await ended(desk, "seen", "waiting")
    await prune_all(desk.context.database, now=400 * DAY)
    assert await desk.rows(LEFT) == [("asked", 1), ("failed", 1)]


async def test_many_go_in_steps_past_those_that_stay(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction takes a few rows; a run takes so many steps, and the next one goes on."""
    monkeypatch.setattr(prune, "PRUNE_BATCH", 3)
    monkeypatch.setattr(prune, "MOST_STEPS", 4)
    database = desk.context.database
    await came(desk, *(f"stays{n}" for n in range(4)))
    await came(desk, *(f"goes{n:02}" for n in range(20)))
    await desk.rows("UPDATE events SET worked_at = 1, outcome = 'applied' WHERE delivery_id LIKE 'goes%'")
    await desk.rows("DELETE FROM event_bodies")
    assert await prune_all(database, now=91 * DAY) == 8
    assert await prune_all(database, now=91 * DAY) == 8
    assert await prune_all(database, now=91 * DAY) == 4
    assert [name for name, _ in await desk.rows(LEFT)] == ["stays0", "stays1", "stays2", "stays3"]


async def test_a_run_ends_where_events_are_too_young(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What came lately is not read through."""
    monkeypatch.setattr(prune, "PRUNE_BATCH", 2)
    await came(desk, "old0", "old1")
    await came(desk, "young0", "young1", "young2", at=50 * DAY)
    for name in ("old0", "old1", "young0", "young1", "young2"):
        await ended(desk, name, "applied", at=1)
    database: Database = desk.context.database
    pages: list[int] = []
    page = prune._prune_page

    def counted(after: int, now: int) -> object:
        pages.append(after)
        return page(after, now)

    monkeypatch.setattr(prune, "_prune_page", counted)
    await prune_all(database, now=91 * DAY)
    assert [name for name, _ in await desk.rows(LEFT)] == ["young0", "young1", "young2"]
    assert len(pages) == 2


async def test_a_delivery_repeated_after_its_row_went_is_an_event_again(desk: Desk) -> None:
    """It comes to the door like a new one; that it changes nothing is for the journeys to show."""
    await came(desk, "w1")
    await ended(desk, "w1", "applied")
    await prune_all(desk.context.database, now=91 * DAY)
    await desk.context.database.run(
        lambda: record([Delivery("shopify", LAVENDER, "w1", "note", None, 91 * DAY, b"{}")])
    )
    assert await desk.rows("SELECT delivery_id, worked_at FROM events") == [("w1", None)]
