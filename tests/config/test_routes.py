"""Every address the program answers: who may, how a POST is proven, who may frame it, and what strangers' things give.

A new line in config/routes.py needs a row here. For a page of the merchant:

    ("GET", "/app/customers/{number}"): Row(VISITOR, "/app/customers/1", others=404, make=customer_of_otto),

`at` is a concrete address, `make` gives Otto what stands behind it, and `others` is what Nora gets there: 404, as for
what does not exist. A POST also names in `fields` what its form would hold.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import pytest
from starlette.routing import Route

from config.routes import ROUTES
from integration.database.schema import metadata
from tests.conftest import REPOSITORY
from tests.visits import HERE, NORA, OTTO, House

# Every parameter that some page reads from its address.
ASKED = {
    name
    for path in (REPOSITORY / "handlers").rglob("*.py")
    for name in re.findall(r"query(?:_params)?\.get\(\"([\w-]+)\"", path.read_text())
}

# Who looked at whom; and sums that a page has counted, which say nothing but what was there.
WRITTEN_BY_LOOKING = {"looks", "program_forecasts"}

VISITOR = "visitor"  # a merchant's own people, through the door
ANYBODY = "anybody"  # nothing of anybody's is shown or changed
LINK = "link"  # whoever holds a signed link
OPERATOR = "operator"

NEVER_FRAMED = "frame-ancestors 'none'"
FRAMED_BY_NORA = "frame-ancestors https://nora.myshopify.com https://admin.shopify.com"


@dataclass(frozen=True)
class Row:
    """What is expected of one method of one route."""

    who: str
    at: str = ""
    others: int | None = None  # for an address with an id of another merchant's in it
    make: Callable[[House], Awaitable[None]] | None = None
    kind: str = "text/html"
    ok: int = 200  # what GET answers to Nora when there is nothing of hers yet
    fields: Mapping[str, Any] = field(default_factory=dict)


async def programme_of_otto(house: House) -> None:
    """Otto has a second version of his programme with a reward, and something typed that he has not saved."""
    five = '{"catalogue": {"five": {"name": "5 off", "kind": "amount_off", "points": 500, "value": "5"}}}'
    await house.does(
        "INSERT INTO program_versions (merchant_id, version, in_force_at, created_at, document)"
        " SELECT 2, 2, 0, 0, substr(document, 1, length(document) - 1) || ?1"
        " FROM program_versions WHERE merchant_id = 2",
        f', "rewards": {five}}}',
    )
    await house.does(
        "INSERT INTO program_drafts (merchant_id, number, base, fields, who, at) VALUES (2, 7, 2, '{}', 'link:otto', 0)"
    )


async def reward_of_otto(house: House) -> None:
    """A customer of Otto's has a reward."""
    terms = '{"name": "A walk", "kind": "by_hand", "points": 5, "instructions": "Come by."}'
    await house.does(
        "INSERT INTO redemptions (merchant_id, number, key, customer, reward, version, kind, terms, points,"
        " value_minor, currency, state, asked_at)"
        " VALUES (?1, 7, 'k', 1, 'walk', 1, 'by_hand', ?2, 5, 0, 'EUR', 'issued', 0)",
        OTTO,
        terms,
    )


async def friend_of_otto(house: House) -> None:
    """A customer of Otto's brought a friend, who waits for his word."""
    await house.does(
        "INSERT INTO referrals (merchant_id, sale, referrer, friend, state, why, at)"
        " VALUES (?1, 7, 1, 2, 'held', 'household', 0)",
        OTTO,
    )


async def discount_of_otto(house: House) -> None:
    """Otto has switched a discount of his off in Shopify."""
    terms = '{"name": "5 off", "kind": "amount_off", "points": 5, "value": "5", "shared": true}'
    await house.does(
        "INSERT INTO discounts_off (merchant_id, platform_id, reward, terms, since_at)"
        " VALUES (?1, 'gid://shopify/DiscountCodeNode/7', 'five', ?2, 0)",
        OTTO,
        terms,
    )


