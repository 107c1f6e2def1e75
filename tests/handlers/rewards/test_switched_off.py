"""Discounts that the merchant switches off or deletes at the shop: noticed, told, and no dead code is handed out."""

import json
from typing import Any

import pytest

from config.wiring import COUNTS
from handlers.insights.store import state
from handlers.insights.views import needs
from handlers.merchants.rules import Refused
from handlers.rewards import changes, feeds
from handlers.rewards.kinds import discounts_off
from handlers.rewards.kinds.discounts_off import SwitchedOff
from handlers.rewards.store import Redemption
from integration.database.steps import ask, plain
from integration.sandbox.shopify_discounts import Discount
from tests.handlers.rewards.counter import FIVE, Counter

SHARED = FIVE | {"shared": True, "points": 100}


async def has_codes(counter: Counter, count: int = 2) -> list[Redemption]:
    """Ana has codes under one discount."""
    await counter.offers(five=SHARED)
    wanted = [await counter.redeems(key=f"wish-{n}") for n in range(count)]
    for _ in range(4):
        await counter.asks()
        counter.market.passes(minutes=1)
    return [await counter.now(each) for each in wanted]


async def is_switched_off(counter: Counter) -> list[SwitchedOff]:
    """What is known to be off."""
    return await counter.context.database.read(lambda: discounts_off.known(counter.stall.merchant))


async def journaled(counter: Counter) -> list[Any]:
    """What the shop was seen to have done."""
    sql = "SELECT did FROM journal WHERE merchant_id = :m AND who = 'Shopify' ORDER BY at"
    return [row[0] for row in await counter.market.rows(sql, m=counter.stall.merchant)]


async def test_no_code_is_added_to_a_discount_that_is_off(counter: Counter) -> None:
    """Whoever wants one gets the points back with the reason, and nobody can want another."""
    await has_codes(counter)
    (discount,) = counter.discounts()
    discount.is_off = True
    wanted = await counter.redeems(key="late")
    for _ in range(3):
        await counter.asks()
        counter.market.passes(minutes=1)
    refused = await counter.now(wanted)
    assert (refused.state, "switched off" in (refused.reason or "")) == ("refused", True)
    assert (len(discount.codes), await counter.points()) == (2, (800, 0, 200))
    with pytest.raises(Refused, match="does not give this reward at the moment"):
        await counter.redeems(key="later")
    shop_offers = counter.context.spending
    assert shop_offers is not None
    shop = (await counter.context.database.read(lambda: changes.shops([counter.stall.merchant])))[
        counter.stall.merchant
    ]
    now = counter.market.clock.now()
    assert await counter.context.database.read(lambda: shop_offers.offers(shop, counter.ana, now)) == []
    assert await journaled(counter) == ["has a reward's discount switched off"]
    await counter.is_sound()


async def test_a_look_a_day_notices_a_discount_that_is_off_and_on_again(counter: Counter) -> None:
    """The codes customers have stay theirs: the merchant may switch it on again."""
    mine = await has_codes(counter)
    (discount,) = counter.discounts()
    discount.is_off = True
    assert await feeds.look_due(counter.context) == 1
    assert [each.reward for each in await is_switched_off(counter)] == ["five"]
    assert {(await counter.now(each)).state for each in mine} == {"issued"}
    assert await feeds.look_due(counter.context) == 0
    discount.is_off = False
    counter.market.passes(days=1)
    assert await feeds.look_due(counter.context) == 1
    assert await is_switched_off(counter) == []
    assert (await counter.redeems(key="again")).state == "asked"
    assert len(await journaled(counter)) == 1


async def test_somebody_can_have_it_looked_at_at_once(counter: Counter) -> None:
    """And is told where the shop could not be asked."""
    await has_codes(counter)
    (discount,) = counter.discounts()
    discount.is_off = True
    await feeds.look_due(counter.context)
    discount.is_off = False
    counter.market.pretend.fail_next = [503] * 5
    assert not await feeds.look_again(counter.context, counter.stall.merchant)
    assert len(await is_switched_off(counter)) == 1
    counter.market.pretend.fail_next = []
    assert await feeds.look_again(counter.context, counter.stall.merchant)
    assert await is_switched_off(counter) == []


