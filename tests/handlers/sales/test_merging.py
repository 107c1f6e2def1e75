"""Facts about one sale merge to the same memory, whatever order and however often they are told."""

from itertools import permutations

import msgspec
import pytest

from handlers.sales.rules import SaleFact, SaleFacts, absorb, naming, remember
from integration.clock import DAY, HOUR
from integration.facts import (
    Buyer,
    Charge,
    ChargeSeen,
    Dispute,
    DisputeSeen,
    Fulfilment,
    FulfilmentSeen,
    Invoice,
    InvoiceSeen,
    Order,
    OrderLine,
    OrderRefund,
    OrderSeen,
    Payment,
    PaymentSeen,
    RefundLine,
    RefundSeen,
    Session,
    SessionSeen,
    StripeRefund,
    StripeRefundSeen,
)

MONDAY = 1_790_000_000_000_000


def order(updated_at: int, **changes: object) -> Order:
    """Ann's order of two mugs, as it looked at one moment."""
    mugs = OrderLine(id="11", quantity=2, current_quantity=2, price_minor=1_500)
    known = {"financial_status": "paid", "total_minor": 3_000, "lines": (mugs,), "processed_at": MONDAY}
    return Order(id="501", updated_at=updated_at, currency="USD", **{**known, **changes})  # type: ignore[arg-type]


def remembered(*facts: SaleFact) -> SaleFacts:
    """What a sale remembers after being told these."""
    memory = SaleFacts()
    for fact in facts:
        remember(memory, fact)
    return memory


SHOPIFY_STORY: tuple[SaleFact, ...] = (
    OrderSeen(order(MONDAY, financial_status="pending")),
    OrderSeen(order(MONDAY + HOUR)),
    RefundSeen("501", OrderRefund("91", MONDAY + DAY, lines=(RefundLine("11", 1, 1_500),))),
    FulfilmentSeen("501", Fulfilment("71", MONDAY + HOUR, status="success", created_at=MONDAY + HOUR)),
    FulfilmentSeen("501", Fulfilment("71", MONDAY + 2 * DAY, delivered_at=MONDAY + 2 * DAY)),
)
STRIPE_STORY: tuple[SaleFact, ...] = (
    ChargeSeen(Charge("ch_1", "USD", 3_000, 0, 0, False, "pending", MONDAY, payment_id="pi_1")),
    ChargeSeen(Charge("ch_1", "USD", 3_000, 3_000, 500, True, "succeeded", MONDAY, buyer=Buyer(email="ann@x.example"))),
    PaymentSeen(Payment("pi_1", "USD", 3_000, 3_000, "succeeded", MONDAY, charge_id="ch_1")),
    StripeRefundSeen(StripeRefund("re_1", 500, "failed", charge_id="ch_1")),
    DisputeSeen(Dispute("dp_1", 3_000, "USD", "needs_response", MONDAY + DAY, charge_id="ch_1")),
)


@pytest.mark.parametrize("story", [SHOPIFY_STORY, STRIPE_STORY], ids=["shopify", "stripe"])
def test_every_order_of_telling_is_remembered_alike(story: tuple[SaleFact, ...]) -> None:
    """All 120 orders of five facts, each told twice, end in one and the same memory."""
    ends = {msgspec.json.encode(remembered(*told, *told), order="sorted") for told in permutations(story)}
    assert len(ends) == 1


def test_two_halves_told_apart_and_joined_are_the_whole_told_together() -> None:
    """Joining two sales loses nothing and adds nothing."""
    for cut in range(1, len(STRIPE_STORY)):
        one, other = remembered(*STRIPE_STORY[:cut]), remembered(*STRIPE_STORY[cut:])
        absorb(one, other)
        assert one == remembered(*STRIPE_STORY)


def test_an_older_picture_of_an_order_changes_nothing() -> None:
    """The body's own time decides, not the time of arrival."""
    memory = remembered(OrderSeen(order(MONDAY + HOUR)))
    assert not remember(memory, OrderSeen(order(MONDAY, financial_status="pending")))
    assert memory.order is not None and memory.order.financial_status == "paid"


