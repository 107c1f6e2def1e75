"""The page of what outstanding points are worth, and its files for the accountant."""

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import NamedTuple

from babel.dates import format_skeleton
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from handlers.context import Context
from handlers.liability import store
from handlers.liability.rules import (
    BASE,
    MOST_MONTHS,
    MOST_VALUE,
    WHOLE,
    Assumed,
    Month,
    bars,
    journal,
    measured,
    month_of,
    rolled,
    spread,
    value_of,
    worth,
)
from handlers.merchants import addresses
from handlers.merchants.books import shops
from handlers.merchants.door import Visit
from handlers.merchants.frame import guard, show, told
from handlers.merchants.journal import looked
from handlers.merchants.rules import Program
from handlers.points.rules import MICRO
from integration.clock import MINUTE
from integration.database.steps import Steps
from integration.money import to_decimal

TEMPLATES = Path(__file__).parent / "templates"
FILES = {"months": "points month by month", "journal": "journal lines of points"}
PURPOSE = "liability"
LINK_LIFE = 15 * MINUTE
_BOM = "\ufeff"


class Books(NamedTuple):
    """What there is to show of one merchant."""

    program: Program
    currency: str
    months: list[Month]  # the oldest first, the present one last
    is_all: bool  # whether the whole ledger is in it yet
    outstanding: int  # micropoints by the balances


class Form(NamedTuple):
    """What was typed, what it means, and what is wrong with it by field."""

    typed: dict[str, str]
    assumed: Assumed | None
    errors: dict[str, str]


async def liability_page(request: Request, visit: Visit) -> Response:
    """Show what moved month by month and what is outstanding, with its worth under assumptions that can be changed."""
    context: Context = request.app.state.context
    now = context.clock.now()
    books = await context.database.read(lambda: _books(visit.merchant_id, visit.timezone, now))
    known = measured(books.months)
    form = _form(request.query_params, value_of(books.program.rewards), known)
    per_unit, assumed = books.program.earning.points_per_unit, form.assumed
    last = books.months[-1]
    levels = spread(assumed.breakage) if assumed else ()
    shown = books.months[-MOST_MONTHS:]
    return show(
        visit,
        "liability.html",
        TEMPLATES,
        422 if form.errors else 200,
        form=form,
        problems=form.errors,
        is_empty=not any(any(line.moved) for line in books.months),
        books=books,
        last=last,
        ties=not books.is_all or last.closing == books.outstanding,
        months=shown[::-1],
        named={line.month: format_skeleton("yMMM", line.first, locale=visit.locale) for line in shown},
        bars=bars(shown),
        measured=known,
        worth=[worth(last.closing, assumed._replace(breakage=level), per_unit, visit.currency) for level in levels]
        if assumed
        else [],
        lines=journal(last, assumed, per_unit, visit.currency) if assumed else [],
        links={name: _link(context, visit, name, assumed) for name in FILES} if assumed else {},
    )


async def liability_file(request: Request) -> Response:
    """Send a file to whoever holds a link that the page made within the last minutes, with its assumptions."""
    context: Context = request.app.state.context
    now = context.clock.now()
    token = request.path_params["token"]
    addresses.keep_to(context.vault, PURPOSE, token)
    one = await context.database.read(lambda: addresses.look_up(context.vault, PURPOSE, token, 4, now))
    if one is None or not one.stands:
        return guard(told(404), one.shop if one is not None else None)
    name, *numbers = one.parts
    assumed = Assumed(*map(Decimal, numbers))
    shop = (await context.database.read(lambda: shops([one.merchant_id])))[one.merchant_id]
    books = await context.database.read(lambda: _books(one.merchant_id, shop.timezone, now))
    rows = _months(books, assumed) if name == "months" else _journal(books, assumed)
    await context.database.run(lambda: looked(one.merchant_id, one.who, f"file: {FILES[name]}", None, now))
    headers = {"Content-Disposition": f'attachment; filename="points-{name}.csv"'}
    return guard(Response(_BOM + _csv(rows), media_type="text/csv; charset=utf-8", headers=headers))


