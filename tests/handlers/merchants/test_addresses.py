"""Signed addresses of letters and files: good for minutes, for who stays in, and in a frame of that shop alone."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from handlers.merchants import addresses, sessions
from handlers.merchants.frame import Visit
from handlers.merchants.told import hear_of_shop
from handlers.privacy.jobs import carry_out
from integration.clock import DAY, MINUTE
from integration.database.steps import Steps
from integration.facts import Uninstalled
from tests.visits import NORA, OTTO, SHOPS, House, Visitor

ALL = {"words", "letter", "file", "data"}
NORA_AND_ADMIN = "https://nora.myshopify.com https://admin.shopify.com"


@pytest.fixture
async def house(database: Any) -> House:
    """Nora's shop, Elsa, a letter to her, and a file of her data that is ready."""
    house = await House(database).open()
    await house.does(
        "INSERT INTO customers (merchant_id, number, first_name, email, created_at)"
        " VALUES (1, 1, 'Elsa', 'elsa@home.example', 5)"
    )
    await house.does("INSERT INTO customer_identities VALUES (1, 'email', 'elsa@home.example', 1)")
    await house.does(
        "INSERT INTO messages (merchant_id, key, kind, customer, channel, state, due_at, next_attempt_at, details,"
        " created_at) VALUES (1, 'points_adjusted:a', 'points_adjusted', 1, 'email', 'scheduled', 9, 9, ?1, 9)",
        '{"points":5,"reason":"sorry"}',
    )
    await (await house.signed_in()).post("/app/customers/1/export")
    assert await carry_out(house.context) == 1
    return house


async def links(visitor: Visitor) -> dict[str, str]:
    """The addresses that Nora's pages show to a visitor."""
    typed = {"subject": "Hello", "body": "Dear {first_name}", "language": "en", "base": ""}
    words = await visitor.post("/app/messages/words/thank_you/preview", typed, Accept="application/json")
    customer, data = (await visitor.get("/app/customers/1")).text, (await visitor.get("/app/connections/data")).text

    def found(pattern: str, page: str) -> str:
        match = re.search(pattern, page)
        assert match is not None, pattern
        return match[1]

    return {
        "words": words.json()["src"],
        "letter": found(r'src="(/app/customers/letter/[^"]+)"', customer),
        "file": found(r'href="(/app/customers/file/[^"]+)"', customer),
        "data": found(r'href="(/app/connections/files/[^"]+)"', data),
    }


async def still_shown(house: House, those: dict[str, str]) -> set[str]:
    """Which of the addresses show or send anything, to a browser that brings nothing along."""
    shown = set()
    for name, path in those.items():
        answer = await house.stranger().get(path)
        assert answer.status_code == (404 if name in ("file", "data") and answer.status_code != 200 else 200), name
        if answer.status_code == 200 and "load the page again" not in answer.text:
            shown.add(name)
        else:
            assert "Elsa" not in answer.text and "Dear" not in answer.text
    return shown


def leaves() -> Steps[None]:
    """Nora's shop uninstalls the app."""
    return hear_of_shop(NORA, "shopify", SHOPS[NORA], Uninstalled(told_at=10), 20)


async def signs_out(_: House, nora: Visitor) -> None:
    assert (await nora.post("/app/sign-out")).status_code == 303


async def is_signed_out(house: House, _: Visitor) -> None:
    now = house.clock.now()
    await house.database.run(lambda: sessions.end_sessions(NORA, now))


async def uninstalls(house: House, _: Visitor) -> None:
    await house.database.run(leaves)


async def is_closed(house: House, _: Visitor) -> None:
    await house.does("UPDATE merchants SET closed_at = 1 WHERE id = 1")


async def is_gone(house: House, _: Visitor) -> None:
    await house.does("DELETE FROM merchants WHERE id = 1")


async def uninstalls_and_returns(house: House, _: Visitor) -> None:
    await house.database.run(leaves)
    await house.does("UPDATE connections SET closed_at = NULL, connected_at = 30 WHERE merchant_id = 1")
    await house.does("UPDATE merchants SET closed_at = NULL WHERE id = 1")


async def is_idle(house: House, _: Visitor) -> None:
    # Nobody looks at any page for a day; the addresses' own half hour is held apart from that.
    await house.does("UPDATE sessions SET seen_at = seen_at - ?1", DAY)


ALONE = [signs_out, is_signed_out, uninstalls, is_closed, is_gone, uninstalls_and_returns, is_idle]


