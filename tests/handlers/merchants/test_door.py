"""Who gets in, how, and who does not: session tokens of the admin, cookies of one-time links, and what is forged."""

import asyncio
import re
from html import unescape
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from structlog.testing import capture_logs

from handlers.merchants import sessions
from integration.channels import Letter, Receipt
from integration.clock import DAY, HOUR, MINUTE
from integration.errors import Unavailable
from tests.visits import HERE, NORA, OTTO, SECRET, SHOPS, House, Visitor

COOKIE = "__Host-regulars"


async def link_of(house: House, merchant: int = NORA) -> str:
    """Make a one-time link, as the command does."""
    now = house.clock.now()
    token = await house.database.run(lambda: sessions.new_link(merchant, "link:nora", house.context.vault, now))
    return f"/app/sign-in/{token}"


async def is_in(visitor: Visitor) -> bool:
    """Tell whether a browser sees the pages."""
    return (await visitor.get("/app")).status_code == 200


# --- One-time links and sessions ---


async def test_a_link_is_used_by_its_button_alone_and_once(house: House) -> None:
    """A scanner that opens the link ten times leaves it unused; after the button it opens nothing for anybody."""
    path, nora, thief = await link_of(house), house.stranger(), house.stranger()
    for _ in range(3):
        assert (await thief.get(path)).status_code == 200
        assert (await thief.client.head(path)).status_code == 200
    answer = await nora.client.post(path)
    assert (answer.status_code, answer.headers["location"]) == (303, "/app")
    kept = answer.headers["set-cookie"]
    assert kept.startswith(f"{COOKIE}=") and "Secure" in kept and "HttpOnly" in kept and "SameSite=lax" in kept
    assert "Path=/" in kept and "Domain" not in kept
    assert await is_in(nora)
    assert (await thief.client.post(path)).status_code == 404
    assert (await thief.get(path)).status_code == 404
    assert not await is_in(thief)


async def test_of_two_who_press_at_once_one_gets_in(house: House) -> None:
    """The database decides, not who read first."""
    path, browsers = await link_of(house), [house.stranger() for _ in range(4)]
    answers = await asyncio.gather(*(browser.client.post(path) for browser in browsers))
    assert sorted(answer.status_code for answer in answers) == [303, 404, 404, 404]


async def test_a_link_lasts_a_quarter_of_an_hour(house: House) -> None:
    """A link found in a mailbox later opens nothing."""
    path = await link_of(house)
    house.clock.offset = 15 * MINUTE
    assert (await house.stranger().client.post(path)).status_code == 404


async def test_a_link_is_for_one_merchant_and_one_purpose(house: House) -> None:
    """Neither a changed link, nor Otto's number in Nora's, nor another kind of signed link opens anything."""
    path, vault = await link_of(house), house.context.vault
    secret = vault.check("sign-in", path.rpartition("/")[2])
    assert secret is not None
    for forged in (
        path[:-1],
        path + "A",
        "/app/sign-in/" + vault.sign("sign-in", OTTO, secret[1]),
        "/app/sign-in/" + vault.sign("session", NORA, secret[1]),
        "/app/sign-in/" + vault.sign("unsubscribe", NORA, secret[1], "x"),
    ):
        assert (await house.stranger().client.post(forged)).status_code == 404


async def test_a_session_ends_idle_by_age_and_by_hand(house: House) -> None:
    """A day without a look, a fortnight however busy, and at once when it is revoked or signed out of."""
    start = house.clock.instant
    idle = await house.signed_in()
    house.clock.offset = 24 * HOUR
    assert not await is_in(idle)
    busy = await house.signed_in()
    for hours in range(24, 24 + 14 * 24, 20):
        house.clock.instant = start + (hours - 24) * HOUR
        assert await is_in(busy)
    house.clock.instant = start + 14 * DAY
    assert not await is_in(busy)
    one, two = await house.signed_in(), await house.signed_in()
    assert (await one.post("/app/sign-out")).status_code == 303
    assert not await is_in(one) and await is_in(two)
    unused = await link_of(house)
    assert await house.database.run(lambda: sessions.end_sessions(NORA, house.clock.now())) >= 1
    assert not await is_in(two)
    assert (await house.stranger().client.post(unused)).status_code == 404


async def test_signing_in_again_ends_the_session_before(house: House) -> None:
    """A browser has one session and one merchant: Nora's cookie opens nothing once she signed in for Otto."""
    nora = await house.signed_in(NORA)
    former = nora.client.cookies[COOKIE]
    await nora.client.post(await link_of(house, OTTO))
    assert nora.client.cookies[COOKIE] != former
    page = (await nora.get("/app")).text
    assert "Otto" in page and "Nora" not in page
    assert not await is_in(house.stranger(Cookie=f"{COOKIE}={former}"))
    nora.form_token = None
    await nora.token()
    stale = await nora.client.post("/app/sign-out", data={"form-token": "made for Nora's session"})
    assert stale.status_code == 403


