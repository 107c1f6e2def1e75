"""The doctor as somebody meets it in the middle of the night: what is wrong, in words, and what to do."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import respx

from config import doctor
from handlers.inbox.record import Delivery, record
from handlers.watch.store import tell
from integration.clock import DAY, HOUR, Clock
from integration.database.steps import Steps, ask, plain
from tests.config.beside import beside, rows
from tests.config.commands.desk import Answer, Desk
from tests.mailbox import Mailbox

ADMIN = "https://hats.myshopify.com/admin/api/2026-10/graphql.json"


def finding(answer: Answer, name: str) -> tuple[str, str]:
    """Return the state of one thing the doctor looked at, and what to do about it."""
    (one,) = [check for check in answer.value["checks"] if check["name"] == name]
    return one["state"], f"{one['words']} {one['todo']}".strip()


@pytest.fixture
def running(desk: Desk, database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A machine on which everything runs: Redis, and a worker that was heard of just now."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    beside(database_url, lambda database: database.run(lambda: tell("process", "till:1", Clock().now())))
    return desk


def test_a_machine_that_is_well_is_told_so(running: Desk) -> None:
    """Nothing broken is exit 0, whatever there is to look at."""
    answer = running("doctor", "--json")
    assert answer.code == 0 and answer.value["well"] and answer.value["problems"] == {}
    ok = {check["name"] for check in answer.value["checks"] if check["state"] == "ok"}
    assert {"database", "schema", "writing", "clock", "queue", "mail", "worker", "backlog", "audit", "sales"} <= ok
    assert "0 broken" in running("doctor").out


def test_a_database_that_is_away_is_told_without_its_password(
    empty_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What to look at, and no secret."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://ada:hunter2@127.0.0.1:1/hats")
    answer = empty_desk("doctor", "--json")
    state, words = finding(answer, "database")
    assert (answer.code, state) == (1, "broken")
    assert "DATABASE_URL" in words and "hunter2" not in answer.out + answer.err


def test_a_database_nobody_has_migrated_says_how(empty_desk: Desk) -> None:
    """The first thing a newcomer may have forgotten."""
    answer = empty_desk("doctor", "--json")
    assert answer.code == 1 and "regulars migrate" in answer.value["problems"]["schema"]


def test_a_database_of_a_newer_release_is_no_fault(running: Desk, database_url: str) -> None:
    """While a release is rolled out, both work on it."""
    rows(database_url, "CREATE TABLE rewards (id bigint)")
    answer = running("doctor", "--json")
    assert answer.code == 0 and finding(answer, "schema")[0] == "warning"


def test_a_database_that_can_only_be_read_is_broken(
    running: Desk, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a failover to a replica, or with the disk full: it answers, and takes nothing."""
    if database_url.startswith("sqlite"):
        pytest.skip("as root every file can be written")
    monkeypatch.setenv("DATABASE_URL", f"{database_url}?options=-c%20default_transaction_read_only%3Don")
    answer = running("doctor", "--json")
    assert answer.code == 1 and finding(answer, "database")[0] == "ok" and finding(answer, "writing")[0] == "broken"


