"""Points are spent on a reward exactly once, whatever the platform does meanwhile."""

import asyncio
from pathlib import Path

import pytest

from handlers.merchants.programs import change_program
from handlers.merchants.rules import Refused
from handlers.points.statement import balances
from handlers.rewards import changes
from handlers.rewards.changes import Wish
from handlers.watch.store import take_readings
from integration.clock import HOUR
from integration.database.engine import Database
from integration.sandbox.shopify_api import HANGS
from tests.handlers.rewards.counter import FIVE, PLATFORMS, Counter


async def test_points_become_a_code_that_only_their_owner_can_use(counter: Counter):
    """Reserved while Shopify is asked, spent once the code is there; one use, by Ana, within its time."""
    wanted = await counter.redeems()
    assert (wanted.state, await counter.points()) == ("asked", (500, 500, 0))
    await counter.asks()
    mine = await counter.now(wanted)
    assert (mine.state, await counter.points()) == ("issued", (500, 0, 500))
    (discount,) = counter.discounts()
    assert [code.text for code in discount.codes] == [mine.code]
    assert discount.asked["usageLimit"] == 1
    assert discount.customers == [str(counter.stall.ana.id)]
    assert discount.asked["customerGets"]["value"] == {"discountAmount": {"amount": "5.00", "appliesOnEachItem": False}}
    assert discount.asked["minimumRequirement"] == {"subtotal": {"greaterThanOrEqualToSubtotal": "10"}}
    assert mine.expires_at is not None
    await counter.is_sound()


async def test_the_same_wish_twice_is_one_reward(counter: Counter):
    """A form sent twice, or a page reloaded, costs once."""
    first, second = await counter.redeems(), await counter.redeems()
    assert first == second
    await counter.asks()
    again = await counter.redeems()
    assert again.state == "issued"
    assert await counter.points() == (500, 0, 500)


async def test_a_key_of_another_wish_buys_nothing(counter: Counter):
    """A key stands for one wish of one person."""
    await counter.redeems()
    await counter.offers(five=FIVE, ten=FIVE | {"points": 400})
    with pytest.raises(Refused):
        await counter.redeems("ten")
    assert await counter.points() == (500, 500, 0)


async def test_sixty_four_wishes_at_once_get_what_the_points_pay_for(counter: Counter):
    """Two of 64 fit into 1,000 points; the others are told how many are missing."""

    async def one(number: int) -> bool:
        try:
            await counter.redeems(key=f"wish-{number}")
        except Refused as refused:
            assert "500 more points are needed" in str(refused)
            return False
        return True

    outcomes = await asyncio.gather(*(one(number) for number in range(64)))
    assert sum(outcomes) == 2
    assert await counter.points() == (0, 1_000, 0)
    await counter.asks()
    assert await counter.points() == (0, 0, 1_000)
    assert len(counter.discounts()) == 2
    await counter.is_sound()


async def test_two_processes_sell_no_more_than_the_points_pay_for(counter: Counter, database_url: str, data_dir: Path):
    """64 wishes at once through two programs' connections: ten at 100 points each fit into 1,000, and no more."""
    await counter.offers(each=FIVE | {"points": 100})
    now, merchant, ana = counter.market.clock.now(), counter.stall.merchant, counter.ana
    other = await Database.open(database_url, data_dir)

    async def one(number: int) -> bool:
        database = other if number % 2 else counter.context.database
        try:
            await database.run(lambda: changes.redeem(Wish(merchant, ana, "each", 1, f"wish-{number}"), PLATFORMS, now))
        except Refused:
            return False
        return True

    try:
        outcomes = await asyncio.gather(*(one(number) for number in range(64)))
    finally:
        await other.close()
    assert sum(outcomes) == 10
    assert await counter.points() == (0, 1_000, 0)
    rows = await counter.market.rows("SELECT count(*), sum(micropoints) FROM ledger_entries WHERE key LIKE 'redeem:%'")
    assert [int(value) for value in rows[0]] == [10, 1_000_000_000]
    await counter.is_sound()


async def test_an_answer_that_got_lost_makes_no_second_code(counter: Counter):
    """Shopify made the code and its answer never came: the code is found, and the points are spent once."""
    counter.market.pretend.drop_next = [502, 504]
    wanted = await counter.redeems()
    await counter.asks()
    waiting = await counter.now(wanted)
    assert (waiting.state, waiting.attempts) == ("asked", 1)
    assert "502" in (waiting.reason or "")
    assert await counter.points() == (500, 500, 0)
    counter.market.passes(minutes=1)
    await counter.asks()
    assert (await counter.now(wanted)).state == "issued"
    assert len(counter.discounts()) == 1
    assert await counter.points() == (500, 0, 500)


