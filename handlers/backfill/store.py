"""Table of backfill runs: how far each has come, and what it did."""

from typing import NamedTuple

import msgspec
from sqlalchemy import Column, Table, Text

from handlers.backfill.rules import Totals
from handlers.inbox.rules import Connection
from handlers.merchants.books import lock_books, shops
from handlers.merchants.rules import Refused
from integration.database.schema import Instant, Number, metadata
from integration.database.steps import Row, Steps, ask, plain

backfills = Table(
    "backfills",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("number", Number, primary_key=True, autoincrement=False),
    Column("state", Text, nullable=False),  # running, done, undoing, undone
    Column("version", Number, nullable=False),  # the programme that history is awarded under
    Column("since", Instant),  # only what was sold from here on; null = everything
    Column("file", Text),  # name of the merchant's own file; null = asked of the platforms
    Column("operation", Text),  # Shopify's bulk operation that was started for it
    Column("orders_after", Text),  # the last order taken in, by id: its order is that of the taking in
    Column("charges_after", Text),  # the last Stripe charge taken in, newest first
    Column("totals", Text, nullable=False, server_default="{}"),  # JSON of rules.Totals
    Column("started_at", Instant, nullable=False),
    Column("finished_at", Instant),
    Column("undone_at", Instant),
)

_COLUMNS = (
    "merchant_id, number, state, version, since, file, operation, orders_after, charges_after, totals, started_at"
)
_LATEST = plain(f"SELECT {_COLUMNS} FROM backfills WHERE merchant_id = ?1 ORDER BY number DESC LIMIT 1")
_RUN = plain(f"SELECT {_COLUMNS} FROM backfills WHERE merchant_id = ?1 AND number = ?2")
_OPEN = plain(
    "INSERT INTO backfills (merchant_id, number, state, version, since, file, started_at)"
    " VALUES (?1, ?2, 'running', ?3, ?4, ?5, ?6)"
)
_ASKED = plain("UPDATE backfills SET operation = ?3 WHERE merchant_id = ?1 AND number = ?2")
_ADVANCE = {
    column: plain(
        f"UPDATE backfills SET {column} = ?3, totals = ?4 WHERE merchant_id = ?1 AND number = ?2"
        f" AND state = 'running' AND coalesce({column}, '') = ?5"
    )
    for column in ("orders_after", "charges_after")
}
_END = plain(
    "UPDATE backfills SET state = ?3, totals = ?4, finished_at = coalesce(finished_at, ?5), undone_at = ?6"
    " WHERE merchant_id = ?1 AND number = ?2 AND state = ?7"
)
_UNDO = plain("UPDATE backfills SET state = 'undoing' WHERE merchant_id = ?1 AND number = ?2")
_CONNECTIONS = plain(
    "SELECT id, merchant_id, platform, account, shop_id, hosts, token, revoked_at FROM connections"
    " WHERE merchant_id = ?1 AND closed_at IS NULL AND mode = 'live' ORDER BY platform, id"
)
_totals = msgspec.json.Decoder(Totals)


class Run(NamedTuple):
    """One run as its row stands."""

    merchant_id: int
    number: int
    state: str
    version: int
    since: int | None
    file: str | None
    operation: str | None
    orders_after: str | None
    charges_after: str | None
    totals: Totals
    started_at: int


def open_run(merchant_id: int, since: int | None, file: str | None, now: int) -> Steps[Run]:
    """Return the merchant's unfinished run, or begin one under the programme in force.

    Raises Refused where earning is off, or where what is unfinished was begun for other orders or is being undone.
    """
    yield from lock_books([merchant_id])
    rows = yield from ask(_LATEST, (merchant_id,))
    last = _run(rows[0]) if rows else None
    if last is not None and last.state == "undoing":
        raise Refused(f"Backfill {last.number} is being undone: finish that first with --undo {last.number}.")
    if last is not None and last.state == "running":
        if (last.since, last.file) != (since, file):
            raise Refused(
                f"Backfill {last.number} is unfinished and was begun for other orders: repeat it as it was begun,"
                f" or take it back with --undo {last.number}."
            )
        return last
    shop = (yield from shops([merchant_id]))[merchant_id]
    version = shop.version_at(now)
    if version is None or not version.program.earning.enabled:
        raise Refused(
            f"Earning is off, so a backfill would award nothing: look at it without --commit, then switch it on with"
            f" `regulars merchant program {shop.name!r} --set earning.enabled=true`."
        )
    number = 1 if last is None else last.number + 1
    yield from ask(_OPEN, (merchant_id, number, version.number, since, file, now))
    return Run(merchant_id, number, "running", version.number, since, file, None, None, None, Totals(), now)


def keep_operation(run: Run, operation: str | None) -> Steps[Run]:
    """Remember which bulk operation writes the run's orders."""
    yield from ask(_ASKED, (run.merchant_id, run.number, operation))
    return run._replace(operation=operation)


def advance(run: Run, column: str, after: str, totals: Totals) -> Steps[Run]:
    """Move one of the run's cursors from where it was read; Refused where somebody else has moved it."""
    written = msgspec.json.encode(totals).decode()
    before = getattr(run, column) or ""
    rows = yield from ask(_ADVANCE[column], (run.merchant_id, run.number, after, written, before))
    if not rows[0][0]:
        raise Refused(f"Backfill {run.number} is carried out by another process, or was taken back meanwhile.")
    moved = run._replace(orders_after=after) if column == "orders_after" else run._replace(charges_after=after)
    return moved._replace(totals=totals)


def finish(run: Run, now: int) -> Steps[Run]:
    """Note that a run has come to its end."""
    written = msgspec.json.encode(run.totals).decode()
    yield from ask(_END, (run.merchant_id, run.number, "done", written, now, None, "running"))
    return run._replace(state="done")


def begin_undoing(merchant_id: int, number: int) -> Steps[Run]:
    """Note that a run is to be taken back, finished or not. Raises Refused where there is none, or it is already."""
    yield from lock_books([merchant_id])
    rows = yield from ask(_RUN, (merchant_id, number))
    if not rows:
        raise Refused(f"There is no backfill {number} of this merchant.")
    run = _run(rows[0])
    if run.state == "undone":
        raise Refused(f"Backfill {number} was undone already; run the backfill again to award it after all.")
    yield from ask(_UNDO, (merchant_id, number))
    return run._replace(state="undoing")


def finish_undoing(run: Run, totals: Totals, now: int) -> Steps[Run]:
    """Note that a run has been taken back."""
    written = msgspec.json.encode(totals).decode()
    yield from ask(_END, (run.merchant_id, run.number, "undone", written, now, now, "undoing"))
    return run._replace(state="undone", totals=totals)


def open_connections(merchant_id: int) -> Steps[dict[str, Connection]]:
    """Return the merchant's open connections by platform, the newest of each."""
    rows = yield from ask(_CONNECTIONS, (merchant_id,))
    return {
        row[2]: Connection(row[0], row[1], row[2], row[3], row[4], tuple(msgspec.json.decode(row[5])), row[6], row[7])
        for row in rows
    }


def _run(row: Row) -> Run:
    return Run(*row)._replace(totals=_totals.decode(row[9]))
