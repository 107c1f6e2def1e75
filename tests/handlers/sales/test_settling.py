"""The hot path on a real database: facts in, sales and postings out, with one capability failing."""

from collections.abc import Sequence
from typing import Any

import pytest

from handlers.inbox.rules import Told
from handlers.merchants.rules import Program
from handlers.points.settle import PointsSettler, follow
from handlers.privacy.gate import Gate
from handlers.sales.apply import make_apply
from handlers.sales.pairs import LIKE_REACH
from handlers.sales.rules import Sale
from handlers.sales.settle import Settler
from integration.clock import DAY, HOUR, MINUTE
from integration.database.steps import Steps, ask, plain
from integration.facts import (
    Buyer,
    Charge,
    ChargeSeen,
    CustomerSeen,
    CustomersMerged,
    Envelope,
    Fact,
    Invoice,
    InvoiceSeen,
    Order,
    OrderLine,
    OrderSeen,
    Payment,
    PaymentSeen,
    Reading,
    Session,
    SessionSeen,
    Uninstalled,
)
from integration.vault import Vault

NOON = 1_790_000_000_000_000
VAULT = Vault(["a secret of more than thirty-two characters"])


class Stumbles:
    """A capability that fails for one sale."""

    name = "stumbles"

    def __init__(self, number: int) -> None:
        self.number = number
        self.fails = True
        self.settled: list[int] = []

    def settle(self, sales: Sequence[Sale], now: int) -> Steps[dict[tuple[int, int], int]]:
        yield from ask(plain("SELECT 1"), ())
        if self.fails and any(sale.number == self.number for sale in sales):
            raise ValueError("this sale trips me")
        self.settled += [sale.number for sale in sales]
        return {}


class Shopkeeper:
    """Ann's shop on a real database, with Shopify and Stripe connected and a point a dollar."""

    def __init__(self, database: Any, settlers: Sequence[Settler]) -> None:
        self.database = database
        self.apply, self.resettle = make_apply(settlers, [follow], Gate(VAULT))
        self._events = 0

    async def open(self) -> "Shopkeeper":
        program = Program.model_validate({"earning": {"enabled": True, "points_per_unit": "1", "hold_days": 0}})
        for statement, values in (
            ("INSERT INTO merchants (id, name, currency, timezone, created_at) VALUES (1, 'Ann', 'USD', 'UTC', 0)", ()),
            ("INSERT INTO books (merchant_id) VALUES (1)", ()),
            (
                "INSERT INTO connections (merchant_id, platform, account, created_at, connected_at)"
                " VALUES (1, 'shopify', 'ann.myshopify.com', 0, 0), (1, 'stripe', 'token', 0, 0)",
                (),
            ),
            (
                "INSERT INTO program_versions (merchant_id, version, in_force_at, created_at, document)"
                " VALUES (1, 1, 0, 0, ?1)",
                (program.model_dump_json(),),
            ),
        ):
            await self.database.run(lambda s=statement, v=values: ask(plain(s), v))
        return self

    async def hears(self, *facts: Fact, at: int = NOON) -> None:
        """Work one event for each fact, as one batch."""
        told = []
        for fact in facts:
            self._events += 1
            envelope = Envelope("shopify", "any", str(self._events), at, at, "digest")
            told.append(Told(self._events, 1, "ann.myshopify.com", envelope, Reading((fact,))))
        await self.database.run(lambda: self.apply(told, at))

    async def clock_strikes(self, at: int = NOON) -> int:
        settled: int = (await self.database.run(lambda: self.resettle(100, at, 0))).sales
        return settled

    async def rows(self, sql: str) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = await self.database.read(lambda: ask(plain(sql), ()))
        return rows

    async def balances(self) -> dict[str, float]:
        """Every account that is not empty, in points."""
        rows = await self.rows("SELECT account, micropoints FROM accounts WHERE micropoints <> 0")
        return {name: amount / 1_000_000 for name, amount in rows if name != "program:issued"}


