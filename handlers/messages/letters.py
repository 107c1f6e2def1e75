"""Sets letters: the merchant's words or ours, in the reader's language, as responsive HTML and as plain text."""

import re
import tomllib
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import mrml
from babel import Locale, UnknownLocaleError
from babel.dates import format_date
from babel.numbers import format_currency, format_decimal
from jinja2 import Environment, StrictUndefined, Template

from handlers.merchants.rules import PLACEHOLDERS, Program
from handlers.messages.kinds import Content, Kind
from integration.clock import DAY, to_datetime
from integration.money import to_decimal

TEMPLATES = Path(__file__).parent / "templates"
MAX_SUBJECT = 200  # characters, after names were put in
MAX_VALUE = 300  # characters of one value put into the words
# A name that is not known takes the comma or the space before it along.
_PLACEHOLDER = re.compile(r"((?:,? )?)\{([^{}]*)\}")
_BREAKS = re.compile(r"[\r\n\t\0\x0b\x0c\x85\u2028\u2029]+")
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")

_html = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=False)
_text = Environment(autoescape=False, undefined=StrictUndefined)  # noqa: S701 - plain text is not escaped


class Set(NamedTuple):
    """A letter as it goes out."""

    subject: str
    text: str
    html: str


class Words(NamedTuple):
    """Subject and body of one kind in one language, with `{placeholders}`."""

    subject: str
    body: str


def set_letter(
    content: Content,
    *,
    shop_name: str,
    language: str,
    unsubscribe_url: str | None,
    account_url: str | None = None,
    test: bool = False,
) -> Set:
    """Set a letter: everything in `content` is plain text and is escaped where it stands.

    `account_url` leads to the reader's own page.
    """
    frame = frame_words(language)
    subject = one_line(f"[{frame['test']}] {content.subject}" if test else content.subject)[:MAX_SUBJECT]
    why = frame["why"] if unsubscribe_url else frame["why_transactional"]
    names = {"shop_name": shop_name}
    values: dict[str, Any] = {
        "language": language,
        "subject": subject,
        "preheader": one_line(content.preheader or content.body)[:120],
        "shop_name": one_line(shop_name),
        "test_note": frame["test_note"] if test else "",
        "paragraphs": _paragraphs(content.body),
        "facts": content.facts,
        "stars": content.stars,
        "star_labels": frame["stars"],
        "button": content.button,
        "note": content.note,
        "why": fill(why, names),
        "unsubscribe": (frame["unsubscribe"], unsubscribe_url) if unsubscribe_url else None,
        "account": (frame["account"], account_url) if account_url else None,
    }
    text = re.sub(r"\n{3,}", "\n\n", _layout("letter.txt").render(values)).strip() + "\n"
    return Set(subject, text, _layout("letter.mjml").render(values))


def preview(
    kind: Kind,
    words: Words,
    language: str,
    *,
    shop_name: str,
    timezone: str,
    currency: str,
    now: int,
    unsubscribe_url: str = "#",
    test: bool = False,
    points: int | None = None,
    reason: str = "",
) -> Set:
    """Set words as a kind's letter with made-up facts, so that a merchant sees them before anybody else does.

    `points` are those it tells of, and `reason` what for, where the programme says so.
    """
    values = _made_up(language, shop_name, timezone, currency, now)
    if points is not None:
        values["points"] = number(points, language)
    if reason:
        values["reason"] = reason
    values = {name: value for name, value in values.items() if name in kind.placeholders}
    content = kind.example(fill(words.subject, values), fill(words.body, values), language, values)
    return set_letter(
        content,
        shop_name=shop_name,
        language=language,
        unsubscribe_url=None if kind.transactional else unsubscribe_url,
        account_url=None if test else "#",
        test=test,
    )


