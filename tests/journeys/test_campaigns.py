"""Journeys of bonus campaigns: who earns more, until when, and what becomes of it afterwards."""

from datetime import UTC, datetime, timedelta

from tests.journeys.street import journey
from tests.journeys.town import Town
from tests.properties.shopify_stories import Line


async def campaign(town: Town, **settings: object) -> None:
    """The merchant writes a campaign of three days from tomorrow, of two points for one unless said otherwise."""
    known = {"name": "Harvest days", "starts": "2026-10-07", "ends": "2026-10-09", "multiplier": "2"}
    await town.programme(**{f"earning__campaigns__harvest__{key}": value for key, value in (known | settings).items()})


@journey()
async def test_a_campaign_gives_more_from_its_first_moment_to_its_last_and_says_so(town: Town) -> None:
    """Ana buys the evening before, Bo within, Dan the morning after; midnight is New York's."""
    await campaign(town)
    town.at(datetime(2026, 10, 7, 3, 59, 59, tzinfo=UTC))
    town.order(town.ana)
    town.at(datetime(2026, 10, 7, 4, 0, tzinfo=UTC))
    town.order(town.bo)
    town.at(datetime(2026, 10, 10, 4, 0, tzinfo=UTC))
    town.order(town.dan)
    await town.told()
    assert [await town.points(who) for who in (town.ana, town.bo, town.dan)] == [
        {"pending": 40},
        {"pending": 80},
        {"pending": 40},
    ]
    assert "campaign “Harvest days” (2026-10-07 to 2026-10-09) gave 2 points a unit, not 1" in await town.why(town.bo)
    assert "campaign" not in await town.why(town.ana)
    assert [sale["campaigns"] for sale in await town.sales(town.bo)] == [["Harvest days"]]


@journey()
async def test_a_refund_long_after_a_campaign_takes_back_what_the_campaign_gave(town: Town) -> None:
    """Half of it after the hold, the rest still later: 80, 40, nothing."""
    await campaign(town)
    await town.passes(days=1)
    order = town.order(town.bo, Line(2000, quantity=2))
    await town.passes(days=40)
    assert await town.points(town.bo) == {"available": 80}
    order.refund(pieces={0: 1})
    await town.told()
    assert await town.points(town.bo) == {"available": 40}
    order.refund(pieces={0: 1})
    await town.told()
    assert await town.points(town.bo) == {}


@journey()
async def test_what_becomes_of_a_campaign_later_changes_no_sale_that_was_made_in_it(town: Town) -> None:
    """It is made richer, then shorter, then taken out, and the order changes after all of that."""
    await campaign(town)
    await town.passes(days=1)
    order = town.order(town.ana)
    await town.passes(hours=1)
    await campaign(town, multiplier="5")
    town.order(town.bo)
    await town.passes(hours=1)
    await campaign(town, ends="2026-10-07T11:30")
    town.order(town.dan)
    await town.passes(hours=1)
    await town.programme(earning__campaigns__harvest="null")
    order.edit(add=Line(1000))
    await town.told()
    assert await town.points(town.ana) == {"pending": 100}
    assert await town.points(town.bo) == {"pending": 200}
    assert await town.points(town.dan) == {"pending": 40}


@journey("once", "shuffled", "twice")
async def test_a_campaign_for_some_goods_and_some_orders_leaves_the_others_alone(town: Town) -> None:
    """Cups for friends of the house: the coffee beside them earns as ever, and so does everybody else's cup."""
    await campaign(town, products="9002", tags="Friend", extra_per_unit="3", multiplier="1")
    await town.passes(days=1)
    town.order(town.ana, Line(1000), Line(500, product=9002), tags="friend, vip")
    town.order(town.bo, Line(500, product=9002))
    await town.told()
    assert await town.points(town.ana) == {"pending": 30}
    assert await town.points(town.bo) == {"pending": 5}


@journey("once", "shuffled", "twice")
async def test_goods_orders_and_channels_that_are_left_out_earn_nothing_and_say_why(town: Town) -> None:
    """By product, by tag and by channel, in a campaign or not; a change of tags counts from its own webhook on."""
    await campaign(town)
    await town.programme(
        earning__exclude_products="gid://shopify/Product/9002",
        earning__exclude_tags="Staff",
        earning__exclude_channels="POS",
    )
    await town.passes(days=1)
    town.order(town.ana, Line(1000), Line(500, product=9002))
    town.order(town.bo, tags="staff")
    order = town.order(town.dan, source="pos")
    await town.told()
    assert await town.points(town.ana) == {"pending": 20}
    assert await town.points(town.bo) == await town.points(town.dan) == {}
    for who, words in ((town.ana, "excluded"), (town.bo, "tagged “staff”"), (town.dan, "from “pos”")):
        assert words in await town.why(who)
    order.source, order.tags = "web", "vip"
    order.becomes("paid")
    await town.told()
    assert await town.points(town.dan) == {"pending": 80}


@journey("once", "shuffled")
async def test_clocks_that_change_in_a_campaign_neither_lengthen_nor_shorten_its_days(town: Town) -> None:
    """New York's clocks go back on 1 November at two: that day has 25 hours, all of them in the campaign."""
    await campaign(town, starts="2026-11-01", ends="2026-11-01")
    for moment, who in (
        (datetime(2026, 11, 1, 3, 59, 59, tzinfo=UTC), town.bo),
        (datetime(2026, 11, 1, 4, 0, tzinfo=UTC), town.ana),
        (datetime(2026, 11, 2, 4, 59, 59, tzinfo=UTC), town.ana),
        (datetime(2026, 11, 2, 5, 0, tzinfo=UTC), town.bo),
    ):
        town.at(moment)
        town.order(who)
    await town.told()
    assert await town.points(town.ana) == {"pending": 160}
    assert await town.points(town.bo) == {"pending": 80}


@journey("once", "shuffled", "lost")
async def test_a_stripe_payment_in_a_campaign_earns_more_and_its_refund_takes_it_back(town: Town) -> None:
    """Sixty dollars at two points, of which a third goes back after the campaign."""
    await campaign(town)
    await town.passes(days=1)
    payment = town.payment(town.caro, 6000).pay()
    await town.passes(days=10)
    payment.refund(timedelta(0), 2000)
    await town.told()
    assert await town.points(town.caro) == {"pending": 80}
