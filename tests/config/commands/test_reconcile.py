"""`regulars reconcile` and the keys it asks with, as somebody at a desk uses them."""

import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from config import wiring
from config.commands import reconcile as module
from config.commands.reconcile import instant
from handlers.context import Context
from handlers.inbox.work import drain
from handlers.reconcile import store
from handlers.reconcile.jobs import Report, reconcile
from handlers.reconcile.store import Connected
from integration.clock import DAY, HOUR, from_iso
from integration.sandbox.shopify import Shop
from integration.sandbox.shopify_api import PretendShopify
from integration.shopify.admin import Admin
from tests.config.commands.desk import Desk

HATS = ("merchant", "add", "Hats", "--currency", "USD", "--timezone", "UTC", "--shopify", "hats")
EARN = ("merchant", "program", "Hats", "--set", "earning.enabled=true", "--set", "earning.points_per_unit=1")
NOW = from_iso("2026-11-20T12:00:00Z")


class HatShop:
    """A pretend shop by the real clock, with a till."""

    def __init__(self) -> None:
        self.shop = Shop("hats.myshopify.com", secret="shpss_hats", clock=lambda: time.time_ns() // 1000)
        self.pretend = PretendShopify.of([self.shop], "key", "secret")
        self.hat = self.shop.stock("Hat", 41_00)
        self.ana, _ = self.shop.welcome("Ana", "Diaz", "ana@example.com")

    def token(self) -> str:
        return str(self.pretend.grant(self.shop.domain)["access_token"])

    def sells(self) -> None:
        order, _ = self.shop.place(self.ana, [(self.hat, 1)])
        self.shop.pay(order)


@pytest.fixture
def hats(monkeypatch: pytest.MonkeyPatch) -> HatShop:
    """The shop behind the command's own client, and no long waits for a worker that does not run."""
    hats = HatShop()

    def admin(**more: object) -> Admin:
        client = httpx.AsyncClient(transport=httpx.ASGITransport(hats.pretend.app))
        return Admin(client, base="http://pretend/{shop}", clock=more["clock"])  # type: ignore[arg-type]

    monkeypatch.setattr(wiring, "Admin", admin)
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.0)
    return hats


def test_without_a_key_it_says_how_to_give_one(desk: Desk, hats: HatShop) -> None:
    """Skipped is no failure; with the key it looks."""
    assert desk("reconcile").out == "Nothing is connected yet; see `regulars merchant add`.\n"
    desk.all([HATS])
    skipped = desk("reconcile")
    assert (skipped.code, skipped.err) == (0, "")
    assert 'regulars merchant shopify "Hats" --token' in skipped.out
    desk.all([("merchant", "shopify", "Hats", "--token", hats.token())])
    assert "Hats, Shopify: nothing was missed (0 looked at since" in desk("reconcile", "Hats").out


def test_what_was_missed_is_taken_in_and_shown(desk: Desk, hats: HatShop) -> None:
    """First what would be, then what was; its points once somebody has worked it."""
    desk.all([(*HATS, "--shopify-token", hats.token()), EARN])
    hats.sells()
    assert "1 event would be taken in" in desk("reconcile", "--dry-run").out
    assert desk("events", "list", "--json").value == []
    first = desk("reconcile", "--json")
    assert first.code == 0
    assert (first.value["recovered"], first.value["points"]) == (1, 0)
    (one,) = first.value["connections"]
    assert (one["merchant"], one["platform"], one["state"]) == ("Hats", "shopify", "ok")
    assert (one["compared"], one["recovered"], one["sales"], one["points"]) == (1, 1, None, None)
    assert desk("events", "list", "--json").value[0]["topic"] == "orders/recovered"
    assert one["recent"][0]["recovered"] == 1
    again = desk("reconcile", "--since", "2d")
    assert "nothing was missed (1 looked at" in again.out


