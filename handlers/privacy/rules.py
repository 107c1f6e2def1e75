"""Who a fact speaks of, by names that are kept as digests only, and whether somebody forgotten is meant: pure."""

import hmac
from collections.abc import Collection, Mapping
from typing import Literal, NamedTuple

import msgspec

from handlers.holders import Name
from handlers.sales.rules import Identity, naming, of_sale
from integration.clock import DAY, MINUTE
from integration.facts import (
    Buyer,
    ChargeSeen,
    ConsentSeen,
    CustomerSeen,
    CustomersMerged,
    Fact,
    InvoiceSeen,
    OrderSeen,
    PaymentSeen,
    SessionSeen,
)

WITHIN = 30 * DAY  # what the platform, and the law, give us to carry a request out
SAME_REQUEST = 90 * DAY  # the same signed words again within this time are the same request
KEEP_FILES = 30 * DAY  # an export that nobody fetched
WAIT_FOR_FILES = 14 * DAY  # of a forgetting, at most, until a file of the same person has been fetched
LOOK_AGAIN = 10 * MINUTE  # whether it has been
WAIT_FOR_CODES = 21 * DAY  # of the same 30, at most, until unused codes of rewards are switched off at the platform
DIGEST = 40  # hexadecimal characters: 160 bits
LEAST_WORD = 4  # characters of a name that bodies are searched for

REDACT, DATA, SHOP = "customers/redact", "customers/data_request", "shop/redact"
AGAIN = "again"  # after a backup was put back: whoever it brought along is forgotten once more
KINDS = (REDACT, DATA, SHOP, AGAIN)


class Tombstone(NamedTuple):
    """Since when a name is nobody's; `back_at` = they bought again since. `note` outlives: why not to mail them."""

    forgotten_at: int
    back_at: int | None = None
    note: str | None = None


class Telling(NamedTuple):
    """Of whom a fact tells: what names its sale, what names its people, and when it was bought or told."""

    sale: tuple[Name, ...]
    people: tuple[Name, ...] = ()
    bought_at: int | None = None  # None = it tells of no purchase
    told_at: int = 0
    of_shop: Name | None = None  # the customer of the shop it is about: somebody of their own, whatever their address


class Verdict(NamedTuple):
    """What becomes of a fact; `names` are those to be taken out of it, or those who are back with it."""

    kind: Literal["pass", "stop", "strip", "back"]
    names: tuple[Name, ...] = ()


def digest(key: bytes, name: Name) -> str:
    """Write a name so that only who has the key can tell whether another is the same."""
    kind, value = name
    return hmac.digest(key, f"{kind}\0{plainest(kind, value)}".encode(), "sha256").hex()[:DIGEST]


def plainest(kind: str, value: str) -> str:
    """Write a name the one way it is compared: addresses in lower case, phones by their digits."""
    if kind == "phone":
        return "".join(c for c in value if c.isdigit())
    return value.strip().lower() if kind == "email" else value


def telling(fact: Fact) -> Telling | None:
    """Say of whom a fact tells; None for one that is about nobody."""
    sale = tuple((f"{i.platform}:{i.kind}", i.value) for i in _named(fact))
    match fact:
        case OrderSeen(order=order):
            bought_at = order.created_at or order.processed_at or order.updated_at
            of_shop = ("shopify", order.buyer.platform_id) if order.buyer.platform_id else None
            return Telling(sale, _people(order.buyer, "shopify"), bought_at, order.updated_at, of_shop)
        case ChargeSeen(charge=charge):
            return Telling(sale, _people(charge.buyer, "stripe"), charge.created_at)
        case PaymentSeen(payment=payment):
            return Telling(sale, _people(payment.buyer, "stripe"), payment.created_at)
        case SessionSeen(session=session):
            return Telling(sale, _people(session.buyer, "stripe"), session.created_at)
        case InvoiceSeen(invoice=invoice):
            return Telling(sale, _people(invoice.buyer, "stripe"), invoice.told_at)
        case CustomerSeen(platform=platform, buyer=buyer, told_at=told_at, former_email=former):
            people = (*_people(buyer, platform), *([("email", former)] if former else []))
            of_shop = ("shopify", buyer.platform_id) if platform == "shopify" and buyer.platform_id else None
            return Telling((), people, None, told_at, of_shop)
        case ConsentSeen(platform=platform, customer_id=customer_id, address=address, told_at=told_at):
            of_shop = (platform, customer_id) if customer_id else None
            kind = "email" if fact.channel == "email" else "phone"
            people = (*([of_shop] if of_shop else []), *([(kind, address)] if address else []))
            return Telling((), people, None, told_at, of_shop)
        case CustomersMerged(kept_id=kept, gone_id=gone):
            return Telling((), (("shopify", kept), ("shopify", gone)))
    return Telling(sale) if sale else None


def judge(told: Telling, dead: Mapping[Name, Tombstone]) -> Verdict:
    """Decide what becomes of a fact, by the tombstones of the names in it.

    A sale that was forgotten stays so. What was bought until then is not told of again; what is bought later is a new
    customer's. Other words about somebody forgotten are let through only once they bought again, and if they are
    newer than the forgetting. A customer of the shop who is not forgotten is never taken for somebody else by an
    address alone: it is only taken out of what is older than the forgetting.
    """
    if any(name in dead for name in told.sale):
        return Verdict("stop")
    met = [name for name in told.people if name in dead]
    if not met:
        return Verdict("pass")
    is_another = told.of_shop is not None and told.of_shop not in dead
    if told.bought_at is not None:
        old = [name for name in met if told.bought_at <= dead[name].forgotten_at]
        if not old:
            return Verdict("back", tuple(met))
        return Verdict("strip", tuple(old)) if is_another else Verdict("stop")
    old = [name for name in met if told.told_at <= dead[name].forgotten_at]
    if is_another:
        return Verdict("strip", tuple(old)) if old else Verdict("pass")
    gone = [name for name in met if dead[name].back_at is None]
    return Verdict("stop") if old or gone else Verdict("pass")


def without(fact: Fact, names: Collection[Name]) -> Fact:
    """Take addresses and phones out of a fact that is somebody else's."""
    replace = msgspec.structs.replace
    match fact:
        case OrderSeen(order=order):
            return replace(fact, order=replace(order, buyer=_unnamed(order.buyer, names)))
        case CustomerSeen(buyer=buyer, former_email=former):
            left = None if ("email", former) in names else former
            return replace(fact, buyer=_unnamed(buyer, names), former_email=left)
        case ConsentSeen():
            return replace(fact, address=None)
    return fact


def _named(fact: Fact) -> tuple[Identity, ...]:
    if not of_sale(fact):
        return ()
    found = naming(fact)  # type: ignore[arg-type]
    return found.strong if found.weak is None else (*found.strong, found.weak)


def _people(buyer: Buyer, platform: str) -> tuple[Name, ...]:
    told = (
        (platform, buyer.platform_id),
        ("email", buyer.email),
        ("email", buyer.customer_email),
        ("phone", buyer.phone),
    )
    return tuple(dict.fromkeys((kind, value) for kind, value in told if value))


def _unnamed(buyer: Buyer, names: Collection[Name]) -> Buyer:
    return msgspec.structs.replace(
        buyer,
        email=None if ("email", buyer.email) in names else buyer.email,
        customer_email=None if ("email", buyer.customer_email) in names else buyer.customer_email,
        phone=None if ("phone", buyer.phone) in names else buyer.phone,
    )
