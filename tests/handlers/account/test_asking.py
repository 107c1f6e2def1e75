"""Whoever types an address learns nothing by it, and a race for points ends where they do."""

import asyncio
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import urlencode

import pytest

from config.asgi import build
from handlers.account import store
from handlers.account.store import MOST_MAILED, MOST_OF_SHOP
from tests.handlers.account.guests import Guest, key_in

AT_ONCE = 64


async def _types(ana: Guest, email: str) -> str:
    page = await ana.at_shop(who="")
    answer = await ana.posts_at_shop("/find", {"email": email, "key": key_in(page, "find")}, "")
    assert answer.status_code == 200
    return answer.text


async def test_a_guest_types_an_address_and_its_owner_gets_a_link(ana: Guest) -> None:
    """Which opens Ana's page; the answer is the same to the letter for one that nobody has."""
    known, unknown = await _types(ana, " Ana@1.EXAMPLE "), await _types(ana, "nobody@1.example")
    assert known == unknown and "If the shop knows this address" in known
    (mail,) = ana.mails
    assert mail["To"] == "ana@1.example"
    assert (await ana.http.post(ana.address_in(mail))).status_code == 303
    assert "Hello Ana" in (await ana.http.get("/c/account")).text


async def test_the_link_goes_where_the_shop_writes_to_not_to_what_was_typed(ana: Guest) -> None:
    """Somebody who had an address before and left it gets nothing at it."""
    await ana.does("UPDATE customers SET email = 'new@1.example' WHERE number = ?1", ana.counter.ana)
    await _types(ana, "ana@1.example")
    assert [mail["To"] for mail in ana.mails] == ["new@1.example"]


async def test_typing_is_limited_by_address_and_by_shop_and_says_the_same(ana: Guest) -> None:
    """For an address that is somebody's as for one that is not; another shop is not concerned."""
    pages = {await _types(ana, "ana@1.example") for _ in range(MOST_MAILED + 2)}
    pages |= {await _types(ana, "nobody@1.example") for _ in range(MOST_MAILED + 2)}
    assert len(pages) == 1 and len(ana.mails) == MOST_MAILED
    asked = await ana.counter.market.rows("SELECT count(*) FROM account_asks")
    assert asked[0][0] == 2 * MOST_MAILED
    ana.counter.market.passes(hours=2)
    now = ana.context.clock.now()
    for number in range(MOST_OF_SHOP):
        await ana.does(
            "INSERT INTO account_asks VALUES (?1, ?2, ?2, '', ?3)", ana.counter.stall.merchant, str(number), now
        )
    await _types(ana, "ana@1.example")
    assert len(ana.mails) == MOST_MAILED
    ana.counter.market.passes(hours=2)
    await _types(ana, "ana@1.example")
    assert len(ana.mails) == MOST_MAILED + 1


async def test_what_was_typed_is_kept_a_day_and_never_in_the_open(ana: Guest) -> None:
    """Digests that nobody without the secret can make again."""
    from handlers.account.jobs import prune

    await _types(ana, "ana@1.example")
    rows = await ana.counter.market.rows("SELECT * FROM account_asks")
    assert rows and "ana" not in str(rows)
    ana.counter.market.passes(hours=26)
    await prune(ana.context)
    assert await ana.counter.market.rows("SELECT * FROM account_asks") == []


async def test_only_guests_type_addresses_and_only_with_the_form(ana: Guest) -> None:
    """A signed-in shopper has a page of their own; a form of somebody else's page is none."""
    key = key_in(await ana.at_shop(who=""), "find")
    fields = {"email": "ana@1.example", "key": key}
    assert (await ana.posts_at_shop("/find", fields)).status_code == 404
    assert (await ana.posts_at_shop("/find", {"email": "ana@1.example"}, "")).status_code == 422
    ana.counter.market.passes(minutes=31)
    assert (await ana.posts_at_shop("/find", fields, "")).status_code == 422
    assert ana.mails == []


async def test_known_and_unknown_addresses_take_as_long(ana: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole answer is out before anybody is looked up."""
    happened: list[str] = []
    looked_up = store.typed
    monkeypatch.setattr(store, "typed", lambda *asked: happened.append("looked up") or looked_up(*asked))
    for email in ("ana@1.example", "nobody@1.example"):
        key = key_in(await ana.at_shop(who=""), "find")
        path, _, query = ana.shops("/find", "").partition("?")
        body = urlencode({"email": email, "key": key}).encode()
        scope = {
            "type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": query.encode(),
            "headers": [(b"content-type", b"application/x-www-form-urlencoded")], "client": ("203.0.113.9", 1),
            "http_version": "1.1", "scheme": "http", "server": ("localhost", 80), "root_path": "",
        }  # fmt: skip

        async def receive(body: bytes = body) -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(event: MutableMapping[str, Any]) -> None:
            if event["type"] == "http.response.body" and not event.get("more_body"):
                happened.append("answered")

        await build(ana.context)(scope, receive, send)
    assert happened == ["answered", "looked up"] * 2
    assert len(ana.mails) == 1


@pytest.mark.parametrize("way", ["a mailed link", "the shop's address"])
async def test_sixty_four_wishes_at_once_give_what_the_points_pay_for(ana: Guest, way: str) -> None:
    """1,000 points at 300 each: three rewards, whoever is first; each form is one of its own."""
    await ana.counter.offers(cup={"name": "A cup", "kind": "amount_off", "points": 300, "value": "3"})
    if way == "a mailed link":
        await ana.comes_in()
        pages = [await ana.http.get("/c/account/redeem?reward=cup") for _ in range(AT_ONCE)]
        forms = [{"reward": "cup", "steps": "1", "key": key_in(page)} for page in pages]
        assert len({form["key"] for form in forms}) == AT_ONCE
        answers = await asyncio.gather(*(ana.http.post("/c/account/redeem", data=form) for form in forms))
    else:
        pages = [await ana.at_shop("/redeem", reward="cup") for _ in range(AT_ONCE)]
        forms = [{"reward": "cup", "steps": "1", "key": key_in(page)} for page in pages]
        answers = await asyncio.gather(*(ana.posts_at_shop("/redeem", form) for form in forms))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [200] * 3 + [422] * (AT_ONCE - 3)
    while await ana.counter.asks():
        pass
    assert len(ana.counter.discounts()) == 3
    available, reserved, spent = await ana.counter.points()
    assert (reserved, spent) == (0, 900) and 100 <= available < 300
    await ana.counter.is_sound()


async def test_a_signature_is_good_for_ninety_seconds_whatever_is_asked(ana: Guest) -> None:
    """A form that was overheard with its signature is of no use later, though its key still would be."""
    asked = await ana.at_shop("/redeem", reward="five")
    fields = {"reward": "five", "steps": "1", "key": key_in(asked)}
    address = ana.shops("/redeem", ana.ana_there)
    ana.counter.market.passes(seconds=92)
    assert (await ana.http.post(address, data=fields)).status_code == 400
    assert await ana.counter.points() == (1_000, 0, 0)
