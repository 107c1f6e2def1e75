"""What every merchant's page has in common: the visit it is for, the layout around it, and the headers that guard it.

A page ends in `show` (HTML in the frame) or `moved` (the GET after a POST, with a word on what was done).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date as Date
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit
from zoneinfo import ZoneInfo

from babel.core import Locale, negotiate_locale
from babel.dates import format_date, format_time, get_datetime_format
from babel.localedata import locale_identifiers
from babel.numbers import format_currency, format_decimal, format_percent
from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context as Values
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from handlers.merchants.assets import address, release
from integration.clock import MINUTE, SECOND, to_datetime
from integration.money import to_decimal
from integration.vault import Unsealable, Vault

TEMPLATES = Path(__file__).parent / "templates"
HOME = "/app"
PAGES = (
    (HOME, "Home"),
    ("/app/programme", "Programme"),
    ("/app/customers", "Customers"),
    ("/app/messages", "Messages"),
    ("/app/activity", "Activity"),
    ("/app/connections", "Connections"),
)
# Pages with an address of their own that are reached from one of those.
_REACHED_FROM = {
    "/app/friends": "/app/programme",
    "/app/liability": "/app/programme",
    "/app/rewards": "/app/programme",
    "/app/requests": "/app/customers",
}
SHOPIFY_ADMIN = "https://admin.shopify.com"
APP_BRIDGE = "https://cdn.shopify.com/shopifycloud/app-bridge.js"
_SHOPIFY_SCRIPTS = "https://cdn.shopify.com/shopifycloud/"  # a folder: merchants' own files lie on that host too
# The style sheet of Turbo's progress bar, which turbo.js puts into the page; tests/browser sees when it changes.
_TURBO_STYLE = "'sha256-WAyOw4V+FqDc35lQPyRADLBWbuNK8ahvYEaQIYF1+Ps='"
FLASH_LIFE = 2 * MINUTE
MOST_FLASH = 300  # characters
MICRO = 1_000_000  # micropoints in a point
_LONGEST_LANGUAGES = 200  # characters of Accept-Language that are looked at

Tone = Literal["success", "critical"]


@dataclass(frozen=True, slots=True)
class Said:
    """A word on what was just done, shown once on the page that follows."""

    words: str
    tone: str = "success"


@dataclass(frozen=True, slots=True)
class Visit:
    """Somebody who may see one merchant's pages, and how they came; made by the door alone."""

    merchant_id: int
    name: str
    currency: str
    timezone: str
    locale: str  # for numbers, money and dates, as Babel names it
    who: str  # shopify:<user id> or link:<e-mail or name>; goes into the journal
    shop: str | None  # domain of the connected shop
    embedded: bool  # in Shopify's admin, by session token
    form_token: str = ""  # hidden in every form of a visit by cookie
    path: str = HOME
    said: Said | None = None
    paused_at: int | None = None  # since when the merchant holds all messages back
    app_key: str = field(default="", repr=False)  # the Shopify app's client id, public
    proof: str = field(default="", repr=False)  # what ends with the visit: the session's digest, or when the shop came

    @property
    def section(self) -> str:
        """The page of the navigation that the one looked at belongs to."""
        place = "/".join(self.path.split("/")[:3])
        return _REACHED_FROM.get(place, place)


def show(visit: Visit, template: str, folder: Path, status: int = 200, **values: Any) -> Response:
    """Answer with a page: `folder` holds the capability's templates, which extend `app.html`."""
    return render(template, folder, status, visit=visit, **values)


def moved(request: Request, visit: Visit, to: str, said: str = "", tone: Tone = "success") -> Response:
    """Answer a POST that did something: the browser gets `to`, a path of ours, which says `said` on top."""
    if not is_own(to):
        raise ValueError(f"a page moves to a path below {HOME} only")
    if said:
        context = request.app.state.context
        text = f"{context.clock.now()} {tone} {said[:MOST_FLASH]}"
        sealed = context.vault.seal(text, table="flash", merchant=visit.merchant_id, column="said")
        to += ("&" if "?" in to else "?") + urlencode({"said": sealed})
    return RedirectResponse(to, 303)


