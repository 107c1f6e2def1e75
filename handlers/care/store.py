"""Finding customers: by what names them, by how their names and addresses begin, and who bought last."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import NamedTuple

from handlers.care.rules import Names, Place, Range, Sought, folded, is_number
from handlers.customers.correct import BY_HAND
from handlers.points.rules import MICRO, account
from integration.database.steps import BIG, TEXT, Row, Sql, Steps, ask, keyed, plain

PAGE = 25  # people of one page
ROWS = 100  # read at a time
MOST_ROUNDS = 20  # of one page, where many rows are of the same few people
MOST_NAMES = 50  # of one person
LATEST = 2**62  # later than any instant
_START = Place(0, "", 0)


class Found(NamedTuple):
    """One person of a list."""

    number: int
    first_name: str | None
    last_name: str | None
    email: str | None
    points: int  # available, as shown; below zero = owed
    order: str | None  # what the shop calls the latest one
    sold_at: int | None  # when that was

    @property
    def name(self) -> str:
        return " ".join(part for part in (self.first_name, self.last_name) if part)


class Listed(NamedTuple):
    """One page of people, and where the next begins; None = that was all."""

    people: list[Found]
    after: Place | None


def search(merchant_id: int, sought: Sought, after: Place | None = None) -> Steps[Listed]:
    """List who is named by a query, then whose address or name begins like it.

    In the order of what matched, so that every page costs the same.
    """
    found: dict[int, Place] = {}
    if after is None:
        found = dict.fromkeys((yield from _named(merchant_id, sought.names)), _START)
    start = after or _START
    for position in range(start.range, len(sought.ranges)):
        place = start if start.range == position else Place(position, "", 0)
        yield from _walk(merchant_id, sought.ranges, place, found)
        if len(found) > PAGE:
            break
    shown = list(found)[:PAGE]
    people = yield from _people(merchant_id, shown)
    return Listed(people, found[shown[-1]] if len(found) > PAGE else None)


def latest(merchant_id: int, after: Place | None = None) -> Steps[Listed]:
    """List who bought last, each person once, by their latest purchase."""
    is_first = after is None or not is_number(after.text)
    start = (LATEST, 0) if after is None or is_first else (int(after.text), after.number)
    found: dict[int, tuple[int, int]] = {}
    read, more = start, True
    for _ in range(MOST_ROUNDS):
        rows = yield from ask(_SOLD, (merchant_id, *read, ROWS))
        new = [row for row in rows if row[2] is not None and row[2] not in found]
        keys = [] if is_first else sorted({(merchant_id, row[2], *start) for row in new})
        earlier = {row[0] for row in (yield from ask(_BOUGHT_SINCE, keys))}
        for sold_at, number, customer in new:
            if customer not in earlier:
                found.setdefault(customer, (sold_at, number))
        more = len(rows) == ROWS
        if not more or len(found) > PAGE:
            break
        read = (rows[-1][0], rows[-1][1])
    shown = list(found)[:PAGE]
    last = found[shown[-1]] if len(found) > PAGE else read if more else None
    people = yield from _people(merchant_id, shown)
    return Listed(people, None if last is None else Place(0, str(last[0]), last[1]))


_SOLD = plain(
    "SELECT s.sold_at, s.number, s.customer FROM sales s"
    " WHERE s.merchant_id = ?1 AND s.sold_at IS NOT NULL AND s.merged_into IS NULL"
    " AND (s.sold_at, s.number) < (?2, ?3) ORDER BY s.sold_at DESC, s.number DESC LIMIT ?4"
)
_BOUGHT_SINCE = keyed(
    "SELECT k.number FROM {keys} k WHERE EXISTS (SELECT 1 FROM sales s WHERE s.customer = k.number"
    " AND s.merchant_id = k.merchant_id AND s.merged_into IS NULL AND (s.sold_at, s.number) >= (k.at, k.sale))",
    merchant_id=BIG,
    number=BIG,
    at=BIG,
    sale=BIG,
)


def _by_bytes(sql: Sql) -> Sql:
    """Have PostgreSQL compare the texts marked [c] by bytes, as SQLite does anyway."""
    return replace(sql, sqlite=sql.sqlite.replace("[c]", ""), postgres=sql.postgres.replace("[c]", ' COLLATE "C"'))


# --- What names somebody --------------------------------------------------------------------------

_BY_NUMBER = keyed(
    "SELECT COALESCE(c.merged_into, c.number) FROM {keys} k CROSS JOIN customers c"
    " WHERE c.merchant_id = k.merchant_id AND c.number = k.number",
    merchant_id=BIG,
    number=BIG,
)
_BY_IDENTITY = keyed(
    "SELECT i.customer FROM {keys} k CROSS JOIN customer_identities i"
    " WHERE i.merchant_id = k.merchant_id AND i.kind = k.kind AND i.value = k.value",
    merchant_id=BIG,
    kind=TEXT,
    value=TEXT,
)
# Where a shop has used a name again, the latest order with it comes first. The plus keeps SQLite from walking through
# all sales in that order.
_BY_ORDER = _by_bytes(
    plain(
        "SELECT s.customer FROM sales s WHERE s.merchant_id = ?1 AND lower(s.name[c]) IN (?2, ?3, ?4)"
        " AND s.name IS NOT NULL AND s.customer IS NOT NULL ORDER BY +s.number DESC LIMIT ?5"
    )
)
_BY_SALE = keyed(
    "SELECT s.customer FROM {keys} k CROSS JOIN sale_identities i"
    " JOIN sales s ON s.merchant_id = i.merchant_id AND s.number = i.sale"
    " WHERE i.merchant_id = k.merchant_id AND i.platform = k.platform AND i.kind = k.kind AND i.value = k.value"
    " AND s.customer IS NOT NULL",
    merchant_id=BIG,
    platform=TEXT,
    kind=TEXT,
    value=TEXT,
)


def _named(merchant_id: int, names: Names) -> Steps[list[int]]:
    """Return the people a query names exactly, by the number they go under by now."""
    orders = (names.orders * 3)[:3]
    found = yield from ask(_BY_ORDER, (merchant_id, *orders, PAGE))
    found += yield from ask(_BY_SALE, [(merchant_id, *sale) for sale in names.sales])
    found += yield from ask(_BY_IDENTITY, [(merchant_id, *identity) for identity in names.identities])
    numbers = dict.fromkeys([*(row[0] for row in found), *names.customers])
    meant = yield from ask(_BY_NUMBER, [(merchant_id, number) for number in numbers])
    return list(dict.fromkeys(row[0] for row in meant))[:PAGE]


# --- Whose address or name begins like this -------------------------------------------------------


def _begins(text: str, number: str, source: str) -> Sql:
    return _by_bytes(
        plain(
            f"SELECT {text}, c.number, c.first_name, c.last_name, o.number, o.first_name, o.last_name, c.email"
            f" FROM {source}"
            f" AND {text} >= ?2 AND {text} < ?3 AND ({text}, {number}) > (?2, ?4) ORDER BY {text}, {number} LIMIT ?5"
        )
    )


# The texts stand in the indexes just so: the letters A to Z small, the others as they are.
_OWNER = "LEFT JOIN customers o ON o.merchant_id = c.merchant_id AND o.number = c.merged_into"
_PEOPLE_NAMED = (
    f"customers c {_OWNER} WHERE c.merchant_id = ?1 AND (c.first_name IS NOT NULL OR c.last_name IS NOT NULL)"
)
_BEGINS = {
    "email": _begins(
        "i.value[c]",
        "i.customer",
        "customer_identities i JOIN customers c ON c.merchant_id = i.merchant_id AND c.number = i.customer"
        f" {_OWNER} WHERE i.merchant_id = ?1 AND i.kind = 'email'",
    ),
    # Shopify may not vouch for an address: then it names nobody, and mail goes there all the same.
    "contact": _begins(
        "c.email[c]", "c.number", f"customers c {_OWNER} WHERE c.merchant_id = ?1 AND c.email IS NOT NULL"
    ),
    "name": _begins(
        "lower((coalesce(c.first_name, '') || ' ' || coalesce(c.last_name, ''))[c])", "c.number", _PEOPLE_NAMED
    ),
    "surname": _begins(
        "lower((coalesce(c.last_name, '') || ' ' || coalesce(c.first_name, ''))[c])", "c.number", _PEOPLE_NAMED
    ),
}
# This plus keeps it from reading all names of the merchant.
_ADDRESSES = keyed(
    "SELECT i.customer, i.kind, i.value FROM {keys} k CROSS JOIN customer_identities i"
    " WHERE i.customer = k.number AND +i.merchant_id = k.merchant_id",
    merchant_id=BIG,
    number=BIG,
)


def _walk(merchant_id: int, ranges: tuple[Range, ...], start: Place, found: dict[int, Place]) -> Steps[None]:
    """Add who one range has from a place on, but for those an earlier range has shown, until a page is full."""
    here, before = ranges[start.range], ranges[: start.range]
    text, number = max(here.low, start.text), start.number if start.text else 0
    for _ in range(MOST_ROUNDS):
        rows = yield from ask(_BEGINS[here.column], (merchant_id, text, here.high, number, ROWS))
        addressed = yield from _addressed(merchant_id, {row[1] for row in rows}, before)
        for row in rows:
            text, number = row[0], row[1]
            if number not in addressed and not _is_shown_elsewhere(row, here, before):
                found.setdefault(number if row[4] is None else row[4], Place(start.range, text, number))
        if len(rows) < ROWS or len(found) > PAGE:
            return


def _addressed(merchant_id: int, numbers: set[int], before: Collection[Range]) -> Steps[set[int]]:
    """Return those who are listed already because an address of theirs begins like the query."""
    beginnings = tuple(one.low for one in before if one.column == "email")
    keys = [(merchant_id, number) for number in sorted(numbers)] if beginnings else []
    rows = yield from ask(_ADDRESSES, keys)
    return {number for number, kind, value in rows if kind == "email" and value.startswith(beginnings)}


_NAMES = ("name", "surname")


def _is_shown_elsewhere(row: Row, here: Range, before: Collection[Range]) -> bool:
    """Tell whether a row's person is listed by an earlier range, or by the record theirs was merged into."""
    _, _, first, last, owner, owner_first, owner_last, email = row
    if any(one.column == "contact" and (email or "").startswith(one.low) for one in before):
        return True
    if any(one.column in _NAMES and _text(one, first, last).startswith(one.low) for one in before):
        return True
    return owner is not None and here.column in _NAMES and _text(here, owner_first, owner_last).startswith(here.low)


