"""The customer's page at the shop's own address, which forwards and signs as Shopify does; and what its pages weigh."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from handlers.merchants.programs import change_program
from integration.sandbox.storefront import PREFIX, Storefront
from tests.browser.admin import DESKTOP, PHONE, window
from tests.browser.shop import RunningShop, pictured, too_wide
from tests.browser.test_account import MOST_BYTES, fresh, is_fine, made, prepare
from tests.visits import NORA, SECRET, SHOPS

ELSA_THERE = "70"  # her number at the shop
FILES = "https://cdn.shopify.com/s/files/1/0001/files"
LOGO = f"{FILES}/noras-tea.png?v=17"
_LOGO_SIZE = 12_000  # bytes, of a usual one at the width it is asked for in


@pytest.fixture
def storefront(shop: RunningShop) -> str:
    """The address of Nora's shop, where Elsa has a number and points."""
    prepare(shop)
    ladder = {
        "leaf": {"name": "Leaf", "threshold": 0},
        "blossom": {"name": "Blossom", "threshold": 200, "perks": "A tin of the first harvest.", "multiplier": "1.5"},
    }
    look = {"page.colour": "#f2b705", "page.logo": LOGO, "tiers.enabled": True, "tiers.ladder": ladder}
    now = shop.house.clock.now()
    shop.run(shop.house.database.run(lambda: change_program(NORA, look, now - 2_000_000)))
    front = Storefront(SHOPS[NORA], f"{shop.url}/proxy", SECRET, shop.house.clock)  # type: ignore[arg-type]
    return shop.beside(front.app)


@pytest.fixture
def opens(browser: Browser, storefront: str) -> Iterator[Callable[..., tuple[Page, list[str]]]]:
    """Open windows in which the shop's files are there, and which are closed afterwards."""
    opened: list[Page] = []
    mark = '<svg xmlns="http://www.w3.org/2000/svg" width="320" height="96"><text y="64" font-size="56">Nora</text>'

    def open_one(size: dict[str, int], **more: Any) -> tuple[Page, list[str]]:
        page, complaints = window(browser, size, storefront, **more)
        body = f"{mark}<!--{'x' * (_LOGO_SIZE - len(mark))}--></svg>"
        page.context.route(f"{FILES}/**", lambda route: route.fulfill(content_type="image/svg+xml", body=body))
        opened.append(page)
        return page, complaints

    yield open_one
    for page in opened:
        page.context.close()


def others(complaints: list[str]) -> list[str]:
    """What was complained of beside the one picture that a page may fetch."""
    return [each for each in complaints if not each.startswith(FILES)]


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_points_are_spent_at_the_shops_own_address(
    opens: Callable[..., tuple[Page, list[str]]], shop: RunningShop, storefront: str, size: dict[str, int]
) -> None:
    """From a guest's page over the shop's sign-in to a code that the shop applies; cookies of ours play no part."""
    page, complaints = opens(size)
    width = size["width"]
    page.goto(storefront + PREFIX)
    expect(page.get_by_text("Sign in to the shop to see your points")).to_be_visible()
    assert page.get_by_alt_text("Nora's Tea").evaluate("image => image.complete && image.naturalWidth > 0")
    is_fine(page, f"shop-guest-{width}")
    page.get_by_role("link", name="Sign in").click()
    page.get_by_label("Customer's number").fill(ELSA_THERE)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("948", exact=True)).to_be_visible()
    is_fine(page, f"shop-signed-in-{width}")
    for fold in page.locator("summary").all():
        fold.click()
    is_fine(page, f"shop-open-{width}")
    page.get_by_label("Day", exact=True).select_option("29")
    page.get_by_label("Month").select_option(label="February")
    page.locator("form", has=page.get_by_label("Month")).get_by_role("button", name="Save").click()
    expect(page.get_by_text("Your birthday is noted: 29 February.")).to_be_visible()
    is_fine(page, f"shop-birthday-{width}")
    page.get_by_role("link", name="Back").click()
    page.get_by_role("link", name="Choose 5 € off").click()
    is_fine(page, f"shop-redeem-{width}")
    page.get_by_role("button", name="Spend 500 points").click()
    expect(page.get_by_role("heading", name="It is on its way")).to_be_visible()
    is_fine(page, f"shop-waits-{width}")
    _is_made(shop)
    page.get_by_role("link", name="Update").click()
    expect(page.get_by_role("heading", name="Here you are")).to_be_visible()
    is_fine(page, f"shop-code-{width}")
    there = page.get_by_role("link", name="Go to the shop with it").get_attribute("href")
    assert there == f"https://{SHOPS[NORA]}/discount/{page.locator('code').inner_text()}?redirect=/"
    page.get_by_role("link", name="Back", exact=True).click()
    expect(page.get_by_text("448", exact=True)).to_be_visible()
    assert others(complaints) == []
    assert {cookie["name"] for cookie in page.context.cookies()} == {"_customer"}


