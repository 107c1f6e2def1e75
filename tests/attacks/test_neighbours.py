"""One shop's people after another's things: ids of theirs, their links, and pages that forget whose rows they show."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pkgutil import walk_packages
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

import config
import config.asgi
import handlers
from handlers.exchange.pages import PURPOSE as FILES
from handlers.merchants import addresses
from handlers.merchants.door import opened
from handlers.merchants.frame import Visit
from integration.clock import DAY, MINUTE
from integration.database import engine, wall
from integration.database.steps import Sql, ask, plain
from tests.config.test_routes import TABLE, VISITOR, Row
from tests.visits import NORA, OTTO, House, Visitor

EVERYBODY = plain("SELECT first_name FROM customers ORDER BY merchant_id")

ASKED_ACROSS = {
    # An account that is connected elsewhere is said to be, in one sentence that names no shop.
    "handlers.merchants.stripe_accounts._ELSEWHERE", "handlers.merchants.stripe_accounts._BACK_ACCOUNT",
    # Deliveries of nobody become those of who proves to have their connection.
    "handlers.inbox.record._ADOPT",
    # A limit on what one address of the network asks for, wherever it asks.
    "handlers.account.store._ASKED", "handlers.account.store._OF_ASKER", "handlers.referrals.codes._OF_ASKER",
}  # fmt: skip


@pytest.fixture
async def house(database: Any) -> House:
    """Nora's and Otto's shops; Otto has one of everything that has an id."""
    house = await House(database).open()
    for make in {row.make for row in TABLE.values() if row.make is not None}:
        await make(house)
    await house.does("INSERT INTO customers (merchant_id, number, first_name, created_at) VALUES (1, 5, 'Nell', 1)")
    return house


def with_ids() -> list[tuple[str, str, Row]]:
    """Every address of the merchant's pages with an id of a shop's in it: method, route, row."""
    return [(verb, path, row) for (verb, path), row in TABLE.items() if row.who == VISITOR and row.others == 404]


def nobodys(path: str, at: str) -> str:
    """The same address with an id nobody has."""
    parts = []
    for pattern, part in zip(path.split("/"), at.split("/"), strict=True):
        parts.append(
            re.sub(r"\w$", lambda last: "0424242" if last[0].isdigit() else "q", part) if "{" in pattern else part
        )
    assert parts != at.split("/")
    return "/".join(parts)


@contextmanager
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Listen to every statement a visit runs once it is known whose it is."""
    said: list[str] = []
    check = wall.check

    def listening(sql: Sql, rows: Any, owner: int, dialect: str) -> None:
        said.append(sql.sqlite)
        check(sql, rows, owner, dialect)

    with monkeypatch.context() as patch:
        patch.setattr(wall, "check", listening)
        yield said


async def ask_for(visitor: Visitor, verb: str, at: str, row: Row) -> Response:
    """Ask as our own page would."""
    return await (visitor.get(at) if verb == "GET" else visitor.post(at, row.fields))  # type: ignore[return-value]


