"""The formats: which columns go out and what they mean, how a line that comes in is read, and what is wrong with it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from handlers.points.rules import MICRO
from integration.spreadsheets import FORMULA

# --- Out ------------------------------------------------------------------------------------------


class Column(NamedTuple):
    """One column of a file and what it holds."""

    name: str
    holds: str


class File(NamedTuple):
    """One kind of export."""

    name: str
    title: str
    columns: tuple[Column, ...]


_WHEN = "UTC, ISO 8601"
FILES: Mapping[str, File] = {
    file.name: file
    for file in (
        File(
            "customers",
            "Customers and their balances",
            (
                Column("customer", "our number"),
                Column("email", "where mail goes"),
                Column("first_name", ""),
                Column("last_name", ""),
                Column("phone", ""),
                Column("language", ""),
                Column("country", ""),
                Column("region", ""),
                Column("shopify_customer", "Shopify's id"),
                Column("since", _WHEN),
                Column("points", "available, whole, rounded down"),
                Column("points_pending", "on hold until the return window ends"),
                Column("points_held", "disputed or being redeemed"),
            ),
        ),
        File(
            "entries",
            "Every movement of points",
            (
                Column("entry", "number, without gaps"),
                Column("at", _WHEN),
                Column("customer", "our number; empty for nobody yet"),
                Column("from", "account"),
                Column("to", "account"),
                Column("points", "exact, up to six decimals"),
                Column("reason", ""),
                Column("sale", "our number"),
                Column("key", "what makes it happen once"),
                Column("note", "an adjustment's words"),
                Column("test", "yes for test sales: no real points"),
            ),
        ),
        File(
            "sales",
            "Sales",
            (
                Column("sale", "our number"),
                Column("name", "as the shop calls it"),
                Column("platform", ""),
                Column("platform_id", "the order's or payment's id"),
                Column("sold_at", _WHEN),
                Column("customer", "our number"),
                Column("email", "of the buyer"),
                Column("currency", ""),
                Column("total", "paid, with tax and shipping"),
                Column("eligible", "what earns"),
                Column("standing", "whether it counts, or why not"),
                Column("programme_version", "it was sold under"),
                Column("test", ""),
            ),
        ),
        File(
            "messages",
            "Messages and their fate",
            (
                Column("key", "what makes it go out once"),
                Column("kind", ""),
                Column("customer", "our number"),
                Column("sale", "our number"),
                Column("channel", ""),
                Column("state", ""),
                Column("due_at", _WHEN),
                Column("sent_at", _WHEN),
                Column("address", "where it went"),
                Column("reason", "why it waits or was not sent"),
                Column("test", ""),
            ),
        ),
        File(
            "reviews",
            "Reviews",
            (
                Column("sale", "our number"),
                Column("line", "the order line's id"),
                Column("customer", "our number"),
                Column("product", ""),
                Column("product_id", ""),
                Column("stars", "1 to 5"),
                Column("words", ""),
                Column("name", "as it would be shown"),
                Column("language", ""),
                Column("written_at", _WHEN),
                Column("published_at", _WHEN),
            ),
        ),
    )
}


def points_text(micropoints: int) -> str:
    """Write micropoints exactly, as points."""
    whole, rest = divmod(abs(micropoints), MICRO)
    sign = "-" if micropoints < 0 else ""
    return f"{sign}{whole}.{rest:06d}".rstrip("0") if rest else f"{sign}{whole}"


# --- In -------------------------------------------------------------------------------------------

MOST_BYTES = 20_000_000  # of a file
MOST_LINES = 200_000
MOST_POINTS = 10_000_000  # of one line; all of them together then fit a 64-bit sum of micropoints
LONGEST_CELL = 500
LONGEST_EMAIL = 254
MOST_COLUMNS = 100
FORGOTTEN = "This person was forgotten, and is not brought back by a file."

# Headings by which other apps' files name what we need, as they are compared: small, with single spaces.
HEADINGS = {
    "email": ("email", "e-mail", "email address", "e-mail address", "customer email", "mail"),
    "points": ("points", "points balance", "point balance", "balance", "current points", "current balance",
               "available points", "points available", "points approved", "loyalty points"),
    "first_name": ("first name", "firstname", "given name"),
    "last_name": ("last name", "lastname", "surname", "family name"),
    "currency": ("currency", "currency code"),
}  # fmt: skip
_EMAIL = re.compile(
    r"[^\s@<>()\[\]\\,;:\"'`=+\x00-\x1f][^\s@<>()\[\]\\,;:\"\x00-\x1f]*@(?:[\w](?:[\w-]*\w)?\.)+[^\W\d][\w-]*\w"
)
_POINTS = re.compile(r"\d{1,9}(?:\.\d{1,6})?")
_BELOW_ZERO = re.compile(r"[-−]\s*\d+(?:[.,]\d+)*")


class Row(NamedTuple):
    """One line as it was read: what it would bring, or what is wrong with it in a sentence."""

    line: int
    email: str | None
    micropoints: int
    first_name: str | None = None
    last_name: str | None = None
    problem: str | None = None
    kind: str | None = None  # of the problem, to be counted by


class Unfit(Exception):
    """A file none of which can be read; the message is one sentence for its owner."""


def places(heading: Sequence[str]) -> dict[str, int]:
    """Find the columns we need by their headings. Raises Unfit where e-mail or points are missing or told twice."""
    known = [re.sub(r"[\s_]+", " ", cell.strip().lstrip("\ufeff").lower()) for cell in heading[:MOST_COLUMNS]]
    found = {}
    for name, words in HEADINGS.items():
        there = [n for n, cell in enumerate(known) if cell in words]
        # An app's file may have several sums; the plainest name is meant.
        best = sorted(there, key=lambda n: words.index(known[n]))
        if len(best) > 1 and known[best[0]] == known[best[1]]:
            raise Unfit(f"Two columns are called {known[best[0]]!r}; leave one of them out.")
        if best:
            found[name] = best[0]
    for name, shown in (("email", "email"), ("points", "points")):
        if name not in found:
            there_are = ", ".join(cell[:30] for cell in known if cell)[:200] or "none"
            raise Unfit(f"The first line must name a column {shown!r}; it names: {there_are}.")
    return found


def read_row(line: int, cells: Sequence[str], at: Mapping[str, int], width: int, currency: str) -> Row:
    """Read one line; a wrong one keeps its address as far as it is one, for the report."""
    if len(cells) != width:
        return Row(line, None, 0, problem=f"It has {len(cells)} columns, the first line {width}.", kind="columns")
    told = {name: _cell(cells[place]) for name, place in at.items()}
    if any(len(cell) > LONGEST_CELL for cell in told.values()):
        return Row(line, None, 0, problem="A cell is longer than any address or name.", kind="too long")
    email = told["email"].lower()
    if not email:
        return Row(line, None, 0, problem="There is no e-mail address.", kind="no address")
    if email[0] in FORMULA:
        return Row(line, None, 0, problem="The address begins like a spreadsheet formula.", kind="formula")
    if len(email) > LONGEST_EMAIL or not _EMAIL.fullmatch(email):
        return Row(line, None, 0, problem="This is not an e-mail address.", kind="not an address")
    return _with_points(line, email, told, currency)


def _with_points(line: int, email: str, told: Mapping[str, str], currency: str) -> Row:
    points = told["points"]
    problem: tuple[str, str] | None = None
    if not points:
        problem = ("no points", "There is no number of points.")
    elif _BELOW_ZERO.fullmatch(points):
        problem = ("below zero", "Points are below zero: a debt is not brought along.")
    elif points[0] in FORMULA:
        problem = ("formula", "The points begin like a spreadsheet formula.")
    elif not _POINTS.fullmatch(points):
        problem = ("not a number", "Points are written like 1200 or 12.5, without separators or words.")
    if problem is not None:
        return Row(line, email, 0, problem=problem[1], kind=problem[0])
    whole, _, rest = points.partition(".")
    amount = int(whole) * MICRO + int(rest.ljust(6, "0") or 0)
    if amount > MOST_POINTS * MICRO:
        return Row(line, email, 0, problem=f"More than {MOST_POINTS:,} points.", kind="too many points")
    if not amount:
        return Row(line, email, 0, problem="No points: there is nothing to bring.", kind="zero")
    if told.get("currency", "").upper() not in ("", currency):
        words = f"It is in {told['currency'][:10].upper()}; the programme counts in {currency}."
        return Row(line, email, amount, problem=words, kind="currency")
    names = (_name(told.get(part, "")) for part in ("first_name", "last_name"))
    return Row(line, email, amount, *names)


def _cell(text: str) -> str:
    """Trim a cell, and take off the apostrophe by which an export of ours kept it from being a formula."""
    text = text.strip().strip("\ufeff\u00a0")
    return text[1:] if text.startswith("'") and text[1:2] and text[1] in FORMULA else text


def _name(text: str) -> str | None:
    """A name goes into letters: what is no name is left out, and the line still counts."""
    return text if text and text.isprintable() and text[0] not in FORMULA and "://" not in text else None


def twice(row: Row, first: int) -> Row:
    """Mark a line whose address stood in an earlier one."""
    return row._replace(problem=f"The address stands in line {first} already.", kind="twice")


def forgotten(row: Row) -> Row:
    """Mark a line of somebody who was forgotten: nothing of them is kept, not even here."""
    return Row(row.line, None, 0, problem=FORGOTTEN, kind="forgotten")


def unknown(row: Row) -> Row:
    """Mark a line of somebody who is not known, where such are to be left out."""
    return row._replace(problem="Nobody here has this address.", kind="unknown")


def counted(kinds: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Add problems up by kind, the most frequent first."""
    sums: dict[str, int] = {}
    for kind, count in kinds:
        sums[kind] = sums.get(kind, 0) + count
    return dict(sorted(sums.items(), key=lambda pair: (-pair[1], pair[0])))
