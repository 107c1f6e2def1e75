"""What goes out: a merchant's rows page by page, as the lines of a CSV file, in memory that does not grow."""

import csv
import io
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any, NamedTuple

from handlers.context import Context
from handlers.exchange.rules import FILES, points_text
from handlers.exchange.store import lines_after
from handlers.points.rules import BUCKETS, MICRO, account
from integration.clock import to_iso
from integration.database.steps import BIG, TEXT, Row, Sql, Steps, ask, keyed, plain
from integration.money import to_decimal
from integration.spreadsheets import plain_text

PAGE = 1_000  # rows of one question, and of one piece that is sent
MOST_PAGES = 1_000_000
BOM = "\ufeff"
"""What spreadsheets need at the beginning to see that a file is UTF-8."""

Cells = Sequence[str]


async def export(context: Context, merchant_id: int, name: str, *, bom: bool = False) -> AsyncIterator[bytes]:
    """Yield the pieces of a file of `rules.FILES`, the heading first; each page is read by itself.

    Entries are those there were when it began; other rows are as they are when their page is read. A failure in the
    middle is raised: whoever writes the pieces must not let what there is pass for a whole file.
    """
    feed = _FEEDS[name]
    end = await context.database.read(lambda: _last(merchant_id)) if name == "entries" else None
    yield ((BOM if bom else "") + _lines([[column.name for column in FILES[name].columns]])).encode()
    after: tuple[Any, ...] = feed.start
    for _ in range(MOST_PAGES):
        rows = await context.database.read(
            lambda behind=after: feed.page(merchant_id, behind, end)  # type: ignore[misc]
        )
        if rows:
            yield _lines(feed.cells(row) for row in rows).encode()
        if len(rows) < PAGE:
            return
        after = feed.behind(rows[-1])


def _lines(rows: Iterable[Cells]) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator="\r\n").writerows(rows)
    return written.getvalue()


# --- Pages of rows --------------------------------------------------------------------------------

_LAST = plain("SELECT next_entry - 1 FROM books WHERE merchant_id = ?1")
_CUSTOMERS = plain(
    "SELECT number, email, first_name, last_name, phone, locale, country, region, shopify_id, created_at"
    " FROM customers WHERE merchant_id = ?1 AND number > ?2 AND merged_into IS NULL ORDER BY number LIMIT ?3"
)
_BALANCES = keyed(
    "SELECT a.account, a.micropoints FROM {keys} k CROSS JOIN accounts a"
    " WHERE a.merchant_id = k.merchant_id AND a.account = k.account",
    merchant_id=BIG,
    account=TEXT,
)
_ENTRIES = plain(
    "SELECT number, at, source, destination, micropoints, reason, sale, key, detail FROM ledger_entries"
    " WHERE merchant_id = ?1 AND number > ?2 AND number <= ?4 ORDER BY number LIMIT ?3"
)
_SALES = plain(
    "SELECT number, name, platform, platform_id, sold_at, customer, email, currency, total_minor, eligible_minor,"
    " standing, program_version, test FROM sales"
    " WHERE merchant_id = ?1 AND number > ?2 AND merged_into IS NULL ORDER BY number LIMIT ?3"
)
_MESSAGES = plain(
    "SELECT key, kind, customer, sale, channel, state, due_at, sent_at, address, reason, test FROM messages"
    " WHERE merchant_id = ?1 AND key > ?2 ORDER BY key LIMIT ?3"
)
_REVIEWS = plain(
    "SELECT sale, line, customer, product_title, product_id, stars, words, name, locale, written_at, published_at"
    " FROM reviews WHERE merchant_id = ?1 AND (sale, line) > (?2, ?4) ORDER BY sale, line LIMIT ?3"
)


class _Feed(NamedTuple):
    """How one file is read: a page behind a row, what names a row, and its cells."""

    start: tuple[Any, ...]
    page: Callable[[int, tuple[Any, ...], int | None], Steps[list[Row]]]
    behind: Callable[[Row], tuple[Any, ...]]
    cells: Callable[[Row], Cells]


def _last(merchant_id: int) -> Steps[int]:
    rows = yield from ask(_LAST, (merchant_id,))
    return int(rows[0][0]) if rows else 0


def _of(sql: Sql) -> Callable[[int, tuple[Any, ...], int | None], Steps[list[Row]]]:
    def page(merchant_id: int, after: tuple[Any, ...], end: int | None) -> Steps[list[Row]]:
        first, *rest = after
        return (yield from ask(sql, (merchant_id, first, PAGE, *rest, *([] if end is None else [end]))))

    return page


