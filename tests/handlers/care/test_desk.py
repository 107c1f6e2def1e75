"""What is done for a customer by hand is shown first, done once however often it is sent, told, and written down."""

import asyncio
import re
from typing import Any

import httpx
import pytest

from handlers.merchants.programs import change_program
from handlers.messages.sending import send_due
from handlers.points.audit import audit_books
from integration.clock import DAY, HOUR
from tests.visits import NORA, House, Visitor

ELSA = "/app/customers/1"
KEY = re.compile(r'name="key" value="([a-z0-9]+)"')


@pytest.fixture
async def house(database: Any) -> House:
    """Nora's shop, whose mail goes out at any hour, and Elsa."""
    house = await House(database).open()
    await house.does(
        "INSERT INTO customers (merchant_id, number, first_name, last_name, email, locale, country, created_at)"
        " VALUES (1, 1, 'Elsa', 'Berg', 'elsa@home.example', 'de', 'FR', 5)"
    )
    await house.does("INSERT INTO customer_identities VALUES (1, 'email', 'elsa@home.example', 1)")
    await house.does(
        "UPDATE program_versions SET document = ?1 WHERE merchant_id = 1",
        '{"messages":{"window":"always"}}',
    )
    return house


@pytest.fixture
async def nora(house: House) -> Visitor:
    """Nora, signed in."""
    return await house.signed_in()


async def available(house: House) -> int:
    rows = await house.rows(
        "SELECT micropoints FROM accounts WHERE merchant_id = 1 AND account = 'customer:1:available'"
    )
    return int(rows[0][0]) // 1_000_000 if rows else 0


async def journal(house: House) -> list[tuple[Any, ...]]:
    rows = await house.rows(
        "SELECT who, did, about, detail FROM journal WHERE merchant_id = 1 AND about LIKE 'customer%'"
    )
    return [tuple(row) for row in rows]


async def drifts(house: House) -> list[Any]:
    return (await house.database.read(lambda: audit_books(NORA, house.clock.now()))).drifts


async def confirmed(nora: Visitor, path: str, **query: str) -> tuple[httpx.Response, dict[str, str]]:
    """Open a confirm step; return it and what its form would send."""
    page = await nora.get(f"{path}?{httpx.QueryParams(query)}")
    key = KEY.search(page.text)
    assert key is not None, page.text
    return page, {**query, "key": key[1]}


