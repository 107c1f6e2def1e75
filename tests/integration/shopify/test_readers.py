"""Everything Shopify tells beside orders: refunds, parcels, people, disputes, the shop, and nonsense."""

import time

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.topics import SHOPIFY
from integration.errors import Suspect, Unreadable
from integration.facts import (
    ConsentSeen,
    CustomerSeen,
    CustomersMerged,
    DiscountSeen,
    Dispute,
    DisputeSeen,
    Envelope,
    Fact,
    Fulfilment,
    FulfilmentSeen,
    OrderRefund,
    PrivacyRequest,
    Reading,
    RefundSeen,
    ScopesSeen,
    ShopSeen,
    Uninstalled,
)
from integration.shopify.values import instant_of
from tests.integration.shopify import bodies
from tests.integration.shopify.bodies import (
    CHANGED,
    ORDER_ID,
    SAMPLES,
    SHOP_ID,
    carrier_event,
    customer,
    dispute,
    encoded,
    fulfilment,
    moneys,
    privacy,
    refund,
    shop,
)

CHANGED_AT = instant_of(CHANGED)


def read(topic: str, body: object, triggered_at: int | None = 7) -> Reading:
    raw = body if isinstance(body, bytes) else encoded(body)
    return SHOPIFY[topic](raw, Envelope("shopify", topic, "delivery", triggered_at, 8, "digest"))


def fact(topic: str, body: object) -> Fact:
    (one,) = read(topic, body).facts
    return one


def told_refund(**changes: object) -> OrderRefund:
    one = fact("refunds/create", refund(**changes))
    assert isinstance(one, RefundSeen)
    assert one.order_id == str(ORDER_ID)
    return one.refund


def told_parcel(topic: str, body: object) -> Fulfilment:
    one = fact(topic, body)
    assert isinstance(one, FulfilmentSeen)
    return one.fulfilment


def told_dispute(**changes: object) -> Dispute:
    one = fact("disputes/create", dispute(**changes))
    assert isinstance(one, DisputeSeen)
    return one.dispute


def test_a_refund_alone_is_stamped_with_its_own_creation() -> None:
    """A later state of it inside an order is newer."""
    seen = told_refund()
    assert (seen.id, seen.stamp, seen.money_minor, seen.only_money) == ("8801", CHANGED_AT, 1250, False)
    assert [(one.line_id, one.quantity, one.subtotal_minor) for one in seen.lines] == [("71", 1, 1250)]


def test_only_negative_discrepancies_take_something() -> None:
    """A positive one offsets money that is still on its way, and shipping is not goods."""
    adjustments = [
        {"kind": "refund_discrepancy", "amount": "-4.00", "amount_set": moneys("-4.00")},
        {"kind": "refund_discrepancy", "amount": "-1.00"},
        {"kind": "refund_discrepancy", "amount": "9.00"},
        {"kind": "shipping_refund", "amount": "-5.00"},
    ]
    seen = told_refund(order_adjustments=adjustments)
    assert (seen.discrepancy_minor, seen.shipping_minor) == (500, 500)


def test_a_refund_of_money_alone_is_known_as_such() -> None:
    """Then its transactions are all there is."""
    seen = told_refund(refund_line_items=[])
    assert (seen.only_money, seen.money_minor) == (True, 1250)
    shipping = [{"subtotal_amount_set": moneys("5.00")}]
    assert not told_refund(refund_line_items=[], refund_shipping_lines=shipping).only_money
    assert told_refund(refund_shipping_lines=shipping).shipping_minor == 500
    pending = [{"kind": "refund", "status": "pending", "amount": "12.50"}]
    assert not told_refund(refund_line_items=[], transactions=pending).only_money


def test_a_refund_counts_in_the_currency_of_its_shop_money() -> None:
    """A refund names its currency only inside its moneys: yen have no cents."""
    line = {"line_item_id": 71, "quantity": 1, "subtotal_set": moneys("500", "JPY")}
    seen = told_refund(refund_line_items=[line], transactions=[])
    assert seen.lines[0].subtotal_minor == 500


def test_presentment_money_of_a_refund_is_not_taken_for_the_shops() -> None:
    """Beside euros a transaction of yen tells no euros."""
    inside = bodies.order(refunds=[refund(transactions=[
        {"kind": "refund", "status": "success", "amount": "2000", "currency": "JPY"},
    ])])  # fmt: skip
    one = fact("orders/updated", inside)
    assert one.order.refunds[0].money_minor == 0  # type: ignore[union-attr]