def test_a_redis_that_is_away_is_broken_where_one_was_asked_for(running: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded one comes and goes with `serve`: that is only worth a word."""
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")
    assert finding(running("doctor", "--json"), "queue")[0] == "broken"
    monkeypatch.delenv("REDIS_URL")
    assert finding(running("doctor", "--json"), "queue")[0] == "warning"


def test_the_mail_server_is_spoken_to_and_gets_no_letter(
    running: Desk, monkeypatch: pytest.MonkeyPatch, mailbox: Mailbox
) -> None:
    """Its refusal is found before a customer's mail is."""
    monkeypatch.setenv("SMTP_URL", mailbox.url)
    assert finding(running("doctor", "--json"), "mail")[0] == "ok" and mailbox.letters == []
    monkeypatch.setenv("SMTP_URL", "smtp://ada:hunter2@127.0.0.1:1")
    answer = running("doctor", "--json")
    assert answer.code == 1 and finding(answer, "mail")[0] == "broken"
    assert "hunter2" not in answer.out + answer.err


@pytest.mark.parametrize(
    ("told", "state"),
    [
        (httpx.Response(401), "broken"),
        (httpx.Response(402), "warning"),
        (httpx.Response(503), "warning"),
        (httpx.ConnectError("no route"), "warning"),
    ],
)
def test_a_merchants_dead_token_is_found(running: Desk, respx_mock: respx.MockRouter, told: Any, state: str) -> None:
    """Only what somebody has to do something about is broken."""
    running.all([("merchant", "add", "Hats", "--shopify", "hats", "--currency", "EUR", "--timezone", "Europe/Paris",
                  "--shopify-token", "shpat_0123456789abcdef")])  # fmt: skip
    route = respx_mock.post(ADMIN)
    route.mock(**({"return_value": told} if isinstance(told, httpx.Response) else {"side_effect": told}))
    answer = running("doctor", "--json")
    assert finding(answer, "shopify of Hats")[0] == state and answer.code == (state == "broken")
    assert "shpat_" not in answer.out + answer.err


@pytest.mark.parametrize(
    ("column", "state", "todo"),
    [
        ("revoked_at = 1, revoked_why", "broken", "opens Regulars in Shopify's admin"),
        ("refresh_problem", "warning", ""),
    ],
)
def test_access_that_lapsed_or_cannot_be_renewed_is_found(
    running: Desk, respx_mock: respx.MockRouter, database_url: str, column: str, state: str, todo: str
) -> None:
    """What only the merchant can mend says so; a lapsed shop is asked nothing."""
    running.all([("merchant", "add", "Hats", "--shopify", "hats", "--currency", "EUR", "--timezone", "Europe/Paris",
                  "--shopify-token", "shpat_0123456789abcdef")])  # fmt: skip
    rows(database_url, f"UPDATE connections SET refresh_token = 'sealed', {column} = 'it ended'")
    shop = {"id": "gid://shopify/Shop/1", "myshopifyDomain": "hats.myshopify.com"}
    route = respx_mock.post(ADMIN).mock(return_value=httpx.Response(200, json={"data": {"shop": shop}}))
    found, words = finding(running("doctor", "--json"), "shopify of Hats")
    assert found == state and "it ended" in words and todo in words
    assert route.called == (state == "warning")


def test_a_stripe_key_is_tried_and_one_of_another_secret_key_is_named(
    running: Desk, respx_mock: respx.MockRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token nobody can decrypt any more looks like a token until it is used."""
    running.all([
        ("merchant", "add", "Hats", "--currency", "EUR", "--timezone", "Europe/Paris"),
        ("merchant", "stripe", "Hats", "--webhook-secret", "whsec_0123456789", "--api-key", "rk_test_0123456789"),
    ])  # fmt: skip
    route = respx_mock.get("https://api.stripe.com/v1/charges")
    route.mock(return_value=httpx.Response(200, json={"object": "list", "data": [], "has_more": False, "url": "/"}))
    assert finding(running("doctor", "--json"), "credentials")[0] == "ok"
    route.mock(return_value=httpx.Response(401, json={"error": {"message": "rk_test_0123456789 has expired"}}))
    answer = running("doctor", "--json")
    assert finding(answer, "stripe of Hats")[0] == "broken" and "rk_test" not in answer.out + answer.err
    monkeypatch.setenv("SECRET_KEY", "another-key-" * 4)
    state, words = finding(running("doctor", "--json"), "stripe of Hats")
    assert state == "broken" and "SECRET_KEY" in words


def test_what_waits_without_a_worker_is_broken(desk: Desk, database_url: str) -> None:
    """Webhooks are answered, and nothing comes of them: nobody else would notice."""
    answer = desk("doctor", "--json")
    assert answer.code == 0 and finding(answer, "worker")[0] == "warning"

    def told() -> Steps[None]:
        now = Clock().now()
        yield from ask(plain("INSERT INTO connections (merchant_id, platform, account, created_at, connected_at)"
                             " VALUES (1, 'shopify', 'hats.myshopify.com', 0, 0)"), ())  # fmt: skip
        yield from record([Delivery("shopify", "hats.myshopify.com", "w1", "orders/paid", None, now - HOUR, b"{}")])

    beside(database_url, lambda database: database.run(told))
    answer = desk("doctor", "--json")
    assert answer.code == 1 and "regulars worker" in answer.value["problems"]["worker"]
    assert "1 hour" in answer.value["problems"]["backlog"]


def test_drift_a_lost_worker_and_an_old_backup_are_told(running: Desk, database_url: str) -> None:
    """What an audit found stays until the next one; what is lost is named."""
    now = Clock().now()

    def told() -> Steps[None]:
        yield from tell("audit", "1", now - HOUR, 2)
        yield from tell("process", "till:2", now - HOUR)
        yield from tell("backup", "last", now - 8 * DAY)

    beside(database_url, lambda database: database.run(told))
    answer = running("doctor", "--json")
    assert answer.code == 1 and "regulars audit" in answer.value["problems"]["audit"]
    assert "till:2" in answer.value["advice"]["worker"] and "8 days" in answer.value["advice"]["backup"]


def test_an_audit_and_a_backup_are_remembered(running: Desk, tmp_path: Path) -> None:
    """The doctor asks for neither again the day it was done."""
    running.all([("merchant", "add", "Hats", "--currency", "EUR", "--timezone", "Europe/Paris")])
    running.all([("audit",), ("backup", str(tmp_path / "copy"))])
    answer = running("doctor", "--json")
    assert finding(answer, "backup")[0] == "ok"
    assert finding(answer, "audit") == ("ok", "The books of 1 merchant agree.")


def test_a_clock_that_is_wrong_is_found(running: Desk, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stripe's signatures hold for five minutes; leases and due times go by clocks that agree."""
    if database_url.startswith("sqlite"):
        pytest.skip("SQLite has no clock of its own")
    now = Clock.now
    for seconds, state in ((5, "warning"), (120, "broken"), (-120, "broken")):
        monkeypatch.setattr(Clock, "now", lambda self, ahead=seconds: now(self) + ahead * 1_000_000)
        assert finding(running("doctor", "--json"), "clock")[0] == state


def test_a_full_disk_is_found(running: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before deliveries are answered with 503 for it."""
    for free, state in ((500_000_000, "warning"), (50_000_000, "broken")):
        monkeypatch.setattr(
            doctor.shutil, "disk_usage", lambda path, free=free: doctor.shutil._ntuple_diskusage(1, 1, free)
        )
        assert finding(running("doctor", "--json"), "disk")[0] == state


def test_a_piece_that_is_silent_does_not_keep_the_others(running: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has its time; what breaks in a way nobody foresaw is told by its type alone."""
    import asyncio

    async def silent(*_: Any) -> None:
        await asyncio.Event().wait()

    async def odd(*_: Any) -> None:
        raise KeyError("ada@hats.example")

    monkeypatch.setattr(doctor, "CHECK_SECONDS", 3)
    monkeypatch.setattr(doctor, "_queue", silent)
    monkeypatch.setattr(doctor, "_clock", odd)
    answer = running("doctor", "--json")
    assert finding(answer, "queue")[0] == finding(answer, "clock")[0] == "broken"
    assert finding(answer, "clock")[1].startswith("It failed (KeyError).") and "ada@" not in answer.out
    assert finding(answer, "backlog")[0] == "ok"


def test_every_line_that_is_not_well_says_what_to_do(desk: Desk) -> None:
    """A diagnosis without a remedy wakes somebody for nothing."""
    checks = json.loads(desk("doctor", "--json").out)["checks"]
    assert [check["name"] for check in checks if check["state"] != "ok" and not check["todo"]] == []
