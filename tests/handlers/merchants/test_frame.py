"""What pages have in common: where they may send one, what is said once, and how values are written."""

from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest
from starlette.requests import Request
from starlette.responses import Response

from handlers.merchants.frame import Visit, guard, is_own, letter, moved, read_flash, spoken_locale, without
from integration.clock import MINUTE
from integration.vault import Vault
from tests.visits import MONDAY_NOON, NORA, OTTO, HeldClock

VISIT = Visit(NORA, "Nora's Tea", "EUR", "Europe/Paris", "fr", "link:nora", "nora.myshopify.com", True)
KEYS = Vault(["a secret of more than thirty-two characters"])


class _State:
    def __init__(self) -> None:
        self.context = self
        self.clock, self.vault, self.state = HeldClock(), KEYS, self


def request(path: str = "/app") -> Request:
    """Return a request for a path of ours."""
    parts = urlsplit(path)
    return Request({
        "type": "http", "method": "GET", "path": parts.path, "query_string": parts.query.encode(), "headers": [],
        "app": _State(),
    })  # fmt: skip


@pytest.mark.parametrize(
    "path",
    [
        "https://evil.example/app", "//evil.example/app", "/\\evil.example", "/app\\@evil.example", "/app//evil",
        "/%2f%2fevil.example", "https:evil.example", "javascript:alert(1)", "/app\r\nSet-Cookie: a=b", "/application",
        "/app/../c/review", "/app/\\evil.example", "\t/app", "/app\t", "/app /x", "/app#x", "/appé", "/c/review/x", "",
    ],
)  # fmt: skip
def test_what_is_no_page_of_ours_is_gone_to_by_nobody(path: str) -> None:
    """Another site's address in any spelling that a browser would follow."""
    assert not is_own(path)
    with pytest.raises(ValueError, match="below /app"):
        moved(request(), VISIT, path)


@pytest.mark.parametrize("path", ["/app", "/app?said=x", "/app/customers/7?page=2&q=a%20b", "/app/a..b"])
def test_a_page_of_ours_is_gone_to(path: str) -> None:
    """With its query."""
    assert is_own(path)
    assert moved(request(), VISIT, path).headers["location"] == path


def test_what_was_done_is_said_once_to_whom_it_concerns() -> None:
    """Sealed for one merchant and for two minutes; nobody reads it on the way or makes it up."""
    words = "Ana's 50 points were taken back: <b>é</b>"
    to = moved(request(), VISIT, "/app/customers?page=2", words).headers["location"]
    assert to.startswith("/app/customers?page=2&said=") and "Ana" not in to
    said = read_flash(request(to), NORA, KEYS, MONDAY_NOON + MINUTE)
    assert said is not None and (said.words, said.tone) == (words, "success")
    assert read_flash(request(to), OTTO, KEYS, MONDAY_NOON) is None
    assert read_flash(request(to[:-3]), NORA, KEYS, MONDAY_NOON) is None
    assert read_flash(request("/app?said=You%20won"), NORA, KEYS, MONDAY_NOON) is None
    assert read_flash(request(to), NORA, KEYS, MONDAY_NOON + 3 * MINUTE) is None


def test_a_mail_on_a_page_runs_nothing_and_is_framed_by_our_page_alone() -> None:
    """Sandboxed, without scripts; in the admin the admin's frames are around it too."""
    policy = guard(letter("<p>Hello", VISIT.shop), VISIT.shop, embedded=True).headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'; ") and "script" not in policy
    assert policy.endswith("frame-ancestors 'self' https://nora.myshopify.com https://admin.shopify.com")
    alone = guard(letter("<p>Hello", None))
    assert alone.headers["content-security-policy"].endswith("frame-ancestors 'self'")
    assert "x-frame-options" not in alone.headers


def test_only_an_admin_we_know_frames_a_page() -> None:
    """Without a shop, Shopify's admin; alone nobody."""
    policy = guard(Response(), "", embedded=True).headers["content-security-policy"]
    assert policy.endswith("frame-ancestors https://admin.shopify.com")
    assert "*" not in policy


@pytest.mark.parametrize(
    ("accept", "locale"),
    [
        (None, "en"), ("", "en"), ("*", "en"), ("fr-FR,fr;q=0.9,en;q=0.8", "fr_FR"), ("en;q=0.1,de-AT", "de_AT"),
        ("xx-YY", "en"), ("../../etc/passwd", "en"), ("fr;q=x,it", "it"), ("a" * 10_000, "en"),
    ],
)  # fmt: skip
def test_values_are_written_as_the_browser_asks(accept: str | None, locale: str) -> None:
    """An unknown, odd or endless wish is English."""
    assert spoken_locale(accept) == locale


def test_parameters_are_taken_out_of_an_address() -> None:
    """All of a name, and no other."""
    assert without("/app?a=1&b=2&a=3", "a") == "/app?b=2"
    assert without("/app?a=1", "a") == without("/app", "a") == "/app"


def test_values_are_written_for_people(tmp_path: Any) -> None:
    """In the visitor's locale, the shop's currency and its time zone."""
    from handlers.merchants.frame import show

    (tmp_path / "x.html").write_text(
        "{{ 123456 | money }}|{{ 500 | money('JPY') }}|{{ 1234567 | number }}|{{ -1999999 | points }}|"
        "{{ 0.256 | percent }}|{{ at | day }}|{{ at | machine_time }}|{{ none | when }}|{{ name }}"
    )
    page = bytes(show(replace(VISIT, locale="de_DE"), "x.html", tmp_path, at=MONDAY_NOON, name="<b>").body).decode()
    assert page.replace("\xa0", " ") == (
        "1.234,56 €|500 ¥|1.234.567|-1|25,6 %|23.11.2026|2026-11-23T11:00:00Z|–|&lt;b&gt;"
    )
