"""Links that stop mail, in hands they were not made for: other shops', other purposes', cut off, of keys long gone."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from config.asgi import build
from integration.clock import DAY, HOUR
from integration.database.schema import metadata
from integration.vault import Vault
from tests.visits import HERE, NORA, OTTO, House

PRESENT, FORMER, GONE = (f"a secret of thirty-two characters or more, {which}" for which in ("new", "old", "gone"))
ONE_CLICK = {"List-Unsubscribe": "One-Click"}
LETTER = "thank_you:sale:1"
ELSA, OLGA = "elsa@home.example", "olga@home.example"

# Every other purpose links are signed for.
OTHERS = ("review", "me", "open account", "account act", "visit: file of all people or points", "flash", "")

SCANNERS: list[dict[str, str]] = [
    {"User-Agent": "Mozilla/5.0 (compatible; Barracuda Sentinel)"},
    {"User-Agent": "Mozilla/5.0 (Windows NT 10.0) BingPreview/1.0b"},
    {"Purpose": "prefetch", "Sec-Purpose": "prefetch;prerender"},
    {"X-HTTP-Method-Override": "POST", "X-Method-Override": "POST"},
]


@pytest.fixture
async def house(database: Any) -> House:
    """Nora's Elsa and Otto's Olga, each number 7 of her shop, each with a letter; keys were rotated once."""
    house = House(database, over={"vault": Vault([PRESENT, FORMER])})
    await house.open()
    for shop, name, address in ((NORA, "Elsa", ELSA), (OTTO, "Olga", OLGA)):
        await house.does(
            "INSERT INTO customers (merchant_id, number, first_name, email, created_at) VALUES (?1, 7, ?2, ?3, 1)",
            shop, name, address,
        )  # fmt: skip
        await house.does("INSERT INTO customer_identities VALUES (?1, 'email', ?2, 7)", shop, address)
        await house.does(
            "INSERT INTO messages (merchant_id, key, kind, customer, channel, state, address, due_at, next_attempt_at,"
            " created_at) VALUES (?1, ?2, 'thank_you', 7, 'email', 'sent', ?3, 9, 9, 9)",
            shop, LETTER, address,
        )  # fmt: skip
    return house


def link(token: str) -> str:
    """The address of a token."""
    return f"/c/unsubscribe/{token}"


def signed(*parts: str | int, key: str = PRESENT, purpose: str = "unsubscribe") -> str:
    """A token as a letter carries it."""
    return Vault([key]).sign(purpose, *parts)


async def everything(house: House) -> dict[str, list[str]]:
    """Every row there is."""
    return {table: sorted(map(str, await house.rows(f"SELECT * FROM {table}"))) for table in metadata.tables}


async def silent(house: House) -> list[tuple[Any, ...]]:
    """To whom no mail goes."""
    return await house.rows(
        "SELECT merchant_id, address FROM suppressions WHERE lifted_at IS NULL AND address LIKE '%@%'"
        " ORDER BY merchant_id"
    )


def truncations(token: str) -> list[str]:
    """A token cut off wherever a mail program may cut it, and pieces of it."""
    payload, _, seal = token.partition(".")
    return [token[:length] for length in range(0, len(token), 7)] + [
        payload,
        f"{payload}.",
        f".{seal}",
        seal,
        f"{token}.",
    ]


def changed(token: str) -> list[str]:
    """A token with something else in it."""
    payload, _, seal = token.partition(".")
    others = [signed(OTTO, 7, LETTER), signed(NORA, 8, LETTER), signed(NORA, 7, "thank_you:sale:2")]
    return [f"{other.partition('.')[0]}.{seal}" for other in others] + [
        f"{payload}.{seal.swapcase()}", f"{payload}.{seal[::-1]}", f"{payload}.{'A' * len(seal)}", f"{token}A",
        f"%20{token}", "x" * 5_000, "%00", "%ff", "é", "..", "null", "0",
    ]  # fmt: skip


WRONG: dict[str, Callable[[], list[str]]] = {
    "cut off": lambda: truncations(signed(NORA, 7, LETTER)),
    "changed": lambda: changed(signed(NORA, 7, LETTER)),
    "of another purpose": lambda: [signed(NORA, 7, LETTER, purpose=purpose) for purpose in OTHERS],
    "of a key long gone": lambda: [signed(NORA, 7, LETTER, key=GONE)],
    "with other parts": lambda: [signed(NORA, 7), signed(), signed(NORA, 7, LETTER, "more")],
}


@pytest.mark.parametrize("kind", WRONG)
async def test_a_wrong_link_is_400_and_says_no_more(house: House, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking, pressing, taking back: one answer for all, without a look into the database, and no row changed."""
    browser, before = house.stranger().client, await everything(house)
    asked: list[str] = []
    for method in ("run", "read"):
        monkeypatch.setattr(type(house.database), method, lambda *_args, **_more: asked.append("asked"))
    answers = set()
    for token in filter(None, WRONG[kind]()):
        for answer in (
            await browser.get(link(token)),
            await browser.post(link(token), data=ONE_CLICK),
            await browser.post(f"{link(token)}/undo"),
        ):
            if answer.status_code != 404:  # an address of no page at all
                answers.add((answer.status_code, answer.text))
    monkeypatch.undo()
    assert [status for status, _ in answers] == [400]
    assert not any(name in text for _, text in answers for name in ("Elsa", "Olga", "Nora", "Otto", "@"))
    assert asked == []
    assert await everything(house) == before