async def test_a_cookie_that_was_touched_opens_nothing(house: House) -> None:
    """Signed, looked up, and of this kind: a link's token, another merchant's number, or rubbish is no session."""
    nora = await house.signed_in(NORA)
    value, vault = nora.client.cookies[COOKIE], house.context.vault
    parts = vault.check("session", value)
    assert parts is not None
    for forged in (
        value[:-1],
        vault.sign("session", OTTO, parts[1]),
        vault.sign("sign-in", NORA, parts[1]),
        vault.sign("session", NORA, "guessed"),
        "a.b",
        "%00",
        "",
        "x" * 5_000,
    ):
        assert not await is_in(house.stranger(Cookie=f"{COOKIE}={forged}")), forged
    assert not await is_in(house.stranger(Cookie=f"regulars-on-http={value}"))
    digests = await house.rows("SELECT digest FROM sessions UNION SELECT digest FROM sign_in_links")
    assert all(parts[1] not in digest for (digest,) in digests), "the database holds what would open it"


async def test_a_merchant_who_left_is_let_in_no_more(house: House) -> None:
    """After the shop uninstalled, neither an old cookie nor an old token opens anything."""
    nora, admin = await house.signed_in(NORA), house.embedded()
    assert await is_in(nora) and await is_in(admin)
    await house.does("UPDATE connections SET closed_at = 1 WHERE merchant_id = 1")
    await house.does("UPDATE merchants SET closed_at = 1 WHERE id = 1")
    assert not await is_in(nora) and not await is_in(admin)
    sent = await nora.get("/app")
    assert (await nora.get(sent.headers["location"])).status_code == 200, "sent to sign in, and not round in a circle"


async def test_without_https_a_session_stays_on_the_machine(database: Any) -> None:
    """On a developer's own machine the cookie is another one; over http from elsewhere nobody signs in."""
    house = await House(database, over={"public_url": "http://localhost:8000"}).open()
    path, near, far = await link_of(house), house.stranger(), house.stranger()
    far.client.base_url = "http://shop.example"
    assert (await far.client.post(path)).status_code == 403
    near.client.base_url = "http://localhost:8000"
    answer = await near.client.post(path)
    assert answer.headers["set-cookie"].startswith("regulars-on-http=") and "Secure" not in answer.headers["set-cookie"]
    assert await is_in(near)


# --- Signing in by mail ---


async def test_a_link_comes_by_mail_and_the_page_tells_nobody_whether(house: House) -> None:
    """Known or not, the page says the same; the mail has a link that works."""
    stranger = house.stranger()
    answers = []
    for address in ("Owner1@shop.example", "nobody@shop.example"):
        answer = await stranger.client.post("/app/sign-in", data={"email": address})
        assert answer.status_code == 200 and "set-cookie" not in answer.headers
        answers.append(answer.text.replace(address, ""))
    assert answers[0] == answers[1]
    [mail] = house.mail.mailbox
    assert mail["To"] == "owner1@shop.example" and "Nora's Tea" in mail["Subject"]
    body = mail.get_body(("plain",))
    assert body is not None
    link = re.search(rf"{HERE}(/app/sign-in/\S+)", body.get_content())
    assert link
    assert (await stranger.client.post(link[1])).status_code == 303
    assert await is_in(stranger)


async def mailed_link(house: House, **asked: str) -> str:
    """Ask for a link as Nora does at the page of signing in; returns the path of the one that came."""
    house.mail.mailbox.clear()
    answer = await house.stranger().client.post("/app/sign-in", data={"email": "owner1@shop.example", **asked})
    assert answer.status_code == 200
    body = house.mail.mailbox[0].get_body(("plain",))
    assert body is not None
    found = re.search(rf"{HERE}(/app/sign-in/\S+)", body.get_content())
    assert found
    return found[1]


