"""Whatever somebody changes behind the books' back, the audit names it."""

from typing import Any

import pytest

from handlers.points.audit import MOST_SHOWN, Drift, Findings, audit_books
from handlers.points.seal import seal_all
from handlers.points.settle import PointsSettler
from integration.clock import DAY
from integration.database.steps import ask, plain
from integration.facts import Buyer
from tests.handlers.points.books import NOW, open_books, post
from tests.handlers.sales.test_settling import NOON, Shopkeeper, Stumbles, charge, order

ADA = [
    ("program:issued", "customer:1:pending", 30_000_000),
    ("program:issued", "customer:1:pending", 20_500_000),
    ("customer:1:pending", "customer:1:available", 30_000_000),
    ("program:issued", "customer:2:pending", 7_000_000),
]


async def findings_after(database: Any, merchant: int, *damage: str) -> Findings:
    for statement in damage:
        await database.run(lambda: ask(plain(statement), ()))  # noqa: B023
    return await database.read(lambda: audit_books(merchant, NOW))


def named(findings: Findings) -> list[Drift]:
    """What was found, beside the chain of all entries, which breaks with any change to them."""
    return [drift for drift in findings.drifts if drift.kind != "chain"]


def kinds(findings: Findings) -> set[str]:
    return {drift.kind for drift in named(findings)}


