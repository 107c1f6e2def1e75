"""Journeys of points that lapse: bought, forgotten, told of, given back, and what refunds find."""

from datetime import timedelta

from handlers.points.jobs import enrol_holders, expire_due
from tests.journeys.street import journey
from tests.journeys.town import Town
from tests.properties.shopify_stories import Line

# Not `again`: the half year that lets everything be forgotten there would lapse points.
STYLES = ("once", "twice", "shuffled", "lost")


async def lapse(town: Town, **time: float) -> None:
    """Time passes, and the jobs of the clock run as they do every ten minutes."""
    await town.passes(**time)
    await enrol_holders(town.street.context)
    await expire_due(town.street.context)
    await town.street.idle()


async def is_on(town: Town, **settings: object) -> None:
    """Points lapse after three months without a purchase, unless said otherwise; no hold."""
    known = {"expiry__enabled": True, "expiry__months": 3, "earning__hold_days": 0, "reviews__enabled": False}
    await town.programme(**(known | settings))


@journey(*STYLES)
async def test_points_nobody_came_back_for_lapse_and_a_purchase_in_time_keeps_them(town: Town) -> None:
    """Ana never comes again; Bo does, two weeks before the day."""
    await is_on(town)
    town.order(town.ana)
    town.order(town.bo)
    await lapse(town, days=78)
    town.order(town.bo, Line(1000))
    await lapse(town, days=15)
    assert await town.points(town.ana) == {}
    assert await town.points(town.bo) == {"available": 50}
    assert (await town.account(town.ana))["points"]["lifetime"] == 40
    await lapse(town, days=92)
    assert await town.points(town.bo) == {}


@journey(*STYLES)
async def test_a_refund_long_after_points_have_lapsed_takes_nothing_from_those_that_came_since(town: Town) -> None:
    """Forty lapsed; Ana buys for ten, then returns what brought the forty, in two parts."""
    await is_on(town)
    order = town.order(town.ana, Line(2000, quantity=2))
    await lapse(town, days=100)
    assert await town.points(town.ana) == {}
    town.order(town.ana, Line(1000))
    await town.told()
    for _ in range(2):
        order.refund(pieces={0: 1})
        await town.told()
        assert await town.points(town.ana) == {"available": 10}
    assert town.letters(town.ana, "points") == []


@journey(*STYLES)
async def test_an_order_told_of_after_all_gives_back_what_it_would_have_kept(town: Town) -> None:
    """Its webhook is lost for a month; she had bought the day before her points would lapse."""
    await is_on(town)
    town.order(town.ana)
    await lapse(town, days=90)
    late = town.order(town.ana, Line(500))
    held = [delivery for delivery in town.tape.deliveries if delivery.body.get("id") == int(late.id)]
    town.tape.deliveries[:] = [delivery for delivery in town.tape.deliveries if delivery not in held]
    await lapse(town, days=10)
    assert await town.points(town.ana) == {}
    town.tape.deliveries += held
    await town.told()
    assert await town.points(town.ana) == {"available": 45}


@journey(*STYLES)
async def test_points_under_dispute_and_on_hold_do_not_lapse(town: Town) -> None:
    """By age, three months after they could be spent: on hold for ninety days, then disputed, then free once more."""
    await is_on(town, expiry__after="age", earning__hold_days=90)
    order = town.order(town.ana)
    await lapse(town, days=95)
    assert await town.points(town.ana) == {"available": 40}
    order.dispute(timedelta(0), 4000, ["needs_response"])
    await lapse(town, days=100)
    assert await town.points(town.ana) == {"held": 40}
    order.dispute_goes_on(["won"])
    await lapse(town, days=1)
    assert await town.points(town.ana) == {"available": 40}
    await lapse(town, days=92)
    assert await town.points(town.ana) == {}


@journey(*STYLES)
async def test_points_spent_at_the_counter_came_off_the_oldest(town: Town) -> None:
    """By age: thirty of the first forty are spent, so ten lapse with them and twenty are left of the second."""
    await is_on(town, expiry__after="age")
    town.order(town.ana)
    await lapse(town, days=40)
    town.order(town.ana, Line(2000))
    await town.told()
    await town.spends(town.ana, 30)
    await lapse(town, days=60)
    assert await town.points(town.ana) == {"available": 20}
    await lapse(town, days=40)
    assert await town.points(town.ana) == {}


@journey("once", "shuffled")
async def test_a_notice_comes_a_week_before_and_says_what_keeps_the_points(town: Town) -> None:
    """She buys on the day she reads it, and everything is hers for three months more."""
    await is_on(town, expiry__remind=True, expiry__notice_days="7", thanks__enabled=False)
    town.order(town.ana)
    await lapse(town, days=60)
    assert town.letters(town.ana, "expire") == []
    await lapse(town, days=26)
    (letter,) = town.letters(town.ana, "expire")
    assert "40 of your points" in letter["subject"]
    assert "Any purchase before that day keeps your points valid for longer." in letter.as_string()
    town.order(town.ana)
    await lapse(town, days=20)
    assert await town.points(town.ana) == {"available": 80}
    assert len(town.letters(town.ana, "expire")) == 1