async def test_a_link_of_another_shops_letter_stops_that_shops_mail_alone(house: House) -> None:
    """Same customer number, same letter: what counts is the shop that signed the link."""
    browser = house.stranger().client
    page = await browser.get(link(signed(OTTO, 7, LETTER)))
    assert "Otto&#39;s Hats" in page.text and "Nora" not in page.text
    assert (await browser.post(link(signed(OTTO, 7, LETTER)), data=ONE_CLICK)).status_code == 200
    assert await silent(house) == [(OTTO, OLGA)]
    assert (await browser.post(f"{link(signed(NORA, 7, LETTER))}/undo")).status_code == 200
    assert await silent(house) == [(OTTO, OLGA)], "Nora's link does not bring Otto's mail back"
    assert (await browser.post(link(signed(NORA, 7, LETTER)), data=ONE_CLICK)).status_code == 200
    assert await silent(house) == [(NORA, ELSA), (OTTO, OLGA)]


async def test_a_letter_from_before_the_keys_were_rotated_still_stops_mail(house: House) -> None:
    """While the former key is listed; once it is taken off the list, its links are worth nothing."""
    old = link(signed(NORA, 7, LETTER, key=FORMER))
    house.clock.instant += 400 * DAY
    assert (await house.stranger().client.post(old, data=ONE_CLICK)).status_code == 200
    assert await silent(house) == [(NORA, ELSA)]
    house.over["vault"] = Vault([PRESENT])
    context = house.context.__class__(**{
        name: house.over.get(name, getattr(house.context, name)) for name in house.context.__dataclass_fields__
    })  # fmt: skip
    transport = httpx.ASGITransport(app=build(context))
    async with httpx.AsyncClient(transport=transport, base_url=HERE) as browser:
        assert (await browser.post(f"{old}/undo")).status_code == 400
    assert await silent(house) == [(NORA, ELSA)]


@pytest.mark.parametrize("headers", SCANNERS)
async def test_a_scanner_that_follows_every_link_stops_nothing(house: House, headers: dict[str, str]) -> None:
    """Whatever it says it is, with whatever it adds to the address: only a POST acts."""
    browser, before = house.stranger().client, await everything(house)
    address = link(signed(NORA, 7, LETTER))
    for end in ("", "?", "?List-Unsubscribe=One-Click", "?_method=POST&confirm=1"):
        for method in ("GET", "HEAD"):
            assert (await browser.request(method, address + end, headers=headers)).status_code == 200
        assert (await browser.get(f"{address}/undo{end}", headers=headers)).status_code == 405
    for method in ("OPTIONS", "PUT", "PATCH", "DELETE"):
        assert (await browser.request(method, address, headers=headers)).status_code == 405
    assert await everything(house) == before


async def test_pressing_twice_is_pressing_once(house: House) -> None:
    """At once and an hour later, as a form, as a mail program does, or with nothing in it: 200 and the same page."""
    browser, address = house.stranger().client, link(signed(NORA, 7, LETTER))
    first = await browser.post(address, data=ONE_CLICK)
    stopped = await house.rows("SELECT * FROM suppressions ORDER BY address")
    assert first.status_code == 200 and "location" not in first.headers and "set-cookie" not in first.headers
    house.clock.instant += HOUR
    for more in (
        {"data": ONE_CLICK},
        {"files": {"List-Unsubscribe": (None, "One-Click")}},
        {},
        {"content": b"\xff" * 9_000},
    ):
        again = await browser.post(address, **more)  # type: ignore[arg-type]
        assert (again.status_code, again.content) == (200, first.content)
    assert await house.rows("SELECT * FROM suppressions ORDER BY address") == stopped
    assert await house.rows("SELECT DISTINCT state FROM consents") == [("unsubscribed",)]
