"""Traces: what became of one webhook, from its receipt to the last mail it caused; off unless OTEL_* asks for them.

A place in a trace is written as a W3C traceparent, and None where nobody traces. No step hands its place on in memory:
it follows from what names an event in the database, so every process knows it, after a restart too. Only a message
keeps the place it came from.
"""

from hashlib import sha256
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from integration.tracing.exporter import Exporter

Step = Literal["receive", "work", "send"]

_exporter: "Exporter | None" = None


def start() -> None:
    """Begin to trace as the OTEL_* variables say; raises ModuleNotFoundError without the extra `tracing`."""
    global _exporter
    # OpenTelemetry is only there, and only loaded, where it was asked for.
    from integration.tracing.exporter import Exporter

    _exporter = Exporter()


def stop() -> None:
    """Send what has not been sent yet, within seconds, and trace no more."""
    global _exporter
    exporter, _exporter = _exporter, None
    if exporter is not None:
        exporter.close()


def is_on() -> bool:
    """Tell whether anybody traces: what costs time is only done then."""
    return _exporter is not None


def receipt(source: str, connection: str, delivery_id: str, received_at: int) -> str | None:
    """Return the place where a delivery was received: the root of its event's trace.

    A delivery that comes again stands in the same trace; the one that was stored is what the work follows from.
    """
    return root(f"{source}\0{connection}\0{delivery_id}", received_at)


def root(trace: str, *which: str | int) -> str | None:
    """Return the place of a first step, in the trace this text names."""
    if _exporter is None:
        return None
    trace_id = sha256(trace.encode()).hexdigest()[:32]
    return _place(trace_id, which, _exporter.is_sampled(int(trace_id, 16)))


def step(after: str | None, *which: str | int) -> str | None:
    """Return the place of a step that follows from another, in the same trace."""
    if _exporter is None or after is None:
        return None
    _, trace_id, parent, flags = after.split("-")
    return _place(trace_id, (parent, *which), flags == "01")


def record(
    name: Step,
    place: str | None,
    after: str | None,
    began: int,
    ended: int,
    *,
    error: str | None = None,
    **ids: str | int | None,
) -> None:
    """Tell of a step that is over, and what it followed from; instants in microseconds, `error` one word.

    Never told are the words of an error and anything that somebody wrote: `ids` name rows and kinds.
    """
    if _exporter is not None and place is not None and place.endswith("-01"):
        _exporter.record(name, place, after, began, ended, error, ids)


def _place(trace_id: str, which: tuple[str | int, ...], is_sampled: bool) -> str:
    words = "\0".join(str(word) for word in (trace_id, *which))
    return f"00-{trace_id}-{sha256(words.encode()).hexdigest()[:16]}-{'01' if is_sampled else '00'}"
