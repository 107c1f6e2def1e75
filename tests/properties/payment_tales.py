"""Tales of Stripe payments: how one is made, and one thing after another that becomes of it."""

from datetime import timedelta

from tests.properties.cases import (
    PAYMENT_STEPS,
    STRIPE_CURRENCIES,
    WAYS,
)
from tests.properties.order_tales import dispute_course
from tests.properties.stripe_stories import PretendPayment
from tests.properties.teller import Teller


def payment_story(teller: Teller) -> None:
    """A Stripe payment and up to a few things that become of it."""
    way = teller.choose("way", "checkout", *WAYS)
    teller.case(f"payment: {way}")
    payment = new_payment(teller, way)
    if way == "manual capture":
        payment.authorise()
        payment.capture(teller.after(), teller.amount(1, payment.amount), rest_counted=teller.chance())
    elif way == "authorised only":
        payment.authorise()
    elif way in ("later", "fails"):
        payment.pay_later(timedelta(days=2), fails=way == "fails")
    else:
        told = {
            "checkout": ("charge", "payment", "session"),
            "intent": teller.pick(("charge", "payment"), ("payment",)),
            "old charge": ("charge",),
            "invoice": ("charge", "payment", "invoice"),
        }[way]
        payment.pay(told=told)
    if way in ("fails", "authorised only"):
        return
    for _ in range(teller.steps("payment step")):
        payment_step(teller, payment)


def payment_step(teller: Teller, payment: PretendPayment) -> None:
    """One thing that happens to a payment."""
    step = teller.choose("payment step", "refund", *PAYMENT_STEPS)
    teller.case(f"payment step: {step}")
    later, left = teller.after(), payment.captured - payment.refunded
    unit = 100 if payment.currency == "isk" else 1
    part = teller.amount(1, max(1, left // unit)) * unit
    if left < unit and step not in ("dispute", "inquiry", "odd"):
        return
    if step == "refund":
        payment.refund(later, part, inline=teller.chance(3))
    elif step == "failed refund":
        payment.refund(
            later,
            part,
            *teller.pick(("pending", "failed"), ("succeeded", "failed"), ("pending", "canceled")),
        )
    elif step == "pending refund":
        payment.refund(later, part, *teller.pick(("pending",), ("pending", "requires_action", "succeeded")))
    elif step == "all":
        payment.refund(later, left)
    elif step == "dispute":
        course = dispute_course(teller)
        if course[-1] == "lost" and teller.chance():
            course = [*course, "appeal_under_review", *teller.pick([], ["won"])]
            teller.case("dispute: appealed")
        payment.dispute(timedelta(days=3), teller.pick(payment.captured, part), course)
    elif step == "inquiry":
        payment.dispute(
            timedelta(days=3),
            payment.captured,
            ["warning_needs_response", *teller.pick([], ["warning_closed"])],
        )
    else:
        payment.dispute(timedelta(days=3), payment.captured, ["needs_response", teller.pick("prevented", "odd_new")])


def new_payment(teller: Teller, way: str) -> PretendPayment:
    who, email = teller.payer()
    if way == "invoice" and who is None:
        who, email = "cus_cleo", "cleo@home.example"
    amount = teller.amount(100, 30_000)
    currency = teller.choose(
        "currency", *[teller.currency.lower()] * (100 if teller.planned else 2), *STRIPE_CURRENCIES
    )
    if currency in ("isk", "ugx"):
        amount = amount // 100 * 100
    teller.case(f"payment: {currency}")
    live = teller.choose("live", True) if teller.planned else not teller.chance(8)
    if not live:
        teller.case("payment: not livemode")
    whole = currency in ("isk",)
    parts = way in ("checkout", "intent", "invoice") and not whole
    return PretendPayment(
        teller.tape, teller.moment(), max(amount, 100), currency=currency, customer=who, email=email,
        live=live,
        tax=amount // 7 if parts and teller.chance() else 0,
        shipping=amount // 9 if parts and way != "invoice" and teller.chance() else 0,
        tip=amount // 10 if way == "intent" and not whole and teller.chance() else 0,
        intent=way != "old charge",
    )  # fmt: skip
