"""However a history is told around the days on which points lapse, the books agree and nobody owes what has lapsed."""

import asyncio
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.inbox.work import drain
from handlers.merchants.connections import find_merchant
from handlers.points.audit import audit_books
from handlers.points.expiry import enrol, look
from tests.oracle.tellings import DAY
from tests.properties.conftest import EXAMPLES
from tests.properties.histories import History, histories, planned
from tests.properties.plays import Stage
from tests.properties.tape import NOW, micros

ALL = 10_000
# What changes a sale after its points may have lapsed.
LATER = (
    "order: all", "order: pieces twice", "order: discrepancy", "order: edit up", "payment: refund twice",
    "order: dispute needs_response lost", "order: dispute needs_response under_review won", "person: merge",
)  # fmt: skip


@settings(settings.get_profile("ends"), max_examples=max(EXAMPLES // 2, 1))
@given(
    history=st.one_of(histories(), st.sampled_from(LATER).flatmap(planned)),
    after=st.sampled_from(["inactivity", "age"]),
    months=st.sampled_from([1, 2, 3]),
    cut=st.sampled_from([0.25, 0.5, 0.75]),
    days=st.lists(st.integers(1, 100), min_size=2, max_size=4),
)
def test_points_that_lapse_between_tellings_leave_books_that_agree(
    stage: Stage, runner: asyncio.Runner, history: History, after: str, months: int, cut: float, days: list[int]
) -> None:
    """Some is told, time passes and points lapse, the rest is told late: refunds, disputes, merges and all."""
    runner.run(_told_around(stage, history, {"enabled": True, "after": after, "months": months}, cut, days))


async def _told_around(stage: Stage, history: History, terms: dict[str, object], cut: float, days: list[int]) -> None:
    programmes = tuple(replace(p, document={**p.document, "expiry": terms}) for p in history.shop.programmes)
    stage.set_clock(micros(NOW))
    mine = await stage.welcome(replace(history, shop=replace(history.shop, programmes=programmes)))
    database = stage.context.database
    merchant = await database.read(lambda: find_merchant(mine.shop.name))
    middle = int(len(mine.deliveries) * cut)
    now = micros(NOW)
    for part in (mine.deliveries[:middle], mine.deliveries[middle:]):
        await stage.play(part, [3])
        for each in days:
            now += each * DAY
            stage.set_clock(now)
            await drain(stage.context)
            await _lapse(stage, merchant, now)
            await _agrees(stage, merchant, now)


async def _lapse(stage: Stage, merchant: int, now: int) -> None:
    """Look at everybody, twice: the second time posts nothing."""
    database = stage.context.database
    await database.run(lambda: enrol(merchant, "", ALL, now))
    people = [row[0] for row in await stage._rows("SELECT customer FROM expiries", merchant)]
    await database.run(lambda: look(merchant, people, now))
    before = await stage._rows("SELECT max(number) FROM ledger_entries", merchant)
    await database.run(lambda: look(merchant, people, now))
    assert await stage._rows("SELECT max(number) FROM ledger_entries", merchant) == before


async def _agrees(stage: Stage, merchant: int, now: int) -> None:
    findings = await stage.context.database.read(lambda: audit_books(merchant, now))
    assert (findings.drifts, findings.behind) == ([], 0)
    # Nothing is spent in these histories, so nothing can be owed: lapsed points are never taken a second time.
    owed = await stage._rows("SELECT account, micropoints FROM accounts", merchant, "AND micropoints < 0")
    assert [account for account, _ in owed if not account.endswith("program:issued")] == []
