"""How the program logs: JSON lines or a readable console, with ids, never with personal data or secrets.

What may hold a person's data is not written in the first place: exceptions are told by their type and place, and
libraries by their name and the words they always say. What is left is masked and made printable.
"""

import logging
import re
import sys
import threading
import traceback
from collections.abc import Mapping, MutableMapping
from types import TracebackType
from typing import Any

import structlog

MOST_CHARACTERS = 1_000  # of one value
MOST_LOOKED_AT = 2 * MOST_CHARACTERS  # to look for addresses takes the square of a text's length
MOST_PLACES = 30  # of a traceback, the innermost

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_OURS = re.compile(r"(config|handlers|integration)(\.|$)")
# The last wall. Mail servers quote addresses, and drivers the URL they were given.
_MASKED = (
    (re.compile(r"\b(?:shp[a-z]{2,3}|whsec|[rsp]k_(?:live|test))_\w+"), "(secret)"),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), "(token)"),
    (re.compile(r"://[^\s/]*:[^\s/]*@"), "://(secret)/"),
    (re.compile(r"[^\s<>()\[\]\"',;:]+@[^\s<>()\[\]\"',;]+"), "(address)"),
)

log = structlog.get_logger()


def configure(level: str = "info", form: str | None = None) -> None:
    """Set logging up once a process; `form` is json or console, None chooses by the terminal. Logs to stderr."""
    readable = sys.stderr.isatty() if form is None else form == "console"
    renderer: Any = structlog.dev.ConsoleRenderer() if readable else structlog.processors.JSONRenderer()
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _without_messages,
        _in_print,
    ]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_told_by_name)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(_LEVELS[level])
    # These tell every request, job or statement; what matters of it is told by our own names.
    for name in ("uvicorn.access", "uvicorn.error", "arq", "httpx", "stripe", "sqlalchemy", "aiosqlite", "alembic"):
        logging.getLogger(name).setLevel(max(logging.WARNING, _LEVELS[level]))


def catch_all() -> None:
    """Have whatever nobody catches in this process told like anything else: Python would print its message."""
    sys.excepthook = crashed
    threading.excepthook = _thread_crashed
    sys.unraisablehook = _unraisable


def _told_by_name(record: logging.LogRecord) -> bool:
    """Keep of what a library says the words it always says; what it fills in may be anybody's."""
    if not _OURS.match(record.name):
        words = str(record.msg).strip().split("\n")[0]
        # Some fill in before they log: what follows a quote or a bracket is no longer theirs.
        record.msg = re.split(r"[<({\['\"`:=@]|%[-#0+]*[\d.]*[a-z]", words)[0].strip()[:100] or "library_said"
        record.args = None
    return True


def _without_messages(logger: Any, method: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace an exception by its type and places: its message may quote a name, an address or a secret."""
    info = entry.pop("exc_info", None)
    entry.pop("stack_info", None)
    if info is True:
        info = sys.exc_info()
    error = info[1] if isinstance(info, tuple) else info
    if isinstance(error, BaseException):
        entry["error"] = type(error).__name__
        entry["places"] = _places(error)
        if (cause := error.__cause__ or error.__context__) is not None:
            entry["cause"] = type(cause).__name__
    return entry


def _places(error: BaseException) -> list[str]:
    frames = traceback.extract_tb(error.__traceback__)[-MOST_PLACES:]
    return [f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames]


def _in_print(logger: Any, method: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Mask what looks like an address or a secret, and what would move a terminal's cursor or begin a new line."""
    for name, value in entry.items():
        entry[name] = _printable(value)
    return entry


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        more = len(value) > MOST_LOOKED_AT
        value = value[:MOST_LOOKED_AT]
        for pattern, instead in _MASKED:
            value = pattern.sub(instead, value)
        if more:  # An address that was cut through is not masked: the end is not shown.
            value = f"{value[:-MOST_CHARACTERS]}…"
        if not value.isprintable():
            value = value.encode("unicode_escape").decode("ascii")
        return value if len(value) <= MOST_CHARACTERS else f"{value[:MOST_CHARACTERS]}…"
    if isinstance(value, list | tuple):
        return [_printable(one) for one in value]
    if isinstance(value, Mapping):
        return {name: _printable(one) for name, one in value.items()}
    return value if isinstance(value, int | float | None) else type(value).__name__


def crashed(kind: type[BaseException], error: BaseException, place: TracebackType | None) -> None:
    """Tell of what ended the program; a `sys.excepthook`."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, place)
    else:
        log.critical("crashed", exc_info=error)


def _thread_crashed(told: threading.ExceptHookArgs) -> None:
    log.critical("thread_crashed", thread=told.thread.name if told.thread else None, exc_info=told.exc_value)


def _unraisable(told: "sys.UnraisableHookArgs") -> None:
    log.error("unraisable", exc_info=told.exc_value)
