"""Stripe's values as ours: references, money, instants, people, and the Shopify orders named in metadata."""

from typing import NamedTuple

import msgspec

from integration.clock import SECOND
from integration.errors import Unreadable
from integration.facts import Buyer, Home
from integration.money import from_stripe

LONGEST_ID = 255
LONGEST_TEXT = 255
LATEST_SECOND = 10**10
MOST_MINOR = 10**14  # micropoints of more would not fit a 64-bit column
MOST_ORDER_IDS = 10
SHORTEST_ORDER_ID = 12  # digits; shorter numbers under `order_id` are some other shop's


class Referred(msgspec.Struct):
    """An object where Stripe expanded what is mostly only its id."""

    id: str | None = None


Reference = str | Referred | None


class Address(msgspec.Struct):
    country: str | None = None
    state: str | None = None
    line1: str | None = None
    line2: str | None = None
    postal_code: str | None = None


class Person(msgspec.Struct):
    """Billing details, customer details, shipping: they all look like this."""

    email: str | None = None
    name: str | None = None
    phone: str | None = None
    address: Address | None = None


class CustomerReferred(msgspec.Struct):
    id: str | None = None
    email: str | None = None
    name: str | None = None
    phone: str | None = None
    deleted: bool | None = None


CustomerReference = str | CustomerReferred | None


class Telling(NamedTuple):
    """Who told an object: an event, or our own look at the API."""

    topic: str
    told_at: int  # microseconds
    livemode: bool
    former_email: str | None = None


def id_of(reference: Reference | CustomerReference) -> str | None:
    """Return the id of an object told by id or in full; None for null. Raises Unreadable for no id."""
    text = reference if reference is None or isinstance(reference, str) else reference.id
    if not text:
        return None
    if len(text) > LONGEST_ID or not text.isascii() or not text.isprintable():
        raise Unreadable("an id is not an id")
    return text


def named_id(reference: Reference | CustomerReference, what: str) -> str:
    """Return an id that must be there. Raises Unreadable naming `what` lacks it."""
    found = id_of(reference)
    if found is None:
        raise Unreadable(f"{what} has no id")
    return found


def currency_of(code: str | None) -> str:
    """Return an upper-case ISO currency code. Raises Unreadable where there is none."""
    if code is None or len(code) != 3 or not code.isascii() or not code.isalpha():
        raise Unreadable("it names no currency")
    return code.upper()


def minor_of(amount: int | None, currency: str) -> int:
    """Return Stripe's amount as our minor units; None counts as nothing. Raises Unreadable out of range."""
    if amount is None:
        return 0
    if abs(amount) > MOST_MINOR:
        raise Unreadable("an amount of money is out of range")
    return from_stripe(amount, currency)


def instant_of(seconds: int | None, what: str) -> int:
    """Return unix seconds in microseconds. Raises Unreadable where they are missing or out of range."""
    if seconds is None or not 0 < seconds < LATEST_SECOND:
        raise Unreadable(f"{what} does not tell when it was made")
    return seconds * SECOND


def email_of(text: str | None) -> str | None:
    """Return an e-mail address in lower case and trimmed; None for what cannot be one."""
    if not text:
        return None
    text = text.strip().lower()
    return text if 3 <= len(text) <= 320 and "@" in text[1:-1] and text.isprintable() else None


def text_of(text: str | None) -> str | None:
    """Return trimmed text, cut at 255 characters; None for an empty one."""
    return (text.strip()[:LONGEST_TEXT] or None) if text else None


def buyer_of(customer: CustomerReference, person: Person | None, *emails: str | None) -> Buyer:
    """Return who bought: the customer's id, and of each detail the first that is told, the person's first.

    `emails` are further addresses, best first; an expanded customer's own comes last.
    """
    record = customer if isinstance(customer, CustomerReferred) else CustomerReferred()
    person = person or Person()
    name = (person.name or record.name or "").strip()
    # Some forms ask for a name and get an address.
    first, _, last = ("" if "@" in name else name).partition(" ")
    addresses = (email_of(one) for one in (person.email, *emails, record.email))
    return Buyer(
        platform_id=id_of(customer),
        email=next((one for one in addresses if one), None),
        first_name=text_of(first),
        last_name=text_of(last),
        phone=text_of(person.phone or record.phone),
    )


def place_of(*people: Person | None) -> tuple[str | None, str | None]:
    """Return country and region of the first of `people` whose address names a country."""
    for person in people:
        address = (person.address if person else None) or Address()
        country = address.country or ""
        if len(country) == 2 and country.isascii() and country.isalpha():
            return country.upper(), text_of(address.state)
    return None, None


def home_of(person: Person | None) -> Home | None:
    """Return where something is sent to; None where the address is not whole."""
    address = person.address if person is not None else None
    if address is None or not address.line1 or not address.postal_code or not address.country:
        return None
    return Home(address.country, address.postal_code, address.line1, address.line2 or "")


def order_ids_of(metadata: dict[str, object] | None) -> tuple[str, ...]:
    """Return the Shopify orders an integration named in metadata.

    `shopify_order_id` always means one; `order_id` only as a gid://shopify/Order/… or with at least 12
    digits, since every other shop software writes its own numbers there.
    """
    found: dict[str, None] = {}
    for key, shortest in (("shopify_order_id", 1), ("order_id", SHORTEST_ORDER_ID)):
        value = (metadata or {}).get(key)
        text = str(value).strip() if isinstance(value, str | int) else ""
        if text.startswith("gid://shopify/Order/"):
            text, shortest = text.removeprefix("gid://shopify/Order/").partition("?")[0], 1
        if text.isascii() and text.isdigit() and shortest <= len(text) <= 20:
            found[text.lstrip("0")] = None
    found.pop("", None)
    return tuple(found)[:MOST_ORDER_IDS]
