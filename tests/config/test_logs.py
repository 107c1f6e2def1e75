"""Logs tell what failed and where, and never what it failed on."""

import json
import logging
import sys
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from config import logs


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Give logging back as it was: it belongs to the whole process."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    yield
    root.handlers, root.level = handlers, level
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks


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


def told(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return what was logged, each line a JSON object."""
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_says_which_event_merchant_and_job_it_is_about(capsys: pytest.CaptureFixture[str]) -> None:
    """What is bound around a piece of work is on every line within, a library's too."""
    logs.configure("info", "json")
    with structlog.contextvars.bound_contextvars(event_id=7, merchant=3, job="inbox.prune"):
        structlog.get_logger().warning("event_left")
        logging.getLogger("some.library").warning("Something is odd")
    structlog.get_logger().warning("work_paused")
    first, second, third = told(capsys)
    assert (first["event_id"], first["merchant"], first["job"]) == (7, 3, "inbox.prune")
    assert (second["event_id"], second["logger"], second["event"]) == (7, "some.library", "Something is odd")
    assert "event_id" not in third


@pytest.mark.parametrize(
    ("words", "filled_in", "kept"),
    [
        ("%6.2fs ! %s failed, %s: %s", (1.0, "job", "ValueError", "ada@hats.example"), ""),
        ("job %s not found", ("ada@hats.example",), "job"),
        (
            "Task was never retrieved\nfuture: <Task exception=ValueError('Ada')>",
            (),
            "Task was never retrieved",
        ),
        ("Unclosed connection to 'Ada'", (), "Unclosed connection to"),
        ("Invalid HTTP request received.", (), "Invalid HTTP request received."),
        ("user=Ada", (), "user"),
        ("100% of Ada", (), "100% of Ada"),
    ],
)
def test_of_a_library_only_the_words_it_always_says_are_kept(
    capsys: pytest.CaptureFixture[str], words: str, filled_in: tuple[Any, ...], kept: str
) -> None:
    """What it fills in may be anybody's name, address or key."""
    logs.configure("info", "json")
    logging.getLogger("some.library").warning(words, *filled_in)
    (line,) = told(capsys)
    assert line["event"] == (kept or "library_said")


@pytest.mark.parametrize(
    "secret",
    ["ada@hats.example", "<ada+x@hats.example>", "shpat_0123", "shpss_0123", "whsec_0123", "rk_live_0123",
     "sk_test_0123", "eyJ0123.eyJ0123.x0123",
     "postgresql://ada:hunter2@db/hats", "smtp://x:hunter2@mail"],
)  # fmt: skip
def test_what_looks_like_an_address_or_a_secret_is_masked(capsys: pytest.CaptureFixture[str], secret: str) -> None:
    """The last wall: nothing is meant to come this far."""
    logs.configure("info", "json")
    structlog.get_logger().warning("paused", reason=f"it said {secret} here", deep={"list": [secret]}, thing=[secret])
    (line,) = told(capsys)
    for piece in ("ada", "hunter2", "0123"):
        assert piece not in json.dumps(line)
    assert line["reason"].startswith("it said ") and line["reason"].endswith(" here")


@pytest.mark.parametrize("form", ["json", "console"])
def test_nobody_writes_lines_of_their_own_into_the_log(capsys: pytest.CaptureFixture[str], form: str) -> None:
    """Line breaks and terminal sequences are shown, not obeyed: topics and reasons come from outside."""
    logs.configure("info", form)
    evil = 'x\r\n{"event": "paid"}\x1b[2J\x1b]0;owned\x07\u2028\u202e'
    structlog.get_logger().warning("event_left", topic=evil, reasons=[evil])
    logging.getLogger("some.library").warning(evil)
    text = capsys.readouterr().err
    assert len(text.splitlines()) == 2
    assert "\x1b[2J" not in text and "\x1b]" not in text and "\u202e" not in text and "\u2028" not in text


def test_a_value_is_cut_and_an_object_is_named_by_its_type(capsys: pytest.CaptureFixture[str]) -> None:
    """A line stays a line; an object's own words may hold anything."""
    logs.configure("info", "json")
    structlog.get_logger().warning("odd", long="a" * 100_000, thing=ValueError("ada@hats.example"), none=None, yes=True)
    (line,) = (line for line in told(capsys) if line["event"] == "odd")
    assert len(line["long"]) <= logs.MOST_CHARACTERS + 1
    assert (line["thing"], line["none"], line["yes"]) == ("ValueError", None, True)


def test_a_long_value_is_masked_in_no_time(capsys: pytest.CaptureFixture[str]) -> None:
    """A reason comes from outside: a megabyte of it must not stop the process, nor show an address it is cut in."""
    logs.configure("info", "json")
    for before in ("a" * 1_000_000, "ada@hats.example " * 60_000, *("x" * (1_000 * n - 8) + " " for n in (1, 2))):
        began = time.process_time()
        structlog.get_logger().warning("odd", long=f"{before}ada@hats.example {'b' * 2_000}")
        assert time.process_time() - began < 1
        (line,) = (line for line in told(capsys) if line["event"] == "odd")
        assert "ada" not in line["long"] and "hats" not in line["long"]


def test_a_chain_of_errors_is_told_by_its_types(capsys: pytest.CaptureFixture[str]) -> None:
    """What it was caused by helps; what that said does not come along."""
    logs.configure("info", "json")
    try:
        try:
            raise KeyError("ada@hats.example")
        except KeyError as error:
            raise ValueError("of ada@hats.example") from error
    except ValueError:
        structlog.get_logger().exception("event_failed")
    (line,) = told(capsys)
    assert (line["error"], line["cause"]) == ("ValueError", "KeyError") and "ada" not in json.dumps(line)


def test_what_nobody_caught_is_told_like_anything_else(capsys: pytest.CaptureFixture[str]) -> None:
    """Python itself would print the message, in the main program, in a thread, and in a destructor."""
    logs.configure("info", "json")
    logs.catch_all()
    try:
        raise ValueError("ada@hats.example")
    except ValueError as caught:
        error = caught
    sys.excepthook(ValueError, error, error.__traceback__)
    threading.excepthook(threading.ExceptHookArgs((ValueError, error, error.__traceback__, threading.current_thread())))
    sys.unraisablehook(SimpleNamespace(exc_value=error))  # type: ignore[arg-type]
    lines = told(capsys)
    assert [line["event"] for line in lines] == ["crashed", "thread_crashed", "unraisable"]
    assert {line["error"] for line in lines} == {"ValueError"} and "ada@" not in json.dumps(lines)
