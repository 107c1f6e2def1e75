"""The pretend shop's webhooks verify with Shopify's own package and are read by the real readers."""

import json
from decimal import Decimal

import pytest
from shopify_app import ShopifyApp

from config.topics import SHOPIFY
from integration.facts import FulfilmentSeen, OrderSeen, Reading, RefundSeen
from integration.sandbox.delivery import Delivery
from integration.sandbox.shopify_records import Order
from integration.shopify import webhooks
from tests.integration.sandbox.conftest import APP_SECRET, NOON, Tea, open_shop


def read(delivery: Delivery) -> Reading:
    """Verify and read one delivery as the receiver and the worker would."""
    raw = [(name.lower().encode(), value.encode()) for name, value in delivery.headers.items()]
    headers = webhooks.read_headers(raw)
    assert webhooks.verify(delivery.body, headers.signature, [APP_SECRET])
    return SHOPIFY[delivery.topic](delivery.body, webhooks.envelope(headers, delivery.body, NOON))


def order_in(deliveries: list[Delivery]) -> OrderSeen:
    """The last state of the order among deliveries, as the readers see it."""
    facts = [fact for each in deliveries for fact in read(each).facts if isinstance(fact, OrderSeen)]
    return facts[-1]


def life_of_an_order(tea: Tea) -> tuple[Order, list[Delivery]]:
    """Ana buys a tea and a cup, gets them, and sends the cup back."""
    order, told = tea.shop.place(tea.ana, [(tea.earl_grey, 2), (tea.cup, 1)], shipping_minor=5_00)
    for verb in (tea.shop.pay, tea.shop.ship, tea.shop.deliver):
        tea.hands.pass_seconds(60)
        told += verb(order)
    tea.hands.pass_seconds(60)
    return order, told + tea.shop.refund(order, {order.lines[1].id: 1})


def test_every_verb_speaks_topics_the_readers_read(tea: Tea) -> None:
    """Whatever a merchant or a buyer does, each body is one of its topic's shape."""
    shop = tea.shop
    order, told = life_of_an_order(tea)
    told += shop.edit(order, add=[(tea.cup, 1)], remove={order.lines[0].id: 1})
    told += shop.cancel(order)
    told += shop.reopen(order)
    told += shop.recall(order)
    told += shop.retag(order, "staff", "gift")
    twin, more = shop.welcome("Ana", "Díaz", "ana.diaz@example.com", phone="+16135550100")
    told += more + shop.change_customer(twin, email="diaz@example.com")
    told += shop.change_consent(twin, "subscribed") + shop.change_consent(twin, "unsubscribed", channel="sms")
    told += shop.merge_customers(tea.ana, twin) + shop.merge_customers(tea.ana, twin, failed=True)
    dispute, more = shop.open_dispute(order)
    told += more + shop.move_dispute(dispute, "lost")
    told += shop.update_shop() + shop.change_scopes("read_orders") + shop.uninstall()
    for topic in ("customers/data_request", "customers/redact", "shop/redact"):
        told += shop.request_privacy(topic, None if topic == "shop/redact" else tea.ana)
    told += shop.remove_order(order) + shop.forget_customer(tea.ana)
    guests, more = shop.place(None, [(tea.cup, 2)])
    told += more + shop.ship(guests, {guests.lines[0].id: 1}) + shop.void(guests)

    for delivery in told:
        assert read(delivery).facts is not None, delivery.topic
    elsewhere = {"customers/enable", "customers/disable", "discounts/update", "discounts/delete"}
    unspoken = set(SHOPIFY) - {each.topic for each in told} - elsewhere
    assert unspoken == set()


def test_shopifys_own_package_accepts_the_signature(tea: Tea) -> None:
    """An independent verifier takes each delivery, and refuses it once a byte changes."""
    verifier = ShopifyApp("the-client-id", APP_SECRET)
    _, told = life_of_an_order(tea)
    for delivery in told:
        request = {
            "method": "POST",
            "headers": delivery.headers,
            "url": "https://regulars.example/webhooks/shopify",
            "body": delivery.body.decode(),
        }
        assert verifier.verify_webhook_req(request).ok
        assert not verifier.verify_webhook_req(request | {"body": request["body"] + " "}).ok


def test_the_readers_see_the_shops_arithmetic(tea: Tea) -> None:
    """Lines, discounts, tax, shipping and what is left after a return come out in the same cents."""
    order, told = tea.shop.place(tea.ana, [(tea.earl_grey, 2), (tea.cup, 1)], shipping_minor=5_00, discount_minor=4_90)
    seen = order_in(told + tea.shop.pay(order)).order
    assert (seen.financial_status, seen.total_minor) == ("paid", 49_00 - 4_90 + 5_00 + 4_41 + 50)
    assert [(line.price_minor, line.discount_minor, line.tax_minor) for line in seen.lines] == [
        (12_50, 2_50, 2_25),
        (24_00, 2_40, 2_16),
    ]
    assert (seen.buyer.email, seen.country, seen.region) == ("ana@example.com", "CA", "ON")

    refunded = order_in(tea.shop.refund(order, {order.lines[0].id: 1})).order
    assert [line.current_quantity for line in refunded.lines] == [1, 1]
    assert refunded.refunds[0].lines[0].subtotal_minor == 11_25
    assert refunded.financial_status == "partially_refunded"


