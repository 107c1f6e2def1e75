"""The oracle itself, against sums done by hand."""

from datetime import timedelta

from tests.oracle.expectation import UNCLAIMED, expect
from tests.oracle.tellings import DAY, Programme, Shop
from tests.properties.shopify_stories import Buyer, Line, PretendOrder, merge_body
from tests.properties.stripe_stories import PretendPayment
from tests.properties.tape import SHOP_DOMAIN, START, STRIPE_TOKEN, Tape, micros

ANA = Buyer(5001, "ana@home.example")
BO = Buyer(None, "bo@home.example")
POINT = 1_000_000
HOUR = timedelta(hours=1)


def shop(**earning: object) -> Shop:
    """A shop that gives one point a dollar, held for thirty days."""
    document = {"earning": {"enabled": True, "points_per_unit": "1", "hold_days": 30, **earning}}
    return Shop("Corner", "USD", SHOP_DOMAIN, STRIPE_TOKEN, (Programme(0, document),))


def ends(tape: Tape, days: int = 1, **earning: object) -> dict[tuple[tuple[str, str], str], int]:
    """The balances so many days after the start."""
    return expect(shop(**earning), tape.deliveries, micros(START) + days * DAY).balances


def test_a_lines_discount_is_shared_by_piece_and_rounded_half_up_once() -> None:
    """Three pieces at 3.33 less 1.00: 8.99; one back leaves two thirds, 5.99 and a third: 5.99."""
    tape = Tape()
    order = PretendOrder(tape, START, [Line(333, 3, discount=100)], ANA).place()
    assert ends(tape) == {(("shopify", "5001"), "pending"): 8_990_000}
    order.refund(HOUR, pieces={0: 1})
    assert ends(tape) == {(("shopify", "5001"), "pending"): 5_990_000}


def test_a_refund_not_yet_in_the_order_counts_by_the_orders_own_line() -> None:
    """The refund's webhook came, the order's did not: the same 5.99."""
    tape = Tape()
    order = PretendOrder(tape, START, [Line(333, 3, discount=100)], ANA).place()
    order.refund(HOUR, pieces={0: 1})
    tape.deliveries = [d for d in tape.deliveries if d.topic != "orders/updated"]
    assert ends(tape) == {(("shopify", "5001"), "pending"): 5_990_000}


def test_stripe_takes_the_smaller_of_captured_less_refunds_and_amount_less_what_stripe_says() -> None:
    """27.49 with 2.50 tax; all refunded by Stripe's word, of which 10.00 failed: 10.00 less its tax, 9.09."""
    tape = Tape()
    payment = PretendPayment(tape, START, 2749, email="bo@home.example", tax=250).pay()
    payment.refund(HOUR, 1000, "succeeded", "failed")
    payment.refunded = 2749
    tape.stripe("charge.refunded", payment.charge(), START + HOUR)
    assert ends(tape) == {(("email", "bo@home.example"), "pending"): 9_090_000}


def test_an_open_dispute_holds_its_share_and_the_hold_ends_beside_it() -> None:
    """40.00, of which 15.00 are asked about, forty days later."""
    tape = Tape()
    PretendPayment(tape, START, 4000, email="bo@home.example").pay().dispute(HOUR, 1500, ["needs_response"])
    bo = ("email", "bo@home.example")
    assert ends(tape, 40) == {(bo, "available"): 25 * POINT, (bo, "disputed"): 15 * POINT}


def test_the_stripe_half_of_a_pair_posts_nothing_and_a_third_purchase_does() -> None:
    """One order and two payments alike within minutes: the nearer payment is the order's."""
    tape = Tape()
    PretendOrder(tape, START, [Line(4000)], BO).place()
    for minutes in (2, 9):
        moment = START + timedelta(minutes=minutes)
        PretendPayment(tape, moment, 4000, email="bo@home.example").pay(told=("charge",))
    assert ends(tape) == {(("email", "bo@home.example"), "pending"): 80 * POINT}


def test_people_follow_merges_and_shared_addresses_go_to_the_oldest_account() -> None:
    """5005 became 5004; a guest with 5002's and 5003's address is 5002."""
    tape = Tape()
    PretendOrder(tape, START, [Line(1000)], Buyer(5005, "old@home.example")).place()
    tape.shopify("customers/merge", merge_body(5004, 5005), START)
    for who in (5003, 5002, None):
        PretendOrder(tape, START, [Line(500)], Buyer(who, "family@home.example")).place()
    PretendOrder(tape, START, [Line(300)], Buyer(None, None)).place()
    assert ends(tape) == {
        (("shopify", "5004"), "pending"): 10 * POINT,
        (("shopify", "5003"), "pending"): 5 * POINT,
        (("shopify", "5002"), "pending"): 10 * POINT,
        (UNCLAIMED, "pending"): 3 * POINT,
    }


def test_what_does_not_count_does_not_count() -> None:
    """A gift card, a tip, a test order, an authorisation, a cancelled order, one in a currency without a rate."""
    tape = Tape()
    PretendOrder(tape, START, [Line(1000, gift_card=True), Line(500, tip=True)], ANA).place()
    PretendOrder(tape, START, [Line(1000)], ANA, status="authorized").place()
    PretendOrder(tape, START, [Line(1000)], ANA).place().cancel(HOUR)
    PretendOrder(tape, START, [Line(1000)], ANA, currency="CHF").place()
    PretendOrder(tape, START, [Line(1000)], ANA, test=True).place()
    assert ends(tape) == {(("shopify", "5001"), "test:pending"): 10 * POINT}
