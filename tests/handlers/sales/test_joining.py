"""Sales that turn out to be one sale, within a batch and across: nothing of theirs is lost or left behind."""

from itertools import permutations

import pytest

from handlers.points.settle import PointsSettler
from handlers.sales.settle import RETRY_AFTER
from integration.clock import DAY, HOUR, MINUTE
from integration.database.steps import ask, plain
from integration.facts import (
    Buyer,
    Charge,
    ChargeSeen,
    Fact,
    Invoice,
    InvoiceSeen,
    Payment,
    PaymentSeen,
    StripeRefund,
    StripeRefundSeen,
)
from tests.handlers.sales.test_settling import NOON, Shopkeeper, Stumbles, order

ANN = Buyer(email="ann@x.example")


def charge(number: int, *, buyer: Buyer = ANN, at: int = NOON, total: int = 3_000, **names: object) -> ChargeSeen:
    """A captured charge of Ann's."""
    return ChargeSeen(
        Charge(f"ch_{number}", "USD", total, total, 0, True, "succeeded", at, buyer=buyer, **names)  # type: ignore[arg-type]
    )


@pytest.fixture
async def shop(database: object) -> Shopkeeper:
    """Ann's shop with points only."""
    return await Shopkeeper(database, [PointsSettler()]).open()


async def test_three_sales_joined_one_after_the_other_in_a_batch_keep_their_names(shop: Shopkeeper) -> None:
    """A refund told later by the first one's name finds the sale that is left."""
    await shop.hears(order("501", buyer=ANN))
    await shop.hears(StripeRefundSeen(StripeRefund("re_1", 100, "succeeded", charge_id="ch_1")))
    await shop.hears(PaymentSeen(Payment("pi_1", "USD", 3_000, 3_000, "succeeded", NOON)))
    await shop.hears(charge(1, payment_id="pi_1"), charge(1, payment_id="pi_1", order_ids=("501",)))
    assert await shop.rows("SELECT DISTINCT sale FROM sale_identities") == [(1,)]


async def test_a_charge_that_names_two_orders_is_the_first_ones(shop: Shopkeeper) -> None:
    """Two orders of the shop are two purchases, whoever names both; each earns, in every order of telling."""
    facts: tuple[Fact, ...] = (order("501", buyer=ANN), order("502", buyer=ANN), charge(1, order_ids=("501", "502")))
    ends = set()
    for told in permutations(facts):
        for one in told:
            await shop.hears(one)
        await _until_settled(shop)
        sales = await shop.rows(
            "SELECT platform, platform_id, standing FROM sales WHERE merged_into IS NULL ORDER BY platform_id"
        )
        ends.add((tuple(sales), sum((await shop.balances()).values())))
        await _forget_everything(shop)
    assert ends == {((("both", "501", "counted"), ("shopify", "502", "counted")), 60)}


async def test_a_payment_two_orders_claim_joins_neither_to_the_other(shop: Shopkeeper) -> None:
    """Both orders' notes name it: it stays with the first that was told, and both earn."""
    await shop.hears(order("501", payment_ids=("pi_1",)), charge(1, payment_id="pi_1"))
    await shop.hears(order("502", payment_ids=("pi_1",)), charge(1, payment_id="pi_1", order_ids=("502",)))
    sales = await shop.rows("SELECT platform, platform_id FROM sales WHERE merged_into IS NULL ORDER BY number")
    assert sales == [("both", "501"), ("shopify", "502")]
    assert sum((await shop.balances()).values()) == 60


async def test_a_failed_settlement_of_a_joined_sale_is_forgotten(database: object) -> None:
    """Its survivor was settled; what is left of it must not be tried for ever."""
    stumbles = Stumbles(2)
    shop = await Shopkeeper(database, [stumbles]).open()
    await shop.hears(order("501"))
    await shop.hears(charge(1))
    assert await shop.rows("SELECT sale FROM settlements") == [(2,)]
    await shop.hears(charge(1, order_ids=("501",)))
    assert await shop.clock_strikes(NOON + RETRY_AFTER[0]) == 0
    assert await shop.rows("SELECT sale FROM settlements") == []


