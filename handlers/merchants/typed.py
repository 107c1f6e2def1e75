"""What people type into forms, word by word: numbers, lists, products, money; what to do where it cannot be read."""

import re
import unicodedata
from collections.abc import Collection, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from integration.money import exponent

MOST_LISTED = 250  # products, tags or countries in one list
MOST_MONEY = 10**12  # minor units of what a reward is worth
MOST_WORD = 255  # characters of a tag or a channel's name

_NUMBER = re.compile(r"-?\d{1,15}(?:[.,]\d{1,15})?")
_PRODUCT = re.compile(r"(?:\S*/products/|gid://shopify/Product/|#)?(\d{1,20})(?:[/?#\s:(,–-].*)?", re.ASCII)
_COLLECTION = re.compile(r"(?:\S*/collections/|gid://shopify/Collection/|#)?(\d{1,20})(?:[/?#\s:(,–-].*)?", re.ASCII)
_PLACE = re.compile(r"(\d{1,4})(?:\.|st|nd|rd|th)?[\s:=]+(\d{1,9})")
_CURRENCY = re.compile(r"([A-Za-z]{3})[\s:=]+(\S+)")


class Wrong(ValueError):
    """What was typed cannot be a setting; the message says what to do."""


def read_decimal(typed: str) -> Decimal:
    """Read a number with a point or a comma for its decimals, but not with both: 1,500 could mean two things.

    Raises Wrong.
    """
    text = typed.replace("\u00a0", "").replace(" ", "")
    if not text:
        raise Wrong("Write a number, such as 3 or 1.5.")
    if not _NUMBER.fullmatch(text):
        raise Wrong("Write a number without separators for thousands, such as 1500 or 1.5.")
    try:
        return Decimal(text.replace(",", "."))
    except InvalidOperation as error:
        raise Wrong("Write a number, such as 3 or 1.5.") from error


def named_id(name: str, taken: Collection[str]) -> str:
    """Make an id of a campaign's or a reward's name that no other one has."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    stem = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:30] or "one"
    return next(one for n in range(len(taken) + 1) if (one := stem if n == 0 else f"{stem}-{n + 1}") not in taken)


def read_words(parts: list[str]) -> list[str]:
    """Read a list of words, each once. Raises Wrong."""
    found = list(dict.fromkeys(word for part in parts if (word := part.strip())))
    if len(found) > MOST_LISTED:
        raise Wrong(f"This list is too long: {MOST_LISTED} at most.")
    for word in found:
        if len(word) > MOST_WORD or not word.isprintable():
            raise Wrong(f"“{word[:40]}” cannot be one of these: {MOST_WORD} characters in one line at most.")
    return found


def read_days(word: str) -> int:
    """Read a number of days. Raises Wrong."""
    if not re.fullmatch(r"\d{1,4}", word):
        raise Wrong("Write numbers of days with commas between, such as 45, 7.")
    return int(word)


def read_countries(typed: str) -> list[str]:
    """Read countries, two letters each. Raises Wrong."""
    found = [word.upper() for word in read_words(re.split(r"[,;\s]+", typed))]
    for word in found:
        if not re.fullmatch(r"[A-Z]{2}", word):
            raise Wrong(f"Write countries as two letters each, such as DE; “{word[:40]}” is not.")
    return list(dict.fromkeys(found))


def read_products(typed: str) -> list[str]:
    """Read products, one a line, by number or address. Raises Wrong."""
    return _numbered(typed, "product", _PRODUCT)


def read_collections(typed: str) -> list[str]:
    """Read collections, one a line, by number or address. Raises Wrong."""
    return _numbered(typed, "collection", _COLLECTION)


def _numbered(typed: str, what: str, shape: re.Pattern[str]) -> list[str]:
    found = []
    for line in read_words(typed.split("\n")):
        match = shape.fullmatch(line)
        if match is None:
            raise Wrong(
                f"“{line[:60]}” has no {what} number. Open the {what} in your admin and copy the address of the page,"
                " or the number at its end."
            )
        found.append(match[1])
    return list(dict.fromkeys(found))


def read_rates(typed: str) -> dict[str, str]:
    """Read rates of currencies, one a line. Raises Wrong."""
    found: dict[str, str] = {}
    for line in read_words(typed.split("\n")):
        match = _CURRENCY.fullmatch(line)
        if match is None:
            raise Wrong(f"Write each line as a currency and a number, such as EUR 1.08; “{line[:40]}” is not.")
        found[match[1].upper()] = str(read_decimal(match[2]))
    return found


def read_places(typed: str) -> dict[str, int]:
    """Read orders by their place with the points each brings, one a line. Raises Wrong."""
    found: dict[str, int] = {}
    for line in read_words(typed.split("\n")):
        match = _PLACE.fullmatch(line)
        if match is None:
            raise Wrong(f"Write each line as an order’s number and its points, such as 5 100; “{line[:40]}” is not.")
        found[str(int(match[1]))] = int(match[2])
    return found


def sentence(error: Mapping[str, Any]) -> str:
    """Turn a refusal of the programme's own rules into what to do."""
    context = error.get("ctx", {})
    match error["type"]:
        case "less_than_equal" | "greater_than_equal":
            return (
                f"Write a number from 0 to {context['le']}." if "le" in context else f"Write {context['ge']} or more."
            )
        case "string_too_long":
            return f"This is too long: {context['max_length']} characters at most."
        case "too_long":
            return f"These are too many: {context['max_length']} at most."
        case "value_error" if "email" in str(error["msg"]):
            return "Write one e-mail address, such as hello@your-shop.com."
        case _:
            text = str(error["msg"]).removeprefix("Value error, ").rstrip(".")
            return f"{text[:1].upper()}{text[1:]}."


def read_count(typed: str, least: int = 0) -> int:
    """Read a whole number of points, days or pieces. Raises Wrong."""
    text = typed.replace("\u00a0", "").replace(" ", "")
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) < least:
        raise Wrong("Write a whole number, such as 500.")
    return int(text)


def read_money(typed: str, currency: str) -> int:
    """Read an amount of money as minor units of a currency. Raises Wrong."""
    value = read_decimal(typed).scaleb(exponent(currency))
    if value != value.to_integral_value() or not 1 <= value <= MOST_MONEY:
        raise Wrong(f"Write an amount in {currency}, such as 5.")
    return int(value)


def plain_number(value: Decimal, mark: str = ".") -> str:
    """Write a decimal without an exponent or idle zeros."""
    text = f"{value.normalize():f}"
    return text.replace(".", mark)
