"""What of a sale counts, case by case of the settlement rules."""

import msgspec
import pytest

from handlers.merchants.rules import Earning, Shop
from handlers.sales.rules import SaleFacts
from handlers.sales.worth import valued, worth
from integration.facts import (
    Charge,
    Dispute,
    Order,
    OrderLine,
    OrderRefund,
    Payment,
    RefundLine,
    Session,
    StripeRefund,
)

NOON = 1_790_000_000_000_000
PLAIN = Earning()


def line(**changes: object) -> OrderLine:
    """Two linen shirts at 50.00."""
    known: dict[str, object] = {"id": "11", "quantity": 2, "current_quantity": 2, "price_minor": 5_000}
    return OrderLine(**{**known, **changes})  # type: ignore[arg-type]


def placed(*lines: OrderLine, refunds: tuple[OrderRefund, ...] = (), **changes: object) -> SaleFacts:
    """An order as Shopify shows it, with any refunds it holds."""
    known: dict[str, object] = {
        "id": "501",
        "updated_at": NOON,
        "currency": "USD",
        "processed_at": NOON,
        "financial_status": "paid",
        "total_minor": 10_000,
        "lines": lines or (line(),),
        "refunds": refunds,
    }
    order = Order(**{**known, **changes})  # type: ignore[arg-type]
    return SaleFacts(order=order, refunds={refund.id: refund for refund in refunds})


def charged(amount: int = 10_000, **changes: object) -> SaleFacts:
    """A captured card payment of 100.00."""
    known: dict[str, object] = {
        "id": "ch_1",
        "currency": "USD",
        "amount_minor": amount,
        "captured_minor": amount,
        "refunded_minor": 0,
        "captured": True,
        "status": "succeeded",
        "created_at": NOON,
        "payment_id": "pi_1",
    }
    return SaleFacts(charges={"ch_1": Charge(**{**known, **changes})})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("facts", "eligible"),
    [
        (placed(), 10_000),
        (placed(line(discount_minor=1_000)), 9_000),
        (placed(line(tax_minor=1_597), taxes_included=True), 8_403),
        (placed(line(tax_minor=1_900)), 10_000),
        (placed(line(), line(id="12", gift_card=True)), 10_000),
        (placed(line(), line(id="12", gratuity=True)), 10_000),
        (placed(line(current_quantity=1)), 5_000),
        (placed(line(current_quantity=1, discount_minor=1_000)), 4_500),
        (placed(line(quantity=3, current_quantity=2, price_minor=1_000, discount_minor=100)), 1_933),
        (placed(financial_status="partially_refunded"), 10_000),
        (placed(line(current_quantity=0), financial_status="refunded"), 0),
    ],
    ids=[
        "plain",
        "discount",
        "tax inside the price",
        "tax beside the price",
        "gift card",
        "tip or donation",
        "one taken out",
        "one taken out of a discounted line",
        "a share rounds half up",
        "partly refunded",
        "refunded",
    ],
)
def test_what_of_an_order_earns(facts: SaleFacts, eligible: int) -> None:
    """Goods after discounts, without tax, gift cards, tips, donations and shipping."""
    assert worth(facts, PLAIN).eligible_minor == eligible


def test_tax_and_shipping_earn_where_the_programme_says_so() -> None:
    """Both are settings, and both follow refunds."""
    facts = placed(line(tax_minor=1_900), shipping_minor=490)
    both = Earning(include_tax=True, include_shipping=True)
    assert worth(facts, both).eligible_minor == 10_000 + 1_900 + 490
    facts.refunds["91"] = OrderRefund("91", NOON, shipping_minor=490)
    assert worth(facts, both).eligible_minor == 11_900


def test_a_refund_inside_the_order_is_not_taken_off_twice() -> None:
    """Its lines are in `current_quantity` already; only what went beyond them counts."""
    inside = OrderRefund("91", NOON, lines=(RefundLine("11", 1, 5_000),), discrepancy_minor=700)
    assert worth(placed(line(current_quantity=1), refunds=(inside,)), PLAIN).eligible_minor == 4_300