async def test_a_payment_earns_again_when_the_order_it_was_taken_for_is_another_payments(shop: Shopkeeper) -> None:
    """The order has its own payment by name, so the like one beside it is a sale of its own."""
    facts: tuple[Fact, ...] = (order("501", buyer=ANN), charge(1, at=NOON + MINUTE), charge(2, order_ids=("501",)))
    ends = set()
    for told in permutations(facts):
        for one in told:
            await shop.hears(one)
        await _until_settled(shop)
        ends.add(sum((await shop.balances()).values()))
        await _forget_everything(shop)
    assert ends == {60}


async def test_what_was_paired_with_a_joined_sale_is_settled_without_it(shop: Shopkeeper) -> None:
    """An order joined into an older payment, and changed at once, lets go of the payment it was taken for."""
    await shop.hears(charge(1, total=9_000, buyer=Buyer(email="bob@x.example")))
    await shop.hears(order("501", buyer=ANN))
    await shop.hears(charge(2))
    assert (await shop.rows("SELECT standing FROM sales WHERE number = 3")) == [("elsewhere",)]
    changed = order("501", buyer=Buyer(email="zoe@x.example"), updated_at=NOON + HOUR)
    await shop.hears(changed, charge(1, total=9_000, order_ids=("501",), buyer=Buyer(email="bob@x.example")))
    await _until_settled(shop)
    assert (await shop.rows("SELECT standing, paired_with FROM sales WHERE number = 3")) == [("counted", None)]


async def _until_settled(shop: Shopkeeper) -> None:
    for _ in range(10):
        if not await shop.clock_strikes(NOON + DAY):
            return
    pytest.fail("something falls due again and again")


async def _forget_everything(shop: Shopkeeper) -> None:
    for table in ("sales", "sale_identities", "ledger_entries", "accounts", "customers", "customer_identities"):
        await shop.database.run(lambda t=table: ask(plain(f"DELETE FROM {t}"), ()))


async def test_an_invoice_of_two_payments_counts_alike_in_every_order(shop: Shopkeeper) -> None:
    """Its tax is neither payment's own, whoever is told first."""
    facts: tuple[Fact, ...] = (
        InvoiceSeen(Invoice("in_1", "USD", NOON, total_minor=6_000, tax_minor=1_000)),
        charge(1, payment_id="pi_1", invoice_id="in_1"),
        charge(2, payment_id="pi_2", invoice_id="in_1", total=3_000),
    )
    ends = set()
    for told in permutations(facts):
        for one in told:
            await shop.hears(one)
        ends.add(tuple(sorted(await shop.rows("SELECT platform_id, eligible_minor FROM sales"))))
        await _forget_everything(shop)
    assert ends == {(("pi_1", 3_000), ("pi_2", 3_000))}


async def test_an_older_invoice_its_intent_and_its_charge_are_one_sale_with_its_tax_in_every_order(
    shop: Shopkeeper,
) -> None:
    """An intent told before its charge does not make the invoice look paid twice."""
    facts: tuple[Fact, ...] = (
        InvoiceSeen(Invoice("in_1", "USD", NOON, total_minor=3_000, tax_minor=500, charge_id="ch_1")),
        PaymentSeen(Payment("pi_1", "USD", 3_000, 0, "processing", NOON, invoice_id="in_1")),
        charge(1, payment_id="pi_1", invoice_id="in_1"),
    )
    for told in permutations(facts):
        for one in told:
            await shop.hears(one)
        assert await shop.rows("SELECT platform_id, eligible_minor FROM sales WHERE merged_into IS NULL") == [
            ("pi_1", 2_500)
        ]
        await _forget_everything(shop)