@pytest.fixture(params=[True, False], ids=["sealed", "unsealed"])
def sealed(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
async def hats(database: Any, sealed: bool) -> int:
    """A merchant with four entries, all or none of them sealed."""
    merchant = await open_books(database, "Hats")
    await post(database, merchant, ADA)
    if sealed:
        await seal_all(database, NOW)
    return merchant


async def test_books_nobody_touched_agree(database: Any, hats: int, sealed: bool) -> None:
    """An audit of honest books finds nothing, and says how much it looked at."""
    findings = await findings_after(database, hats)
    assert findings.drifts == []
    assert (findings.entries, findings.accounts, findings.sealed) == (4, 4, 4 if sealed else 0)


async def test_a_changed_balance_is_found(database: Any, hats: int) -> None:
    """A balance is what its entries make, nothing else."""
    damage = "UPDATE accounts SET micropoints = micropoints + 1 WHERE account = 'customer:2:pending'"
    findings = await findings_after(database, hats, damage)
    assert kinds(findings) == {"balance", "sum"}
    assert findings.drifts[0].where == "customer:2:pending"


async def test_two_balances_changed_against_each_other_are_found(database: Any, hats: int) -> None:
    """That the sum is still zero does not hide it."""
    findings = await findings_after(
        database,
        hats,
        "UPDATE accounts SET micropoints = micropoints + 1 WHERE account = 'customer:1:pending'",
        "UPDATE accounts SET micropoints = micropoints - 1 WHERE account = 'customer:2:pending'",
    )
    assert [d.where for d in named(findings)] == ["customer:1:pending", "customer:2:pending"]


async def test_a_deleted_balance_is_found(database: Any, hats: int) -> None:
    """An account with entries and no balance is as wrong as a wrong balance."""
    findings = await findings_after(database, hats, "DELETE FROM accounts WHERE account = 'customer:2:pending'")
    assert kinds(findings) == {"balance", "sum"}


async def test_a_changed_amount_is_found(database: Any, hats: int, sealed: bool) -> None:
    """The seal shows it, and without one the balance does."""
    damage = "UPDATE ledger_entries SET micropoints = 40000000 WHERE number = 1"
    assert kinds(await findings_after(database, hats, damage)) == {"balance", *(["seal"] if sealed else [])}


async def test_a_changed_amount_with_balances_to_match_is_found(database: Any) -> None:
    """Once sealed, an entry cannot be changed even by who keeps the balances straight."""
    hats = await open_books(database, "Hats")
    await post(database, hats, ADA)
    await seal_all(database, NOW)
    findings = await findings_after(
        database,
        hats,
        "UPDATE ledger_entries SET micropoints = 8000000 WHERE number = 4",
        "UPDATE accounts SET micropoints = micropoints + 1000000 WHERE account = 'customer:2:pending'",
        "UPDATE accounts SET micropoints = micropoints - 1000000 WHERE account = 'program:issued'",
    )
    assert kinds(findings) == {"seal"}


@pytest.mark.parametrize(
    "change",
    [
        "reason = 'gift'",
        "at = at + 1",
        "detail = 'x'",
        "key = 'adjust:other'",
        "destination = 'customer:9:pending'",
    ],
)
async def test_any_changed_column_breaks_the_seal(database: Any, change: str) -> None:
    """Every column of an entry is under the digest."""
    hats = await open_books(database, "Hats")
    await post(database, hats, ADA)
    await seal_all(database, NOW)
    findings = await findings_after(database, hats, f"UPDATE ledger_entries SET {change} WHERE number = 4")
    assert "seal" in kinds(findings)


@pytest.mark.parametrize("change", ["at = at + 1", "detail = 'x'", "reason = 'gift'", "key = 'adjust:other'"])
async def test_any_changed_column_is_found_before_anything_is_sealed(database: Any, change: str) -> None:
    """The chain of entries is kept with every posting, so there is no tail that nothing guards."""
    hats = await open_books(database, "Hats")
    await post(database, hats, ADA)
    findings = await findings_after(database, hats, f"UPDATE ledger_entries SET {change} WHERE number = 4")
    assert "chain" in {drift.kind for drift in findings.drifts}


async def test_an_adjustment_slipped_in_with_everything_to_match_is_found(database: Any) -> None:
    """Counter and balances can be forged beside an entry; the chain cannot without the code."""
    hats = await open_books(database, "Hats")
    await post(database, hats, ADA)
    findings = await findings_after(
        database,
        hats,
        "INSERT INTO ledger_entries (merchant_id, number, key, source, destination, micropoints, reason, at)"
        f" VALUES ({hats}, 5, 'adjust:5', 'program:issued', 'customer:1:available', 1000000, 'adjustment', {NOW})",
        "UPDATE books SET next_entry = 6",
        "UPDATE accounts SET micropoints = micropoints + 1000000 WHERE account = 'customer:1:available'",
        "UPDATE accounts SET micropoints = micropoints - 1000000 WHERE account = 'program:issued'",
    )
    assert [drift.kind for drift in findings.drifts] == ["chain"]


@pytest.mark.parametrize("number", [1, 2, 4])
async def test_a_deleted_entry_is_found(database: Any, hats: int, sealed: bool, number: int) -> None:
    """The first, one in between and the newest: each leaves a hole."""
    findings = await findings_after(database, hats, f"DELETE FROM ledger_entries WHERE number = {number}")
    assert kinds(findings) == {"gap", "balance", *(["seal"] if sealed else [])}


async def test_a_deleted_tail_with_balances_to_match_is_found(database: Any, hats: int) -> None:
    """The counter of numbers given out remembers the newest entry even unsealed."""
    findings = await findings_after(
        database,
        hats,
        "DELETE FROM ledger_entries WHERE number = 4",
        "DELETE FROM accounts WHERE account = 'customer:2:pending'",
        "UPDATE accounts SET micropoints = micropoints + 7000000 WHERE account = 'program:issued'",
    )
    assert "gap" in kinds(findings)


INSERTED = (
    "INSERT INTO ledger_entries"
    " (merchant_id, number, key, sale, source, destination, micropoints, reason, at)"
    " SELECT merchant_id, {number}, '{key}', {sale}, 'program:issued', 'customer:2:pending', 5, 'accrual', 0"
    " FROM books"
)
TO_MATCH = (
    "UPDATE accounts SET micropoints = micropoints + 5 WHERE account = 'customer:2:pending'",
    "UPDATE accounts SET micropoints = micropoints - 5 WHERE account = 'program:issued'",
)


@pytest.mark.parametrize("number", [5, 99, 0, -3])
async def test_an_inserted_entry_is_found_by_its_number(database: Any, hats: int, number: int) -> None:
    """Only the counter gives out numbers, so one it never gave out is foreign, balances to match or not."""
    damage = INSERTED.format(number=number, key="adjust:gift", sale="NULL")
    findings = await findings_after(database, hats, damage, *TO_MATCH)
    assert "number" in kinds(findings)


@pytest.mark.parametrize(
    ("key", "sale"), [("gift", "NULL"), ("sale:7:0", "8"), ("adjust:1000", "3"), ("sale:07:0", "7")]
)
async def test_an_inserted_entry_is_found_by_its_name(database: Any, hats: int, key: str, sale: str) -> None:
    """Who moves the counter too still has to name a cause, and key and sale have to agree."""
    findings = await findings_after(
        database,
        hats,
        INSERTED.format(number=5, key=key, sale=sale),
        "UPDATE books SET next_entry = 6",
        *TO_MATCH,
    )
    assert "key" in kinds(findings)


async def test_a_deleted_or_changed_seal_is_found(database: Any) -> None:
    """The chain holds the seals themselves."""
    hats = await open_books(database, "Hats")
    for posting in ADA:
        await post(database, hats, [posting])
        await seal_all(database, NOW)
    damaged = await findings_after(database, hats, "DELETE FROM ledger_seals WHERE last_entry = 2")
    assert [(d.kind, d.where) for d in damaged.drifts] == [("seal", "entries 2–3")]
    damaged = await findings_after(database, hats, "UPDATE ledger_seals SET micropoints = 1 WHERE last_entry = 4")
    assert ("seal", "entries 4–4") in [(d.kind, d.where) for d in damaged.drifts]


async def test_one_merchants_damage_is_not_anothers(database: Any, hats: int) -> None:
    """Each merchant's books are checked alone."""
    caps = await open_books(database, "Caps")
    await post(database, caps, ADA)
    await findings_after(database, hats, f"UPDATE accounts SET micropoints = 0 WHERE merchant_id = {hats}")
    assert (await database.read(lambda: audit_books(caps, NOW))).drifts == []


async def test_much_damage_is_counted_not_listed(database: Any) -> None:
    """The report stays readable, and memory bounded, whatever happened."""
    hats = await open_books(database, "Hats")
    many = MOST_SHOWN + 50
    await post(database, hats, [("program:issued", f"customer:{n}:pending", 1) for n in range(many)])
    damage = "UPDATE accounts SET micropoints = 2 WHERE account <> 'program:issued'"
    findings = await findings_after(database, hats, damage)
    assert (len(findings.drifts), findings.unnamed) == (MOST_SHOWN, 51)


# --- Sales --------------------------------------------------------------------------------------


@pytest.fixture
async def ann(database: Any) -> Shopkeeper:
    """Ann's shop, where Eve bought for thirty dollars, a point each, and Bob for twenty."""
    ann = await Shopkeeper(database, [PointsSettler()]).open()
    await ann.hears(order("501"), order("502", total=2_000, buyer=Buyer(platform_id="71")))
    return ann


async def audited(ann: Shopkeeper, *damage: str, at: int = NOON) -> Findings:
    for statement in damage:
        await ann.database.run(lambda: ask(plain(statement), ()))  # noqa: B023
    return await ann.database.read(lambda: audit_books(1, at))


def posted_more(key: str, sale: str, amount: int = 5_000_000) -> tuple[str, ...]:
    """One more entry, with the counter and the balances to match."""
    return (
        "INSERT INTO ledger_entries"
        " (merchant_id, number, key, sale, source, destination, micropoints, reason, at)"
        f" SELECT 1, next_entry, '{key}', {sale}, 'program:issued', 'customer:1:available', {amount},"
        " 'accrual', 0 FROM books",
        "UPDATE books SET next_entry = next_entry + 1",
        f"UPDATE accounts SET micropoints = micropoints + {amount} WHERE account = 'customer:1:available'",
        f"UPDATE accounts SET micropoints = micropoints - {amount} WHERE account = 'program:issued'",
    )


async def test_settled_sales_are_at_their_targets(ann: Shopkeeper) -> None:
    """An honest shop has no drift, and the audit says how many sales it valued."""
    findings = await audited(ann)
    assert (findings.drifts, findings.sales, findings.behind) == ([], 2, 0)


async def test_an_entry_that_gives_a_sale_too_much_is_found(ann: Shopkeeper) -> None:
    """However well it is inserted, the sale is not worth it."""
    findings = await audited(ann, *posted_more("sale:1:1", "1"))
    assert [(d.kind, d.where) for d in named(findings)] == [("sale", "sale 1")]
    assert "35000000 micropoints" in named(findings)[0].words


async def test_a_posting_out_of_its_order_is_found(ann: Shopkeeper) -> None:
    """A sale's postings are numbered as they are made."""
    findings = await audited(ann, "UPDATE ledger_entries SET key = 'sale:1:4' WHERE key = 'sale:1:0'")
    assert [(d.kind, d.where) for d in named(findings)] == [("key", "entry 1")]


async def test_a_changed_reason_is_found_before_it_is_sealed(ann: Shopkeeper) -> None:
    """The accounts an entry moves between say what it must be called."""
    findings = await audited(ann, "UPDATE ledger_entries SET reason = 'gift' WHERE number = 1")
    assert [(d.kind, d.where) for d in named(findings)] == [("reason", "entry 1")]


async def test_an_entry_for_a_sale_that_does_not_exist_is_found(ann: Shopkeeper) -> None:
    """A deleted sale shows in the same way."""
    findings = await audited(ann, *posted_more("sale:99:0", "99"))
    assert [(d.kind, d.where) for d in named(findings)] == [("sale", "sale 99")]
    findings = await audited(ann, "DELETE FROM sales WHERE number = 2")
    assert ("sale", "sale 2") in [(d.kind, d.where) for d in named(findings)]


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE sales SET customer = 2 WHERE number = 1",
        "UPDATE sales SET facts = replace(facts, '\"paid\"', '\"voided\"') WHERE number = 1",
        "UPDATE sales SET merged_into = 2 WHERE number = 1",
        "UPDATE ledger_entries SET sale = 2, key = 'sale:2:1' WHERE number = 1",
    ],
)
async def test_a_sale_that_is_not_at_its_target_is_found(ann: Shopkeeper, damage: str) -> None:
    """Changed facts, another customer, a forged merge, an entry moved to another sale."""
    assert "sale" in kinds(await audited(ann, damage))


