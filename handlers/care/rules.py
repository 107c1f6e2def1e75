"""What a search asks for, and what may be asked of a change by hand: pure rules."""

import re
from collections.abc import Iterator
from typing import NamedTuple

MOST_QUERY = 100  # characters
MOST_DIGITS = 18  # of a number of ours or a platform's
MOST_POINTS = 1_000_000  # by one adjustment on a page: a slip of the finger is not a fortune
MOST_REASON = 300  # characters; they fit into a letter
LANGUAGES = {"en": "English", "de": "Deutsch", "fr": "Français", "es": "Español"}
_END = "\U0010ffff"  # stands behind whatever begins with the same letters
_SHOPIFY_PEOPLE = re.compile(r"(?:gid://shopify/Customer/|https://\S+/customers/)(\d{1,18})")
_STRIPE = re.compile(r"cus_[A-Za-z0-9]{4,60}")
_PAYMENT = re.compile(r"(pi|ch|py)_[A-Za-z0-9]{4,60}")
_FORM_KEY = re.compile(r"[a-z0-9]{16,64}")
_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


class Names(NamedTuple):
    """What a query names exactly, by kind; none of it need exist."""

    customers: tuple[int, ...] = ()  # our own numbers
    identities: tuple[tuple[str, str], ...] = ()  # (shopify | stripe, id)
    orders: tuple[str, ...] = ()  # the shop's names of orders, in small letters
    sales: tuple[tuple[str, str, str], ...] = ()  # (platform, kind, id)


class Range(NamedTuple):
    """All texts of one column that begin alike: from `low` up to, not including, `high`."""

    column: str  # email, contact (where mail goes, proven or not), name (first name first), surname (last name first)
    low: str
    high: str


class Sought(NamedTuple):
    """One query, understood: what it may name, and beginnings to look for, in the order they are shown."""

    query: str
    names: Names
    ranges: tuple[Range, ...]


class Place(NamedTuple):
    """Where a page of found people begins: the range, and behind which text and number in it."""

    range: int
    text: str
    number: int


def understand(query: str) -> Sought | None:
    """Read what somebody typed; None where there is nothing to look for.

    What is typed is compared as it is, from the beginning and without regard to upper and lower case: no
    character has a meaning of its own.
    """
    words = " ".join("".join(c if c.isprintable() else " " for c in query[: 2 * MOST_QUERY]).split())[:MOST_QUERY]
    if not words:
        return None
    return Sought(words, _names(words), tuple(_ranges(words)))


def folded(text: str) -> str:
    """Write the letters A to Z small, and no others: what both engines' indexes do."""
    return text.translate(_LOWER)


def _names(words: str) -> Names:
    number = words.removeprefix("#").strip()
    digits = number if is_number(number) else ""
    person = _SHOPIFY_PEOPLE.fullmatch(words)
    shopify = person[1] if person else digits
    identities = [("shopify", shopify)] if shopify else []
    if _STRIPE.fullmatch(words):
        identities.append(("stripe", words))
    sales = [("shopify", "order", digits)] if digits else []
    if found := _PAYMENT.fullmatch(words):
        sales.append(("stripe", "payment" if found[1] == "pi" else "charge", words))
    bare = folded(words)
    orders = dict.fromkeys((bare, f"#{bare}", bare.removeprefix("#")))
    return Names((int(digits),) if digits else (), tuple(identities), tuple(o for o in orders if o), tuple(sales))


def _ranges(words: str) -> Iterator[Range]:
    """List the beginnings to look for; letters beyond A to Z are tried small, large and as names are written."""
    address = words.lower()
    if " " not in address:
        yield Range("email", address, address + _END)
        yield Range("contact", address, address + _END)
    if "@" in words:
        return
    forms = dict.fromkeys(folded(form) for form in (words, words.lower(), words.title(), words.upper()))
    for column in ("name", "surname"):
        for form in forms:
            yield Range(column, form, form + _END)


def place_of(text: str | None, ranges: int) -> Place | None:
    """Read where a page begins from `range.number.text`; None = at the beginning, also where it makes no sense."""
    first, _, rest = (text or "").partition(".")
    number, dot, key = rest.partition(".")
    if not dot or not is_number(first) or not is_number(number) or len(key) > 4 * MOST_QUERY:
        return None
    return Place(int(first), key, int(number)) if int(first) < ranges and key.isprintable() else None


def is_number(text: str) -> bool:
    """Tell whether a text is a whole number no larger than any of ours."""
    return text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS


def read_points(typed: str) -> int | str:
    """Read how many points to give or, below zero, to take; a text is what is wrong with it, for people."""
    text = typed.strip().replace("−", "-").replace("\u00a0", "").replace("\u202f", "").removeprefix("+")
    digits = text.removeprefix("-")
    if not digits:
        return "Say how many points: 50 gives them, −50 takes them away."
    if not is_number(digits):
        return "Write a whole number, such as 50 or −50."
    points = -int(digits) if text.startswith("-") else int(digits)
    if points == 0:
        return "Zero changes nothing. 50 gives points, −50 takes them away."
    if abs(points) > MOST_POINTS:
        return f"At most {MOST_POINTS:,} points can be adjusted at a time."
    return points


def read_reason(typed: str) -> tuple[str, str | None]:
    """Tidy a reason up to one line; with it comes what is wrong with it, for people, or None."""
    reason = " ".join("".join(c if c.isprintable() else " " for c in typed).split())
    if not reason:
        return reason, "Give a reason: the customer reads it in the e-mail."
    if len(reason) > MOST_REASON:
        return reason, f"Make it shorter: {len(reason)} characters are more than {MOST_REASON}."
    return reason, None


def is_form_key(text: str) -> bool:
    """Tell whether a text is the kind of key we put into forms, so that sending one twice changes nothing."""
    return _FORM_KEY.fullmatch(text) is not None
