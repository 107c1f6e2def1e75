"""Home in Chromium: set-up, figures with their picture, and what needs somebody, for everybody's eyes and hands."""

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.admin import DESKTOP, PHONE
from tests.browser.shop import RunningShop, pictured, too_wide, violations
from tests.handlers.insights.test_home import Life
from tests.visits import NORA


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_home_is_for_everybody(browser: Browser, shop: RunningShop, size: dict[str, int]) -> None:
    """With figures of many days and something amiss: no violation, nothing too wide, the table opens by keyboard."""
    life, now, day = Life(shop.house, NORA), shop.house.clock.now(), 86_400_000_000
    for ago in range(60):
        shop.run(life.entry(now - ago * day, "program:issued", "customer:1:pending", 100 + 37 * (ago % 9)))
        shop.run(life.entry(now - ago * day, "customer:1:available", "program:redeemed", 20 + 11 * (ago % 5)))
    shop.run(life.sale(1, now, 1))
    shop.run(shop.house.does("UPDATE connections SET revoked_at = 1 WHERE merchant_id = 1"))
    page, complaints = shop.alone(browser, size)
    expect(page.get_by_role("heading", name="What needs you")).to_be_visible()
    expect(page.get_by_role("img", name="Points of each day")).to_be_visible()
    page.get_by_text("Week by week").first.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("cell").first).to_be_visible()
    pictured(page, f"home-full-{size['width']}")
    assert violations(page) == [] and not too_wide(page) and complaints == []
    page.context.close()
