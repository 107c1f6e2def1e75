"""What lapses unused, and from when: its time begins once it can be used, and ends before nobody's word counts."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from handlers.merchants.programs import change_program
from handlers.merchants.rules import Program
from handlers.rewards import changes, jobs
from handlers.rewards.settle import RewardsSettler
from handlers.rewards.store import Redemption
from integration.clock import DAY, HOUR
from tests.handlers.rewards.counter import FIVE, Counter


async def keeps_what_lapsed(counter: Counter) -> None:
    """The merchant chose that points of what lapses unused stay spent."""
    now, changed = counter.market.clock.now(), {"rewards.return_expired": False}
    await counter.context.database.run(lambda: change_program(counter.stall.merchant, changed, now))


async def test_whoever_gave_it_back_in_time_has_their_points(counter: Counter):
    """However long the platform takes to switch the code off, and whatever the programme does with what lapses."""
    mine = await counter.has()
    await keeps_what_lapsed(counter)
    counter.market.passes(days=89)
    counter.market.pretend.fail_next = [503] * 4
    waiting = await counter.cancels(mine)
    assert waiting.state == "returning"
    counter.market.pretend.fail_next = []
    counter.market.passes(days=2)
    await counter.asks()
    assert (await counter.now(mine)).state == "voided"
    assert await counter.points() == (1_000, 0, 0)
    await counter.is_sound()


async def test_its_time_begins_once_the_platform_is_asked(counter: Counter):
    """A shop whose access is away for ten days takes nothing of the ninety."""
    counter.stall.shop.scopes = ()
    wanted = await counter.redeems()
    assert wanted.expires_at == wanted.asked_at + 90 * DAY
    await counter.asks()
    assert (await counter.now(wanted)).state == "asked"
    counter.stall.shop.scopes = ("write_discounts",)
    counter.market.passes(days=10)
    await counter.asks()
    mine = await counter.now(wanted)
    assert (mine.state, ((mine.expires_at or 0) - wanted.asked_at) // DAY) == ("issued", 100)
    (discount,) = counter.discounts()
    assert discount.asked["endsAt"] > discount.asked["startsAt"]


async def test_one_that_cannot_be_looked_after_holds_up_no_other(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Page by page, past what fails, and in one run."""
    await counter.offers(five=FIVE | {"points": 100})
    mine = [await counter.has(key=f"wish-{n}") for n in range(3)]
    real = changes.lapse

    def fails(merchant_id: int, number: int, now: int) -> Any:
        if number == mine[0].number:
            raise KeyError("a fault of ours")
        return real(merchant_id, number, now)

    monkeypatch.setattr(changes, "lapse", fails)
    monkeypatch.setattr(jobs, "LAPSED_AT_ONCE", 1)
    counter.market.passes(days=91)
    await counter.lapses()
    assert [(await counter.now(each)).state for each in mine] == ["issued", "voided", "voided"]
    await counter.is_sound()


async def closed(counter: Counter, at: int | None) -> None:
    """The shop's connection is closed, or open again."""
    value = "NULL" if at is None else str(at)
    async with counter.context.engine.begin() as connection:
        await connection.exec_driver_sql(f"UPDATE connections SET closed_at = {value}")


async def test_a_closed_account_is_looked_for_less_and_less(counter: Counter):
    """And what was to be taken back there is taken back once it is open again."""
    mine = await counter.has()
    await closed(counter, counter.market.clock.now())
    waits = []
    waiting: Redemption = await counter.cancels(mine)
    for _ in range(5):
        assert (waiting.state, waiting.reason) == ("returning", "Shopify is not connected.")
        waits.append(((waiting.next_at or 0) - counter.market.clock.now()) // HOUR)
        counter.market.passes(hours=waits[-1])
        await counter.asks()
        waiting = await counter.now(mine)
    assert waits == [1, 3, 12, 24, 24]
    await closed(counter, None)
    counter.market.passes(days=1)
    await counter.asks()
    assert (await counter.now(mine)).state == "voided"


def test_a_shop_that_never_offered_rewards_costs_no_question() -> None:
    """Every order with some coupon would look for it otherwise."""
    shop = SimpleNamespace(versions=[SimpleNamespace(program=Program())])
    steps = RewardsSettler().settle([cast(Any, SimpleNamespace(shop=shop))], 0)
    with pytest.raises(StopIteration):
        next(steps)
