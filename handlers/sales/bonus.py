"""What of a sale earns more: by the campaigns of its own time, tags and channel, and by its customer's tier."""

from collections.abc import Iterable
from decimal import Decimal
from types import MappingProxyType
from typing import NamedTuple

from handlers.merchants.rules import Campaign, Earning, Program, Stays
from handlers.sales.rules import Bonus


class Held(NamedTuple):
    """The tier a sale's customer held when it was made, and by what it multiplies what the sale earns."""

    tier: str | None = None
    times: Decimal = Decimal(1)


NO_TIER = Held()


def held_under(program: Program, tier: str | None) -> Held:
    """Say what a tier does for a sale that earns under a programme; one that is not on its ladder does nothing."""
    one = program.tiers.ladder.get(tier) if tier is not None and program.tiers.enabled else None
    return NO_TIER if one is None else Held(tier, one.multiplier)


def differ(program: Program, one: str | None, other: str | None) -> bool:
    """Tell whether a sale that earns under a programme may earn something else with another tier."""
    if one == other:
        return False
    named = {tier for each in program.earning.campaigns.values() for tier in each.tiers}
    return held_under(program, one).times != held_under(program, other).times or not named.isdisjoint({one, other})


def per_unit(earning: Earning, campaign: str | None = None, times: Decimal = Decimal(1)) -> Decimal:
    """Points for one major unit of the programme's currency: the base rate, or what campaign and tier make of it.

    Both multiply the rate; a campaign's extra points are added after that, as they are; the programme's limit comes
    last. Exact.
    """
    points = earning.points_per_unit * times
    if campaign is not None:
        one = earning.campaigns[campaign]
        points = points * one.multiplier + one.extra_per_unit
    return points if earning.most_per_unit is None else min(points, earning.most_per_unit)


def running(
    earning: Earning, sold_at: int, tags: Iterable[str] = (), channel: str = "", held: Held = NO_TIER
) -> list[tuple[str, Campaign]]:
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
        and (not each.tiers or held.tier in each.tiers)
    ]
    return sorted(found, key=lambda pair: (-per_unit(earning, pair[0], held.times), pair[0]))


def bonuses(
    campaigns: Iterable[tuple[str, Campaign]],
    parts: Iterable[tuple[str | None, int]],
    sold_at: int = 0,
    stays: Stays = MappingProxyType({}),
) -> tuple[Bonus, ...]:
    """Share out money by product (None = of no product) among campaigns in order of preference.

    Each part goes to the first campaign that takes it, by where its product lay when it was sold. What none takes is
    left out.
    """
    ordered = list(campaigns)
    found: dict[str, int] = {}
    for product, minor in parts if ordered else ():
        for key, each in ordered:
            if _takes(each, product, sold_at, stays):
                found[key] = found.get(key, 0) + minor
                break
    return tuple(Bonus(key, minor) for key, minor in sorted(found.items()) if minor)


def _takes(campaign: Campaign, product: str | None, sold_at: int, stays: Stays) -> bool:
    """Tell whether a campaign is for a product: for all, or for this one, or for what it lay among."""
    if not campaign.products and not campaign.collections:
        return True
    if product is None:
        return False
    return product in campaign.products or any(
        stay.collection in campaign.collections
        and stay.since <= sold_at
        and (stay.until is None or sold_at < stay.until)
        for stay in stays.get(product, ())
    )