def test_a_refund_without_a_time_is_unreadable() -> None:
    """It could not be told from its later states."""
    with pytest.raises(Unreadable):
        read("refunds/create", refund(created_at=None))


def test_a_parcel_is_delivered_when_the_carrier_says_so() -> None:
    """By an event of its own, or in the fulfilment's shipment status."""
    assert told_parcel("fulfillment_events/create", carrier_event()).delivered_at == CHANGED_AT
    moving = told_parcel("fulfillment_events/create", carrier_event(status="in_transit"))
    assert (moving.id, moving.delivered_at, moving.status) == ("6601", None, "")
    assert told_parcel("fulfillments/update", fulfilment()).delivered_at is None
    there = told_parcel("fulfillments/update", fulfilment(shipment_status="delivered"))
    assert (there.delivered_at, there.country) == (CHANGED_AT, "FR")


def test_a_carrier_event_names_the_shop_but_no_destination() -> None:
    """Its country is where the parcel was, not where it goes."""
    reading = read("fulfillment_events/create", carrier_event())
    assert reading.shop_id == str(SHOP_ID)
    assert told_parcel("fulfillment_events/create", carrier_event()).country is None


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, "needs_response"), ({"status": "under_review"}, "under_review"), ({"status": "won"}, "won"),
        ({"status": "lost"}, "lost"), ({"status": "accepted"}, "lost"),
        ({"status": "charge_refunded"}, "warning_closed"), ({"status": "brand_new"}, "brand_new"),
        ({"type": "inquiry"}, "warning_needs_response"), ({"type": "inquiry", "status": "lost"}, "warning_closed"),
        ({"type": "inquiry", "status": "accepted"}, "warning_closed"),
    ],
)  # fmt: skip
def test_disputes_are_told_in_stripes_words(changes: dict[str, object], status: str) -> None:
    """So that both platforms' disputes are ruled by one table; inquiries move no money."""
    assert told_dispute(**changes).status == status


def test_a_dispute_is_timed_by_its_signed_body() -> None:
    """The header could be anything; a finalised dispute is newer than an open one."""
    opened = told_dispute(initiated_at="2026-11-01T00:00:00Z")
    closed = told_dispute(initiated_at="2026-11-01T00:00:00Z", finalized_on="2026-11-09", status="won")
    assert opened.told_at < closed.told_at
    assert (opened.amount_minor, opened.order_id, opened.charge_id) == (3000, str(ORDER_ID), None)
    assert told_dispute(initiated_at=None).told_at == 7


def test_a_customer_record_is_told() -> None:
    """With the time of its signed body."""
    one = fact("customers/update", customer())
    assert isinstance(one, CustomerSeen)
    assert (one.buyer.platform_id, one.buyer.email, one.told_at) == ("31", "ana@example.com", CHANGED_AT)
    gone = fact("customers/delete", SAMPLES["customers/delete"])
    assert isinstance(gone, CustomerSeen)
    assert (gone.deleted, gone.buyer.platform_id) == (True, "31")


@pytest.mark.parametrize(
    ("topic", "state", "joined"),
    [
        ("customers/create", "enabled", instant_of(bodies.PLACED)),
        ("customers/enable", "enabled", CHANGED_AT),
        ("customers/create", "disabled", None),
        ("customers/update", "enabled", None),
        ("customers/disable", "disabled", None),
    ],
)
def test_an_account_is_opened_with_its_record_or_when_it_is_enabled(topic: str, state: str, joined: int | None) -> None:
    """A guest's record is no account, and a later word on one does not say since when it is one."""
    one = fact(topic, customer(state=state))
    assert isinstance(one, CustomerSeen)
    assert one.joined_at == joined


def test_consents_inside_a_customer_are_told_too() -> None:
    """Older API versions tell them there, with their own times."""
    consent = {"state": "subscribed", "consent_updated_at": "2026-01-01T00:00:00Z"}
    facts = read("customers/update", customer(email_marketing_consent=consent)).facts
    assert facts[1] == ConsentSeen("shopify", "email", "subscribed", 1_767_225_600_000_000, "31", "ana@example.com")


