"""What stands in a shop's theme and in its customers' accounts, shown in a browser as Shopify would show it."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.conftest import REPOSITORY, missing

FOLDER = REPOSITORY / "extensions"
INSTALL_SECONDS, CHECK_SECONDS = 300, 120
AXE = (Path(__file__).parent / "axe" / "axe.min.js").read_text(encoding="utf-8")
WIDTHS = (1280, 320)


@pytest.fixture(scope="module")
def node() -> str:
    """A Node.js with what the extensions need beside it, as `package-lock.json` pins it."""
    found, npm = shutil.which("node"), shutil.which("npm")
    if found is None or npm is None:
        missing("Node.js with npm (Debian: apt-get install nodejs npm)")
    assert found is not None and npm is not None
    here, pinned = FOLDER / "node_modules" / ".package-lock.json", FOLDER / "package-lock.json"
    if not here.exists() or here.stat().st_mtime < pinned.stat().st_mtime:
        subprocess.run([npm, "ci", "--silent"], cwd=FOLDER, check=True, timeout=INSTALL_SECONDS)
    return found


@pytest.fixture(scope="module")
def shown(node: str) -> dict[str, Any]:
    """The blocks as people see them, and the bundles of the account's extension."""
    said = subprocess.run(
        [node, "show.mjs"], cwd=FOLDER, check=True, timeout=CHECK_SECONDS, capture_output=True, text=True
    )
    found: dict[str, Any] = json.loads(said.stdout)
    return found


def planted(folder: Path) -> Path:
    """Copy the extensions, to plant a mistake in them."""
    copy = folder / "extensions"
    shutil.copytree(FOLDER, copy, ignore=shutil.ignore_patterns("node_modules"))
    (copy / "node_modules").symlink_to(FOLDER / "node_modules")
    return copy


def checked(node: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([node, "check.mjs"], cwd=folder, timeout=CHECK_SECONDS, capture_output=True, text=True)


def typed(node: str, folder: Path) -> subprocess.CompletedProcess[str]:
    compiler = folder / "node_modules" / "typescript" / "bin" / "tsc"
    arguments = [node, "--preserve-symlinks", str(compiler), "--project", "regulars-account"]
    return subprocess.run(arguments, cwd=folder, timeout=CHECK_SECONDS, capture_output=True, text=True)


def test_shopify_would_take_both_extensions(node: str) -> None:
    """Its own theme check finds nothing, sizes are within its limits, and every language says everything."""
    said = checked(node, FOLDER)
    assert said.returncode == 0, said.stderr
    assert said.stderr == ""


def test_components_are_used_as_shopify_types_them(node: str) -> None:
    """An attribute that a component does not have is an error of the type checker."""
    said = typed(node, FOLDER)
    assert said.returncode == 0, said.stdout


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        ("regulars-theme/blocks/points.liquid", "{%- endif -%}", "", "LiquidHTMLSyntaxError"),
        ("regulars-theme/blocks/points.liquid", "'points.open'", "'points.opne'", "TranslationKeyExists"),
        ("regulars-theme/blocks/corner.liquid", "{% schema %}", "{% comment %}", "corner.liquid"),
        ("regulars-theme/locales/de.json", '"sign_in"', '"sign_on"', "lacks"),
    ],
)
def test_a_mistake_in_an_extension_is_found(
    node: str, tmp_path: Path, file: str, old: str, new: str, told: str
) -> None:
    """The check is one that can fail."""
    copy = planted(tmp_path)
    text = (copy / file).read_text(encoding="utf-8")
    assert old in text
    (copy / file).write_text(text.replace(old, new, 1), encoding="utf-8")
    said = checked(node, copy)
    assert said.returncode == 1
    assert told in said.stderr


def test_a_component_used_wrongly_is_found(node: str, tmp_path: Path) -> None:
    """The type checker knows the components."""
    copy = planted(tmp_path)
    file = copy / "regulars-account" / "src" / "parts.tsx"
    file.write_text(file.read_text(encoding="utf-8").replace('target="_blank"', 'target="somewhere"'), encoding="utf-8")
    assert '"somewhere"' in typed(node, copy).stdout