def read_flash(request: Request, merchant_id: int, vault: Vault, now: int) -> Said | None:
    """Return what `moved` wanted said to this merchant a moment ago; anything else in the address is nothing."""
    sealed = request.query_params.get("said")
    if not sealed:
        return None
    try:
        at, tone, words = vault.open(sealed, table="flash", merchant=merchant_id, column="said").split(" ", 2)
    except (Unsealable, ValueError):
        return None
    return Said(words, tone) if now - int(at) < FLASH_LIFE else None


def is_own(path: str) -> bool:
    """Tell whether a text is the path of a merchant's page, which no browser reads as another site's address."""
    if not (path == HOME or path.startswith((f"{HOME}/", f"{HOME}?"))):
        return False
    if not path.isascii() or not path.isprintable() or "\\" in path or " " in path or "#" in path:
        return False
    parts = urlsplit(path)
    return not parts.scheme and not parts.netloc and "//" not in parts.path and "/.." not in parts.path


def without(path: str, *names: str) -> str:
    """Return a path whose query lacks these parameters."""
    bare, _, query = path.partition("?")
    kept = [(name, value) for name, value in parse_qsl(query, keep_blank_values=True) if name not in names]
    return f"{bare}?{urlencode(kept)}" if kept else bare


def render(template: str, folder: Path = TEMPLATES, status: int = 200, **values: Any) -> Response:
    """Answer with HTML; what is not for a visit (signing in, errors) gives `visit=None`."""
    html = _templates(folder).get_template(template).render({"visit": None, **values})
    return HTMLResponse(html, status)


def told(status: int) -> Response:
    """Answer with a page that says what went wrong and what to do; never with what happened inside."""
    title, words = _WRONG.get(status, _WRONG[500])
    return render("wrong.html", status=status, title=title, words=words)


def guard(response: Response, framed_by: str | None = None, embedded: bool = False) -> Response:
    """Set the headers of a merchant's page: no inline code, nothing from elsewhere, framed by its shop's admin alone.

    `framed_by` is the shop's domain, or "" where only Shopify's admin itself is known to frame it; None: nobody may.
    """
    ancestors = _admins(framed_by) or "'none'"
    scripts = f"'self' {_SHOPIFY_SCRIPTS}" if embedded else "'self'"
    response.headers.setdefault(
        "Content-Security-Policy",
        f"default-src 'none'; script-src {scripts}; style-src 'self' {_TURBO_STYLE}; img-src 'self';"
        f" connect-src 'self'; form-action 'self'; base-uri 'none'; object-src 'none'; frame-src 'self';"
        f" frame-ancestors {ancestors}",
    )
    response.headers.update(
        {
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "same-origin",
            "X-Robots-Tag": "noindex, nofollow",
            "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
            "Cross-Origin-Opener-Policy": "same-origin",
        }
    )
    if "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]:
        response.headers["X-Frame-Options"] = "DENY"  # for browsers that know no frame-ancestors
    response.headers.append("Vary", "Cookie, Authorization")
    return response


def letter(html: str, framed_by: str | None) -> Response:
    """Answer with a mail as it looks, for an <iframe> of our own page: styles and pictures, but nothing that runs.

    `framed_by` is the shop's domain where our page stands in its admin, as in `guard`.
    """
    ancestors = " ".join(["'self'", _admins(framed_by)]).strip()
    policy = (
        f"sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src https: data:; frame-ancestors {ancestors}"
    )
    return HTMLResponse(html, headers={"Content-Security-Policy": policy})


def _admins(framed_by: str | None) -> str:
    if framed_by is None:
        return ""
    return f"https://{framed_by} {SHOPIFY_ADMIN}" if framed_by else SHOPIFY_ADMIN


def spoken_locale(accept: str | None) -> str:
    """Return the Babel locale a browser asks for in Accept-Language, else plain English."""
    wished = []
    for part in (accept or "")[:_LONGEST_LANGUAGES].split(","):
        tag, _, weight = part.partition(";")
        try:
            wished.append((float(weight.strip().removeprefix("q=") or 1), tag.strip().replace("-", "_")))
        except ValueError:
            continue
    wished.sort(key=lambda wish: -wish[0])
    return _known_locale(tuple(tag for _, tag in wished))


