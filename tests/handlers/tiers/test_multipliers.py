"""A sale earns by the tier its customer held when it was made, whatever is told when, and keeps it."""

import random
from decimal import Decimal
from typing import Any

import pytest

from handlers.merchants.books import shops
from handlers.merchants.programs import changed
from handlers.merchants.rules import Program
from handlers.points.rules import reasons
from handlers.points.standing import standings
from handlers.sales.bonus import NO_TIER, Held, per_unit
from handlers.tiers import settle
from handlers.tiers.changes import give
from integration.clock import DAY, HOUR, SECOND
from integration.facts import Buyer, CustomerSeen, CustomersMerged, OrderSeen
from tests.handlers.messages.stage import MONDAY_NOON, Stage
from tests.handlers.tiers.ladder import LADDER, SHOP, shown, strikes, tier

MAX = Buyer(platform_id="71", email="max@home.example", customer_email="max@home.example", email_verified=True)
TIMES = {"silver": "1.5", "gold": "2", "jade": "3"}
MULTIPLIED = {key: {**each, "multiplier": TIMES[key]} for key, each in LADDER["ladder"].items()}


@pytest.fixture
async def nora(nora: Stage) -> Stage:
    """Nora's shop, where silver earns half as much again, gold twice and jade three times as much."""
    await nora.set({"tiers": {"ladder": MULTIPLIED}}, at=0)
    return nora


async def settled(nora: Stage) -> None:
    """The clock looks until nothing is left to do."""
    for _ in range(5):
        await strikes(nora)
        if await nora.settles() == 0:
            return
    raise AssertionError("it never ends")


