"""Shopify's values as ours: ids, money, instants, addresses; what cannot be one makes the body unreadable."""

from functools import lru_cache

import msgspec

from integration.clock import from_iso
from integration.errors import Suspect, Unreadable
from integration.money import from_decimal_text

Id = int | str | None
"""How Shopify writes ids: a number, digits, or gid://shopify/Kind/123."""

Amount = int | float | str | None

HIGHEST_ID = 2**64
MOST_MINOR = 10**14  # micropoints of more would not fit a 64-bit column
MOST_QUANTITY = 10**6
LONGEST_TEXT = 255
REMEMBERED = 8_192  # prices and times repeat within an order and between its deliveries

_INSTANT_RANGE = (-(10**16), 4 * 10**15)  # microseconds: about the years 1653 to 2096


class Money(msgspec.Struct, gc=False):
    amount: Amount = None
    currency_code: str | None = None


class MoneySet(msgspec.Struct, gc=False):
    """Money twice: what the shop counts and what the shopper saw. Only the first is ever read."""

    shop_money: Money | None = None


def id_of(value: Id) -> str | None:
    """Return an id as plain digits; None for null and empty ones.

    Raises Unreadable for what is no id.
    """
    if value is None or value == "":
        return None
    if isinstance(value, str):
        tail = value.rpartition("/")[2].partition("?")[0]
        if not (tail.isascii() and tail.isdigit() and len(tail) <= 20):
            raise Unreadable("an id is not a number")
        value = int(tail)
    if not 0 <= value < HIGHEST_ID:
        raise Unreadable("an id is out of range")
    return str(value) if value else None


def named_id(value: Id, what: str) -> str:
    """Return an id that must be there. Raises Unreadable naming `what` lacks it."""
    found = id_of(value)
    if found is None:
        raise Unreadable(f"{what} has no id")
    return found


def insist_on_kind(gid: str | None, kind: str) -> None:
    """Raise Suspect where Shopify's own global id says that the body is of another kind."""
    if gid is not None and gid.startswith("gid://shopify/") and gid[14:].partition("/")[0] != kind:
        raise Suspect(f"the body is a {gid[14:].partition('/')[0][:40]}, not a {kind}")


def minor_of(amounts: MoneySet | None, plain: Amount, currency: str) -> int:
    """Return shop money as minor units of `currency`: from the pair where it is told, else `plain`."""
    if amounts is not None and amounts.shop_money is not None and amounts.shop_money.amount is not None:
        plain = amounts.shop_money.amount
    if plain is None:
        return 0
    return _minor(plain if type(plain) is str else str(plain), currency)


@lru_cache(REMEMBERED)
def _minor(text: str, currency: str) -> int:
    try:
        minor = from_decimal_text(text.strip(), currency)
    except ValueError:
        raise Unreadable("an amount of money is not a number") from None
    if abs(minor) > MOST_MINOR:
        raise Unreadable("an amount of money is out of range")
    return minor


def currency_of(code: str | None) -> str:
    """Return an upper-case ISO currency code. Raises Unreadable where there is none."""
    if code is None or len(code) != 3 or not code.isascii() or not code.isalpha():
        raise Unreadable("it names no currency")
    return code.upper()


@lru_cache(REMEMBERED)
def instant_of(text: str | None) -> int | None:
    """Return an instant in microseconds; None for null and empty ones. Raises Unreadable for no time."""
    if not text:
        return None
    try:
        instant = from_iso(text)
    except (ValueError, OverflowError):
        raise Unreadable("a time is not ISO 8601") from None
    if not _INSTANT_RANGE[0] < instant < _INSTANT_RANGE[1]:
        raise Unreadable("a time is out of range")
    return instant


def quantity_of(value: int | None, otherwise: int = 0) -> int:
    """Return a number of things, never negative. Raises Unreadable beyond a million."""
    if value is None:
        return otherwise
    if value > MOST_QUANTITY:
        raise Unreadable("a quantity is out of range")
    return value if value > 0 else 0


def email_of(text: str | None) -> str | None:
    """Return an e-mail address in lower case and trimmed; None for what cannot be one."""
    if not text:
        return None
    text = text.strip().lower()
    return text if 3 <= len(text) <= 320 and "@" in text[1:-1] and text.isprintable() else None


def text_of(text: str | None) -> str | None:
    """Return trimmed text, cut at 255 characters; None for an empty one."""
    return (text.strip()[:LONGEST_TEXT] or None) if text else None


def country_of(code: str | None) -> str | None:
    """Return an upper-case ISO 3166 alpha-2 code, or None for anything else."""
    return code.upper() if code and len(code) == 2 and code.isascii() and code.isalpha() else None


def word_of(text: str | None) -> str | None:
    """Return one of Shopify's words (a status, a kind) in lower case; None for an empty one."""
    return (text.strip().lower()[:64] or None) if text else None
