"""Suspected twins: one purchase told by Shopify and by Stripe without an identity in common."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from handlers.merchants.rules import Shop
from handlers.sales.books import LoadedSale, origin
from handlers.sales.rules import SaleFacts
from handlers.sales.worth import was_paid
from integration.clock import HOUR, MINUTE
from integration.database.steps import BIG, TEXT, Steps, ask, keyed

PAIR_WINDOW = 15 * MINUTE
LIKE_REACH = (
    6 * HOUR
)  # how far around a sale its like are looked at: each pair may free another a quarter of an hour on
MOST_LIKE = 5_000  # like sales of one batch that are compared; a till's one address may have more

_FACTS = msgspec.json.Decoder(SaleFacts)

# Only money that was taken makes a twin: what was called off since needs a look at its order.
_LIKE = keyed(
    "SELECT s.merchant_id, s.number, s.platform, s.platform_id, s.email, s.total_minor, s.currency, s.test,"
    " s.sold_at, s.paired_with, CASE WHEN s.standing IN ('cancelled', 'deleted') THEN s.facts END, s.standing"
    " FROM {keys} k CROSS JOIN sales s"
    " WHERE s.merchant_id = k.merchant_id AND s.email = k.email AND s.total_minor = k.total_minor"
    " AND s.sold_at BETWEEN k.since AND k.until AND s.merged_into IS NULL"
    " AND s.standing IN ('counted', 'elsewhere', 'cancelled', 'deleted')"
    f" LIMIT {MOST_LIKE}",
    merchant_id=BIG,
    email=TEXT,
    total_minor=BIG,
    since=BIG,
    until=BIG,
)


class Candidate(NamedTuple):
    """What of a sale decides whether it is another's twin."""

    number: int
    platform: str
    platform_id: str
    sold_at: int
    twin: int | None


Likeness = tuple[int, str, int, str, bool]  # merchant, e-mail, total, currency, test


_Key = tuple[int, int]  # merchant, sale
_Groups = dict[Likeness, dict[int, Candidate]]


def pair_twins(
    shops: Mapping[int, Shop], live: Sequence[LoadedSale], gone: Sequence[LoadedSale]
) -> Steps[dict[_Key, int | None]]:
    """Match the batch's sales with their like, one to one by nearest time (settlement rules, section 2).

    Sets `twin` on the sales in `live`; returns the new twin of those outside the batch whose twin changes, or is
    among those `gone` into another sale.
    """
    # A sale whose buyer was forgotten has no likeness left; its twin was forgotten with it.
    concerned = [
        s for s in live if not s.facts.forgotten and (_on_both_platforms(shops[s.merchant_id]) or s.twin is not None)
    ]
    parted = [s for s in gone if s.twin is not None]
    if not concerned and not parted:
        return {}
    by_number = {(s.merchant_id, s.number): s for s in live}
    groups = yield from _groups(live, gone, concerned)
    changed: dict[_Key, int | None] = {}
    lost = [s for s in concerned if s.twin is not None and _likeness(s) is None]
    for sale in lost:
        changed[sale.merchant_id, sale.number] = None
    for sale in (*lost, *parted):
        if sale.twin is not None:
            changed.setdefault((sale.merchant_id, sale.twin), None)
    for sale in parted:
        sale.twin = None
    moving = by_number.keys() | {(s.merchant_id, s.number) for s in gone}
    for (merchant_id, *_), group in groups.items():
        free = [c for c in group.values() if c.twin is None or c.twin in group or (merchant_id, c.twin) in moving]
        pairs = nearest_pairs(free)
        for number, _, _, _, twin in free:
            if pairs.get(number) != twin:
                changed[merchant_id, number] = pairs.get(number)
                if twin is not None and twin not in group:
                    changed.setdefault((merchant_id, twin), None)
    for place, partner in changed.items():
        if (known := by_number.get(place)) is not None:
            known.twin = partner
            known.changed = True
    return {key: partner for key, partner in changed.items() if key not in by_number}


def _groups(live: Sequence[LoadedSale], gone: Sequence[LoadedSale], concerned: Sequence[LoadedSale]) -> Steps[_Groups]:
    """Bring together what is alike: the sales at hand, and those around them in time."""
    moments: dict[Likeness, list[int]] = {}
    for sale in concerned:
        if (like := _likeness(sale)) is not None:
            moments.setdefault(like, []).append(sale.worth.sold_at or 0)
    reach: dict[tuple[int, str, int], tuple[int, int]] = {}
    for (merchant_id, email, total, _, _), at in moments.items():
        since, until = reach.get((merchant_id, email, total), (min(at), max(at)))
        reach[merchant_id, email, total] = (min(since, *at), max(until, *at))
    keys = [(*what, since - LIKE_REACH, until + LIKE_REACH) for what, (since, until) in sorted(reach.items())]
    stored = yield from ask(_LIKE, keys)
    here = {(s.merchant_id, s.number) for s in (*live, *gone)}
    groups: _Groups = {like: {} for like in moments}
    for merchant_id, number, platform, platform_id, email, total, currency, test, sold_at, twin, facts, word in stored:
        like = (merchant_id, email, total, currency, bool(test))
        if (merchant_id, number) in here or like not in groups or platform is None:
            continue
        if facts is None or was_paid(_FACTS.decode(facts), word):
            groups[like][number] = Candidate(number, platform, platform_id, sold_at, twin)
    for sale in live:
        if (like_ := _likeness(sale)) is not None and like_ in groups:
            platform_, platform_id_ = origin(sale.facts)
            assert platform_ is not None and platform_id_ is not None and sale.worth.sold_at is not None
            groups[like_][sale.number] = Candidate(sale.number, platform_, platform_id_, sale.worth.sold_at, sale.twin)
    return groups


def pair_later(twins: Mapping[_Key, int | None], now: int) -> Steps[None]:
    """Write new twins of sales outside the batch, to be settled again by the clock."""
    yield from ask(_REPAIR, [(m, n, twin, now) for (m, n), twin in sorted(twins.items())])


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
    if worth.standing != "elsewhere" and not was_paid(sale.facts, worth.standing):
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
