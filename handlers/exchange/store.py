"""Tables of imports: what a file held line by line, what was found about it, and how far it has been brought in."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Column, Index, Integer, Table, Text, text

from handlers.exchange.rules import Row as Line
from handlers.exchange.rules import forgotten, unknown
from handlers.merchants.books import lock_books
from handlers.merchants.journal import note
from handlers.merchants.rules import Refused
from integration.clock import DAY, MINUTE
from integration.database.schema import Instant, Number, metadata
from integration.database.steps import BIG, TEXT, Row, Steps, ask, insert, keyed, plain

LEASE = MINUTE  # renewed with every batch, which takes a fraction of a second
KEEP_UNUSED = 2 * DAY  # a file that was only looked at
KEEP_ADDRESSES = 30 * DAY  # after that a report shows lines without their addresses
MOST_LISTED = 50
WIPED_AT_ONCE = 5_000  # lines of one transaction
UNSEEN = ("reading", "dropped")  # what no page shows

imports = Table(
    "imports",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("number", Number, primary_key=True, autoincrement=False),
    Column("state", Text, nullable=False),  # reading, checked, importing, done, undoing, undone; dropped
    Column("digest", Text, nullable=False),  # of the file: the same one is brought in once
    Column("file", Text, nullable=False),
    Column("encoding", Text, nullable=False),
    Column("newcomers", Text, nullable=False),  # add | leave: what to do with addresses nobody here has
    Column("who", Text, nullable=False),
    Column("lines", Number, nullable=False, server_default="0"),
    Column("good", Number, nullable=False, server_default="0"),
    Column("known", Number, nullable=False, server_default="0"),  # of the good ones, customers we have already
    Column("micropoints", Number, nullable=False, server_default="0"),  # of the good ones
    Column("problems", Text, nullable=False, server_default="{}"),  # JSON: kind -> lines
    Column("after_line", Number, nullable=False, server_default="0"),  # how far it has been brought in, or taken back
    Column("moved", Number, nullable=False, server_default="0"),  # lines brought in, or taken back
    Column("taken_back", Number, nullable=False, server_default="0"),  # micropoints
    Column("read_at", Instant, nullable=False),
    Column("begun_at", Instant),
    Column("finished_at", Instant),
    Column("undone_at", Instant),
    Column("nameless_at", Instant),  # since when nothing names anybody: neither lines nor the file's own name
    Column("claim", Text),  # fencing token of who is at it
    Column("claimed_until", Instant),  # by the database's clock
)
# One file is under way or brought in once, whoever presses the button at the same time.
_HELD = text("state IN ('importing', 'done', 'undoing')")
Index(
    "uq_imports_held",
    imports.c.merchant_id,
    imports.c.digest,
    unique=True,
    sqlite_where=_HELD,
    postgresql_where=_HELD,
)
_OPEN = text("state IN ('importing', 'undoing')")
Index("ix_imports_open", imports.c.claimed_until, sqlite_where=_OPEN, postgresql_where=_OPEN)

import_lines = Table(
    "import_lines",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("number", Number, primary_key=True, autoincrement=False),  # of the import
    Column("line", Number, primary_key=True, autoincrement=False),
    Column("email", Text),  # null: none was there, or it was forgotten
    Column("first_name", Text),
    Column("last_name", Text),
    Column("micropoints", Number, nullable=False),
    Column("problem", Text),  # why it is left out
    Column("known", Integer, nullable=False, server_default="0"),
    Column("customer", Number),  # whose points it became
    Column("taken_back", Number),  # micropoints
)
Index("ix_import_lines_email", import_lines.c.email, import_lines.c.merchant_id)


class Import(NamedTuple):
    """One import as its row stands."""

    merchant_id: int
    number: int
    state: str
    digest: str
    file: str
    encoding: str
    newcomers: str
    who: str
    lines: int
    good: int
    known: int
    micropoints: int
    problems: dict[str, int]
    after_line: int
    moved: int
    taken_back: int
    read_at: int
    begun_at: int | None
    finished_at: int | None
    undone_at: int | None


class Lost(Exception):
    """Another process is at this import by now: what was to be kept is rolled back."""


_COLUMNS = (
    "merchant_id, number, state, digest, file, encoding, newcomers, who, lines, good, known, micropoints, problems,"
    " after_line, moved, taken_back, read_at, begun_at, finished_at, undone_at"
)


def open_import(
    merchant_id: int, digest: str, file: str, encoding: str, newcomers: str, who: str, now: int
) -> Steps[int]:
    """Begin to read a file; returns the import's number. Raises Refused where this very file was brought in."""
    yield from lock_books([merchant_id])
    yield from _refuse_again(merchant_id, digest)
    rows = yield from ask(_LAST, (merchant_id,))
    number = int(rows[0][0]) + 1
    yield from ask(_BEGIN, (merchant_id, number, digest, file, encoding, newcomers, who, now))
    return number