async def test_a_mailed_link_leads_where_one_wanted_to_go(house: House) -> None:
    """From a bookmark over the mailbox to that very page, asked for again or not; the shop's owner alone decides."""
    wished = "/app/customers?q=ana&sort=points"
    turned = (await house.stranger().get(wished)).headers["location"]
    page = (await house.stranger().get(turned)).text
    typed = re.search(r'name="to" value="([^"]+)"', page)
    assert typed and unescape(typed[1]) == wished
    sent = await house.stranger().client.post("/app/sign-in", data={"email": "nobody@shop.example", "to": wished})
    again = re.search(r'href="(/app/sign-in\?to=[^"]+)"', sent.text)
    assert again and parse_qs(urlsplit(unescape(again[1])).query) == {"to": [wished]}
    link = await mailed_link(house, to=wished)
    answer = await house.stranger().client.post(link)
    assert (answer.status_code, answer.headers["location"]) == (303, wished)
    await house.does("UPDATE merchants SET email = 'owner1@shop.example'")
    link = await mailed_link(house, to="/app/customers/7")
    assert (await house.stranger().client.post(link)).headers["location"] == "/app", "whose seventh, of two shops?"


async def test_a_link_leads_to_pages_of_ours_alone(house: House) -> None:
    """Neither what is asked for nor what a link holds sends anybody elsewhere, in circles, or for ever along."""
    vault, now = house.context.vault, house.clock.now()
    for to in (
        "https://evil.example/app", "//evil.example", "/app\\@evil.example", "/app/..//evil.example",
        "/app\r\nSet-Cookie: a=b", "/app/sign-in/x", "/app/bounce?shopify-reload=/app", "/app?" + "x" * 500,
    ):  # fmt: skip
        await house.does("DELETE FROM sign_in_links")
        answer = await house.stranger().client.post(await mailed_link(house, to=to))
        assert (answer.status_code, answer.headers["location"]) == (303, "/app"), to
        made = await house.database.run(lambda t=to: sessions.new_link(NORA, "link:nora", vault, now, to=t))  # type: ignore[misc]
        answer = await house.stranger().client.post(f"/app/sign-in/{made}")
        assert (answer.status_code, answer.headers["location"]) == (303, "/app"), to


