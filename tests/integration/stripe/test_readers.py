"""What Stripe's events become, in present and older API versions."""

import time

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.topics import STRIPE
from integration.errors import Suspect, Unreadable
from integration.facts import (
    Charge,
    ChargeSeen,
    CustomerSeen,
    Dispute,
    DisputeSeen,
    Envelope,
    Fact,
    Invoice,
    InvoiceSeen,
    LookAgain,
    Payment,
    PaymentSeen,
    Reading,
    Session,
    SessionSeen,
    StripeRefund,
    StripeRefundSeen,
    Uninstalled,
)
from integration.stripe.values import order_ids_of
from tests.integration.stripe import bodies
from tests.integration.stripe.bodies import (
    PAID,
    SAMPLES,
    SECOND,
    charge,
    customer,
    dispute,
    encoded,
    event,
    invoice,
    payment,
    refund,
    session,
    thin,
)


def read(type: str, body: object) -> Reading:
    raw = body if isinstance(body, bytes) else encoded(body)
    return STRIPE[type](raw, Envelope("stripe", type, "evt_1", 7, 8, "digest"))


def facts(type: str, thing: bodies.Body, **changes: object) -> tuple[Fact, ...]:
    return read(type, event(type, thing, **changes)).facts


def told_charge(type: str = "charge.succeeded", event_changes: bodies.Body | None = None, **changes: object) -> Charge:
    (one,) = facts(type, charge(**changes), **(event_changes or {}))
    assert isinstance(one, ChargeSeen)
    return one.charge


def told_payment(**changes: object) -> Payment:
    one = facts("payment_intent.succeeded", payment(**changes))[0]
    assert isinstance(one, PaymentSeen)
    return one.payment


def told_session(type: str = "checkout.session.completed", **changes: object) -> Session:
    (one,) = facts(type, session(**changes))
    assert isinstance(one, SessionSeen)
    return one.session


def told_invoice(type: str = "invoice.paid", **changes: object) -> Invoice:
    (one,) = facts(type, invoice(**changes))
    assert isinstance(one, InvoiceSeen)
    return one.invoice


def told_dispute(type: str, **changes: object) -> Dispute:
    (one,) = facts(type, dispute(**changes))
    assert isinstance(one, DisputeSeen)
    return one.dispute


def test_a_charge_tells_the_money_and_the_buyer() -> None:
    """A guest has no customer; the address on the card comes before the one for receipts."""
    seen = told_charge()
    assert (seen.id, seen.payment_id, seen.currency) == ("ch_1", "pi_1", "USD")
    assert (seen.amount_minor, seen.captured_minor, seen.refunded_minor) == (2749, 2749, 0)
    assert (seen.buyer.email, seen.buyer.first_name, seen.buyer.last_name) == (
        "ana@example.com", "Ana", "Diaz Rivera",
    )  # fmt: skip
    assert (seen.country, seen.region, seen.created_at) == ("US", "CA", PAID * SECOND)
    assert told_charge(billing_details={"email": None}).buyer.email == "receipts@example.com"


def test_an_authorisation_captures_nothing_yet() -> None:
    """It becomes money with charge.captured, perhaps less of it."""
    held = told_charge(captured=False, amount_captured=0)
    assert (held.captured, held.captured_minor, held.status) == (False, 0, "succeeded")
    assert told_charge("charge.captured", amount_captured=2000).captured_minor == 2000


def test_older_versions_tell_only_that_it_was_captured() -> None:
    """Which then meant in full; the oldest called success `paid`."""
    old = charge(status="paid", invoice="in_1")
    del old["amount_captured"]
    (one,) = facts("charge.succeeded", old, request="req_string", api_version=None)
    assert isinstance(one, ChargeSeen)
    assert (one.charge.captured_minor, one.charge.status, one.charge.invoice_id) == (2749, "succeeded", "in_1")