async def test_a_platform_that_is_away_is_asked_again_later(counter: Counter):
    """Each time a little later, and the points wait set aside."""
    counter.market.pretend.fail_next = [503, 503]
    counter.market.pretend.hang_seconds = 0
    wanted = await counter.redeems()
    for attempt in (1, 2):
        assert await counter.asks() == 1
        assert await counter.asks() == 0
        assert (await counter.now(wanted)).attempts == attempt
        counter.market.passes(minutes=2)
    await counter.asks()
    assert (await counter.now(wanted)).state == "issued"
    assert HANGS == 0


async def test_what_waits_for_a_platform_is_told_with_its_age(counter: Counter):
    """Whoever watches sees how many wait, and since when the oldest does; what is done is not counted."""
    begun = counter.market.clock.now()
    counter.market.pretend.fail_next = [503]
    wanted = await counter.redeems()
    await counter.asks()
    now = counter.market.clock.now() + HOUR
    read = await counter.context.database.read(lambda: take_readings(now))
    assert (read.rewards, read.reward_waits_since) == ({"asked": 1}, begun)
    counter.market.passes(minutes=1)
    await counter.asks()
    assert (await counter.now(wanted)).state == "issued"
    assert (await counter.context.database.read(lambda: take_readings(now))).rewards == {}


async def test_what_the_platform_will_never_make_gives_the_points_back(counter: Counter):
    """A scope that is missing for good: after some tries the points come back, with the reason."""
    counter.stall.shop.scopes = ("read_orders",)
    wanted = await counter.redeems()
    for _ in range(8):
        await counter.asks()
        counter.market.passes(hours=2)
    refused = await counter.now(wanted)
    assert refused.state == "refused"
    assert "scope" in (refused.reason or "")
    assert await counter.points() == (1_000, 0, 0)
    await counter.is_sound()


async def test_an_unused_code_can_be_given_back(counter: Counter):
    """First the code is switched off, then the points come back."""
    mine = await counter.has()
    counter.market.pretend.fail_next = [503]
    waiting = await counter.cancels(mine)
    assert (waiting.state, await counter.points()) == ("returning", (500, 0, 500))
    assert not counter.discounts()[0].is_off
    counter.market.passes(minutes=1)
    await counter.asks()
    assert (await counter.now(mine)).state == "voided"
    merchant = counter.stall.merchant
    shown = await counter.context.database.read(lambda: balances(merchant, [counter.ana]))
    assert (shown[counter.ana]["available"], shown[counter.ana]["lifetime"]) == (1_000, 1_000)
    assert counter.discounts()[0].is_off
    assert await counter.points() == (1_000, 0, 0)
    await counter.is_sound()


async def test_a_code_that_was_used_meanwhile_is_not_given_back(counter: Counter):
    """Shopify counted a use before its order was told: the points stay spent."""
    mine = await counter.has()
    assert mine.code is not None
    counter.stall.shop.discounts.use(mine.code, str(counter.stall.ana.id))
    counter.stall.shop.discounts.count()
    assert (await counter.cancels(mine)).state == "used"
    assert await counter.points() == (500, 0, 500)
    with pytest.raises(Refused, match="used"):
        await counter.cancels(mine)


async def test_a_code_that_lapses_unused_gives_its_points_back(counter: Counter):
    """The default: what was not used is not lost."""
    mine = await counter.has()
    counter.market.passes(days=91)
    await counter.lapses()
    over = await counter.now(mine)
    assert (over.state, over.reason) == ("voided", "it lapsed unused")
    assert await counter.points() == (1_000, 0, 0)
    await counter.is_sound()


async def test_a_programme_may_keep_the_points_of_what_lapsed(counter: Counter):
    """Where the merchant chose so."""
    mine = await counter.has()
    now = counter.market.clock.now()
    changed = {"rewards.return_expired": False}
    await counter.context.database.run(lambda: change_program(counter.stall.merchant, changed, now))
    counter.market.passes(days=91)
    await counter.lapses()
    assert (await counter.now(mine)).state == "expired"
    assert (await counter.points())[2] == 500
    await counter.is_sound()


async def test_any_multiple_of_an_incremental_reward(counter: Counter):
    """Seven steps of 100 points are 7.00 off."""
    offer = {"name": "1 off per 100", "kind": "amount_off", "points": 100, "value": "1", "incremental": True}
    await counter.offers(each=offer)
    mine = await counter.has("each", steps=7)
    assert (mine.points, mine.value_minor) == (700, 7_00)
    assert counter.discounts()[0].asked["customerGets"]["value"]["discountAmount"]["amount"] == "7.00"
    with pytest.raises(Refused, match="100 more points"):
        await counter.redeems("each", key="more", steps=4)


