"""From Install to the books after a reinstall, as a shopkeeper sees it: in the admin, with the program as it runs."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Frame, expect

from integration.clock import DAY
from integration.sandbox.shopify import Shop
from tests.browser.admin import DESKTOP, PHONE, in_admin, in_admin_again, window
from tests.browser.installed import Installed
from tests.browser.shop import arrived, too_wide, violations

ADA = "ada@home.example"
MOST_PIXELS = 12_000  # of the height of one picture


@pytest.fixture(scope="module")
def it(sqlite_database: Callable[[Path], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """Run the program once for all journeys."""
    folder = tmp_path_factory.mktemp("installed")
    with Installed(sqlite_database(folder), folder) as it:
        yield it


class Walk:
    """One shopkeeper in their admin; every station is looked at as everybody has to be able to."""

    def __init__(self, browser: Browser, it: Installed, shop: Shop, size: dict[str, int]) -> None:
        self.page, self.complaints = window(browser, size, it.url)
        self.app: Frame = in_admin(self.page, it.url, shop.domain, lambda: it.token(shop))
        self._size, self._stations = size, 0

    def goes(self, name: str, title: str | None = None) -> None:
        """Choose a page in the admin's navigation."""
        self.page.get_by_role("navigation", name="Apps").get_by_role("link", name=name).click()
        self.arrives(title or name)

    def presses(self, name: str, title: str) -> None:
        """Press a button, or what looks like one, that leads to another page."""
        self.app.get_by_role("button", name=name).or_(self.app.get_by_role("link", name=name)).first.click()
        self.arrives(title)

    def looks_for(self, name: str) -> None:
        """Look for a customer; what is pressed before the answer has replaced the page would lead nowhere."""
        field = self.app.get_by_label("Find a customer")
        field.fill(name)
        with self.app.expect_navigation(url=f"**/app/customers?*{name}*"):
            field.press("Enter")
        arrived(self.app)

    def arrives(self, title: str) -> None:
        """Wait for a page by its title, which the admin shows as well."""
        expect(self.app.get_by_role("heading", level=1)).to_have_text(title)
        expect(self.page).to_have_title(title)

    def is_told(self, words: str) -> None:
        """See a toast of the admin."""
        expect(self.page.get_by_role("status").filter(has_text=words)).to_be_visible()

    def station(self, name: str) -> None:
        """Hold the page to what everybody needs, and keep a picture of all of it."""
        assert violations(self.app) == [] and not too_wide(self.app), name
        self._stations += 1
        if folder := os.environ.get("SCREENSHOTS"):
            bar = 120  # what stands above the frame
            height = min(self.app.evaluate("document.documentElement.scrollHeight") + bar, MOST_PIXELS)
            self.page.set_viewport_size({**self._size, "height": height})
            self.page.screenshot(path=Path(folder) / f"journey-{self._size['width']}-{self._stations:02}-{name}.png")
            self.page.set_viewport_size(self._size)  # type: ignore[arg-type]

    def leaves(self) -> None:
        """Close the window."""
        self.page.context.close()


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_from_install_to_the_books_after_a_reinstall(browser: Browser, it: Installed, size: dict[str, int]) -> None:
    """Installed, set up, previewed, switched on, the first order, a rule changed and put back, removed, and back."""
    width = size["width"]
    shop = it.shop(f"nora-{width}.myshopify.com", f"Nora’s Tea {width}")
    sold_before(shop, width)
    nora = Walk(browser, it, shop, size)
    sees_what_was_sold_before(it, nora, width)
    sets_up(nora)
    sells(it, shop, width)
    finds_ada(nora, points=87)
    changes_a_rule(nora)
    undoes(nora)
    leaves_and_comes_back(it, shop, nora)
    finds_ada(nora, points=87)
    assert [words for words in nora.complaints if "403" not in words] == []
    nora.leaves()


def sold_before(shop: Shop, width: int) -> None:
    """Bo bought a cup the day before the app was there: no webhook tells of it."""
    clock, shop.clock = shop.clock, lambda: time.time_ns() // 1000 - DAY
    bo, _ = shop.welcome("Bo", "Lind", f"{width}.bo@home.example")
    order, _ = shop.place(bo, [(shop.stock("Tea cup", 900), 1)])
    shop.pay(order)
    shop.clock = clock


def sees_what_was_sold_before(it: Installed, nora: Walk, width: int) -> None:
    """Being installed asks the shop for its recent orders, at once and without anybody's doing; they earn nothing."""
    app = nora.app
    nora.arrives("Home")
    nora.goes("Customers")
    found = app.get_by_role("link", name="Bo Lind")

    def looks() -> bool:
        nora.looks_for("bo")
        return found.count() > 0

    it.until(looks, "what was sold before did not come in")
    found.first.click()
    nora.arrives("Bo Lind")
    expect(app.get_by_role("region", name="Timeline")).to_contain_text("Order #1001")
    assert not it.mailbox.to(f"{width}.bo@home.example")
    nora.goes("Home")


