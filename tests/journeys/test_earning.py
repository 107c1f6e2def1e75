"""Journeys of points: what a sale earns, when, and what becomes of it as the sale changes."""

from tests.journeys.street import journey
from tests.journeys.town import Town
from tests.properties.shopify_stories import Line


@journey()
async def test_a_paid_order_earns_pending_points_that_become_available_when_the_hold_ends(town: Town) -> None:
    """Ana buys for 40.00; the points are hers to spend after thirty days."""
    town.order(town.ana)
    await town.told()
    assert await town.points(town.ana) == {"pending": 40}
    await town.passes(days=29)
    assert await town.points(town.ana) == {"pending": 40}
    await town.passes(days=1, minutes=1)
    assert await town.points(town.ana) == {"available": 40}


@journey()
async def test_fractions_add_up_exactly_and_each_refund_takes_exactly_its_own(town: Town) -> None:
    """30.50 and 19.50 make 50 points, and giving 19.50 back leaves 30."""
    town.order(town.ana, Line(3050))
    smaller = town.order(town.ana, Line(1950))
    await town.told()
    assert await town.points(town.ana) == {"pending": 50}
    smaller.refund(pieces={0: 1})
    await town.told()
    assert await town.points(town.ana) == {"pending": 30}


@journey()
async def test_partial_refunds_add_up(town: Town) -> None:
    """Two of five cups go back one after the other, then the rest: 50, 40, 30, nothing."""
    order = town.order(town.ana, Line(1000, quantity=5))
    order.refund(pieces={0: 1})
    await town.told()
    assert await town.points(town.ana) == {"pending": 40}
    order.refund(pieces={0: 1})
    await town.told()
    assert await town.points(town.ana) == {"pending": 30}
    order.refund(pieces={0: 3})
    await town.told()
    assert await town.points(town.ana) == {}


@journey()
async def test_a_refund_told_before_its_order_waits_and_then_counts(town: Town) -> None:
    """The refund's webhook overtakes every webhook of the order; in between nothing is posted."""
    order = town.order(town.ana, Line(1000, quantity=3))
    order.refund(pieces={0: 1})
    everything = town.tape.deliveries
    everything.sort(key=lambda delivery: delivery.topic != "refunds/create")
    await town.told()
    assert await town.points(town.ana) == {"pending": 20}


@journey()
async def test_a_refund_without_lines_takes_back_its_amount(town: Town) -> None:
    """The merchant gives 12.50 back as a kindness, and later 5.00 by hand as money only."""
    order = town.order(town.ana)
    order.refund(adjustment=-1250)
    await town.told()
    assert await town.points(town.ana) == {"pending": 27}
    order.refund(transactions=[("success", 500)])
    await town.told()
    assert await town.points(town.ana) == {"pending": 22}


@journey()
async def test_a_refund_to_store_credit_is_a_refund(town: Town) -> None:
    """The goods came back, whatever the money was turned into."""
    order = town.order(town.ana, Line(1000, quantity=4))
    order.refund(pieces={0: 3}, gateway="shopify_store_credit")
    await town.told()
    assert await town.points(town.ana) == {"pending": 10}


@journey()
async def test_a_refund_of_shipping_alone_takes_nothing(town: Town) -> None:
    """Shipping earned nothing, so giving it back costs nothing."""
    order = town.order(town.ana, shipping=990)
    order.refund(shipping=990)
    await town.told()
    assert await town.points(town.ana) == {"pending": 40}


@journey()
async def test_returning_all_goods_takes_all_points_though_the_shop_keeps_the_shipping(town: Town) -> None:
    """All that earned is back, so nothing is left."""
    order = town.order(town.ana, Line(1999), Line(2001), shipping=990)
    order.refund(pieces={0: 1, 1: 1})
    await town.told()
    assert await town.points(town.ana) == {}


@journey()
async def test_a_refund_that_is_still_pending_counts_its_lines_and_no_discrepancy(town: Town) -> None:
    """Shopify shows a pending refund with a positive discrepancy as large as the refund itself."""
    order = town.order(town.ana, Line(1000, quantity=2))
    refund = order.refund(pieces={0: 1}, adjustment=1000, transactions=[("pending", 1000)])
    await town.told()
    assert await town.points(town.ana) == {"pending": 10}
    await town.passes(hours=2)
    order.settle(refund)
    await town.told()
    assert await town.points(town.ana) == {"pending": 10}


@journey()
async def test_an_even_exchange_changes_nothing(town: Town) -> None:
    """A cup goes back, another of the same price goes out."""
    order = town.order(town.ana, Line(4000))
    order.refund(pieces={0: 1}, transactions=[])
    order.edit(add=Line(4000))
    order.becomes("paid")
    await town.told()
    assert await town.points(town.ana) == {"pending": 40}


