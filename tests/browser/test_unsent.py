"""What somebody types is not lost: when the session ends meanwhile, when a token is refused, when nobody answers."""

import pytest
from playwright.sync_api import Browser, expect

from handlers.merchants.sessions import end_sessions
from tests.browser.admin import DESKTOP, PHONE, embedded, window
from tests.browser.shop import RunningShop, pictured, too_wide, violations
from tests.visits import NORA

WORDS = "/app/messages/words/thank_you?language=en"
LETTER = "Dear {first_name},\n\nwelcome to Nora's & friends."


def ends_sessions(shop: RunningShop) -> None:
    """Nora is signed out everywhere."""
    shop.run(shop.house.database.run(lambda: end_sessions(NORA, shop.house.clock.now())))


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_words_outlive_the_session_they_were_typed_in(browser: Browser, shop: RunningShop, scripts: bool) -> None:
    """Signed out, signed in again in another tab, looked at once more, sent, saved."""
    page, _ = shop.alone(browser, PHONE if scripts else DESKTOP, java_script_enabled=scripts)
    page.goto(shop.url + WORDS)
    page.get_by_label("Subject").fill("A word of thanks, {first_name}")
    page.get_by_label("Text", exact=True).fill(LETTER)
    ends_sessions(shop)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("You were signed out")
    page.get_by_text("What you typed", exact=True).click()
    expect(page.get_by_text("A word of thanks, {first_name}", exact=True)).to_be_visible()
    if scripts:
        assert violations(page) == [] and not too_wide(page)
    pictured(page, f"signed-out-{scripts}")
    with page.expect_popup() as other:
        page.get_by_role("link", name="Sign in").click()
    expect(other.value.get_by_role("heading", level=1)).to_have_text("Sign in to your shop")
    other.value.goto(shop.link())
    other.value.get_by_role("button", name="Sign in").click()
    other.value.wait_for_url("**/app")
    page.get_by_role("button", name="I have signed in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Send what you typed?")
    expect(page.get_by_text("welcome to Nora's & friends.")).to_be_visible()
    if scripts:
        assert violations(page) == [] and not too_wide(page)
    pictured(page, f"unsent-{scripts}")
    page.get_by_role("button", name="Send it").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    expect(page.get_by_label("Text", exact=True)).to_have_value(LETTER)
    page.context.close()


def test_in_the_admin_a_refused_token_costs_nothing(browser: Browser, shop: RunningShop) -> None:
    """One that has run out is fetched anew unseen; where none is taken, and nobody answers, the page stays as it is."""
    page, _ = window(browser, PHONE, shop.url)
    fates = [True]

    def mint() -> str:
        good = fates.pop(0) if len(fates) > 1 else fates[0]
        return shop.house.token() if good else shop.house.token(user_id="1", exp=1)

    page.goto(embedded(page, mint)(shop.url + WORDS))
    page.get_by_label("Subject").fill("A word of thanks, {first_name}")
    save = page.get_by_role("button", name="Save", exact=True)
    stays = page.locator("[data-stay]")
    fates[:] = [False]
    save.click()
    expect(stays).to_contain_text("sign-in did not reach us")
    expect(page.get_by_label("Subject")).to_have_value("A word of thanks, {first_name}")
    assert violations(page) == [] and not too_wide(page)
    pictured(page, "stays")
    fates[:] = [True]
    page.route("**/words/thank_you", lambda route: route.abort())
    save.click()
    expect(stays).to_contain_text("did not reach us. What you typed is still here")
    page.unroute_all()
    page.route("**/words/thank_you", lambda route: route.fulfill(status=503, body="<p>gone"))
    save.click()
    expect(stays).to_contain_text("on our side")
    page.unroute_all()
    fates[:] = [False, True]
    save.click()
    expect(stays).to_have_count(0)
    assert page.evaluate("bridge.toasts.map(([words]) => words)") == [
        "Saved. Messages that go out from now on say this."
    ]
    expect(page.get_by_label("Subject")).to_have_value("A word of thanks, {first_name}")
    page.context.close()