async def earned(nora: Stage) -> dict[str, int]:
    """Whole points by what the shop calls each order."""
    rows = await nora.rows(
        "SELECT s.name, CAST(sum(CASE WHEN e.source LIKE 'program%' THEN e.micropoints"
        " WHEN e.destination LIKE 'program%' THEN -e.micropoints ELSE 0 END) AS bigint) FROM sales s"
        " JOIN ledger_entries e ON e.merchant_id = s.merchant_id AND e.sale = s.number GROUP BY s.name ORDER BY s.name"
    )
    return {name: amount // 1_000_000 for name, amount in rows if amount}


async def test_what_makes_somebody_a_regular_is_not_multiplied_and_what_comes_after_is(nora: Stage) -> None:
    """Sixty euros: sixty points and silver; then ninety; with a hundred and eighty gold, then a hundred and twenty."""
    for n in range(1001, 1005):
        await nora.hears(nora.order(str(n)))
        nora.clock.instant += HOUR
    assert await earned(nora) == {"#1001": 60, "#1002": 90, "#1003": 90, "#1004": 120}
    shop = (await nora.database.read(lambda: shops([SHOP])))[SHOP]
    (one,) = await nora.database.read(lambda: standings(shop, [4]))
    words = " ".join(reasons(one.sale, nora.clock.now()))
    assert "The customer had the tier Gold when it was bought: it earns 2 times as much." in words
    assert "60.00 EUR × 2 points = 120 points" in words


async def test_a_refund_takes_back_what_it_brought_and_nothing_of_what_was_earned_under_the_tier(nora: Stage) -> None:
    """The order that made silver goes back after its hold; the order bought as silver keeps its ninety points."""
    first = nora.order("1001")
    await nora.hears(first)
    nora.clock.instant += HOUR
    second = nora.order("1002")
    await nora.hears(second)
    nora.clock.instant += DAY
    await nora.hears(nora.refunded(first))
    await settled(nora)
    assert await earned(nora) == {"#1002": 90}
    await nora.hears(nora.refunded(second, number="10", keep=1))
    await settled(nora)
    assert await earned(nora) == {"#1002": 27}


async def test_goods_that_never_counted_made_nobody_a_regular(nora: Stage) -> None:
    """What goes back within its hold leaves the next order as it would have been."""
    await nora.set({"earning": {"hold_days": 14}})
    first = nora.order("1001")
    await nora.hears(first)
    nora.clock.instant += DAY
    await nora.hears(nora.refunded(first))
    nora.clock.instant += 20 * DAY
    await nora.hears(nora.order("1002"))
    await settled(nora)
    assert await earned(nora) == {"#1002": 60}


@pytest.mark.parametrize("seed", range(6))
async def test_the_order_of_telling_makes_no_difference_to_what_is_earned(nora: Stage, seed: int) -> None:
    """Orders and refunds of a year, told at its end in any order, batch and repetition: the same points a sale."""
    told, back = [], []
    for n in range(8):
        nora.clock.instant = MONDAY_NOON + n * 40 * DAY
        told.append(nora.order(str(2000 + n)))
        if n % 3 == 0:
            nora.clock.instant += 20 * DAY
            back.append(nora.refunded(told[-1], number=str(90 + n), keep=n % 2))
    nora.clock.instant = MONDAY_NOON + 350 * DAY
    events: list[OrderSeen] = [*told, *back, told[3]]
    chance = random.Random(seed)
    chance.shuffle(events)
    while events:
        some = [events.pop() for _ in range(min(len(events), chance.randint(1, 4)))]
        await nora.hears(*some)
    await settled(nora)
    # By hand: all of 2000 goes back on day 20, of 2003 all but the oolong on day 140, of 2006 all on day 260. Silver
    # from day 0; 60 after day 20, 120 with 2001, 180 with 2003 on day 120: gold from then on.
    assert await earned(nora) == {
        "#2001": 90, "#2002": 90, "#2003": 27, "#2004": 120, "#2005": 120, "#2007": 120,
    }  # fmt: skip
    await shown(nora)


async def test_an_order_told_late_lifts_what_was_bought_after_it(nora: Stage) -> None:
    """The clock settles those again, with the order's own day and not with that of its telling."""
    late = nora.order("1001")
    nora.clock.instant += DAY
    await nora.hears(nora.order("1002"))
    await settled(nora)
    assert await earned(nora) == {"#1002": 60}
    await nora.hears(late)
    await settled(nora)
    assert await earned(nora) == {"#1001": 60, "#1002": 90}


async def test_two_who_are_one_earn_as_one(nora: Stage) -> None:
    """Max bought first, as somebody else; once they are one person, Elsa's order was a regular's."""
    nora.clock.instant += SECOND
    await nora.hears(nora.order("1001", buyer=MAX))
    nora.clock.instant += DAY
    await nora.hears(nora.order("1002"))
    assert await earned(nora) == {"#1001": 60, "#1002": 60}
    await nora.hears(CustomerSeen("shopify", MAX, nora.clock.now()), CustomersMerged("70", "71"))
    nora.clock.instant += SECOND
    await settled(nora)
    assert await earned(nora) == {"#1001": 60, "#1002": 90}
    await shown(nora)


async def test_a_tier_given_by_hand_counts_from_that_day(nora: Stage) -> None:
    """And an order from before it, told again, stays as it was; a customer who is forgotten keeps what it brought."""
    first = nora.order("1001")
    await nora.hears(first)
    nora.clock.instant += HOUR
    await nora.database.run(lambda: give(SHOP, 1, "jade", None, "A friend", "link:Nora", nora.clock.now()))
    nora.clock.instant += HOUR
    await nora.hears(nora.order("1002"), first)
    assert await earned(nora) == {"#1001": 60, "#1002": 180}
    assert await tier(nora) == "Jade"


async def test_a_campaign_may_be_for_some_tiers_only(nora: Stage) -> None:
    """Double points for silver and gold, on top of the tier's own; extra points are added as they are."""
    week = {"name": "For regulars", "starts": "2026-11-20", "ends": "2026-11-30", "multiplier": "2"}
    both = {**week, "extra_per_unit": "1", "tiers": ["silver", "gold"], "timezone": "UTC"}
    await nora.set({"earning": {"campaigns": {"week": both}}}, at=0)
    await nora.hears(nora.order("1001"))
    nora.clock.instant += HOUR
    await nora.hears(nora.order("1002"))
    assert await earned(nora) == {"#1001": 60, "#1002": 60 * 4}
    await nora.set({"earning": {"most_per_unit": "2.5"}})
    nora.clock.instant += SECOND
    await nora.hears(nora.order("1003"))
    assert (await earned(nora))["#1003"] == 150


async def test_somebody_who_cannot_be_placed_earns_without_a_tier_and_is_tried_again(
    nora: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their order earns at once; what their tier adds comes when they can be placed."""
    await nora.hears(nora.order("1001"))
    nora.clock.instant += HOUR

    def broken(*_: Any) -> Any:
        raise RuntimeError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(settle, "merit", broken)
        await nora.hears(nora.order("1002"))
    assert await earned(nora) == {"#1001": 60, "#1002": 60}
    assert await nora.rows("SELECT capability, sale FROM settlements") == [("tiers", 2)]
    nora.clock.instant += HOUR
    await settled(nora)
    assert await earned(nora) == {"#1001": 60, "#1002": 90}
    assert await nora.rows("SELECT capability, sale FROM settlements") == []


def test_tier_and_campaign_multiply_extra_points_are_added_and_the_limit_comes_last() -> None:
    """Three points a unit, twice for a campaign, half as much again for the tier, one more: ten."""
    campaign = '{"name": "A", "starts": "2026-11-20", "ends": "2026-11-30", "multiplier": "2", "extra_per_unit": "1"}'
    earning = changed(Program(), {"earning.campaigns.a": campaign}).earning
    gold = Held("gold", Decimal("1.5"))
    assert per_unit(earning, None, gold.times) == Decimal("4.5")
    assert per_unit(earning, "a", gold.times) == 10
    assert per_unit(earning, "a", NO_TIER.times) == 7
    assert per_unit(earning.model_copy(update={"most_per_unit": Decimal(8)}), "a", gold.times) == 8