def _text(one: Range, first: str | None, last: str | None) -> str:
    words = (first or "", last or "") if one.column == "name" else (last or "", first or "")
    return folded(" ".join(words))


# --- Who they are ---------------------------------------------------------------------------------

# The zero keeps planners from walking through the whole shop's latest sales until one is this person's.
_PEOPLE = keyed(
    "SELECT c.number, c.first_name, c.last_name, c.email, (SELECT s.number FROM sales s WHERE s.customer = c.number"
    " AND s.merchant_id = c.merchant_id AND s.merged_into IS NULL"
    " ORDER BY COALESCE(s.sold_at, 0) DESC, s.number DESC LIMIT 1) FROM {keys} k CROSS JOIN customers c"
    " WHERE c.merchant_id = k.merchant_id AND c.number = k.number",
    merchant_id=BIG,
    number=BIG,
)
_SALES = keyed(
    "SELECT s.customer, s.name, s.sold_at FROM {keys} k CROSS JOIN sales s"
    " WHERE s.merchant_id = k.merchant_id AND s.number = k.number",
    merchant_id=BIG,
    number=BIG,
)
_AVAILABLE = keyed(
    "SELECT a.account, a.micropoints FROM {keys} k CROSS JOIN accounts a"
    " WHERE a.merchant_id = k.merchant_id AND a.account = k.account",
    merchant_id=BIG,
    account=TEXT,
)


