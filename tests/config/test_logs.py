"""Logs tell what failed and where, and never what it failed on."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from config import logs


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Give logging back as it was: it belongs to the whole process."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def test_an_exception_is_told_without_its_message(capsys: pytest.CaptureFixture[str]) -> None:
    """A driver's message may quote a customer's address."""
    logs.configure("info", "json")
    for log in (structlog.get_logger().exception, logging.getLogger("some.library").exception):
        try:
            raise ValueError("ada@example.com is taken")
        except ValueError:
            log("event_failed")
    lines = capsys.readouterr().err.splitlines()
    assert "ada@example.com" not in "".join(lines)
    for line in lines:
        told = json.loads(line)
        assert (told["event"], told["level"], told["error"]) == ("event_failed", "error", "ValueError")
        assert told["places"][0].startswith("test_logs.py:")


def test_libraries_that_tell_everything_are_kept_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    """An access log would halve the receiver, and tell who came."""
    logs.configure("info", "json")
    for name in ("uvicorn.access", "httpx", "arq.worker", "sqlalchemy.engine", "alembic.runtime.migration"):
        logging.getLogger(name).info("GET /c/ada")
    structlog.get_logger().debug("too fine")
    assert capsys.readouterr().err == ""
