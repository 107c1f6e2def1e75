"""What sales tell of persons, and what is left of a sale once its buyer is forgotten: what its points follow from."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from handlers.holders import Holder, Name, Sections, Subject
from handlers.merchants.books import shops
from handlers.merchants.rules import Shop
from handlers.sales.books import LoadedSale, load_sales
from handlers.sales.rules import SaleFacts
from handlers.sales.worth import buyer
from integration.clock import to_iso
from integration.database.steps import BIG, TEXT, Steps, ask, keyed, plain
from integration.facts import Buyer, Invoice, Order, OrderRefund

Places = Mapping[str | None, str]
"""Platform id -> what stands for it."""

_NOBODY = Buyer()
Told = TypeVar("Told", bound=Struct)
_OF_STRIPE = ("charges", "payments", "sessions", "invoices", "stripe_refunds", "disputes")
_REFERS = ("id", "payment_id", "invoice_id", "charge_id", "order_id")  # to what is on the platform
# What may tell of a person, and what is left of it.
_LEFT: Mapping[str, object] = {"country": None, "region": None, "order_ids": (), "promotions": ()}
_KEY = {"merchant_id": BIG, "number": BIG}

_SHOW = keyed(
    "SELECT s.number, s.name, s.sold_at, s.currency, s.total_minor, s.standing, s.facts"
    " FROM {keys} k CROSS JOIN sales s WHERE s.merchant_id = k.merchant_id AND s.number = k.number",
    **_KEY,
)
_NAMES = keyed(
    "SELECT DISTINCT i.platform, i.kind, i.value FROM {keys} k CROSS JOIN sale_identities i"
    " WHERE i.merchant_id = k.merchant_id AND i.sale = k.number",
    **_KEY,
)
_FORGET = keyed(
    "UPDATE sales SET facts = k.facts, name = NULL, email = NULL, platform_id = NULL, forgotten_at = k.at"
    " FROM {keys} k WHERE sales.merchant_id = k.merchant_id AND sales.number = k.number"
    " AND sales.forgotten_at IS NULL",
    **_KEY,
    facts=TEXT,
    at=BIG,
)
_NAMELESS = keyed(
    "DELETE FROM sale_identities WHERE (sale, merchant_id) IN (SELECT k.number, k.merchant_id FROM {keys} k)",
    **_KEY,
)
_WITHOUT_ADDRESS = keyed(
    "UPDATE sales SET facts = k.facts, email = NULL FROM {keys} k"
    " WHERE sales.merchant_id = k.merchant_id AND sales.number = k.number",
    **_KEY,
    facts=TEXT,
)
_LIVING = plain("SELECT number FROM sales WHERE merchant_id = ?1 AND forgotten_at IS NULL ORDER BY number LIMIT ?2")


def names_of(merchant_id: int, numbers: Iterable[int]) -> Steps[list[Name]]:
    """Return what names sales on their platforms: orders, charges, refunds and so on."""
    rows = yield from ask(_NAMES, [(merchant_id, number) for number in sorted(numbers)])
    return sorted((f"{platform}:{kind}", value) for platform, kind, value in rows)


def export(subject: Subject) -> Steps[Sections]:
    """Show what was bought, and everything the platforms told of it."""
    rows = yield from ask(_SHOW, [(subject.merchant_id, number) for number in sorted(subject.sales)])
    return {
        "sales": [
            {
                "number": number,
                "name": name,
                "sold_at": to_iso(sold_at),
                "currency": currency,
                "total_minor": total,
                "standing": standing,
                "told": json.loads(facts),
            }
            for number, name, sold_at, currency, total, standing, facts in rows
        ]
    }


def forget(subject: Subject, now: int) -> Steps[int]:
    """Take whoever bought out of sales; what they are worth, and to which number, stays as it is."""
    if not subject.sales:
        return 0
    merchant_id = subject.merchant_id
    loaded = yield from load_sales((merchant_id, number) for number in sorted(subject.sales))
    # What was joined into these keeps nothing of its own but may be named by it.
    joined = {number for sale in loaded for number in sale.absorbed} - {sale.number for sale in loaded}
    loaded += yield from load_sales((merchant_id, number) for number in sorted(joined))
    known = (yield from shops([merchant_id])).get(merchant_id)
    words = _spoken_of(known)
    rows = sorted((merchant_id, sale.number, _facts(nobody(sale.facts, words), sale), now) for sale in loaded)
    changed = yield from ask(_FORGET, rows)
    yield from ask(_NAMELESS, [row[:2] for row in rows])
    return changed[0][0] if changed else 0


def clear(merchant_id: int, limit: int, now: int) -> Steps[int]:
    """Take the buyers out of some of a shop's sales."""
    rows = yield from ask(_LIVING, (merchant_id, limit))
    return (yield from forget(Subject(merchant_id, sales=tuple(row[0] for row in rows)), now))


def take_addresses_out(merchant_id: int, numbers: Sequence[int], gone: frozenset[Name]) -> Steps[int]:
    """Take forgotten addresses and phones out of sales that are somebody else's; returns of how many."""
    loaded = yield from load_sales((merchant_id, number) for number in sorted(numbers))
    rows = []
    for sale in loaded:
        without = _each_buyer(sale.facts, lambda who: _without(who, gone))
        rows.append((merchant_id, sale.number, _facts(without, sale)))
    changed = yield from ask(_WITHOUT_ADDRESS, rows)
    return changed[0][0] if changed else 0


