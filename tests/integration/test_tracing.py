"""A place in a trace follows from what is stored, whoever asks; what is told of it goes out as OpenTelemetry has it."""

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from integration import tracing
from tests.collector import Collector, collecting

EVENT = ("shopify", "lavender.myshopify.com", "b54557e4")
NOON = 1_790_000_000_000_000


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A collector that this process knows of, and tracing that the test switches on."""
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        for name in ("OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG", "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"):
            monkeypatch.delenv(name, raising=False)
        yield collector
        tracing.stop()


def test_nothing_is_traced_and_nothing_loaded_unless_asked_for() -> None:
    """Who does not trace pays with one look at a name."""
    assert not tracing.is_on()
    assert tracing.receipt(*EVENT, NOON) is None and tracing.step("00-a-b-01", "work", 1) is None
    tracing.record("receive", None, None, NOON, NOON)
    program = (
        "import sys; import config.cli, config.asgi, config.worker, config.wiring;"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_every_process_finds_the_same_place(collector: Collector) -> None:
    """The receiver and the worker agree without telling each other."""
    tracing.start()
    here = tracing.receipt(*EVENT, NOON)
    work = tracing.step(here, "work", 1)
    tracing.stop()
    tracing.start()
    assert tracing.receipt(*EVENT, NOON) == here and tracing.step(here, "work", 1) == work
    assert here is not None and work is not None
    assert here[:36] == work[:36] and here != work, "one trace, two spans"
    again, other = tracing.receipt(*EVENT, NOON + 1), tracing.receipt(*EVENT[:2], "another", NOON)
    assert again is not None and again[:36] == here[:36] and again != here, "a repetition is another span"
    assert other is not None and other[:36] != here[:36]
    assert tracing.step(here, "work", 2) != work, "so is another attempt"


def test_spans_arrive_with_their_ids_times_and_outcome(collector: Collector) -> None:
    """As derived and as measured, under the program's own name; a clock set back makes no span end before it begins."""
    tracing.start()
    receipt = tracing.receipt(*EVENT, NOON)
    work = tracing.step(receipt, "work", 1)
    tracing.record("receive", receipt, None, NOON, NOON + 5, source="shopify", topic=None)
    tracing.record("work", work, receipt, NOON + 9, NOON, error="put_back", event=7)
    tracing.stop()
    receive, worked = sorted(collector.until("receive", "work"), key=lambda span: span.name)
    assert collector.paths == ["/v1/traces"]
    assert receive.service == "regulars" and receipt == f"00-{receive.trace}-{receive.id}-01" and receive.parent == ""
    assert (receive.began, receive.ended, receive.is_error) == (NOON * 1000, (NOON + 5) * 1000, False)
    assert receive.attributes == {"regulars.source": "shopify"}
    assert work == f"00-{worked.trace}-{worked.id}-01" and worked.parent == receive.id
    assert worked.began == worked.ended == (NOON + 9) * 1000
    assert worked.is_error and worked.attributes == {"regulars.event": 7, "error.type": "put_back"}


@pytest.mark.parametrize("sampler", ["traceidratio", "parentbased_traceidratio"])
def test_a_trace_is_kept_whole_or_not_at_all(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, sampler: str
) -> None:
    """Who keeps a share of the traces gets no halves, though each process decides by itself."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "corner")
    tracing.start()
    for number in range(64):
        receipt = tracing.receipt("stripe", "token", f"evt_{number}", NOON)
        work = tracing.step(receipt, "work", 1)
        tracing.record("receive", receipt, None, NOON, NOON)
        tracing.record("work", work, receipt, NOON, NOON)
        tracing.record("send", tracing.step(work, "send", 1), work, NOON, NOON)
    tracing.stop()
    traces = [span.trace for span in collector.spans]
    assert 3 * 8 < len(traces) < 3 * 56
    assert {traces.count(trace) for trace in traces} == {3}
    assert {span.service for span in collector.spans} == {"corner"}


def test_a_collector_that_is_away_delays_the_end_by_seconds_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """What watches the program must not hold it up."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    tracing.start()
    tracing.record("receive", tracing.receipt(*EVENT, NOON), None, NOON, NOON)
    began = time.monotonic()
    tracing.stop()
    assert time.monotonic() - began < 20 and not tracing.is_on()