async def test_an_id_of_another_shop_is_like_one_nobody_has(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every route with an id, alone and in the admin: the same bytes, the same headers, and the same statements run.

    So neither what is shown nor what was looked up, and with it the time it took, tells that there is something.
    """
    nora, admin = await house.signed_in(NORA), house.embedded()
    await nora.token()
    assert len(with_ids()) >= 30
    for verb, path, row in with_ids():
        for visitor in (nora, admin):
            ran, got = [], []
            for at in (row.at, nobodys(path, row.at)):
                with heard(monkeypatch) as said:
                    answer = await ask_for(visitor, verb, at, row)
                ran.append(said)
                got.append((answer.status_code, sorted(answer.headers.items()), answer.content))  # type: ignore[attr-defined]
            assert got[0] == got[1], (verb, path)
            assert got[0][0] == 404
            assert ran[0] == ran[1], (verb, path)


async def test_the_owner_is_shown_what_the_neighbour_is_not(house: House) -> None:
    """The ids of the test above are there: Otto's own pages are no 404."""
    otto = await house.signed_in(OTTO)
    shown = {path for verb, path, row in with_ids() if verb == "GET" and (await otto.get(row.at)).status_code != 404}
    assert {"/app/customers/{number}", "/app/activity/events/{number}", "/app/rewards/{number}"} <= shown
    assert len(shown) >= 0.8 * len([1 for verb, _, _ in with_ids() if verb == "GET"])


async def test_a_page_that_forgets_whose_rows_it_shows_shows_none(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page as somebody may write it tomorrow: without a condition, or with the shop from the request in it."""

    async def forgetful(request: Request, visit: Visit) -> Response:
        rows = await request.app.state.context.database.read(lambda: ask(EVERYBODY, ()))
        return PlainTextResponse(str(rows))

    async def trusting(request: Request, visit: Visit) -> Response:
        own = plain("SELECT first_name FROM customers WHERE merchant_id = ?1")
        shop = int(request.query_params["shop_number"])
        return PlainTextResponse(str(await request.app.state.context.database.read(lambda: ask(own, (shop,)))))

    planted = (Route("/app/forgetful", opened(forgetful)), Route("/app/trusting", opened(trusting)))
    monkeypatch.setattr(config.asgi, "ROUTES", planted + config.asgi.ROUTES)
    house.app = config.asgi.build(house.context)
    assert len(await house.database.read(lambda: ask(EVERYBODY, ()))) == 2
    for visitor in (await house.signed_in(NORA), house.embedded()):
        own = await visitor.get("/app/trusting?shop_number=1")
        assert (own.status_code, own.text) == (200, "[('Nell',)]")
        for path in ("/app/forgetful", "/app/trusting?shop_number=2"):
            answer = await visitor.get(path)
            assert answer.status_code == 500
            assert "Olga" not in answer.text and "Nell" not in answer.text and "SELECT" not in answer.text


async def test_signed_links_are_kept_to_their_shop(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever holds a link of Otto's, in a letter or for a frame, is kept to Otto's rows by the same wall."""
    otto, vault, now = await house.signed_in(OTTO), house.context.vault, house.clock.now()
    visit = Visit(OTTO, "Otto's Hats", "USD", "UTC", "en", "link:otto", None, False, proof="0")
    until = now + MINUTE
    links = [
        f"/c/unsubscribe/{vault.sign('unsubscribe', OTTO, 1, 'o@x.example')}",
        f"/c/review/{vault.sign('review', OTTO, 1, now // DAY)}",
        f"/c/me/{vault.sign('me', OTTO, 1, now + DAY)}",
        f"/app/messages/letter/{addresses.sign(vault, visit, 'letter of words', until, 'thank_you', 'en', 'x')}",
        f"/app/customers/letter/{addresses.sign(vault, visit, 'customer letter', until, 'thank_you:sale:1')}",
        f"/app/customers/file/{addresses.sign(vault, visit, 'customer file', until, 1, 1)}",
        f"/app/connections/files/{addresses.sign(vault, visit, FILES, until, 'customers', '0')}",
    ]
    owners: list[int | None] = []
    walled = wall.walled

    def seen(make: Any, dialect: str) -> Any:
        here = wall._visit.get()
        owners.append(None if here is None else here.owner)
        return walled(make, dialect)

    monkeypatch.setattr(engine, "walled", seen)
    for link in links:
        owners.clear()
        await otto.client.get(link)
        assert owners and owners[-1] == OTTO, link


def test_few_statements_may_look_over_the_wall() -> None:
    """Each with its reason, none of which shows anything of another's."""
    found = {}
    for package in (handlers, config):
        for module in walk_packages(package.__path__, f"{package.__name__}."):
            if ".migrations" not in module.name:
                for name, value in vars(import_module(module.name)).items():
                    if isinstance(value, Sql) and value.across:
                        found[id(value)] = f"{module.name}.{name}"
    assert set(found.values()) == ASKED_ACROSS
