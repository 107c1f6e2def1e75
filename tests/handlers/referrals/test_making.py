"""A friend's code is made once and never lost, wherever the making is cut off."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from handlers.merchants.rules import Refused
from handlers.referrals import codes, jobs
from handlers.referrals.rules import CODE_LETTERS
from handlers.watch.store import take_readings
from integration.faults import arm
from tests.handlers.referrals.circle import Circle


@pytest.fixture
def faults() -> Iterator[Any]:
    """Arms points; disarmed afterwards."""
    yield arm
    arm("")


async def one_more(circle: Circle, code: codes.Code) -> None:
    """The clock comes by until nobody holds the code any more."""
    for _ in range(3):
        circle.market.passes(minutes=6)
        await jobs.make(circle.context)
    assert (await circle.now(code)).state == "made"
    assert [text.text for each in circle.counter.discounts() for text in each.codes].count(code.code) == 1


async def test_a_program_that_ends_between_making_and_noting_makes_no_second_code(circle: Circle, faults: Any) -> None:
    """The shop has the code and we do not know: it is found under its name when the claim has run out."""
    wanted = await circle.wants()
    faults("referral.asked:raise:1")
    await jobs.make(circle.context)
    assert (await circle.now(wanted)).state == "asked" and len(circle.counter.discounts()) == 2
    await jobs.make(circle.context)  # Somebody holds it still.
    assert (await circle.now(wanted)).state == "asked"
    await one_more(circle, wanted)
    assert len(circle.counter.discounts()) == 2


async def test_an_answer_that_got_lost_makes_no_second_code(circle: Circle) -> None:
    """The shop made it and its answer never came."""
    circle.market.pretend.drop_next = [502, 504]
    wanted = await circle.wants()
    await jobs.make(circle.context)
    waiting = await circle.now(wanted)
    assert waiting.state == "asked" and "502" in (waiting.reason or "")
    await one_more(circle, wanted)
    assert len(circle.counter.discounts()) == 2


async def test_a_shop_that_is_away_is_asked_again(circle: Circle) -> None:
    """The friend's code comes once it is back, and is the one they were shown."""
    circle.market.pretend.fail_next = [503] * 8
    wanted = await circle.wants()
    await jobs.make(circle.context)
    assert (await circle.now(wanted)).state == "asked"
    circle.market.pretend.fail_next = []
    await one_more(circle, wanted)


async def test_what_waits_for_a_platform_is_told_with_its_age(circle: Circle) -> None:
    """To whoever watches: a code that is not there, and one that is not gone; what is done is not counted."""
    wanted, begun = await circle.wants(), circle.market.clock.now()
    circle.market.pretend.fail_next = [503]
    await jobs.make(circle.context)
    assert await watched(circle) == ({"asked": 1}, begun)
    await one_more(circle, wanted)
    assert await watched(circle) == ({}, None)
    made, ends = await circle.now(wanted), circle.market.clock.now()
    circle.market.pretend.fail_next = [503] * 20
    await circle.context.database.run(lambda: codes.put_code(made._replace(state="closing", next_at=ends)))
    for _ in range(3):
        await jobs.make(circle.context)
        circle.market.passes(minutes=2)
    assert await watched(circle) == ({"closing": 1}, ends)
    # It is over, and the shop never answers again: nobody is asked for ever.
    circle.market.passes(days=40)
    circle.market.pretend.fail_next = [503] * 100
    for _ in range(10):
        await jobs.make(circle.context)
        circle.market.passes(minutes=61)
    assert (await circle.now(wanted)).state == "closed" and await watched(circle) == ({}, None)


async def watched(circle: Circle) -> tuple[Mapping[str, int], int | None]:
    """What waits, and since when, as whoever watches reads it."""
    now = circle.market.clock.now()
    read = await circle.context.database.read(lambda: take_readings(now))
    return read.friends, read.friend_waits_since


async def test_all_of_it_twice_at_once_comes_to_the_same(circle: Circle) -> None:
    """Two clocks, two workers: one code each, points once."""
    wanted = [await circle.wants() for _ in range(3)]
    await asyncio.gather(*(jobs.make(circle.context) for _ in range(3)))
    assert len(circle.counter.discounts()) == 4
    assert [(await circle.now(each)).state for each in wanted] == ["made"] * 3
    friends = [await circle.friend(name) for name in ("Finn", "Mia", "Zoe")]
    told = [circle.buys(who, code.code)[1] for who, code in zip(friends, wanted, strict=True)]
    for each in told:
        await circle.stall.tells(each + each)
    await asyncio.gather(*(jobs.look_due(circle.context) for _ in range(3)))
    assert await circle.ana_has() == (3_000, 0)
    circle.market.passes(days=15)
    await asyncio.gather(*(jobs.look_due(circle.context) for _ in range(3)))
    assert await circle.ana_has() == (0, 3_000)
    await circle.is_sound()


async def test_asking_by_the_dozen_at_once_gives_as_many_codes_as_a_link_may(circle: Circle) -> None:
    """Forty friends press the button together; no letter of a code tells of another."""

    async def one() -> codes.Code | None:
        try:
            return await circle.wants()
        except Refused:
            return None

    given = [code for code in await asyncio.gather(*(one() for _ in range(40))) if code is not None]
    assert len(given) == codes.MOST_OF_LINK - 1
    assert len({code.code for code in given}) == len(given) and {len(code.code) for code in given} == {CODE_LETTERS}


async def test_a_code_that_fails_inside_keeps_nobody_waiting(circle: Circle) -> None:
    """The failure is logged; the next code is made all the same."""
    first, second = await circle.wants(), await circle.wants()
    await circle.context.database.run(lambda: codes.put_code(first._replace(terms="")))
    await jobs.make(circle.context)
    assert [(await circle.now(each)).state for each in (first, second)] == ["asked", "made"]


async def test_codes_nobody_used_are_gone_in_the_end_and_used_ones_stay(circle: Circle) -> None:
    """Two months after its end no order can name one any more; where it was asked for goes with its use."""
    await circle.comes()
    unused = await circle.wants(asker="somewhere")
    await jobs.make(circle.context)
    circle.market.passes(days=89)
    assert await jobs.prune(circle.context) == 0
    circle.market.passes(days=2)
    assert await jobs.prune(circle.context) == 2
    left = await circle.market.rows("SELECT asker, used_at IS NOT NULL FROM referral_codes")
    assert [(asker, bool(used)) for asker, used in left] == [("", True)]
    assert await circle.context.database.read(lambda: codes.code_of(unused.merchant_id, unused.code)) is None
    await circle.is_sound()