@lru_cache(maxsize=256)
def _known_locale(wished: tuple[str, ...]) -> str:
    return negotiate_locale(list(wished), _locales(), sep="_") or "en"


@lru_cache(maxsize=1)
def _locales() -> list[str]:
    return list(locale_identifiers())


@lru_cache(maxsize=64)
def _templates(folder: Path) -> Environment:
    templates = Environment(
        loader=FileSystemLoader([folder, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.globals.update(static=address, release=release(), pages=PAGES, app_bridge=APP_BRIDGE)
    templates.filters.update(_FILTERS)
    return templates


_WRONG = {
    400: (
        "This could not be read",
        "What was sent is not a form of this page. Go back, reload the page and try again.",
    ),
    404: ("There is nothing here", "The page does not exist, or what it was about is gone."),
    405: ("That cannot be done here", "Open the page from the navigation and use its buttons."),
    408: ("That took too long", "The form did not arrive in time. Check your connection and send it again."),
    413: ("That is too much at once", "The form or the file is larger than this page takes. Send less at a time."),
    415: (
        "This could not be read",
        "What was sent is not a form of this page. Go back, reload the page and try again.",
    ),
    500: ("Something went wrong on our side", "Nothing was changed. Try again in a minute; the fault has been logged."),
    503: (
        "Not available right now",
        "The program cannot reach its database. Nothing was changed; try again in a minute.",
    ),
}


# --- How values are written: `{{ minor | money }}`, in the visitor's locale and the shop's time zone ---


def _said_to(values: Values) -> tuple[Locale, str, str]:
    visit = values.get("visit")
    if visit is None:
        return Locale.parse("en"), "UTC", "USD"
    return Locale.parse(visit.locale), visit.timezone, visit.currency


@pass_context
def _money(values: Values, minor: int, currency: str | None = None) -> str:
    """Write minor units, of the programme's currency unless another is named."""
    locale, _, own = _said_to(values)
    return str(format_currency(to_decimal(minor, currency or own), currency or own, locale=locale))


@pass_context
def _number(values: Values, value: int | float | Decimal) -> str:
    return str(format_decimal(value, locale=_said_to(values)[0]))


@pass_context
def _points(values: Values, micropoints: int) -> str:
    """Write micropoints as the whole points people see, rounded towards zero."""
    return str(format_decimal(abs(micropoints) // MICRO * (-1 if micropoints < 0 else 1), locale=_said_to(values)[0]))


@pass_context
def _percent(values: Values, share: float) -> str:
    return str(format_percent(round(share, 3), locale=_said_to(values)[0], decimal_quantization=False))


@pass_context
def _when(values: Values, instant: int | None) -> str:
    """Write an instant with day and time in the shop's time zone; None is a dash."""
    if instant is None:
        return "–"
    locale, zone, _ = _said_to(values)
    moment = _local(instant, zone)
    parts = {"{1}": format_date(moment, "medium", locale=locale), "{0}": format_time(moment, "short", locale=locale)}
    # Nobody plans by the second; Babel's own formats have seconds in the one and short years in the other.
    written = str(get_datetime_format("medium", locale=locale))
    for place, part in parts.items():
        written = written.replace(place, part)
    return written


@pass_context
def _day(values: Values, instant: int | None) -> str:
    """Write an instant's day in the shop's time zone; None is a dash."""
    locale, zone, _ = _said_to(values)
    return "–" if instant is None else str(format_date(_local(instant, zone).date(), "medium", locale=locale))


@pass_context
def _date(values: Values, date: Date) -> str:
    """Write a day of the calendar."""
    return str(format_date(date, "medium", locale=_said_to(values)[0]))


def _machine_time(instant: int) -> str:
    """Write an instant for the `datetime` attribute of <time>."""
    return to_datetime(instant - instant % SECOND).isoformat().replace("+00:00", "Z")


def _local(instant: int, zone: str) -> Any:
    return to_datetime(instant).astimezone(ZoneInfo(zone))


_FILTERS: Mapping[str, Any] = {
    "money": _money,
    "number": _number,
    "points": _points,
    "percent": _percent,
    "when": _when,
    "day": _day,
    "date": _date,
    "machine_time": _machine_time,
}
