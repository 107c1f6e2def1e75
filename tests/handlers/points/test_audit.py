"""Whatever somebody changes behind the books' back, the audit names it."""

from typing import Any

import pytest

from handlers.points.audit import MOST_SHOWN, Findings, audit_books
from handlers.points.seal import seal_all
from integration.database.steps import ask, plain
from tests.handlers.points.books import NOW, open_books, post

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


def kinds(findings: Findings) -> set[str]:
    return {drift.kind for drift in findings.drifts}


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
    assert [d.where for d in findings.drifts] == ["customer:1:pending", "customer:2:pending"]


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
