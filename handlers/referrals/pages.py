"""The friend's page: what somebody who was invited gets, and the code for it. Nobody's name stands on it."""

import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import structlog
from babel.dates import format_date
from babel.numbers import format_currency, format_decimal
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from handlers.context import Context
from handlers.merchants.books import shops
from handlers.merchants.connections import shop_of
from handlers.merchants.door import caller_address
from handlers.merchants.offers import Reward
from handlers.merchants.rules import Refused, Shop
from handlers.messages.letters import words_file
from handlers.messages.pages import COPY, language_of, page
from handlers.messages.zones import zone
from handlers.referrals import codes
from handlers.referrals.codes import Code, Link
from handlers.referrals.jobs import MAKE
from handlers.referrals.rules import ALPHABET, CODE_LETTERS
from handlers.referrals.views import welcome as ask_welcome
from integration.clock import to_datetime
from integration.database.steps import Steps
from integration.database.wall import keep_within
from integration.errors import Unavailable

TEMPLATES = Path(__file__).parent / "templates"
WORDS = TEMPLATES / "words.toml"
LOOK_AGAIN = 3  # seconds until a code that is being made is looked at again
MOST_MISSES = 20  # wrong codes of one address within a window, after which it is told nothing for a while
WINDOW = 60.0  # seconds
MOST_ASKERS = 10_000  # addresses remembered

log = structlog.get_logger()

_CODE = re.compile(f"[{ALPHABET}]{{{CODE_LETTERS}}}")


class Misses:
    """Counts wrong codes by address, in this process: nobody tries codes by the thousand."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def is_over(self, asker: str, now: float) -> bool:
        """Tell whether an address has been wrong too often within the window."""
        began, count = self._seen.get(asker, (now, 0))
        return count >= MOST_MISSES and now < began + WINDOW

    def add(self, asker: str, now: float) -> None:
        """Note one wrong code."""
        began, count = self._seen.pop(asker, (now, 0))
        self._seen[asker] = (began, count + 1) if now < began + WINDOW else (now, 1)
        while len(self._seen) > MOST_ASKERS:
            self._seen.popitem(last=False)


_MISSES = Misses()


async def friend_page(request: Request) -> Response:
    """Show a friend what they would get; nothing is made, since link scanners follow every link.

    Wrong, closed and forgotten links all look alike.
    """
    return await _answered(request, _look)


async def friend_now(request: Request) -> Response:
    """Give a friend a code of their own, and lead to its page."""
    return await _answered(request, _ask_for)


async def welcome_page(request: Request) -> Response:
    """Show a friend their own code, once it is made and until it ends or was used."""
    return await _answered(request, _show)


async def _answered(
    request: Request, answer: Callable[[Request, Context, str], Awaitable[Response | None]]
) -> Response:
    context: Context = request.app.state.context
    asker, now = caller_address(request), time.monotonic()
    code = request.path_params["code"]
    if not _CODE.fullmatch(code) or (asker and _MISSES.is_over(asker, now)):
        return _gone(request)
    try:
        answered = await answer(request, context, code)
    except Unavailable as error:
        log.warning("friend_page_put_off", reason=str(error))
        return _gone(request, 503, "away")
    if answered is None:
        _MISSES.add(asker, now)
        return _gone(request)
    return answered


async def _look(request: Request, context: Context, code: str) -> Response | None:
    found = await _linked(context, code)
    if found is None:
        return None
    _, shop = found
    welcome = shop.current.referrals.welcome
    return _page(request, shop, welcome, shop.currency, action=request.url.path)


async def _ask_for(request: Request, context: Context, code: str) -> Response | None:
    found = await _linked(context, code)
    if found is None:
        return None
    link, shop = found
    now, asker = context.clock.now(), caller_address(request)
    asker = context.vault.stand_in("asker", asker) if asker else ""
    try:
        made = await context.database.run(lambda: ask_welcome(shop, link, asker, now))
    except Refused:
        return _gone(request, 429, "many")
    await context.queue.enqueue(MAKE)
    return RedirectResponse(
        f"/c/welcome/{made.code}", 303, {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    )


async def _show(request: Request, context: Context, code: str) -> Response | None:
    found = await context.database.read(lambda: codes.code_called(code))
    now = context.clock.now()
    if found is None or found.state not in ("asked", "made") or found.expires_at <= now or found.used_at is not None:
        return None
    keep_within(found.merchant_id)
    shop, domain = await context.database.read(lambda: _place(found))
    if shop is None:
        return None
    is_there = found.state == "made"
    apply = f"https://{domain}/discount/{quote(found.code)}?redirect=/" if domain and is_there else None
    until = to_datetime(found.expires_at).astimezone(zone(shop.timezone))
    shown = _page(
        request, shop, found.welcome, found.currency, code=found.code if is_there else "", apply=apply, until=until
    )
    if not is_there and found.reason is None:
        shown.headers["Refresh"] = str(LOOK_AGAIN)
    return shown


async def _linked(context: Context, code: str) -> tuple[Link, Shop] | None:
    """Find a link that works, and its shop; None where it works no more."""
    link = await context.database.read(lambda: codes.link_called(code))
    if link is None or link.state != "open":
        return None
    keep_within(link.merchant_id)
    shop = (await context.database.read(lambda: shops([link.merchant_id]))).get(link.merchant_id)
    if shop is None or shop.closed_at is not None or not shop.current.referrals.enabled:
        return None
    return link, shop


def _place(code: Code) -> Steps[tuple[Shop | None, str | None]]:
    """Find the shop of a code, and the domain at which it is applied."""
    shop = (yield from shops([code.merchant_id])).get(code.merchant_id)
    if shop is None or shop.closed_at is not None:
        return None, None
    if code.kind == "promotion_code":
        return shop, None
    return shop, (yield from shop_of(shop.id))


def _page(
    request: Request, shop: Shop, welcome: Reward, currency: str, *, until: datetime | None = None, **values: Any
) -> Response:
    spoken = language_of(shop, None, request)
    words = words_file(WORDS)[spoken]
    said = [words["first"]]
    if welcome.min_order:
        said.append(words["least"].format(money=_money(welcome.min_order, currency, spoken)))
    if until is None:
        said.append(words["days"].format(days=format_decimal(welcome.valid_days, locale=spoken)))
    else:
        said.append(words["until"].format(day=format_date(until, "long", spoken)))
    return page(
        "friend.html",
        spoken,
        200,
        TEMPLATES,
        script=COPY,
        title=words["title"].format(gift=_gift(welcome, currency, spoken, words)),
        shop_name=shop.name,
        words=words,
        conditions=[*said, words["once"]],
        **values,
    )


def _gift(welcome: Reward, currency: str, spoken: str, words: Mapping[str, str]) -> str:
    if welcome.percent:
        return words["percent"].format(percent=format_decimal(welcome.percent, locale=spoken))
    return words["money"].format(money=_money(welcome.value, currency, spoken))


def _money(amount: Decimal, currency: str, spoken: str) -> str:
    return str(format_currency(amount, currency, locale=spoken))


def _gone(request: Request, status: int = 404, said: str = "gone") -> Response:
    spoken = language_of(None, None, request)
    words = words_file(WORDS)[spoken]
    return page("page.html", spoken, status, title=words[f"{said}_title"], text=words[said], shop_name="")