def test_a_merchant_sees_orders_and_points(desk: Desk, hats: HatShop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a worker works what was taken in while the command waits; earlier looks are shown with theirs."""
    desk.all([(*HATS, "--shopify-token", hats.token()), EARN])
    time.sleep(1.1)  # the programme is in force from the next whole second
    hats.sells()

    async def worked(context: Context, *given: object, **how: object) -> Report:
        report = await reconcile(context, *given, **how)  # type: ignore[arg-type]
        await drain(context)
        return report

    monkeypatch.setattr(module, "reconcile", worked)
    assert "Hats, Shopify: 1 order recovered, 41 points (1 looked at since" in desk("reconcile").out
    hats.sells()
    monkeypatch.setattr(module, "reconcile", reconcile)
    assert "their points are known once a worker has worked them" in desk("reconcile").out
    monkeypatch.setattr(module, "reconcile", worked)
    (one,) = desk("reconcile", "--json").value["connections"]
    assert [(look["sales"], look["points"]) for look in one["recent"]] == [(1, 41), (1, 41)]


def test_a_platform_that_cannot_be_asked_is_exit_1(desk: Desk, hats: HatShop) -> None:
    """What is known is shown all the same."""
    desk.all([(*HATS, "--shopify-token", hats.token())])
    hats.pretend.fail_next = [503]
    away = desk("reconcile", "--json")
    assert (away.code, away.value["connections"][0]["state"]) == (1, "away")
    hats.pretend.tokens.access.clear()
    assert desk("reconcile").code == 1
    revoked = desk("reconcile")
    assert (revoked.code, "our access was taken away" in revoked.out) == (1, True)
    desk.all([("merchant", "shopify", "Hats", "--token", hats.token()), ("reconcile",)])


def test_it_waits_for_a_look_under_way_and_then_looks_itself(
    desk: Desk, hats: HatShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look by the clock leaves out what is fresh; who asks wants that, too."""
    desk.all([(*HATS, "--shopify-token", hats.token()), EARN])
    hats.sells()
    states: list[str] = []

    async def beside_another(context: Context, one: Connected, **how: Any) -> Report:
        mark = None
        if not states:
            mark = await context.database.run(lambda: store.claim(one, "another", context.clock.now()))
        report = await reconcile(context, one, **how)
        if mark is not None:
            await context.database.run(lambda: store.release(one, "another", mark))
        states.append(report.state)
        return report

    monkeypatch.setattr(module, "reconcile", beside_another)
    answer = desk("reconcile", "--json")
    assert (states, answer.code, answer.value["recovered"]) == (["busy", "ok"], 0, 1)


def test_where_another_look_does_not_end_is_exit_1(
    desk: Desk, hats: HatShop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing was looked at, and it says so; a look that was under way in a backup holds nothing once that is back."""
    desk.all([(*HATS, "--shopify-token", hats.token()), EARN])
    hats.sells()

    async def beside_another(context: Context, one: Connected, **how: Any) -> Report:
        await context.database.run(lambda: store.claim(one, "another", context.clock.now()))
        return await reconcile(context, one, **how)

    monkeypatch.setattr(module, "BUSY_SECONDS", 0.0)
    monkeypatch.setattr(module, "reconcile", beside_another)
    answer = desk("reconcile")
    assert (answer.code, "another run is looking at it" in answer.out) == (1, True)
    monkeypatch.setattr(module, "reconcile", reconcile)
    assert desk("reconcile").code == 1
    desk.all([("backup", str(tmp_path / "backup")), ("restore", str(tmp_path / "backup"), "--yes")])
    answer = desk("reconcile", "--json")
    assert (answer.code, answer.value["recovered"]) == (0, 1)


def test_wrong_words_are_usage_errors_and_unknown_merchants_one_sentence(desk: Desk, hats: HatShop) -> None:
    """Exit 2 and 1."""
    desk.all([HATS])
    for since in ("yesterday", "2999-01-01", "99999999999d", ""):
        assert desk("reconcile", "--since", since).code == 2, since
    for words in (("reconcile", "Shoes"), ("merchant", "shopify", "Shoes", "--token", "shpat_1")):
        answer = desk(*words)
        assert (answer.code, answer.out, answer.err.count("\n")) == (1, "", 1)
    assert "blank" in desk("merchant", "shopify", "Hats", "--token", " ").err
    desk.all([("merchant", "add", "Bare", "--currency", "USD", "--timezone", "UTC")])
    assert "No shop of this merchant is connected" in desk("merchant", "shopify", "Bare", "--token", "shpat_1").err


def test_since_is_a_day_a_time_or_how_long_ago() -> None:
    """Days and times without an offset are UTC."""
    assert instant("36h", NOW) == NOW - 36 * HOUR
    assert instant("7d", NOW) == NOW - 7 * DAY
    assert instant("2026-11-19", NOW) == from_iso("2026-11-19T00:00:00Z")
    assert instant("2026-11-19T10:00:00+02:00", NOW) == from_iso("2026-11-19T08:00:00Z")