@pytest.fixture
async def ann(database: Any) -> Shopkeeper:
    """Ann's shop with points only."""
    return await Shopkeeper(database, [PointsSettler()]).open()


def order(number: str, *, total: int = 3_000, buyer: Buyer | None = None, **changes: object) -> OrderSeen:
    """A paid order with one line."""
    known: dict[str, object] = {
        "id": number,
        "updated_at": NOON,
        "currency": "USD",
        "processed_at": NOON,
        "financial_status": "paid",
        "total_minor": total,
        "lines": (OrderLine(f"{number}1", 1, 1, total),),
        "buyer": buyer or Buyer(platform_id="70", email="eve@x.example", customer_email="eve@x.example"),
    }
    return OrderSeen(Order(**{**known, **changes}))  # type: ignore[arg-type]


def charge(number: str, *, total: int = 3_000, **changes: object) -> ChargeSeen:
    """A captured card payment of a guest."""
    known: dict[str, object] = {
        "id": f"ch_{number}",
        "currency": "USD",
        "amount_minor": total,
        "captured_minor": total,
        "refunded_minor": 0,
        "captured": True,
        "status": "succeeded",
        "created_at": NOON,
        "payment_id": f"pi_{number}",
        "buyer": Buyer(email="eve@x.example"),
    }
    return ChargeSeen(Charge(**{**known, **changes}))  # type: ignore[arg-type]


async def test_one_capability_that_fails_holds_up_neither_the_others_nor_its_neighbours(database: Any) -> None:
    """Facts and points are kept; the failure is remembered in words and retried by the clock."""
    stumbles = Stumbles(number=1)
    ann = await Shopkeeper(database, [stumbles, PointsSettler()]).open()
    await ann.hears(order("501"), order("502", buyer=Buyer(platform_id="71")))
    assert sum((await ann.balances()).values()) == 60
    assert stumbles.settled == [2]
    assert await ann.rows("SELECT sale, capability, attempts FROM settlements") == [(1, "stumbles", 1)]

    await ann.clock_strikes(NOON + HOUR)
    assert await ann.rows("SELECT attempts FROM settlements") == [(2,)]
    stumbles.fails = False
    await ann.clock_strikes(NOON + DAY)
    assert await ann.rows("SELECT * FROM settlements") == []
    assert stumbles.settled == [2, 1]


async def test_a_capability_that_never_recovers_is_given_up_visibly(database: Any) -> None:
    """Retries end; the row stays with its reason."""
    ann = await Shopkeeper(database, [Stumbles(number=1)]).open()
    await ann.hears(order("501"))
    for day in range(1, 12):
        await ann.clock_strikes(NOON + day * DAY)
    ((attempts, failure, retry_at),) = await ann.rows("SELECT attempts, failure, retry_at FROM settlements")
    assert (attempts, retry_at) == (8, None)
    # Its own words may quote a person: type and place are enough to find it.
    assert failure.startswith("ValueError at settle:") and "trips me" not in failure


async def test_one_sale_that_cannot_be_valued_does_not_stop_the_clock(ann: Shopkeeper) -> None:
    """Whatever is wrong with its row, the others are released, and the failure is kept in words."""
    await ann.hears(order("501"), order("502", buyer=Buyer(platform_id="71")))
    await ann.database.run(lambda: ask(plain("UPDATE sales SET settle_at = 1"), ()))
    await ann.database.run(lambda: ask(plain("UPDATE sales SET facts = '[]' WHERE number = 1"), ()))
    assert await ann.clock_strikes() == 2
    assert await ann.rows("SELECT number FROM sales WHERE settle_at IS NOT NULL") == []
    ((sale, capability, failure),) = await ann.rows("SELECT sale, capability, failure FROM settlements")
    assert (sale, capability) == (1, "sale")
    assert "ValidationError" in failure
    assert await ann.clock_strikes() == 0


