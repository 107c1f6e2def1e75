"""The programme page in Chromium: typed, previewed while typing, reviewed, saved, undone; alone and in the admin."""

import re

import pytest
from playwright.sync_api import Browser, Frame, Page, expect

from tests.browser.admin import DESKTOP, PHONE
from tests.browser.shop import RunningShop, pictured, too_wide, violations
from tests.handlers.programme.test_pages import sells


def is_well(page: Page | Frame) -> None:
    """Hold a page to what everybody needs."""
    assert violations(page) == [] and not too_wide(page)


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_change_is_previewed_reviewed_saved_and_undone(
    browser: Browser, shop: RunningShop, size: dict[str, int]
) -> None:
    """No step takes effect before the one that says so; no step hinders anybody."""
    shop.run(sells(shop.house, 1042))
    page, complaints = shop.alone(browser, size)
    page.goto(f"{shop.url}/app/programme")
    is_well(page)
    parts = page.get_by_role("navigation", name="On this page")
    expect(parts.get_by_role("listitem").first).to_have_text("Earning points off")
    parts.get_by_role("link", name="Review requests").click()
    expect(page.get_by_role("heading", name="Review requests")).to_be_in_viewport()
    preview = page.get_by_role("region", name="Preview")
    expect(preview).to_contain_text("would earn 87 points")
    page.get_by_label("Customers earn points on what they buy").check()
    page.get_by_label("Points for each €1 spent").fill("5")
    expect(preview).to_contain_text("would earn 145 points")
    page.get_by_label("Points can be spent after").fill("ninety")
    page.get_by_role("button", name="Review changes").click()
    expect(page.get_by_role("alert")).to_contain_text("Write a whole number from 0 to 90.")
    expect(page.get_by_label("Points can be spent after")).to_have_value("ninety")
    is_well(page)
    page.get_by_label("Points can be spent after").fill("14")
    page.get_by_role("button", name="Review changes").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Review your changes")
    expect(page.get_by_text("This goes live for the first time")).to_be_visible()
    is_well(page)
    pictured(page, f"programme-review-{size['width']}")
    page.get_by_role("button", name="Save as version 2").click()
    expect(page.get_by_role("status").first).to_contain_text("Saved as version 2")
    pictured(page, f"programme-{size['width']}")
    page.get_by_role("link", name="Undo the last change").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Put version 1 back?")
    is_well(page)
    page.get_by_role("button", name="Put version 1 back").click()
    expect(page.get_by_role("status").first).to_contain_text("Saved as version 3")
    for path in ("history", "what-if?points=50&worth=5"):
        page.goto(f"{shop.url}/app/programme/{path}")
        is_well(page)
    pictured(page, f"what-if-{size['width']}")
    assert [words for words in complaints if "422" not in words] == []
    page.context.close()


def test_the_programme_is_changed_in_the_admin(browser: Browser, shop: RunningShop) -> None:
    """Every fetch carries the admin's token: the preview while typing, the review, the saving."""
    shop.run(sells(shop.house, 1042))
    page, app, complaints = shop.in_admin(browser, path="/app/programme")
    app.get_by_label("Points for each €1 spent").fill("5")
    expect(app.get_by_role("region", name="Preview")).to_contain_text("would earn 145 points")
    app.get_by_role("link", name="Add a reward").click()
    expect(page.get_by_role("status").filter(has_text="Leave page with unsaved changes?")).to_be_visible()
    expect(app.get_by_label("Points for each €1 spent")).to_have_value("5")
    app.get_by_role("button", name="Review changes").click()
    expect(app.get_by_role("heading", level=1)).to_have_text("Review your changes")
    is_well(app)
    app.get_by_role("button", name="Save as version 2").click()
    app.wait_for_url(re.compile(r"/app/programme(\?.*)?$"))
    expect(app.get_by_text("Version 2 is in force")).to_be_visible()
    assert complaints == []
    page.context.close()
