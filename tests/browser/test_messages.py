"""The pages of messages and of what happened in Chromium: typed, tried, stopped, paused, replayed; alone and framed."""

import pytest
from playwright.sync_api import Browser, Frame, Page, expect

from tests.browser.admin import DESKTOP, PHONE
from tests.browser.shop import RunningShop, pictured, too_wide, violations
from tests.handlers.activity.conftest import came, order
from tests.handlers.messages.stage import PROGRAM, Stage
from tests.visits import House

WORDS = "/app/messages/words/thank_you?language=en"


def is_well(page: Page | Frame) -> None:
    """Hold a page to what everybody needs."""
    assert violations(page) == [] and not too_wide(page)


async def busy(house: House) -> None:
    """Elsa's note waits, one event was given up, and there is something on every page."""
    stage = Stage(house.database, channel=house.mail, clock=house.clock)  # type: ignore[arg-type]
    stage.context, stage.versions = house.context, 1
    await stage.set(PROGRAM, at=0)
    await stage.hears(stage.order())
    await came(house, order(id=7, name="#1007"))
    await came(house, b"{broken")


def typed_is_shown(page: Page | Frame) -> None:
    """Type words: the letter, its subject and the remarks follow without anything being pressed."""
    page.get_by_label("Text", exact=True).fill("Dear {first_name},\n\nwelcome. You have {balance} points.")
    page.get_by_label("Subject").fill("Hello {first_nam}")
    for title in ("The letter on a phone", "The letter on a desktop"):
        expect(
            page.frame_locator(f'iframe[title="{title}"][data-letter]').get_by_text("Dear Ada,", exact=True)
        ).to_be_visible()
    expect(page.get_by_text("Did you mean {first_name}?")).to_be_visible()
    expect(page.get_by_text("{balance} is not known in this message")).to_be_visible()
    expect(page.locator("[data-text]")).to_contain_text("Dear Ada,")
    page.get_by_label("Subject").fill("Hello {first_name}")
    expect(page.locator("[data-subject]")).to_have_text("Hello Ada")


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_words_are_seen_as_a_letter_while_they_are_typed(
    browser: Browser, shop: RunningShop, size: dict[str, int]
) -> None:
    """Then tried on oneself, saved, and found again; nothing typed is lost in between."""
    page, complaints = shop.alone(browser, size)
    page.goto(shop.url + WORDS)
    typed_is_shown(page)
    is_well(page)
    pictured(page, f"words-{size['width']}")
    page.get_by_role("button", name="Send a test to").click()
    expect(page.get_by_text("A test is on its way to")).to_be_visible()
    expect(page.get_by_label("Subject")).to_have_value("Hello {first_name}")
    assert [str(mail["Subject"]) for mail in shop.house.mail.mailbox] == ["[Test] Hello Ada"]
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    page.goto(f"{shop.url}/app/messages")
    expect(page.get_by_text("Yours in EN")).to_be_visible()
    page.goto(f"{shop.url}/app/messages/words/thank_you/reset?language=en")
    is_well(page)
    assert complaints == []
    page.context.close()


def test_words_are_seen_while_they_are_typed_in_the_admin(browser: Browser, shop: RunningShop) -> None:
    """The letter stands in a frame of our frame, where no token travels."""
    page, app, complaints = shop.in_admin(browser, path="/app/messages/words/thank_you")
    typed_is_shown(app)
    assert complaints == []
    page.context.close()


def test_words_are_seen_without_scripts(browser: Browser, shop: RunningShop) -> None:
    """A button does what the script does, and keeps what was typed."""
    page, _ = shop.alone(browser, DESKTOP, java_script_enabled=False)
    page.goto(shop.url + WORDS)
    page.get_by_label("Text", exact=True).fill("Dear {first_name}")
    page.get_by_role("button", name="Update the preview").click()
    expect(page.frame_locator('iframe[title="The letter on a phone"]').get_by_text("Dear Ada").last).to_be_visible()
    expect(page.get_by_label("Text", exact=True)).to_have_value("Dear {first_name}")
    page.context.close()


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_messages_are_stopped_and_paused_and_events_replayed(
    browser: Browser, shop: RunningShop, size: dict[str, int]
) -> None:
    """Each after a second look; every page is fit for everybody."""
    shop.run(busy(shop.house))
    page, complaints = shop.alone(browser, size)
    for path in (
        "/app/messages", "/app/messages/queue", "/app/messages/pause", "/app/activity", "/app/activity?state=failed",
        "/app/activity?q=1007", "/app/activity/recovered", "/app/activity/duplicates", "/app/activity/looks",
    ):  # fmt: skip
        page.goto(shop.url + path)
        is_well(page)
    page.goto(f"{shop.url}/app/messages/queue")
    page.get_by_role("link", name="Stop Thank-you note to Elsa Berg").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Stop this message?")
    is_well(page)
    page.get_by_role("button", name="Stop this message").click()
    expect(page.get_by_text("This message will not go out")).to_be_visible()
    page.get_by_role("link", name="Pause all messages").click()
    page.get_by_role("button", name="Pause all messages").click()
    expect(page.get_by_text("All messages are paused")).to_be_visible()
    page.get_by_role("link", name="Resume messages").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Resume messages?")
    is_well(page)
    page.get_by_role("button", name="Resume messages").click()
    expect(page.get_by_text("Messages go out again")).to_be_visible()
    page.goto(f"{shop.url}/app/activity?state=failed")
    page.get_by_role("link", name="Order paid").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Order paid, event 2")
    is_well(page)
    page.get_by_role("link", name="Show what it said").click()
    expect(page.get_by_text("{broken")).to_be_visible()
    is_well(page)
    page.get_by_role("link", name="Replay this event").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Replay this event?")
    is_well(page)
    page.get_by_role("button", name="Replay it").click()
    expect(page.get_by_text("It is being worked again")).to_be_visible()
    page.goto(f"{shop.url}/app/activity/changes")
    expect(page.get_by_text("Replayed an event", exact=True)).to_be_visible()
    page.get_by_text("Details").first.click()
    is_well(page)
    pictured(page, f"changes-{size['width']}")
    assert complaints == []
    page.context.close()
