"""Journeys of disputes: a bank asks, and points are held, lost or given back."""

from datetime import timedelta

from tests.journeys.street import journey
from tests.journeys.town import Town

SOON = timedelta(hours=1)


@journey()
async def test_points_are_held_while_a_dispute_is_open_and_lost_with_it(town: Town) -> None:
    """The bank asks about all of it, and the buyer wins."""
    payment = town.payment(town.bo, 4000).pay()
    payment.dispute(SOON, 4000, ["needs_response", "under_review"])
    await town.told()
    assert await town.points(town.bo) == {"held": 40}
    await town.passes(days=20)
    payment.dispute_goes_on(["lost"])
    await town.told()
    assert await town.points(town.bo) == {}


@journey()
async def test_a_dispute_that_is_won_releases_the_points(town: Town) -> None:
    """Held over the end of the hold, then free at once."""
    payment = town.payment(town.bo, 4000).pay()
    payment.dispute(SOON, 4000, ["needs_response"])
    await town.passes(days=40)
    assert await town.points(town.bo) == {"held": 40}
    payment.dispute_goes_on(["won"])
    await town.told()
    assert await town.points(town.bo) == {"available": 40}


@journey()
async def test_an_appeal_stays_lost_until_it_is_won(town: Town) -> None:
    """Lost, appealed, won after all."""
    payment = town.payment(town.bo, 4000).pay()
    payment.dispute(SOON, 4000, ["needs_response", "lost", "appeal_under_review"])
    await town.told()
    assert await town.points(town.bo) == {}
    await town.passes(days=10)
    payment.dispute_goes_on(["won"])
    await town.told()
    assert await town.points(town.bo) == {"pending": 40}


@journey()
async def test_a_dispute_about_a_part_holds_that_part(town: Town) -> None:
    """15.00 of 40.00 are asked about."""
    payment = town.payment(town.bo, 4000).pay()
    payment.dispute(SOON, 1500, ["needs_response"])
    await town.told()
    assert await town.points(town.bo) == {"pending": 25, "held": 15}


@journey()
async def test_an_inquiry_moves_nothing(town: Town) -> None:
    """A warning is a question, not a dispute."""
    payment = town.payment(town.bo, 4000).pay()
    payment.dispute(SOON, 4000, ["warning_needs_response", "warning_closed"])
    order = town.order(town.ana)
    order.dispute(SOON, 4000, ["needs_response", "won"], kind="inquiry")
    await town.told()
    assert await town.points(town.bo) == await town.points(town.ana) == {"pending": 40}


@journey()
async def test_a_status_nobody_knows_yet_changes_nothing(town: Town) -> None:
    """Platforms add words; what was held stays held, what was lost stays lost."""
    for who, before in ((town.ana, []), (town.bo, ["needs_response"]), (town.caro, ["needs_response", "lost"])):
        town.payment(who, 4000).pay().dispute(SOON, 4000, [*before, "a_word_of_next_year"])
    await town.told()
    assert await town.points(town.ana) == {"pending": 40}
    assert await town.points(town.bo) == {"held": 40}
    assert await town.points(town.caro) == {}


@journey()
async def test_a_dispute_of_a_shopify_payment_counts_alike(town: Town) -> None:
    """Shopify tells its own disputes; accepted is lost."""
    lost, won = town.order(town.ana), town.order(town.dan)
    lost.dispute(SOON, 4000, ["needs_response", "under_review"])
    won.dispute(SOON, 4000, ["needs_response", "won"])
    await town.told()
    assert await town.points(town.ana) == {"held": 40}
    assert await town.points(town.dan) == {"pending": 40}
    lost.dispute_goes_on(["lost"])
    await town.told()
    assert await town.points(town.ana) == {}