def add_lines(
    merchant_id: int, number: int, lines: Sequence[Line], leave: bool, gone: Collection[str]
) -> Steps[list[tuple[Line, bool]]]:
    """Keep lines as they were read; returns each as it was kept, and whether its address is known.

    With `leave` a good line of somebody unknown is kept as left out. Of `gone` addresses nothing is kept.
    """
    lines = [forgotten(one) if one.email in gone else one for one in lines]
    good = sorted({(merchant_id, line.email) for line in lines if line.problem is None and line.email})
    known = {row[0] for row in (yield from ask(_KNOWN, good))}
    kept = [(unknown(one) if leave and one.problem is None and one.email not in known else one) for one in lines]
    rows = [
        (merchant_id, number, one.line, one.email, one.first_name, one.last_name, one.micropoints, one.problem,
         int(one.email in known))
        for one in kept
    ]  # fmt: skip
    yield from ask(_ADD, rows)
    return [(one, one.email in known) for one in kept]


def close_reading(
    merchant_id: int, number: int, who: str, sums: tuple[int, int, int, int], problems: dict[str, int], now: int
) -> Steps[None]:
    """Keep what a file held in all: lines, good ones, known ones, micropoints, and problems by kind."""
    yield from ask(_READ, (merchant_id, number, *sums, msgspec.json.encode(problems).decode()))
    detail = {"lines": sums[0], "good": sums[1]}
    yield from note(merchant_id, who, "uploaded a file of balances", f"import:{number}", detail, now)


def drop(merchant_id: int, number: int, who: str | None, now: int) -> Steps[bool]:
    """Give up a file that was only looked at; False where it has been brought in or is not there.

    What is kept of it goes with `wipe`. Nobody as `who`: the program itself.
    """
    rows = yield from ask(_DROP, (merchant_id, number))
    if rows[0][0] and who is not None:
        yield from note(merchant_id, who, "forgot a file of balances", f"import:{number}", None, now)
    return bool(rows[0][0])


def wipe(merchant_id: int, number: int) -> Steps[bool]:
    """Delete the next lines of a file that was given up, and at last the file; False once nothing is left of it."""
    gone = yield from ask(_WIPE, (merchant_id, number, WIPED_AT_ONCE))
    if gone[0][0]:
        return True
    yield from ask(_WIPED, (merchant_id, number))
    return False


def find(merchant_id: int, number: int) -> Steps[Import | None]:
    """Return one import of a merchant."""
    rows = yield from ask(_FIND, (merchant_id, number))
    return _import(rows[0]) if rows else None


def newest(merchant_id: int) -> Steps[list[Import]]:
    """List a merchant's imports, the newest first."""
    rows = yield from ask(_NEWEST, (merchant_id, MOST_LISTED))
    return [_import(row) for row in rows]


