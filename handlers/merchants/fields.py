"""What the settings of a programme are made of: numbers, words, days and lists, each with its limits."""

import re
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from integration.clock import from_iso, from_wall

MAX_RATE = Decimal(1_000_000)
_COLLECTION = re.compile(r"(?:gid://shopify/Collection/|https://\S*/collections/)?(\d{1,20})")


def _rate(value: Decimal) -> Decimal:
    if not value.is_finite() or -value.normalize().as_tuple().exponent > 6:  # type: ignore[operator]
        raise ValueError("a rate has at most six decimal places")
    return value


Rate = Annotated[Decimal, Field(ge=0, le=MAX_RATE), AfterValidator(_rate)]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
Days = Annotated[int, Field(ge=0, le=365)]


class Section(BaseModel):
    """A part of the programme: it cannot be changed, and holds nothing but what it names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def one_line(value: str) -> str:
    """Accept what fits a mail header: one line, nothing that cannot be seen."""
    if not value.isprintable():
        raise ValueError("write it in one line, without control characters")
    return value


def _listed(value: object) -> object:
    """Read a text as a list of words with commas between."""
    return [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value


def _product(value: str) -> str:
    """Take the number out of a product's id as GraphQL writes it."""
    return value.strip().removeprefix("gid://shopify/Product/")


def _collection(value: str) -> str:
    """Take the number out of a collection's id as GraphQL writes it, or out of the address of its page."""
    found = _COLLECTION.fullmatch(value.strip())
    if found is None:
        raise ValueError("a collection is its number, which stands at the end of its page’s address in the admin")
    return found[1]


Word = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255)]
Product = Annotated[Word, AfterValidator(_product)]
WordList = Annotated[tuple[Word, ...], BeforeValidator(_listed)]
Products = Annotated[tuple[Product, ...], BeforeValidator(_listed)]
Collection = Annotated[Word, AfterValidator(_collection)]
Collections = Annotated[tuple[Collection, ...], BeforeValidator(_listed)]

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)?)?")


def _moment(value: str) -> str:
    """Accept a day, a time by the shop's clocks, or an instant with its offset."""
    text = value.strip()
    try:
        if not _MOMENT.fullmatch(text) or not 1970 <= datetime.fromisoformat(text).year <= 9000:
            raise ValueError
    except ValueError:
        raise ValueError("write a day as 2026-11-27, or a time as 2026-11-27T09:00") from None
    return text.replace(" ", "T")


def zone_name(value: str) -> str:
    """Accept the name of a time zone, or none."""
    if value:
        try:
            ZoneInfo(value)
        except (LookupError, OSError, ValueError):
            raise ValueError("a time zone is named like Europe/Paris") from None
    return value


Moment = Annotated[str, AfterValidator(_moment)]


@lru_cache(maxsize=4096)
def instant_of(text: str, timezone: str, *, end: bool) -> int:
    """Return the instant the start or end of something means; a last day ends when the next begins.

    Where clocks show a time twice, what starts or ends there takes in both; a time they jump over is the moment of
    the jump.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is not None:
        return from_iso(text)
    if end and len(text) == len("2026-11-27"):
        return from_wall(moment + timedelta(days=1), ZoneInfo(timezone))
    return from_wall(moment, ZoneInfo(timezone), again=end)
