"""What Stripe's own sample events must come to, in any order and however often they are told."""

import itertools
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.journeys.samples import sample
from tests.journeys.street import journey
from tests.journeys.town import Town
from tests.oracle.tellings import Delivery

ACCOUNT = "acct_1Merchant0000001"  # of the samples that name one
ANA, BEA, CARO = "ana@example.com", "bea@example.com", "caro@example.com"
SAMPLE_DAY = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)  # the samples' sales are four days old


@pytest.fixture(autouse=True)
def _samples() -> None:
    sample("stripe_events", "01a")


def event(name: str, **changes: Any) -> dict[str, Any]:
    """A sample event, its object changed where named, under an id of its own then."""
    found: dict[str, Any] = deepcopy(sample("stripe_events", name))
    if changes:
        found["id"] += "".join(str(value) for value in changes.values())
        found["data"]["object"].update(changes)
    return found


async def tell(town: Town, *events: dict[str, Any]) -> None:
    """Deliver events in this order, in the journey's style."""
    if town.clock < SAMPLE_DAY:
        town.at(SAMPLE_DAY - timedelta(days=20))
        await town.programme(earning__rates=dict.fromkeys(("EUR", "JPY", "KWD", "ISK", "HUF", "UGX"), "1"))
        town.at(SAMPLE_DAY)
    for one in events:
        town.tape.deliveries.append(Delivery("stripe", "corner-stripe", one["type"], one["id"], one))
    await town.told()


async def in_every_order(town: Town, *names: str) -> list[Town]:
    """Tell the same events twice in every order, each time in another shop; returns the shops."""
    shops = []
    for number, order in enumerate(itertools.permutations(names)):
        shop = await town.neighbour(next_door=number + 1)
        await tell(shop, *(event(name) for name in order), *(event(name) for name in order))
        shops.append(shop)
    return shops


@journey("once")
async def test_a_guests_checkout_is_one_award_and_one_note_in_all_orders(town: Town) -> None:
    """Charge, payment intent and session of 27.49 with 2.50 tax: 24 points each time."""
    for shop in await in_every_order(town, "01a", "01b", "01c"):
        await shop.passes(hours=2)
        assert await shop.points(ANA) == {"pending": 24}
        assert len(await shop.messages(ANA, "thank_you")) == 1


@journey("once")
async def test_cumulative_refunds_end_at_nothing_in_all_orders_and_a_failed_one_restores_its_share(town: Town) -> None:
    """10.00, then all 27.49; then the first refund fails and 10.00 are the shop's again."""
    for shop in await in_every_order(town, "01a", "02a", "02b", "02c"):
        assert await shop.points(ANA) == {}
        await tell(shop, event("02d"), event("02c", amount_refunded=1749))
        assert await shop.points(ANA) == {"pending": 10}


@journey()
async def test_an_unpaid_session_awards_nothing_until_the_money_comes(town: Town) -> None:
    """A delayed method: nothing, then once; one that fails never."""
    await tell(town, event("03a"), event("03b"), event("03c"))
    assert await town.points(BEA) == {}
    await tell(town, event("03d"), event("03e"), event("03f"))
    assert await town.points(BEA) == {"pending": 47}
    await tell(town, event("03g"))
    assert await town.points(BEA) == {"pending": 47}


@journey()
async def test_a_subscriptions_invoice_is_one_award(town: Town) -> None:
    """Five events about one payment of 15.00, 5.00 of it tax; a trial, a cash payment and a free one are none."""
    await tell(town, *(event(f"04{letter}") for letter in "abcde"))
    assert await town.points(CARO) == {"pending": 10}
    await tell(town, *(event(f"04{letter}") for letter in "fgh"))
    assert await town.points(CARO) == {"pending": 10}


@journey()
async def test_a_dispute_holds_then_takes_or_releases(town: Town) -> None:
    """Held when opened, gone when lost, still gone while appealed."""
    await tell(town, event("01a"), event("05a"), event("05b"))
    assert await town.points(ANA) == {"held": 27}
    await tell(town, event("05c"))
    assert await town.points(ANA) == {}
    await tell(town, event("05h"))
    assert await town.points(ANA) == {}


@journey()
async def test_a_dispute_that_is_won_releases(town: Town) -> None:
    """Closed as won, funds reinstated."""
    await tell(town, event("01a"), event("05a"), event("05d"), event("05e"))
    assert await town.points(ANA) == {"pending": 27}


@journey()
async def test_an_inquiry_or_an_unknown_status_loses_nothing(town: Town) -> None:
    """Warnings and words of the future."""
    await tell(town, event("01a"), event("05f"), event("05g"), event("05a", status="nobody_knows"))
    assert await town.points(ANA) == {"pending": 27}


@journey()
async def test_minor_units_of_every_kind_of_currency(town: Town) -> None:
    """500 yen, 5.12 dinars, 5 Icelandic crowns, 10.45 forint, 10 shillings."""
    for number, (code, points) in enumerate({"jpy": 500, "kwd": 5, "isk": 5, "huf": 10, "ugx": 10}.items()):
        shop = await town.neighbour(next_door=number + 1)
        shop.withheld = None
        await tell(shop, event(f"06_payment_intent.succeeded_{code}"))
        assert await shop.unclaimed() == {"pending": points}


@journey()
async def test_what_is_not_livemode_never_awards(town: Town) -> None:
    """A test payment, and a test charge on a live endpoint."""
    await town.is_stripe_account(ACCOUNT)
    await tell(town, event("07a"), event("07c"))
    assert await town.unclaimed() == {}
    assert await town.points("t@example.com") == {}
    assert (await town.account("t@example.com"))["test"]["points"]["pending"] == 99


@journey()
async def test_an_authorisation_awards_what_is_captured_of_it(town: Town) -> None:
    """42.00 reserved: nothing. 40.00 captured: forty points."""
    await tell(town, event("07e"))
    assert await town.points("w@example.com") == {}
    await tell(town, event("07f"))
    assert await town.points("w@example.com") == {"pending": 40}


@journey()
async def test_after_a_disconnection_later_sales_of_the_account_earn_nothing(town: Town) -> None:
    """The merchant takes our access away, either way Stripe tells it."""
    for number, name in enumerate(("08d", "08f")):
        shop = await town.neighbour(next_door=number + 1)
        shop.withheld = None
        await shop.is_stripe_account(ACCOUNT)
        await tell(shop, event("01a"), event(name))
        at = event("08d")["created"] + 3600
        await tell(shop, event("01a", id="ch_after", payment_intent="pi_after", created=at))
        assert await shop.points(ANA) == {"pending": 27}


@journey()
async def test_a_refund_told_before_its_payment_is_consistent(town: Town) -> None:
    """The refund first, then the charge as it was before."""
    await tell(town, event("02a"))
    await tell(town, event("01a"))
    assert await town.points(ANA) == {"pending": 17}


@journey()
async def test_older_api_versions_say_the_same(town: Town) -> None:
    """Refunds inside the charge, a request that is a string, an invoice that names its payment."""
    await tell(town, event("09b"), event("09a"))
    assert await town.points(ANA) == {"pending": 17}
    await tell(town, event("04a"), event("09d"))
    assert await town.points(CARO) == {"pending": 10}
