"""A second wall between owners: in a visit that is one owner's, no statement runs that could touch another's rows.

    with visiting():                          # around every request
        …
        keep_within(visit.merchant_id)        # as soon as it is known whose it is

Every table with owners in a statement must be bound to a value the statement is given (see `ownership`), and that
value must be this owner's: whoever forgets a `WHERE merchant_id = …`, or passes an id from the request in its place,
gets Trespass and not somebody's rows. A text is read once; after that it costs a look into a dictionary. What has to
see more says so where it is declared: `plain("…", across="why")`. Outside of visits (the receiver, the workers, who
serve many owners by one statement) nothing is asked.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, TypeVar

from integration.database.equalities import Tables
from integration.database.ownership import Unproven, owners
from integration.database.schema import metadata
from integration.database.steps import Row, Sql, Steps

T = TypeVar("T")

MOST_TEXTS = 4_096  # kept as read


@dataclass(slots=True)
class _Visit:
    owner: int | None = None  # None = nobody knows yet


_visit: ContextVar[_Visit | None] = ContextVar("visit", default=None)


class Trespass(Exception):
    """A statement was kept from rows that may be another owner's; it was not run."""


@contextmanager
def visiting() -> Iterator[None]:
    """Open a visit that is nobody's yet, with the tasks begun in it; it ends with the block."""
    before = _visit.set(_Visit())
    try:
        yield
    finally:
        _visit.reset(before)


def keep_within(owner: int) -> None:
    """Say whose this visit is: from here on it is kept to this owner's rows, in any database.

    Raises Trespass where it is another's already, RuntimeError outside of any visit.
    """
    visit = _visit.get()
    if visit is None:
        raise RuntimeError("Nobody visits: there is nothing to keep within.")
    if visit.owner not in (None, owner):
        raise Trespass("One visit is not two owners'.")
    visit.owner = owner


def walled(make: Callable[[], Steps[T]], dialect: str) -> Callable[[], Steps[T]]:
    """Return the steps as they are run where the call stands: guarded in somebody's visit, themselves elsewhere."""
    visit = _visit.get()
    if visit is None or visit.owner is None:
        return make
    owner = visit.owner
    return lambda: _guarded(make(), owner, dialect)


def _guarded(steps: Steps[T], owner: int, dialect: str) -> Steps[T]:
    rows: list[Row] | None = None
    error: Exception | None = None
    while True:
        try:
            request = steps.throw(error) if error is not None else steps.send(rows)  # type: ignore[arg-type]
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        check(request.sql, request.rows, owner, dialect)
        rows, error = None, None
        try:
            rows = yield request
        except Exception as failure:  # noqa: BLE001 - handed to the step function, which raises it again
            error = failure


def check(sql: Sql, rows: Sequence[Any], owner: int, dialect: str) -> None:
    """Raise Trespass unless a statement with these values touches rows of this owner alone."""
    if sql.across:
        return
    text = sql.sqlite if dialect == "sqlite" else sql.postgres
    for positions in _read(text, sql.kind):
        if sql.kind == "plain":
            fits = any(rows[position] == owner for position in positions)
        else:
            fits = any(all(row[position] == owner for row in rows) for position in positions)
        if not fits:
            raise Trespass(f"A statement is about another's rows: {text}")


@lru_cache(MOST_TEXTS)
def _read(text: str, kind: str) -> tuple[frozenset[int], ...]:
    try:
        return owners(text, kind, _tables())
    except (Unproven, ValueError, LookupError) as error:
        raise Trespass(f"A statement does not say whose rows it touches ({error}): {text}") from error


@cache
def _tables() -> Tables:
    return Tables.of(metadata)
