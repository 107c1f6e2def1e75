"""A forecast counts what the ledger would have posted, under any programme, and is worked out once."""

from typing import Any

import msgspec
import pytest

from handlers.merchants.rules import Program
from handlers.points.forecast import Forecast, Reward, earning_on, estimate
from handlers.programme import jobs, store
from handlers.programme.store import Question
from integration.clock import DAY
from tests.handlers.messages.stage import OOLONG, Buyer, Charge, ChargeSeen, Stage

ANA = Buyer(platform_id="71", email="ana@home.example", customer_email="ana@home.example", first_name="Ana")
GIFT_CARD = msgspec.structs.replace(OOLONG, id="g1", gift_card=True, price_minor=5_000)


async def a_year(nora: Stage) -> int:
    """Let Nora sell for ten months; returns when she began."""
    began = nora.clock.now()
    for month in range(10):
        elsa = nora.order(f"10{month:02}")
        await nora.hears(elsa)
        await nora.hears(nora.parcel(f"10{month:02}", f"5{month}"))
        if month % 3 == 0:
            await nora.hears(nora.order(f"20{month:02}", buyer=ANA, lines=(OOLONG, GIFT_CARD)))
        if month == 4:
            await nora.hears(nora.refunded(elsa, keep=1))
        if month == 5:
            await nora.hears(nora.order("3005", test=True))
            await nora.hears(nora.order("3006", cancelled_at=nora.clock.now()))
            await nora.hears(nora.order("3007", financial_status="pending"))
            await nora.hears(nora.order("3008", currency="USD"))
        if month == 6:
            charge = Charge(
                "ch_1",
                "EUR",
                3_000,
                3_000,
                0,
                True,
                "succeeded",
                nora.clock.now(),
                buyer=Buyer(email="bo@home.example"),
            )
            await nora.hears(ChargeSeen(charge))
        nora.clock.instant += 30 * DAY
    return began


async def counted(nora: Stage, *programs: Program, since: int, until: int | None = None) -> tuple[Forecast, ...]:
    """Count Nora's sales under programmes, without keeping the answer."""
    question = Question(tuple(p.model_dump_json() for p in programs), since, until or nora.clock.now(), 1)

    async def tell(done: int, due: int) -> None:
        assert 0 < done <= due

    return await jobs.count(nora.context, 1, question, tell)


