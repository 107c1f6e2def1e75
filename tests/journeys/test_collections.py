"""Journeys of campaigns for collections: what lay where when it was sold decides, whenever it is told."""

import secrets

from handlers.collections import store
from handlers.collections.jobs import _stir
from handlers.collections.rules import Read
from tests.journeys.street import journey
from tests.journeys.town import Town
from tests.properties.shopify_stories import Line

MINUTE = 60_000_000


async def holds(town: Town, *products: int) -> None:
    """The shop is asked what is in its collection 77, by whoever keeps that."""
    run, now, token = town.street.context.database.run, town.street.clock.now(), secrets.token_hex(4)
    told = Read("Autumn", frozenset(map(str, products)))
    async with town.street.context.engine.begin() as connection:
        await connection.exec_driver_sql(f"UPDATE collections SET due_at = 0 WHERE merchant_id = {town.merchant}")
    assert await run(lambda: store.claim(town.merchant, "77", token, now, now + MINUTE))
    assert await run(lambda: store.keep(town.merchant, "77", token, told, now))
    await _stir(town.street.context, town.merchant, "77")


async def campaign(town: Town, **settings: object) -> None:
    """The merchant writes a campaign of three days from tomorrow: two points for one for what is in collection 77."""
    known = {"name": "Autumn", "starts": "2026-10-07", "ends": "2026-10-09", "multiplier": "2", "collections": "77"}
    await town.programme(**{f"earning__campaigns__autumn__{key}": value for key, value in (known | settings).items()})


@journey()
async def test_goods_earn_by_where_they_lay_when_they_were_sold_whatever_moved_since(town: Town) -> None:
    """A cup leaves the collection between two orders, the coffee comes in; a refund goes by the old place of both."""
    await campaign(town)
    await holds(town, 9002)
    await town.passes(days=1)
    early = town.order(town.ana, Line(1000), Line(500, product=9002))
    await town.passes(hours=1)
    await holds(town, 9001)
    await town.passes(hours=1)
    town.order(town.bo, Line(1000), Line(500, product=9002))
    await town.told()
    assert await town.points(town.ana) == {"pending": 20}
    assert await town.points(town.bo) == {"pending": 25}
    assert "campaign “Autumn” (2026-10-07 to 2026-10-09) gave 2 points a unit, not 1" in await town.why(town.ana)
    await town.passes(days=40)
    early.refund(pieces={1: 1})
    await town.told()
    assert await town.points(town.ana) == {"available": 10}


@journey("once", "shuffled", "twice")
async def test_a_campaign_may_be_for_products_and_collections_at_once(town: Town) -> None:
    """Either is enough; what is neither earns as ever, as does everything before the shop has told what it holds."""
    await campaign(town, products="9003")
    await town.passes(days=1)
    town.order(town.ana, Line(1000), Line(500, product=9002), Line(200, product=9003))
    await town.told()
    assert await town.points(town.ana) == {"pending": 19}
    await holds(town, 9002)
    await town.told()
    assert await town.points(town.ana) == {"pending": 24}
    town.order(town.bo, Line(1000), Line(500, product=9002), Line(200, product=9003))
    await town.told()
    assert await town.points(town.bo) == {"pending": 24}