async def test_a_mailbox_that_refuses_keeps_nobody_elses_link_back(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two shops of one address: the first letter fails, the second goes out."""
    await house.does("UPDATE merchants SET email = 'both@shop.example'")
    send, tried = house.mail.send, []

    async def refusing(_: object, letter: Letter) -> Receipt:
        tried.append(letter.subject)
        if len(tried) == 1:
            raise Unavailable("451 both@shop.example is asked to try again later")
        return await send(letter)

    monkeypatch.setattr(type(house.mail), "send", refusing)
    with capture_logs() as logged:
        answer = await house.stranger().client.post("/app/sign-in", data={"email": "both@shop.example"})
    assert answer.status_code == 200
    [mail] = house.mail.mailbox
    assert len(tried) == 2 and mail["Subject"] == tried[1]
    assert logged == [{"event": "sign_in_link_not_mailed", "log_level": "warning", "error": "Unavailable"}], (
        "neither the address nor what the link holds"
    )


async def test_a_mailbox_is_not_flooded(house: House) -> None:
    """Whoever asks, and however often: three links an hour."""
    for _ in range(6):
        await house.stranger().client.post("/app/sign-in", data={"email": "owner1@shop.example"})
    assert len(list(house.mail.mailbox)) == 3
    house.clock.offset = HOUR
    await house.stranger().client.post("/app/sign-in", data={"email": "owner1@shop.example"})
    assert len(list(house.mail.mailbox)) == 4


async def test_what_is_no_address_is_said_beside_the_field(house: House) -> None:
    """Nothing is mailed, and what was typed comes back as text."""
    injected = "nora@shop.example\r\nBcc: x@evil.example"
    for email in ("", "nora", injected, "a" * 300 + "@shop.example", "<b>@x</b>", "a@b\0"):
        answer = await house.stranger().client.post("/app/sign-in", data={"email": email})
        assert answer.status_code in (400, 422) or email == "<b>@x</b>"
        assert "<b>" not in answer.text and "Bcc" not in str(answer.headers)
    assert list(house.mail.mailbox) == []


async def test_another_site_cannot_sign_anybody_in(house: House) -> None:
    """A page elsewhere that posts its own link, or asks for mails in somebody's name, is refused."""
    path = await link_of(house)
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        assert (await house.stranger().client.post(path, headers=headers)).status_code == 403
        asked = await house.stranger().client.post(
            "/app/sign-in", data={"email": "owner1@shop.example"}, headers=headers
        )
        assert asked.status_code == 403
    assert list(house.mail.mailbox) == []
    assert (await house.stranger().client.post(path)).status_code == 303


# --- Session tokens ---


async def test_the_admin_opens_the_pages(house: House) -> None:
    """A session token opens its shop's pages, in a document's address or as a fetch's bearer; no cookie is set."""
    document = await house.stranger().get(f"/app?id_token={house.token()}&embedded=1&shop=otto.myshopify.com")
    assert document.status_code == 200 and "Nora" in document.text and "set-cookie" not in document.headers
    assert '<meta name="shopify-api-key"' in document.text
    assert (await house.embedded(SHOPS[OTTO]).get("/app")).text.count("Otto") == 1


async def test_a_forged_token_opens_nothing(house: House) -> None:
    """On a fetch and on a document; a cookie of the same browser does not make up for it."""
    nora = await house.signed_in()
    forgeries: list[dict[str, Any]] = [
        {"aud": "another app"},
        {"dest": "https://evil.example"},
        {"dest": "https://otto.myshopify.com"},
        {"iss": "https://otto.myshopify.com/admin"},
        {"exp": 1},
        {"nbf": 4_000_000_000},
        {"sub": None},
    ]
    for forged in forgeries:
        token = house.token(**forged)
        for visitor in (house.stranger(), nora):
            assert (await visitor.get("/app", Authorization=f"Bearer {token}")).status_code == 401
            assert (await visitor.get(f"/app?id_token={token}")).status_code == 302


async def test_a_good_token_counts_in_its_own_place_alone(house: House) -> None:
    """Said twice, after another word than Bearer, in a form or in a cookie, it is none."""
    good, stranger = house.token(), house.stranger()
    assert (await stranger.get("/app", Authorization=f"bearer {good}")).status_code == 200
    for word in ("Basic", "Token", "Bearer,", ""):
        assert (await stranger.get("/app", Authorization=f"{word} {good}".strip())).status_code == 401, word
    assert (await stranger.get(f"/app?id_token={good}&id_token={good}")).status_code == 302
    assert (await stranger.get("/app", Cookie=f"{COOKIE}={good}; id_token={good}")).status_code == 302
    assert (await stranger.client.post("/app/sign-out", data={"id_token": good})).status_code == 401


async def test_a_token_of_a_shop_nobody_installed_in_opens_nothing(house: House) -> None:
    """A real token of another shop of Shopify's."""
    answer = await house.embedded("stranger.myshopify.com").get("/app")
    assert answer.status_code == 403 and "Nora" not in answer.text


async def test_a_document_without_a_token_goes_by_the_bounce_page_and_only_once(house: House) -> None:
    """App Bridge is sent back to where we were, with the parameters that were there; not for ever."""
    admin = house.stranger(**{"Sec-Fetch-Dest": "iframe"})
    sent = await admin.get("/app/customers?q=ana&host=YQ&shop=nora.myshopify.com&id_token=old&hmac=x")
    to = urlsplit(sent.headers["location"])
    query = parse_qs(to.query)
    assert (sent.status_code, to.path) == (302, "/app/bounce")
    assert query["shop"] == ["nora.myshopify.com"] and query["host"] == ["YQ"]
    [back] = query["shopify-reload"]
    assert back.startswith("/app/customers?q=ana&") and "id_token" not in back and "hmac" not in back
    page = await admin.get(f"{to.path}?{to.query}")
    assert page.status_code == 200 and "app-bridge.js" in page.text
    assert page.headers["content-security-policy"].endswith(
        "frame-ancestors https://nora.myshopify.com https://admin.shopify.com"
    )
    assert (await admin.get(f"{back}&id_token=refused")).status_code == 401
    for odd in ("²", "٣", "9" * 5_000, "-1", ""):
        assert (await admin.get(f"/app?id_token=refused&bounced={quote(odd)}")).status_code == 302, odd
    house.clock.offset = MINUTE
    assert (await admin.get(f"{back}&id_token=refused")).status_code == 302


async def test_a_token_is_never_repeated(
    house: House, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither pages nor redirects nor logs hold a part of a token, good or bad, whatever goes wrong."""
    good, bad = house.token(), house.token(aud="another")
    paths = (f"/app?id_token={good}", f"/app?id_token={bad}&embedded=1", f"/app/none?id_token={good}")
    answers = []
    with capture_logs() as logged:
        answers += [await house.stranger().get(path) for path in paths]
        answers.append(await house.stranger().get("/app", Authorization=f"Bearer {bad}"))
        monkeypatch.setattr("handlers.merchants.door._visit", _broken)
        answers.append(await house.stranger().get(paths[0]))
    assert [answer.status_code for answer in answers] == [200, 302, 404, 401, 500]
    told = f"{logged}{caplog.text}{[(answer.text, answer.headers) for answer in answers]}"
    assert "page_failed" in {entry["event"] for entry in logged}
    assert good[-40:] not in told and bad[-40:] not in told and SECRET not in told


def _broken(*_: object, **__: object) -> None:
    raise RuntimeError("a fault of ours")


# --- Where one is sent, and what is said there ---


async def test_nobody_is_sent_elsewhere(house: House) -> None:
    """Whatever stands in `to` and `shopify-reload`: a page of ours, or nothing; test_frame.py has the long list."""
    nora = await house.signed_in()
    for to in ("https://evil.example/app", "//evil.example", "/app\\@evil.example", "/app\r\nSet-Cookie: a=b", ""):
        sent = await nora.get(f"/app/sign-in?to={quote(to, safe='')}")
        assert (sent.status_code, sent.headers["location"]) == (303, "/app")
        bounced = await house.stranger().get(f"/app/bounce?shopify-reload={quote(to, safe='')}")
        assert bounced.status_code == 400 and "app-bridge" not in bounced.text
    assert (await nora.get("/app/sign-in?to=/app/customers%3Fq%3Dana")).headers["location"] == "/app/customers?q=ana"


async def test_a_forged_host_makes_no_links(house: House) -> None:
    """Links are made from PUBLIC_URL, whatever Host and the forwarding headers say."""
    for headers in ({"Host": "evil.example"}, {"X-Forwarded-Host": "evil.example"}, {"Forwarded": "host=evil.example"}):
        answer = await house.stranger().get("/app", **headers)
        assert "evil" not in answer.headers["location"]
        await house.stranger().client.post("/app/sign-in", data={"email": "owner1@shop.example"}, headers=headers)
    assert all("evil" not in str(mail) for mail in house.mail.mailbox)
    assert (await house.stranger().get("/app/")).status_code == 302


# --- What is posted ---


async def test_a_form_has_limits(house: House) -> None:
    """Too large, too many fields, a file nobody asked for, NUL: an answer in the look of the pages, never a 500."""
    nora = await house.signed_in()
    token = await nora.token()
    multipart = "multipart/form-data; boundary=x"
    for body, kind, status in (
        (b"a=" + b"x" * 600_000, "application/x-www-form-urlencoded", 413),
        (b"a=" + b"x" * 200_000, "application/x-www-form-urlencoded", 413),
        (b"&".join(b"a=1" for _ in range(1_100)), "application/x-www-form-urlencoded", 413),
        (b"&".join(b"a=" + b"x" * 1_000 for _ in range(900)), "application/x-www-form-urlencoded", 413),
        (f"form-token={token}&a=%00".encode(), "application/x-www-form-urlencoded", 400),
        (b'--x\r\nContent-Disposition: form-data; name="f"; filename="a.csv"\r\n\r\n1\r\n--x--\r\n', multipart, 413),
        (b"--x\r\nrubbish", multipart, 403),
        (b"rubbish", "multipart/form-data", 400),
        (b"{" * 100_000, "application/json", 415),
    ):
        answer = await nora.client.post("/app/sign-out", content=body, headers={"Content-Type": kind})
        assert answer.status_code == status, (kind, body[:20], answer.status_code)
        assert "Traceback" not in answer.text and "<h1>" in answer.text
    for unannounced in (_endless(), _many()):
        answer = await nora.client.post(
            "/app/sign-out", content=unannounced, headers={"Content-Type": "application/x-www-form-urlencoded"}
        )
        assert answer.status_code == 413
    assert await is_in(nora)


@pytest.mark.parametrize(("length", "status"), [("²", 400), ("-1", 400), ("1e3", 400), ("9" * 5_000, 413)])
async def test_a_length_that_is_no_number_is_refused(house: House, length: str, status: int) -> None:
    """Whatever a server in front of us lets through: an answer, never a fault."""
    headers = [(b"Content-Length", length.encode("latin-1")), (b"Content-Type", b"application/x-www-form-urlencoded")]
    for path, visitor in (("/app/sign-in", house.stranger()), ("/app/sign-out", await house.signed_in())):
        answer = await visitor.client.request("POST", path, headers=headers, content=_endless())
        assert answer.status_code == status, path


async def _many() -> Any:
    """Yield fields that are few and small enough, each by itself."""
    for _ in range(900):
        yield b"&a=" + b"x" * 1_000


async def _endless() -> Any:
    for _ in range(100):
        yield b"x" * 65_536


async def test_what_breaks_inside_is_not_shown(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault or a database that is away: a page that says what to do, and nothing of what happened."""
    nora = await house.signed_in()

    async def broken(*_: object) -> None:
        raise RuntimeError("secret detail of Ana Lopez")

    monkeypatch.setattr("handlers.merchants.door.cookie_session", broken)
    answer = await nora.get("/app")
    assert answer.status_code == 500
    assert "secret detail" not in answer.text and "RuntimeError" not in answer.text and "<h1>" in answer.text
