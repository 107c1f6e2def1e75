"""What a customer is shown adds up to what they have, and says how it came about."""

from typing import Any

import pytest

from handlers.merchants.rules import Refused
from handlers.points.adjust import adjust, forgive
from handlers.points.audit import audit_books
from handlers.points.settle import PointsSettler
from handlers.points.statement import customers_after, find_customer, statement
from integration.clock import DAY
from integration.facts import Buyer, CustomersMerged, DisputeSeen
from integration.facts import Dispute as DisputeFact
from tests.handlers.sales.test_settling import NOON, Shopkeeper, charge, order

SHOP = 1
EVE = Buyer(platform_id="70", email="eve@x.example", customer_email="eve@x.example", first_name="Eve")


@pytest.fixture
async def ann(database: Any) -> Shopkeeper:
    """Ann's shop: a point a dollar, no hold."""
    return await Shopkeeper(database, [PointsSettler()]).open()


async def shown(ann: Shopkeeper, name: str = "eve@x.example", at: int = NOON) -> dict[str, Any]:
    number = await ann.database.read(lambda: find_customer(SHOP, name))
    account: dict[str, Any] = await ann.database.read(lambda: statement(SHOP, number, at))
    findings = await ann.database.read(lambda: audit_books(SHOP, at))
    assert findings.drifts == []
    return account


async def test_an_account_shows_the_sale_the_entry_and_the_balance(ann: Shopkeeper) -> None:
    """One order of thirty dollars is thirty points, everywhere it is shown."""
    await ann.hears(order("501", buyer=EVE, name="#1001"))
    account = await shown(ann)
    assert account["points"] == {"available": 30, "pending": 0, "held": 0, "lifetime": 30}
    assert account["tier"] is None
    assert account["customer"]["first_name"] == "Eve"
    assert account["customer"]["known_as"] == ["email:eve@x.example", "shopify:70"]
    (entry,) = account["entries"]
    assert (entry["points"], entry["reason"], entry["sale"], entry["key"]) == (30, "accrual", 1, "sale:1:0")
    assert (entry["from"], entry["to"]) == ("program:issued", "customer:1:available")
    (sale,) = account["sales"]
    assert (sale["number"], sale["name"], sale["total"], sale["currency"]) == (1, "#1001", "30.00", "USD")
    assert (sale["eligible"], sale["program_version"], sale["points"]) == ("30.00", 1, {"available": 30})
    assert "shopify:order:501" in sale["ids"]
    assert sale["sold_at"].startswith("2026-")
    assert any("30.00 USD × 1 point = 30 points" in sentence for sentence in sale["why"])


async def test_fractions_add_up_before_they_are_rounded_down(ann: Shopkeeper) -> None:
    """30.50 and 19.50 make 50, and the entries shown add up to it."""
    await ann.hears(order("501", total=3_050))
    await ann.hears(order("502", total=1_950))
    account = await shown(ann)
    assert account["points"]["available"] == 50
    assert [entry["points"] for entry in account["entries"]] == [30, 20]
    assert [sale["points"]["available"] for sale in account["sales"]] == [30.5, 19.5]


async def test_entries_add_up_to_the_balance_after_a_cancellation(ann: Shopkeeper) -> None:
    """What was given and taken back is shown as both, and lifetime is net of it."""
    await ann.hears(order("501", total=3_050), order("502", total=1_975))
    await ann.hears(order("501", total=3_050, updated_at=NOON + 1, cancelled_at=NOON, triggered_at=1))
    account = await shown(ann)
    assert account["points"] == {"available": 19, "pending": 0, "held": 0, "lifetime": 19}
    assert sum(entry["points"] for entry in account["entries"]) == 19
    assert account["entries"][-1]["reason"] == "reversal"


async def test_disputed_points_are_held(ann: Shopkeeper) -> None:
    """They are neither available nor lost, and count as earned so far."""
    await ann.hears(charge("9"))
    dispute = DisputeFact("dp_1", 3_000, "USD", "needs_response", NOON, charge_id="ch_9", payment_id="pi_9")
    await ann.hears(DisputeSeen(dispute))
    assert (await shown(ann))["points"] == {"available": 0, "pending": 0, "held": 30, "lifetime": 30}


async def test_tests_stand_apart_from_real_points(ann: Shopkeeper) -> None:
    """A test order shows its points where nobody takes them for real."""
    await ann.hears(order("501", test=True))
    account = await shown(ann)
    assert account["points"] == {"available": 0, "pending": 0, "held": 0, "lifetime": 0}
    assert account["entries"] == []
    assert account["test"]["points"]["available"] == 30
    assert [entry["points"] for entry in account["test"]["entries"]] == [30]
    assert account["sales"][0]["test"] is True
    ((_, line),) = await ann.database.read(lambda: customers_after(SHOP, 0, 10))
    assert (line["points"]["available"], line["sales"]) == (0, 0)


@pytest.mark.parametrize("name", ["eve@x.example", " EVE@X.example ", "shopify:70", "stripe:cus_7"])
async def test_a_customer_is_found_by_any_of_their_names(ann: Shopkeeper, name: str) -> None:
    """Address, Shopify id and Stripe id lead to one person."""
    await ann.hears(order("501", buyer=EVE))
    await ann.hears(charge("9", buyer=Buyer(platform_id="cus_7", email="eve@x.example")))
    assert (await shown(ann, name))["customer"]["number"] == 1


