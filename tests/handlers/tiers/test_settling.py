"""Where people stand follows what they bought, whoever tells it in which order, and what the clock and the shop do."""

import random

import pytest

from handlers.holders import Subject
from handlers.inbox.idle import busy
from handlers.merchants.books import shops
from handlers.points.lots import months_later
from handlers.points.standing import standings
from handlers.sales.rules import Sale
from handlers.tiers import settle
from handlers.tiers.personal import HOLDER
from handlers.tiers.rules import Merit
from handlers.tiers.settle import TierRanker
from integration.clock import DAY, HOUR, MINUTE, SECOND, to_iso
from integration.facts import Buyer, CustomerSeen, CustomersMerged
from tests.handlers.messages.stage import MONDAY_NOON, Stage
from tests.handlers.tiers.ladder import ELSA, LADDER, SHOP, shown, strikes, tier

YEAR = months_later(MONDAY_NOON, 12) - MONDAY_NOON
MAX = Buyer(platform_id="71", email="max@home.example", customer_email="max@home.example", email_verified=True)


async def test_a_purchase_lifts_somebody_to_the_highest_tier_it_is_enough_for(nora: Stage) -> None:
    """Sixty euros make silver, sixty more twice make gold; it says since when and until when."""
    assert (await nora.rows("SELECT count(*) FROM standings"))[0][0] == 0
    await nora.hears(nora.order())
    assert await tier(nora) == "Silver"
    nora.clock.instant += DAY
    await nora.hears(nora.order("1002"), nora.order("1003"))
    account = await shown(nora)
    assert account["tier"] == "Gold"
    assert account["standing"] == {
        "id": "gold",
        "since": to_iso(MONDAY_NOON + DAY),
        "kept_until": to_iso(months_later(MONDAY_NOON + DAY, 12)),
        # What made it gold leaves the twelve months on the day on which it is looked at.
        "lost_at": to_iso(months_later(MONDAY_NOON + DAY, 12) + 30 * DAY),
    }


async def test_what_is_on_hold_does_not_count_until_the_hold_is_over(nora: Stage) -> None:
    """The clock lifts her then, without any event."""
    await nora.set({"earning": {"hold_days": 14}})
    nora.clock.instant += SECOND
    await nora.hears(nora.order())
    assert await tier(nora) is None
    assert await strikes(nora, 14 * DAY - SECOND) == 0
    nora.clock.instant += SECOND
    assert (await nora.database.read(lambda: busy(nora.clock.now())))["tiers"] == 1
    assert await strikes(nora) == 1
    assert await tier(nora) == "Silver"


async def test_a_tier_is_kept_for_a_year_and_a_month_of_grace_and_lost_one_at_a_time(nora: Stage) -> None:
    """Gold becomes silver, a year later nothing."""
    await nora.hears(*(nora.order(str(n)) for n in range(1001, 1004)))
    assert await strikes(nora, YEAR + 30 * DAY - MINUTE) >= 1
    assert await tier(nora) == "Gold"
    await strikes(nora, MINUTE)
    assert await tier(nora) == "Silver"
    assert (await shown(nora))["standing"]["kept_until"] == to_iso(months_later(MONDAY_NOON, 24))
    await strikes(nora, 366 * DAY)
    assert await tier(nora) is None
    assert await nora.rows("SELECT * FROM standings") == []


async def test_a_refund_takes_no_tier_before_its_time_and_all_of_it_then(nora: Stage) -> None:
    """Elsa's silver outlives the order it came from; a refund before the hold is over never made it."""
    order = nora.order()
    await nora.hears(order)
    nora.clock.instant += 40 * DAY
    await nora.hears(nora.refunded(order))
    account = await shown(nora)
    assert (account["tier"], account["standing"]["lost_at"]) == ("Silver", to_iso(MONDAY_NOON + YEAR + 30 * DAY))
    await strikes(nora, YEAR + 30 * DAY)
    assert await tier(nora) is None
    await nora.set({"earning": {"hold_days": 14}})
    nora.clock.instant += SECOND
    order = nora.order("1009", buyer=MAX)
    await nora.hears(order)
    nora.clock.instant += DAY
    await nora.hears(nora.refunded(order, number="10"))
    await strikes(nora, 30 * DAY)
    assert await tier(nora, "max@home.example") is None


@pytest.mark.parametrize("seed", range(4))
async def test_the_order_of_telling_makes_no_difference(nora: Stage, seed: int) -> None:
    """Orders and refunds of a year, told at the end of it in any order and repetition: the same standing."""
    told, back = [], []
    for n in range(8):
        nora.clock.instant = MONDAY_NOON + n * 40 * DAY
        told.append(nora.order(str(2000 + n)))
        if n % 3 == 0:
            nora.clock.instant += 20 * DAY
            back.append(nora.refunded(told[-1], number=str(90 + n), keep=n % 2))
    nora.clock.instant = MONDAY_NOON + 350 * DAY
    events = [*told, *back, told[3]]
    random.Random(seed).shuffle(events)
    for event in events:
        await nora.hears(event)
    rows = await nora.rows("SELECT tier, since_at, kept_until, falls_at FROM standings")
    # By hand: 60 a piece; the third makes 180, of which the first gave back 60 on day 20, so the fourth makes gold.
    reached = MONDAY_NOON + 120 * DAY
    kept = months_later(reached, 12)
    assert rows == [("gold", reached, kept, None)]


