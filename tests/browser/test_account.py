"""The customer's page in Chromium: phone and desktop, with and without scripts, for everybody's eyes and hands."""

import asyncio
import re
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from integration.clock import DAY
from tests.browser.admin import DESKTOP, PHONE, window
from tests.browser.shop import RunningShop, pictured, too_wide, violations
from tests.visits import NORA

MOST_BYTES = 60_000
CATALOGUE = {
    "five": {"name": "5 € off", "kind": "amount_off", "points": 500, "value": "5", "min_order": "10"},
    "tasting": {
        "name": "A tasting for two",
        "kind": "by_hand",
        "points": 800,
        "instructions": "Come by on any Saturday and show this code at the counter.",
    },
    "pot": {"name": "A cast-iron teapot", "kind": "free_product", "points": 2_500, "value": "49", "products": ["12"]},
}


def prepare(shop: RunningShop) -> str:
    """Give Nora's shop rewards and Elsa points; returns the link of a letter of hers."""
    from handlers.merchants.programs import change_program
    from handlers.points.adjust import adjust

    house, now = shop.house, shop.house.clock.now()
    settings: dict[str, Any] = {
        "earning.enabled": True,
        "rewards.enabled": True,
        "rewards.catalogue": CATALOGUE,
        "messages.window": "always",
        "ways.sign_up": True,
        "ways.milestones": True,
        "ways.birthday": True,
        "ways.tell_days": True,
    }
    shop.run(house.database.run(lambda: change_program(NORA, settings, now - DAY)))
    shop.run(
        house.does(
            "INSERT INTO customers (merchant_id, number, shopify_id, first_name, email, locale, created_at)"
            " VALUES (?1, 1, '70', 'Elsa', 'elsa@home.example', 'en-GB', 0)",
            NORA,
        )
    )
    for kind, value in (("shopify", "70"), ("email", "elsa@home.example")):
        shop.run(house.does("INSERT INTO customer_identities VALUES (?1, ?2, ?3, 1)", NORA, kind, value))
    for points, words in (
        (900, "A gift for your birthday"),
        (60, "Thank you for your patience"),
        (-12, "A slip of ours"),
    ):
        shop.run(house.database.run(lambda p=points, w=words: adjust(NORA, 1, p, w, None, now)))  # type: ignore[misc]
    shop.run(house.does("INSERT INTO accounts VALUES (?1, 'customer:1:pending', 84000000)", NORA))
    return shop.url + "/c/me/" + house.context.vault.sign("me", NORA, 1, now + 90 * DAY)


def fresh(shop: RunningShop) -> str:
    """Read the link of the newest mail, which is sent after the page was answered."""

    async def come() -> None:
        while not shop.house.mail.mailbox:
            await asyncio.sleep(0.02)

    shop.run(come())
    found = re.search(r"http\S+/c/open/[\w.-]+", shop.house.mail.mailbox[-1].get_body(("plain",)).get_content())
    assert found
    return found[0]


def is_fine(page: Page, name: str) -> None:
    """No violation, nothing too wide."""
    pictured(page, name)
    assert not too_wide(page), name
    assert violations(page) == [], name


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_points_are_seen_and_spent(browser: Browser, shop: RunningShop, size: dict[str, int]) -> None:
    """From a letter's link by a mailed one to a code in hand, which a button copies."""
    letter, width = prepare(shop), size["width"]
    page, complaints = window(browser, size, shop.url)
    sizes: list[int] = []
    page.on("response", lambda answer: sizes.append(len(answer.body())) if answer.status == 200 else None)
    page.goto(letter)
    expect(page.get_by_role("heading", name="Your points", exact=True)).to_be_visible()
    expect(page.get_by_text("948", exact=True)).to_be_visible()
    assert sum(sizes) < MOST_BYTES
    is_fine(page, f"account-letter-{width}")
    for fold in page.locator("summary").all():
        fold.click()
    is_fine(page, f"account-open-{width}")
    page.get_by_role("button", name="Choose A tasting for two").click()
    expect(page.get_by_role("heading", name="Look into your mailbox")).to_be_visible()
    is_fine(page, f"account-mailed-{width}")
    page.goto(fresh(shop))
    is_fine(page, f"account-opening-{width}")
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("heading", name="A tasting for two for 800 points?")).to_be_visible()
    is_fine(page, f"account-redeem-{width}")
    page.get_by_role("button", name="Spend 800 points").press("Enter")
    expect(page.get_by_role("heading", name="It is on its way")).to_be_visible()
    made(shop)
    page.get_by_role("link", name="Update").click()
    expect(page.get_by_role("heading", name="Here you are")).to_be_visible()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == page.locator("code").inner_text()
    is_fine(page, f"account-code-{width}")
    page.get_by_role("link", name="Back", exact=True).click()
    is_fine(page, f"account-session-{width}")
    page.get_by_role("heading", name="Birthday", exact=True).click()
    expect(page.get_by_label("may write to me on such days")).not_to_be_checked()
    is_fine(page, f"account-birthday-{width}")
    page.get_by_role("link", name=re.compile("^Give back")).click()
    is_fine(page, f"account-return-{width}")
    page.goto(f"{shop.url}/c/account/forget")
    is_fine(page, f"account-forget-{width}")
    page.goto(f"{shop.url}/c/me/guessed")
    is_fine(page, f"account-gone-{width}")
    assert [each for each in complaints if "404" not in each] == []
    page.context.close()


def test_without_scripts_nothing_is_missing(browser: Browser, shop: RunningShop) -> None:
    """In German, on a phone, with scripts off: the same way, the code to be marked by a tap."""
    letter = prepare(shop)
    shop.run(shop.house.does("UPDATE customers SET locale = 'de'"))
    page, complaints = window(browser, PHONE, shop.url, java_script_enabled=False)
    page.goto(letter)
    expect(page.get_by_role("heading", name="Ihre Punkte", exact=True)).to_be_visible()
    page.get_by_text("So funktioniert es").click()
    expect(page.get_by_text("Punkte verfallen nicht.")).to_be_visible()
    page.get_by_role("button", name="Auswählen A tasting for two").click()
    page.goto(fresh(shop))
    page.get_by_role("button", name="Weiter").click()
    page.get_by_role("button", name="800 Punkte einlösen").click()
    made(shop)
    page.get_by_role("link", name="Übernehmen").click()
    expect(page.get_by_role("heading", name="Bitte sehr")).to_be_visible()
    expect(page.get_by_role("button", name="Kopieren")).to_be_hidden()
    pictured(page, "account-german-code")
    assert page.locator("code").evaluate("element => getComputedStyle(element).userSelect") == "all"
    page.get_by_role("link", name="Zurück", exact=True).click()
    expect(page.get_by_role("heading", name="Ihre Punkte", exact=True)).to_be_visible()
    pictured(page, "account-german")
    assert not too_wide(page) and complaints == []
    page.context.close()


def made(shop: RunningShop) -> None:
    """Let the worker make what was asked for."""
    from tests.handlers.rewards.counter import ask_once

    shop.run(ask_once(shop.house.context))