async def message_of_otto(house: House) -> None:
    """Otto has a note waiting."""
    await house.does(
        "INSERT INTO messages (merchant_id, key, kind, channel, state, due_at, next_attempt_at, created_at)"
        " VALUES (?1, 'thank_you:sale:1', 'thank_you', 'email', 'scheduled', 9, 9, 9)",
        OTTO,
    )


async def stripe_of_otto(house: House) -> None:
    """Otto has a Stripe account connected, by hand."""
    await house.does(
        "INSERT INTO connections (id, merchant_id, platform, account, created_at, connected_at)"
        " VALUES (7, ?1, 'stripe', 'ottos-path', 0, 0)",
        OTTO,
    )


async def import_of_otto(house: House) -> None:
    """Otto has looked at a file of balances."""
    await house.does(
        "INSERT INTO imports (merchant_id, number, state, digest, file, encoding, newcomers, who, read_at)"
        " VALUES (?1, 3, 'checked', 'x', 'smile.csv', 'utf-8', 'add', 'link:otto', 0)",
        OTTO,
    )


async def event_of_otto(house: House) -> None:
    """Otto has an event that was given up."""
    await house.does(
        "INSERT INTO events (id, source, connection, delivery_id, topic, merchant_id, received_at, next_attempt_at,"
        " failed_at, reason) VALUES (77, 'shopify', 'otto.myshopify.com', 'd', 'orders/paid', ?1, 1, 1, 2, 'odd')",
        OTTO,
    )


EVENT = "/app/activity/events/77"
STOP = "/app/messages/stop/thank_you:sale:1"
WORDS = "/app/messages/words/thank_you"
TYPED = {"subject": "Thank you", "body": "Hello", "language": "en", "base": ""}


async def customer_of_otto(house: House) -> None:
    """Otto has a customer who owes points."""
    await house.does(
        "INSERT INTO customers (merchant_id, number, first_name, email, created_at)"
        " VALUES (?1, 1, 'Olga', 'o@x.example', 1)",
        OTTO,
    )
    await house.does("INSERT INTO accounts VALUES (?1, 'customer:1:available', -5000000)", OTTO)


CUSTOMER = "/app/customers/1"


def about_otto(path: str, **fields: str) -> Row:
    """A page about Otto's customer, which Nora does not find."""
    return Row(VISITOR, f"{CUSTOMER}{path}", others=404, make=customer_of_otto, fields=fields)


PROXY = ("", "/", "/history", "/redeem", "/reward", "/return", "/{rest:path}")
ACCOUNT = ("", "/history", "/redeem", "/reward", "/return", "/file", "/forget")
ACTS = ("/redeem", "/return", "/mails", "/language", "/birthday", "/friends")