def test_a_refund_ahead_of_its_order_ends_where_the_order_will() -> None:
    """Told alone it takes its lines back at the order's own prices, discounts and all."""
    early = placed(line(discount_minor=1_000))
    early.refunds["91"] = OrderRefund("91", NOON, lines=(RefundLine("11", 1, 4_500),))
    late = placed(
        line(discount_minor=1_000, current_quantity=1), refunds=(OrderRefund("91", NOON, lines=(RefundLine("11", 1),)),)
    )
    assert worth(early, PLAIN).eligible_minor == worth(late, PLAIN).eligible_minor == 4_500


def test_money_given_back_without_lines_reduces_what_earns() -> None:
    """A goodwill refund counts, whether it shows as a discrepancy or as money alone."""
    for refund in (
        OrderRefund("91", NOON, discrepancy_minor=1_000),
        OrderRefund("91", NOON, money_minor=1_000, only_money=True),
    ):
        assert worth(placed(refunds=(refund,)), PLAIN).eligible_minor == 9_000


def test_refunds_never_push_a_sale_below_zero() -> None:
    """More may be given back than earned points."""
    assert worth(placed(refunds=(OrderRefund("91", NOON, discrepancy_minor=99_999),)), PLAIN).eligible_minor == 0


@pytest.mark.parametrize(
    ("changes", "standing"),
    [
        ({"financial_status": "pending"}, "unpaid"),
        ({"financial_status": "authorized"}, "authorized"),
        ({"financial_status": "partially_paid"}, "partially_paid"),
        ({"financial_status": "voided"}, "voided"),
        ({"financial_status": "expired"}, "voided"),
        ({"financial_status": "something new"}, "unpaid"),
        ({"financial_status": None}, "unpaid"),
        ({"cancelled_at": NOON}, "cancelled"),
    ],
)
def test_an_order_that_is_not_paid_for_earns_nothing_and_says_why(changes: dict[str, object], standing: str) -> None:
    """Each state has a word and a sentence."""
    value = worth(placed(**changes), PLAIN)
    assert (value.standing, value.eligible_minor) == (standing, 0)
    assert value.why


def test_excluded_products_tags_and_channels_earn_nothing() -> None:
    """The merchant's exclusions are compared as the shop writes them, tags without case."""
    facts = placed(line(product_id="9", title="Gift wrap"), line(id="12"), tags=("Wholesale",), source_name="pos")
    assert worth(facts, Earning(exclude_products=("9",))).eligible_minor == 10_000
    assert worth(facts, Earning(exclude_tags=("wholesale",))).eligible_minor == 0
    assert worth(facts, Earning(exclude_channels=("pos",))).eligible_minor == 0


def test_a_refund_alone_waits_for_its_order() -> None:
    """Nothing is posted for an order nobody has seen."""
    facts = SaleFacts(refunds={"91": OrderRefund("91", NOON)})
    assert worth(facts, PLAIN).standing == "waiting_for_order"


# --- Stripe -------------------------------------------------------------------------------------


def test_a_failed_refund_gives_back_what_it_took() -> None:
    """17.49 then 10.00 refunded of 27.49, and the 10.00 fails: the greatest amount seen counts that failure."""
    facts = charged(2_749, refunded_minor=2_749)
    facts.stripe_refunds = {
        "re_1": StripeRefund("re_1", 1_000, "failed"),
        "re_2": StripeRefund("re_2", 1_749, "succeeded"),
    }
    assert worth(facts, PLAIN).net_minor == 1_000


def test_a_partial_capture_earns_what_was_captured() -> None:
    """Stripe counts the released rest as refunded; it never was the shop's."""
    facts = charged(10_000, captured_minor=4_000, refunded_minor=6_000)
    assert worth(facts, PLAIN).eligible_minor == 4_000


def test_an_authorisation_earns_nothing() -> None:
    """Not captured yet is not paid."""
    value = worth(charged(captured=False, captured_minor=0), PLAIN)
    assert (value.standing, value.eligible_minor) == ("uncaptured", 0)


def test_a_payment_intent_counts_only_where_no_charge_is_known() -> None:
    """Both tell of the same money."""
    payment = Payment("pi_1", "USD", 10_000, 10_000, "succeeded", NOON)
    assert worth(SaleFacts(payments={"pi_1": payment}), PLAIN).eligible_minor == 10_000
    facts = charged(refunded_minor=2_500)
    facts.payments["pi_1"] = payment
    assert worth(facts, PLAIN).eligible_minor == 7_500