def is_anothers(facts: SaleFacts, mine: frozenset[Name]) -> bool:
    """Tell whether a sale is of a customer of the shop other than the person with these names."""
    who, _ = buyer(facts)
    # A Stripe customer or a guest is whoever has the address; a customer of the shop is themselves.
    return facts.order is not None and who.platform_id is not None and ("shopify", who.platform_id) not in mine


def nobody(facts: SaleFacts, words: frozenset[str]) -> SaleFacts:
    """Return facts as of nobody: amounts, instants, products and the shop's own words stay, all names go.

    Platform ids become places in their order, so that what refers to each other, and what comes first of two, is as
    before. Of an order's tags those stay that the programme speaks of (`words`, in one case).
    """
    places: Places = {name: f"{place:04d}" for place, name in enumerate(sorted(_ids(facts)), start=1)}
    scrubbed = SaleFacts(
        order=None if facts.order is None else _order(facts.order, places, words),
        order_deleted=facts.order_deleted,
        refunds={places[name]: _refund(one, places) for name, one in facts.refunds.items()},
        charges=_told(facts.charges, places),
        payments=_told(facts.payments, places),
        sessions=_told(facts.sessions, places),
        invoices=_told(facts.invoices, places),
        stripe_refunds=_told(facts.stripe_refunds, places),
        disputes=_told(facts.disputes, places),
        imported=facts.imported,
        forgotten=True,
    )
    return _each_buyer(scrubbed, lambda _: _NOBODY)


def _order(told: Order, places: Places, words: frozenset[str]) -> Order:
    return replace(
        told,
        id=places[told.id],
        digest="",
        name="",
        lines=tuple(replace(line, id=places[line.id], title="") for line in told.lines),
        refunds=tuple(_refund(one, places) for one in told.refunds),
        fulfilments=(),
        country=None,
        region=None,
        tags=tuple(tag for tag in told.tags if tag.casefold() in words),
        codes=(),
        payment_ids=(),
    )


def _refund(told: OrderRefund, places: Places) -> OrderRefund:
    lines = tuple(replace(line, line_id=places[line.line_id]) for line in told.lines)
    return replace(told, id=places[told.id], lines=lines)


def _told(kept: Mapping[str, Told], places: Places) -> dict[str, Told]:
    """Return what Stripe told as of nobody."""
    return {places[name]: replace(one, **_left_of(one, places)) for name, one in kept.items()}


def _left_of(told: Struct, places: Places) -> dict[str, object]:
    left = {name: value for name, value in _LEFT.items() if name in told.__struct_fields__}
    left |= {name: places.get(getattr(told, name)) for name in _REFERS if name in told.__struct_fields__}
    if isinstance(told, Invoice):
        left["payment_ids"] = tuple(places[paid] for paid in told.payment_ids)
    return left


def _ids(facts: SaleFacts) -> set[str]:
    """List every platform id in facts, those others are referred to by among them."""
    found: set[str | None] = set(facts.refunds)
    orders = [facts.order] if facts.order is not None else []
    for order in orders:
        found |= {order.id} | {line.id for line in order.lines}
    for refund in (*facts.refunds.values(), *(one for order in orders for one in order.refunds)):
        found |= {refund.id} | {line.line_id for line in refund.lines}
    for kind in _OF_STRIPE:
        kept = getattr(facts, kind)
        found |= {getattr(one, name, None) for one in kept.values() for name in _REFERS} | set(kept)
    found |= {paid for invoice in facts.invoices.values() for paid in invoice.payment_ids}
    return {one for one in found if one is not None}


def _each_buyer(facts: SaleFacts, change) -> SaleFacts:  # type: ignore[no-untyped-def]
    """Return facts with every buyer in them changed."""

    def of(kept: Mapping[str, object]) -> dict[str, object]:
        return {name: replace(one, buyer=change(one.buyer)) for name, one in kept.items()}  # type: ignore[type-var,attr-defined]

    order = facts.order
    return replace(
        facts,
        order=None if order is None else replace(order, buyer=change(order.buyer)),
        charges=of(facts.charges),
        payments=of(facts.payments),
        sessions=of(facts.sessions),
        invoices=of(facts.invoices),
    )


def _without(who: Buyer, gone: frozenset[Name]) -> Buyer:
    return replace(
        who,
        email=None if ("email", who.email) in gone else who.email,
        customer_email=None if ("email", who.customer_email) in gone else who.customer_email,
        phone=None if ("phone", who.phone) in gone else who.phone,
    )


def _spoken_of(shop: Shop | None) -> frozenset[str]:
    """List every word of a shop's programmes, in one case: an order's tag among them may decide what it earns."""
    found: set[str] = set()
    stack: list[object] = [version.program.model_dump() for version in shop.versions] if shop is not None else []
    while stack:
        match stack.pop():
            case str() as word:
                found.add(word.casefold())
            case dict() as section:
                stack += [*section.keys(), *section.values()]
            case list() | tuple() as several:
                stack += several
    return frozenset(found)


def _facts(facts: SaleFacts, sale: LoadedSale) -> str:
    return "{}" if sale.merged_into is not None else msgspec.json.encode(facts).decode()


HOLDER = Holder("sales", export, forget, clear)
