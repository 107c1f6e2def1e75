"""The pages of connections in Chromium: every state readable, on a screen and on a phone."""

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.shop import DESKTOP, PHONE, RunningShop, pictured, too_wide, violations


def with_accounts(shop: RunningShop) -> None:
    """Nora's shop with permissions, and Stripe accounts in every state."""
    does = shop.house.does
    now = shop.house.clock.now()
    scopes = '["read_orders", "read_customers", "read_products"]'
    shop.run(
        does("UPDATE connections SET token = 'x', scopes = ?1, connected_at = ?2 WHERE merchant_id = 1", scopes, now)
    )
    states = (("Nora's tea", "ok", None), ("Tea to go", "missing", "somebody deleted the webhook endpoint in Stripe"),
              ("Old shop", "revoked", "Stripe no longer accepts the key"))  # fmt: skip
    for number, (name, state, reason) in enumerate(states, start=11):
        shop.run(does(
            "INSERT INTO connections (id, merchant_id, platform, account, token, created_at, connected_at, revoked_at)"
            " VALUES (?1, 1, 'stripe', ?2, 'x', ?3, ?3, ?4)", number, f"path{number}", now,
            now if state == "revoked" else None,
        ))  # fmt: skip
        shop.run(does(
            "INSERT INTO stripe_accounts (merchant_id, connection, account, livemode, name, key_hint, state, reason,"
            " connected_at) VALUES (1, ?1, ?2, ?5, ?3, 'a1b2', ?6, ?7, ?4)",
            number, f"acct_1Pretend{number}", name, now, int(number != 12), state, reason,
        ))  # fmt: skip
        shop.run(does(
            "INSERT INTO reconcile_marks (merchant_id, connection, next_at, state, checked_at, heard_at, quiet_since,"
            " quiet_why) VALUES (1, ?1, 0, 'ok', ?2, ?2, ?3, 'two payments came to light by looking')",
            number, now, now if number == 12 else None,
        ))  # fmt: skip
        shop.run(does(
            "INSERT INTO reconciliations (merchant_id, connection, started_at, since_at, sales, micropoints)"
            " VALUES (1, ?1, ?2, 0, 3, 41000000)", number, now,
        ))  # fmt: skip


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_connections_can_be_read_and_used(browser: Browser, shop: RunningShop, size: dict[str, int]) -> None:
    """Empty and full, the form with its error, the question before parting, the domain."""
    page, complaints = shop.alone(browser, size)
    page.goto(f"{shop.url}/app/connections")
    expect(page.get_by_text("No Stripe account is connected")).to_be_visible()
    pictured(page, f"connections-empty-{size['width']}")
    assert violations(page) == [] and not too_wide(page)
    with_accounts(shop)
    page.reload()
    expect(page.get_by_role("heading", name="Stripe: Tea to go")).to_be_visible()
    pictured(page, f"connections-{size['width']}")
    assert violations(page) == [] and not too_wide(page)
    page.get_by_role("link", name="Connect another account").click()
    page.get_by_role("textbox", name="Restricted key").fill("sk_live_51Mistaken")
    page.get_by_role("button", name="Connect", exact=True).click()
    expect(page.get_by_role("textbox", name="Restricted key")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_role("textbox", name="Restricted key")).to_have_value("")
    pictured(page, f"stripe-form-{size['width']}")
    assert violations(page) == [] and not too_wide(page)
    page.goto(f"{shop.url}/app/connections/stripe/11/disconnect")
    pictured(page, f"disconnect-{size['width']}")
    assert violations(page) == [] and not too_wide(page)
    page.goto(f"{shop.url}/app/connections/domain")
    expect(page.get_by_role("textbox", name="Value").last).to_have_value("v=DMARC1; p=none;")
    pictured(page, f"domain-{size['width']}")
    assert violations(page) == [] and not too_wide(page)
    assert [words for words in complaints if "422" not in words] == []
    page.context.close()
