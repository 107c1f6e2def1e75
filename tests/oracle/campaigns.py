"""What a sale's goods earn while campaigns run, piece by piece, by the clock on the shop's wall."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from tests.oracle.tellings import SECOND, Programme


def mean_rate(
    programme: Programme,
    timezone: str,
    sold_at: int,
    parts: Sequence[tuple[str | None, int]],
    tags: frozenset[str] = frozenset(),
    channel: str = "",
) -> Fraction:
    """Points for one unit of the programme's currency, over all parts of a sale: (product, money) each."""
    base = Fraction(str(programme.setting("earning", "points_per_unit", "3")))
    campaigns = [
        campaign
        for campaign in programme.setting("earning", "campaigns", {}).values()
        if _runs(campaign, timezone, sold_at)
        and (not campaign.get("tags") or tags & {tag.lower() for tag in campaign["tags"]})
        and (not campaign.get("channels") or channel in campaign["channels"])
    ]
    whole = sum(amount for _, amount in parts)
    if not whole:
        return base
    return sum((amount * _best(base, campaigns, product) for product, amount in parts), Fraction()) / whole


def _best(base: Fraction, campaigns: Iterable[dict[str, Any]], product: str | None) -> Fraction:
    """The most any one campaign gives for a product; never two together."""
    offers = [
        base * Fraction(str(campaign.get("multiplier", 1))) + Fraction(str(campaign.get("extra_per_unit", 0)))
        for campaign in campaigns
        if not campaign.get("products") or product in campaign["products"]
    ]
    return max([base, *offers])


def _runs(campaign: dict[str, Any], timezone: str, sold_at: int) -> bool:
    """Whether a campaign was on when something was sold; the stories keep off the hour that comes twice."""
    starts, ends = (datetime.fromisoformat(campaign[end]) for end in ("starts", "ends"))
    if len(campaign["ends"]) == len("2026-11-27"):
        ends += timedelta(days=1)
    return _reached(starts, timezone, sold_at) and not _reached(ends, timezone, sold_at)


def _reached(limit: datetime, timezone: str, sold_at: int) -> bool:
    moment = datetime.fromtimestamp(sold_at // SECOND, UTC)
    if limit.tzinfo is not None:
        return moment >= limit
    return moment.astimezone(ZoneInfo(timezone)).replace(tzinfo=None) >= limit