async def test_a_payment_that_names_its_order_is_that_orders_sale(ann: Shopkeeper) -> None:
    """An identity in common joins the two, whichever came first, and Shopify's money counts."""
    await ann.hears(charge("1", total=3_490))
    await ann.hears(order("501"))
    await ann.hears(charge("1", total=3_490, order_ids=("501",)))
    assert await ann.balances() == {"customer:2:available": 30}
    standings = await ann.rows("SELECT number, standing, merged_into FROM sales ORDER BY number")
    assert standings == [(1, "counted", None), (2, "merged", 1)]


async def test_a_suspected_twin_is_paid_once_by_shopify(ann: Shopkeeper) -> None:
    """Same address, amount and quarter of an hour: the award moves to the order, and both show the other."""
    await ann.hears(charge("1"))
    assert sum((await ann.balances()).values()) == 30
    await ann.hears(order("501"))
    # In the same transaction: no instant shows both.
    assert await ann.balances() == {"customer:2:available": 30}
    assert await ann.clock_strikes() == 0
    assert await ann.rows("SELECT number, standing, paired_with FROM sales ORDER BY number") == [
        (1, "elsewhere", 2),
        (2, "counted", 1),
    ]


@pytest.mark.parametrize(
    "unpaid", [{"financial_status": "pending"}, {"financial_status": "voided", "cancelled_at": NOON}]
)
async def test_an_order_nobody_paid_for_is_not_the_half_that_is_paid(ann: Shopkeeper, unpaid: dict[str, Any]) -> None:
    """The payment is the purchase until the order is paid; a purchase is awarded once, not never."""
    await ann.hears(charge("1"), order("501", **unpaid))
    assert sum((await ann.balances()).values()) == 30
    assert await ann.rows("SELECT paired_with FROM sales") == [(None,), (None,)]
    await ann.hears(order("501", updated_at=NOON + MINUTE))
    assert sum((await ann.balances()).values()) == 30
    assert await ann.rows("SELECT number, standing FROM sales ORDER BY number") == [(1, "elsewhere"), (2, "counted")]


async def test_an_order_that_was_paid_and_called_off_stays_the_purchase(ann: Shopkeeper) -> None:
    """Cancelling takes the award back; it does not hand it to the payment, whose refund may be told later."""
    await ann.hears(charge("1"), order("501"))
    await ann.hears(order("501", updated_at=NOON + MINUTE, cancelled_at=NOON + MINUTE, financial_status="refunded"))
    assert await ann.balances() == {}
    await ann.hears(charge("1", refunded_minor=3_000))
    await ann.clock_strikes()
    assert await ann.balances() == {}


async def test_an_unpaid_order_does_not_take_the_payment_of_a_paid_one(ann: Shopkeeper) -> None:
    """Of two like orders only the paid one can be what the payment was for, though the other is nearer."""
    await ann.hears(charge("1"), order("501", financial_status="pending"), order("502", processed_at=NOON + MINUTE))
    assert sum((await ann.balances()).values()) == 30
    assert await ann.rows("SELECT platform_id, paired_with FROM sales ORDER BY number") == [
        ("pi_1", 3),
        ("501", None),
        ("502", 1),
    ]


async def test_a_pair_is_left_alone_by_like_sales_of_another_day(ann: Shopkeeper) -> None:
    """A till's address sees the same amount again and again; only the sales around one are looked at."""
    for day in range(3):
        at = NOON + day * LIKE_REACH
        await ann.hears(charge(f"{day}", created_at=at), order(f"50{day}", processed_at=at + 14 * MINUTE))
    pairs = await ann.rows("SELECT number, paired_with FROM sales ORDER BY number")
    assert pairs == [(1, 2), (2, 1), (3, 4), (4, 3), (5, 6), (6, 5)]
    assert sum((await ann.balances()).values()) == 90