def test_a_merge_counts_once_it_is_done() -> None:
    """People who were merged cannot be parted again, so a merge under way or failed tells nothing."""
    done = SAMPLES["customers/merge"]
    assert fact("customers/merge", done) == CustomersMerged("31", "32")
    for status in ("failed", "in_progress", "requested", "new_word"):
        assert read("customers/merge", done | {"status": status}).facts == ()
    same = done | {"admin_graphql_api_customer_deleted_id": "gid://shopify/Customer/31"}
    assert read("customers/merge", same).facts == ()
    with pytest.raises(Suspect):
        read("customers/merge", done | {"admin_graphql_api_customer_kept_id": "gid://shopify/Order/31"})


def test_consents_are_told_by_channel() -> None:
    """Text message consent has the topic name without a channel in it."""
    email = fact("customers_email_marketing_consent/update", SAMPLES["customers_email_marketing_consent/update"])
    assert email == ConsentSeen("shopify", "email", "subscribed", CHANGED_AT or 0, "31", "ana@example.com")
    sms = fact("customers_marketing_consent/update", SAMPLES["customers_marketing_consent/update"])
    assert sms == ConsentSeen("shopify", "sms", "unsubscribed", CHANGED_AT or 0, "31", "+33100000000")


def test_a_consent_without_a_state_tells_nothing() -> None:
    """Shopify sends null for who never was asked."""
    body = SAMPLES["customers_marketing_consent/update"] | {"sms_marketing_consent": {"state": None}}
    assert read("customers_marketing_consent/update", body).facts == ()


def test_the_shop_tells_its_names() -> None:
    """Its own domain is how orders name it."""
    one = fact("shop/update", shop())
    assert isinstance(one, ShopSeen)
    assert (one.shop_id, one.domain, one.timezone) == (
        str(SHOP_ID), "marlow-finch.myshopify.com", "Europe/Paris",
    )  # fmt: skip
    assert one.hosts == ("marlow-finch.myshopify.com", "shop.marlow-finch.example")


def test_an_uninstall_names_the_shop() -> None:
    """So that a body of one shop under the name of another is found out."""
    reading = read("app/uninstalled", shop())
    assert reading.facts == (Uninstalled(told_at=7, shop_id=str(SHOP_ID)),)
    assert reading.shop_id == str(SHOP_ID)


@pytest.mark.parametrize("topic", ["discounts/update", "discounts/delete"])
def test_of_a_discount_is_told_which_one_and_no_more(topic: str) -> None:
    """How it stands is asked; one without codes is nobody's, and a code that came or went is another topic's."""
    body = SAMPLES[topic]
    assert fact(topic, body) == DiscountSeen("gid://shopify/DiscountCodeNode/71")
    assert read(topic, body | {"admin_graphql_api_id": "gid://shopify/DiscountAutomaticNode/71"}).facts == ()
    with pytest.raises(Suspect):
        read(topic, body | {"redeem_code": {"id": "gid://shopify/DiscountRedeemCode/1", "code": "A"}})


def test_scopes_are_what_is_granted_now() -> None:
    """Not what was granted before."""
    one = fact("app/scopes_update", SAMPLES["app/scopes_update"])
    assert one == ScopesSeen(("read_orders",), CHANGED_AT or 0)


def test_compliance_topics_name_the_person_and_the_orders() -> None:
    """The privacy capability needs no body to answer them."""
    one = fact("customers/redact", SAMPLES["customers/redact"])
    assert one == PrivacyRequest("customers/redact", "31", "ana@example.com", "+33100000000", (str(ORDER_ID),))
    assert fact("shop/redact", privacy()) == PrivacyRequest("shop/redact")


def alike(one: str, other: str) -> bool:
    """Topics whose bodies have the same shape by design, so that only the API can tell them apart."""
    groups = (
        {topic for topic in SAMPLES if topic.startswith("orders/")} - {"orders/edited", "orders/delete"},
        {"fulfillments/create", "fulfillments/update"},
        {"customers/create", "customers/update", "customers/enable", "customers/disable"},
        {"disputes/create", "disputes/update"},
        {"shop/update", "app/uninstalled"},
    )
    return one == other or any(one in group and other in group for group in groups)


