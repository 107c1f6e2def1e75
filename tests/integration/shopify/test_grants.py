"""Tokens from Shopify: exchanged, renewed by turns, redeemed, and every way of being refused in our words."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import respx

from integration.clock import DAY, SECOND
from integration.errors import Forged, OutsideError, Rejected, Revoked, Unavailable
from integration.sandbox.session_tokens import session_token
from integration.sandbox.shopify_api import PretendShopify
from integration.shopify.admin import Admin
from integration.shopify.grants import App, Grant, NotInstalled, exchange, redeem, renew
from tests.integration.sandbox.conftest import Tea, open_shop

KEY, SECRET = "0123456789abcdef0123456789abcdef", "shpss_the_app_secret_of_the_tea_shop_app"
SHOP = "marlow-finch.myshopify.com"
ENDPOINT = f"https://{SHOP}/admin/oauth/access_token"


class Till:
    """The tea shop's pretend Shopify, and our app in front of it."""

    def __init__(self, tea: Tea) -> None:
        self.tea = tea
        self.pretend = PretendShopify.of([tea.shop], KEY, SECRET)
        self.pretend.seconds = lambda: tea.hands.at / SECOND
        client = httpx.AsyncClient(transport=httpx.ASGITransport(self.pretend.app))
        self.admin = Admin(client, base="http://pretend/{shop}")

    @property
    def now(self) -> int:
        return self.tea.hands.at

    async def exchange(self, app: App = App(KEY, SECRET), **changes: Any) -> Grant:  # noqa: B008 - never changed
        return await exchange(self.admin, app, SHOP, session_token(SHOP, KEY, SECRET, self.now, **changes), self.now)

    async def renew(self, refresh_token: str | None) -> Grant:
        assert refresh_token is not None
        return await renew(self.admin, App(KEY, SECRET), SHOP, refresh_token, self.now)

    async def opens(self, grant: Grant) -> bool:
        try:
            await self.admin.ping(SHOP, grant.token)
        except Revoked:
            return False
        return True


@pytest.fixture
async def till() -> AsyncIterator[Till]:
    till = Till(open_shop())
    yield till
    await till.admin.aclose()


async def test_a_session_token_becomes_a_pair_that_expires(till: Till) -> None:
    """An hour for the token and ninety days for what renews it, counted from before we asked."""
    grant = await till.exchange()
    assert (grant.expires_at, grant.refresh_expires_at) == (till.now + 3600 * SECOND, till.now + 90 * DAY)
    assert grant.scopes == till.tea.shop.scopes
    assert await till.opens(grant)
    till.tea.hands.pass_seconds(3601)
    assert not await till.opens(grant)


async def test_renewing_gives_a_new_pair_each_time(till: Till) -> None:
    """Access and refresh token both change."""
    first = await till.exchange()
    second = await till.renew(first.refresh_token)
    assert len({first.token, second.token, first.refresh_token, second.refresh_token}) == 4
    assert await till.opens(second)


async def test_the_pair_before_renews_until_the_new_one_is_used(till: Till) -> None:
    """What was asked and not heard can be asked again; what was left behind for good cannot."""
    first = await till.exchange()
    await till.renew(first.refresh_token)
    second = await till.renew(first.refresh_token)
    third = await till.renew(second.refresh_token)
    with pytest.raises(Revoked):
        await till.renew(first.refresh_token)
    assert await till.opens(third)


async def test_a_refresh_token_ends_after_ninety_days(till: Till) -> None:
    """Then the merchant has to open the app."""
    grant = await till.exchange()
    till.tea.hands.pass_seconds(91 * 86_400)
    with pytest.raises(Revoked):
        await till.renew(grant.refresh_token)


async def test_with_the_app_its_tokens_go(till: Till) -> None:
    """An uninstall ends both tokens at once, and putting the app in again does not bring them back."""
    grant = await till.exchange()
    till.tea.shop.uninstall()
    assert not await till.opens(grant)
    with pytest.raises(NotInstalled):
        await till.renew(grant.refresh_token)
    till.tea.shop.install()
    assert not await till.opens(grant)
    with pytest.raises(Revoked):
        await till.renew(grant.refresh_token)
    assert await till.opens(await till.exchange())