TABLE: dict[tuple[str, str], Row] = {
    ("GET", "/healthz"): Row(OPERATOR),
    ("GET", "/readyz"): Row(OPERATOR),
    ("GET", "/metrics"): Row(OPERATOR),
    ("GET", "/app"): Row(VISITOR, "/app"),
    ("GET", "/app/programme"): Row(VISITOR, "/app/programme"),
    ("POST", "/app/programme"): Row(VISITOR, "/app/programme", fields={"earning.hold_days": "14"}),
    ("POST", "/app/programme/preview"): Row(VISITOR, "/app/programme/preview", fields={"earning.hold_days": "14"}),
    ("POST", "/app/programme/rewards/{reward}/preview"): Row(
        VISITOR, "/app/programme/rewards/five/preview", 404, programme_of_otto
    ),
    ("GET", "/app/programme/history"): Row(VISITOR, "/app/programme/history"),
    ("GET", "/app/friends"): Row(VISITOR, "/app/friends"),
    ("GET", "/app/friends/{number}"): Row(VISITOR, "/app/friends/7", 404, friend_of_otto),
    ("POST", "/app/friends/{number}"): Row(VISITOR, "/app/friends/7", 404, friend_of_otto, fields={"do": "allow"}),
    ("GET", "/app/rewards"): Row(VISITOR, "/app/rewards"),
    ("POST", "/app/rewards/look"): Row(VISITOR, "/app/rewards/look"),
    ("GET", "/app/rewards/switched-off/{discount}"): Row(VISITOR, "/app/rewards/switched-off/7", 404, discount_of_otto),
    ("POST", "/app/rewards/switched-off/{discount}"): Row(
        VISITOR, "/app/rewards/switched-off/7", 404, discount_of_otto
    ),
    ("GET", "/app/rewards/{number}"): Row(VISITOR, "/app/rewards/7", 404, reward_of_otto),
    ("POST", "/app/rewards/{number}"): Row(VISITOR, "/app/rewards/7", 404, reward_of_otto, fields={"do": "take-back"}),
    ("GET", "/app/rewards/{number}/take-back"): Row(VISITOR, "/app/rewards/7/take-back", 404, reward_of_otto),
    ("GET", "/app/programme/rewards"): Row(VISITOR, "/app/programme/rewards"),
    ("GET", "/app/programme/rewards/{reward}"): Row(VISITOR, "/app/programme/rewards/five", 404, programme_of_otto),
    ("POST", "/app/programme/rewards/{reward}"): Row(VISITOR, "/app/programme/rewards/five", 404, programme_of_otto),
    ("GET", "/app/liability"): Row(VISITOR, "/app/liability"),
    ("GET", "/app/liability/files/{token}"): Row(LINK, "/app/liability/files/guessed", ok=404),
    ("GET", "/app/programme/what-if"): Row(VISITOR, "/app/programme/what-if"),
    ("GET", "/app/programme/review/{draft}"): Row(VISITOR, "/app/programme/review/7", 404, programme_of_otto),
    ("POST", "/app/programme/review/{draft}"): Row(VISITOR, "/app/programme/review/7", 404, programme_of_otto),
    ("GET", "/app/programme/restore/{version}"): Row(VISITOR, "/app/programme/restore/2", 404, programme_of_otto),
    ("POST", "/app/programme/restore/{version}"): Row(VISITOR, "/app/programme/restore/2", 404, programme_of_otto),
    ("GET", "/app/messages"): Row(VISITOR, "/app/messages"),
    ("GET", "/app/messages/queue"): Row(VISITOR, "/app/messages/queue"),
    ("GET", "/app/messages/undelivered"): Row(VISITOR, "/app/messages/undelivered"),
    ("GET", "/app/messages/stop/{key}"): Row(VISITOR, STOP, others=404, make=message_of_otto),
    ("POST", "/app/messages/stop/{key}"): Row(VISITOR, STOP, others=404, make=message_of_otto),
    ("GET", "/app/messages/pause"): Row(VISITOR, "/app/messages/pause"),
    ("POST", "/app/messages/pause"): Row(VISITOR, "/app/messages/pause"),
    ("GET", "/app/messages/resume"): Row(VISITOR, "/app/messages/resume"),
    ("POST", "/app/messages/resume"): Row(VISITOR, "/app/messages/resume"),
    ("GET", "/app/messages/words/{kind}"): Row(VISITOR, WORDS),
    ("POST", "/app/messages/words/{kind}"): Row(VISITOR, WORDS, fields=TYPED),
    ("POST", "/app/messages/words/{kind}/preview"): Row(VISITOR, f"{WORDS}/preview", fields=TYPED),
    ("POST", "/app/messages/words/{kind}/test"): Row(VISITOR, f"{WORDS}/test", fields=TYPED),
    ("POST", "/app/messages/words/{kind}/discard"): Row(VISITOR, f"{WORDS}/discard"),
    ("GET", "/app/messages/words/{kind}/reset"): Row(VISITOR, f"{WORDS}/reset"),
    ("POST", "/app/messages/words/{kind}/reset"): Row(VISITOR, f"{WORDS}/reset"),
    ("GET", "/app/messages/letter/{token}"): Row(LINK, "/app/messages/letter/guessed", ok=404),
    ("GET", "/app/requests"): Row(VISITOR, "/app/requests"),
    ("GET", "/app/customers"): Row(VISITOR, "/app/customers"),
    ("GET", "/app/customers/letter/{token}"): Row(LINK, "/app/customers/letter/guessed", ok=404),
    ("GET", "/app/customers/file/{token}"): Row(LINK, "/app/customers/file/guessed", ok=404),
    ("GET", "/app/customers/{number}"): about_otto(""),
    ("GET", "/app/customers/{number}/export"): about_otto("/export"),
    ("POST", "/app/customers/{number}/export"): about_otto("/export"),
    ("GET", "/app/customers/{number}/forget"): about_otto("/forget"),
    ("POST", "/app/customers/{number}/forget"): about_otto("/forget", typed="o@x.example"),
    ("GET", "/app/customers/{number}/adjust"): about_otto("/adjust"),
    ("POST", "/app/customers/{number}/adjust"): about_otto("/adjust", points="5", reason="x", key="a" * 24),
    ("GET", "/app/customers/{number}/forgive"): about_otto("/forgive"),
    ("POST", "/app/customers/{number}/forgive"): about_otto("/forgive", reason="x", key="a" * 24),
    ("GET", "/app/customers/{number}/hold"): about_otto("/hold"),
    ("POST", "/app/customers/{number}/hold"): about_otto("/hold"),
    ("GET", "/app/customers/{number}/release"): about_otto("/release"),
    ("POST", "/app/customers/{number}/release"): about_otto("/release"),
    ("GET", "/app/customers/{number}/language"): about_otto("/language"),
    ("POST", "/app/customers/{number}/language"): about_otto("/language", language="fr"),
    ("GET", "/app/activity"): Row(VISITOR, "/app/activity"),
    ("GET", "/app/activity/events/{number}"): Row(VISITOR, EVENT, others=404, make=event_of_otto),
    ("GET", "/app/activity/events/{number}/body"): Row(VISITOR, f"{EVENT}/body", others=404, make=event_of_otto),
    ("GET", "/app/activity/events/{number}/replay"): Row(VISITOR, f"{EVENT}/replay", others=404, make=event_of_otto),
    ("POST", "/app/activity/events/{number}/replay"): Row(VISITOR, f"{EVENT}/replay", others=404, make=event_of_otto),
    ("GET", "/app/activity/replay"): Row(VISITOR, "/app/activity/replay"),
    ("POST", "/app/activity/replay"): Row(VISITOR, "/app/activity/replay"),
    ("GET", "/app/activity/recovered"): Row(VISITOR, "/app/activity/recovered"),
    ("GET", "/app/activity/duplicates"): Row(VISITOR, "/app/activity/duplicates"),
    ("GET", "/app/activity/changes"): Row(VISITOR, "/app/activity/changes"),
    ("GET", "/app/activity/looks"): Row(VISITOR, "/app/activity/looks"),
    ("GET", "/app/sign-in"): Row(ANYBODY, "/app/sign-in"),
    ("POST", "/app/sign-in"): Row(ANYBODY, "/app/sign-in", fields={"email": "nobody@shop.example"}),
    ("GET", "/app/sign-in/{token}"): Row(ANYBODY, "/app/sign-in/guessed", ok=404),
    ("POST", "/app/sign-in/{token}"): Row(ANYBODY, "/app/sign-in/guessed", ok=404),
    ("POST", "/app/sign-out"): Row(VISITOR, "/app/sign-out"),
    ("GET", "/app/connections"): Row(VISITOR, "/app/connections"),
    ("GET", "/app/connections/stripe"): Row(VISITOR, "/app/connections/stripe"),
    ("POST", "/app/connections/stripe"): Row(VISITOR, "/app/connections/stripe", fields={"key": "none"}),
    ("POST", "/app/connections/stripe/{connection:int}/repair"): Row(
        VISITOR, "/app/connections/stripe/7/repair", others=404, make=stripe_of_otto
    ),
    ("GET", "/app/connections/stripe/{connection:int}/disconnect"): Row(
        VISITOR, "/app/connections/stripe/7/disconnect", others=404, make=stripe_of_otto
    ),
    ("POST", "/app/connections/stripe/{connection:int}/disconnect"): Row(
        VISITOR, "/app/connections/stripe/7/disconnect", others=404, make=stripe_of_otto
    ),
    ("GET", "/app/connections/domain"): Row(VISITOR, "/app/connections/domain"),
    ("GET", "/app/connections/data"): Row(VISITOR, "/app/connections/data"),
    ("POST", "/app/connections/data"): Row(VISITOR, "/app/connections/data"),
    ("GET", "/app/connections/data/{number:int}"): Row(
        VISITOR, "/app/connections/data/3", others=404, make=import_of_otto
    ),
    ("POST", "/app/connections/data/{number:int}"): Row(
        VISITOR, "/app/connections/data/3", others=404, make=import_of_otto, fields={"act": "begin"}
    ),
    ("GET", "/app/connections/data/{number:int}/undo"): Row(
        VISITOR, "/app/connections/data/3/undo", others=404, make=import_of_otto
    ),
    ("GET", "/app/connections/files/{token}"): Row(LINK, "/app/connections/files/guessed", ok=404),
    ("GET", "/"): Row(ANYBODY, "/?embedded=1", ok=302),
    ("GET", "/app/bounce"): Row(ANYBODY, "/app/bounce?shop=nora.myshopify.com&shopify-reload=/app"),
    ("GET", "/app/install"): Row(ANYBODY, "/app/install?shop=", ok=400),
    ("GET", "/app/install/back"): Row(ANYBODY, "/app/install/back?code=guessed&shop=nora.myshopify.com", ok=400),
    ("GET", "/app/static/{name}"): Row(ANYBODY, "/app/static/none.css", ok=404, kind="text/plain"),
    ("GET", "/app/{rest:path}"): Row(VISITOR, "/app/nowhere", ok=404),
    ("GET", "/c/unsubscribe/{token}"): Row(LINK, "/c/unsubscribe/guessed", ok=400),
    ("POST", "/c/unsubscribe/{token}"): Row(LINK, "/c/unsubscribe/guessed", ok=400),
    ("POST", "/c/unsubscribe/{token}/undo"): Row(LINK, "/c/unsubscribe/guessed/undo", ok=400),
    ("GET", "/c/friend/{code}"): Row(LINK, "/c/friend/23456789ABCDEF", ok=404),
    ("POST", "/c/friend/{code}"): Row(LINK, "/c/friend/23456789ABCDEF", ok=404),
    ("GET", "/c/welcome/{code}"): Row(LINK, "/c/welcome/23456789ABCDEF", ok=404),
    ("GET", "/c/review/{token}"): Row(LINK, "/c/review/guessed", ok=404),
    ("POST", "/c/review/{token}"): Row(LINK, "/c/review/guessed", ok=404),
    ("POST", "/c/review/{token}/later"): Row(LINK, "/c/review/guessed/later", ok=404),
    ("GET", "/c/me/{token}"): Row(LINK, "/c/me/guessed", ok=404),
    ("GET", "/c/me/{token}/history"): Row(LINK, "/c/me/guessed/history", ok=404),
    ("POST", "/c/me/{token}/mail"): Row(LINK, "/c/me/guessed/mail", ok=404),
    ("GET", "/c/open/{token}"): Row(LINK, "/c/open/guessed", ok=404),
    ("POST", "/c/open/{token}"): Row(LINK, "/c/open/guessed", ok=404),
    **{("GET", f"/c/account{path}"): Row(LINK, f"/c/account{path}", ok=404) for path in ACCOUNT},
    **{("POST", f"/c/account{path}"): Row(LINK, f"/c/account{path}", ok=404) for path in (*ACTS, "/export", "/forget")},
    **{
        ("GET", f"/proxy{path}"): Row(LINK, f"/proxy{path}".replace("{rest:path}", "nowhere"), ok=400) for path in PROXY
    },
    **{("POST", f"/proxy{path}"): Row(LINK, f"/proxy{path}", ok=400) for path in (*ACTS, "/mail", "/find")},
}