def test_a_session_alone_waits_for_its_payment() -> None:
    """It adds who and how much tax; it is not the money."""
    session = Session("cs_1", "USD", NOON, NOON, "paid", total_minor=10_000, payment_id="pi_1")
    assert worth(SaleFacts(sessions={"cs_1": session}), PLAIN).standing == "waiting_for_payment"


def test_tax_and_shipping_of_a_session_are_taken_off_in_proportion() -> None:
    """Half refunded, half of the tax and shipping is gone with it."""
    facts = charged(12_000, refunded_minor=6_000)
    facts.sessions["cs_1"] = Session(
        "cs_1", "USD", NOON, NOON, "paid", total_minor=12_000, tax_minor=1_500, shipping_minor=500, payment_id="pi_1"
    )
    assert worth(facts, PLAIN).eligible_minor == 5_000
    assert worth(facts, Earning(include_tax=True, include_shipping=True)).eligible_minor == 6_000


@pytest.mark.parametrize(
    ("status", "disputed", "lost"),
    [
        ("needs_response", 4_000, 0),
        ("under_review", 4_000, 0),
        ("lost", 0, 4_000),
        ("appeal_under_review", 0, 4_000),
        ("won", 0, 0),
        ("warning_needs_response", 0, 0),
        ("warning_closed", 0, 0),
    ],
)
def test_a_dispute_holds_loses_or_leaves_its_share(status: str, disputed: int, lost: int) -> None:
    """An inquiry moves no money; an appeal stays lost until it is won."""
    facts = charged()
    facts.disputes["dp_1"] = Dispute("dp_1", 4_000, "USD", status, NOON)
    value = worth(facts, PLAIN)
    assert (value.disputed_minor, value.lost_minor) == (disputed, lost)


def test_shopify_supplies_the_money_of_a_linked_sale() -> None:
    """A refund told by both platforms counts once."""
    facts = placed(line(current_quantity=1), refunds=(OrderRefund("91", NOON, lines=(RefundLine("11", 1),)),))
    facts.charges = charged(refunded_minor=5_000).charges
    facts.stripe_refunds = {"re_1": StripeRefund("re_1", 5_000, "succeeded")}
    assert worth(facts, PLAIN).eligible_minor == 5_000


def test_test_sales_are_marked() -> None:
    """Shopify's `test` and Stripe's `livemode: false` keep a sale out of the real books."""
    assert worth(placed(test=True), PLAIN).test
    assert worth(charged(livemode=False), PLAIN).test
    assert not worth(charged(), PLAIN).test


def test_a_deleted_order_is_worth_nothing() -> None:
    """Deleting an order in the shop takes its points back."""
    facts = msgspec.structs.replace(placed(), order_deleted=True)
    assert (worth(facts, PLAIN).standing, worth(facts, PLAIN).eligible_minor) == ("deleted", 0)


def test_a_payment_of_a_deleted_order_is_worth_nothing_though_the_order_was_never_seen() -> None:
    """The deletion may be all that is ever told of the order."""
    facts = msgspec.structs.replace(charged(), order_deleted=True)
    assert (worth(facts, PLAIN).standing, worth(facts, PLAIN).eligible_minor) == ("deleted", 0)


@pytest.mark.parametrize(
    ("facts", "closed", "standing"),
    [
        (charged(), {"stripe": NOON - 1}, "disconnected"),
        (charged(), {"stripe": NOON}, "counted"),
        (charged(), {"shopify": NOON - 1}, "counted"),
        (placed(), {"shopify": NOON - 1}, "disconnected"),
        (placed(cancelled_at=NOON), {"shopify": NOON - 1}, "disconnected"),
        (placed(), {"stripe": NOON - 1}, "counted"),
    ],
)
def test_what_was_sold_after_its_platform_was_disconnected_counts_for_nothing(
    facts: SaleFacts, closed: dict[str, int], standing: str
) -> None:
    """What was sold before stays as it was; the other platform goes on."""
    shop = Shop(1, "Ann", "USD", "UTC", None, None, None, frozenset(), (), closed)
    value, _ = valued(shop, facts)
    assert (value.standing, value.eligible_minor) == (standing, 10_000 if standing == "counted" else 0)