async def test_a_new_twin_that_frees_another_settles_all_of_them_at_once(ann: Shopkeeper) -> None:
    """A nearer payment takes the order; the one it was taken from earns for itself, in one transaction."""
    await ann.hears(charge("1", created_at=NOON + 10 * MINUTE))
    await ann.hears(order("501"))
    await ann.hears(charge("2", created_at=NOON + MINUTE))
    assert await ann.rows("SELECT platform_id, standing, paired_with FROM sales ORDER BY number") == [
        ("pi_1", "counted", None),
        ("501", "counted", 3),
        ("pi_2", "elsewhere", 2),
    ]
    assert sum((await ann.balances()).values()) == 60
    assert await ann.clock_strikes() == 0


async def test_like_purchases_far_apart_or_on_one_platform_both_earn(ann: Shopkeeper) -> None:
    """Suspicion needs two platforms and fifteen minutes."""
    await ann.hears(charge("1"), charge("2"), order("501", processed_at=NOON + 16 * MINUTE))
    assert sum((await ann.balances()).values()) == 90


async def test_twins_are_matched_one_to_one_by_nearest_time(ann: Shopkeeper) -> None:
    """Two orders and two payments of one kind make two pairs, not four."""
    await ann.hears(
        charge("1", created_at=NOON),
        charge("2", created_at=NOON + 10 * MINUTE),
        order("501", processed_at=NOON + MINUTE),
        order("502", processed_at=NOON + 9 * MINUTE),
    )
    await ann.clock_strikes()
    pairs = await ann.rows("SELECT platform_id, paired_with FROM sales ORDER BY number")
    assert pairs == [("pi_1", 3), ("pi_2", 4), ("501", 1), ("502", 2)]
    assert sum((await ann.balances()).values()) == 60


async def test_an_invoice_brings_session_and_payment_together_but_never_two_payments(ann: Shopkeeper) -> None:
    """A subscription's session names its invoice only; an invoice paid twice is two sales."""
    session = Session("cs_1", "USD", NOON, NOON, "paid", mode="subscription", invoice_id="in_1")
    await ann.hears(
        SessionSeen(session),
        charge("1", invoice_id="in_1"),
        InvoiceSeen(Invoice("in_1", "USD", NOON, payment_ids=("pi_2",))),
        charge("2", invoice_id="in_1"),
    )
    live = await ann.rows("SELECT platform_id FROM sales WHERE merged_into IS NULL ORDER BY number")
    assert live == [("pi_1",), ("pi_2",)]
    assert sum((await ann.balances()).values()) == 60


async def test_payment_intent_and_charge_are_one_sale_in_either_order(ann: Shopkeeper) -> None:
    """The later of the two tells nothing new about the money."""
    payment = Payment("pi_1", "USD", 3_000, 3_000, "succeeded", NOON, charge_id="ch_1")
    await ann.hears(PaymentSeen(payment))
    await ann.hears(charge("1"))
    await ann.hears(PaymentSeen(payment))
    assert sum((await ann.balances()).values()) == 30
    assert await ann.rows("SELECT COUNT(*) FROM sales WHERE merged_into IS NULL") == [(1,)]


async def test_a_guests_points_follow_to_the_account_opened_later(ann: Shopkeeper) -> None:
    """Bought as a guest on Stripe, registered in the shop afterwards."""
    await ann.hears(charge("1"))
    account = Buyer(platform_id="70", email="eve@x.example", customer_email="eve@x.example", email_verified=True)
    await ann.hears(CustomerSeen("shopify", account, NOON + HOUR))
    await ann.clock_strikes()
    assert await ann.balances() == {"customer:2:available": 30}


async def test_an_unverified_address_claims_nobodys_points(ann: Shopkeeper) -> None:
    """Anyone can type somebody else's address into a registration form."""
    await ann.hears(charge("1"))
    thief = Buyer(platform_id="70", email="eve@x.example", customer_email="eve@x.example", email_verified=False)
    await ann.hears(CustomerSeen("shopify", thief, NOON + HOUR))
    await ann.clock_strikes()
    assert await ann.balances() == {"customer:1:available": 30}