def rows(who: str, method: str) -> list[tuple[str, Row]]:
    """Return the rows of one kind, each with its route."""
    return [(path, row) for (verb, path), row in TABLE.items() if row.who == who and verb == method]


@pytest.fixture
async def house(database: Any) -> House:
    """Nora's and Otto's shops on each engine; Otto's hold what the rows want him to have."""
    house = await House(database).open()
    for make in {row.make for row in TABLE.values() if row.make is not None}:
        await make(house)
    return house


def test_every_route_has_a_row() -> None:
    """A page nobody thought about in this table is one nobody thought about."""
    routes = [route for route in ROUTES if isinstance(route, Route)]
    assert len(routes) == len(ROUTES)
    answered = {(verb, route.path) for route in routes for verb in (route.methods or set()) - {"HEAD"}}
    assert answered == set(TABLE)


def test_a_merchants_page_stands_behind_the_door_and_nothing_else_does() -> None:
    """Whoever forgets `opened` shows a page to everybody."""
    for route in ROUTES:
        assert isinstance(route, Route)
        for verb in (route.methods or set()) - {"HEAD"}:
            behind = getattr(route.endpoint, "behind_door", False)
            assert behind == (TABLE[verb, route.path].who == VISITOR), route.path


async def test_nobody_sees_a_merchants_page_without_signing_in(house: House) -> None:
    """Alone a stranger is sent to sign in, in the admin for a token; a wrong token on a fetch is asked for again."""
    stranger = house.stranger()
    for path, row in rows(VISITOR, "GET"):
        alone = await stranger.get(row.at)
        assert (alone.status_code, alone.headers["location"].partition("?")[0]) == (302, "/app/sign-in"), path
        framed = await stranger.get(row.at, **{"Sec-Fetch-Dest": "iframe"})
        assert (framed.status_code, framed.headers["location"].partition("?")[0]) == (302, "/app/bounce"), path
        fetched = await stranger.get(row.at, Authorization="Bearer none")
        assert fetched.status_code == 401, path
        assert fetched.headers["x-shopify-retry-invalid-session-request"] == "1", path
        for answer in (alone, framed, fetched):
            assert "Nora" not in answer.text and "set-cookie" not in answer.headers


