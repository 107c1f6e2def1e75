"""A newcomer clicks through the demo's page: on a screen, on a phone, by keyboard, and without scripts."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, FrameLocator, Page, expect

REGULARS = (sys.executable, "-c", "from config.cli import main; main()")
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
MOST_POINTS = 500
END_S = 60


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[str]:
    """The demo as a newcomer starts it; yields the page's address."""
    process = subprocess.Popen(
        [*REGULARS, "demo", "--no-browser", "--json", "--port", "0"],
        cwd=Path(__file__).parents[2],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())["url"]
        process.send_signal(signal.SIGINT)
        assert process.wait(END_S) == 0
    finally:
        process.kill()
        process.wait()


def opened(browser: Browser, url: str, size: dict[str, int]) -> tuple[Page, list[str]]:
    """The page at a size, and a list that fills with whatever it complains of or asks of others."""
    page = browser.new_page(viewport=size)  # type: ignore[arg-type]
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda asked: None if asked.url.startswith(url) else complaints.append(asked.url))
    page.goto(url)
    return page, complaints


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).first.click()


def point_at(letter: FrameLocator) -> None:
    """Point at the first link until its letter notices: on a busy machine a sandboxed frame hears late of the mouse."""
    for _ in range(MOST_POINTS):
        letter.get_by_role("link").first.hover()
        if letter.locator("a:hover").count():
            return
    raise AssertionError("the letter never notices the mouse")


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_newcomer_plays_the_story(browser: Browser, demo: str, size: dict[str, int]) -> None:
    """Order, pay, ship, deliver, ten days on, refund half, the return window over: seen on the page each time."""
    page, complaints = opened(browser, demo, size)
    expect(page.locator("#orders")).to_contain_text("No orders yet")
    expect(page.locator("#webhooks")).to_contain_text("Quiet so far")
    press(page, "Place the order")
    expect(page.locator("#webhooks")).to_contain_text("orders/create")
    press(page, "Pay")
    expect(page.locator("#pending")).to_have_text("150")
    expect(page.locator("#mails summary").first).to_have_text("Thank you, Ana")
    letter = page.frame_locator("#mails iframe").first
    expect(letter.get_by_text("Hello Ana,", exact=True)).to_be_visible()
    page.locator("#mails iframe").evaluate("letter => { letter.stood = true }")
    press(page, "Ship")
    press(page, "Deliver")
    expect(page.locator("#orders")).to_contain_text("delivered")
    # It was planned for fourteen days after the shipping; now it is for ten after the arrival.
    expect(page.locator("#mails .planned")).to_contain_text(re.compile(r"Review request.*in 10 days", re.DOTALL))
    press(page, "Next")
    expect(page.locator("#mails summary").first).to_have_text("How is First Flush Darjeeling?")
    # A letter that has not changed was never put there anew: a press in it would be lost.
    assert page.locator("#mails iframe").last.evaluate("letter => letter.stood")
    expect(page.locator("#clock")).to_contain_text("10 days ahead")
    point_at(letter)
    with page.expect_popup() as popup:
        letter.get_by_role("link").first.click()
    expect(popup.value.get_by_role("button").first).to_be_visible()
    assert "/c/" in popup.value.url
    popup.value.close()
    press(page, "Refund half")
    expect(page.locator("#pending")).to_have_text("75")
    page.get_by_text("Why these points?").click()
    expect(page.locator("#orders .why")).to_contain_text("× 3 points = 75 points")
    press(page, "+30 days")
    expect(page.locator("#available")).to_have_text("75")
    assert page.evaluate("document.documentElement.scrollWidth") == size["width"]
    assert complaints == []


def test_repeats_and_forgeries_change_nothing(browser: Browser, demo: str) -> None:
    """Each delivery can be sent again or forged from its row; the answers and the ledger say what that does."""
    page, complaints = opened(browser, demo, DESKTOP)
    press(page, "Place the order")
    press(page, "Pay")
    expect(page.locator("#pending")).to_have_text("150")
    press(page, "Again")
    expect(page.locator("#webhooks tbody tr").first).to_contain_text("seen before: nothing done twice")
    press(page, "Forge")
    expect(page.locator("#webhooks tbody tr").first).to_contain_text("401")
    expect(page.locator("#said")).to_contain_text("nothing was kept")
    expect(page.locator("#pending")).to_have_text("150")
    expect(page.locator("#points tbody tr")).to_have_count(1)
    page.get_by_role("link", name="kB").first.click()
    assert complaints == []


def test_a_stripe_sale_is_one_sale_in_the_buyers_language(browser: Browser, demo: str) -> None:
    """Three events of one payment earn once; Léa's mails are French."""
    page, complaints = opened(browser, demo, DESKTOP)
    page.select_option("#person", label="Léa Moreau (fr)")
    expect(page.locator("#mails summary").first).to_contain_text("Un mot sur")
    expect(page.locator("#pending")).to_have_text("96")
    press(page, "Sell a tasting box by Stripe")
    expect(page.locator("#pending")).to_have_text("168")
    expect(page.locator("#webhooks tbody tr")).to_have_count(3)
    press(page, "Refund half")
    expect(page.locator("#pending")).to_have_text("132")
    assert complaints == []


def test_it_works_by_keyboard_and_keeps_the_focus(browser: Browser, demo: str) -> None:
    """Space on a focused button does it, and the button that was pressed keeps the focus while parts change."""
    page, _ = opened(browser, demo, DESKTOP)
    page.get_by_role("button", name="Place the order").focus()
    page.keyboard.press("Space")
    expect(page.locator("#orders article")).to_have_count(1)
    assert page.evaluate("document.activeElement.textContent") == "Place the order"
    page.locator("#jump-day").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#clock")).to_contain_text("1 day ahead")
    assert page.evaluate("document.activeElement.id") == "jump-day"
    page.get_by_role("button", name="Pay", exact=True).focus()
    page.keyboard.press("Enter")
    expect(page.locator("#pending")).to_have_text("150")
    expect(page.get_by_role("button", name="Ship", exact=True)).to_be_focused()


def test_it_works_without_scripts(browser: Browser, demo: str) -> None:
    """Forms alone tell the story: every press brings the page again, with what was done said on top."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(demo)
    press(page, "Place the order")
    expect(page.locator("#said")).to_contain_text("waits for its payment")
    with page.expect_navigation():
        press(page, "Pay")
    page.reload()
    expect(page.locator("#pending")).to_have_text("150")
    page.select_option("#person", label="Jonas Weber (de)")
    press(page, "Choose")
    expect(page.locator("#mails-title")).to_contain_text("What Jonas gets")
    context.close()


def test_an_empty_basket_is_explained_and_an_end_is_told(browser: Browser, demo: str) -> None:
    """What cannot be done says why; when the demo ends, the page says so instead of standing still."""
    page, _ = opened(browser, demo, PHONE)
    for product in ("First Flush Darjeeling", "Stoneware cup"):
        page.get_by_role("checkbox", name=product).uncheck()
    press(page, "Place the order")
    expect(page.locator("#said")).to_have_text("Choose at least one product first.")
    page.route("**/live*", lambda route: route.abort())
    expect(page.locator("#said")).to_contain_text("The demo has ended")


def test_other_sites_cannot_press_its_buttons(browser: Browser, demo: str) -> None:
    """A request that comes from another origin, or for another host, is refused."""
    context = browser.new_context()
    foreign = context.request.post(f"{demo}/do/stripe", headers={"Origin": "https://elsewhere.example"})
    assert foreign.status == 403
    rebound = context.request.get(demo, headers={"Host": "elsewhere.example"})
    assert rebound.status == 403
    context.close()