async def test_a_sale_the_clock_has_not_come_to_yet_is_behind_not_wrong(database: Any) -> None:
    """Between the end of a hold and the sweep the old standing is right; what is not so is still found."""
    ann = await Shopkeeper(database, [PointsSettler()]).open()
    hold = "UPDATE program_versions SET document = replace(document, '\"hold_days\":0', '\"hold_days\":3')"
    await ann.database.run(lambda: ask(plain(hold), ()))
    await ann.hears(order("501"))
    findings = await audited(ann, at=NOON + 3 * DAY)
    assert (findings.drifts, findings.behind) == ([], 1)
    await ann.clock_strikes(NOON + 3 * DAY)
    findings = await audited(ann, at=NOON + 3 * DAY)
    assert (findings.drifts, findings.behind) == ([], 0)
    assert kinds(await audited(ann, "UPDATE ledger_entries SET micropoints = 1", at=NOON)) == {"balance", "sale"}


async def test_a_sale_whose_settling_failed_is_behind_until_it_is_given_up(database: Any) -> None:
    """As long as it is retried the books are only late."""
    points = PointsSettler()
    stumbles = Stumbles(number=1)
    stumbles.name = points.name
    ann = await Shopkeeper(database, [stumbles]).open()
    await ann.hears(order("501"))
    findings = await audited(ann)
    assert (findings.drifts, findings.behind) == ([], 1)
    given_up = await audited(ann, "UPDATE settlements SET retry_at = NULL")
    assert [(d.kind, d.where) for d in given_up.drifts] == [("sale", "sale 1")]