async def test_a_merchants_page_is_framed_by_its_shops_admin_alone(house: House) -> None:
    """Alone nobody frames it; in the admin its shop and Shopify's admin, and no other shop."""
    nora, admin = await house.signed_in(NORA), house.embedded()
    for path, row in rows(VISITOR, "GET"):
        for visitor, policy in ((nora, NEVER_FRAMED), (admin, FRAMED_BY_NORA)):
            answer = await visitor.get(row.at)
            assert answer.status_code in (row.ok, row.others), path
            assert answer.headers["content-type"].startswith(row.kind), path
            assert answer.headers["content-security-policy"].split("; ")[-1] == policy, path


async def test_what_a_page_does_not_do_is_said_in_the_frame_it_stands_in(house: House) -> None:
    """A method no page has, in the admin: its shop may frame the answer; without a token that proves it, nobody."""
    nora, admin, stranger = await house.signed_in(NORA), house.embedded(), house.stranger()
    forged = house.token(dest="https://otto.myshopify.com")
    for path in sorted({row.at for _, row in rows(VISITOR, "GET")}):
        verb = next(verb for verb in ("PUT", "POST") if (verb, path) not in TABLE)
        token = admin._bearer()
        refused = [
            (await admin.client.request(verb, path, headers=token), FRAMED_BY_NORA),
            (await nora.client.request(verb, path), NEVER_FRAMED),
            (await stranger.client.request(verb, f"{path}?shop=nora.myshopify.com&embedded=1"), NEVER_FRAMED),
            (await stranger.client.request(verb, path, headers={"Authorization": f"Bearer {forged}"}), NEVER_FRAMED),
        ]
        for answer, policy in refused:
            assert answer.status_code == 405 and "<h1>" in answer.text, path
            assert answer.headers["content-security-policy"].split("; ")[-1] == policy, path
            assert ("x-frame-options" in answer.headers) == (policy == NEVER_FRAMED)