def sets_up(nora: Walk) -> None:
    """The first visit made the merchant; three steps lead from there to what customers get."""
    app = nora.app
    nora.arrives("Home")
    steps = app.get_by_role("listitem").filter(has=app.get_by_role("heading", level=3))
    expect(steps).to_have_count(3)
    expect(steps.first).to_contain_text("Connect your shop: done")
    nora.station("installed")
    nora.presses("Preview", "Programme")
    app.get_by_label("Send thank-you notes").check()
    app.get_by_label("How long after the purchase").fill("0")
    app.get_by_label("At any hour").check()
    preview = app.get_by_role("region", name="Preview")
    expect(preview).to_contain_text("right after the purchase, at any hour")
    expect(preview.locator("#preview-thanks .letter")).to_contain_text("Nora’s Tea")
    nora.station("previewed")
    app.get_by_label("Customers earn points on what they buy").check()
    app.get_by_label("Points for each €1 spent").fill("3")
    nora.presses("Review changes", "Review your changes")
    expect(app.get_by_text("This goes live for the first time")).to_be_visible()
    nora.station("reviewed")
    nora.presses("Save as version 2", "Programme")
    nora.is_told("Saved as version 2")
    nora.goes("Home")
    expect(app.get_by_text("Everything is running")).to_be_visible()
    nora.station("switched-on")


def sells(it: Installed, shop: Shop, width: int) -> None:
    """Ada buys tea for €29, which Shopify tells by signed webhooks; her note comes by mail."""
    # What was saved is in force from the next whole second on; only a test buys sooner.
    time.sleep(1 - time.time() % 1)
    tea = shop.stock("High Mountain Oolong", 2_900)
    ada, news = shop.welcome("Ada", "Berg", f"{width}.{ADA}")
    it.tells(news)
    order, news = shop.place(ada, [(tea, 1)])
    it.tells(news)
    it.tells(shop.pay(order))
    assert "#1002" in it.letter_to(f"{width}.{ADA}")


def finds_ada(nora: Walk, points: int) -> None:
    """Her page tells of the order, of her points with their why, and of the note as it looked."""
    app = nora.app
    nora.goes("Customers")
    nora.looks_for("ada")
    nora.presses("Ada Berg", "Ada Berg")
    timeline = app.get_by_role("region", name="Timeline")
    expect(timeline).to_contain_text("Order #1002")
    expect(timeline).to_contain_text(f"+{points}")
    timeline.get_by_text("Why").first.click()
    expect(timeline).to_contain_text("€29.00")
    expect(timeline.get_by_role("heading", name="Thank-you note")).to_be_visible()
    timeline.get_by_text("How it looked").click()
    letter = app.frame_locator("iframe.letter")
    expect(letter.get_by_text("There are many places to buy").last).to_be_visible()
    nora.station("timeline")


def changes_a_rule(nora: Walk) -> None:
    """The admin's save bar leads to what the change means, for whom, and only from there into force."""
    app = nora.app
    nora.goes("Programme")
    app.get_by_label("Points for each €1 spent").fill("5")
    nora.page.get_by_role("region", name="Save bar").get_by_role("button", name="Save").click()
    nora.arrives("Review your changes")
    row = app.get_by_role("row").filter(has_text="Points for each €1 spent")
    expect(row.get_by_role("cell")).to_contain_text(["Points for each €1 spent", "3", "5"])
    expect(app.get_by_role("region", name="For whom, and from when")).to_contain_text(
        "Sales made before keep version 2"
    )
    nora.station("difference")
    nora.presses("Save as version 3", "Programme")
    nora.is_told("Saved as version 3")
    expect(app.get_by_label("Points for each €1 spent")).to_have_value("5")
    nora.station("changed")


def undoes(nora: Walk) -> None:
    """With the keyboard alone: the link, the question, the answer."""
    app, keys = nora.app, nora.page.keyboard
    app.get_by_role("link", name="Undo the last change").focus()
    keys.press("Enter")
    nora.arrives("Put version 2 back?")
    nora.station("undo")
    for _ in range(50):
        if app.evaluate("document.activeElement.textContent").strip() == "Put version 2 back":
            break
        keys.press("Tab")
    keys.press("Enter")
    nora.arrives("Programme")
    nora.is_told("Saved as version 4")
    expect(app.get_by_label("Points for each €1 spent")).to_have_value("3")
    nora.presses("History", "History of the programme")
    nora.station("history")


def leaves_and_comes_back(it: Installed, shop: Shop, nora: Walk) -> None:
    """Once Shopify has told that the app was removed, a page left open says so; after a reinstall all is there."""
    it.tells(shop.uninstall())
    it.until(lambda: not it.is_open_to(shop), "the shop is still let in")
    nora.page.get_by_role("navigation", name="Apps").get_by_role("link", name="Customers").click()
    expect(nora.app.get_by_role("heading", level=1)).to_have_text(f"{shop.domain} is not connected")
    nora.station("removed")
    shop.install()
    nora.app = in_admin_again(nora.page)
    nora.arrives("Home")
    expect(nora.app.get_by_text("On: points, thank-you notes.")).to_be_visible()
    nora.station("back")