def test_a_guest_without_scripts_types_an_address(
    opens: Callable[..., tuple[Page, list[str]]], shop: RunningShop, storefront: str
) -> None:
    """And what it brings opens their page."""
    page, complaints = opens(PHONE, java_script_enabled=False)
    page.goto(storefront + PREFIX)
    page.get_by_label(re.compile("^Or type the email address")).fill("elsa@home.example")
    page.get_by_role("button", name="Send me a link").click()
    expect(page.get_by_text("If the shop knows this address")).to_be_visible()
    pictured(page, "shop-guest-asked")
    assert not too_wide(page) and others(complaints) == []
    page.goto(fresh(shop))
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_text("948", exact=True)).to_be_visible()
    pictured(page, "shop-guest-came-in")


@pytest.mark.parametrize("language", ["en", "de", "fr", "es"])
def test_every_page_weighs_little(
    opens: Callable[..., tuple[Page, list[str]]], shop: RunningShop, storefront: str, language: str
) -> None:
    """All that comes over the wire for a page, and all it is unpacked: its logo, style and script among it."""
    shop.run(shop.house.does("UPDATE customers SET locale = ?1 WHERE merchant_id = ?2", language, NORA))
    page, complaints = opens(PHONE)
    page.goto(f"{storefront}/account/login?return_url={PREFIX}")
    page.get_by_label("Customer's number").fill(ELSA_THERE)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_load_state("networkidle")
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    network.send("Network.setCacheDisabled", {"cacheDisabled": True})
    sent: list[float] = []
    unpacked: list[float] = []
    network.on("Network.loadingFinished", lambda event: sent.append(event["encodedDataLength"]))
    network.on("Network.dataReceived", lambda event: unpacked.append(event["dataLength"]))
    weights = {}
    for path in ("", "/history", "/redeem?reward=five", "/redeem?reward=tasting"):
        sent.clear(), unpacked.clear()
        page.goto(storefront + PREFIX + path, wait_until="networkidle")
        pictured(page, f"shop-{language}-{path.strip('/').replace('?', '-') or 'page'}")
        assert not too_wide(page), path
        weights[path] = (sum(sent), sum(unpacked))
    assert max(max(each) for each in weights.values()) < MOST_BYTES, weights
    assert page.evaluate("document.querySelectorAll('script[src], link[rel=stylesheet], iframe').length") == 0
    assert others(complaints) == []


def _is_made(shop: RunningShop) -> None:
    """Put the code there, as the worker does once the shop has made it: this shop's Shopify is a stranger."""
    made(shop)
    shop.run(
        shop.house.does(
            "UPDATE redemptions SET state = 'issued', issued_at = asked_at, code = 'TEA-5F3K-9QZR-77WM', claim = NULL,"
            " next_at = NULL WHERE merchant_id = ?1",
            NORA,
        )
    )
