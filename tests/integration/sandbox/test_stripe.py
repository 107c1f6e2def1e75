"""The pretend Stripe's events verify with Stripe's own library and are read by the real readers."""

import time

import pytest
import stripe

from config.topics import STRIPE
from integration.facts import ChargeSeen, Envelope, SessionSeen, StripeRefundSeen
from integration.sandbox.delivery import Delivery
from integration.sandbox.stripe import Account
from tests.integration.sandbox.conftest import ENDPOINT_SECRETS, NOON


def facts_of(delivery: Delivery) -> tuple[object, ...]:
    """Read one event as the worker would."""
    envelope = Envelope("stripe", delivery.topic, delivery.id, NOON, NOON, "")
    return STRIPE[delivery.topic](delivery.body, envelope).facts


@pytest.mark.parametrize("secret", ENDPOINT_SECRETS)
def test_stripes_own_library_accepts_each_active_secret(account: Account, secret: str) -> None:
    """While a secret is rolled both sign, and each alone is enough."""
    _, told = account.checkout(27_49, email="ana@example.com")
    for delivery in told:
        header = delivery.headers_at(time.time_ns() // 1000)["Stripe-Signature"]
        event = stripe.Webhook.construct_event(delivery.body, header, secret)
        assert (event.id, event.type) == (delivery.id, delivery.topic)


def test_each_attempt_is_signed_with_its_own_time(account: Account) -> None:
    """A resend an hour later is not refused as an old one."""
    _, (delivery, *_) = account.pay(10_00)
    first, later = (delivery.headers_at(at)["Stripe-Signature"] for at in (NOON, NOON + 3_600_000_000))
    assert first != later


def test_every_verb_speaks_topics_the_readers_read(account: Account) -> None:
    """Payments, sessions, invoices, refunds, disputes and people, each in its event's shape."""
    ana, told = account.welcome("Ana Diaz", "ana@example.com")
    told += account.change_customer(ana, email="diaz@example.com")
    session, more = account.checkout(27_49, person=ana, tax=2_50, shipping=5_00, delayed=True)
    told += more + account.settle_payment(session)
    refund, more = account.refund(session, 10_00, status="pending")
    told += more + account.move_refund(session, refund, "failed")
    dispute, more = account.open_dispute(session, 5_00)
    told += more + account.move_dispute(dispute, "under_review") + account.move_dispute(dispute, "won")
    reserved, more = account.pay(50_00, person=ana, capture=False)
    told += more + account.capture(reserved, 40_00)
    told += account.bill(ana, 15_00, tax=1_50)[1] + account.bill(ana, 9_00, out_of_band=True)[1]
    lost, more = account.checkout(5_00, person=ana, delayed=True)
    told += more + account.settle_payment(lost, failed=True)
    told += account.forget_customer(ana) + account.deauthorize()
    told.append(account.poke("v1.charge.refunded", session.charge))
    for delivery in told:
        if delivery.topic in STRIPE:
            assert facts_of(delivery), delivery.topic
    quiet = {each.topic for each in told} - set(STRIPE)
    assert quiet == {"payment_intent.amount_capturable_updated", "payment_intent.payment_failed"}


def test_a_failed_refund_puts_the_money_back(account: Account) -> None:
    """The charge's amount_refunded grows with a refund and shrinks when the bank sends it back."""
    payment, _ = account.pay(27_49, email="ana@example.com")
    refund, told = account.refund(payment, 10_00)
    (created,), (charged, *_) = facts_of(told[0]), facts_of(told[1])
    assert isinstance(created, StripeRefundSeen) and created.refund.amount_minor == 10_00
    assert isinstance(charged, ChargeSeen) and charged.charge.refunded_minor == 10_00
    account.move_refund(payment, refund, "failed")
    assert payment.charge["amount_refunded"] == 0


def test_a_session_tells_who_and_what_of_it_is_tax(account: Account) -> None:
    """The session carries what the charge cannot: tax, shipping and the buyer's own address."""
    _, told = account.checkout(27_49, email="Ana@Example.com", name="Ana Diaz", tax=2_50, shipping=5_00)
    (fact,) = facts_of(told[-1])
    assert isinstance(fact, SessionSeen)
    assert (fact.session.tax_minor, fact.session.shipping_minor) == (2_50, 5_00)
    assert fact.session.buyer.email == "ana@example.com"
