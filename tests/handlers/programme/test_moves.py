"""Before new terms of tiers are saved the review says who would move, and asks who keeps the tier they have."""

import json
from typing import Any

import pytest

from handlers.merchants.rules import Program
from handlers.merchants.tiering import Tiers
from handlers.programme import jobs
from handlers.programme.store import UNREADABLE, Asked, Moved, Question
from handlers.programme.views import keep_chosen, reshapes, shifted
from integration.clock import DAY, MINUTE, SECOND
from tests.handlers.programme.test_pages import follows, form, proof, reviewed, sells, versions
from tests.visits import NORA, House, Visitor

LADDER = {"silver": {"name": "Silver", "threshold": 20}, "gold": {"name": "Gold", "threshold": 500}}
TIERS = {"enabled": True, "ladder": LADDER, "timezone": "Europe/Paris"}
OLD = Program.model_validate({"earning": {"enabled": True, "hold_days": 0}, "tiers": TIERS})


@pytest.fixture
async def house(database: Any) -> House:
    """Nora's shop, where Elsa is silver by one order of 29 euros."""
    house = await House(database).open()
    await house.does(
        "INSERT INTO program_versions (merchant_id, version, in_force_at, created_at, document)"
        " VALUES (1, 2, 0, 0, ?1)",
        json.dumps(OLD.model_dump(mode="json")),
    )
    await house.does("UPDATE program_versions SET in_force_at = -1 WHERE merchant_id = 1 AND version = 1")
    await sells(house, 1042)
    house.clock.instant += 2 * DAY
    return house


@pytest.fixture
async def nora(house: House) -> Visitor:
    """Nora, signed in."""
    return await house.signed_in(NORA)


async def harder(nora: Visitor) -> tuple[str, str, dict[str, str]]:
    """Ask two hundred euros for silver; returns the review's path, its page, and its proof."""
    path, page = await reviewed(nora, form(OLD, base="2", **{"tiers.ladder.silver.threshold": "200"}))
    return path, page.text, proof(page)


async def test_the_review_says_who_would_lose_a_tier_before_anything_is_saved(house: House, nora: Visitor) -> None:
    """Counted from what they bought, with a picture and a table; nothing is written."""
    _, page, _ = await harder(nora)
    assert "<strong>1</strong> of 1 customer would have a lower tier" in page
    assert "How many customers have each tier now, and how many would" in page
    assert "What about the tier they have?" in page
    assert len(await versions(house)) == 2


@pytest.mark.parametrize(
    ("choice", "kept"),
    [
        ({}, (True, None)),
        ({"keep": "promised", "keep_until": "2027-06-30"}, (True, None)),
        ({"keep": "until", "keep_until": "2030-06-30"}, (True, "2030-06-30")),
        ({"keep": "nobody"}, (False, None)),
    ],
)
async def test_who_keeps_their_tier_is_chosen_where_it_is_saved(
    house: House, nora: Visitor, choice: dict[str, str], kept: tuple[bool, str | None]
) -> None:
    """As promised unless said otherwise; who keeps theirs stands where they stood."""
    path, _, proven = await harder(nora)
    assert "Saved as version 3" in (await follows(nora, await nora.post(path, {**proven, **choice}))).text
    tiers = (await versions(house))[-1][1].tiers
    assert (tiers.grandfather, tiers.keep_until) == kept
    house.clock.instant += 2 * SECOND
    page = (await nora.get("/app/customers/1")).text
    assert ("Silver" in page.partition("to Silver")[0]) is kept[0]
    assert ("30 Jun 2030" in page or "Jun 30, 2030" in page or "Jul 1, 2030" in page) is (kept[1] is not None)


async def test_a_day_that_is_missing_is_asked_for_and_nothing_is_saved(house: House, nora: Visitor) -> None:
    """The page comes again with the choice as it was made."""
    path, _, proven = await harder(nora)
    answer = await nora.post(path, {**proven, "keep": "until", "keep_until": ""})
    assert answer.status_code == 422 and "Choose the day until which they keep it." in answer.text
    assert len(await versions(house)) == 2


async def test_what_moves_nobody_asks_nothing(nora: Visitor) -> None:
    """A name, perks and points for reaching a tier leave everybody where they are."""
    _, page = await reviewed(nora, form(OLD, base="2", **{"tiers.ladder.silver.name": "Silber"}))
    assert "Who would move" not in page.text and "What about the tier" not in page.text


