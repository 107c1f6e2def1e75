"""A window of the browser: what is asked for in it is watched, and in it may stand a stand-in for Shopify's admin.

page, complaints = window(browser, PHONE, url)
frame = in_admin(page, url, "nora.myshopify.com", lambda: token)   # our page, framed
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Frame, Page, Route

DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 320, "height": 640}
PATIENCE_MS = 60_000
ADMIN = "https://admin.shopify.com/store/nora/apps/regulars"
BRIDGE = "https://cdn.shopify.com/shopifycloud/app-bridge.js"
_HERE = Path(__file__).parent
_BRIDGE = (_HERE / "app_bridge.js").read_text(encoding="utf-8")
_ADMIN = (_HERE / "admin.html").read_text(encoding="utf-8")


def window(browser: Browser, size: dict[str, int], url: str, **more: Any) -> tuple[Page, list[str]]:
    """Open a window, and a list that fills with whatever its pages complain of.

    A request to anybody but us and Shopify is a complaint.
    """
    context = browser.new_context(viewport=size, locale="en-GB", timezone_id="Europe/Paris", **more)  # type: ignore[arg-type]
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    known = (url, ADMIN, BRIDGE, "about:")
    page.on("request", lambda asked: None if asked.url.startswith(known) else complaints.append(asked.url))
    return page, complaints


def in_admin(page: Page, url: str, shop: str, mint: Callable[[], str], path: str = "/app") -> Frame:
    """Open a page in a frame of the admin, where `mint` makes the session tokens; returns the frame."""
    _stand_in(page.context, f"{url}{path}{'&' if '?' in path else '?'}", shop, mint)
    return in_admin_again(page)


def embedded(page: Page, mint: Callable[[], str]) -> Callable[[str], str]:
    """Let App Bridge be there without the admin around it; returns what writes an address as the admin opens it."""
    _bridge(page.context, mint)
    return lambda address: f"{address}{'&' if '?' in address else '?'}embedded=1&host=x&id_token={mint()}"


def in_admin_again(page: Page) -> Frame:
    """Open the app anew in a window that the admin stands in: as after a reload, or from Shopify's list of apps."""
    page.goto(ADMIN)
    frame = page.frame(name="app")
    assert frame is not None
    frame.wait_for_selector("main")
    return frame


def _stand_in(context: BrowserContext, address: str, shop: str, mint: Callable[[], str]) -> None:
    def admin(route: Route) -> None:
        source = f"{address}embedded=1&amp;shop={shop}&amp;host=YWRtaW4&amp;locale=en&amp;id_token={mint()}"
        route.fulfill(content_type="text/html", body=_ADMIN.replace("SOURCE", source))

    context.route(f"{ADMIN}**", admin)
    _bridge(context, mint)


def _bridge(context: BrowserContext, mint: Callable[[], str]) -> None:
    context.expose_function("mintToken", mint)
    context.route(BRIDGE, lambda route: route.fulfill(content_type="text/javascript", body=_BRIDGE))