async def test_looking_changes_nothing(house: House) -> None:
    """Of all pages and links: whoever is made to follow one has done nothing, but that a look is written down."""
    nora = await house.signed_in(NORA)
    tables = sorted(set(metadata.tables) - WRITTEN_BY_LOOKING)

    async def everything() -> dict[str, list[str]]:
        return {table: sorted(map(str, await house.rows(f"SELECT * FROM {table}"))) for table in tables}

    before = await everything()
    for (verb, _), row in TABLE.items():
        if verb == "GET" and row.who != OPERATOR:
            await nora.get(row.at)
            await nora.get(f"{row.at}{'&' if '?' in row.at else '?'}act=begin&check=now&points=5&reason=x&key=aaaa")
    assert await everything() == before
    assert list(house.mail.mailbox) == []


async def test_every_answer_carries_the_headers_of_the_house(house: House) -> None:
    """Nothing inline, nothing kept, nothing guessed, nothing said to others; whether it went well or not."""
    nora, stranger = await house.signed_in(NORA), house.stranger()
    answers = [await nora.get(row.at) for _, row in rows(VISITOR, "GET")]
    answers += [await stranger.get(row.at) for who in (VISITOR, ANYBODY) for _, row in rows(who, "GET")]
    answers += [await stranger.client.post(row.at) for who in (VISITOR, ANYBODY) for _, row in rows(who, "POST")]
    nul = [await nora.get(path) for path in ("/app/%00", "/app?q=%00", "/app/customers?q=%00")]
    assert [answer.status_code for answer in nul] == [400] * 3
    answers += [await nora.client.put("/app"), *nul]
    for answer in answers:
        if answer.request.url.path.startswith("/app/static/"):
            continue
        policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'none'" and "'unsafe-inline'" not in policy["style-src"]
        assert policy["script-src"] in ("'self'", "'self' https://cdn.shopify.com/shopifycloud/")
        assert policy["base-uri"] == policy["object-src"] == "'none'" and policy["form-action"] == "'self'"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert ("x-frame-options" in answer.headers) == ("'none'" in policy["frame-ancestors"])


