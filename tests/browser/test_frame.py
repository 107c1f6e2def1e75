"""The frame of the merchant's pages in Chromium: alone and in the admin, on a screen and on a phone."""

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.admin import ADMIN, DESKTOP, PHONE
from tests.browser.shop import RunningShop, pictured, too_wide, violations
from tests.visits import OTTO, SHOPS


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_signing_in_works_and_hinders_nobody(browser: Browser, shop: RunningShop, size: dict[str, int]) -> None:
    """Asking for a link, the link, the pages, signing out: no complaint, no violation, nothing too wide."""
    page, complaints = shop.alone(browser, size)
    pictured(page, f"home-{size['width']}")
    assert violations(page) == [] and not too_wide(page)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in to your shop")).to_be_visible()
    assert violations(page) == [] and not too_wide(page)
    page.get_by_label("Your e-mail address").fill("owner1@shop.example")
    page.get_by_role("button", name="Mail me a link").click()
    expect(page.get_by_role("heading", name="Look into your mailbox")).to_be_visible()
    assert violations(page) == [] and not too_wide(page)
    page.goto(shop.link())
    assert violations(page) == [] and not too_wide(page)
    assert complaints == []
    page.context.close()


def test_in_the_admin_pages_are_fetched_with_a_token(browser: Browser, shop: RunningShop) -> None:
    """The first page by the token in its address, which goes from there; the next ones as fetches with a bearer."""
    page, app, complaints = shop.in_admin(browser)
    expect(app.get_by_role("heading", level=1)).to_have_text("Home")
    app.wait_for_url(lambda url: "id_token" not in url)
    assert app.evaluate("bridge.key") and app.locator("s-app-nav s-link").count() >= 2
    assert violations(app) == [] and not too_wide(app)
    seen = []
    page.on("request", lambda asked: seen.append((asked.resource_type, asked.headers.get("authorization", ""))))
    app.evaluate("Turbo.visit('/app/nowhere')")
    expect(app.get_by_role("heading", level=1)).to_have_text("There is nothing here")
    assert any(kind == "fetch" and bearer.startswith("Bearer ") for kind, bearer in seen)
    pictured(page, "admin-1280")
    assert [words for words in complaints if "404" not in words] == []
    page.context.close()


def test_a_document_without_a_token_finds_back(browser: Browser, shop: RunningShop) -> None:
    """A plain move inside the frame carries no token: by the bounce page it arrives where it wanted to."""
    page, app, complaints = shop.in_admin(browser)
    app.evaluate("location.assign('/app?from=here')")
    app.wait_for_url("**/app?from=here")
    expect(app.get_by_role("heading", level=1)).to_have_text("Home")
    assert complaints == []
    page.context.close()


def test_another_shops_admin_and_other_sites_cannot_frame_it(browser: Browser, shop: RunningShop) -> None:
    """The browser refuses: Nora's page in a frame of another site, with her cookie or a token of hers."""
    page, _, _ = shop.in_admin(browser, shop=SHOPS[OTTO])
    for frame in (shop.url + "/app/sign-in", f"{shop.url}/app?embedded=1&id_token={shop.house.token()}"):
        page.context.route(
            "https://evil.example/",
            lambda route, source=frame: route.fulfill(
                content_type="text/html", body=f"<iframe name=app src='{source}'></iframe>"
            ),
        )
        page.goto("https://evil.example/")
        inside = page.frame(name="app")
        assert inside is not None and inside.url.startswith("chrome-error:")
    page.goto(ADMIN)
    expect(page.frame_locator("iframe").get_by_role("heading", level=1)).to_have_text("Home")
    page.context.close()