async def test_a_session_token_shopify_does_not_take_asks_for_a_newer_one(till: Till) -> None:
    """It may have ended between our look and theirs."""
    old = till.now // SECOND - 300
    with pytest.raises(Forged):
        await till.exchange(exp=old + 60, nbf=old, iat=old)


async def test_another_secret_is_not_our_app(till: Till) -> None:
    """The answer is the same as after an uninstall; ours to see through."""
    with pytest.raises(NotInstalled):
        await till.exchange(App(KEY, "another"))


async def test_a_code_counts_once(till: Till) -> None:
    """Whoever brings it a second time gets nothing."""
    asked = {"client_id": KEY, "redirect_uri": "https://regulars.example/back", "state": "s"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(till.pretend.app), base_url="http://pretend") as client:
        away = await client.get(f"/{SHOP}/admin/oauth/authorize", params=asked)
    code = httpx.URL(away.headers["location"]).params["code"]
    assert await till.opens(await redeem(till.admin, App(KEY, SECRET), SHOP, code, till.now))
    with pytest.raises(Revoked):
        await redeem(till.admin, App(KEY, SECRET), SHOP, code, till.now)


GOOD = {"access_token": "shpat_x", "scope": "read_orders", "expires_in": 3600, "refresh_token": "shprt_x"}
ANSWERS: list[tuple[int, Any, type[OutsideError]]] = [
    (500, None, Unavailable),
    (502, None, Unavailable),
    (429, None, Unavailable),
    (404, None, Revoked),
    (402, None, Rejected),
    (403, None, Rejected),
    (302, None, Rejected),
    (400, {"error": "invalid_request", "error_description": "secret-in-words"}, Rejected),
    (401, {"error": "invalid_client"}, NotInstalled),
    (400, {"error": "invalid_grant"}, Revoked),
    (400, "<html>", Unavailable),
    (200, "<html>", Unavailable),
    (200, [], Unavailable),
    (200, GOOD | {"access_token": ""}, Unavailable),
    (200, GOOD | {"access_token": 7}, Unavailable),
    (200, GOOD | {"refresh_token": None}, Unavailable),
    (200, GOOD | {"expires_in": "soon"}, Unavailable),
]


@respx.mock
@pytest.mark.parametrize(("status", "answer", "error"), ANSWERS)
async def test_every_other_answer_says_what_to_do(status: int, answer: Any, error: type[OutsideError]) -> None:
    """Half a pair is no pair; and no message holds a secret."""
    body = {"text": answer} if isinstance(answer, str) else {"json": answer}
    respx.post(ENDPOINT).mock(return_value=httpx.Response(status, **body))
    with pytest.raises(error) as caught:
        await renew(Admin(), App(KEY, SECRET), SHOP, "shprt_secret", 0)
    assert type(caught.value) is error
    assert not any(word in str(caught.value) for word in ("shprt_secret", SECRET, "secret-in-words"))


@respx.mock
async def test_a_token_that_does_not_expire_is_taken_as_that() -> None:
    """As Shopify gives an app of the merchant's own."""
    respx.post(ENDPOINT).mock(return_value=httpx.Response(200, json={"access_token": "shpat_x", "scope": ""}))
    grant = await redeem(Admin(), App(KEY, SECRET), SHOP, "code", 0)
    assert grant == Grant("shpat_x", (), None, None, None)


async def test_a_host_that_is_no_shop_is_not_sent_our_secret() -> None:
    """The address is made of the shop's domain."""
    for host in ("evil.example", f"{SHOP}.evil.example", f"{SHOP}/x", f"{SHOP}@evil.example"):
        with pytest.raises(Rejected):
            await renew(Admin(), App(KEY, SECRET), host, "shprt_secret", 0)
