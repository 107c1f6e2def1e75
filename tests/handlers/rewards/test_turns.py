"""Rewards are asked for in turns: no merchant's platform, and no merchant's thousand, keeps another waiting."""

import asyncio
from typing import Any

import pytest

from handlers.rewards import claims, jobs
from handlers.rewards.jobs import Rounds, ask_for_ever
from handlers.rewards.store import Redemption
from integration.database.steps import ask, plain
from tests.handlers.rewards.counter import FIVE, Counter


@pytest.fixture
async def other(counter: Counter) -> Counter:
    """Another shop, whose customer wants rewards, too."""
    return await Counter(counter.market).open()


async def wants(counter: Counter, count: int) -> list[Redemption]:
    """Have the shop's customer want so many."""
    await counter.offers(five=FIVE | {"points": 10})
    return [await counter.redeems(key=f"wish-{n}") for n in range(count)]


def issuing(counter: Counter, monkeypatch: pytest.MonkeyPatch, before: Any) -> None:
    """Have something happen before a code is made."""
    kind = counter.context.rewards["amount_off"]
    real = type(kind).issue

    async def issue(self: Any, at: Any, wanted: Any, again: bool) -> Any:
        await before(wanted.merchant_id)
        return await real(self, at, wanted, again)

    monkeypatch.setattr(type(kind), "issue", issue)


async def test_a_platform_that_does_not_answer_holds_up_no_other_shop(
    counter: Counter, other: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much the first shop wants; what was not begun when we stop is put back."""
    answers, served, held = asyncio.Event(), asyncio.Event(), asyncio.Semaphore(0)

    async def before(merchant_id: int) -> None:
        if merchant_id == counter.stall.merchant:
            held.release()
            await answers.wait()
        else:
            served.set()

    issuing(counter, monkeypatch, before)
    waiting, theirs = await wants(counter, 9), await wants(other, 1)
    stop = asyncio.Event()
    running = asyncio.create_task(ask_for_ever(counter.context, stop))
    async with asyncio.timeout(30):
        await served.wait()
        for _ in range(jobs.QUESTIONS_AT_ONCE):
            await held.acquire()
        stop.set()
        counter.context.queue.ring(jobs.BELL)
        answers.set()
        await running
    assert (await other.now(theirs[0])).state == "issued"
    states = [(await counter.now(each)).state for each in waiting]
    assert states == ["issued"] * jobs.QUESTIONS_AT_ONCE + ["asked"] * (9 - jobs.QUESTIONS_AT_ONCE)
    left = await counter.now(waiting[-1])
    assert (left.claim, left.attempts) == (None, 0)


async def test_merchants_take_turns(counter: Counter, other: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is one seat, who has more to do comes again when the other has had theirs."""
    seen: list[int] = []

    async def before(merchant_id: int) -> None:
        seen.append(merchant_id)

    issuing(counter, monkeypatch, before)
    monkeypatch.setattr(jobs, "MERCHANTS_AT_ONCE", 1)
    monkeypatch.setattr(jobs, "BATCH", 2)
    await wants(counter, 4)
    await wants(other, 2)
    async with asyncio.TaskGroup() as group:
        rounds = Rounds(counter.context, asyncio.Event(), group)
        for _ in range(3):
            await rounds.begin()
            await asyncio.gather(*rounds.under_way)
    mine, theirs = counter.stall.merchant, other.stall.merchant
    assert seen == [mine] * 2 + [theirs] * 2 + [mine] * 2


async def test_a_platform_that_is_away_is_not_asked_for_each(counter: Counter) -> None:
    """A few tell that it is; the others of the batch wait a moment, and count no attempt."""
    counter.market.pretend.fail_next = [503] * 50
    wanted = await wants(counter, 20)
    assert await counter.asks() == 20
    attempts = [(await counter.now(each)).attempts for each in wanted]
    assert jobs.MOST_FAILURES <= sum(attempts) <= jobs.MOST_FAILURES + jobs.QUESTIONS_AT_ONCE
    counter.market.pretend.fail_next = []
    counter.market.passes(minutes=1)
    await counter.asks()
    assert {(await counter.now(each)).state for each in wanted} == {"issued"}


async def test_what_somebody_left_behind_is_asked_for(counter: Counter) -> None:
    """A process was killed while it asked: its claims end, and others go on."""
    (wanted,) = await wants(counter, 1)
    now = counter.market.clock.now()
    await counter.context.database.run(lambda: claims.claim(counter.stall.merchant, "gone", now, 9))
    assert await counter.asks() == 0
    ends = plain("UPDATE redemptions SET claimed_until = 1")
    await counter.context.database.run(lambda: ask(ends, ()))
    assert await counter.asks() == 1
    assert (await counter.now(wanted)).state == "issued"


async def test_two_processes_claim_nothing_twice(counter: Counter) -> None:
    """Side by side, of one merchant's: each row has one token."""
    await wants(counter, 30)
    now, merchant = counter.market.clock.now(), counter.stall.merchant
    run = counter.context.database.run
    claimed = await asyncio.gather(
        *(run(lambda token=str(n): claims.claim(merchant, token, now, 20)) for n in range(4))  # type: ignore[misc]
    )
    numbers = [each.number for rows in claimed for each in rows]
    assert len(numbers) == len(set(numbers)) >= 20