async def test_codes_that_share_a_discount_are_added_to_one(counter: Counter):
    """One discount in the shop's list, a code for each customer, switched off one by one."""
    await counter.offers(five=FIVE | {"shared": True})
    first, second = await counter.has(key="a"), await counter.has(key="b")
    counter.market.passes(minutes=1)
    await counter.asks()
    assert (await counter.now(second)).state == "issued"
    (discount,) = counter.discounts()
    assert [code.text for code in discount.codes] == [first.code, second.code]
    await counter.cancels(first)
    counter.market.passes(minutes=1)
    await counter.asks()
    assert (await counter.now(first)).state == "voided"
    assert [code.text for code in discount.codes] == [second.code]
    assert await counter.points() == (500, 0, 500)


@pytest.mark.parametrize(
    ("offer", "words"),
    [
        ({"stock": 0}, "Nothing is left"),
        ({"enabled": False}, "not offered any more"),
        ({"starts": "2030-01-01"}, "not offered yet"),
        ({"ends": "2026-01-01"}, "is over"),
        ({"tiers": ["Gold"]}, "other tiers"),
        ({"points": 5_000}, "4000 more points"),
    ],
)
async def test_what_cannot_be_had_is_refused_in_words(counter: Counter, offer, words):
    """Nothing is set aside for it."""
    await counter.offers(five=FIVE | offer)
    with pytest.raises(Refused, match=words):
        await counter.redeems()
    assert await counter.points() == (1_000, 0, 0)


async def test_a_customer_has_a_reward_as_often_as_it_says(counter: Counter):
    """What came back does not count."""
    await counter.offers(five=FIVE | {"per_customer": 1})
    mine = await counter.has()
    with pytest.raises(Refused, match="as often as"):
        await counter.redeems(key="second")
    await counter.cancels(mine)
    assert (await counter.has(key="third")).state == "issued"


async def test_a_reward_that_is_handed_over(counter: Counter):
    """No platform is asked; the merchant says when it was handed over."""
    offer = {"name": "A walk through the kiln", "kind": "by_hand", "points": 300, "instructions": "Show this code."}
    await counter.offers(walk=offer)
    mine = await counter.has("walk")
    assert (mine.state, await counter.points()) == ("issued", (700, 0, 300))
    now = counter.market.clock.now()
    given = await counter.context.database.run(lambda: changes.handed_over(counter.stall.merchant, mine.number, now))
    assert given.state == "used"
    with pytest.raises(Refused):
        await counter.cancels(mine)


async def test_who_was_merged_gets_the_code_under_the_record_that_is_left(counter: Counter):
    """Shopify knows the other record no more: a discount for it could be used by nobody."""
    shop = counter.stall.shop
    other, told = shop.welcome("Anna", "Diaz", "anna@1.example")
    counter.market.passes(minutes=1)
    await counter.stall.tells(told + shop.merge_customers(other, counter.stall.ana))
    mine = await counter.has()
    assert mine.state == "issued"
    assert counter.discounts()[0].customers == [str(other.id)]


async def test_an_answer_that_got_lost_is_looked_for_where_it_was_asked(counter: Counter):
    """Whoever is merged meanwhile: what was made for the old record is found, and nothing is made twice."""
    counter.market.pretend.drop_next = [502]
    wanted = await counter.redeems()
    await counter.asks()
    waiting = await counter.now(wanted)
    assert (waiting.buyer, waiting.connection is not None) == (str(counter.stall.ana.id), True)
    shop = counter.stall.shop
    other, told = shop.welcome("Anna", "Diaz", "anna@1.example")
    counter.market.passes(minutes=1)
    await counter.stall.tells(told + shop.merge_customers(other, counter.stall.ana))
    await counter.asks()
    assert (await counter.now(wanted)).state == "issued"
    assert len(counter.discounts()) == 1


async def test_a_failure_of_our_own_waits_longer_each_time(counter: Counter, monkeypatch: pytest.MonkeyPatch):
    """It says so, holds up no other, and is not tried every moment."""
    wanted = await counter.redeems()
    kind = counter.context.rewards["amount_off"]

    async def fails(*_: object) -> None:
        raise KeyError("a fault of ours")

    monkeypatch.setattr(type(kind), "issue", fails)
    for attempt in (1, 2):
        await counter.asks()
        now = await counter.now(wanted)
        assert (now.state, now.attempts, now.reason) == ("asked", attempt, "We failed inside (KeyError).")
        counter.market.passes(minutes=5)
    monkeypatch.undo()
    await counter.asks()
    assert (await counter.now(wanted)).state == "issued"
