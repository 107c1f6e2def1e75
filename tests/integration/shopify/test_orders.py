"""Orders as webhooks tell them: what is money, what is a person, and what is no order at all."""

import msgspec
import pytest

from integration.errors import Suspect, Unreadable
from integration.facts import Envelope, LookAgain, Order, OrderDeleted, OrderLine, OrderSeen, Reading
from integration.shopify.payloads.orders import read_deleted, read_edited, read_order
from tests.integration.shopify import bodies
from tests.integration.shopify.bodies import CHANGED, ORDER_ID, PLACED_AT, SHOP_ID, encoded, line, moneys, order


def envelope(topic: str = "orders/updated") -> Envelope:
    return Envelope("shopify", topic, "delivery", 7, 8, "digest")


def read(body: object) -> Reading:
    return read_order(encoded(body), envelope())


def told(body: object) -> Order:
    (fact,) = read(body).facts
    assert isinstance(fact, OrderSeen)
    return fact.order


def only_line(**changes: object) -> OrderLine:
    (one,) = told(order(line_items=[line(**changes)])).lines
    return one


def test_an_order_is_told_in_shop_money_and_microseconds() -> None:
    """Presentment money, strings of times and unsigned headers are turned into our own terms once."""
    seen = told(order())
    assert (seen.id, seen.currency, seen.total_minor, seen.shipping_minor) == (str(ORDER_ID), "EUR", 3000, 500)
    assert (seen.processed_at, seen.triggered_at, seen.digest) == (PLACED_AT, 7, "digest")
    assert (seen.financial_status, seen.taxes_included, seen.tags) == ("paid", True, ("gift", "vip"))
    assert seen.lines[0].price_minor == 1250


def test_the_order_status_address_says_which_shop_it_was() -> None:
    """It lies in the signed body, unlike the header."""
    reading = read(order())
    assert (reading.shop_id, reading.hosts) == (str(SHOP_ID), ("shop.marlow-finch.example",))
    assert read(order(order_status_url=None)).shop_id is None
    assert read(order(order_status_url="https://x.example/about/us")).shop_id is None


def test_the_buyer_is_the_order_before_the_customer_record() -> None:
    """Mail goes where this order was placed; the record's own address is kept beside it."""
    buyer = told(order()).buyer
    assert (buyer.platform_id, buyer.email, buyer.customer_email) == (
        "31", "ana@example.com", "ana.diaz@example.com",
    )  # fmt: skip
    assert (buyer.first_name, buyer.locale, buyer.email_verified) == ("Ana", "fr", True)
    assert told(order(email=None, contact_email=None)).buyer.email == "ana.diaz@example.com"
    assert told(order(email="", contact_email=" C@d.example")).buyer.email == "c@d.example"


def test_an_order_without_a_person_or_an_approval_is_still_an_order() -> None:
    """Guests have no customer, and without approval Shopify leaves the keys out altogether."""
    hidden = ("customer", "email", "contact_email", "order_status_url", "shipping_address", "billing_address")
    seen = told(order(absent=hidden))
    assert (seen.buyer.email, seen.buyer.platform_id, seen.country) == (None, None, None)
    assert told(order(customer=None, email=None, contact_email=None)).buyer.email is None


def test_the_country_is_where_it_goes_else_where_it_is_billed() -> None:
    """And else where the customer lives, who is in Canada."""
    assert told(order()).country == "FR"
    assert told(order(shipping_address=None)).country == "DE"
    nowhere = told(order(shipping_address=None, billing_address=None))
    assert (nowhere.country, nowhere.region) == ("CA", "ON")


def test_discounts_are_the_allocations_else_the_total() -> None:
    """Shopify's own total leaves out what was discounted across the order."""
    allocations = [
        {"amount": "1.00", "amount_set": moneys("1.00")},
        {"amount": "0.50", "amount_set": moneys("0.50")},
    ]
    assert only_line(discount_allocations=allocations, total_discount="0.00").discount_minor == 150
    assert only_line(discount_allocations=None, total_discount="2.00").discount_minor == 200
    assert only_line(discount_allocations=[], total_discount="2.00").discount_minor == 200


def test_taxes_of_a_line_are_summed() -> None:
    """A line can be taxed by a state and a county."""
    taxes = [{"price": "1.10", "price_set": moneys("1.10")}, {"price": 0.15}]
    assert only_line(tax_lines=taxes).tax_minor == 125


def test_money_may_be_text_or_number() -> None:
    """Shopify writes both, and a float's digits are taken as they stand."""
    assert only_line(price=12.5, price_set=None).price_minor == 1250
    assert only_line(price=12, price_set=None).price_minor == 1200
    assert told(order(currency="JPY", total_price="500", total_price_set=None)).total_minor == 500
    assert told(order(currency="KWD", total_price="5.125", total_price_set=None)).total_minor == 5125


def test_ids_may_be_numbers_text_or_global() -> None:
    """All three name the same line."""
    wide = "9223372036854775807"
    assert {only_line(id=form).id for form in (int(wide), wide, f"gid://shopify/LineItem/{wide}?a=b")} == {wide}


def test_what_is_left_without_current_quantity_is_what_was_not_given_back() -> None:
    """API versions before current_quantity tell refunds only; inside the order they are subtracted once."""
    old = line()
    del old["current_quantity"]
    assert told(order(line_items=[old])).lines[0].current_quantity == 2
    assert told(order(line_items=[old], refunds=[bodies.refund()])).lines[0].current_quantity == 1
    assert told(order(refunds=[bodies.refund()])).lines[0].current_quantity == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"tip": {"payment_gateway": "bogus"}, "product_id": None},
        {"product_id": None, "title": "Donation to the sea rescue"},
        {"product_id": None, "title": "Spende"},
    ],
)
def test_tips_and_donations_are_gratuities(changes: dict[str, object]) -> None:
    """They are lines without a product, and earn nothing."""
    assert only_line(**changes).gratuity