async def test_sales_that_became_one_are_audited_as_one(ann: Shopkeeper) -> None:
    """The postings of both count together, under whichever number they were made."""
    await ann.hears(charge("9"), charge("8", buyer=Buyer(email="bob@x.example")))
    await ann.hears(order("503", payment_ids=("pi_9",)), order("504", payment_ids=("pi_8",)))
    findings = await audited(ann)
    assert findings.drifts == []


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE connections SET closed_at = 1 WHERE platform = 'shopify'",
        "INSERT INTO program_versions (merchant_id, version, in_force_at, created_at, document)"
        ' SELECT 1, 2, 1, 1, replace(document, \'"points_per_unit":"1"\','
        ' \'"points_per_unit":"2"\') FROM program_versions',
    ],
)
async def test_what_changed_around_a_sale_leaves_it_behind_until_the_sweep(ann: Shopkeeper, change: str) -> None:
    """The shop left before it was sold, or its programme changed: once the sweep is to come, late and not wrong."""
    assert kinds(await audited(ann, change)) == {"sale"}
    findings = await audited(ann, f"UPDATE sales SET settle_at = {NOON}")
    assert (findings.drifts, findings.behind) == ([], 2)
    await ann.clock_strikes()
    findings = await audited(ann)
    assert (findings.drifts, findings.behind) == ([], 0)


async def test_a_payment_whose_twin_was_parted_from_it_is_behind_until_the_sweep(ann: Shopkeeper) -> None:
    """It was worth nothing as the other half of a pair."""
    await ann.hears(charge("9"))
    parted = f"UPDATE sales SET paired_with = NULL, settle_at = {NOON} WHERE standing = 'elsewhere'"
    findings = await audited(ann, parted)
    assert (findings.drifts, findings.behind) == ([], 1)


async def test_drift_in_a_sale_that_is_due_is_found_all_the_same(ann: Shopkeeper) -> None:
    """That the sweep will come by excuses only what the sweep is coming for."""
    findings = await audited(ann, *posted_more("sale:1:1", "1"), f"UPDATE sales SET settle_at = {NOON}")
    assert [(d.kind, d.where) for d in named(findings)] == [("sale", "sale 1")]
