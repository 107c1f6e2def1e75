"""Which campaign gives more for what of a sale, by the sale's own time, tags and channel."""

from collections.abc import Iterable
from decimal import Decimal

from handlers.merchants.rules import Campaign, Earning
from handlers.sales.rules import Bonus


def per_unit(earning: Earning, campaign: str | None = None) -> Decimal:
    """Points for one major unit of the programme's currency: the base rate, or what a campaign makes of it; exact."""
    if campaign is None:
        return earning.points_per_unit
    one = earning.campaigns[campaign]
    return earning.points_per_unit * one.multiplier + one.extra_per_unit


def running(earning: Earning, sold_at: int, tags: Iterable[str] = (), channel: str = "") -> list[tuple[str, Campaign]]:
    """List the campaigns a sale has part in with some of its goods, those that give most first.

    Two that give the same come in the order of their ids. A payment without an order has no tags and no channel.
    """
    if not earning.campaigns:
        return []
    worn, from_channel = {tag.casefold() for tag in tags}, channel.casefold()
    found = [
        (key, each)
        for key, each in earning.campaigns.items()
        if each.starts_at <= sold_at < each.ends_at
        and (not each.tags or any(tag.casefold() in worn for tag in each.tags))
        and (not each.channels or any(one.casefold() == from_channel for one in each.channels))
    ]
    return sorted(found, key=lambda pair: (-per_unit(earning, pair[0]), pair[0]))


def bonuses(campaigns: Iterable[tuple[str, Campaign]], parts: Iterable[tuple[str | None, int]]) -> tuple[Bonus, ...]:
    """Share out money by product (None = of no product) among campaigns in order of preference.

    Each part goes to the first campaign that takes it. What none takes is left out.
    """
    ordered = list(campaigns)
    found: dict[str, int] = {}
    for product, minor in parts if ordered else ():
        for key, each in ordered:
            if not each.products or product in each.products:
                found[key] = found.get(key, 0) + minor
                break
    return tuple(Bonus(key, minor) for key, minor in sorted(found.items()) if minor)