async def test_an_unknown_customer_is_one_sentence(ann: Shopkeeper) -> None:
    """Nobody is made up."""
    with pytest.raises(Refused, match=r"No customer goes by bob@x\.example"):
        await shown(ann, "bob@x.example")


async def test_a_merged_customer_is_one_account(ann: Shopkeeper) -> None:
    """After a merge in the shop both names lead to all of the points and both sales."""
    await ann.hears(order("501", buyer=EVE))
    await ann.hears(order("502", buyer=Buyer(platform_id="71", email="e@x.example", customer_email="e@x.example")))
    await ann.hears(CustomersMerged(kept_id="70", gone_id="71"))
    await ann.clock_strikes()
    one, other = await shown(ann), await shown(ann, "e@x.example")
    assert one == other
    assert one["points"]["available"] == 60
    assert sum(entry["points"] for entry in one["entries"]) == 60
    assert [sale["number"] for sale in one["sales"]] == [1, 2]
    people = await ann.database.read(lambda: customers_after(SHOP, 0, 10))
    assert [(line["points"]["available"], line["sales"]) for _, line in people] == [(60, 2)]


async def test_customers_are_listed_page_by_page(ann: Shopkeeper) -> None:
    """Each once, with what they have and how often they bought."""
    for n in range(5):
        await ann.hears(order(f"50{n}", buyer=Buyer(email=f"guest{n}@x.example")))
    first = await ann.database.read(lambda: customers_after(SHOP, 0, 3))
    rest = await ann.database.read(lambda: customers_after(SHOP, first[-1][0], 3))
    assert [line["email"] for _, line in (*first, *rest)] == [f"guest{n}@x.example" for n in range(5)]
    assert {(line["points"]["available"], line["sales"]) for _, line in (*first, *rest)} == {(30, 1)}


# --- By the merchant's hand ---------------------------------------------------------------------


async def by_hand(ann: Shopkeeper, points: int, key: str | None = None, words: str = "a gift") -> int:
    balance = await ann.database.run(lambda: adjust(SHOP, 1, points, words, key, NOON))
    return int(balance["available"])


async def test_points_given_by_hand_are_an_entry_with_its_reason(ann: Shopkeeper) -> None:
    """They count as earned, and the account says why they are there."""
    await ann.hears(order("501"))
    assert await by_hand(ann, 12, words="late  parcel") == 42
    account = await shown(ann)
    assert account["points"]["lifetime"] == 42
    assert (account["entries"][-1]["points"], account["entries"][-1]["detail"]) == (12, "late parcel")


async def test_the_same_key_gives_once(ann: Shopkeeper) -> None:
    """A command repeated after a lost answer is harmless; another meaning under the key is refused."""
    await ann.hears(order("501"))
    assert [await by_hand(ann, 12, "parcel-9"), await by_hand(ann, 12, "parcel-9")] == [42, 42]
    with pytest.raises(Refused, match="another adjustment"):
        await by_hand(ann, 13, "parcel-9")


async def test_an_adjustment_never_takes_more_than_there_is(ann: Shopkeeper) -> None:
    """Only settling a sale may lead below zero."""
    await ann.hears(order("501"))
    with pytest.raises(Refused, match="Only 30 points"):
        await by_hand(ann, -31)
    assert await by_hand(ann, -30) == 0


@pytest.mark.parametrize(
    ("points", "words", "key"), [(0, "x", None), (10**10, "x", None), (1, " ", None), (1, "x", "a b")]
)
async def test_an_adjustment_says_how_much_and_why(ann: Shopkeeper, points: int, words: str, key: str | None) -> None:
    """Without either it is refused."""
    await ann.hears(order("501"))
    with pytest.raises(Refused):
        await by_hand(ann, points, key, words)


async def test_a_debt_is_shown_and_can_be_forgiven(ann: Shopkeeper) -> None:
    """Points taken away and then reversed leave a debt; forgiving it brings the balance to nothing, once."""
    await ann.hears(order("501"))
    await by_hand(ann, -20)
    await ann.hears(order("501", updated_at=NOON + 1, cancelled_at=NOON, triggered_at=1))
    assert (await shown(ann))["points"]["available"] == -20
    assert (await ann.database.run(lambda: forgive(SHOP, 1, NOON)))["available"] == 0
    with pytest.raises(Refused, match="owes no points"):
        await ann.database.run(lambda: forgive(SHOP, 1, NOON))
    assert (await shown(ann))["points"] == {"available": 0, "pending": 0, "held": 0, "lifetime": 0}


async def test_a_gift_moves_along_when_customers_merge(ann: Shopkeeper) -> None:
    """What hangs on no sale is not left behind under the old number."""
    gone = Buyer(platform_id="71", email="e@x.example", customer_email="e@x.example")
    await ann.hears(order("501", buyer=gone))
    await by_hand(ann, 12)
    await ann.hears(order("502", buyer=EVE))
    await ann.hears(CustomersMerged(kept_id="70", gone_id="71"))
    await ann.clock_strikes()
    account = await shown(ann, at=NOON + DAY)
    assert account["points"]["available"] == 72
    assert sum(entry["points"] for entry in account["entries"]) == 72