def test_refunds_inside_a_charge_are_told() -> None:
    """Versions until 2022-11-15 send them along."""
    (one,) = facts("charge.refunded", charge(refunds={"data": [refund(), refund(id="re_2", status=None)]}))
    assert isinstance(one, ChargeSeen)
    assert [(each.id, each.amount_minor, each.status) for each in one.refunds] == [
        ("re_1", 1000, "succeeded"), ("re_2", 1000, "succeeded"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "form", ["cus_9", {"id": "cus_9", "object": "customer", "email": "x@y.example"}, {"id": "cus_9", "deleted": True}]
)
def test_a_customer_may_be_an_id_a_record_or_gone(form: object) -> None:
    """All three name the same person."""
    assert told_charge(customer=form).buyer.platform_id == "cus_9"


def test_an_expanded_customer_gives_the_address_nobody_else_gave() -> None:
    """After the card's and the receipt's."""
    record = {"id": "cus_9", "email": "Last@Resort.example", "name": "Ana"}
    seen = told_charge(customer=record, billing_details=None, receipt_email=None)
    assert (seen.buyer.email, seen.buyer.first_name) == ("last@resort.example", "Ana")


@pytest.mark.parametrize(
    ("currency", "amount", "minor"),
    [("jpy", 500, 500), ("kwd", 5120, 5120), ("isk", 500, 5), ("ugx", 1000, 10), ("huf", 50000, 50000)],
)
def test_amounts_are_minor_units_of_the_currency(currency: str, amount: int, minor: int) -> None:
    """Stripe sends two digits for two currencies that have none."""
    assert told_charge(currency=currency, amount=amount, amount_captured=amount).captured_minor == minor


@pytest.mark.parametrize(
    ("metadata", "ids"),
    [
        ({"shopify_order_id": "5001"}, ("5001",)), ({"order_id": "5001"}, ()),
        ({"order_id": "500100000001"}, ("500100000001",)),
        ({"order_id": "gid://shopify/Order/77"}, ("77",)), ({"order_id": 500100000001}, ("500100000001",)),
        ({"order_id": "wc_order_1"}, ()), ({"order_id": "9" * 21}, ()), ({"order_id": None}, ()), (None, ()),
        ({"shopify_order_id": "12", "order_id": "gid://shopify/Order/12"}, ("12",)),
    ],
)  # fmt: skip
def test_only_shopifys_order_ids_are_taken(metadata: dict[str, object] | None, ids: tuple[str, ...]) -> None:
    """Every shop software writes its own numbers under `order_id`."""
    assert order_ids_of(metadata) == ids


def test_the_event_says_whether_it_is_real() -> None:
    """Whatever the object inside or the endpoint says; silence is not real."""
    assert told_charge().livemode
    assert not told_charge(event_changes={"livemode": False}).livemode
    silent = SAMPLES["charge.succeeded"].copy()
    del silent["livemode"]
    (one,) = read("charge.succeeded", silent).facts
    assert isinstance(one, ChargeSeen)
    assert not one.charge.livemode


def test_whose_account_it_is_is_told() -> None:
    """On platforms' endpoints events of many accounts arrive."""
    assert read("charge.succeeded", event("charge.succeeded", charge(), account="acct_1")).account == "acct_1"
    assert read("charge.succeeded", SAMPLES["charge.succeeded"]).account is None


def test_a_payment_names_what_is_no_merchandise() -> None:
    """Tax, shipping and tip are in its amount details."""
    details = {"tax": {"total_tax_amount": 250}, "shipping": {"amount": 500}, "tip": {"amount": 100}}
    seen = told_payment(amount_details=details)
    assert (seen.excluded_minor, seen.tax_minor, seen.shipping_minor) == (850, 250, 500)
    assert (seen.charge_id, seen.received_minor) == ("ch_1", 2749)


def test_charges_inside_a_payment_are_told() -> None:
    """Older versions send a list of them, newer ones the last one where it is expanded."""
    old = payment(charges={"data": [charge()]})
    del old["latest_charge"]
    for thing in (old, payment(latest_charge=charge())):
        first, second = facts("payment_intent.succeeded", thing)
        assert isinstance(first, PaymentSeen)
        assert isinstance(second, ChargeSeen)
        assert first.payment.charge_id == second.charge.id == "ch_1"


def test_a_session_tells_tax_shipping_and_who() -> None:
    """Its own form comes before everything else that names a buyer."""
    seen = told_session(customer="cus_1", customer_email="prefill@example.com")
    assert (seen.tax_minor, seen.shipping_minor, seen.total_minor) == (250, 500, 2749)
    assert (seen.buyer.email, seen.buyer.platform_id, seen.payment_id) == ("ana@example.com", "cus_1", "pi_1")
    assert told_session(customer_details=None, customer_email="p@x.example").buyer.email == "p@x.example"


def test_a_session_says_how_the_payment_stands() -> None:
    """Bank debits are unpaid when the session completes, and may fail days later."""
    assert told_session(payment_status="unpaid").payment_status == "unpaid"
    assert told_session(payment_status=None).payment_status == "unpaid"
    assert told_session("checkout.session.async_payment_failed").failed
    assert told_session("checkout.session.expired").failed
    assert not told_session("checkout.session.async_payment_succeeded").failed


def test_a_session_that_only_saves_a_card_tells_nothing() -> None:
    """It has neither currency nor amount."""
    assert facts("checkout.session.completed", session(mode="setup", currency=None, amount_total=None)) == ()


def test_an_invoice_names_its_payments_in_every_version() -> None:
    """A list now, two fields before 2025-03-31."""
    assert told_invoice().payment_ids == ("pi_1",)
    old = told_invoice(payments=None, payment_intent="pi_2", charge="ch_2", tax=99, total_taxes=None)
    assert (old.payment_ids, old.charge_id, old.tax_minor) == (("pi_2",), "ch_2", 99)
    assert told_invoice(total_taxes=None).tax_minor == 250
    assert told_invoice(total_taxes=[]).tax_minor == 0


def test_an_invoice_paid_elsewhere_says_so() -> None:
    """No money went through Stripe."""
    assert told_invoice(amount_paid_off_stripe=1500).paid_out_of_band
    assert told_invoice(paid_out_of_band=True).paid_out_of_band
    assert not told_invoice().paid_out_of_band


def test_what_paid_an_invoice_is_told_without_totals() -> None:
    """Newer versions link them in an object of its own."""
    (one,) = read("invoice_payment.paid", SAMPLES["invoice_payment.paid"]).facts
    assert isinstance(one, InvoiceSeen)
    assert (one.invoice.id, one.invoice.payment_ids, one.invoice.total_minor) == ("in_1", ("pi_1",), 0)


def test_a_refund_tells_its_state() -> None:
    """Bank refunds are pending and can fail; then the money is back with the merchant."""
    made_at = refund()["created"] * SECOND
    (one,) = facts("refund.failed", refund(status="failed"))
    assert one == StripeRefundSeen(StripeRefund("re_1", 1000, "failed", "ch_1", "pi_1", made_at))
    (legacy,) = facts("charge.refund.updated", refund(charge={"id": "ch_1", "object": "charge"}))
    assert legacy == StripeRefundSeen(StripeRefund("re_1", 1000, "succeeded", "ch_1", "pi_1", made_at))


@pytest.mark.parametrize("status", ["warning_needs_response", "appeal_under_review", "prevented", "new_word"])
def test_a_disputes_words_are_passed_on(status: str) -> None:
    """What they mean is ruled in one place, unknown ones too."""
    seen = told_dispute("charge.dispute.updated", status=status)
    assert (seen.status, seen.told_at) == (status, (PAID + 1) * SECOND)


def test_a_changed_address_tells_the_former_one() -> None:
    """So that what it earned as a guest is still found."""
    body = event("customer.updated", customer(), previous={"email": "Old@Example.com", "name": {"odd": 1}})
    (one,) = read("customer.updated", body).facts
    assert isinstance(one, CustomerSeen)
    assert (one.former_email, one.buyer.email, one.buyer.locale) == ("old@example.com", "ana@example.com", "fr-FR")
    assert not one.deleted


def test_a_deleted_customer_is_gone() -> None:
    """In whole and in thin events; there is nothing left to look at."""
    (whole,) = read("customer.deleted", SAMPLES["customer.deleted"]).facts
    (pointed,) = read("v1.customer.deleted", SAMPLES["v1.customer.deleted"]).facts
    for one in (whole, pointed):
        assert isinstance(one, CustomerSeen)
        assert (one.deleted, one.buyer.platform_id) == (True, "cus_1")


@pytest.mark.parametrize(
    "type",
    [prefix + type for prefix in ("", "v1.") for type in ("account.application.deauthorized", "apps.install.deleted")],
)
def test_access_taken_away_is_told(type: str) -> None:
    """With the account it was taken from, where the event names one."""
    body = SAMPLES[type] | {"account": "acct_1", "context": "acct_1"}
    reading = read(type, body)
    assert isinstance(reading.facts[0], Uninstalled)
    assert reading.account == "acct_1"


def test_a_thin_event_says_where_to_look() -> None:
    """It carries nothing but a pointer, whatever name it is filed under."""
    reading = read("v1.charge.refunded", thin("v1.charge.refunded", "charge", "ch_1", context="acct_7"))
    assert (reading.facts, reading.account) == ((LookAgain("charge", "ch_1"),), "acct_7")
    assert read("v1.charge.refunded", thin("v1.charge.refunded", "radar.rule", "r_1")).facts == ()


def test_an_event_filed_under_another_type_is_suspect() -> None:
    """The type is signed with the body; a difference was made by somebody."""
    for filed, told in (("charge.refunded", "charge.succeeded"), ("v1.charge.refunded", "v1.refund.created")):
        with pytest.raises(Suspect):
            read(filed, SAMPLES[told])


def test_an_event_with_another_kind_of_object_is_suspect() -> None:
    """A charge's event carries a charge."""
    for thing in (refund(), {"id": "x"}, dispute()):
        with pytest.raises(Suspect):
            read("charge.succeeded", event("charge.succeeded", thing))
    with pytest.raises(Suspect):
        read("v1.charge.refunded", event("v1.charge.refunded", charge()))


@pytest.mark.parametrize(
    "changes",
    [
        {"id": None}, {"currency": None}, {"currency": "dollars"}, {"created": None}, {"created": -5},
        {"amount": 10**15}, {"amount": 27.49}, {"amount": "2749"}, {"id": "ch_\n1"}, {"id": "c" * 300},
    ],
)  # fmt: skip
def test_what_is_no_value_of_its_kind_is_unreadable(changes: bodies.Body) -> None:
    """Wrong figures are worse than none."""
    with pytest.raises(Unreadable):
        facts("charge.succeeded", charge(**changes))


NONSENSE = [
    b"", b"null", b"[]", b'"evt"', b"{", b"\xff\xfe", b'{"id":NaN}', b'{"id":"evt_1"}', b"[" * 100_000,
    b'{"id":"evt_1","object":"event","type":"charge.succeeded","data":' + b'{"object":' * 50_000,
    b'{"id":"evt_1","object":"event","type":"charge.succeeded","created":' + b"9" * 100_000 + b"}",
    b'{"id":"evt_1","id":"evt_2","object":"event","type":"charge.succeeded"}',
    b'{"id":"evt_1","object":"event","type":"charge.succeeded","data":{"object":[]}}',
    b'{"id":"evt_1","object":"event","type":"charge.succeeded","data":null}',
    b'{"id":"evt_1","object":"event","type":"charge.succeeded","created":1e400,"data":{"object":{}}}',
]  # fmt: skip


@pytest.mark.parametrize("body", NONSENSE, ids=range(len(NONSENSE)))
def test_nonsense_is_refused_in_words_and_at_once(body: bytes) -> None:
    """Signed or not, a body that cannot be read must neither crash nor hold up the worker."""
    for type in ("charge.succeeded", "v1.charge.refunded"):
        started = time.thread_time()
        with pytest.raises((Unreadable, Suspect)) as raised:
            read(type, body)
        assert time.thread_time() - started < 0.5
        assert 0 < len(str(raised.value)) < 200


KEYS = sorted({key for body in SAMPLES.values() for key in body.get("data", {}).get("object", {})} | {"data"})
LEAF = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
    | st.sampled_from(["usd", "ch_1", "a@b.example"])
)  # fmt: skip
ANYTHING = LEAF | st.lists(LEAF, max_size=2) | st.dictionaries(st.sampled_from(KEYS), LEAF, max_size=3)
WHOLE = sorted(type for type in STRIPE if not type.startswith("v1."))


@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(type=st.sampled_from(WHOLE), changes=st.dictionaries(st.sampled_from(KEYS), ANYTHING, max_size=4))
def test_no_json_makes_a_reader_crash(type: str, changes: bodies.Body) -> None:
    """A reader gives facts or one of its two refusals, whatever a key holds."""
    body = SAMPLES[type] | {"data": {"object": SAMPLES[type]["data"]["object"] | changes}}
    try:
        reading = read(type, body)
    except (Unreadable, Suspect):
        return
    assert isinstance(reading, Reading)
    msgspec.json.encode(reading)


@settings(deadline=None)
@given(type=st.sampled_from(sorted(STRIPE)), changes=st.dictionaries(
    st.sampled_from(["id", "object", "type", "created", "livemode", "account", "context", "data", "related_object"]),
    ANYTHING, max_size=3,
))  # fmt: skip
def test_no_envelope_makes_a_reader_crash(type: str, changes: bodies.Body) -> None:
    """Nor does anything around the object."""
    try:
        reading = read(type, SAMPLES[type] | changes)
    except (Unreadable, Suspect):
        return
    assert isinstance(reading, Reading)