def begin(merchant_id: int, number: int, who: str, now: int) -> Steps[Import]:
    """Say that a file that was looked at is to be brought in; again is the same. Refused for any other."""
    yield from lock_books([merchant_id])
    one = yield from find(merchant_id, number)
    if one is None or one.state in UNSEEN:
        raise Refused(f"There is no import {number}.")
    if one.state in ("importing", "done"):
        return one
    if one.state != "checked":
        raise Refused("This import was taken back; to bring the file in after all, upload it again.")
    if not one.good:
        raise Refused("There is no line in it that could be brought in.")
    yield from _refuse_again(merchant_id, one.digest)
    yield from ask(_START, (merchant_id, number, "importing", now))
    yield from _noted(one, who, "brought balances in", now)
    return one._replace(state="importing", begun_at=now)


def begin_undoing(merchant_id: int, number: int, who: str, now: int) -> Steps[Import]:
    """Say that an import is to be taken back, finished or not; again is the same. Refused for any other."""
    yield from lock_books([merchant_id])
    one = yield from find(merchant_id, number)
    if one is None or one.state in (*UNSEEN, "checked"):
        raise Refused(f"Import {number} has brought nothing in.")
    if one.state in ("importing", "done"):
        yield from ask(_TURN, (merchant_id, number))
        yield from _noted(one, who, "took an import back", now)
        return one._replace(state="undoing", after_line=0, moved=0)
    return one


def _noted(one: Import, who: str, did: str, now: int) -> Steps[None]:
    # Not what the file is called: the journal outlives whoever it may be called after.
    detail = {"lines": one.good, "micropoints": one.micropoints}
    yield from note(one.merchant_id, who, did, f"import:{one.number}", detail, now)


def claim(merchant_id: int, number: int, token: str) -> Steps[Import | None]:
    """Lease an import that is under way; None where another process is at it, or nothing is to be done."""
    rows = yield from ask(_CLAIM, (merchant_id, number, token))
    return (yield from find(merchant_id, number)) if rows[0][0] else None


def advance(one: Import, token: str, line: int, moved: int, micropoints: int) -> Steps[Import]:
    """Renew a lease and note how far an import has come; Lost where another is at it or it was turned round."""
    rows = yield from ask(_ADVANCE, (one.merchant_id, one.number, token, one.state, line, moved, micropoints))
    if rows[0][0] != 1:
        raise Lost(f"import {one.number} is carried out by another process, or was turned round")
    return one._replace(after_line=line, moved=one.moved + moved, taken_back=one.taken_back + micropoints)


def leave_out(merchant_id: int, number: int, lines: int, micropoints: int) -> Steps[Import | None]:
    """Take lines of people who were forgotten since the file was looked at off an import's control totals.

    The books must be locked: it may be under way.
    """
    one = yield from find(merchant_id, number)
    if one is None:
        return None
    problems = one.problems | {"forgotten": one.problems.get("forgotten", 0) + lines}
    one = one._replace(good=one.good - lines, micropoints=one.micropoints - micropoints, problems=problems)
    told = msgspec.json.encode(problems).decode()
    yield from ask(_LEAVE_OUT, (merchant_id, number, one.good, one.micropoints, told))
    return one


def finish(one: Import, token: str, now: int) -> Steps[None]:
    """Note that an import has come to its end, either way."""
    state, column = ("done", _DONE) if one.state == "importing" else ("undone", _UNDONE)
    rows = yield from ask(column, (one.merchant_id, one.number, token, one.state, state, now))
    if rows[0][0] != 1:
        raise Lost(f"import {one.number} is carried out by another process, or was turned round")


def under_way(limit: int) -> Steps[list[tuple[int, int]]]:
    """List imports that are under way and nobody is at, as (merchant, number)."""
    rows = yield from ask(_UNDER_WAY, (limit,))
    return [(row[0], row[1]) for row in rows]


