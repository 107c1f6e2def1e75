"""A real OTLP collector on loopback whose spans a test can read."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

WAIT_SECONDS = 60


class Span(NamedTuple):
    """One span as it was sent; ids in hex, instants in nanoseconds, `parent` empty for a root."""

    service: str
    name: str
    kind: int
    trace: str
    id: str
    parent: str
    began: int
    ended: int
    is_error: bool
    attributes: dict[str, str | int]


class Collector:
    """What arrived, as sent and as read; `paths` are where it was posted to."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.paths: list[str] = []
        self.spans: list[Span] = []
        self.url = ""
        self._news = threading.Condition()

    def take(self, path: str, body: bytes) -> None:
        """Keep one request."""
        with self._news:
            self.paths.append(path)
            self.bodies.append(body)
            self.spans += _read(body)
            self._news.notify_all()

    def until(self, *names: str) -> list[Span]:
        """Wait until as many spans as named have come, by name; returns all there are."""
        with self._news:
            came = self._news.wait_for(lambda: not _missing(names, self.spans), WAIT_SECONDS)
            assert came, f"{_missing(names, self.spans)} not in {[span.name for span in self.spans]}"
            return list(self.spans)


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector on a free port."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            collector.take(self.path, self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *words: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _missing(names: tuple[str, ...], spans: list[Span]) -> list[str]:
    left = [span.name for span in spans]
    missing = []
    for name in names:
        if name in left:
            left.remove(name)
        else:
            missing.append(name)
    return missing


def _read(body: bytes) -> Iterator[Span]:
    request = ExportTraceServiceRequest.FromString(body)
    for resource in request.resource_spans:
        (service,) = (pair.value.string_value for pair in resource.resource.attributes if pair.key == "service.name")
        for scope in resource.scope_spans:
            for span in scope.spans:
                values = {p.key: p.value.string_value or p.value.int_value for p in span.attributes}
                yield Span(
                    service, span.name, span.kind, span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex(),
                    span.start_time_unix_nano, span.end_time_unix_nano, span.status.code == 2, values,
                )  # fmt: skip
