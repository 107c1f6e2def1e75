"""Journeys of one sale told many times: by many objects, on both platforms, or twice alike."""

from datetime import timedelta

from tests.journeys.street import journey
from tests.journeys.town import Town
from tests.properties.shopify_stories import Line


@journey()
async def test_a_checkout_told_by_session_payment_and_charge_is_one_sale(town: Town) -> None:
    """Bo pays 44.00 of which 4.00 is tax; one sale, forty points, one note."""
    town.payment(town.bo, 4400, tax=400).pay(told=("charge", "payment", "session"))
    await town.passes(hours=2)
    assert await town.points(town.bo) == {"pending": 40}
    assert len(await town.sales(town.bo)) == 1
    assert len(town.letters(town.bo)) == 1


@journey()
async def test_a_paid_invoice_of_a_subscription_is_one_sale(town: Town) -> None:
    """Caro's invoice is told by charge, payment, invoice (twice) and the link between them."""
    town.payment(town.caro, 1500).pay(told=("charge", "payment", "invoice"))
    await town.told()
    assert await town.points(town.caro) == {"pending": 15}
    assert len(await town.sales(town.caro)) == 1


@journey()
async def test_a_session_alone_waits_for_its_payment(town: Town) -> None:
    """The checkout is complete, the money has not been told of yet; then it is."""
    payment = town.payment(town.bo, 4000)
    payment.pay(told=("session",))
    await town.told()
    assert await town.points(town.bo) == {}
    payment.pay(told=("payment",))
    await town.told()
    assert await town.points(town.bo) == {"pending": 40}


@journey()
async def test_a_delayed_payment_earns_when_it_arrives_and_never_when_it_fails(town: Town) -> None:
    """A bank debit takes two days; Caro's bounces."""
    town.payment(town.bo, 4000).pay_later(timedelta(days=2))
    town.payment(town.caro, 4000).pay_later(timedelta(days=2), fails=True)
    await town.told()
    assert await town.points(town.bo) == {"pending": 40}
    assert await town.points(town.caro) == {}


@journey()
async def test_a_reserved_payment_earns_what_is_captured(town: Town) -> None:
    """42.00 are authorised, 40.00 taken; Stripe counts the rest as refunded."""
    payment = town.payment(town.bo, 4200)
    payment.authorise()
    await town.told()
    assert await town.points(town.bo) == {}
    payment.capture(timedelta(hours=1), 4000, rest_counted=True)
    await town.told()
    assert await town.points(town.bo) == {"pending": 40}


@journey()
async def test_stripe_refunds_add_up_and_one_that_fails_gives_points_back(town: Town) -> None:
    """10.00 back, then 30.00 back, which the bank refuses in the end."""
    payment = town.payment(town.bo, 4000).pay()
    payment.refund(timedelta(hours=1), 1000)
    await town.told()
    assert await town.points(town.bo) == {"pending": 30}
    payment.refund(timedelta(hours=1), 3000, "pending", "failed")
    await town.told()
    assert await town.points(town.bo) == {"pending": 30}


@journey()
async def test_a_stripe_refund_told_before_its_payment_counts(town: Town) -> None:
    """The refund's events overtake the payment's."""
    payment = town.payment(town.bo, 4000).pay()
    payment.refund(timedelta(hours=1), 1500)
    town.tape.deliveries.sort(key=lambda delivery: "refund" not in delivery.topic)
    await town.told()
    assert await town.points(town.bo) == {"pending": 25}


@journey()
async def test_the_payment_of_a_shopify_order_named_in_its_metadata_is_that_order(town: Town) -> None:
    """Shopify's money counts once; a refund told by both counts once, and a dispute of the payment holds it."""
    order = town.order(town.ana)
    payment = town.payment(town.ana, 4000, metadata={"shopify_order_id": str(order.id)}).pay()
    await town.told()
    assert await town.points(town.ana) == {"pending": 40}
    assert len(await town.sales(town.ana)) == 1
    order.refund(pieces={}, adjustment=-1000)
    payment.refund(timedelta(hours=1), 1000)
    await town.told()
    assert await town.points(town.ana) == {"pending": 30}
    payment.dispute(timedelta(hours=1), 4000, ["needs_response"])
    await town.told()
    assert await town.points(town.ana) == {"held": 30}


@journey()
async def test_the_payment_named_in_an_orders_notes_is_that_order(town: Town) -> None:
    """The gateway wrote its payment's id into the order."""
    payment = town.payment(town.ana, 4000)
    town.order(town.ana, notes={"stripe payment": str(payment.payment_id)})
    payment.pay()
    await town.told()
    assert await town.points(town.ana) == {"pending": 40}
    assert len(await town.sales(town.ana)) == 1


@journey()
async def test_an_order_and_a_payment_that_look_alike_earn_once_and_are_shown_for_review(town: Town) -> None:
    """Nothing names one to the other; address, amount and minute do."""
    payment = town.payment(town.ana, 4000).pay()
    await town.told()
    assert await town.points(town.ana) == {"pending": 40}
    await town.passes(minutes=5)
    town.order(town.ana)
    await town.passes(hours=2)
    assert await town.points(town.ana) == {"pending": 40}
    standings = {sale["standing"]: sale["points"] for sale in await town.sales(town.ana)}
    assert set(standings) >= {"counted"} and len(standings) == 2
    assert "The same sale was told by Shopify" in await town.why(town.ana)
    assert len(await town.messages(town.ana, "thank_you")) == 1
    assert payment.payment_id


@journey()
async def test_likeness_pairs_one_to_one_by_the_nearest_time(town: Town) -> None:
    """Two payments, one order a minute after the second: the first payment is a sale of its own."""
    town.payment(town.ana, 4000).pay()
    await town.passes(minutes=4)
    town.payment(town.ana, 4000).pay()
    await town.passes(minutes=1)
    town.order(town.ana)
    await town.told()
    assert await town.points(town.ana) == {"pending": 80}


@journey()
async def test_two_like_purchases_on_one_platform_are_two_sales(town: Town) -> None:
    """Ana has a second coffee; Bo pays twice."""
    for _ in range(2):
        town.order(town.ana)
        town.payment(town.bo, 4000).pay(told=("charge",))
        await town.passes(minutes=3)
    assert await town.points(town.ana) == await town.points(town.bo) == {"pending": 80}
    assert len(await town.sales(town.bo)) == 2


@journey()
async def test_invoices_that_cost_nothing_or_were_paid_elsewhere_earn_nothing(town: Town) -> None:
    """A trial's zero invoice, and one settled in cash."""
    trial, cash = town.payment(town.caro, 0), town.payment(town.caro, 1500)
    town.tape.stripe("invoice.paid", trial.invoice(), town.clock)
    town.tape.stripe("invoice.paid", {**cash.invoice(), "amount_paid_off_stripe": 1500}, town.clock)
    town.payment(town.caro, 700).pay(told=("charge",))
    await town.told()
    assert await town.points(town.caro) == {"pending": 7}


@journey()
async def test_a_long_order_with_many_lines_is_one_sale(town: Town) -> None:
    """Sixty lines of 1.00."""
    town.order(town.ana, *[Line(100) for _ in range(60)])
    await town.told()
    assert await town.points(town.ana) == {"pending": 60}
