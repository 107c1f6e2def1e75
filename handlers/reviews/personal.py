"""What reviews tell of persons: a name and their own words; the stars stay, as nobody's."""

from handlers.holders import Holder, Sections, Subject
from integration.clock import to_iso
from integration.database.steps import BIG, TEXT, Row, Sql, Steps, ask, keyed, plain

_KEY = {"merchant_id": BIG, "number": BIG}


def _show(by: str) -> Sql:
    return keyed(
        "SELECT r.sale, r.line, r.product_id, r.product_title, r.stars, r.words, r.name, r.locale, r.written_at,"
        f" r.published_at FROM {{keys}} k CROSS JOIN reviews r"
        f" WHERE r.merchant_id = k.merchant_id AND r.{by} = k.number",
        **_KEY,
    )


_BY_CUSTOMER, _BY_SALE = _show("customer"), _show("sale")
# A line is named by its order's platform: it gets a place in its place.
_BLANK = keyed(
    "UPDATE reviews SET name = NULL, words = '', product_title = '', locale = NULL, line = k.place FROM {keys} k"
    " WHERE reviews.merchant_id = k.merchant_id AND reviews.sale = k.number AND reviews.line = k.line",
    **_KEY,
    line=TEXT,
    place=TEXT,
)
_LIVING = plain(
    "SELECT sale, line FROM reviews WHERE merchant_id = ?1 AND line NOT LIKE 'forgotten-%' ORDER BY sale, line LIMIT ?2"
)


def export(subject: Subject) -> Steps[Sections]:
    """Show what the person wrote."""
    columns = ("sale", "line", "product_id", "product", "stars", "words", "name", "locale", "written_at", "shown_since")
    shown = []
    for row in sorted((yield from _rows(subject))):
        one = dict(zip(columns, row, strict=True))
        shown.append(one | {"written_at": to_iso(one["written_at"]), "shown_since": to_iso(one["shown_since"])})
    return {"reviews": shown}


def forget(subject: Subject, now: int) -> Steps[int]:
    """Leave of reviews the stars, the product and the day: an average does not move because somebody is forgotten."""
    rows = yield from _rows(subject)
    return (yield from _blank(subject.merchant_id, sorted((row[0], row[1]) for row in rows)))


def clear(merchant_id: int, limit: int, now: int) -> Steps[int]:
    """Take names and words out of some of a shop's reviews."""
    rows = yield from ask(_LIVING, (merchant_id, limit))
    return (yield from _blank(merchant_id, [(row[0], row[1]) for row in rows]))


def _rows(subject: Subject) -> Steps[set[Row]]:
    found = set((yield from ask(_BY_CUSTOMER, [(subject.merchant_id, n) for n in sorted(subject.numbers)])))
    return found | set((yield from ask(_BY_SALE, [(subject.merchant_id, n) for n in sorted(subject.sales)])))


def _blank(merchant_id: int, lines: list[tuple[int, str]]) -> Steps[int]:
    rows = [
        (merchant_id, sale, line, f"forgotten-{place}")
        for place, (sale, line) in enumerate(lines, start=1)
        if not line.startswith("forgotten-")
    ]
    touched = yield from ask(_BLANK, rows)
    return touched[0][0] if touched else 0


HOLDER = Holder("reviews", export, forget, clear)