@pytest.mark.parametrize(
    ("who", "told"),
    [
        ("everybody", "<strong>1</strong> customer would get 50 points for Silver within minutes of saving: 50 points"),
        ("newcomers", "Nobody would get points for a tier by saving this."),
    ],
)
async def test_the_review_says_who_would_get_points_that_are_new(nora: Visitor, who: str, told: str) -> None:
    """Elsa is silver already: whether she gets them is the shop's to say."""
    fields = {"tiers.ladder.silver.entry_points": "50", "tiers.ladder.silver.entry_for": who}
    _, page = await reviewed(nora, form(OLD, base="2", **fields))
    assert told in page.text
    assert "Who would move" not in page.text and "What about the tier" not in page.text


async def test_the_review_says_who_would_get_a_tag_at_shopify(house: House, nora: Visitor) -> None:
    """Whoever has the tier and an account at the shop; nothing is asked of Shopify before it is saved."""
    _, page = await reviewed(nora, form(OLD, base="2", **{"tiers.ladder.silver.tag": " vip "}))
    known = await house.rows("SELECT count(*) FROM customers WHERE shopify_id IS NOT NULL")
    assert known == [(1,)]
    assert "<strong>1</strong> customer would get the tag “vip” at Shopify." in page.text
    assert "Who would move" not in page.text and "would lose the tag" not in page.text


async def test_many_customers_are_counted_by_a_job_while_the_page_says_how_far_it_is(
    house: House, nora: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than are placed while somebody waits: the page comes at once, and has the count when the job is done."""
    more = jobs.FEW_PEOPLE
    for number in range(100, 100 + more):
        await house.does("INSERT INTO customers (merchant_id, number, created_at) VALUES (1, ?1, 0)", number)
    rung: list[tuple[Any, ...]] = []

    async def enqueue(*words: Any, **_: Any) -> bool:
        rung.append(words)
        return True

    monkeypatch.setattr(house.context.queue, "enqueue", enqueue)
    monkeypatch.setattr(jobs, "TOLD_EVERY", 0)
    path, page, _ = await harder(nora)
    assert "Who would move" in page and "lower tier than now" not in page
    ((_, merchant, digest),) = {words for words in rung if words[0] == jobs.JOB}
    await jobs.forecast(house.context, merchant, digest)
    await jobs.forecast(house.context, merchant, digest)
    page = (await nora.get(path)).text
    assert f"<strong>1</strong> of {more + 1} customers would have a lower tier than now" in page


async def test_an_answer_of_another_version_of_the_program_is_read_as_far_as_it_can_be(
    house: House, nora: Visitor
) -> None:
    """More at its end changes nothing; of another shape, the page says to look again, and a minute later asks anew."""
    path, _, _ = await harder(nora)
    says = "<strong>1</strong> of 1 customer would have a lower tier"
    more = '[[["silver",null,1]],[],[],[],{"new":"words"}]'
    await house.does("UPDATE program_forecasts SET answer = ?1", more)
    assert says in (await nora.get(path)).text
    await house.does("UPDATE program_forecasts SET answer = ?1", '{"moves":[]}')
    page = (await nora.get(path)).text
    assert UNREADABLE in page and says not in page
    house.clock.instant += 2 * MINUTE
    assert says in (await nora.get(path)).text


def test_only_what_somebody_takes_can_move_them() -> None:
    """What counts, over which time, the steps, and whether there are any."""
    tiers = OLD.tiers
    assert not reshapes(tiers, tiers.model_copy(update={"tell": True, "grace_days": 9}))
    assert reshapes(tiers, tiers.model_copy(update={"by": "points"}))
    assert reshapes(tiers, Tiers())
    assert keep_chosen(OLD, {"keep": "until", "keep_until": "soon"}) == (
        "Choose the day until which they keep it, such as 2027-06-30."
    )


def test_moves_are_laid_out_by_the_names_of_both_ladders() -> None:
    """Who had a tier that is gone falls where what they get took less."""
    new = Program.model_validate({"tiers": {"enabled": True, "ladder": {"gold": {"name": "Or", "threshold": 500}}}})
    moves = (("silver", None, 3), ("gold", "gold", 2), (None, "gold", 1), (None, None, 4))
    asked = Asked("d", Question((), 0, 1, 1, "tiers"), 0, 0, 10, 10, None, 1, None, Moved(moves))
    found = shifted(OLD, new, asked)
    assert found is not None and (found.people, found.losing, found.rising) == (10, 3, 1)
    assert list(found.table) == [("No tier", 5, 7), ("Silver", 3, 0), ("Or", 2, 3)]
    assert list(found.moves) == [("Silver", "No tier", 3), ("No tier", "Or", 1)]