@journey()
async def test_cancelling_before_the_hold_ends_leaves_no_trace_on_what_can_be_spent(town: Town) -> None:
    """The pending points go; available ones were never touched, and no notice is sent."""
    order = town.order(town.ana)
    await town.passes(days=3)
    order.cancel()
    await town.passes(days=40)
    assert await town.points(town.ana) == {}
    assert all("available" not in e["to"] + e["from"] for e in (await town.account(town.ana))["entries"])
    assert town.letters(town.ana, "points") == []


@journey()
async def test_cancelling_after_the_hold_takes_available_points_back(town: Town) -> None:
    """Forty days later the order is called off after all."""
    order = town.order(town.ana)
    town.order(town.ana, Line(700))
    await town.passes(days=40)
    assert await town.points(town.ana) == {"available": 47}
    order.cancel()
    await town.told()
    assert await town.points(town.ana) == {"available": 7}


@journey()
async def test_a_cancelled_order_that_is_opened_again_earns_once(town: Town) -> None:
    """Status flaps; the target does not."""
    order = town.order(town.ana)
    for _ in range(2):
        await town.passes(hours=1)
        order.cancel()
        await town.passes(hours=1)
        order.reopen()
    await town.told()
    assert await town.points(town.ana) == {"pending": 40}


@journey()
async def test_a_deleted_order_earns_nothing(town: Town) -> None:
    """All that Shopify tells of it is its number."""
    order = town.order(town.ana)
    order.delete()
    await town.told()
    assert await town.points(town.ana) == {}


@journey()
async def test_editing_an_order_up_and_down_follows_what_is_in_it(town: Town) -> None:
    """A line more, then two pieces fewer; the increase shares the sale's own hold."""
    order = town.order(town.ana, Line(1000, quantity=3))
    await town.passes(days=20)
    order.edit(add=Line(500))
    await town.told()
    assert await town.points(town.ana) == {"pending": 35}
    order.edit(remove=(0, 2))
    await town.passes(days=11)
    assert await town.points(town.ana) == {"available": 15}


@journey()
async def test_only_what_was_paid_after_discounts_earns(town: Town) -> None:
    """50.00 with 10.00 off is 40 points."""
    town.order(town.ana, Line(5000, discount=1000))
    await town.told()
    assert await town.points(town.ana) == {"pending": 40}


@journey()
async def test_tax_earns_nothing_whether_prices_include_it_or_not(town: Town) -> None:
    """48.00 with 8.00 of it tax, and 40.00 with 8.00 on top, are both 40 points."""
    town.order(town.ana, Line(4800, tax=800), taxes_included=True)
    town.order(town.bo, Line(4000, tax=800))
    await town.told()
    assert await town.points(town.ana) == await town.points(town.bo) == {"pending": 40}


@journey()
async def test_shipping_tips_and_donations_earn_nothing(town: Town) -> None:
    """Ana pays 40.00 for coffee, 9.90 for shipping and tips 5.00."""
    town.order(town.ana, Line(4000), Line(500, tip=True), shipping=990, shipping_tax=190)
    await town.told()
    assert await town.points(town.ana) == {"pending": 40}


@journey()
async def test_the_merchant_may_let_tax_and_shipping_earn(town: Town) -> None:
    """With both switched on the whole payment earns."""
    await town.programme(earning__include_tax=True, earning__include_shipping=True)
    town.order(town.ana, Line(4000, tax=800), shipping=990)
    await town.told()
    assert await town.points(town.ana) == {"pending": 57}


@journey()
async def test_a_gift_card_earns_when_it_is_spent_and_not_when_it_is_bought(town: Town) -> None:
    """Ana buys a card for 50.00; Bo spends it on coffee, for a gift card is a means of payment."""
    town.order(town.ana, Line(5000, gift_card=True))
    town.order(town.bo, Line(5000), notes={"paid with": "gift card"})
    await town.told()
    assert await town.points(town.ana) == {}
    assert await town.points(town.bo) == {"pending": 50}
    assert "gift card" in await town.why(town.ana)


@journey()
async def test_money_that_is_only_reserved_earns_when_it_is_taken(town: Town) -> None:
    """Authorised first, partly paid next, paid in the end."""
    order = town.order(town.ana, status="authorized")
    await town.told()
    assert await town.points(town.ana) == {}
    assert "authorised" in await town.why(town.ana)
    await town.passes(hours=1)
    order.becomes("partially_paid")
    await town.told()
    assert await town.points(town.ana) == {}
    await town.passes(hours=1)
    order.becomes("paid")
    await town.told()
    assert await town.points(town.ana) == {"pending": 40}


