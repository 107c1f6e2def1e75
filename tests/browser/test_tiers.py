"""Tiers in Chromium: a ladder is written, reviewed with who would move, and who keeps theirs is chosen; both sizes."""

import json
import re

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.admin import DESKTOP, PHONE
from tests.browser.shop import RunningShop, pictured, too_wide, violations
from tests.handlers.programme.test_moves import OLD
from tests.handlers.programme.test_pages import sells


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_ladder_is_changed_with_who_would_move_in_sight(
    browser: Browser, shop: RunningShop, size: dict[str, int]
) -> None:
    """A harder silver: Elsa would lose it and its tag at Shopify, and keeps it until a day."""
    old = OLD.model_dump(mode="json")
    old["tiers"]["ladder"]["silver"]["tag"] = "silver-club"
    document = json.dumps(old)
    shop.run(
        shop.house.does(
            "INSERT INTO program_versions (merchant_id, version, in_force_at, created_at, document)"
            " VALUES (1, 2, 0, 0, ?1)",
            document,
        )
    )
    shop.run(shop.house.does("UPDATE program_versions SET in_force_at = -1 WHERE merchant_id = 1 AND version = 1"))
    shop.run(sells(shop.house, 1042))
    page, _ = shop.alone(browser, size)
    page.goto(f"{shop.url}/app/programme")
    tiers = page.get_by_role("group", name="Silver")
    tiers.get_by_label("From", exact=True).fill("200")
    tag = tiers.get_by_label("Tag of these customers at Shopify")
    expect(tag).to_have_value("silver-club")
    expect(tag).to_have_accessible_description(re.compile("Before you uninstall Regulars, empty this"))
    expect(page.get_by_role("region", name="Preview")).to_contain_text("“Silver”: from 200")
    page.get_by_text("Add a tier").click()
    assert violations(page) == [] and not too_wide(page)
    page.locator("#tiers").scroll_into_view_if_needed()
    pictured(page, f"tiers-{size['width']}")
    page.get_by_role("button", name="Review changes").click()
    expect(page.get_by_text("What about the tier they have?")).to_be_visible()
    expect(page.get_by_text("1 customer would lose the tag “silver-club” at Shopify.")).to_be_visible()
    assert violations(page) == [] and not too_wide(page)
    pictured(page, f"tiers-review-{size['width']}")
    page.get_by_label("They keep it at least until a day").check()
    page.get_by_role("button", name="Save as version 3").click()
    expect(page.get_by_label("That day")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("They keep it at least until a day")).to_be_checked()
    assert violations(page) == [] and not too_wide(page)
    page.get_by_label("That day").fill("2031-06-30")
    page.get_by_role("button", name="Save as version 3").click()
    expect(page.get_by_role("status").first).to_contain_text("Saved as version 3")
    page.context.close()