async def test_merged_customers_share_one_balance_and_late_events_find_it(ann: Shopkeeper) -> None:
    """An order told under the old id after the merge lands with the one who was kept."""
    gone = Buyer(platform_id="71", email="eve.old@x.example", customer_email="eve.old@x.example")
    await ann.hears(order("501"), order("502", buyer=gone))
    await ann.hears(CustomersMerged(kept_id="70", gone_id="71"))
    await ann.clock_strikes()
    assert await ann.balances() == {"customer:1:available": 60}
    await ann.hears(order("503", buyer=gone))
    assert await ann.balances() == {"customer:1:available": 90}


async def test_a_merge_told_before_anybody_bought_still_holds(ann: Shopkeeper) -> None:
    """Nothing needs to be known of either customer."""
    await ann.hears(CustomersMerged(kept_id="70", gone_id="71"))
    await ann.hears(order("501", buyer=Buyer(platform_id="71")))
    ((account,),) = await ann.rows("SELECT account FROM accounts WHERE account LIKE 'customer:%'")
    kept = await ann.rows("SELECT customer FROM customer_identities WHERE kind = 'shopify' AND value = '70'")
    assert account == f"customer:{kept[0][0]}:available"


async def test_an_order_without_anybody_is_unclaimed_until_its_buyer_is_known(ann: Shopkeeper) -> None:
    """A till sale gets its customer with a later picture of the order."""
    await ann.hears(order("501", buyer=Buyer()))
    assert await ann.balances() == {"unclaimed:available": 30}
    await ann.hears(order("501", updated_at=NOON + HOUR, buyer=Buyer(platform_id="70")))
    assert await ann.balances() == {"customer:1:available": 30}


async def test_entries_are_numbered_without_gaps_and_sum_to_zero(ann: Shopkeeper) -> None:
    """A deleted entry leaves a hole, and every entry is balanced by construction."""
    await ann.hears(order("501"), charge("9", total=700), order("501", updated_at=NOON + HOUR, cancelled_at=NOON))
    numbers = [row[0] for row in await ann.rows("SELECT number FROM ledger_entries ORDER BY number")]
    assert numbers == list(range(1, len(numbers) + 1))
    assert await ann.rows("SELECT SUM(micropoints) FROM accounts") == [(0,)]


async def test_a_sale_to_be_settled_at_once_does_not_wait_for_a_clock_that_was_set_back(ann: Shopkeeper) -> None:
    """Marked while the clock stood a day ahead; what is due later than that still waits."""
    await ann.hears(order("501"), order("502", total=41_00))
    assert await ann.clock_strikes() == 0
    for number, at in ((1, NOON + DAY), (2, NOON + DAY + HOUR)):
        await ann.database.run(
            lambda n=number, at=at: ask(plain("UPDATE sales SET settle_at = ?2 WHERE number = ?1"), (n, at))
        )
    assert await ann.clock_strikes(NOON + MINUTE) == 0
    settled = await ann.database.run(lambda: ann.resettle(100, NOON + MINUTE, 0, NOON + DAY))
    assert settled.sales == 1
    assert await ann.rows("SELECT number, settle_at FROM sales ORDER BY number") == [(1, None), (2, NOON + DAY + HOUR)]


async def test_of_two_words_that_a_shop_has_left_the_earlier_counts(database: Any) -> None:
    """Whichever comes first: what was sold between the two earns nothing."""
    ends = []
    for words in ((NOON, NOON + HOUR), (NOON + HOUR, NOON)):
        shop = await Shopkeeper(database, [PointsSettler()]).open()
        await shop.hears(order("501", processed_at=NOON + MINUTE))
        for told_at in words:
            await shop.hears(Uninstalled(told_at), at=NOON + DAY)
        await shop.clock_strikes(NOON + DAY)
        ends.append(await shop.balances())
        for table in ("merchants", "books", "connections", "program_versions", "sales", "accounts", "ledger_entries"):
            await database.run(lambda t=table: ask(plain(f"DELETE FROM {t}"), ()))
        for table in ("sale_identities", "customers", "customer_identities"):
            await database.run(lambda t=table: ask(plain(f"DELETE FROM {t}"), ()))
    assert ends == [{}, {}]