def _people(merchant_id: int, numbers: list[int]) -> Steps[list[Found]]:
    rows = yield from ask(_PEOPLE, [(merchant_id, number) for number in numbers])
    sales = yield from ask(_SALES, sorted((merchant_id, row[4]) for row in rows if row[4] is not None))
    order = {customer: (name, sold_at) for customer, name, sold_at in sales}
    accounts = yield from ask(_AVAILABLE, [(merchant_id, account(number, "available")) for number in numbers])
    points: dict[str, int] = dict(accounts)
    found = {
        number: Found(
            number,
            first,
            last,
            email,
            points.get(account(number, "available"), 0) // MICRO,
            *order.get(number, (None, None)),
        )
        for number, first, last, email, _ in rows
    }
    return [found[number] for number in numbers if number in found]


# --- One of them ----------------------------------------------------------------------------------


class Known(NamedTuple):
    """What is kept of one person, under all their numbers."""

    since: int
    phone: str | None
    country: str | None
    emails: tuple[str, ...]
    ids: tuple[tuple[str, str], ...]  # (shopify | stripe, id)
    language_by_hand: bool
    forgotten_at: int | None


_RECORD = keyed(
    "SELECT c.number, c.phone, c.country, c.created_at, c.locale_at, c.forgotten_at, c.email"
    " FROM {keys} k CROSS JOIN customers c WHERE c.merchant_id = k.merchant_id AND c.number = k.number",
    merchant_id=BIG,
    number=BIG,
)


def look_up(merchant_id: int, numbers: Sequence[int]) -> Steps[Known | None]:
    """Return what is kept of the person with these numbers, the one they go under first."""
    keys = [(merchant_id, number) for number in numbers]
    records = {row[0]: row[1:] for row in (yield from ask(_RECORD, keys))}
    if numbers[0] not in records:
        return None
    names = yield from ask(_ADDRESSES, keys)
    in_order = [records[number] for number in numbers if number in records]
    emails = {value for _, kind, value in names if kind == "email"} | ({in_order[0][5]} - {None})
    return Known(
        since=min(row[2] for row in in_order),
        phone=next((row[0] for row in in_order if row[0]), None),
        country=next((row[1] for row in in_order if row[1]), None),
        emails=tuple(sorted(emails))[:MOST_NAMES],
        ids=tuple(sorted({(kind, value) for _, kind, value in names if kind != "email"}))[:MOST_NAMES],
        language_by_hand=in_order[0][3] >= BY_HAND,
        forgotten_at=in_order[0][4],
    )
