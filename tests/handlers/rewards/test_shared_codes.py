"""Codes that share one discount: added by the hundred, each answered for, and remade where the discount is gone."""

import asyncio

from handlers.rewards.jobs import Rounds
from handlers.rewards.kinds.asking import MOST_REFUSALS
from handlers.rewards.store import Redemption
from tests.handlers.rewards.counter import FIVE, Counter

SHARED = FIVE | {"shared": True, "points": 50}


async def wants(counter: Counter, count: int, start: int = 0) -> list[Redemption]:
    """Have Ana want so many of a reward whose codes share a discount."""
    await counter.offers(five=SHARED)
    return [await counter.redeems(key=f"wish-{start + n}") for n in range(count)]


async def settles(counter: Counter, rounds: int = 4) -> None:
    """Let time pass, and Shopify finish what stood behind its answers."""
    for _ in range(rounds):
        await counter.asks()
        counter.market.passes(minutes=1)


def asked(counter: Counter, name: str) -> int:
    """How often a document was asked."""
    return sum(f" {name}(" in call["query"] for call in counter.market.pretend.calls)


async def states(counter: Counter, wanted: list[Redemption]) -> list[str]:
    """What became of them."""
    return [(await counter.now(each)).state for each in wanted]


async def test_many_codes_are_added_by_one_question(counter: Counter):
    """Ten customers at once cost Shopify one discount, one addition and the looks at it."""
    wanted = await wants(counter, 10)
    await settles(counter)
    assert await states(counter, wanted) == ["issued"] * 10
    (discount,) = counter.discounts()
    assert {code.text for code in discount.codes} == {each.code for each in wanted}
    assert (asked(counter, "RewardBasic"), asked(counter, "RewardCodesAdd")) == (1, 1)
    assert asked(counter, "RewardByCode") == 0
    assert await counter.points() == (500, 0, 500)
    await counter.is_sound()


async def test_codes_wanted_within_a_moment_are_asked_for_together(counter: Counter):
    """A process that has just asked waits two seconds for the others; nobody's attempt is counted for it."""
    first = await wants(counter, 1)
    async with asyncio.TaskGroup() as group:
        rounds = Rounds(counter.context, asyncio.Event(), group)

        async def comes_by() -> None:
            await rounds.begin()
            await asyncio.gather(*rounds.under_way)

        await comes_by()
        later = [*await wants(counter, 1, 1)]
        await comes_by()
        later += await wants(counter, 1, 2)
        await comes_by()
        assert asked(counter, "RewardCodesAdd") == 0
        assert [(await counter.now(each)).attempts for each in later] == [0, 0]
        counter.market.passes(seconds=3)
        await comes_by()
        counter.market.passes(seconds=3)
        await comes_by()
    assert await states(counter, first + later) == ["issued"] * 3
    assert asked(counter, "RewardCodesAdd") == 1


async def test_a_code_that_failed_behind_the_answer_is_added_again(counter: Counter):
    """The other codes of the same question are there meanwhile, and nobody pays twice."""
    first = await wants(counter, 1)
    await settles(counter, 1)
    counter.stall.shop.discounts.fail_codes = ["Something went wrong"]
    wanted = await wants(counter, 3, 1)
    await counter.asks()
    counter.market.passes(seconds=3)
    await counter.asks()
    assert sorted(await states(counter, wanted)) == ["asked", "issued", "issued"]
    reasons = {(await counter.now(each)).reason for each in wanted}
    assert reasons == {None, "Shopify says: Something went wrong."}
    await settles(counter)
    assert await states(counter, first + wanted) == ["issued"] * 4
    await counter.is_sound()


async def test_a_code_that_fails_again_and_again_gives_its_points_back(counter: Counter):
    """After so many attempts, in the platform's own words."""
    await wants(counter, 1)
    await settles(counter, 1)
    counter.stall.shop.discounts.fail_codes = ["This word is not allowed"] * 50
    wanted = await wants(counter, 2, 1)
    for _ in range(4 * MOST_REFUSALS):
        await counter.asks()
        counter.market.passes(hours=1)
    assert await states(counter, wanted) == ["refused", "refused"]
    assert (await counter.now(wanted[0])).reason == "Shopify says: This word is not allowed."
    assert await counter.points() == (950, 0, 50)
    await counter.is_sound()