def _made_up(language: str, shop_name: str, timezone: str, currency: str, now: int) -> dict[str, str]:
    return {
        "first_name": "Ada",
        "shop_name": shop_name,
        "order_name": "#1001",
        "order_date": day(now, timezone, language),
        "order_total": money(4_200, currency, language),
        "product": frame_words(language)["example"],
        "points": number(120, language),
        "balance": number(840, language),
        "reason": frame_words(language)["example_reason"],
        "expires_on": day(now + 45 * DAY, timezone, language),
        "tier": "Gold",
        "missing": money(6_000, currency, language),
        "lost_on": day(now + 30 * DAY, timezone, language),
    }


def choose_words(program: Program, kind: str, language: str, default: Path) -> Words:
    """Return the merchant's own words of a kind and language, and ours (a file by language) for what they left."""
    ours = words_file(default)
    own = program.messages.words.get(kind, {}).get(language)
    standard = ours.get(language) or ours["en"]
    return Words((own.subject if own else "") or standard["subject"], (own.body if own else "") or standard["body"])


def fill(words: str, values: Mapping[str, str]) -> str:
    """Put values into `{placeholders}`, once: a value is never read as words again, an unknown name is left out."""

    def value(match: re.Match[str]) -> str:
        known = match[2] in PLACEHOLDERS or match[2] == "shop_name"
        put = values.get(match[2], "") if known else ""
        return match[1] + _BREAKS.sub(" ", put)[:MAX_VALUE] if put else ""

    return _PLACEHOLDER.sub(value, words)


def one_line(text: str) -> str:
    """Make one line of a text, as headers and titles need it."""
    return _UNPRINTABLE.sub("", _BREAKS.sub(" ", text)).strip()


def money(minor: int, currency: str | None, locale: str) -> str:
    """Write minor units as money for a locale; empty where the currency is not known."""
    if not currency:
        return ""
    return str(format_currency(to_decimal(minor, currency), currency, locale=_babel(locale)))


def day(instant: int | None, timezone: str, locale: str) -> str:
    """Write an instant as a day in a time zone for a locale; None is empty."""
    if instant is None:
        return ""
    moment: datetime = to_datetime(instant).astimezone(ZoneInfo(timezone))
    return str(format_date(moment.date(), format="long", locale=_babel(locale)))


def number(value: int, locale: str) -> str:
    """Write a whole number for a locale."""
    return str(format_decimal(value, locale=_babel(locale)))


@lru_cache(maxsize=256)
def locale_name(locale: str | None, language: str) -> str:
    """Return the locale to write dates and money in: the reader's own where it is in the letter's language."""
    try:
        wanted = Locale.parse((locale or "").replace("-", "_"))
    except (UnknownLocaleError, ValueError, TypeError):
        return language
    return str(wanted) if wanted is not None and wanted.language == language else language


def frame_words(language: str) -> Mapping[str, Any]:
    """Return what stands around every letter in a language."""
    frames = words_file(TEMPLATES / "frame.toml")
    return frames.get(language) or frames["en"]


@lru_cache(maxsize=64)
def words_file(path: Path) -> Mapping[str, Mapping[str, Any]]:
    """Read a file of words by language; read once."""
    return tomllib.loads(path.read_text(encoding="utf-8"))


@lru_cache(maxsize=8)
def _layout(name: str) -> Template:
    """Compile a layout, once: MJML becomes HTML first, with its placeholders untouched."""
    source = (TEMPLATES / name).read_text(encoding="utf-8")
    if name.endswith(".mjml"):
        # No font is fetched from elsewhere: opening a letter tells nobody.
        options = mrml.RenderOptions(disable_comments=True, fonts={})
        return _html.from_string(mrml.to_html(source, None, options).content)
    return _text.from_string(source)


@lru_cache(maxsize=256)
def _babel(locale: str) -> Locale:
    try:
        return Locale.parse(locale)
    except (UnknownLocaleError, ValueError):
        return Locale("en")


def _paragraphs(body: str) -> list[list[str]]:
    blocks = re.split(r"\n\s*\n", body.replace("\r\n", "\n").replace("\r", "\n").strip())
    return [[_UNPRINTABLE.sub("", line.strip()) for line in block.split("\n")] for block in blocks]
