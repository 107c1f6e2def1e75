"""A sale that was made with a reward uses it up, and gives its points back as far as the goods come back."""

import random

import pytest

from tests.handlers.rewards.counter import FIVE, Counter


async def test_an_order_with_the_code_uses_the_reward(counter: Counter):
    """The order is the word on it, before Shopify counts."""
    mine = await counter.has()
    await counter.spends(mine)
    used = await counter.now(mine)
    assert (used.state, used.used_by is not None) == ("used", True)
    assert await counter.points() == (500, 0, 500)
    await counter.is_sound()


async def test_half_of_the_goods_back_gives_half_of_the_points_back(counter: Counter):
    """Two refunds of half each give all of them back, and no more."""
    mine = await counter.has()
    order = await counter.spends(mine)
    line = order.goods[0]
    await counter.stall.tells(counter.stall.shop.refund(order, {line.id: 1}))
    assert await counter.points() == (750, 0, 250)
    await counter.stall.tells(counter.stall.shop.refund(order, {line.id: 1}))
    assert await counter.points() == (1_000, 0, 0)
    assert (await counter.now(mine)).state == "used"
    await counter.is_sound()


async def test_a_cancelled_order_gives_all_points_back(counter: Counter):
    """The code stays used up: Shopify does not give it back."""
    mine = await counter.has()
    order = await counter.spends(mine)
    await counter.stall.tells(counter.stall.shop.cancel(order))
    assert await counter.points() == (1_000, 0, 0)
    await counter.is_sound()


@pytest.mark.parametrize("seed", range(4))
async def test_the_order_of_the_telling_does_not_matter(counter: Counter, seed: int):
    """Whatever comes first, twice or late, the points end in the same place."""
    mine = await counter.has()
    counter.market.passes(minutes=1)
    shop = counter.stall.shop
    order, told = shop.place(counter.stall.ana, [(counter.stall.cup, 4)], discount_minor=5_00, discount_code=mine.code)
    told += shop.pay(order)
    counter.market.passes(hours=1)
    told += shop.refund(order, {order.goods[0].id: 1})
    counter.market.passes(hours=1)
    told += shop.refund(order, {order.goods[0].id: 2})
    dice = random.Random(seed)
    mixed = told + dice.sample(told, 3)
    dice.shuffle(mixed)
    await counter.stall.tells(mixed)
    assert await counter.points() == (875, 0, 125)
    await counter.is_sound()


async def test_a_code_used_while_it_was_given_back_takes_its_points_again(counter: Counter):
    """The order came first and was told last: the reward was used, and the balance says so."""
    mine = await counter.has()
    shop = counter.stall.shop
    counter.market.passes(minutes=1)
    order, told = shop.place(counter.stall.ana, [(counter.stall.cup, 2)], discount_minor=5_00, discount_code=mine.code)
    told += shop.pay(order)
    assert (await counter.cancels(mine)).state == "voided"
    await counter.stall.tells(told)
    assert (await counter.now(mine)).state == "used"
    assert await counter.points() == (500, 0, 500)
    await counter.is_sound()


async def test_a_shared_code_that_was_used_is_taken_off_its_discount(counter: Counter):
    """Nobody else can use it once more."""
    await counter.offers(five=FIVE | {"shared": True})
    mine = await counter.has()
    await counter.spends(mine)
    await counter.asks()
    counter.market.passes(minutes=1)
    await counter.asks()
    assert counter.stall.shop.discounts.find(mine.code or "") is None
    assert (await counter.now(mine)).state == "used"
    assert await counter.points() == (500, 0, 500)


async def test_what_is_paid_after_the_reward_earns(counter: Counter):
    """Points are earned on the money, not on the points."""
    mine = await counter.has()
    await counter.spends(mine)
    rows = await counter.market.rows(
        "SELECT eligible_minor FROM sales WHERE merchant_id = :m ORDER BY number DESC", m=counter.stall.merchant
    )
    assert rows[0][0] == 2 * 24_00 - 5_00


@pytest.mark.parametrize("together", [True, False])
async def test_of_two_sales_with_one_code_the_first_counts(counter: Counter, together: bool):
    """Whether both are worked in one batch or not, and whichever was told first."""
    await counter.offers(five=FIVE | {"shared": True})
    mine = await counter.has()
    shop, told = counter.stall.shop, []
    for _ in range(2):
        counter.market.passes(minutes=1)
        order, deliveries = shop.place(
            counter.stall.ana, [(counter.stall.cup, 2)], discount_minor=5_00, discount_code=mine.code
        )
        told.append(deliveries + shop.pay(order))
    if together:
        await counter.stall.tells(told[1] + told[0])
    else:
        await counter.stall.tells(told[1])
        await counter.stall.tells(told[0])
    used = await counter.now(mine)
    rows = await counter.market.rows(
        "SELECT number FROM sales WHERE merchant_id = :m AND sold_at = :at", m=counter.stall.merchant, at=used.used_at
    )
    first = await counter.market.rows(
        "SELECT number FROM sales WHERE merchant_id = :m ORDER BY sold_at LIMIT 1 OFFSET 1", m=counter.stall.merchant
    )
    assert (used.used_by,) == rows[0] == first[0]
