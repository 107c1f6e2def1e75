"""Whatever any test has the program log is read, before anything is masked: no person and no secret may be in it."""

import re
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import structlog
from structlog.testing import LogCapture

# Addresses, telephone numbers, names of the people of these tests; keys, tokens and passwords by their shape.
_PRIVATE = re.compile(
    r"[^\s@]@[^\s@]+\.\w|\+\d{7,}|\b(?:Ada|Ana|Bea|Bo|Caro|Cleo|Elsa|Berg|Berger|Brandt|Conti|Diaz)\b"
    r"|\b(?:shp[a-z]{2,3}|whsec|[rsp]k_(?:live|test))_\w|\beyJ[\w-]+\.|://[^\s/]*:[^\s/]*@"
)
# An error is logged by its type and place: what it says never gets there.
_NOT_LOGGED = {"exc_info", "stack_info"}
_found: list[str] = []
_tests_log: dict[str, Any] = {}


def start() -> None:
    """Begin to read what is logged, what a test captures, too; once a process."""
    first, *others = structlog.get_config()["processors"]
    _tests_log.update(structlog.get_config(), processors=[first, _watch, *others])
    captured = LogCapture.__call__

    def watched(self: LogCapture, logger: Any, method: str, line: MutableMapping[str, Any]) -> Any:
        return captured(self, logger, method, _watch(logger, method, line))

    LogCapture.__call__ = watched  # type: ignore[method-assign]


def again() -> None:
    """Have every line read in the next test, too: commands that the last one ran set logging up for themselves."""
    structlog.configure(**_tests_log)


def found() -> list[str]:
    """Return what was private in the lines since this was last asked."""
    told = list(_found)
    _found.clear()
    return told


def _watch(logger: Any, method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in line.items():
        if name not in _NOT_LOGGED:
            _found.extend(f"{line['event']}: {name}: {words}" for words in _words(value) if _PRIVATE.search(words))
    return line


def _words(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list | tuple | set | frozenset):
        for one in value:
            yield from _words(one)
    else:
        yield str(value)
