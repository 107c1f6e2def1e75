"""Settles sales into what became of the rewards used on them: used, and given back as far as the goods came back."""

from collections.abc import Sequence

from handlers.merchants.books import Counters, lock_books
from handlers.merchants.rules import Shop
from handlers.rewards.changes import returning, settled
from handlers.rewards.feeds import stir
from handlers.rewards.rules import given_back, restored
from handlers.rewards.store import Redemption, by_codes, by_platform
from handlers.sales.rules import Sale
from integration.database.steps import Steps
from integration.facts import CustomerSeen, DiscountSeen, PromotionSeen


class RewardsSettler:
    """The rewards capability as a settler."""

    name = "rewards"

    def settle(self, sales: Sequence[Sale], now: int) -> Steps[dict[tuple[int, int], int]]:
        """Note which rewards each sale used, and restore their points in proportion; nothing changes by itself."""
        # Of several sales with one code the first counts, in whatever batch the others come.
        told, named = dict[tuple[int, str], Sale](), dict[tuple[int, str], Sale]()
        for sale in sorted((sale for sale in sales if _has_rewards(sale.shop)), key=_moment, reverse=True):
            told |= dict.fromkeys([(sale.shop.id, code) for code in _codes(sale)], sale)
            named |= dict.fromkeys([(sale.shop.id, name) for name in _promotions(sale)], sale)
        if not told and not named:
            return {}
        found = {*(yield from by_codes(told)), *(yield from by_platform(named))}
        told |= named
        counters = yield from lock_books({each.merchant_id for each in found})
        for each in sorted(found):
            sale = told.get((each.merchant_id, each.code or "")) or told[each.merchant_id, each.platform_id or ""]
            changed = used(each, sale)
            if changed != each:
                yield from settled(changed, counters[each.merchant_id], now)
        return {}


def hear(
    merchant_id: int,
    told: PromotionSeen | DiscountSeen | CustomerSeen,
    customer: int | None,
    counters: Counters,
    now: int,
) -> Steps[None]:
    """Note what Stripe tells of a promotion code: used (on which sale tells the session), or switched off by somebody.

    One that was switched off is looked at once more, and taken back. A discount that was changed at Shopify is looked
    at: what tells of it does not say whether it still holds, and may come late.
    """
    if isinstance(told, DiscountSeen):
        yield from stir(merchant_id, told.id, now)
    if not isinstance(told, PromotionSeen):
        return
    for each in (yield from by_codes([(merchant_id, told.code)])):
        if each.platform_id != told.id:
            continue
        if told.uses and each.state not in ("used", "refused"):
            used_now = each._replace(state="used", used_at=told.told_at, next_at=None, reason=None)
            yield from settled(used_now, counters, now)
        elif not told.uses and not told.active and each.state == "issued":
            yield from settled(returning(each, now), counters, now)


def used(redemption: Redemption, sale: Sale) -> Redemption:
    """Say what a redemption is once a sale was made with its code.

    The first sale that used it is the one that counts; a code that was used is used, whatever we thought before.
    """
    mine = (sale.number, *sale.absorbed)
    if redemption.state == "refused":
        return redemption
    if redemption.used_by not in (None, *mine) and (redemption.used_at or 0, redemption.used_by) <= _moment(sale):
        return redemption
    is_mine = redemption.used_by in mine
    bought, back = given_back(sale)
    now_used = redemption._replace(
        state="used",
        used_by=sale.number,
        used_at=redemption.used_at if is_mine else _moment(sale)[0],
        restored=restored(redemption.points, bought, back),
        reason=None,
    )
    # A code under a shared discount is taken off it, so that nobody else can use it again.
    if redemption.used_by is None and redemption.offer.shared and redemption.platform_id is not None:
        return now_used._replace(next_at=sale.created_at, attempts=0)
    return now_used._replace(next_at=redemption.next_at if redemption.offer.shared else None)


def _has_rewards(shop: Shop) -> bool:
    """Tell whether a shop has ever offered rewards: of all others no code was ours."""
    return any(version.program.rewards.catalogue for version in shop.versions)


def _moment(sale: Sale) -> tuple[int, int]:
    """When a sale was made; of two at once the one with the lower number."""
    return sale.worth.sold_at or sale.created_at, sale.number


def _codes(sale: Sale) -> tuple[str, ...]:
    order = sale.facts.order
    return () if order is None or sale.worth.test else order.codes


def _promotions(sale: Sale) -> set[str]:
    """Name the promotion codes used on a sale, as Stripe calls them."""
    if sale.worth.test:
        return set()
    return {name for session in sale.facts.sessions.values() if not session.failed for name in session.promotions}