@journey()
async def test_a_voided_or_expired_authorisation_earns_nothing(town: Town) -> None:
    """The card said no in the end, or nobody asked in time."""
    voided, expired = (town.order(who, status="authorized") for who in (town.ana, town.bo))
    await town.passes(days=1)
    voided.becomes("voided")
    expired.becomes("expired")
    await town.told()
    assert await town.points(town.ana) == await town.points(town.bo) == {}


@journey()
async def test_what_the_customer_saw_in_their_own_currency_does_not_matter(town: Town) -> None:
    """Ana saw 440 crowns; the shop's 40.00 dollars earn."""
    town.order(town.ana, shown=("SEK", 11))
    await town.told()
    assert await town.points(town.ana) == {"pending": 40}


@journey()
async def test_other_currencies_earn_by_the_merchants_rate_of_the_day_or_not_at_all(town: Town) -> None:
    """Euros have a rate; pounds have none, and the reason can be read."""
    await town.programme(earning__rates={"EUR": "1.1"})
    town.payment(town.ana, 10_000, currency="eur").pay()
    town.payment(town.bo, 10_000, currency="gbp").pay()
    await town.passes(hours=1)
    await town.programme(earning__rates={"EUR": "2"})
    await town.told()
    assert await town.points(town.ana) == {"pending": 110}
    assert await town.points(town.bo) == {}
    assert "No rate from GBP" in await town.why(town.bo)


@journey()
async def test_currencies_without_and_with_three_decimals_are_counted_in_their_own_units(town: Town) -> None:
    """500 yen, 5.120 dinars and Stripe's two-decimal 500 for five Icelandic crowns."""
    await town.programme(earning__rates={"JPY": "1", "KWD": "1", "ISK": "1"})
    town.payment(town.ana, 500, currency="jpy").pay()
    town.payment(town.bo, 5120, currency="kwd").pay()
    town.payment(town.caro, 500, currency="isk").pay()
    await town.told()
    assert await town.points(town.ana) == {"pending": 500}
    assert await town.points(town.bo) == {"pending": 5}
    assert await town.points(town.caro) == {"pending": 5}


@journey()
async def test_a_test_order_is_seen_and_never_earns_real_points(town: Town) -> None:
    """Its points stand apart, and its mail goes to the merchant alone."""
    town.order(town.ana, test=True)
    town.payment(town.bo, 4000, live=False).pay()
    await town.passes(hours=2)
    for who in (town.ana, town.bo):
        assert await town.points(who) == {}
        assert (await town.account(who))["test"]["points"]["pending"] == 40
        assert town.letters(who) == []
    assert len(town.letters(town.owner)) == 2


@journey()
async def test_a_reversal_uses_the_programme_the_sale_was_made_under(town: Town) -> None:
    """Sold at one point a dollar, given back when three are paid: one a dollar goes back."""
    order = town.order(town.ana, Line(1000, quantity=4))
    await town.passes(days=1)
    await town.programme(earning__points_per_unit=3)
    await town.passes(days=1)
    order.refund(pieces={0: 1})
    town.order(town.ana, Line(1000))
    await town.told()
    assert await town.points(town.ana) == {"pending": 30 + 30}


@journey()
async def test_points_already_spent_become_a_debt_that_later_points_clear_or_the_merchant_forgives(
    town: Town,
) -> None:
    """Both of two customers owe; one buys again, the other is forgiven."""
    for who in (town.ana, town.bo):
        order = town.order(who)
        await town.passes(days=31)
        await town.spends(who, 40)
        order.cancel()
        await town.told()
        assert await town.points(who) == {"available": -40}
    town.order(town.ana, Line(5000))
    await town.passes(days=31)
    assert await town.points(town.ana) == {"available": 10}
    await town.forgive(town.bo)
    assert await town.points(town.bo) == {}


@journey()
async def test_every_sale_says_why_it_earned_what_it_earned(town: Town) -> None:
    """The arithmetic, the rule's version and the postings are there to be read."""
    town.order(town.ana, Line(4000, discount=500), shipping=990)
    await town.told()
    (sale,) = await town.sales(town.ana)
    assert sale["points"] and sale["eligible"] == "35.00"
    why = " ".join(sale["why"])
    assert "35.00 USD" in why and "programme version 2" in why and "pending until" in why


@journey()
async def test_history_from_before_the_programme_earns_nothing(town: Town) -> None:
    """What was sold before earning was switched on stays without points, and says so."""
    town.clock = town.clock.replace(year=2025)
    order = town.order(town.ana)
    town.clock = town.clock.replace(year=2026)
    order.at = town.clock
    order.becomes("paid")
    await town.told()
    assert await town.points(town.ana) == {}
    assert "before there was a programme" in await town.why(town.ana)