async def test_a_deleted_discount_is_made_anew(counter: Counter):
    """The merchant deleted it: whoever wants one now gets it under another, and so do all after them."""
    old = await wants(counter, 2)
    await settles(counter)
    counter.stall.shop.discounts.delete(counter.discounts()[0])
    new = await wants(counter, 3, 2)
    await settles(counter)
    assert await states(counter, new) == ["issued"] * 3
    (discount,) = counter.discounts()
    assert {code.text for code in discount.codes} == {each.code for each in new}
    later = await wants(counter, 2, 5)
    await settles(counter)
    assert await states(counter, later) == ["issued"] * 2
    assert (len(counter.discounts()), asked(counter, "RewardBasic")) == (1, 2)
    assert (await counter.cancels(old[0])).state == "voided"
    await counter.is_sound()


async def test_an_addition_whose_answer_got_lost_adds_nothing_twice(counter: Counter):
    """Each code is looked for; what Shopify is still at is there when it is asked for once more."""
    await wants(counter, 1)
    await settles(counter, 1)
    counter.market.pretend.drop_next = [502]
    wanted = await wants(counter, 3, 1)
    await settles(counter, 6)
    assert await states(counter, wanted) == ["issued"] * 3
    (discount,) = counter.discounts()
    assert sorted(code.text for code in discount.codes) == sorted({code.text for code in discount.codes})
    assert len(discount.codes) == 4
    await counter.is_sound()


async def test_what_was_asked_for_apart_is_answered_apart(counter: Counter):
    """Codes of an earlier question, which Shopify is still at, and new ones: each is held to its own question."""
    await wants(counter, 1)
    await settles(counter, 1)
    earlier = await wants(counter, 2, 1)
    counter.stall.shop.discounts.settle = lambda: None  # type: ignore[method-assign]
    await counter.asks()
    counter.market.passes(minutes=1)
    later = await wants(counter, 2, 3)
    await counter.asks()
    marks = [(await counter.now(each)).mark for each in earlier + later]
    assert len(set(marks)) == 2 and None not in marks
    del counter.stall.shop.discounts.settle
    await settles(counter)
    assert await states(counter, earlier + later) == ["issued"] * 4
    await counter.is_sound()


async def test_used_codes_are_taken_off_their_discount_together(counter: Counter):
    """Orders with ten codes cost Shopify one removal, not ten; each is answered for."""
    wanted = await wants(counter, 10)
    await settles(counter)
    told = []
    for each in [await counter.now(one) for one in wanted]:
        order, placed = counter.stall.shop.place(
            counter.stall.ana, [(counter.stall.cup, 1)], discount_minor=5_00, discount_code=each.code
        )
        told += placed + counter.stall.shop.pay(order)
    await counter.stall.tells(told)
    await settles(counter)
    assert await states(counter, wanted) == ["used"] * 10
    assert [discount.codes for discount in counter.discounts()] == [[]]
    assert asked(counter, "RewardCodeRemove") == 1
    await counter.is_sound()


async def test_codes_that_shopify_is_still_taking_off_are_looked_for_again(counter: Counter):
    """Their points come back once they are gone, and not before."""
    wanted = await wants(counter, 3)
    await settles(counter)
    discounts = counter.stall.shop.discounts
    discounts.settle = lambda: None  # type: ignore[method-assign]
    for each in wanted[:2]:
        await counter.cancels(each)
    assert await states(counter, wanted) == ["returning", "returning", "issued"]
    assert await counter.points() == (850, 0, 150)
    del discounts.settle
    await settles(counter)
    assert await states(counter, wanted) == ["voided", "voided", "issued"]
    assert await counter.points() == (950, 0, 50)
    await counter.is_sound()


async def test_an_addition_that_shopify_never_finishes_is_given_up(counter: Counter):
    """After six hours the points come back and it is journaled; before that they wait."""
    first = await wants(counter, 1)
    await settles(counter, 1)
    discounts = counter.stall.shop.discounts
    discounts.settle = lambda: None  # type: ignore[method-assign]
    wanted = await wants(counter, 2, 1)
    for _ in range(5):
        await counter.asks()
        counter.market.passes(hours=1)
    assert await states(counter, wanted) == ["asked"] * 2
    for _ in range(4):
        await counter.asks()
        counter.market.passes(hours=1)
    assert await states(counter, first + wanted) == ["issued", "refused", "refused"]
    assert (await counter.now(wanted[0])).reason == "Shopify has not made this code in 6 hours."
    assert await counter.points() == (950, 0, 50)
    rows = await counter.market.rows("SELECT who, did FROM journal WHERE who = 'Shopify'")
    assert rows == [("Shopify", "has not made codes it was asked for")]
    await counter.is_sound()