def test_a_refund_of_an_amount_shows_as_a_discrepancy(tea: Tea) -> None:
    """Money without lines is a negative discrepancy; while it is on its way it is a positive one."""
    order, _ = tea.shop.place(tea.ana, [(tea.cup, 1)])
    tea.shop.pay(order)
    (alone, whole) = tea.shop.refund(order, amount_minor=6_00, pending=True)
    (fact,) = read(alone).facts
    assert isinstance(fact, RefundSeen)
    assert (fact.refund.discrepancy_minor, fact.refund.money_minor) == (0, 0)
    assert order_in([whole]).order.financial_status == "paid"

    settled = order_in(tea.shop.settle_refund(order, order.refunds[0])).order
    assert (settled.refunds[0].discrepancy_minor, settled.refunds[0].money_minor) == (6_00, 6_00)
    assert settled.financial_status == "partially_refunded"


def test_gift_cards_tips_and_duties_are_told_apart(tea: Tea) -> None:
    """What earns nothing can be seen in the body."""
    order, _ = tea.shop.place(tea.ana, [(tea.gift_card, 1), (tea.cup, 1)], tip_minor=2_00, duties_minor=3_00)
    seen = order_in(tea.shop.pay(order)).order
    assert [(line.gift_card, line.gratuity) for line in seen.lines] == [
        (True, False),
        (False, False),
        (False, True),
    ]
    assert seen.total_minor == 50_00 + 24_00 + 2_40 + 2_00 + 3_00


def test_tax_inside_prices_and_presentment_money() -> None:
    """Where prices include tax the total does not grow, and shop money is what the readers take."""
    tea = open_shop(currency="EUR", taxes_included=True, timezone="Europe/Paris")
    _, told = tea.shop.place(tea.ana, [(tea.cup, 1)], presentment=("JPY", Decimal("162.4")))
    body = json.loads(told[0].body)
    assert body["total_price_set"]["presentment_money"] == {"amount": "3898", "currency_code": "JPY"}
    seen = order_in(told).order
    assert (seen.currency, seen.total_minor, seen.lines[0].tax_minor) == ("EUR", 24_00, 2_18)


@pytest.mark.parametrize(("currency", "text"), [("JPY", "1250"), ("KWD", "1.250"), ("USD", "12.50")])
def test_amounts_have_their_currencys_digits(currency: str, text: str) -> None:
    """Zero- and three-decimal currencies are written with their own digits."""
    tea = open_shop(currency=currency)
    _, told = tea.shop.place(tea.ana, [(tea.earl_grey, 1)])
    assert json.loads(told[0].body)["line_items"][0]["price"] == text


def test_parcels_in_parts_and_a_delivery(tea: Tea) -> None:
    """Half a parcel leaves the order partial; the carrier's word arrives as an event."""
    order, _ = tea.shop.place(tea.ana, [(tea.earl_grey, 2), (tea.cup, 1)])
    tea.shop.pay(order)
    assert [each.topic for each in tea.shop.ship(order, {order.lines[0].id: 1})] == [
        "fulfillments/create",
        "orders/partially_fulfilled",
        "orders/updated",
    ]
    assert order_in(tea.shop.ship(order)).order.fulfillment_status == "fulfilled"
    (fact,) = read(tea.shop.deliver(order)[0]).facts
    assert isinstance(fact, FulfilmentSeen)
    assert fact.fulfilment.delivered_at == tea.hands.at


def test_the_same_seed_and_clock_give_the_same_bytes() -> None:
    """Runs can be repeated, faults or not; another seed gives other ids."""
    first, again, other = (life_of_an_order(open_shop(seed))[1] for seed in (7, 7, 8))
    assert first == again
    assert {each.id for each in first}.isdisjoint({each.id for each in other})


def test_deliveries_of_one_action_share_its_event_id(tea: Tea) -> None:
    """Webhook ids are unique; the event id only says what belongs together."""
    _, told = life_of_an_order(tea)
    assert len({each.id for each in told}) == len(told)
    order, placed = tea.shop.place(tea.ana, [(tea.cup, 1)])
    paid = tea.shop.pay(order)
    assert len({each.event_id for each in paid}) == 1
    assert placed[0].event_id != paid[0].event_id


def test_ids_need_all_of_64_bits_and_bodies_are_of_a_real_size(tea: Tea) -> None:
    """A reader that takes ids for floating-point numbers is found out; an order is about 6 KB."""
    order, told = tea.shop.place(tea.ana, [(tea.earl_grey, 1)], shipping_minor=5_00)
    assert 2**53 < order.id < 2**63
    assert int(float(order.id)) != order.id or int(float(order.lines[0].id)) != order.lines[0].id
    assert 5_500 < len(told[0].body) < 8_500
