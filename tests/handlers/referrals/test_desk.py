"""The merchant's page of friends: who waits, what is said of them, and who said so."""

from typing import Any

import pytest

from handlers.referrals import desk
from tests.visits import NORA, OTTO, House, Visitor


@pytest.fixture
async def house(database: Any) -> House:
    """Nora's shop, where Elsa brought two friends, one of whom waits for Nora; Otto's, where one waits for him."""
    house = await House(database).open()
    for merchant, sale, state, why in (
        (NORA, 1, "given", ""),
        (NORA, 2, "held", "household"),
        (OTTO, 3, "held", "many"),
    ):
        await house.does(
            "INSERT INTO referrals (merchant_id, sale, referrer, friend, state, why, at)"
            " VALUES (?1, ?2, 1, ?3, ?4, ?5, 0)",
            merchant, sale, 10 + sale, state, why,
        )  # fmt: skip
    return house


@pytest.fixture
async def nora(house: House) -> Visitor:
    """Nora, signed in."""
    return await house.signed_in(NORA)


async def test_home_says_who_waits_and_leads_there(nora: Visitor) -> None:
    """One of hers; the other is Otto's."""
    home = (await nora.get("/app")).text
    assert "1 friend waits for your decision" in home and "/app/friends?waiting=1" in home
    waiting = (await nora.get("/app/friends?waiting=1")).text
    assert "customer 12" in waiting and "customer 11" not in waiting and "customer 13" not in waiting
    everybody = (await nora.get("/app/friends")).text
    assert "customer 12" in everybody and "customer 11" in everybody and "customer 13" not in everybody


async def test_what_nora_says_is_kept_with_her_name(house: House, nora: Visitor) -> None:
    """It is looked at by the next clock; who looked at the page is noted, too."""
    page = await nora.get("/app/friends/2")
    assert "same telephone" in page.text and "Let this friend count" in page.text
    assert (await nora.post("/app/friends/2", {"do": "allow"})).status_code == 303
    kept = await house.rows(
        "SELECT decision, due_at IS NOT NULL FROM referrals WHERE merchant_id = ?1 AND sale = 2", NORA
    )
    assert [tuple(map(str, row)) for row in kept] in ([("allowed", "1")], [("allowed", "True")])
    said = await house.rows("SELECT who, did FROM journal WHERE merchant_id = ?1 AND about LIKE 'customer:%'", NORA)
    assert [tuple(row) for row in said] == [("link:nora", "let a friend count")]


async def test_what_cannot_be_said_any_more_changes_nothing(house: House, nora: Visitor) -> None:
    """A friend who came back, and nothing chosen."""
    await house.does("UPDATE referrals SET state = 'returned' WHERE sale = 2")
    for fields in ({"do": "allow"}, {}):
        answer = await nora.post("/app/friends/2", fields)
        assert answer.status_code == 303
    assert await house.rows("SELECT 1 FROM referrals WHERE decision <> ''") == []
    for sought in ("%C2%B2", "99", "3"):
        assert (await nora.get(f"/app/friends/{sought}")).status_code == 404


async def test_pages_follow_one_another(house: House, nora: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest first, and no friend on two of them."""
    monkeypatch.setattr(desk, "PAGE", 1)
    first = (await nora.get("/app/friends")).text
    assert "customer 12" in first and "customer 11" not in first and "?before=2" in first
    second = (await nora.get("/app/friends?before=2")).text
    assert "customer 11" in second and "customer 12" not in second


async def test_a_code_that_cannot_be_made_is_told(house: House, nora: Visitor) -> None:
    """With what the platform said, for as long as it is news."""
    await house.does(
        "INSERT INTO referral_codes (merchant_id, code, link, customer, asker, state, kind, terms, value_minor,"
        " currency, created_at, expires_at, reason, next_at)"
        " VALUES (?1, 'C', 'L', 1, '', 'asked', 'amount_off', '{}', 1, 'EUR', ?2, ?2, 'It is not connected.', ?2)",
        NORA, house.clock.now(),
    )  # fmt: skip
    page = (await nora.get("/app/friends")).text
    assert "A friend waits for a code" in page and "It is not connected." in page