async def test_what_anybody_may_open_tells_nothing(house: House) -> None:
    """Pages before the door answer as the table says, and a guessed link is like one that never was."""
    stranger = house.stranger()
    for who in (ANYBODY, LINK):
        for path, row in rows(who, "GET"):
            answer = await stranger.get(row.at)
            assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (row.ok, row.kind), path
            assert "Nora" not in answer.text and "Otto" not in answer.text
        for path, row in rows(who, "POST"):
            answer = await stranger.client.post(row.at, data=dict(row.fields))
            assert answer.status_code == row.ok, path


async def test_a_form_that_another_site_filled_in_changes_nothing(house: House) -> None:
    """By cookie, a POST needs this session's token and our own origin; in the admin, the bearer token."""
    otto = await house.signed_in(OTTO)
    for path, row in rows(VISITOR, "POST"):
        nora = await house.signed_in(NORA)
        token = await nora.token()
        forged: list[tuple[dict[str, str], dict[str, str]]] = [
            ({}, {}),
            ({"form-token": ""}, {}),
            ({"form-token": token[:-1]}, {}),
            ({"form-token": await otto.token()}, {}),
            ({"form-token": await (await house.signed_in(NORA)).token()}, {}),
            ({"form-token": token}, {"Origin": "https://evil.example"}),
            ({"form-token": token}, {"Origin": "null"}),
            ({"form-token": token}, {"Origin": "http://regulars.example"}),
            ({"form-token": token}, {"Sec-Fetch-Site": "cross-site"}),
            ({"form-token": token}, {"Sec-Fetch-Site": "same-site", "Origin": HERE}),
        ]
        for fields, headers in forged:
            answer = await nora.client.post(row.at, data={**row.fields, **fields}, headers=headers)
            assert answer.status_code == 403, (path, headers)
        for kind in ("application/json", "text/plain", "application/xml"):
            text = f'{{"form-token": "{token}"}}'
            answer = await nora.client.post(row.at, content=text, headers={"Content-Type": kind})
            assert answer.status_code == 415, path
        for by in ({"Sec-Fetch-Dest": "iframe"}, {"Authorization": "Bearer x"}, {"Authorization": "Basic x"}):
            answer = await house.stranger().client.post(row.at, data=dict(row.fields), headers=by)
            assert answer.status_code == 401, path
        answer = await house.stranger().client.post(f"{row.at}?id_token={house.token()}", data=dict(row.fields))
        assert answer.status_code == 401, "a token in an address proves no fetch of ours"
        assert (await nora.post(row.at, row.fields)).status_code not in (401, 403, 415), path


