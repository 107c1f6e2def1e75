"""What a merchant says of a reward is what its platform is asked to hold, and what customers are held to."""

from typing import Any

import pytest

from handlers.merchants.rules import Refused
from integration.clock import DAY, SECOND, from_iso
from tests.handlers.rewards.counter import FIVE, Counter


async def asked_for(counter: Counter, **offer: Any) -> Any:
    """Have Ana take a reward; returns what Shopify was asked to make."""
    await counter.offers(five={"name": "A present", "points": 500, **offer})
    assert (await counter.has()).state == "issued"
    (discount,) = counter.discounts()
    return discount.asked


async def test_a_reward_holds_for_its_products_alone(counter: Counter) -> None:
    """And one for collections for those, one for neither for everything."""
    asked = await asked_for(counter, kind="percentage_off", percent="10", products=["81", "82"])
    products = {"productsToAdd": ["gid://shopify/Product/81", "gid://shopify/Product/82"]}
    assert asked["customerGets"] == {"value": {"percentage": 0.1}, "items": {"products": products}}


async def test_a_reward_holds_for_its_collections_alone(counter: Counter) -> None:
    """As they are when the code is used."""
    asked = await asked_for(counter, kind="amount_off", value="5", collections=["7"])
    assert asked["customerGets"]["items"] == {"collections": {"add": ["gid://shopify/Collection/7"]}}


async def test_a_free_product_takes_its_price_off_that_product(counter: Counter) -> None:
    """Once for the order, however many of it are bought."""
    asked = await asked_for(counter, kind="free_product", value="24", products=["81"])
    amount = {"amount": "24.00", "appliesOnEachItem": False}
    items = {"products": {"productsToAdd": ["gid://shopify/Product/81"]}}
    assert asked["customerGets"] == {"value": {"discountAmount": amount}, "items": items}


@pytest.mark.parametrize("chosen", [(True, False, False), (False, True, False), (False, False, True)])
async def test_a_reward_is_combined_with_what_the_merchant_allows(
    counter: Counter, chosen: tuple[bool, bool, bool]
) -> None:
    """Order, product and shipping discounts, each by itself."""
    names = ("with_order_discounts", "with_product_discounts", "with_shipping_discounts")
    rules = dict(zip(names, chosen, strict=True))
    asked = await asked_for(counter, kind="free_shipping", min_order="25.50", **rules)
    combines = ("orderDiscounts", "productDiscounts", "shippingDiscounts")
    assert asked["combinesWith"] == dict(zip(combines, chosen, strict=True))
    assert asked["minimumRequirement"] == {"subtotal": {"greaterThanOrEqualToSubtotal": "25.50"}}


async def test_a_code_ends_at_the_shop_when_its_time_is_over(counter: Counter) -> None:
    """So many days after it was taken; one without an end has none there."""
    begun = counter.market.clock.now()
    asked = await asked_for(counter, kind="amount_off", value="5", valid_days=30)
    assert abs(from_iso(asked["endsAt"]) - (begun + 30 * DAY)) < 60 * SECOND
    await counter.offers(five=FIVE | {"valid_days": 0})
    await counter.has(key="second")
    assert counter.discounts()[-1].asked["endsAt"] is None


async def test_a_promotion_code_holds_once_for_its_customer_from_a_minimum_until_its_end(counter: Counter) -> None:
    """As Stripe keeps it."""
    await counter.knows_stripe()
    await counter.offers(
        five={"name": "10 %", "kind": "promotion_code", "points": 500, "percent": "10", "min_order": "20"}
    )
    mine = await counter.has()
    account = counter.stall.account
    assert account is not None and mine.expires_at is not None
    (code,) = account.rewards.all("promotion_code")
    (coupon,) = account.rewards.all("coupon")
    assert (coupon["percent_off"], coupon["amount_off"]) == (10.0, None)
    assert (code["max_redemptions"], code["customer"]) == (1, counter.ana_at_stripe)
    assert code["expires_at"] == mine.expires_at // SECOND
    assert (code["restrictions"]["minimum_amount"], code["restrictions"]["minimum_amount_currency"]) == (20_00, "usd")


async def test_a_stock_is_everybodys_and_what_comes_back_is_there_again(counter: Counter) -> None:
    """One of it: Bo finds it gone, until Ana gives hers back."""
    await counter.stall.tells(counter.stall.sells(counter.stall.people[1])[1])
    rows = await counter.market.rows("SELECT customer FROM sales WHERE merchant_id = :m", m=counter.stall.merchant)
    (bo,) = {row[0] for row in rows} - {counter.ana}
    await counter.gives(500, bo)
    await counter.offers(five=FIVE | {"stock": 1})
    mine = await counter.has()
    with pytest.raises(Refused, match="Nothing is left"):
        await counter.redeems(key="bo's", who=bo)
    await counter.cancels(mine)
    assert (await counter.redeems(key="bo's", who=bo)).state == "asked"


async def test_a_reward_for_a_tier_is_had_by_who_stands_in_it(counter: Counter) -> None:
    """And by nobody else."""
    await counter.offers(five=FIVE | {"tiers": ["gold"]})
    with pytest.raises(Refused, match="other tiers"):
        await counter.redeems()
    async with counter.context.engine.begin() as connection:
        await connection.exec_driver_sql(
            "INSERT INTO standings (merchant_id, customer, tier, since_at)"
            f" VALUES ({counter.stall.merchant}, {counter.ana}, 'gold', 0)"
        )
    assert (await counter.redeems()).state == "asked"


async def test_a_code_is_the_same_however_it_is_typed(counter: Counter) -> None:
    """Shopify takes codes in small letters, and tells of them as they were typed."""
    mine = await counter.has()
    shop = counter.stall.shop
    typed = (mine.code or "").lower()
    order, told = shop.place(counter.stall.ana, [(counter.stall.cup, 2)], discount_minor=5_00, discount_code=typed)
    await counter.stall.tells(told + shop.pay(order))
    used = await counter.now(mine)
    assert (used.state, used.used_by is not None) == ("used", True)
    assert await counter.points() == (500, 0, 500)
    await counter.is_sound()
