"""Nothing personal and no secret gets out by what merchants' people do: every way in, every page, and what fails there.

The sibling of test_leaks for visits: installing, signing in, looking for people, files in and out, a platform that
fails, a key that is renewed, pages that break. What was planted is looked for in logs (all of them, at debug), in
metrics and whatever is said to strangers; and, as far as it is a secret, in everything the database holds.
"""

import json
import logging
import re
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import config.asgi
from config import logs
from handlers.connections import jobs as connections
from handlers.merchants import jobs
from handlers.merchants.door import opened
from handlers.merchants.frame import Visit
from handlers.merchants.oauth import BACK
from handlers.merchants.sessions import new_link
from integration.clock import DAY, HOUR
from integration.database.schema import metadata
from integration.database.steps import ask, plain
from integration.sandbox.session_tokens import session_token
from tests.handlers.merchants.harbour import KEY, SECRET, TEA, Harbour, opened_harbour

# What must not be found. Each is a word that occurs nowhere else.
PERSON = {
    "mail address": "quillon.brask@thistlewood.example",
    "first name": "Quillonette",
    "last name": "Brasksson",
    "order name": "ORD-ZEPHYRINE",
    "words of a search": "vermicious-search",
    "address of another": "someone.else@foxglove-lane.example",
    "name in a file": "Imperatrix",
    "reason typed by hand": "because-of-the-marmalade",
    "somebody who works there": "wilhelmina.at.the.shop@teahouse.example",
}
SECRETS = {
    "app secret": SECRET,
    "key pasted": "rk_live_51Galumphing0001",
    "secret key pasted by mistake": "sk_live_51Frabjous0002",
    "forged cookie": "whiffling-cookie-of-nobodys-session",
    "forged form token": "burbling-form-token",
    "forged bearer": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ1ZmZpc2gifQ.tulgey",
    "forged code": "manxome-oauth-code",
    "guessed link": "snicker-snack-link-token",
}


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Give logging back as it was: it belongs to the whole process."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    yield
    root.handlers, root.level = handlers, level
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
    structlog.reset_defaults()


class House:
    """The tea shop's program, what was said by it, and the secrets that came to be."""

    def __init__(self, harbour: Harbour) -> None:
        self.harbour = harbour
        self.app = config.asgi.build(harbour.here, "metrics-token-of-the-house")
        self.browser, self.stranger = self.client(), self.client()
        self.platform = httpx.AsyncClient(transport=httpx.ASGITransport(harbour.app))  # type: ignore[arg-type]
        self.secrets = dict(SECRETS)
        self.outside: list[str] = []  # said to whoever need not know

    def client(self) -> httpx.AsyncClient:
        """A browser that nobody signed in with."""
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)  # type: ignore[arg-type]
        return httpx.AsyncClient(transport=transport, base_url="https://regulars.example")

    async def ask(self, method: str, path: str, by: httpx.AsyncClient | None = None, **more: Any) -> httpx.Response:
        """Ask for a page; what a stranger gets, and every error page, is looked through."""
        answer = await (by or self.stranger).request(method, path, **more)
        # A form that comes back with 422 shows what was typed to who typed it.
        if by is None or (answer.status_code >= 400 and answer.status_code != 422):
            # Where a stranger is sent to sign in, the address repeats what they asked for themselves.
            headers = {name: value for name, value in answer.headers.items() if name != "location"}
            self.outside.append(f"{headers} {answer.text}")
        return answer

    def token(self, **changes: Any) -> str:
        """A session token of the shop's admin; a secret from now on."""
        text = session_token(TEA, KEY, SECRET, self.harbour.clock.now(), **changes)
        self.secrets[f"session token {len(self.secrets)}"] = text
        return text