async def test_odd_numbers_in_an_address_are_no_fault(house: House) -> None:
    """What is no number of ours stands for nothing, wherever it stands: never a 500, and never a way in."""
    nora, stranger = await house.signed_in(NORA), house.stranger()
    expected = (200, 302, 303, 400, 404, 422)
    for odd in ("²", "٣", "9" * 5_000, "-1", "1e3", "~", "0.².x", "0.9.²", "²~x", "'"):
        for verb, path in sorted(TABLE):
            if "{" not in path or verb != "GET":
                continue
            for visitor in (nora, stranger):
                answer = await visitor.get(re.sub(r"\{[^}]+\}", quote(odd), path))
                assert answer.status_code in expected, (path, odd[:9])
                assert "Otto" not in answer.text
        asked = "&".join(f"{name}={quote(odd[:1_000])}" for name in sorted(ASKED))
        for path, row in rows(VISITOR, "GET"):
            answer = await nora.get(f"{row.at}?{asked}")
            assert answer.status_code in expected, (path, odd[:9])


async def test_what_is_anothers_is_like_what_is_not_there(house: House) -> None:
    """Nora asks for ids of Otto's, by cookie and in her admin: 404, the same page as for an id nobody has."""
    nora, admin = await house.signed_in(NORA), house.embedded()
    nothing = {id(visitor): (await visitor.get("/app/nowhere")).text for visitor in (nora, admin)}
    for (verb, path), row in TABLE.items():
        if row.who != VISITOR or "{" not in path or path == "/app/{rest:path}":
            continue
        if path.startswith("/app/messages/words/{kind}"):
            continue  # kinds of messages are the program's own, alike for every shop
        assert row.others is not None and row.make is not None, f"{path} has an id in it: whose?"
        for visitor in (nora, admin):
            answer = await (visitor.get(row.at) if verb == "GET" else visitor.post(row.at, row.fields))
            assert answer.status_code == row.others, path
            if row.others == 404:
                assert answer.text == nothing[id(visitor)], path
