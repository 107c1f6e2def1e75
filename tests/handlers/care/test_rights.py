"""A person's data is handed over, and a person is forgotten, from their page: once, by who may, and never by a slip."""

import io
import re
import zipfile
from typing import Any

import pytest

from handlers.privacy.jobs import carry_out
from integration.clock import MINUTE
from tests.visits import House, Visitor

ELSA = "/app/customers/1"


@pytest.fixture
async def house(database: Any) -> House:
    """Nora's shop, and Elsa."""
    house = await House(database).open()
    await house.does(
        "INSERT INTO customers (merchant_id, number, first_name, last_name, email, locale, created_at)"
        " VALUES (1, 1, 'Elsa', 'Berg', 'elsa@home.example', 'de', 5)"
    )
    await house.does("INSERT INTO customer_identities VALUES (1, 'email', 'elsa@home.example', 1)")
    await house.does("INSERT INTO accounts VALUES (1, 'customer:1:available', 7000000)")
    return house


@pytest.fixture
async def nora(house: House) -> Visitor:
    """Nora, signed in."""
    return await house.signed_in()


async def done(house: House) -> list[str]:
    return [row[0] for row in await house.rows("SELECT did FROM journal WHERE about = 'customer:1' ORDER BY at, mark")]


async def test_everything_that_is_kept_comes_as_a_file_by_a_link_that_dies(house: House, nora: Visitor) -> None:
    """Asked for twice it is one file; each download is a look at personal data."""
    assert "Put the file together" in (await nora.get(f"{ELSA}/export")).text
    for _ in range(2):
        assert (await nora.post(f"{ELSA}/export", {})).status_code == 303
    assert "under way" in (await nora.get(ELSA)).text
    assert await carry_out(house.context) == 1
    link = re.search(r'href="(/app/customers/file/[^"]+)"', (await nora.get(ELSA)).text)
    assert link is not None
    file = await house.stranger().get(link[1])
    assert (file.status_code, file.headers["content-type"]) == (200, "application/zip")
    assert file.headers["content-disposition"].startswith("attachment; filename=")
    with zipfile.ZipFile(io.BytesIO(file.content)) as opened:
        told = "".join(opened.read(name).decode() for name in opened.namelist())
    assert "elsa@home.example" in told and "Berg" in told
    assert ("link:nora", "file of all data", 1) in await house.rows("SELECT who, what, customer FROM looks")
    assert (await house.stranger().get(link[1][:-3] + "xyz")).status_code == 404
    house.clock.instant += 16 * MINUTE
    assert (await house.stranger().get(link[1])).status_code == 404
    assert await done(house) == ["asked for all data"]


async def test_nobody_is_forgotten_before_their_address_was_typed(house: House, nora: Visitor) -> None:
    """What was typed is kept, and said to be wrong, beside the field."""
    page = await nora.get(f"{ELSA}/forget")
    assert "Type elsa@home.example to confirm" in page.text and "7 points to spend" in page.text
    wrong = await nora.post(f"{ELSA}/forget", {"typed": "elsa@home"})
    assert wrong.status_code == 422 and 'value="elsa@home"' in wrong.text
    assert await carry_out(house.context) == 0
    assert await house.rows("SELECT first_name FROM customers WHERE merchant_id = 1") == [("Elsa",)]
    assert await done(house) == []


async def test_who_is_forgotten_leaves_amounts_and_no_name(house: House, nora: Visitor) -> None:
    """The page stays, for the books, and says what it is; nothing can be done there any more."""
    for typed in (" Elsa@Home.example ", "elsa@home.example"):
        assert (await nora.post(f"{ELSA}/forget", {"typed": typed})).status_code == 303
    for _ in range(3):
        await carry_out(house.context)
    page = await nora.get(ELSA)
    assert page.status_code == 200 and "This person was forgotten on" in page.text
    assert "elsa" not in page.text.lower() and "Adjust points" not in page.text
    assert (await nora.get("/app/customers?q=elsa")).text.count("Nobody found") == 1
    assert await done(house) == ["asked to be forgotten"]
    assert await house.rows("SELECT micropoints FROM accounts") == [(7_000_000,)]