def test_equal_seconds_are_settled_by_the_bodies_digest() -> None:
    """Two pictures of one second and one header time end alike in both orders."""
    one, other = order(MONDAY, digest="aa", total_minor=1), order(MONDAY, digest="bb", total_minor=2)
    assert remembered(OrderSeen(one), OrderSeen(other)) == remembered(OrderSeen(other), OrderSeen(one))


def test_a_pending_refund_is_replaced_by_its_settled_picture() -> None:
    """The newest picture of a refund wins: alone by its own time, inside an order by the order's."""
    pending = OrderRefund("91", MONDAY, discrepancy_minor=0)
    settled = OrderRefund("91", MONDAY + DAY, discrepancy_minor=700)
    for told in permutations([RefundSeen("501", pending), OrderSeen(order(MONDAY + DAY, refunds=(settled,)))]):
        assert remembered(*told).refunds["91"].discrepancy_minor == 700


def test_a_dispute_status_nobody_knows_keeps_the_previous_effect() -> None:
    """Platforms add words; a new one must not lose or give points."""
    held = Dispute("dp_1", 900, "USD", "needs_response", MONDAY)
    memory = remembered(DisputeSeen(held))
    assert not remember(memory, DisputeSeen(msgspec.structs.replace(held, status="pondered", told_at=MONDAY + DAY)))
    assert memory.disputes["dp_1"].status == "needs_response"


def test_a_won_appeal_outranks_the_loss_told_in_the_same_second() -> None:
    """Within a second the later stage of a dispute is the later word."""
    lost = Dispute("dp_1", 900, "USD", "lost", MONDAY)
    won = msgspec.structs.replace(lost, status="won")
    for told in permutations([DisputeSeen(lost), DisputeSeen(won)]):
        assert remembered(*told).disputes["dp_1"].status == "won"


def test_an_invoice_is_a_weak_name() -> None:
    """An invoice id may be shared by two payments, so it must not join them by itself."""
    charge = Charge("ch_1", "USD", 1, 1, 0, True, "succeeded", MONDAY, payment_id="pi_1", invoice_id="in_1")
    names = naming(ChargeSeen(charge))
    assert names.weak is not None and names.weak.value == "in_1"
    assert {identity.value for identity in names.strong} == {"ch_1", "pi_1"}
    several = naming(InvoiceSeen(Invoice("in_1", "USD", MONDAY, payment_ids=("pi_1", "pi_2"))))
    assert several.strong == ()


def test_a_session_that_is_paid_stays_paid() -> None:
    """A late “completed, unpaid” must not undo what the later success told."""
    unpaid = Session("cs_1", "USD", MONDAY, MONDAY, "unpaid", payment_id="pi_1")
    paid = msgspec.structs.replace(unpaid, payment_status="paid", told_at=MONDAY + DAY)
    for told in permutations([SessionSeen(unpaid), SessionSeen(paid)]):
        assert remembered(*told).sessions["cs_1"].payment_status == "paid"


def test_a_bare_word_of_a_session_or_an_invoice_makes_no_older_picture_the_newest() -> None:
    """What carries the contents is compared by its own time, not by the time of what came beside it."""
    paid = Session("cs_1", "USD", MONDAY, MONDAY, "paid", tax_minor=100)
    sessions: tuple[SaleFact, ...] = (
        SessionSeen(paid),
        SessionSeen(msgspec.structs.replace(paid, told_at=MONDAY + HOUR, tax_minor=200)),
        SessionSeen(msgspec.structs.replace(paid, told_at=MONDAY + DAY, payment_status="unpaid")),
    )
    full = Invoice("in_1", "USD", MONDAY, total_minor=900, tax_minor=100)
    invoices: tuple[SaleFact, ...] = (
        InvoiceSeen(full),
        InvoiceSeen(msgspec.structs.replace(full, told_at=MONDAY + HOUR, tax_minor=200)),
        InvoiceSeen(Invoice("in_1", "USD", MONDAY + DAY, payment_ids=("pi_1",))),
    )
    for story in (sessions, invoices):
        assert len({msgspec.json.encode(remembered(*told), order="sorted") for told in permutations(story)}) == 1
