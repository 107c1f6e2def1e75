"""Occasions that bring points, in Chromium: switched on, a slip told beside its field, previewed and saved."""

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.admin import DESKTOP, PHONE
from tests.browser.shop import RunningShop, pictured, too_wide, violations


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_more_ways_to_earn_are_switched_on_with_their_letters_in_sight(
    browser: Browser, shop: RunningShop, size: dict[str, int]
) -> None:
    """A birthday with its letter, and round numbers of orders; what cannot be read is asked for again."""
    page, _ = shop.alone(browser, size)
    page.goto(f"{shop.url}/app/programme")
    page.get_by_label("For a birthday").check()
    page.get_by_label("A birthday brings").fill("250")
    page.get_by_label("Write to people on these days").check()
    page.get_by_label("For round numbers of orders").check()
    page.get_by_label("Which orders").fill("1 50")
    preview = page.get_by_role("region", name="Preview")
    expect(preview).to_contain_text("On their birthday customers get 250 points")
    expect(preview).to_contain_text("only to customers who agreed to marketing e-mail")
    page.get_by_role("button", name="Review changes").click()
    wrong = page.get_by_label("Which orders")
    expect(wrong).to_have_attribute("aria-invalid", "true")
    expect(wrong).to_have_value("1 50")
    page.locator("#ways").scroll_into_view_if_needed()
    pictured(page, f"ways-wrong-{size['width']}")
    assert violations(page) == [] and not too_wide(page)
    wrong.fill("5 50\n10 120")
    expect(preview).to_contain_text("Order number 10 of a customer brings 120 points more.")
    pictured(page, f"ways-{size['width']}")
    page.get_by_role("button", name="Review changes").click()
    expect(page.get_by_text("This goes live for the first time")).to_be_visible()
    page.get_by_text("anniversaire de la part de").first.click()
    assert violations(page) == [] and not too_wide(page)
    pictured(page, f"ways-review-{size['width']}")
    page.get_by_role("button", name="Save as version 2").click()
    expect(page.get_by_role("status").first).to_contain_text("Saved as version 2")
    page.context.close()