async def test_two_who_are_one_have_what_both_bought_together(nora: Stage) -> None:
    """Two silver customers make a gold one; nobody stands under the number that is gone."""
    nora.clock.instant += SECOND
    await nora.hears(nora.order(), nora.order("1002", buyer=MAX))
    await nora.hears(nora.order("1003", buyer=MAX))
    assert [await tier(nora), await tier(nora, "max@home.example")] == ["Silver", "Silver"]
    await nora.hears(CustomerSeen("shopify", MAX, nora.clock.now()), CustomersMerged("70", "71"))
    await nora.settles()
    await strikes(nora, SECOND)
    assert await tier(nora) == "Gold"
    assert len(await nora.rows("SELECT * FROM standings")) == 1


async def test_switching_tiers_on_and_off_reaches_everybody(nora: Stage) -> None:
    """Whoever bought before stands where they belong within a look of the clock, and nobody does after it is off."""
    await nora.set({"tiers": {**LADDER, "enabled": False}})
    nora.clock.instant += SECOND
    await nora.hears(nora.order(), nora.order("1002", buyer=MAX))
    await strikes(nora)
    assert await nora.rows("SELECT * FROM standings") == []
    nora.clock.instant += MINUTE
    await nora.set({"tiers": {"enabled": True}})
    await strikes(nora, SECOND)
    assert [await tier(nora), await tier(nora, "max@home.example")] == ["Silver", "Silver"]
    assert (await shown(nora))["standing"]["since"] == to_iso(nora.clock.now() - SECOND)
    assert await strikes(nora) == 0
    await nora.set({"tiers": {"enabled": False}})
    await strikes(nora, SECOND)
    assert await nora.rows("SELECT * FROM standings") == []


@pytest.mark.parametrize("grandfather", [True, False])
async def test_who_has_a_tier_keeps_it_when_it_gets_dearer_if_the_shop_wishes(nora: Stage, grandfather: bool) -> None:
    """For as long as it was promised; otherwise at once."""
    await nora.hears(nora.order())
    nora.clock.instant += DAY
    dearer = {**LADDER["ladder"], "silver": {"name": "Silver", "threshold": 100}}
    await nora.set({"tiers": {"ladder": dearer, "grandfather": grandfather}})
    await strikes(nora, SECOND)
    assert await tier(nora) == ("Silver" if grandfather else None)
    await strikes(nora, YEAR + 31 * DAY)
    assert await tier(nora) is None


async def test_one_who_cannot_be_placed_keeps_nobody_else_back(nora: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are put off for an hour, and the others are looked at."""
    await nora.hears(nora.order(), nora.order("1002", buyer=MAX))
    await nora.does("UPDATE standings SET due_at = 1, tier = NULL")
    real = settle.merit

    def broken(sale: Sale) -> Merit:
        if sale.customer == 2:
            raise RuntimeError("a bug")
        return real(sale)

    monkeypatch.setattr(settle, "merit", broken)
    nora.clock.instant += SECOND
    await strikes(nora)
    rows = await nora.rows("SELECT tier, due_at FROM standings ORDER BY customer")
    assert [rows[0][0], rows[1]] == ["silver", (None, nora.clock.now() + HOUR)]


async def test_one_who_stands_nowhere_and_cannot_be_placed_is_tried_again(
    nora: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New terms are looked at once by everybody: who trips then is not passed over for good."""
    await nora.set({"tiers": {"enabled": False}})
    await nora.hears(nora.order())
    await strikes(nora, SECOND)
    assert await nora.rows("SELECT customer FROM standings") == []
    await nora.set({"tiers": {"enabled": True}})
    with monkeypatch.context() as bug:
        bug.setattr(settle, "merit", lambda sale: 1 / 0)
        await strikes(nora, SECOND)
    await strikes(nora, HOUR)
    assert await tier(nora) == "Silver"


async def test_sales_of_a_shop_without_tiers_ask_the_database_nothing(nora: Stage) -> None:
    """They cost the hot path nothing."""
    await nora.set({"tiers": {**LADDER, "enabled": False}})
    await nora.hears(nora.order())
    shop = (await nora.database.read(lambda: shops([SHOP])))[SHOP]
    (one,) = await nora.database.read(lambda: standings(shop, [1]))
    assert list(TierRanker().rank([one.sale], nora.clock.now())) == []


async def test_a_forgotten_customer_stands_nowhere(nora: Stage) -> None:
    """What tiers keep of a person is shown, and goes with them."""
    await nora.hears(nora.order())
    subject = Subject(SHOP, numbers=(1,))
    kept = await nora.database.read(lambda: HOLDER.export(subject))
    assert [row["tier"] for row in kept["tier"]] == ["silver"]
    assert await nora.database.run(lambda: HOLDER.forget(subject, nora.clock.now())) == 1
    assert await nora.database.run(lambda: HOLDER.forget(subject, nora.clock.now())) == 0
    assert await tier(nora, ELSA) is None
