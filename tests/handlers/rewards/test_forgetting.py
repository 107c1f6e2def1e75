"""Whoever is forgotten leaves no code behind: it is switched off where it could be used, then it goes."""

from typing import Any

from handlers.privacy import jobs, store
from handlers.privacy.rules import WAIT_FOR_CODES
from integration.clock import DAY
from integration.database.steps import ask, plain
from tests.handlers.rewards.counter import Counter

KEPT = "SELECT state, code, platform_id, reason, key FROM redemptions ORDER BY number"


async def is_forgotten(counter: Counter) -> store.Request:
    """Ana asks to be forgotten; a run of the clock, and what becomes of it."""
    privacy, merchant = counter.context.privacy, counter.stall.merchant
    assert privacy is not None
    if not await counter.market.rows("SELECT id FROM privacy_requests"):
        now = counter.market.clock.now()
        await counter.context.database.run(lambda: privacy.forget(merchant, counter.ana, "link:nora", now))
    await jobs.carry_out(counter.context)
    return (await counter.context.database.read(lambda: store.newest(merchant, 1)))[0]


async def test_an_unused_code_is_switched_off_before_it_goes(counter: Counter) -> None:
    """The request waits for the platform, and is over once nothing of the code is left."""
    mine = await counter.has()
    assert mine.code is not None
    stands = await is_forgotten(counter)
    assert stands.done_at is None and "being switched off" in (stands.reason or "")
    await counter.asks()
    assert [one.is_off for one in counter.discounts()] == [True]
    counter.market.passes(minutes=2)
    assert (await is_forgotten(counter)).stage == "done"
    row = ("voided", None, None, None, f"forgotten-{mine.merchant_id}-{mine.number}")
    assert await counter.market.rows(KEPT) == [row]
    await counter.is_sound()


async def test_a_used_code_goes_at_once_from_the_reward_and_the_sale(counter: Counter) -> None:
    """What it was spent on stays as it was."""
    mine = await counter.has()
    await counter.spends(mine)
    before = await counter.points()
    assert (await is_forgotten(counter)).stage == "done"
    assert [row[:3] for row in await counter.market.rows(KEPT)] == [("used", None, None)]
    facts = await counter.market.rows("SELECT facts FROM sales")
    assert not any((mine.code or "") in row[0] for row in facts)
    assert await counter.points() == before
    await counter.is_sound()


async def test_a_platform_that_never_answers_does_not_hold_the_law_up(counter: Counter) -> None:
    """After three of the four weeks the code goes unasked."""

    def disconnect() -> Any:
        yield from ask(plain("UPDATE connections SET closed_at = 1, token = NULL"), ())

    await counter.has()
    await counter.redeems(key="second")
    await counter.context.database.run(disconnect)
    assert (await is_forgotten(counter)).done_at is None
    counter.market.passes(days=WAIT_FOR_CODES // DAY, minutes=-5)
    assert (await is_forgotten(counter)).done_at is None
    counter.market.passes(minutes=10)
    stands = await is_forgotten(counter)
    assert stands.stage == "done" and stands.done_at is not None and stands.done_at < stands.due_at
    rows = await counter.market.rows(KEPT)
    assert [row[:3] for row in rows] == [("expired", None, None), ("refused", None, None)]
    assert await counter.points() == (500, 0, 500), "what was never made is not set aside any longer"
    await counter.is_sound()