@pytest.mark.parametrize("topic", sorted(SHOPIFY))
def test_a_body_under_another_topic_is_suspect(topic: str) -> None:
    """Only the body is signed: a captured one replayed under another topic must have no effect."""
    for other, body in SAMPLES.items():
        if not alike(topic, other):
            with pytest.raises((Suspect, Unreadable)):
                read(topic, body)


DESTRUCTIVE = ("orders/delete", "customers/delete", "customers/redact", "shop/redact", "app/uninstalled")


@pytest.mark.parametrize("topic", DESTRUCTIVE)
def test_what_destroys_needs_its_own_shape(topic: str) -> None:
    """An empty or a bare object is not enough."""
    for body in ({}, {"id": 31}):
        if topic != "orders/delete" or not body:
            with pytest.raises(Suspect):
                read(topic, body)


NONSENSE = [
    b"", b"null", b"[]", b"7", b'"orders"', b"{", b'{"id":1}x', b"\xef\xbb\xbf{}", b"\xff\xfe", b'{"a":"\xff"}',
    b'{"id":NaN}', b'{"id":1e400}', b'{"total_price":1e400,"id":1}', b'{"email":"\\ud800"}', b'{"x":"\\udfff!"}',
    b'{"email":"a\\u0000b"}', b'{"id":1,"id":2}', b'{ "a": {"id": 1, "id": 2} }', b'{"id":' + b"9" * 100_000 + b"}",
    b"[" * 100_000, b'{"a":' * 100_000, b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b'{"line_items":' * 50_000 + b"1" + b"}" * 50_000, b'{"id":"' + b"1" * 5_000 + b'"}',
    b'code=0907&hmac=x&shop=some-shop.myshopify.com&timestamp=1',
]  # fmt: skip


@pytest.mark.parametrize("topic", sorted(SHOPIFY))
def test_nonsense_is_refused_in_words_and_at_once(topic: str) -> None:
    """Signed or not, a body that cannot be read must neither crash nor hold up the worker."""
    for body in NONSENSE:
        started = time.thread_time()
        with pytest.raises((Unreadable, Suspect)) as raised:
            read(topic, body)
        assert time.thread_time() - started < 0.5, body[:40]
        assert 0 < len(str(raised.value)) < 200


@pytest.mark.parametrize("text", ["\\ud800", "a\\u0000"])
def test_what_a_database_cannot_keep_is_unreadable(text: str) -> None:
    """Lone surrogates and NUL, wherever they stand."""
    body = encoded(bodies.order(note="@")).replace(b'"@"', f'"{text}"'.encode())
    with pytest.raises(Unreadable):
        read("orders/paid", body)


def test_a_key_told_twice_is_unreadable() -> None:
    """Two parsers may take different ones, so neither is taken."""
    body = encoded(bodies.order())
    for twice in (body[:-1] + b',"id":6}', b'{"financial_status":"paid",' + body[1:]):
        with pytest.raises(Unreadable, match="twice"):
            read("orders/paid", twice)


def test_spaces_between_are_no_offence() -> None:
    """A body need not be compact."""
    spaced = msgspec.json.format(encoded(bodies.order()), indent=2)
    assert read("orders/paid", spaced).facts == read("orders/paid", bodies.order()).facts


KEYS = sorted({key for body in SAMPLES.values() for key in body} | {"amount", "kind", "shop_money"})
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.sampled_from(["gid://shopify/Order/1", "2026-11-02T10:00:00Z", "12.50", "EUR", "a@b.example"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=8,
)  # fmt: skip


@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(topic=st.sampled_from(sorted(SHOPIFY)), changes=st.dictionaries(st.sampled_from(KEYS), ANYTHING, max_size=4))
def test_no_json_makes_a_reader_crash(topic: str, changes: dict[str, object]) -> None:
    """A reader gives facts or one of its two refusals, whatever a key holds."""
    try:
        reading = read(topic, SAMPLES[topic] | changes)
    except (Unreadable, Suspect):
        return
    assert isinstance(reading, Reading)
    msgspec.json.encode(reading)


@given(topic=st.sampled_from(sorted(SHOPIFY)), body=st.binary(max_size=200))
def test_no_bytes_make_a_reader_crash(topic: str, body: bytes) -> None:
    """Nor do bytes that are no JSON."""
    with pytest.raises((Unreadable, Suspect)):
        read(topic, body)