async def test_points_are_given_after_the_letter_was_seen_and_once_however_often_it_is_sent(
    house: House, nora: Visitor
) -> None:
    """In the reader's language, with the reason as written; the letter tells what they have when it goes out."""
    page, form = await confirmed(nora, f"{ELSA}/adjust", points="50", reason="Danke für die Geduld")
    assert "Give Elsa Berg 50 points?" in page.text and "elsa@home.example" in page.text
    assert "Guten Tag Elsa," in page.text and "Der Grund: Danke für die Geduld" in page.text
    assert "Ihr Punktestand beträgt jetzt 50 Punkte" in page.text
    assert await available(house) == 0
    answers = [await nora.post(f"{ELSA}/adjust", form) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [303] * 3
    assert await available(house) == 50
    assert await journal(house) == [("link:nora", "changed points by hand", "customer:1", '{"points": 50}')]
    assert await send_due(house.context) == 1
    (mail,) = house.mail.mailbox
    body = mail.get_body(("plain",))
    assert body is not None
    assert "Nora's Tea hat Ihre Punkte geändert: +50." in body.get_content()
    assert "50 points given by hand" in (await nora.get(ELSA)).text
    assert await drifts(house) == []


async def test_a_present_is_given_within_the_programmes_limits(house: House, nora: Visitor) -> None:
    """It is told like any change, written down as a present, and no year has more of them than was allowed."""
    limits = {"ways.goodwill_at_once": "60", "ways.goodwill_a_year": "100"}
    await house.context.database.run(lambda: change_program(1, limits, house.clock.now()))
    page, form = await confirmed(nora, f"{ELSA}/adjust", points="60", reason="For the wait", present="on")
    assert 'name="present" value="on"' in page.text
    answers = [await nora.post(f"{ELSA}/adjust", form) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [303, 303]
    given = await house.rows("SELECT micropoints FROM ledger_entries WHERE reason = 'goodwill'")
    assert given == [(60_000_000,)]
    assert ("gave points as a present",) in await house.rows("SELECT did FROM journal")
    _, more = await confirmed(nora, f"{ELSA}/adjust", points="50", reason="And again", present="on")
    refused = await nora.post(f"{ELSA}/adjust", more)
    assert refused.status_code == 422
    assert "40 more points" in refused.text and "And again" in refused.text
    for points, why in (("61", "60 points at most"), ("-5", "leave the box below empty")):
        query = httpx.QueryParams({"points": points, "reason": "No", "present": "on"})
        page = await nora.get(f"{ELSA}/adjust?{query}")
        assert page.status_code == 422 and why in page.text


async def test_two_clicks_at_once_are_one_adjustment(house: House, nora: Visitor) -> None:
    """The second waits for the first and finds it done."""
    _, form = await confirmed(nora, f"{ELSA}/adjust", points="50", reason="Sorry")
    answers = await asyncio.gather(*(nora.post(f"{ELSA}/adjust", form) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {303}
    assert (await available(house), len(await journal(house))) == (50, 1)
    assert await house.rows("SELECT count(*) FROM messages") == [(1,)]


NONSENSE = [
    ("", "", "Say how many points"),
    ("x", "why", "Write a whole number"),
    ("1.5", "why", "Write a whole number"),
    ("0", "why", "Zero changes nothing"),
    ("9999999999", "why", "At most 1,000,000 points"),
    ("-1", "why", "has no points to spend"),
    ("50", " ", "Give a reason"),
    ("50", "r" * 400, "Make it shorter"),
]


async def test_what_makes_no_sense_is_said_beside_the_field_and_kept(house: House, nora: Visitor) -> None:
    """Before anything is done, and by a form sent straight as well."""
    for points, reason, said in NONSENSE:
        page = await nora.get(f"{ELSA}/adjust?{httpx.QueryParams({'points': points, 'reason': reason})}")
        sent = await nora.post(f"{ELSA}/adjust", {"points": points, "reason": reason, "key": "a" * 24})
        assert said in page.text
        for answer in (page, sent):
            assert answer.status_code == 422, said
            assert f'value="{points}"' in answer.text and 'aria-invalid="true"' in answer.text, said
    assert await available(house) == 0


async def test_no_more_is_taken_away_than_is_there_even_if_it_went_meanwhile(house: House, nora: Visitor) -> None:
    """Forty were there when the form was shown, ten when it was sent."""
    _, form = await confirmed(nora, f"{ELSA}/adjust", points="40", reason="A gift")
    await nora.post(f"{ELSA}/adjust", form)
    _, first = await confirmed(nora, f"{ELSA}/adjust", points="−30", reason="A slip")
    _, second = await confirmed(nora, f"{ELSA}/adjust", points="-40", reason="A slip")
    assert (await nora.post(f"{ELSA}/adjust", first)).status_code == 303
    late = await nora.post(f"{ELSA}/adjust", second)
    assert late.status_code == 422 and "10 points" in late.text
    assert await available(house) == 10
    assert await drifts(house) == []


async def test_a_debt_is_forgiven_once_and_told(house: House, nora: Visitor) -> None:
    """Twenty and a half points are owed: the balance is zero afterwards, and nothing more the second time."""
    await house.does("INSERT INTO accounts VALUES (1, 'customer:1:available', -20500000)")
    assert "Owes 21 points" in (await nora.get(ELSA)).text
    page, form = await confirmed(nora, f"{ELSA}/forgive", reason="Never mind")
    assert "Forgive the debt" in page.text and "Never mind" in page.text
    for _ in range(2):
        assert (await nora.post(f"{ELSA}/forgive", form)).status_code == 303
    assert await available(house) == 0
    assert [row[1] for row in await journal(house)] == ["forgave owed points"]
    entries = await house.rows("SELECT reason, micropoints FROM ledger_entries")
    assert entries == [("forgiven", 20_500_000)]
    gone = await nora.get(f"{ELSA}/forgive")
    assert (gone.status_code, gone.headers["location"].partition("?")[0]) == (303, ELSA)


async def test_held_messages_wait_until_they_are_let_go(house: House, nora: Visitor) -> None:
    """Notices about points too; what waits says why, and goes out at once afterwards."""
    assert "Hold messages back" in (await nora.get(f"{ELSA}/hold")).text
    for _ in range(2):
        assert (await nora.post(f"{ELSA}/hold", {})).status_code == 303
    _, form = await confirmed(nora, f"{ELSA}/adjust", points="50", reason="Sorry")
    await nora.post(f"{ELSA}/adjust", form)
    house.clock.instant += 5 * HOUR
    await send_due(house.context)
    assert list(house.mail.mailbox) == []
    page = await nora.get(ELSA)
    assert "Messages to this person are held back" in page.text and "Let messages go" in page.text
    assert (await nora.post(f"{ELSA}/release", {})).status_code == 303
    await send_due(house.context)
    assert [mail["To"] for mail in house.mail.mailbox] == ["elsa@home.example"]
    assert [row[1] for row in await journal(house) if "message" in row[1]] == [
        "held messages back",
        "let messages go out again",
    ]


async def test_what_was_held_for_more_than_a_month_is_not_sent_any_more(house: House, nora: Visitor) -> None:
    """Nobody wants a word about last season."""
    await nora.post(f"{ELSA}/hold", {})
    _, form = await confirmed(nora, f"{ELSA}/adjust", points="50", reason="Sorry")
    await nora.post(f"{ELSA}/adjust", form)
    await send_due(house.context)
    house.clock.instant += 31 * DAY
    await send_due(house.context)
    assert await house.rows("SELECT state, reason FROM messages") == [
        ("cancelled", "it was held back for more than thirty days")
    ]


async def test_a_language_set_by_hand_outlasts_what_the_shop_tells(house: House, nora: Visitor) -> None:
    """Until it is handed back; a language we do not write is refused."""
    refused = await nora.post(f"{ELSA}/language", {"language": "xx"})
    assert refused.status_code == 422 and "Choose one of these" in refused.text
    assert (await nora.post(f"{ELSA}/language", {"language": "fr"})).status_code == 303
    later = (
        "INSERT INTO customers (merchant_id, number, locale, locale_at, created_at) VALUES (1, 1, 'es', ?1, 1)"
        " ON CONFLICT (merchant_id, number) DO UPDATE SET locale = CASE WHEN excluded.locale_at > customers.locale_at"
        " THEN excluded.locale ELSE customers.locale END"
    )
    await house.does(later, house.clock.now() + 365 * DAY)
    assert "Français, set by hand" in (await nora.get(ELSA)).text
    assert (await nora.post(f"{ELSA}/language", {"language": "as-told"})).status_code == 303
    await house.does(later, house.clock.now() + 365 * DAY)
    assert "Español" in (await nora.get(ELSA)).text
    assert [row[1] for row in await journal(house)] == ["corrected the language"] * 2


async def test_who_cannot_be_told_is_said_before_it_is_done(house: House, nora: Visitor) -> None:
    """No address, a mailbox that refuses, messages on hold: each in a sentence."""

    async def words() -> str:
        return (await nora.get(f"{ELSA}/adjust?points=5&reason=x")).text

    assert "An e-mail tells elsa@home.example" in await words()
    await nora.post(f"{ELSA}/hold", {})
    assert "goes out after you let them go" in await words()
    await house.does("INSERT INTO suppressions VALUES (1, 'email', 'elsa@home.example', 'refused', 'x', 1, NULL)")
    assert "mailbox refuses our mail" in await words()
    await house.does("UPDATE customers SET email = NULL WHERE merchant_id = 1")
    assert "No e-mail address is known" in await words()
