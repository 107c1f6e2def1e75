"""The pages of connections in Chromium: every state readable, on a screen and on a phone."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from handlers.exchange.jobs import carry_out
from tests.browser.admin import DESKTOP, PHONE
from tests.browser.shop import RunningShop, pictured, too_wide, violations
from tests.eventful import with_accounts
from tests.visits import NORA


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_connections_can_be_read_and_used(browser: Browser, shop: RunningShop, size: dict[str, int]) -> None:
    """Empty and full, the form with its error, the question before parting, the domain."""
    page, complaints = shop.alone(browser, size)
    page.goto(f"{shop.url}/app/connections")
    expect(page.get_by_text("No Stripe account is connected")).to_be_visible()
    pictured(page, f"connections-empty-{size['width']}")
    assert violations(page) == [] and not too_wide(page)
    shop.run(with_accounts(shop.house))
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


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_balances_are_brought_in_by_hand(
    browser: Browser, shop: RunningShop, size: dict[str, int], tmp_path: Path
) -> None:
    """The form, the look with its wrong lines, the progress, the end, taking back; and a file that goes out."""
    file = tmp_path / "smile.csv"
    file.write_text("Customer Email,Points Balance\nana@x.example,1200\nnobody,5\nbo@x.example,-3\ncleo@x.example,40\n")
    page, complaints = shop.alone(browser, size)
    page.goto(f"{shop.url}/app/connections/data")
    pictured(page, f"data-{size['width']}")
    assert violations(page) == [] and not too_wide(page)
    page.get_by_label("File of balances").set_input_files(file)
    page.get_by_role("button", name="Look at the file").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("smile.csv")
    pictured(page, f"import-{size['width']}")
    assert violations(page) == [] and not too_wide(page)
    page.get_by_role("button", name="Bring in 2 balances").click()
    expect(page.get_by_role("progressbar")).to_be_visible()
    pictured(page, f"import-under-way-{size['width']}")
    assert violations(page) == []
    shop.run(carry_out(shop.house.context, NORA, 1))
    expect(page.get_by_text("2 balances with 1,240 points")).to_be_visible()
    page.get_by_role("link", name="Take it back").click()
    pictured(page, f"import-undo-{size['width']}")
    assert violations(page) == [] and not too_wide(page)
    page.goto(f"{shop.url}/app/connections/data")
    assert violations(page) == [] and not too_wide(page)
    pictured(page, f"data-after-{size['width']}")
    with page.expect_download() as taken:
        page.get_by_role("link", name="CSV of: Customers and their balances").click()
    assert "ana@x.example" in Path(taken.value.path()).read_text()
    assert complaints == []
    page.context.close()


def test_in_the_admin_a_file_comes_in_and_goes_out(browser: Browser, shop: RunningShop, tmp_path: Path) -> None:
    """The upload is fetched with a bearer; the download carries none and needs none."""
    file = tmp_path / "smile.csv"
    file.write_text("email,points\nana@x.example,1200\n")
    page, app, complaints = shop.in_admin(browser, path="/app/connections/data")
    app.get_by_label("File of balances").set_input_files(file)
    app.get_by_role("button", name="Look at the file").click()
    expect(app.get_by_role("heading", level=1)).to_have_text("smile.csv")
    app.get_by_role("button", name="Bring in 1 balance").click()
    expect(app.get_by_role("progressbar")).to_be_visible()
    shop.run(carry_out(shop.house.context, NORA, 1))
    expect(app.get_by_text("1 balances with 1,200 points")).to_be_visible()
    with page.expect_download() as taken:
        app.get_by_role("link", name="Report of every line").click()
    assert "ana@x.example" in Path(taken.value.path()).read_text()
    assert complaints == []
    page.context.close()


def test_in_the_admin_a_permission_is_given_where_it_is_listed(browser: Browser, shop: RunningShop) -> None:
    """Shopify asks for that one alone; declined, it can be asked for again."""
    shop.run(with_accounts(shop.house))
    page, app, complaints = shop.in_admin(browser, path="/app/connections")
    button = app.get_by_role("button", name="Allow: Points and tier shown in your theme")
    app.evaluate("window.declines = true")
    button.click()
    expect(app.get_by_role("status").filter(has_text="Nothing was changed")).to_be_visible()
    app.evaluate("window.declines = false")
    button.click()
    expect(app.get_by_role("status").filter(has_text="within a minute")).to_be_visible()
    expect(button).to_be_disabled()
    assert app.evaluate("bridge.asked") == ["write_customers"]
    assert violations(app) == [] and complaints == []
    page.context.close()