def lines_after(merchant_id: int, number: int, line: int, limit: int) -> Steps[list[Row]]:
    """List lines for a report: line, address, micropoints, problem, known, customer, taken back."""
    return (yield from ask(_LINES, (merchant_id, number, line, limit)))


def problems_of(merchant_id: int, number: int, limit: int) -> Steps[list[Row]]:
    """List the first lines that are left out: line, address, problem."""
    return (yield from ask(_PROBLEMS, (merchant_id, number, limit)))


def unwanted(now: int, limit: int) -> Steps[list[tuple[int, int]]]:
    """List files nobody brought in that have been kept long enough, and what is left of those given up."""
    return [(row[0], row[1]) for row in (yield from ask(_UNWANTED, (now - KEEP_UNUSED, limit)))]


def outdated(now: int, limit: int) -> Steps[list[tuple[int, int]]]:
    """List imports brought in long ago that still name somebody."""
    return [(row[0], row[1]) for row in (yield from ask(_OUTDATED, (now - KEEP_ADDRESSES, limit)))]


def blank(merchant_id: int, number: int, after: int, now: int) -> Steps[int | None]:
    """Forget the addresses of the lines next after one, at last the file's name.

    Returns how far that is; None at the end.
    """
    rows = yield from ask(_NEXT, (merchant_id, number, after, WIPED_AT_ONCE))
    last: int | None = rows[0][0]
    if last is None:
        yield from ask(_NAMELESS, (merchant_id, number, now))
    else:
        yield from ask(_BLANK, (merchant_id, number, after, last))
    return last


def _refuse_again(merchant_id: int, digest: str) -> Steps[None]:
    rows = yield from ask(_AGAIN, (merchant_id, digest))
    if rows:
        raise Refused(
            f"This very file was brought in already, as import {rows[0][0]}. A second time would double everybody's"
            " points; take that one back first if it was wrong."
        )


def _import(row: Row) -> Import:
    problems: dict[str, int] = msgspec.json.decode(row[12], type=dict[str, int])
    values: list[Any] = [*row[:12], problems, *row[13:]]
    return Import(*values)