def test_a_line_that_is_the_tip_received_is_a_gratuity() -> None:
    """The Admin API does not mark tips, but tells their sum."""
    tip = line(id=72, product_id=None, title="Tip", quantity=1, price="4.00", price_set=None)
    assert [one.gratuity for one in told(order(line_items=[line(), tip], total_tip_received="4.00")).lines] == [
        False, True,
    ]  # fmt: skip


def test_goods_are_no_gratuities() -> None:
    """A tin called Donation Tea is still a tin, and a protection plan without a product still a plan."""
    assert not only_line(title="Donation Tea").gratuity
    assert not only_line(product_id=None, title="Lens plan", tip=None).gratuity


def test_shipping_is_after_discounts_and_without_removed_lines() -> None:
    """What the buyer was to pay for it."""
    lines = [
        {"price": "9.00", "discounted_price": "4.00", "tax_lines": [{"price": "0.40"}]},
        {"price": "7.00", "discounted_price": "7.00", "is_removed": True},
    ]
    seen = told(order(shipping_lines=lines))
    assert (seen.shipping_minor, seen.shipping_tax_minor) == (400, 40)
    bare = order(absent=("shipping_lines",), total_shipping_price_set=moneys("6.00"))
    assert told(bare).shipping_minor == 600


def test_refunds_inside_are_stamped_with_the_order() -> None:
    """So that the newest state of a refund wins, whether it came alone or inside."""
    seen = told(order(refunds=[bodies.refund()]))
    assert seen.refunds[0].stamp == seen.updated_at
    assert seen.refunds[0].created_at is not None


def test_stripe_payments_named_in_the_notes_are_found() -> None:
    """An app that charges on Stripe and then makes the order says so there."""
    notes = [
        {"name": "payment", "value": "paid by pi_3Sample0001abc (ch_3Sample0001abc)"},
        {"name": "n", "value": 7}, {"name": "gift", "value": "pi_"},
    ]  # fmt: skip
    assert told(order(note_attributes=notes)).payment_ids == ("pi_3Sample0001abc", "ch_3Sample0001abc")


def test_new_words_and_unknown_keys_change_nothing() -> None:
    """Enums are open: what is done with a word is decided where it counts."""
    seen = told(order(financial_status="Half_Paid", brand_new={"deep": [1, {"er": None}]}))
    assert seen.financial_status == "half_paid"


def test_an_order_without_a_time_of_change_is_unreadable() -> None:
    """It could not be told from an older state of itself."""
    for body in (order(absent=("updated_at",)), order(updated_at=None), order(updated_at="yesterday")):
        with pytest.raises(Unreadable):
            read(body)


@pytest.mark.parametrize(
    "changes",
    [
        {"currency": None}, {"currency": "EURO"}, {"id": None}, {"id": -4}, {"id": 2**70}, {"id": "x"},
        {"line_items": [line(price="1_000.00", price_set=None)]}, {"line_items": [line(price="NaN", price_set=None)]},
        {"line_items": [line(price="1e5", price_set=None)]}, {"line_items": [line(id=None)]},
        {"line_items": [line(price=1e300, price_set=None)]}, {"line_items": [line(quantity=10**9)]},
        {"updated_at": "9999-12-31T23:59:59Z"}, {"updated_at": "0001-01-01T00:00:00+23:00"},
    ],
)  # fmt: skip
def test_what_is_no_value_of_its_kind_is_unreadable(changes: dict[str, object]) -> None:
    """Wrong figures are worse than none."""
    with pytest.raises(Unreadable):
        read(order(**changes))


@pytest.mark.parametrize("topic", sorted(set(bodies.SAMPLES) - {t for t in bodies.SAMPLES if "orders/" in t}))
def test_another_topics_body_is_no_order(topic: str) -> None:
    """The topic header is unsigned: any signed body can be sent under any topic."""
    with pytest.raises(Suspect):
        read(bodies.SAMPLES[topic])


def test_a_draft_or_a_checkout_is_no_order() -> None:
    """They look alike, but nobody has bought anything yet."""
    for key in ("invoice_url", "abandoned_checkout_url", "order_id"):
        with pytest.raises(Suspect):
            read(order(**{key: None}))


def test_an_edit_only_says_where_to_look() -> None:
    """Its body tells what was added and removed, not what the order is."""
    reading = read_edited(encoded(bodies.SAMPLES["orders/edited"]), envelope("orders/edited"))
    assert reading.facts == (LookAgain("order", str(ORDER_ID)),)
    with pytest.raises(Suspect):
        read_edited(encoded(order()), envelope("orders/edited"))


def test_a_deletion_is_exactly_an_id() -> None:
    """Otherwise any signed body under this topic would delete an order."""
    assert read_deleted(b'{"id":5}', envelope()).facts == (OrderDeleted("5"),)
    for body in (order(), {"id": 5, "admin_graphql_api_id": "gid://shopify/Customer/5"}, {}, {"order_id": 5}):
        with pytest.raises(Suspect):
            read_deleted(encoded(body), envelope())
    for wrong in (b'{"id":null}', b'{"id":true}', b'{"id":[]}', b'{"id":"x"}'):
        with pytest.raises(Unreadable):
            read_deleted(wrong, envelope())


def test_the_published_samples_read(shared: object) -> None:
    """One official body, whose line ids and figures are known."""
    body = (shared / "payloads/shopify/orders__paid.json").read_bytes()  # type: ignore[operator]
    seen = told(msgspec.json.decode(body))
    assert (seen.total_minor, len(seen.lines), seen.test) == (40495, 5, True)
    assert CHANGED
