"""Points for reaching a tier are for those who reach it under terms that have them, unless the shop says otherwise."""

from typing import Any

import pytest

from handlers.ladder import Shift
from handlers.merchants.tiering import Tiers
from handlers.tiers.views import moves
from integration.clock import DAY, MINUTE, SECOND
from integration.facts import Buyer
from tests.handlers.messages.stage import Stage
from tests.handlers.tiers.ladder import LADDER, SHOP, shown, strikes, tier

MAX = Buyer(platform_id="71", email="max@home.example", customer_email="max@home.example", email_verified=True)


def giving(points: int = 100, **more: Any) -> dict[str, Any]:
    """The ladder with points for reaching each tier."""
    return {"ladder": {key: {**each, "entry_points": points, **more} for key, each in LADDER["ladder"].items()}}


async def gifts(nora: Stage, who: str = "elsa@home.example") -> int:
    """Whole points a customer was given for tiers, each look of the clock twice."""
    await strikes(nora)
    await strikes(nora)
    return sum(int(one["points"]) for one in (await shown(nora, who))["entries"] if one["reason"] == "tier_reward")


async def would(nora: Stage, tiers: dict[str, Any]) -> Shift:
    """What the review would say of other tiers."""
    wanted = Tiers.model_validate({**LADDER, **tiers})
    shift, _ = await nora.database.read(lambda: moves(SHOP, wanted, 0, 100, nora.clock.now()))
    return shift


async def test_points_that_are_new_are_not_for_those_who_have_the_tier_already(nora: Stage) -> None:
    """Elsa is silver; whoever becomes it from then on gets a hundred, and she does for gold."""
    await nora.hears(nora.order())
    nora.clock.instant += DAY
    assert (await would(nora, giving())).given == {}
    await nora.set({"tiers": giving()})
    nora.clock.instant += SECOND
    assert await gifts(nora) == 0
    await nora.hears(nora.order("1002", buyer=MAX))
    assert (await gifts(nora), await gifts(nora, "max@home.example")) == (0, 100)
    await nora.hears(nora.order("1003"), nora.order("1004"))
    assert await tier(nora) == "Gold"
    assert await gifts(nora) == 100


async def test_the_shop_may_give_them_to_everybody_there_and_the_review_says_to_how_many(nora: Stage) -> None:
    """Once ever: also where the points were there before, where they change, and where the clock looks late."""
    await nora.hears(nora.order())
    nora.clock.instant += DAY
    await nora.set({"tiers": giving()})
    nora.clock.instant += SECOND
    await nora.hears(nora.order("1002", buyer=MAX))
    everybody = giving(entry_for="everybody")
    assert (await would(nora, everybody)).given == {"silver": 1}
    await nora.set({"tiers": everybody})
    nora.clock.instant += 3 * DAY
    assert (await gifts(nora), await gifts(nora, "max@home.example")) == (100, 100)
    assert (await would(nora, giving(200, entry_for="everybody"))).given == {}
    nora.clock.instant += MINUTE
    await nora.set({"tiers": giving(200, entry_for="everybody")})
    nora.clock.instant += SECOND
    assert (await gifts(nora), await gifts(nora, "max@home.example")) == (100, 100)


async def test_who_reached_a_tier_under_terms_that_had_points_gets_them_however_late(nora: Stage) -> None:
    """Her order ended its hold before the points were taken out; the clock looks after it."""
    await nora.set({"earning": {"hold_days": 1}, "tiers": giving()}, at=0)
    await nora.hears(nora.order())
    nora.clock.instant += 2 * DAY
    await nora.set({"tiers": giving(0)})
    nora.clock.instant += SECOND
    assert await gifts(nora) == 100


async def test_who_reached_it_before_there_were_points_gets_none_however_late(nora: Stage) -> None:
    """Her hold ended first; the clock looks after both."""
    await nora.set({"earning": {"hold_days": 1}})
    await nora.hears(nora.order())
    nora.clock.instant += 2 * DAY
    await nora.set({"tiers": giving()})
    nora.clock.instant += SECOND
    assert await gifts(nora) == 0
    assert await tier(nora) == "Silver"


async def test_who_reaches_a_tier_because_it_became_easier_gets_its_points(nora: Stage) -> None:
    """So does everybody whom switching tiers on places; the review says so beforehand."""
    await nora.hears(nora.order())
    nora.clock.instant += DAY
    easier = giving()
    easier["ladder"]["gold"]["threshold"] = 55
    assert (await would(nora, easier)).given == {"gold": 1}
    await nora.set({"tiers": easier})
    nora.clock.instant += SECOND
    assert (await gifts(nora), await tier(nora)) == (100, "Gold")


async def test_falling_to_a_tier_is_not_reaching_it(nora: Stage) -> None:
    """Gold at once, silver a year later: silver's points are for those who come from below."""
    await nora.set({"tiers": giving()}, at=0)
    await nora.hears(nora.order(), nora.order("1002"), nora.order("1003"))
    assert await gifts(nora) == 100
    await strikes(nora, 400 * DAY)
    assert await tier(nora) == "Silver"
    assert await gifts(nora) == 100


@pytest.mark.parametrize("keeps", [True, False])
async def test_a_tier_under_another_id_is_not_reached_anew(nora: Stage, keeps: bool) -> None:
    """It took the place of the one she had; nobody bought anything for it."""
    await nora.hears(nora.order())
    nora.clock.instant += DAY
    other = {"argent": {"name": "Argent", "threshold": 50, "entry_points": 100}}
    await nora.set({"tiers": {"ladder": other, "grandfather": keeps}})
    nora.clock.instant += SECOND
    assert (await gifts(nora), await tier(nora)) == (0, "Argent")