async def test_a_forecast_under_the_programme_in_force_is_what_the_ledger_has(nora: Stage) -> None:
    """One set of rules: points, people and messages are those that were really posted and written."""
    began = await a_year(nora)
    program = Program.model_validate(nora.program)
    (found,) = await counted(nora, program, since=began)

    issued = await nora.rows("SELECT -micropoints FROM accounts WHERE account = 'program:issued'")
    people = await nora.rows(
        "SELECT SUM(micropoints) FROM accounts WHERE account LIKE 'customer:%' GROUP BY"
        " substr(account, 1, 11) ORDER BY 1"
    )
    assert found.micropoints == issued[0][0] > 0
    whole = sorted(int(row[0]) // 1_000_000 for row in people)
    assert sorted(points for points, many in found.reach.items() for _ in range(many)) == whole
    notes = await nora.rows(
        "SELECT COUNT(*) FROM messages WHERE kind = 'thank_you' AND test = 0 AND key NOT LIKE '%year%'"
    )
    requests = await nora.rows("SELECT COUNT(*) FROM messages WHERE kind = 'review_request' AND test = 0")
    assert found.messages == {"thank_you": notes[0][0], "review_request": requests[0][0]}
    assert (found.sales, found.earning, found.customers) == (16, 15, 3)
    assert found.nothing == {"cancelled": 1, "unpaid": 1, "no rate from USD to EUR": 1}
    assert sum(found.months.values()) == found.micropoints and len(found.months) == 10


async def test_a_forecast_is_of_the_time_asked_for_and_knows_what_came_before(nora: Stage) -> None:
    """At milestones the third purchase is thanked for, though the first two lie before the time looked at."""
    began = await a_year(nora)
    milestones = Program.model_validate({**nora.program, "thanks": {"enabled": True, "when": "milestones"}})
    (found,) = await counted(nora, milestones, since=began + 45 * DAY, until=began + 75 * DAY)
    assert (found.sales, found.messages["thank_you"]) == (1, 1)
    (none,) = await counted(nora, milestones, since=began + 15 * DAY, until=began + 45 * DAY)
    assert (none.sales, none.messages.get("thank_you", 0)) == (1, 0)


async def test_two_programmes_are_counted_side_by_side(nora: Stage) -> None:
    """What a change would have meant: twice the rate is twice the points; off is none."""
    began = await a_year(nora)
    one = Program.model_validate(nora.program)
    two = Program.model_validate({**nora.program, "earning": {**nora.program["earning"], "points_per_unit": "2"}})
    off = Program()
    first, second, third, fourth = await counted(nora, one, two, off, earning_on(off), since=began)
    assert second.micropoints == 2 * first.micropoints
    assert (third.micropoints, third.sales, third.messages) == (0, first.sales, {})
    assert fourth.micropoints == 3 * first.micropoints


async def test_few_sales_are_counted_at_once_and_the_answer_is_kept(nora: Stage) -> None:
    """The second question is answered from what is kept; a day later it is worked out anew."""
    began = await a_year(nora)
    program = Program.model_validate(nora.program)
    question = Question((program.model_dump_json(),), began, nora.clock.now(), 1)
    asked = await jobs.ask_for(nora.context, 1, "q", question)
    assert asked is not None and asked.answer is not None and asked.answer[0].sales == 16
    await nora.hears(nora.order("9001"))
    again = await jobs.ask_for(nora.context, 1, "q", question)
    assert again == asked
    nora.clock.instant += store.FRESH
    fresh = await jobs.ask_for(nora.context, 1, "q", Question(question.programs, began, nora.clock.now(), 1))
    assert fresh is not None and fresh.answer is not None and fresh.answer[0].sales == 17


async def test_many_sales_are_left_to_a_job_that_tells_how_far_it_is(
    nora: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page comes at once; the job finds the question where the page left it, and answers it once."""
    began = await a_year(nora)
    monkeypatch.setattr(jobs, "AT_ONCE", 3)
    monkeypatch.setattr(jobs, "PAGE", 2)
    monkeypatch.setattr(jobs, "TOLD_EVERY", 0)
    rung: list[tuple[Any, ...]] = []

    async def enqueue(*words: Any, **_: Any) -> bool:
        rung.append(words)
        return True

    nora.context.queue.enqueue = enqueue  # type: ignore[method-assign]
    question = Question((Program.model_validate(nora.program).model_dump_json(),), began, nora.clock.now(), 1)
    asked = await jobs.ask_for(nora.context, 1, "q", question)
    assert asked is not None and asked.answer is None and asked.is_under_way(nora.clock.now())
    assert rung == [(jobs.JOB, 1, "q")]
    assert await jobs.ask_for(nora.context, 1, "q", question) == asked and len(rung) == 1

    told: list[tuple[int, int]] = []
    advance = store.advance

    def watched(merchant: int, of: Any, done: int, due: int, now: int) -> Any:
        told.append((done, due))
        return advance(merchant, of, done, due, now)

    monkeypatch.setattr(store, "advance", watched)
    await jobs.forecast(nora.context, 1, "q")
    found = await nora.database.read(lambda: store.read_forecast(1, "q"))
    assert found is not None and found.answer is not None and found.answer[0].sales == 16
    assert (told[0], told[-1]) == ((2, 19), (19, 19))
    await jobs.forecast(nora.context, 1, "q")
    assert len(told) == 10


async def test_one_shop_works_out_a_few_forecasts_at_a_time_and_keeps_a_few(nora: Stage) -> None:
    """Asking over and over costs no more than the limits say; a stalled one is asked for again."""
    now = nora.clock.now()

    async def ask(name: str, at: int) -> Any:
        return await nora.database.run(lambda: store.ask_for(1, name, Question((), 0, at, 1), at))

    for name in ("a", "b"):
        assert (await ask(name, now))[1]
    assert await ask("c", now) == (None, False)
    assert (await ask("a", now))[1] is False
    assert (await ask("a", now + store.STALLED))[1] is True
    for number in range(store.MOST_FORECASTS + 5):
        at = now + (number + 2) * store.STALLED
        assert (await ask(f"q{number}", at))[1]
    assert (await nora.rows("SELECT COUNT(*) FROM program_forecasts"))[0][0] == store.MOST_FORECASTS


async def test_a_forecast_that_is_asked_for_anew_stops_the_one_under_way(nora: Stage) -> None:
    """Whoever lost the question, by a stall or because it was let go, writes nothing any more."""
    asked, _ = await nora.database.run(lambda: store.ask_for(1, "q", Question((), 0, 9, 1), 1_000))
    later = 1_000 + store.STALLED
    renewed, is_new = await nora.database.run(lambda: store.ask_for(1, "q", Question((), 0, 9, 1), later))
    assert asked is not None and renewed is not None and is_new
    assert not await nora.database.run(lambda: store.advance(1, asked, 1, 2, later))
    await nora.database.run(lambda: store.answer(1, asked, (Forecast(),), None, 1, later))
    found = await nora.database.read(lambda: store.read_forecast(1, "q"))
    assert found is not None and found.answer is None
    assert await nora.database.run(lambda: store.advance(1, renewed, 1, 2, later))


def test_an_estimate_weighs_points_against_a_reward() -> None:
    """1,000 points at 5.00 for 500 are worth 10.00; of four customers one has enough."""
    found = Forecast(
        sales=12, earning=10, turnover_minor=40_000, micropoints=1_000_000_000, customers=4,
        reach={0: 1, 100: 1, 300: 1, 600: 1},
    )  # fmt: skip
    weighed = estimate(found, Reward(500, 500))
    assert [(cost.share, cost.owed_minor, str(cost.percent)) for cost in weighed.costs] == [
        (50, 500, "1.3"), (65, 650, "1.6"), (80, 800, "2.0"), (100, 1_000, "2.5"),
    ]  # fmt: skip
    assert weighed.costs[3].deferred_minor == 976  # 400 × 10 / (400 + 10)
    assert (weighed.points, weighed.reaching, weighed.reaching_percent, weighed.orders_needed) == (1_000, 1, 25, 5)
    nothing = estimate(Forecast(), Reward(500, 500))
    assert (nothing.points, nothing.reaching, nothing.orders_needed, nothing.costs[3].owed_minor) == (0, 0, None, 0)