_LAST = plain("SELECT coalesce(max(number), 0) FROM imports WHERE merchant_id = ?1")
_AGAIN = plain(
    "SELECT number FROM imports WHERE merchant_id = ?1 AND digest = ?2 AND state IN ('importing', 'done', 'undoing')"
)
_BEGIN = plain(
    "INSERT INTO imports (merchant_id, number, state, digest, file, encoding, newcomers, who, read_at)"
    " VALUES (?1, ?2, 'reading', ?3, ?4, ?5, ?6, ?7, ?8)"
)
_KNOWN = keyed(
    "SELECT DISTINCT i.value FROM {keys} k CROSS JOIN customer_identities i"
    " WHERE i.merchant_id = k.merchant_id AND i.kind = 'email' AND i.value = k.email",
    merchant_id=BIG,
    email=TEXT,
)
_ADD = insert(
    "import_lines",
    merchant_id=BIG,
    number=BIG,
    line=BIG,
    email=TEXT,
    first_name=TEXT,
    last_name=TEXT,
    micropoints=BIG,
    problem=TEXT,
    known=BIG,
)
_READ = plain(
    "UPDATE imports SET state = 'checked', lines = ?3, good = ?4, known = ?5, micropoints = ?6, problems = ?7"
    " WHERE merchant_id = ?1 AND number = ?2 AND state = 'reading'"
)
_DROP = plain(
    "UPDATE imports SET state = 'dropped' WHERE merchant_id = ?1 AND number = ?2 AND state IN ('reading', 'checked')"
)
_NEXT_LINES = (
    "SELECT max(n.line) FROM (SELECT line FROM import_lines WHERE merchant_id = ?1 AND number = ?2{after}"
    " ORDER BY line LIMIT {limit}) n"
)
_WIPE = plain(
    "DELETE FROM import_lines WHERE merchant_id = ?1 AND number = ?2"
    f" AND line <= ({_NEXT_LINES.format(after='', limit='?3')})"
)
_WIPED = plain("DELETE FROM imports WHERE merchant_id = ?1 AND number = ?2 AND state = 'dropped'")
_FIND = plain(f"SELECT {_COLUMNS} FROM imports WHERE merchant_id = ?1 AND number = ?2")
_NEWEST = plain(f"SELECT {_COLUMNS} FROM imports WHERE merchant_id = ?1 ORDER BY number DESC LIMIT ?2")
_START = plain(
    "UPDATE imports SET state = ?3, begun_at = ?4, after_line = 0, moved = 0 WHERE merchant_id = ?1 AND number = ?2"
)
_TURN = plain(
    "UPDATE imports SET state = 'undoing', after_line = 0, moved = 0, claim = NULL, claimed_until = NULL"
    " WHERE merchant_id = ?1 AND number = ?2"
)
_CLAIM = plain(
    f"UPDATE imports SET claim = ?3, claimed_until = {{clock}} + {LEASE} WHERE merchant_id = ?1 AND number = ?2"
    " AND state IN ('importing', 'undoing')"
    f" AND (claim IS NULL OR claimed_until <= {{clock}} OR claimed_until > {{clock}} + {LEASE})"
)
_ADVANCE = plain(
    f"UPDATE imports SET after_line = ?5, moved = moved + ?6, taken_back = taken_back + ?7,"
    f" claimed_until = {{clock}} + {LEASE} WHERE merchant_id = ?1 AND number = ?2 AND claim = ?3 AND state = ?4"
)
_LEAVE_OUT = plain(
    "UPDATE imports SET good = ?3, micropoints = ?4, problems = ?5 WHERE merchant_id = ?1 AND number = ?2"
)
_ENDED = (
    "UPDATE imports SET state = ?5, claim = NULL, claimed_until = NULL, {column} = ?6"
    " WHERE merchant_id = ?1 AND number = ?2 AND claim = ?3 AND state = ?4"
)
_DONE = plain(_ENDED.format(column="finished_at"))
_UNDONE = plain(_ENDED.format(column="undone_at"))
_UNDER_WAY = plain(
    "SELECT merchant_id, number FROM imports WHERE state IN ('importing', 'undoing')"
    f" AND (claimed_until IS NULL OR claimed_until <= {{clock}} OR claimed_until > {{clock}} + {LEASE})"
    " ORDER BY claimed_until LIMIT ?1"
)
_LINES = plain(
    "SELECT line, email, micropoints, problem, known, customer, taken_back FROM import_lines"
    " WHERE merchant_id = ?1 AND number = ?2 AND line > ?3 ORDER BY line LIMIT ?4"
)
_PROBLEMS = plain(
    "SELECT line, email, problem FROM import_lines WHERE merchant_id = ?1 AND number = ?2 AND problem IS NOT NULL"
    " ORDER BY line LIMIT ?3"
)
_UNWANTED = plain(
    "SELECT merchant_id, number FROM imports WHERE state = 'dropped' OR (state IN ('reading', 'checked')"
    " AND read_at < ?1) LIMIT ?2"
)
_OUTDATED = plain(
    "SELECT merchant_id, number FROM imports WHERE nameless_at IS NULL AND state IN ('done', 'undone')"
    " AND coalesce(undone_at, finished_at) < ?1 LIMIT ?2"
)
_NEXT = plain(_NEXT_LINES.format(after=" AND line > ?3", limit="?4"))
_BLANK = plain(
    "UPDATE import_lines SET email = NULL, first_name = NULL, last_name = NULL"
    " WHERE merchant_id = ?1 AND number = ?2 AND line > ?3 AND line <= ?4 AND email IS NOT NULL"
)
_NAMELESS = plain(
    "UPDATE imports SET file = 'import-' || number || '.csv', nameless_at = ?3 WHERE merchant_id = ?1 AND number = ?2"
)