@pytest.fixture
async def house(database_url: str, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    """The program on each engine, with a page that breaks in the middle, and one that reports to nobody's liking."""

    async def broken(request: Request, visit: Visit) -> Response:
        form = await request.form()
        raise RuntimeError(f"{visit} {dict(request.headers)} {dict(form)} {request.url}")

    async def bare(request: Request) -> Response:
        raise KeyError(f"{request.url} {dict(request.headers)}")

    planted = (
        Route("/app/broken", opened(broken)),
        Route("/app/broken", opened(broken), methods=["POST"]),
        Route("/c/broken", bare),
    )
    monkeypatch.setattr(config.asgi, "ROUTES", planted + config.asgi.ROUTES)
    async with opened_harbour(database_url, data_dir) as harbour:
        yield House(harbour)


async def test_no_planted_word_gets_out_of_a_visit(house: House, capfd: pytest.CaptureFixture[str]) -> None:
    """After everything below was done: 0 hits outside, 0 secrets in the database, and the log did tell of it all."""
    logs.configure("debug", "json")
    await _installs(house)
    await _signs_in(house)
    await _looks_for_people(house)
    await _files(house)
    await _platform_fails(house)
    await _pages_break(house)
    told = capfd.readouterr()
    metrics = (await house.ask("GET", "/metrics", headers={"Authorization": "Bearer metrics-token-of-the-house"})).text
    assert "regulars_" in metrics
    _gathers(house)
    said = [*told.err.splitlines(), *told.out.splitlines(), metrics, *house.outside]
    for what, word in (PERSON | house.secrets).items():
        assert [line[:300] for line in said if word in line] == [], what
    events = [json.loads(line)["event"] for line in told.err.splitlines()]
    assert {"page_failed", "session_token_refused", "shop_not_described"} <= set(events), sorted(set(events))
    masked = [line for line in told.err.splitlines() if re.search(r"\((secret|token|address)\)", line)]
    assert masked == [], "the mask is the last wall: nothing should have come that far"
    for table in metadata.tables:
        rows = await house.harbour.rows(f"SELECT * FROM {table}")
        for what, word in house.secrets.items():
            assert word not in str(rows), (table, what)


async def _installs(house: House) -> None:
    """By consent and by opening the app, once well, and forged, late, out of turn, and with Shopify away."""
    clock = house.harbour.clock
    for shop in ("", "evil.example", PERSON["mail address"]):
        await house.ask("GET", f"/app/install?shop={shop}")
    begun = await house.ask("GET", f"/app/install?shop={TEA}", house.browser)
    back = str((await house.platform.get(begun.headers["location"])).headers["location"])
    brought = httpx.URL(back).params
    house.secrets |= {f"{name} of an install": brought[name] for name in ("code", "state", "hmac")}
    await house.ask("GET", back)
    await house.ask("GET", f"{BACK}?code={SECRETS['forged code']}&shop={TEA}&state=x&hmac=0")
    house.harbour.pretend.tokens.fail_next = [503, 503, 503, 503]
    await house.ask("GET", back, house.browser)
    house.harbour.pretend.tokens.fail_next = []
    again = await house.ask("GET", f"/app/install?shop={TEA}", house.browser)
    done = await house.ask(
        "GET", str((await house.platform.get(again.headers["location"])).headers["location"]), house.browser
    )
    assert done.status_code == 302
    opened_by_token = await house.ask("GET", f"/app?id_token={house.token()}&shop={TEA}&embedded=1", house.client())
    assert opened_by_token.status_code == 200
    for wrong in (SECRETS["forged bearer"], house.token(aud="another"), house.token(exp=1)):
        await house.ask("GET", f"/app?id_token={wrong}&shop={TEA}&embedded=1")
        await house.ask("POST", "/app/programme", headers={"Authorization": f"Bearer {wrong}"})
    clock.passes(1)


async def _signs_in(house: House) -> None:
    """By a link, which is used once; a guessed one, a forged cookie and a form of somebody else's are refused."""
    here = house.harbour.here
    who = f"link:{PERSON['somebody who works there']}"
    link = await here.database.run(lambda: new_link(1, who, here.vault, here.clock.now()))
    house.secrets["sign-in link"] = link
    await house.ask("GET", f"/app/sign-in/{SECRETS['guessed link']}")
    await house.ask("POST", f"/app/sign-in/{SECRETS['guessed link']}")
    assert (await house.ask("POST", f"/app/sign-in/{link}", house.browser)).status_code == 303
    await house.ask("POST", f"/app/sign-in/{link}")
    # It says to the sender alone where it would send a link; the log must not.
    await house.stranger.post("/app/sign-in", data={"email": PERSON["somebody who works there"]})
    forged = {"Cookie": f"__Host-regulars={SECRETS['forged cookie']}"}
    await house.ask("GET", "/app/customers", headers=forged)
    page = await house.ask("GET", "/app/programme", house.browser)
    form_token = re.search(r'name="form-token" value="([^"]+)"', page.text)
    assert form_token is not None
    house.secrets["form token"] = form_token[1]
    house.secrets["session"] = house.browser.cookies["__Host-regulars"]
    wrong = {"form-token": SECRETS["forged form token"], "earning.hold_days": PERSON["last name"]}
    assert (await house.ask("POST", "/app/programme", house.browser, data=wrong)).status_code == 403


async def _looks_for_people(house: House) -> None:
    """Search by every name, a person's page, and changes by hand that are refused and that are made."""
    await house.harbour.rows(
        "INSERT INTO customers (merchant_id, number, first_name, last_name, email, created_at)"
        " VALUES (1, 1, ?1, ?2, ?3, 1)",
        PERSON["first name"], PERSON["last name"], PERSON["mail address"],
    )  # fmt: skip
    await house.harbour.rows(
        "INSERT INTO customer_identities (merchant_id, kind, value, customer) VALUES (1, 'email', ?1, 1)",
        PERSON["mail address"],
    )
    for word in (*PERSON.values(), "%00", "x" * 5_000, "' OR 1=1 --"):
        for page in ("/app/customers", "/app/activity", "/app/rewards"):
            await house.ask("GET", f"{page}?q={word}", house.browser)
            await house.ask("GET", f"{page}?q={word}")
    found = await house.ask("GET", f"/app/customers?q={PERSON['mail address']}", house.browser)
    assert PERSON["last name"] in found.text
    proof = {"form-token": house.secrets["form token"]}
    for fields in (
        {"points": "5", "reason": PERSON["reason typed by hand"], "key": "a" * 24},
        {"points": PERSON["last name"], "reason": PERSON["reason typed by hand"]},
        {"points": "9" * 400, "reason": PERSON["reason typed by hand"], "key": PERSON["mail address"]},
    ):
        await house.ask("POST", "/app/customers/1/adjust", house.browser, data=fields | proof)
    await house.ask("POST", "/app/customers/1/forget", house.browser, data={"typed": PERSON["last name"]} | proof)
    for path in ("", "/adjust", "/export", "/forget", "/language", "/hold"):
        await house.ask("GET", f"/app/customers/1{path}", house.browser)
        await house.ask("GET", f"/app/customers/1{path}")


async def _files(house: House) -> None:
    """Balances in, with lines that are wrong, and every file out; and links to files that are nobody's."""
    proof = {"form-token": house.secrets["form token"]}
    lines = (
        f"email,points,first name\n{PERSON['address of another']},5,{PERSON['name in a file']}\n"
        f"{PERSON['name in a file']},{PERSON['words of a search']},x\n{PERSON['mail address']},-3,y\n"
    )
    sent = await house.ask(
        "POST", "/app/connections/data", house.browser, data=proof,
        files={"file": (f"{PERSON['last name']}.csv", lines.encode(), "text/csv")},
    )  # fmt: skip
    assert sent.status_code == 303
    for content in (b"\xff\xfe" + PERSON["mail address"].encode(), f"{PERSON['mail address']}\n".encode() * 5):
        file = (f"{PERSON['first name']}.csv", content, "text/csv")
        answer = await house.browser.post("/app/connections/data", data=proof, files={"file": file})
        assert answer.status_code == 422
    await house.ask("POST", "/app/connections/data/1", house.browser, data=proof | {"act": "begin"})
    page = await house.ask("GET", "/app/connections/data", house.browser)
    addresses = re.findall(r'href="(/app/connections/files/([^"]+))"', page.text)
    assert addresses
    for number, (address, token) in enumerate(addresses):
        house.secrets[f"address of a file {number}"] = token
        assert (await house.ask("GET", address, house.browser)).status_code == 200
    await house.ask("GET", f"/app/connections/files/{SECRETS['guessed link']}")


async def _platform_fails(house: House) -> None:
    """Keys pasted wrong; a Shopify that refuses, falls silent, and renews the key in between; then takes it back."""
    proof = {"form-token": house.secrets["form token"]}
    for pasted in (SECRETS["secret key pasted by mistake"], PERSON["mail address"]):
        await house.ask("POST", "/app/connections/stripe", house.browser, data=proof | {"key": pasted})
    harbour = house.harbour
    for status in (500, 502, 401, 403, 429, 404):
        harbour.pretend.fail_next = [status] * 12
        await harbour.rows("UPDATE merchants SET describe_after = NULL")
        await jobs.describe_due(harbour.here)
        await connections.tend(harbour.here)
        await harbour.rows("UPDATE connections SET revoked_at = NULL, revoked_why = NULL")
    harbour.pretend.fail_next = []
    _gathers(house)
    harbour.clock.passes(2 * HOUR / 1_000_000)
    harbour.pretend.tokens.fail_next = [503, 400]
    for _ in range(3):
        await harbour.rows("UPDATE merchants SET describe_after = NULL")
        await harbour.rows("UPDATE connections SET refresh_after = NULL, refresh_claim = NULL")
        await jobs.describe_due(harbour.here)
        _gathers(house)
    harbour.clock.passes(2 * DAY / 1_000_000)
    await jobs.renew(harbour.here)
    harbour.shop.installed = False
    await harbour.rows("UPDATE merchants SET describe_after = NULL")
    await jobs.describe_due(harbour.here)


async def _pages_break(house: House) -> None:
    """While somebody is signed in, by cookie and by token, with everything they brought along in the error's words."""
    asked = f"?q={PERSON['words of a search']}&email={PERSON['mail address']}"
    typed = {
        "form-token": house.secrets["form token"],
        "name": PERSON["last name"],
        "reason": PERSON["reason typed by hand"],
    }
    link = await house.harbour.here.database.run(
        lambda: new_link(1, "link:nora", house.harbour.here.vault, house.harbour.clock.now())
    )
    browser = house.client()
    assert (await browser.post(f"/app/sign-in/{link}")).status_code == 303
    found = re.search(r'name="form-token" value="([^"]+)"', (await browser.get("/app/programme")).text)
    assert found is not None
    house.secrets |= {"another session": browser.cookies["__Host-regulars"], "another form token": found[1]}
    typed["form-token"] = found[1]
    assert (await house.ask("GET", f"/app/broken{asked}", browser)).status_code == 500
    assert (await house.ask("POST", f"/app/broken{asked}", browser, data=typed)).status_code == 500
    for path in (
        f"/c/broken{asked}",
        f"/{PERSON['last name']}{asked}",
        f"/app/%00{asked}",
        f"/c/me/{SECRETS['guessed link']}",
    ):
        await house.ask("GET", path, headers={"Cookie": f"__Host-regulars={SECRETS['forged cookie']}"})
    context = house.harbour.here
    closed = plain("SELECT no_such_column FROM customers WHERE merchant_id = ?1 AND email = ?2")
    with pytest.raises(Exception, match="no_such_column"):
        await context.database.read(lambda: ask(closed, (1, PERSON["mail address"])))


def _gathers(house: House) -> None:
    """Whatever the platform has given out by now is a secret, too."""
    tokens = house.harbour.pretend.tokens
    house.secrets |= {f"token {one[-6:]}": one for one in (*tokens.access, *tokens.refresh, *tokens.codes)}
