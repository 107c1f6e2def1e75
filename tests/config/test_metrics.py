"""Metrics: who may read them, what they tell, and that asking often costs the database nothing."""

import asyncio
import contextlib
from typing import Any

import httpx
import pytest
import respx
from prometheus_client.parser import text_string_to_metric_families

from config import metrics
from config.asgi import build, build_aside
from handlers.watch.store import tell
from integration import meters
from integration.clock import MINUTE
from integration.errors import OutsideError
from integration.queue import Queue, connect
from integration.shopify.admin import Admin
from integration.stripe.api import StripeApi
from tests.handlers.inbox.conftest import LAVENDER, Desk, desk_on
from tests.handlers.inbox.conftest import connect as connect_shop

OUTSIDE, HERE = ("203.0.113.9", 1234), ("127.0.0.1", 1234)


async def ask(app: Any, client: tuple[str, int] = HERE, path: str = "/metrics", **headers: str) -> httpx.Response:
    """Ask an application as a caller from an address; headers by name with `_` for `-`."""
    transport = httpx.ASGITransport(app=app, client=client)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as one:
        return await one.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})


def told(text: str) -> dict[str, float]:
    """Return every sample by its name and labels, as Prometheus reads them."""
    return {
        sample.name + ("{" + ",".join(sorted(sample.labels.values())) + "}" if sample.labels else ""): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
async def desk(sqlite_database: Any, data_dir: Any) -> Any:
    """A worker's desk on SQLite, where the engine does not matter."""
    from integration.database.engine import Database

    database = await Database.open(sqlite_database(data_dir), data_dir)
    yield desk_on(database)
    await database.close()


async def test_nobody_outside_reads_the_metrics_unasked(desk: Desk) -> None:
    """What a shop sells in an hour is nobody's business."""
    app = build(desk.context)
    assert (await ask(app)).status_code == 200
    refused = await ask(app, OUTSIDE)
    assert (refused.status_code, refused.text) == (404, "Not Found")


@pytest.mark.parametrize("header", metrics.PASSED_ON)
async def test_a_proxy_on_the_same_machine_is_not_the_machine(desk: Desk, header: str) -> None:
    """To us everybody behind it seems to call from here."""
    assert (await ask(build(desk.context), HERE, **{header: "203.0.113.9"})).status_code == 404


async def test_with_a_token_only_the_token_counts(desk: Desk) -> None:
    """Wherever the caller is; a wrong one learns nothing, not even that there is something."""
    app = build(desk.context, "let-the-prometheus-in")
    assert (await ask(app, OUTSIDE, authorization="Bearer let-the-prometheus-in")).status_code == 200
    for given in ("Bearer let-the-prometheus", "Basic let-the-prometheus-in", "let-the-prometheus-in", ""):
        assert (await ask(app, HERE, authorization=given)).status_code == 404
    assert (await ask(app, HERE)).status_code == 404


async def test_the_port_of_its_own_answers_health_and_metrics_alone(desk: Desk) -> None:
    """It was asked for, and is kept off the public side; no page of the shop is there."""
    app = build_aside(desk.context)
    assert [(await ask(app, OUTSIDE, path)).status_code for path in ("/metrics", "/healthz", "/readyz")] == [200] * 3
    assert (await ask(app, OUTSIDE, "/webhooks/shopify")).status_code == 404


async def test_what_waits_and_failed_is_told_in_prometheus_words(database: Any, redis_url: str) -> None:
    """A page of figures by which somebody can be woken."""
    queue = Queue(connect(redis_url))
    desk = desk_on(database, queue=queue)
    await connect_shop(database, LAVENDER)
    now = desk.clock.now()
    await desk.told({"says": "one"})
    await database.run(lambda: tell("process", "till:1", now))
    await database.run(lambda: tell("audit", "7", now, 3))
    desk.clock.at += MINUTE // 2
    await queue.enqueue("inbox.prune", defer_by=600)
    figures = told((await ask(build_aside(desk.context))).text)
    await queue.close()
    assert figures["regulars_backlog_events{shopify}"] == 1
    assert figures["regulars_backlog_oldest_seconds{shopify}"] == 30
    assert figures["regulars_backlog_events{stripe}"] == figures["regulars_dead_letters{stripe}"] == 0
    assert figures["regulars_workers"] == 1 and figures["regulars_audit_drifts"] == 3
    assert figures["regulars_queue_jobs"] == 1 and figures["regulars_rings_unheard{inbox}"] == 0
    assert figures["regulars_up{database}"] == figures["regulars_up{queue}"] == 1
    assert "process_resident_memory_bytes" in figures


async def test_without_its_engines_it_tells_what_it_counted_itself(desk: Desk) -> None:
    """The scrape must not fail when it is needed most."""
    await desk.context.database.close()
    figures = told((await ask(build_aside(desk.context))).text)
    assert figures["regulars_up{database}"] == figures["regulars_up{queue}"] == 0
    assert "regulars_backlog_events{shopify}" not in figures
    assert "regulars_delivery_seconds_count{200,shopify}" in figures


async def test_many_who_ask_at_once_read_the_database_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever scrapes twice a second costs no more than once in five."""
    reads = []
    take = metrics.take_readings
    monkeypatch.setattr(metrics, "take_readings", lambda now: reads.append(now) or take(now))
    app = build_aside(desk.context)
    answers = await asyncio.gather(*(ask(app) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200} and len(reads) == 1
    monkeypatch.setattr(metrics, "KEEP_SECONDS", 0.0)
    app.state.look._until = 0.0
    await ask(app)
    assert len(reads) == 2


def test_what_an_alarm_waits_for_begins_at_zero() -> None:
    """Prometheus sees no increase in a series that begins at one: the first failure would wake nobody."""
    meters.expect(["inbox.prune"], ["inbox.work"])
    for name, labels in (
        ("regulars_platform_call_seconds_count", {"platform": "stripe", "outcome": "revoked"}),
        ("regulars_message_attempts_total", {"channel": "email", "outcome": "refused"}),
        ("regulars_database_retries_total", {"reason": "deadlock"}),
        ("regulars_jobs_total", {"job": "inbox.prune", "outcome": "failed"}),
        ("regulars_loop_failures_total", {"loop": "inbox.work"}),
    ):
        assert meters.REGISTRY.get_sample_value(name, labels) is not None, name


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(200, "ok"), (201, "ok"), (401, "revoked"), (402, "rejected"), (403, "rejected"), (404, "rejected"),
     (408, "unavailable"), (429, "throttled"), (430, "throttled"), (500, "unavailable"), (None, "unavailable")],
)  # fmt: skip
def test_a_platforms_answer_has_one_of_five_outcomes(status: int | None, outcome: str) -> None:
    """What to do about each differs; so do the alarms."""
    assert meters.outcome_of(status) == outcome


async def test_every_question_to_a_platform_is_timed_by_its_outcome(respx_mock: respx.MockRouter) -> None:
    """Shopify's and Stripe's, answered or not, through one place each."""

    def count(platform: str, outcome: str) -> float:
        labels = {"platform": platform, "outcome": outcome}
        return meters.REGISTRY.get_sample_value("regulars_platform_call_seconds_count", labels) or 0

    asked = [(platform, outcome) for platform in ("shopify", "stripe") for outcome in ("ok", "revoked", "unavailable")]
    before = {pair: count(*pair) for pair in asked}
    shopify = respx_mock.post(url__regex=r"https://hats\.myshopify\.com/.*")
    stripe = respx_mock.get(url__regex=r"https://api\.stripe\.com/v1/charges.*")
    admin, api = Admin(), StripeApi()
    well = httpx.Response(200, json={"data": [], "object": "list", "has_more": False, "url": "/"})
    for answer in (well, httpx.Response(401, json={"error": {"message": "no"}}), httpx.ConnectError("no route")):
        mock = {"return_value": answer} if isinstance(answer, httpx.Response) else {"side_effect": answer}
        shopify.mock(**mock)
        stripe.mock(**mock)
        with contextlib.suppress(OutsideError):
            await admin.graphql("hats.myshopify.com", "shpat_x", "{ shop { name } }")
        with contextlib.suppress(OutsideError):
            await api.ping("rk_test_x")
    await admin.aclose()
    await api.aclose()
    after = {pair: count(*pair) - before[pair] for pair in asked}
    assert (
        after[("stripe", "ok")]
        == after[("shopify", "ok")]
        == after[("shopify", "revoked")]
        == after[("shopify", "unavailable")]
        == 1
    )
    assert after[("stripe", "revoked")] == 1 and after[("stripe", "unavailable")] >= 1
