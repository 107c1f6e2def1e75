"""A payment at Stripe that was made with a reward uses it up, whoever tells of it first."""

import random

import pytest

from handlers.rewards.store import Redemption
from tests.handlers.rewards.counter import Counter

OFFER = {"name": "5 off", "kind": "promotion_code", "points": 500, "value": "5", "min_order": "10"}


async def has_code(counter: Counter) -> Redemption:
    """Have Ana take a promotion code for 500 points."""
    await counter.knows_stripe()
    await counter.offers(five=OFFER)
    return await counter.has()


async def test_a_checkout_with_the_code_uses_the_reward(counter: Counter):
    """The session says which sale it was on; half of it back gives half of the points back."""
    mine = await has_code(counter)
    account = counter.stall.account
    assert account is not None
    person = account.objects[counter.ana_at_stripe]
    payment, told = account.checkout(40_00, person=person, discount=5_00, promotion_code=mine.code)
    await counter.stall.tells(told)
    used = await counter.now(mine)
    assert (used.state, used.used_by is not None) == ("used", True)
    assert await counter.points() == (500, 0, 500)
    counter.market.passes(minutes=1)
    await counter.stall.tells(account.refund(payment, 20_00)[1])
    assert await counter.points() == (750, 0, 250)
    await counter.is_sound()


@pytest.mark.parametrize("seed", range(3))
async def test_the_order_of_the_telling_does_not_matter(counter: Counter, seed: int):
    """Refund before payment, code before session, twice and shuffled."""
    mine = await has_code(counter)
    account = counter.stall.account
    assert account is not None
    person = account.objects[counter.ana_at_stripe]
    payment, told = account.checkout(40_00, person=person, discount=5_00, promotion_code=mine.code)
    counter.market.passes(minutes=1)
    told += account.refund(payment, 20_00)[1]
    dice = random.Random(seed)
    mixed = told + dice.sample(told, 2)
    dice.shuffle(mixed)
    await counter.stall.tells(mixed)
    assert await counter.points() == (750, 0, 250)
    await counter.is_sound()


async def test_a_code_used_where_no_session_tells_is_used(counter: Counter):
    """On an invoice, say: Stripe tells of the code by itself."""
    mine = await has_code(counter)
    account = counter.stall.account
    assert account is not None
    told = account.checkout(40_00, person=account.objects[counter.ana_at_stripe], promotion_code=mine.code)[1]
    await counter.stall.tells([one for one in told if one.topic == "promotion_code.updated"])
    assert (await counter.now(mine)).state == "used"
    assert await counter.points() == (500, 0, 500)
    await counter.is_sound()