def _books(merchant_id: int, timezone: str, now: int) -> Steps[Books]:
    shop = (yield from shops([merchant_id]))[merchant_id]
    months, is_all = yield from store.months_of(merchant_id, timezone)
    balance = yield from store.outstanding(merchant_id)
    until = max(month_of(now, timezone), max(months, default=0))
    return Books(shop.current, shop.currency, rolled(months, until), is_all, balance)


def _form(query: QueryParams, value: Decimal | None, known: Decimal | None) -> Form:
    usual = {
        "value": "" if value is None else f"{value:f}",
        "breakage": f"{BASE if known is None else known:f}",
        "cost": f"{WHOLE:f}",
    }
    typed = {name: query.get(name, usual[name]).strip()[:20] for name in usual}
    errors: dict[str, str] = {}
    most = {"value": MOST_VALUE, "breakage": WHOLE, "cost": WHOLE}
    numbers = {name: _number(typed[name], most[name]) for name in usual}
    # Nothing typed and nothing known is no mistake: the page asks for it.
    if "value" in query and numbers["value"] is None:
        errors["value"] = "Write what one point buys as a number, such as 0.01."
    for name in ("breakage", "cost"):
        if numbers[name] is None:
            errors[name] = "Write a number of per cent from 0 to 100."
    if any(number is None for number in numbers.values()):
        return Form(typed, None, errors)
    return Form(typed, Assumed(*(number for number in numbers.values() if number is not None)), errors)


def _number(text: str, most: Decimal) -> Decimal | None:
    try:
        number = Decimal(text.replace(",", "."))
    except InvalidOperation:
        return None
    return number if number.is_finite() and 0 <= number <= most and number == round(number, 8) else None


def _link(context: Context, visit: Visit, name: str, assumed: Assumed) -> str:
    numbers = (f"{number:f}" for number in assumed)
    token = addresses.sign(context.vault, visit, PURPOSE, context.clock.now() + LINK_LIFE, name, *numbers)
    return f"/app/liability/files/{token}"


def _months(books: Books, assumed: Assumed) -> Iterable[Sequence[str]]:
    """The roll-forward of all months; money under the same assumption throughout."""
    names = ("opening", "issued", "clawed_back", "adjusted", "redeemed", "expired", "closing")
    yield ("month", *(f"points_{name}" for name in names), "closing_deferred", "currency", "per_cent_never_spent")
    for line in books.months:
        moves = line.moved
        points = (line.opening, moves.issued, -moves.clawed_back, moves.adjusted, -moves.redeemed, -moves.expired)
        deferred = worth(line.closing, assumed, books.program.earning.points_per_unit, books.currency).deferred
        money = f"{to_decimal(deferred, books.currency):f}"
        yield (line.name, *map(_points, (*points, line.closing)), money, books.currency, f"{assumed.breakage:f}")


def _journal(books: Books, assumed: Assumed) -> Iterable[Sequence[str]]:
    """Two rows for each line, one a side, dated on the last day of the month; the present one as it is so far."""
    yield ("date", "account", "description", "points", "debit", "credit", "currency")
    for line in books.months:
        day = f"{(line.first.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)}"
        for one in journal(line, assumed, books.program.earning.points_per_unit, books.currency):
            money, points = f"{to_decimal(one.minor, books.currency):f}", _points(one.points)
            yield (day, one.debit, one.words, points, money, "", books.currency)
            yield (day, one.credit, one.words, points, "", money, books.currency)


def _points(micropoints: int) -> str:
    """Write points to the last micropoint, so that sums tie."""
    sign, rest = "-" if micropoints < 0 else "", abs(micropoints)
    return f"{sign}{rest // MICRO}.{rest % MICRO:06}".rstrip("0").rstrip(".")


def _csv(rows: Iterable[Sequence[str]]) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator="\r\n").writerows(rows)
    return written.getvalue()