@pytest.mark.parametrize("width", WIDTHS)
def test_blocks_of_the_theme_can_be_read_by_everybody(browser: Browser, shown: dict[str, Any], width: int) -> None:
    """No finding of axe, nothing wider than the screen, no script and no request: in every language, for everybody."""
    page = browser.new_page(viewport={"width": width, "height": 800})
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for name, html in shown["blocks"].items():
        language = name.rsplit(" ", 1)[1]
        page.set_content(
            f'<!doctype html><html lang="{language}"><title>Shop</title><style>{shown["css"]}</style>'
            f"<main><h1>Shop</h1>{html}</main></html>"
        )
        assert "<script" not in html
        assert "undefined" not in html
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
        page.evaluate(AXE)
        found = page.evaluate("axe.run().then(result => result.violations.map(one => one.id + ': ' + one.help))")
        assert found == [], name
    assert asked == []
    page.close()


def test_what_shops_and_people_are_called_is_text_in_a_theme(browser: Browser, shown: dict[str, Any]) -> None:
    """A tier or a reward with markup in its name is shown letter by letter."""
    page = browser.new_page()
    page.set_content(shown["blocks"]["points regular en"])
    expect(page.get_by_text("Gold & <Silver>")).to_be_visible()
    expect(page.get_by_text("Free <b>delivery</b>")).to_be_visible()
    expect(page.get_by_text("750 points to go: 20 € off")).to_be_visible()
    page.close()


def account_page(browser: Browser, shown: dict[str, Any], module: str, answer: dict[str, Any]) -> Page:
    """Run a bundle as the customer's account does: its own `shopify`, and the account's API behind `fetch`."""
    page = browser.new_page()
    page.set_content("<!doctype html><html lang=en><title>Account</title><body></body></html>")
    page.evaluate(
        """async ({ text, words, answer }) => {
            window.asked = [];
            window.shopify = { i18n: { translate: (key, values = {}) => {
                let found = words[key];
                if (typeof found !== "string") found = found[values.count === 1 ? "one" : "other"];
                return found.replace(/{{(\\w+)}}/g, (_, name) => values[name]);
            } } };
            window.fetch = async (url, options) => {
                window.asked.push([url, options.method]);
                return new Response(JSON.stringify(answer), { headers: { "Content-Type": "application/json" } });
            };
            const url = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
            await (await import(url)).default();
        }""",
        {"text": shown["account"][module], "words": shown["words"], "answer": answer},
    )
    return page


def told(card: object) -> dict[str, Any]:
    return {"data": {"customer": {"card": None if card is None else {"value": json.dumps(card)}}}}


def test_the_account_shows_balance_rewards_and_the_way_to_the_next(browser: Browser, shown: dict[str, Any]) -> None:
    """From the customer's own metafield, which is all that is asked for."""
    page = account_page(browser, shown, "PointsPage.js", told(shown["card"]))
    expect(page.locator("s-heading")).to_have_text("1250 points")
    expect(page.locator("s-badge")).to_have_text("Gold & <Silver>")
    expect(page.locator("s-list-item").first).to_have_text("5 € off: 500 points")
    expect(page.locator("s-progress")).to_have_attribute("value", "1250")
    expect(page.locator("s-button")).to_have_attribute("href", shown["card"]["page"])
    assert page.evaluate("asked") == [["shopify://customer-account/api/2026-07/graphql.json", "POST"]]
    page.close()


@pytest.mark.parametrize(
    "answer",
    [
        told(None),
        {"data": {"customer": None}},
        {"data": None, "errors": [{"message": "no"}]},
        told({"points": "many", "page": "https://marlow.myshopify.com/apps/regulars"}),
        told({"points": 5, "page": "javascript:alert(1)"}),
        told([]),
        told("nothing"),
    ],
    ids=["no points", "nobody", "refused", "no number", "no address", "a list", "a text"],
)
def test_a_block_says_nothing_where_it_knows_nothing(
    browser: Browser, shown: dict[str, Any], answer: dict[str, Any]
) -> None:
    """Below an order stands the order: nothing broken, nothing invented."""
    page = account_page(browser, shown, "Block.js", answer)
    assert page.evaluate("document.body.textContent") == ""
    page.close()


def test_the_points_page_says_so_where_the_account_cannot_be_asked(browser: Browser, shown: dict[str, Any]) -> None:
    """A page of its own may not stay empty."""
    page = account_page(browser, shown, "PointsPage.js", {"data": None, "errors": [{"message": "no"}]})
    expect(page.locator("s-banner")).to_contain_text("They are safe")
    page = account_page(browser, shown, "PointsPage.js", told(None))
    expect(page.locator("s-text")).to_contain_text("They come with your first order")
    page.close()
