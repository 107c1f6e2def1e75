"""With the keyboard alone: from Home to a changed rule, where one is at every step, and the way past the navigation."""

import pytest
from playwright.sync_api import Browser, Frame, Page, expect

from tests.browser.admin import DESKTOP, PHONE
from tests.browser.shop import RunningShop
from tests.handlers.programme.test_pages import sells

MOST_TABS = 120
# What has the focus, by its role in words; and whether a ring or a line shows it.
_NAME = """() => {
  const one = document.activeElement;
  return one.labels?.[0]?.textContent.trim() || one.getAttribute("aria-label") || one.textContent.trim();
}"""
_SHOWN = """() => {
  const one = document.activeElement;
  const style = getComputedStyle(one);
  return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1 || style.boxShadow !== "none";
}"""


def tabs_to(page: Page, place: Page | Frame, name: str) -> None:
    """Press Tab until something has the focus; whatever has it on the way shows that it does, and is on the screen."""
    seen = []
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        seen.append(place.evaluate(_NAME))
        if place.evaluate("document.activeElement !== document.body"):
            assert place.evaluate(_SHOWN), f"nothing shows that {seen[-1]} has the focus"
        if seen[-1] == name:
            return
    raise AssertionError(f"{name} is not reached by Tab: {seen}")


def presses(page: Page, place: Page | Frame, name: str, title: str) -> None:
    """Go to a link or a button by Tab, press Enter, and wait for the page it leads to."""
    tabs_to(page, place, name)
    page.keyboard.press("Enter")
    expect(place.get_by_role("heading", level=1)).to_have_text(title)


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_rule_is_changed_with_the_keyboard_alone(browser: Browser, shop: RunningShop, size: dict[str, int]) -> None:
    """Home, the programme, a switch and a number, an error and back to its field, the review, saved."""
    shop.run(sells(shop.house, 1042))
    page, complaints = shop.alone(browser, size)
    page.goto(f"{shop.url}/app")
    presses(page, page, "Programme", "Programme")
    tabs_to(page, page, "Customers earn points on what they buy")
    page.keyboard.press("Space")
    tabs_to(page, page, "Points for each €1 spent")
    page.keyboard.type("five")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Points for each €1 spent")).to_be_focused()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("5")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Review your changes")
    presses(page, page, "Save as version 2", "Programme")
    expect(page.get_by_role("status").first).to_contain_text("Saved as version 2")
    expect(page.get_by_label("Points for each €1 spent")).to_have_value("5")
    assert [words for words in complaints if "422" not in words] == []
    page.context.close()


def test_the_navigation_can_be_skipped(browser: Browser, shop: RunningShop) -> None:
    """The first Tab offers it, and the next one then lands in the page."""
    page, _ = shop.alone(browser)
    page.goto(f"{shop.url}/app/programme")
    tabs_to(page, page, "Skip to the page")
    expect(page.get_by_role("link", name="Skip to the page")).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="What if? Your last 12 months")).to_be_focused()
    page.context.close()
