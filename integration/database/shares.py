"""Taking rows that are due in fair shares between merchants, at a cost that does not grow with what waits."""

import time
from collections.abc import AsyncIterator, Iterable
from typing import NamedTuple

from integration.database.engine import Database
from integration.database.steps import Row, Sql, Steps, ask

MOST_MERCHANTS = 50  # looked at in one step; the next step goes on behind them
MOST_STEPS = 20  # in which nothing was due, before others are let on
SHARE = 50  # rows of one merchant while others wait, too


class Want(NamedTuple):
    """How much is wanted: at most `total` rows, at most `alone` of a merchant nobody waits beside."""

    total: int
    alone: int


class Taken(NamedTuple):
    """What was taken, a list for each merchant, and behind which merchant to look next (0 = from the first)."""

    rows: list[list[Row]]
    after: int
    want: Want

    @property
    def more(self) -> bool:
        """Tell whether more may be due: a merchant got all of its share, or some were not looked at."""
        few = self.want.alone if len(self.rows) <= 1 else min(SHARE, max(1, self.want.total // len(self.rows)))
        return bool(self.after) or any(len(rows) >= few for rows in self.rows)

    @property
    def each_in_turn(self) -> list[Row]:
        """The rows, one of each merchant in turn: cut off anywhere, the rest is fair."""
        longest = max((len(rows) for rows in self.rows), default=0)
        return [rows[n] for n in range(longest) for rows in self.rows if n < len(rows)]


def due_by_merchant(
    table: str, due: str, then: str, where: str, columns: Iterable[str], *, locked: bool = False
) -> Sql:
    """Build the statement for `take`: rows of `table` (as `t`) with `where`, whose `due` instant has come.

    It needs an index (merchant_id, due, then) over exactly the rows of `where`. It steps from merchant to merchant
    in that index, whatever lies between, and reads each one's oldest rows. The first of `columns` is never null.
    `locked` skips rows that another transaction holds, and holds those it returns.
    """
    listed = ", ".join(columns)
    # The share of each: all of it for one alone, else a like part for everybody.
    share = (
        "(SELECT CASE WHEN count(*) <= 1 THEN {alone} ELSE greatest(1, least({share}, {total} / count(*))) END"
        " FROM walk w WHERE w.first_at <= {now})"
    )
    postgres_share = share.format(alone="$3::bigint", total="$4::bigint", share=SHARE, now="$2::bigint")
    sqlite_share = (
        share.replace("greatest(", "max(")
        .replace("least(", "min(")
        .format(alone="?3", total="?4", share=SHARE, now="?2")
    )
    postgres = (
        "WITH RECURSIVE walk(merchant_id, first_at, step) AS ("
        f"(SELECT t.merchant_id, t.{due}, 1 FROM {table} t WHERE {where} AND t.merchant_id > $1"
        f" ORDER BY t.merchant_id, t.{due} LIMIT 1)"
        " UNION ALL SELECT n.merchant_id, n.first_at, w.step + 1 FROM walk w CROSS JOIN LATERAL"
        f" (SELECT t.merchant_id, t.{due} AS first_at FROM {table} t WHERE {where} AND t.merchant_id > w.merchant_id"
        f" ORDER BY t.merchant_id, t.{due} LIMIT 1) n WHERE w.step < {MOST_MERCHANTS})"
        f" SELECT w.merchant_id, d.* FROM walk w LEFT JOIN LATERAL (SELECT {listed} FROM {table} t"
        f" WHERE {where} AND t.merchant_id = w.merchant_id AND t.{due} <= $2 ORDER BY t.{due}, t.{then}"
        f" LIMIT {postgres_share}{' FOR UPDATE SKIP LOCKED' if locked else ''}) d ON true"
    )
    step = (
        f"(SELECT t.merchant_id FROM {table} t WHERE {where} AND t.merchant_id > {{after}}"
        f" ORDER BY t.merchant_id LIMIT 1)"
    )
    sqlite = (
        f"WITH RECURSIVE step(merchant_id, step) AS (SELECT {step.format(after='?1')}, 1 UNION ALL"
        f" SELECT {step.format(after='s.merchant_id')}, s.step + 1 FROM step s"
        f" WHERE s.merchant_id IS NOT NULL AND s.step < {MOST_MERCHANTS}),"
        " walk(merchant_id, first_at) AS MATERIALIZED (SELECT s.merchant_id,"
        f" (SELECT min(t.{due}) FROM {table} t WHERE {where} AND t.merchant_id = s.merchant_id)"
        " FROM step s WHERE s.merchant_id IS NOT NULL)"
        f" SELECT o.merchant_id, {listed} FROM walk o LEFT JOIN {table} t ON t.rowid IN (SELECT t.rowid FROM {table} t"
        f" WHERE {where} AND t.merchant_id = o.merchant_id AND t.{due} <= ?2 ORDER BY t.{due}, t.{then}"
        f" LIMIT {sqlite_share}) ORDER BY o.merchant_id"
    )
    return Sql(sqlite=sqlite, postgres=postgres, kind="plain", returns=True)


def take(statement: Sql, now: int, want: Want, after: int = 0) -> Steps[Taken]:
    """Take what is due, beginning behind merchant `after`; nothing taken and `after` 0 = nothing was due."""
    for _ in range(MOST_STEPS):
        found: dict[int, list[Row]] = {}
        for merchant_id, *row in (yield from ask(statement, (after, now, want.alone, want.total))):
            of_one = found.setdefault(merchant_id, [])
            if row[0] is not None:
                of_one.append(tuple(row))
        began = after
        after = max(found) if len(found) == MOST_MERCHANTS else 0
        rows = [of_one for of_one in found.values() if of_one]
        # Begun in the middle, the first ones have still to be looked at.
        if rows or (after == 0 and began == 0):
            return Taken(rows, after, want)
    return Taken([], after, want)


class Limit(NamedTuple):
    """How far one run goes: rows read at once, rows in all, and when no others are read (by `time.monotonic`)."""

    batch: int
    most: int
    ends: float


def numbers_due(table: str, due: str = "due_at", number: str = "customer") -> Sql:
    """Build the statement for `each_due`: numbers of rows of `table` whose `due` instant is not null and has come.

    It needs an index (merchant_id, due, number) over the rows with an instant.
    """
    columns = (f"t.{number}", "t.merchant_id AS owner")
    return due_by_merchant(table, due, number, f"t.{due} IS NOT NULL", columns)


async def each_due(database: Database, statement: Sql, now: int, limit: Limit) -> AsyncIterator[tuple[int, list[int]]]:
    """Yield (merchant, numbers) whose time has come, a merchant's share at a time, within the limit.

    Whoever takes them must see to it that they are not due any more: what still is comes again.
    """
    want, done, after = Want(limit.batch, limit.batch), 0, 0
    while done < limit.most and time.monotonic() < limit.ends:
        taken = await database.read(lambda after=after: take(statement, now, want, after))  # type: ignore[misc]
        if not taken.rows:
            return
        for rows in taken.rows:
            yield rows[0][1], sorted(number for number, _ in rows)
            done += len(rows)
        after = taken.after
