"""Who would move on the ladder if the merchant changed it: counted before it is saved, page by page."""

from collections import Counter
from dataclasses import replace

from handlers.merchants.books import shops
from handlers.merchants.rules import Shop, Version
from handlers.merchants.tiering import Tiers
from handlers.tiers import store
from handlers.tiers.settle import placed
from integration.clock import SECOND
from integration.database.steps import Steps

Moves = Counter[tuple[str | None, str | None]]
"""(Tier now, tier then) -> how many people; those who stay where they are among them."""


def moves(merchant_id: int, tiers: Tiers, after: int, limit: int, now: int) -> Steps[tuple[Moves, int | None]]:
    """Count where a page of customers stands now and would stand in a second with other tiers, by their facts.

    Returns also behind whom the next page begins; None = that was all. Nothing is written.
    """
    page = yield from store.customers_after(merchant_id, after, limit)
    shop = (yield from shops([merchant_id]))[merchant_id]
    people = [(merchant_id, number) for number in page]
    then = now - now % SECOND + SECOND
    before = yield from placed({merchant_id: shop}, people, now)
    later = yield from placed({merchant_id: _with(shop, tiers, then)}, people, then)
    found = Counter((before[who].shown.tier, later[who].shown.tier) for who in people)
    return found, page[-1] if len(page) == limit else None


def _with(shop: Shop, tiers: Tiers, at: int) -> Shop:
    """Show a shop as it would be with other tiers from an instant on."""
    if tiers.ladder and not tiers.timezone:
        tiers = tiers.model_copy(update={"timezone": shop.timezone})
    number = shop.versions[-1].number + 1 if shop.versions else 1
    program = shop.current.model_copy(update={"tiers": tiers})
    return replace(shop, versions=(*shop.versions, Version(number, at, program)))
