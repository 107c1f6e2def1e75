"""Journeys of friends: who brought whom, what both sides get for it, and when it is nothing."""

from handlers.customers.identify import find
from handlers.referrals import codes
from handlers.referrals.codes import Code
from integration.clock import DAY
from tests.journeys.street import journey
from tests.journeys.town import Person, Town
from tests.properties.shopify_stories import Line, PretendOrder

TERMS = {"referrals__enabled": True, "referrals__points": 1_000, "referrals__min_order": "20"}


async def opens(town: Town) -> None:
    """Friends bring points from now on, and Ana buys a coffee; friends got a few codes with her link."""
    await town.programme(**TERMS)
    town.order(town.ana)
    await town.passes(hours=1)
    sought, now = [("email", town.ana.email or "")], town.street.clock.now()
    ana = await town.street.context.database.read(lambda: find(town.merchant, sought))
    assert ana is not None
    for number in range(1, 4):
        code = Code(
            merchant_id=town.merchant, code=f"FRIEND{number}", link="LINK", customer=ana, asker="", state="made",
            kind="amount_off", terms="{}", value_minor=1000, currency="USD", created_at=now, expires_at=now + 30 * DAY,
        )  # fmt: skip
        await town.street.context.database.run(lambda code=code: codes.put_code(code))  # type: ignore[misc]


def comes(town: Town, who: Person, number: int = 1) -> PretendOrder:
    """A friend buys a coffee at 40.00 with one of the codes."""
    return town.order(who, Line(4000), codes=(f"friend{number}",))


@journey()
async def test_a_friends_first_order_pays_both_sides_when_its_return_window_is_over(town: Town) -> None:
    """Until then all of it waits; whatever is told twice, late or in another order."""
    await opens(town)
    comes(town, town.bo)
    await town.told()
    assert (await town.points(town.ana), await town.points(town.bo)) == ({"pending": 1_040}, {"pending": 40})
    await town.passes(days=31)
    assert (await town.points(town.ana), await town.points(town.bo)) == ({"available": 1_040}, {"available": 40})
    comes(town, town.bo, 2)
    await town.passes(days=31)
    assert (await town.points(town.ana), await town.points(town.bo)) == ({"available": 1_040}, {"available": 80})


@journey()
async def test_an_order_that_comes_back_within_its_window_pays_nobody(town: Town) -> None:
    """Whole, before it could be spent; half of a second friend's is kept, and that is enough."""
    await opens(town)
    order = comes(town, town.bo)
    two = town.order(town.dan, Line(2000, quantity=2), codes=("FRIEND2",))
    await town.passes(days=3)
    order.refund(pieces={0: 1})
    two.refund(pieces={0: 1})
    await town.told()
    assert (await town.points(town.ana), await town.points(town.bo)) == ({"pending": 1_040}, {})
    await town.passes(days=60)
    assert (await town.points(town.ana), await town.points(town.bo)) == ({"available": 1_040}, {})


@journey("once", "twice", "shuffled")
async def test_an_order_that_comes_back_later_takes_the_points_back(town: Town) -> None:
    """They could be spent already, and were: then they are owed."""
    await opens(town)
    order = comes(town, town.bo)
    await town.passes(days=31)
    await town.spends(town.ana, 1_000)
    order.refund(pieces={0: 1})
    await town.told()
    assert await town.points(town.ana) == {"available": -960}


@journey("once", "shuffled", "lost")
async def test_oneself_and_who_bought_before_are_no_friends(town: Town) -> None:
    """Ana with a tag in her address, Dan, who was here last week, and Ana herself; their own orders count as ever."""
    town.order(town.dan)
    await town.passes(days=7)
    mail = town.ana.email or ""
    alias = Person("Ana again", mail.replace("@", "+2@"))
    await opens(town)
    for number, who in enumerate((alias, town.dan, town.ana), start=1):
        comes(town, who, number)
    await town.told()
    assert [await town.points(who) for who in (town.ana, alias, town.dan)] == [
        {"pending": 80},
        {"pending": 40},
        {"pending": 80},
    ]
    assert {row[0] for row in await town.rows("SELECT state FROM referrals")} == {"refused"}
