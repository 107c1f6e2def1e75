"""Points of a reward that come back go where they came from, and live a little longer where that has lapsed."""

from handlers.merchants.programs import change_program
from handlers.points.jobs import enrol_holders, expire_due
from integration.clock import SECOND
from tests.handlers.rewards.counter import Counter


async def has_terms(counter: Counter, months: int) -> None:
    """Let points lapse by age."""
    settings = {"expiry.enabled": True, "expiry.after": "age", "expiry.months": months}
    now = counter.market.clock.now() - SECOND
    await counter.context.database.run(lambda: change_program(counter.stall.merchant, settings, now))


async def the_clock_comes_by(counter: Counter) -> None:
    """What has lapsed is posted."""
    await enrol_holders(counter.context)
    await expire_due(counter.context)


async def test_points_that_come_back_lapse_with_their_lot(counter: Counter):
    """Taken on the 20th day and back on the 40th, they lapse when they would have: no reward makes points younger."""
    await has_terms(counter, 2)
    counter.market.passes(days=20)
    mine = await counter.has()
    counter.market.passes(days=20)
    await counter.cancels(mine)
    assert (await counter.points())[0] >= 1_000
    counter.market.passes(days=25)
    await the_clock_comes_by(counter)
    assert (await counter.points())[0] < 500
    await counter.is_sound()


async def test_points_that_come_back_after_their_lot_has_lapsed_live_thirty_days_more(counter: Counter):
    """They are not lost by having been away, and not young again either."""
    await has_terms(counter, 1)
    mine = await counter.has()
    counter.market.passes(days=60)
    await the_clock_comes_by(counter)
    await counter.cancels(mine)
    await the_clock_comes_by(counter)
    assert (await counter.points())[0] == 500
    counter.market.passes(days=29)
    await the_clock_comes_by(counter)
    assert (await counter.points())[0] == 500
    await counter.is_sound()
    counter.market.passes(days=2)
    await the_clock_comes_by(counter)
    assert (await counter.points())[0] == 24, "what her order brought, which was released meanwhile"
    await counter.is_sound()