@pytest.mark.parametrize("ends", ALONE, ids=lambda ends: ends.__name__)
async def test_who_is_no_longer_signed_in_reads_nothing_by_an_old_address(
    house: House, ends: Callable[[House, Visitor], Awaitable[None]]
) -> None:
    """A letter or a file in a history, a log or somebody else's hands ends with the session it was made in."""
    nora = await house.signed_in()
    those, ben = await links(nora), await house.signed_in(who="link:ben")
    bens = await links(ben)
    assert await still_shown(house, those) == ALL
    await ends(house, nora)
    assert await still_shown(house, those) == set()
    assert (await still_shown(house, bens) == ALL) == (ends is signs_out)


@pytest.mark.parametrize("ends", [uninstalls, is_closed, is_gone, uninstalls_and_returns], ids=lambda e: e.__name__)
async def test_in_the_admin_an_address_ends_with_the_installation(
    house: House, ends: Callable[[House, Visitor], Awaitable[None]]
) -> None:
    """There Shopify says who is in, and nothing to us when they leave: minutes, and while this installation lasts."""
    admin = house.embedded()
    those = await links(admin)
    assert await still_shown(house, those) == ALL
    await ends(house, admin)
    assert await still_shown(house, those) == set()


@pytest.mark.parametrize("way", ["alone", "admin"])
async def test_an_address_lives_for_minutes_and_says_so_in_its_own_frame(house: House, way: str) -> None:
    """Also what is over stands in the frame it was made for, rather than as a broken one."""
    visitor = house.embedded() if way == "admin" else await house.signed_in()
    those = await links(visitor)
    nobody = "'none'"
    frames = NORA_AND_ADMIN if way == "admin" else ""
    letters, files = f"frame-ancestors 'self' {frames}".rstrip(), f"frame-ancestors {frames or nobody}"
    for path in (those["words"], those["letter"]):
        assert (await house.stranger().get(path)).headers["content-security-policy"].endswith(letters)
    house.clock.offset = 15 * MINUTE
    assert await still_shown(house, those) == {"words", "letter"}
    for name in ("file", "data"):
        assert (await house.stranger().get(those[name])).headers["content-security-policy"].endswith(files), name
    house.clock.offset = 30 * MINUTE
    assert await still_shown(house, those) == set()
    for path in (those["words"], those["letter"]):
        assert (await house.stranger().get(path)).headers["content-security-policy"].endswith(letters)


async def test_a_file_is_fetched_in_the_name_of_who_asked_for_it(house: House) -> None:
    """The access log says so, although no address names anybody who signed in by mail."""
    nora, staff = await house.signed_in(who="link:nora@tea.example"), house.embedded(user_id="7")
    for visitor in (nora, staff):
        those = await links(visitor)
        assert await still_shown(house, those) == ALL
        for path in those.values():
            assert "nora@" not in str(house.context.vault.check("visit: customer file", path.rpartition("/")[2]))
    rows = await house.rows("SELECT who FROM looks WHERE what = 'file of all data'")
    assert sorted(rows) == [("link:nora@tea.example",), ("shopify:7",)]


async def test_an_address_is_of_one_purpose_one_shop_and_our_own_hand(house: House) -> None:
    """Another purpose, another merchant's number, a longer life, or one letter changed: nothing."""
    await house.signed_in()
    vault, now = house.context.vault, house.clock.now()
    ((digest,),) = await house.rows("SELECT digest FROM sessions WHERE who = 'link:nora' LIMIT 1")
    visit = Visit(NORA, "Nora's Tea", "EUR", "Europe/Paris", "en", "link:nora", SHOPS[NORA], False, proof=digest)

    async def opened(token: str, purpose: str = "a letter", count: int = 1) -> Any:
        return await house.database.read(lambda: addresses.look_up(vault, purpose, token, count, now))

    until = now + addresses.MOST_LIFE
    token = addresses.sign(vault, visit, "a letter", until, "x")
    one = await opened(token)
    assert one == addresses.Address(NORA, "link:nora", None, ("x",), True)
    assert await opened(token, "a file") is await opened(token, count=2) is await opened(token[:-1]) is None
    long = addresses.sign(vault, visit, "a letter", until + 1, "x")
    otto = addresses.sign(vault, Visit(OTTO, *(["x"] * 5), None, False, proof=digest), "a letter", until, "x")
    admin = addresses.sign(vault, Visit(OTTO, *(["x"] * 5), SHOPS[NORA], True, proof="0"), "a letter", until, "x")
    for token in (long, otto, admin):
        found = await opened(token)
        assert found is not None and not found.stands and found.who == ""
