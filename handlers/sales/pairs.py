"""Suspected twins: one purchase told by Shopify and by Stripe without an identity in common."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from handlers.merchants.rules import Shop
from handlers.sales.books import LoadedSale, origin
from integration.clock import MINUTE
from integration.database.steps import BIG, TEXT, Steps, ask, keyed

PAIR_WINDOW = 15 * MINUTE

_LIKE = keyed(
    "SELECT s.merchant_id, s.number, s.platform, s.platform_id, s.email, s.total_minor, s.currency, s.test,"
    " s.sold_at, s.paired_with"
    " FROM {keys} k CROSS JOIN sales s"
    " WHERE s.merchant_id = k.merchant_id AND s.email = k.email AND s.total_minor = k.total_minor"
    " AND s.merged_into IS NULL",
    merchant_id=BIG,
    email=TEXT,
    total_minor=BIG,
)


class Candidate(NamedTuple):
    """What of a sale decides whether it is another's twin."""

    number: int
    platform: str
    platform_id: str
    sold_at: int
    twin: int | None


Likeness = tuple[int, str, int, str, bool]  # merchant, e-mail, total, currency, test


def pair_twins(
    shops: Mapping[int, Shop], live: Sequence[LoadedSale], gone: Sequence[LoadedSale], now: int
) -> Steps[None]:
    """Match the batch's sales with their like, one to one by nearest time (settlement rules, section 2).

    Sets `twin` on the sales in `live`; those outside the batch whose twin changes, or is among those `gone` into
    another sale, are settled again at once by the clock.
    """
    concerned = [s for s in live if _on_both_platforms(shops[s.merchant_id]) or s.twin is not None]
    parted = [s for s in gone if s.twin is not None]
    if not concerned and not parted:
        return
    by_number = {(s.merchant_id, s.number): s for s in live}
    likes = {key for s in concerned if (key := _likeness(s)) is not None}
    stored = yield from ask(_LIKE, sorted({(m, email, total) for m, email, total, _, _ in likes}))
    groups: dict[Likeness, dict[int, Candidate]] = {like: {} for like in likes}
    for merchant_id, number, platform, platform_id, email, total, currency, test, sold_at, twin in stored:
        like = (merchant_id, email, total, currency, bool(test))
        fresh = by_number.get((merchant_id, number))
        if fresh is None and like in groups and platform is not None and sold_at is not None:
            groups[like][number] = Candidate(number, platform, platform_id, sold_at, twin)
    for sale in live:
        if (like_ := _likeness(sale)) is not None and like_ in groups:
            platform_, platform_id_ = origin(sale.facts)
            assert platform_ is not None and platform_id_ is not None and sale.worth.sold_at is not None
            groups[like_][sale.number] = Candidate(sale.number, platform_, platform_id_, sale.worth.sold_at, sale.twin)

    changed: dict[tuple[int, int], int | None] = {}
    lost = [s for s in concerned if s.twin is not None and _likeness(s) is None]
    for sale in lost:
        changed[sale.merchant_id, sale.number] = None
    for sale in (*lost, *parted):
        if sale.twin is not None:
            changed.setdefault((sale.merchant_id, sale.twin), None)
    for (merchant_id, *_), group in groups.items():
        pairs = nearest_pairs(group.values())
        for number, candidate in group.items():
            if pairs.get(number) != candidate.twin:
                changed[merchant_id, number] = pairs.get(number)
                if candidate.twin is not None and candidate.twin not in group:
                    changed.setdefault((merchant_id, candidate.twin), None)
    elsewhere = [key for key in changed if key not in by_number]
    yield from ask(_REPAIR, [(m, n, changed[m, n], now) for m, n in sorted(elsewhere)])
    for place, partner in changed.items():
        if (known := by_number.get(place)) is not None:
            known.twin = partner
            known.changed = True


_REPAIR = keyed(
    "UPDATE sales SET paired_with = k.twin, settle_at = k.at FROM {keys} k"
    " WHERE sales.merchant_id = k.merchant_id AND sales.number = k.number AND sales.merged_into IS NULL",
    merchant_id=BIG,
    number=BIG,
    twin=BIG,
    at=BIG,
)


def _on_both_platforms(shop: Shop) -> bool:
    # What was sold before a platform was disconnected may be told after it.
    return len(shop.platforms | shop.closed.keys()) > 1


def _likeness(sale: LoadedSale) -> Likeness | None:
    worth = sale.worth
    if sale.email is None or worth.sold_at is None or worth.currency is None or origin(sale.facts)[0] == "both":
        return None
    return (sale.merchant_id, sale.email, worth.paid_minor, worth.currency, worth.test)


def nearest_pairs(candidates: Iterable[Candidate]) -> dict[int, int]:
    """Match orders with payments one to one, the nearest in time first, within a quarter of an hour."""
    every: Sequence[Candidate] = list(candidates)
    payments = sorted((c for c in every if c.platform == "stripe"), key=lambda c: c.sold_at)
    times = [payment.sold_at for payment in payments]
    near = []
    for order in (c for c in every if c.platform == "shopify"):
        # Only those in reach are compared: a till's one address may have thousands of like sales.
        first, end = bisect_left(times, order.sold_at - PAIR_WINDOW), bisect_right(times, order.sold_at + PAIR_WINDOW)
        near += [
            (abs(order.sold_at - p.sold_at), order.platform_id, p.platform_id, order.number, p.number)
            for p in payments[first:end]
        ]
    pairs: dict[int, int] = {}
    for _, _, _, order_number, payment_number in sorted(near):
        if order_number not in pairs and payment_number not in pairs:
            pairs[order_number] = payment_number
            pairs[payment_number] = order_number
    return pairs