def _customers(merchant_id: int, after: tuple[Any, ...], end: int | None) -> Steps[list[Row]]:
    rows = yield from _of(_CUSTOMERS)(merchant_id, after, end)
    keys = [(merchant_id, account(row[0], bucket)) for row in rows for bucket in BUCKETS]
    kept: dict[str, int] = dict((yield from ask(_BALANCES, keys)))
    return [(*row, *(kept.get(account(row[0], bucket), 0) for bucket in BUCKETS)) for row in rows]


def _number(row: Row) -> tuple[Any, ...]:
    return (row[0],)


def _customer(row: Row) -> Cells:
    number, *told, shopify_id, created_at, pending, available, disputed, reserved = row
    points = (available, pending, disputed + reserved)
    return [
        str(number),
        *map(plain_text, (*told, shopify_id)),
        _instant(created_at),
        *(str(one // MICRO) for one in points),
    ]


def _entry(row: Row) -> Cells:
    number, at, source, destination, amount, reason, sale, key, detail = row
    test = source.startswith("test:") or destination.startswith("test:")
    return [
        str(number),
        _instant(at),
        _owner(destination) or _owner(source),
        source,
        destination,
        points_text(amount),
        reason,
        _optional(sale),
        key,
        plain_text(detail),
        "yes" if test else "",
    ]


def _owner(name: str) -> str:
    parts = name.removeprefix("test:").split(":")
    return parts[1] if parts[0] == "customer" else ""


def _sale(row: Row) -> Cells:
    number, name, platform, platform_id, sold_at, customer, email, currency, total, eligible, standing, *rest = row
    version, test = rest
    return [
        str(number),
        plain_text(name),
        plain_text(platform),
        plain_text(platform_id),
        _instant(sold_at),
        _optional(customer),
        plain_text(email),
        plain_text(currency),
        _money(total, currency),
        _money(eligible, currency),
        standing,
        _optional(version),
        "yes" if test else "",
    ]


def _message(row: Row) -> Cells:
    key, kind, customer, sale, channel, state, due_at, sent_at, address, reason, test = row
    return [
        key,
        kind,
        _optional(customer),
        _optional(sale),
        channel,
        state,
        _instant(due_at),
        _instant(sent_at),
        plain_text(address),
        plain_text(reason),
        "yes" if test else "",
    ]


def _review(row: Row) -> Cells:
    sale, line, customer, title, product_id, stars, words, name, locale, written_at, published_at = row
    return [
        str(sale),
        plain_text(line),
        _optional(customer),
        plain_text(title),
        plain_text(product_id),
        str(stars),
        plain_text(words),
        plain_text(name),
        plain_text(locale),
        _instant(written_at),
        _instant(published_at),
    ]


def _optional(number: int | None) -> str:
    return "" if number is None else str(number)


def _instant(at: int | None) -> str:
    return to_iso(at) or ""


def _money(minor: int | None, currency: str | None) -> str:
    return "" if minor is None or currency is None else f"{to_decimal(minor, currency):f}"


_FEEDS = {
    "customers": _Feed((0,), _customers, _number, _customer),
    "entries": _Feed((0,), _of(_ENTRIES), _number, _entry),
    "sales": _Feed((0,), _of(_SALES), _number, _sale),
    "messages": _Feed(("",), _of(_MESSAGES), _number, _message),
    "reviews": _Feed((-1, ""), _of(_REVIEWS), lambda row: (row[0], row[1]), _review),
}


# --- The report of an import ----------------------------------------------------------------------


async def report(context: Context, merchant_id: int, number: int, *, bom: bool = False) -> AsyncIterator[bytes]:
    """Yield the pieces of an import's report: what became of each line, and why."""
    yield ((BOM if bom else "") + _lines([["line", "email", "points", "what became of it", "customer"]])).encode()
    after = 0
    for _ in range(MOST_PAGES):
        rows = await context.database.read(
            lambda behind=after: lines_after(merchant_id, number, behind, PAGE)  # type: ignore[misc]
        )
        if rows:
            yield _lines(_line(row) for row in rows).encode()
        if len(rows) < PAGE:
            return
        after = rows[-1][0]


def _line(row: Row) -> Cells:
    number, email, amount, problem, known, customer, taken_back = row
    if problem is not None:
        became = f"left out: {problem}"
    elif taken_back is not None:
        became = f"taken back: {points_text(taken_back)} points"
    elif customer is not None:
        became = "brought in" if known else "brought in, as a new customer"
    else:
        became = "good" if known else "good: a new customer"
    return [str(number), plain_text(email), points_text(amount) if amount else "", became, _optional(customer)]
