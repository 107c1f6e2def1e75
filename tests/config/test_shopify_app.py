"""What Shopify is told of the app is what the program does, in a form that its CLI takes."""

import json
import re
import tomllib
from typing import Any
from urllib.parse import urlsplit

from config.routes import ROUTES
from config.topics import SHOPIFY
from handlers.inbox.pages import SHOPIFY_PATH
from handlers.merchants import oauth
from integration.shopify.admin import API_VERSION
from integration.shopify.scopes import OPTIONAL, REQUIRED
from tests.conftest import REPOSITORY, missing

COMPLIANCE = ("customers/data_request", "customers/redact", "shop/redact")
# The keys Shopify's CLI knows, as far as we use them; it refuses others.
KEYS = {
    "": {"client_id", "name", "handle", "application_url", "embedded", "access_scopes", "auth", "webhooks",
         "app_proxy", "app_preferences", "build"},
    "access_scopes": {"scopes", "optional_scopes", "use_legacy_install_flow"},
    "auth": {"redirect_urls"},
    "webhooks": {"api_version", "subscriptions"},
    "app_proxy": {"url", "prefix", "subpath"},
    "app_preferences": {"url"},
    "build": {"automatically_update_urls_on_dev"},
}  # fmt: skip


def read(name: str) -> dict[str, Any]:
    return tomllib.loads((REPOSITORY / name).read_text())


APP = read("shopify.app.toml")
SUBSCRIPTIONS: list[dict[str, Any]] = APP["webhooks"]["subscriptions"]


def told(kind: str) -> list[str]:
    """Every topic of a kind, over all subscriptions."""
    return [topic for one in SUBSCRIPTIONS for topic in one.get(kind, [])]


def test_every_topic_we_read_is_subscribed_once_and_no_other() -> None:
    """A reader nobody feeds and a topic nobody reads are both mistakes; compliance topics have their own key."""
    assert sorted(told("topics")) == sorted(set(SHOPIFY) - set(COMPLIANCE))
    assert sorted(told("compliance_topics")) == sorted(COMPLIANCE)


def test_every_subscription_leads_to_the_receiver() -> None:
    """Relative to the app's address, without a slash at the end, and in the version we read."""
    assert {one["uri"] for one in SUBSCRIPTIONS} == {SHOPIFY_PATH}
    assert all(set(one) in ({"topics", "uri"}, {"compliance_topics", "uri"}) for one in SUBSCRIPTIONS)
    assert APP["webhooks"]["api_version"] == API_VERSION


def test_the_permissions_asked_for_are_the_ones_the_code_names() -> None:
    """Managed installation and OAuth ask for the same."""
    assert APP["access_scopes"]["scopes"].split(",") == list(REQUIRED)
    assert APP["access_scopes"]["optional_scopes"] == list(OPTIONAL)
    assert not APP["access_scopes"]["use_legacy_install_flow"]
    assert not set(REQUIRED) & set(OPTIONAL)


def test_every_topic_has_the_permission_it_needs() -> None:
    """A deploy with a topic beyond the app's permissions is refused."""
    path = REPOSITORY.parent / "shared" / "payloads" / "shopify_topics.json"
    if not path.is_file():
        missing("the folder `shared` beside the repository, with the list of topics")
    needed = {one["topic"]: one for one in json.loads(path.read_text())}
    for topic in SHOPIFY:
        assert "toml" in needed[topic]["available_on"], topic
        scopes = needed[topic]["scopes"]
        # Who may write something may read it.
        enough = {f"{may}_{scope}" for may in ("read", "write") for scope in scopes or ()}
        assert not scopes or enough & set(REQUIRED), topic


def test_the_files_hold_what_the_cli_takes() -> None:
    """Its rules for names, addresses and keys."""
    assert {name for name in APP if isinstance(APP[name], dict)} <= set(KEYS)
    for section, keys in KEYS.items():
        found = APP[section] if section else APP
        assert set(found) <= keys, section
    assert re.fullmatch(r"[0-9a-f]{32}", APP["client_id"])
    assert 0 < len(APP["name"]) <= 30 and re.fullmatch(r"[a-z0-9-]+", APP["handle"])
    assert APP["embedded"] is True
    addresses = [APP["application_url"], APP["app_preferences"]["url"], *APP["auth"]["redirect_urls"]]
    for address in addresses:
        parts = urlsplit(address)
        assert (parts.scheme, parts.hostname, parts.query) == ("https", "regulars.example", "")
        assert not address.endswith("/")


def test_every_address_has_a_page() -> None:
    """Where Shopify sends a browser, something answers."""
    paths = {route.path for route in ROUTES}  # type: ignore[attr-defined]
    assert urlsplit(APP["application_url"]).path == "" and "/" in paths
    assert [urlsplit(url).path for url in APP["auth"]["redirect_urls"]] == [oauth.BACK]
    assert {oauth.BACK, urlsplit(APP["app_preferences"]["url"]).path} <= paths


def test_the_proxy_stands_below_the_shops_own_address() -> None:
    """Its prefix is one of Shopify's, and its permission is asked for."""
    proxy = APP["app_proxy"]
    assert (proxy["url"], proxy["prefix"]) == ("/proxy", "apps")
    assert re.fullmatch(r"[a-z0-9-]{2,30}", proxy["subpath"])
    assert "write_app_proxy" in REQUIRED


def test_the_cli_runs_the_program_by_a_target_that_exists() -> None:
    """The CLI splits the command at blanks, so whatever needs a shell stands in the Makefile."""
    web = read("shopify.web.toml")
    assert set(web) == {"name", "roles", "webhooks_path", "commands"}
    assert web["roles"] == ["frontend", "backend"] and web["webhooks_path"] == SHOPIFY_PATH
    program, target = web["commands"]["dev"].split(" ")
    recipe = re.search(rf"^{target}: .*\n\t(.+)$", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    assert program == "make" and recipe is not None
    # The CLI's HOST is the tunnel's address; ours is where we listen.
    assert "HOST=127.0.0.1" in recipe[1] and 'PUBLIC_URL="$(APP_URL)"' in recipe[1] and "serve" in recipe[1]
