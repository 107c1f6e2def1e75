"""A shop installs an app of its own by OAuth: the browser that began it comes back with a code, once."""

from collections.abc import AsyncIterator

import httpx
import pytest
from structlog.testing import capture_logs

from config.asgi import build
from handlers.merchants import oauth
from integration.clock import MINUTE, SECOND
from tests.handlers.merchants.harbour import KEY, TEA, Harbour

ADMIN = "https://admin.shopify.com/store/marlow-finch/apps/" + KEY


class Browser:
    """A browser that follows redirects between us and the pretend Shopify by hand."""

    def __init__(self, harbour: Harbour) -> None:
        self.harbour = harbour
        transport = httpx.ASGITransport(build(harbour.here))  # type: ignore[arg-type]
        self.ours = httpx.AsyncClient(transport=transport, base_url="https://regulars.example")
        self.theirs = httpx.AsyncClient(transport=httpx.ASGITransport(harbour.app))

    async def begins(self, shop: str = TEA) -> httpx.Response:
        """Open the link that installs."""
        return await self.ours.get("/app/install", params={"shop": shop})

    async def consents(self, begun: httpx.Response) -> str:
        """Agree on Shopify's page; returns the address it sends the browser back to."""
        return str((await self.theirs.get(begun.headers["location"])).headers["location"])

    async def installs(self) -> httpx.Response:
        """Go all the way."""
        return await self.ours.get(await self.consents(await self.begins()))


@pytest.fixture
async def browser(harbour: Harbour) -> AsyncIterator[Browser]:
    """The tea shop's browser."""
    browser = Browser(harbour)
    yield browser
    await browser.ours.aclose()
    await browser.theirs.aclose()


async def merchants(harbour: Harbour) -> int:
    return int((await harbour.rows("SELECT count(*) FROM merchants"))[0][0])


async def test_consent_takes_the_shop_in_and_ends_in_its_admin(harbour: Harbour, browser: Browser) -> None:
    """With a token that expires, like every other way in."""
    done = await browser.installs()
    assert (done.status_code, done.headers["location"]) == (302, ADMIN)
    one = await harbour.connection()
    assert harbour.pretend.tokens.opens(await harbour.token(), TEA) and one["refresh_token"]
    assert one["connected_at"] == harbour.clock.now()
    assert await harbour.rows("SELECT count(*) FROM installs") == [(0,)]


async def test_the_state_stays_with_the_browser_in_a_cookie_no_script_reads(browser: Browser) -> None:
    """Bound to our host, gone after ten minutes; the table holds its digest alone."""
    begun = await browser.begins()
    cookie = begun.headers["set-cookie"]
    assert cookie.startswith("__Host-regulars-install=")
    assert all(part in cookie for part in ("HttpOnly", "Secure", "Path=/", "SameSite=lax", "Max-Age=600"))
    ((kept,),) = await browser.harbour.rows("SELECT state FROM installs")
    assert kept not in cookie and kept not in begun.headers["location"]


async def test_a_browser_that_did_not_begin_it_finishes_nothing(harbour: Harbour, browser: Browser) -> None:
    """Whoever is sent a link with somebody else's code is not connected to their shop."""
    back = await browser.consents(await browser.begins())
    stranger = Browser(harbour)
    assert (await stranger.ours.get(back)).status_code == 400
    await stranger.begins()
    assert (await stranger.ours.get(back)).status_code == 400
    assert await merchants(harbour) == 0
    assert (await browser.ours.get(back)).status_code == 302


async def test_a_link_back_counts_once(harbour: Harbour, browser: Browser) -> None:
    """Reloaded, or taken from a log, it gives nothing."""
    back = await browser.consents(await browser.begins())
    cookies = dict(browser.ours.cookies)
    assert (await browser.ours.get(back)).status_code == 302
    assert (await browser.ours.get(back)).status_code == 400
    again = await browser.ours.get(back, headers={"Cookie": "; ".join(f"{k}={v}" for k, v in cookies.items())})
    assert again.status_code == 400
    assert harbour.asked("code") == 1


async def test_a_state_is_of_one_shop_and_lives_ten_minutes(harbour: Harbour, browser: Browser) -> None:
    """What was begun for one shop does not finish for another."""
    begun = await browser.begins("other-shop.myshopify.com")
    state = httpx.URL(begun.headers["location"]).params["state"]
    sent = harbour.pretend.tokens.signed({"code": "c", "shop": TEA, "state": state})
    assert (await browser.ours.get(f"{oauth.BACK}?{sent}")).status_code == 400
    assert harbour.asked("code") == 0
    back = await browser.begins()
    harbour.clock.passes(10 * MINUTE / SECOND)
    assert (await browser.ours.get(await browser.consents(back))).status_code == 400
    assert await merchants(harbour) == 0


async def test_what_shopify_did_not_sign_is_refused(harbour: Harbour, browser: Browser) -> None:
    """One changed character, and nothing is asked of anybody."""
    back = await browser.consents(await browser.begins())
    with capture_logs() as logged:
        for changed in (back.replace("code=", "code=0"), back + "&extra=1", back.replace("hmac=", "hmac=0")):
            assert (await browser.ours.get(changed)).status_code == 400
    brought = httpx.URL(back).params
    assert len(logged) == 3 and not any(brought[name] in str(logged) for name in ("code", "state", "hmac"))
    assert harbour.asked("code") == 0


@pytest.mark.parametrize(
    "shop", ["", "evil.example", "marlow-finch.myshopify.com.evil.example", "a/b.myshopify.com", "x\r\ny: z", "//evil"]
)
async def test_only_a_shop_is_gone_to(browser: Browser, shop: str) -> None:
    """The address we send a browser to is made of nothing else."""
    answer = await browser.begins(shop)
    assert answer.status_code == 400 and "location" not in answer.headers


async def test_a_shop_that_cannot_be_asked_may_begin_again(harbour: Harbour, browser: Browser) -> None:
    """Nothing is kept, and the words say to try again."""
    back = await browser.consents(await browser.begins())
    harbour.pretend.tokens.fail_next = [503]
    assert (await browser.ours.get(back)).status_code == 503
    assert await merchants(harbour) == 0
    assert (await browser.installs()).status_code == 302


async def test_beginnings_are_few_and_end_by_themselves(
    harbour: Harbour, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody may open the link; nobody fills the table."""
    monkeypatch.setattr(oauth, "MOST_BEGUN", 2)
    assert [(await browser.begins()).status_code for _ in range(3)] == [302, 302, 503]
    harbour.clock.passes(10 * MINUTE / SECOND)
    assert (await browser.begins()).status_code == 302
    assert await harbour.rows("SELECT count(*) FROM installs") == [(1,)]
