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


async def test_a_code_that_is_switched_off_at_stripe_gives_its_points_back(counter: Counter):
    """The merchant voided it in the dashboard: the customer has their points again, once."""
    mine = await has_code(counter)
    account = counter.stall.account
    assert account is not None
    (code,) = account.rewards.all("promotion_code")
    told = account.switch_code(code)
    await counter.stall.tells(told + told)
    await counter.asks()
    assert (await counter.now(mine)).state == "voided"
    assert await counter.points() == (1_000, 0, 0)
    await counter.is_sound()


async def test_a_code_that_was_used_and_then_switched_off_stays_used(counter: Counter):
    """Stripe tells of the switch alone: what is looked at once more shows the use."""
    mine = await has_code(counter)
    account = counter.stall.account
    assert account is not None
    (code,) = account.rewards.all("promotion_code")
    off = account.switch_code(code)
    account.switch_code(code, active=True)
    account.checkout(40_00, person=account.objects[counter.ana_at_stripe], promotion_code=mine.code)
    await counter.stall.tells(off)
    await counter.asks()
    assert (await counter.now(mine)).state == "used"
    assert await counter.points() == (500, 0, 500)
    await counter.is_sound()


async def test_credit_for_a_record_that_is_deleted_gives_its_points_back(counter: Counter):
    """Asked for without an answer, and then the record goes; Stripe has forgotten our question by the next one."""
    await counter.knows_stripe()
    await counter.offers(five={"name": "5 off", "kind": "balance_credit", "points": 500, "value": "5"})
    api, account = counter.market.stripe_api, counter.stall.account
    assert api is not None and account is not None
    api.drop_next = [500] * 3
    wanted = await counter.redeems()
    await counter.asks()
    assert (await counter.now(wanted)).state == "asked"
    await counter.stall.tells(account.forget_customer(account.objects[counter.ana_at_stripe]))
    counter.market.passes(hours=26)
    await counter.asks()
    refused = await counter.now(wanted)
    assert (refused.state, refused.reason) == ("refused", "The customer's record at Stripe was deleted.")
    assert await counter.points() == (1_000, 0, 0)
    await counter.is_sound()


async def test_a_question_that_is_still_under_way_at_stripe_may_be_done(counter: Counter):
    """Stripe answers 409 to the same question beside the first: it counts as one that has no clear answer."""
    await counter.knows_stripe()
    await counter.offers(five=OFFER)
    api = counter.market.stripe_api
    assert api is not None
    api.fail_next = [409] * 3
    wanted = await counter.redeems()
    await counter.asks()
    waiting = await counter.now(wanted)
    assert (waiting.state, waiting.tried_at is not None) == ("asked", True)
    counter.market.passes(minutes=1)
    await counter.asks()
    assert (await counter.now(wanted)).state == "issued"
