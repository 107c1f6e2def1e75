"""Hands spans to OpenTelemetry, which sends them by OTLP; the only module that loads it."""

import threading
from collections.abc import Mapping

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.propagation import set_span_in_context

CLOSE_SECONDS = 3.0  # for the last spans; a collector that is away must not hold up the end of the process

_KINDS = {"receive": SpanKind.SERVER, "work": SpanKind.CONSUMER, "send": SpanKind.CLIENT}


class _Given(IdGenerator):
    """Gives out the ids of the place a span stands at, rather than random ones."""

    place: tuple[int, int] = (0, 0)

    def generate_trace_id(self) -> int:
        return self.place[0]

    def generate_span_id(self) -> int:
        return self.place[1]


class Exporter:
    """OpenTelemetry as the OTEL_* variables describe it: sampling, batches, where to, by which name."""

    def __init__(self) -> None:
        self._given = _Given()
        self._provider = TracerProvider(resource=_resource(), id_generator=self._given, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("regulars")

    def is_sampled(self, trace_id: int) -> bool:
        """Tell whether a trace is to be kept: by its id alone, so that all processes say the same."""
        return self._provider.sampler.should_sample(None, trace_id, "receive").decision is Decision.RECORD_AND_SAMPLE

    def record(
        self,
        name: str,
        place: str,
        after: str | None,
        began: int,
        ended: int,
        error: str | None,
        ids: Mapping[str, str | int | None],
    ) -> None:
        """Queue one span; from one thread only, and never waiting for anybody."""
        at = _read(place)
        self._given.place = (at.trace_id, at.span_id)
        span = self._tracer.start_span(
            name,
            Context() if after is None else set_span_in_context(NonRecordingSpan(_read(after)), Context()),
            kind=_KINDS[name],
            attributes={f"regulars.{key}": value for key, value in ids.items() if value is not None},
            start_time=began * 1_000,
        )
        if error is not None:
            span.set_attribute("error.type", error)
            span.set_status(Status(StatusCode.ERROR))
        # The clock may have been set back meanwhile.
        span.end(max(began, ended) * 1_000)

    def close(self) -> None:
        """Send what is queued, for CLOSE_SECONDS at most."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)


def _read(place: str) -> SpanContext:
    _, trace_id, span_id, flags = place.split("-")
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))


def _resource() -> Resource:
    found = Resource.create()
    if str(found.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        return found.merge(Resource({SERVICE_NAME: "regulars"}))
    return found
