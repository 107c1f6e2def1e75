"""Metrics: who may read them, what they tell, and that asking often costs the database nothing."""

import asyncio
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from config import metrics
from config.asgi import build, build_aside
from handlers.watch.store import tell
from integration.clock import MINUTE
from integration.queue import Queue, connect
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
