"""Where people stand on the ladder, as they are shown it, and who would move if the merchant changed it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from handlers.customers.persons import customers_after, names_of, persons
from handlers.ladder import Place, Rung, Shift
from handlers.merchants.books import shops
from handlers.merchants.rules import Shop, Version
from handlers.merchants.tiering import Tier, Tiers
from handlers.points.rules import MICRO
from handlers.sales.books import sales_of
from handlers.tiers import store
from handlers.tiers.rules import in_force
from handlers.tiers.settle import Placed, placed, welcomes
from handlers.tiers.store import Key
from integration.clock import SECOND
from integration.database.steps import Steps
from integration.money import exponent

MOST_SALES = 1_000  # of a person whose standing is worked out while they wait


class View:
    """What pages may ask about tiers (`Context.ladder`)."""

    def moves(
        self, merchant_id: int, tiers: Tiers, after: int, limit: int, now: int
    ) -> Steps[tuple[Shift, int | None]]:
        """Count where a page of customers stands, and would stand with other tiers (see `moves`)."""
        return (yield from moves(merchant_id, tiers, after, limit, now))

    def place(self, shop: Shop, customer: int, now: int) -> Steps[Place | None]:
        """Say where a person stands now, worked out from all they bought; None where there are no tiers.

        For one with very many sales what was last written down is said, without what is missing.
        """
        tiers = in_force(shop.versions, now)
        people = (yield from persons([(shop.id, customer)])) if tiers.enabled else {}
        if not people:
            return None
        ((who, numbers),) = people.items()
        if len((yield from sales_of((shop.id, number) for number in numbers))) > MOST_SALES:
            row = (yield from store.of_people([who])).get(who)
            tier = tiers.ladder.get(row.tier or "") if row is not None else None
            until = row.kept_until if row is not None and tier is not None else None
            return Place(tiers.by, tiers.over, _rung(shop, tiers, tier), until, None, 0, None, 0)
        one = (yield from placed({shop.id: shop}, [who], now))[who]
        tier = tiers.ladder.get(one.shown.tier or "")
        above = [each for _, each in tiers.ascending if each.threshold > (tier.threshold if tier is not None else -1)]
        # Who was given nothing more than a tier does not rise by buying.
        is_held = one.earned.tier is not None and _takes(tiers, one.earned.tier) > _takes(tiers, one.shown.tier)
        ahead = (
            next((each for each in above if each.threshold * MICRO > one.shown.score), None) if not is_held else None
        )
        return Place(
            by=tiers.by,
            over=tiers.over,
            tier=_rung(shop, tiers, tier),
            until=one.shown.until if tier is not None else None,
            falls_at=one.shown.falls_at,
            to_keep=whole(shop, tiers, one.shown.missing, up=True),
            next=_rung(shop, tiers, ahead),
            have=whole(shop, tiers, one.shown.score),
        )


def _rung(shop: Shop, tiers: Tiers, tier: Tier | None) -> Rung | None:
    if tier is None:
        return None
    return Rung(tier.name, whole(shop, tiers, tier.threshold * MICRO), tier.perks, tier.multiplier)


def _takes(tiers: Tiers, name: str | None) -> int:
    tier = tiers.ladder.get(name or "")
    return tier.threshold if tier is not None else -1


def whole(shop: Shop, tiers: Tiers, millionths: int, up: bool = False) -> int:
    """Turn millionths into what is shown: whole points, or minor units."""
    units = 1 if tiers.by == "points" else 10 ** exponent(shop.currency)
    return -(-millionths * units // MICRO) if up else millionths * units // MICRO


def moves(merchant_id: int, tiers: Tiers, after: int, limit: int, now: int) -> Steps[tuple[Shift, int | None]]:
    """Count where a page of customers stands now and would stand in a second with other tiers, and what they would get.

    Returns also behind whom the next page begins; None = that was all. Nothing is written.
    """
    page = yield from customers_after(merchant_id, after, limit)
    shop = (yield from shops([merchant_id]))[merchant_id]
    people = [(merchant_id, number) for number in page]
    then = now - now % SECOND + SECOND
    before = yield from placed({merchant_id: shop}, people, now)
    later = yield from placed({merchant_id: _with(shop, tiers, then)}, people, then)
    found = Counter((before[who].shown.tier, later[who].shown.tier) for who in people)
    given = Counter(tier for tier, _ in (yield from welcomes(later)).values())
    tagged, untagged = yield from _tags(before, later)
    return Shift(found, given, tagged, untagged), page[-1] if len(page) == limit else None


def _tags(before: Mapping[Key, Placed], later: Mapping[Key, Placed]) -> Steps[tuple[Counter[str], Counter[str]]]:
    """Count who would get which tag at Shopify, and who would lose it."""
    changes = {who: (_tag(before[who]), _tag(one)) for who, one in later.items() if _tag(one) != _tag(before[who])}
    if not changes:
        return Counter(), Counter()
    names = yield from names_of((m, number) for m, root in changes for number in later[m, root].numbers)
    known = [
        tags
        for (m, root), tags in changes.items()
        if any(kind == "shopify" for number in later[m, root].numbers for kind, _ in names.get((m, number), ()))
    ]
    return Counter(tag for _, tag in known if tag), Counter(tag for tag, _ in known if tag)


def _tag(one: Placed) -> str:
    tiers = one.terms[-1].tiers if one.terms else Tiers()
    tier = tiers.ladder.get(one.shown.tier or "") if tiers.enabled else None
    return tier.tag if tier is not None else ""


def _with(shop: Shop, tiers: Tiers, at: int) -> Shop:
    """Show a shop as it would be with other tiers from an instant on."""
    if tiers.ladder and not tiers.timezone:
        tiers = tiers.model_copy(update={"timezone": shop.timezone})
    number = shop.versions[-1].number + 1 if shop.versions else 1
    program = shop.current.model_copy(update={"tiers": tiers})
    return replace(shop, versions=(*shop.versions, Version(number, at, program)))