async def hears(counter: Counter, discount: Discount, **lies: Any) -> None:
    """Shopify tells that somebody changed a discount, and a minute passes."""
    topic, body = counter.stall.shop.discounts.told(discount, counter.market.clock.now())
    body = json.dumps(json.loads(body) | lies).encode()
    await counter.stall.tells([counter.stall.shop.deliver_as(topic, body)])
    await feeds.look_at_changed(counter.context)
    await counter.asks()


@pytest.mark.parametrize("says", ["ACTIVE", "EXPIRED"])
async def test_a_discount_that_somebody_changed_is_looked_at_at_once(counter: Counter, says: str) -> None:
    """What Shopify tells may be late: how the discount stands is asked, whatever was told."""
    await has_codes(counter)
    (discount,) = counter.discounts()
    for is_off, known in ((False, []), (True, ["five"]), (False, [])):
        discount.is_off = is_off
        await hears(counter, discount, status=says)
        assert [each.reward for each in await is_switched_off(counter)] == known
    assert await journaled(counter) == ["has a reward's discount switched off"]
    assert await counter.market.rows("SELECT * FROM discount_changes") == []


async def test_codes_of_a_discount_give_their_points_back_when_it_is_told_that_it_was_deleted(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are, some at a time; another discount of the shop is no affair of ours."""
    mine = await has_codes(counter, 3)
    monkeypatch.setattr(feeds, "PAGE", 2)
    (discount,) = counter.discounts()
    counter.stall.shop.discounts.delete(discount)
    other = Discount(999, discount.kind, discount.asked)
    await hears(counter, other)
    assert {(await counter.now(each)).state for each in mine} == {"issued"}
    await hears(counter, discount)
    await feeds.look_at_changed(counter.context)
    await counter.asks()
    assert {(await counter.now(each)).state for each in mine} == {"voided"}
    assert await counter.points() == (1_000, 0, 0)
    assert await counter.market.rows("SELECT * FROM discount_changes") == []
    await counter.is_sound()


async def test_a_shop_that_is_away_is_looked_at_later_for_what_was_changed(counter: Counter) -> None:
    """Not in a day."""
    await has_codes(counter)
    (discount,) = counter.discounts()
    discount.is_off = True
    counter.market.pretend.fail_next = [503] * 5
    await hears(counter, discount)
    assert await is_switched_off(counter) == []
    counter.market.pretend.fail_next = []
    assert await feeds.look_at_changed(counter.context) == 0
    counter.market.passes(minutes=16)
    assert await feeds.look_at_changed(counter.context) == 1
    assert len(await is_switched_off(counter)) == 1


async def test_codes_of_a_deleted_discount_give_their_points_back(counter: Counter) -> None:
    """Nobody can bring them back, so nobody waits until they lapse."""
    mine = await has_codes(counter)
    counter.stall.shop.discounts.delete(counter.discounts()[0])
    await feeds.look_due(counter.context)
    await counter.asks()
    assert {(await counter.now(each)).state for each in mine} == {"voided"}
    assert await counter.points() == (1_000, 0, 0)
    await counter.is_sound()


@pytest.mark.parametrize("how", ["switched off", "deleted"])
async def test_a_code_of_its_own_that_the_merchant_ends_gives_its_points_back(counter: Counter, how: str) -> None:
    """It was one customer's: the merchant has taken it away from them, and another one's stays."""
    first, second = await counter.has(), await counter.has(key="second")
    found = counter.stall.shop.discounts.find(first.code or "")
    assert found is not None
    if how == "deleted":
        counter.stall.shop.discounts.delete(found[0])
    else:
        found[0].is_off = True
    await feeds.look_due(counter.context)
    await counter.asks()
    assert [(await counter.now(each)).state for each in (first, second)] == ["voided", "issued"]
    assert await counter.points() == (500, 0, 500)
    assert await is_switched_off(counter) == []
    await counter.is_sound()


async def test_a_used_code_of_a_discount_that_is_off_stays_used(counter: Counter) -> None:
    """The order that used it has not been told of yet."""
    mine = await counter.has()
    order, told = counter.stall.shop.place(
        counter.stall.ana, [(counter.stall.cup, 2)], discount_minor=5_00, discount_code=mine.code
    )
    counter.discounts()[0].is_off = True
    await feeds.look_due(counter.context)
    await counter.asks()
    await counter.stall.tells(told + counter.stall.shop.pay(order))
    assert (await counter.now(mine)).state == "used"
    assert await counter.points() == (500, 0, 500)
    await counter.is_sound()


async def test_the_points_of_all_unused_codes_can_be_given_back(counter: Counter) -> None:
    """Where the merchant has ended a discount for good; what was used stays used."""
    first, second, third = await has_codes(counter, 3)
    await counter.spends(first)
    (discount,) = counter.discounts()
    discount.is_off = True
    await feeds.look_due(counter.context)
    (off,) = await is_switched_off(counter)
    now = counter.market.clock.now()
    given = await counter.context.database.run(
        lambda: changes.give_back_all(counter.stall.merchant, off.platform_id, now)
    )
    await counter.asks()
    counter.market.passes(minutes=1)
    await counter.asks()
    assert given == 2
    assert [(await counter.now(each)).state for each in (first, second, third)] == ["used", "voided", "voided"]
    assert await counter.points() == (900, 0, 100)
    assert discount.codes == []
    await counter.is_sound()


async def test_a_shop_that_is_away_is_looked_at_later(counter: Counter) -> None:
    """Nothing is taken back because a question failed."""
    mine = await has_codes(counter)
    counter.market.pretend.fail_next = [503] * 5
    await feeds.look_due(counter.context)
    counter.market.pretend.fail_next = []
    assert {(await counter.now(each)).state for each in mine} == {"issued"}
    assert await feeds.look_due(counter.context) == 0
    counter.market.passes(hours=7)
    assert await feeds.look_due(counter.context) == 1


async def test_a_shop_with_many_codes_is_looked_at_in_parts(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next run goes on behind the last one."""
    monkeypatch.setattr(feeds, "PAGE", 1)
    monkeypatch.setattr(feeds, "MOST_PAGES", 1)
    mine = [await counter.has(), await counter.has(key="second")]
    for discount in counter.discounts():
        discount.is_off = True
    for _ in range(3):
        await feeds.look_due(counter.context)
        counter.market.passes(minutes=16)
    await counter.asks()
    assert {(await counter.now(each)).state for each in mine} == {"voided"}
    rows = await counter.context.database.read(lambda: ask(plain("SELECT after_number FROM discount_looks"), ()))
    assert [tuple(row) for row in rows] == [(0,)]


async def test_home_says_what_needs_the_merchant(counter: Counter) -> None:
    """Switched off, waiting for more than an hour, and given up: each with where to go."""

    async def titles() -> list[tuple[str, str]]:
        now, merchant = counter.market.clock.now(), counter.stall.merchant
        standing = await counter.context.database.read(lambda: state(merchant, COUNTS, now))
        return [(need.title, need.href) for need in needs(standing, paused=False) if "/rewards" in need.href]

    await has_codes(counter)
    (discount,) = counter.discounts()
    discount.is_off = True
    await counter.redeems(key="late")
    await counter.asks()
    assert await titles() == [
        ("1 reward is switched off in Shopify", "/app/rewards"),
        ("1 reward could not be made in the last 7 days", "/app/rewards?state=refused"),
    ]
    discount.is_off = False
    await feeds.look_again(counter.context, counter.stall.merchant)
    counter.market.pretend.fail_next = [503] * 9
    await counter.redeems(key="waits")
    await counter.asks()
    counter.market.passes(hours=2)
    assert ("1 reward has waited for more than an hour", "/app/rewards?state=open") in await titles()
    counter.market.passes(days=8)
    assert len(await titles()) == 1


async def test_what_is_ended_for_good_is_no_news_any_more(counter: Counter) -> None:
    """Taken out of the programme, and its points given back: nobody misses the discount."""
    await has_codes(counter)
    counter.discounts()[0].is_off = True
    await feeds.look_due(counter.context)
    (off,) = await is_switched_off(counter)
    await counter.offers(other=FIVE)
    await feeds.look_again(counter.context, counter.stall.merchant)
    assert len(await is_switched_off(counter)) == 1
    now = counter.market.clock.now()
    await counter.context.database.run(lambda: changes.give_back_all(counter.stall.merchant, off.platform_id, now))
    await feeds.look_again(counter.context, counter.stall.merchant)
    assert await is_switched_off(counter) == []
