"""What the merchant does about somebody's tier by hand: gives one, higher or lower, or leaves it to what they buy."""

from handlers.customers.persons import persons
from handlers.ladder import Heard
from handlers.merchants.books import lock_books, shops
from handlers.merchants.journal import note
from handlers.merchants.rules import Refused, Shop
from handlers.tiers import store
from handlers.tiers.rules import Grant, in_force, laid_over
from handlers.tiers.settle import Ahead, place, placed
from handlers.tiers.store import Key
from integration.clock import to_iso
from integration.database.steps import Steps

MOST_WORDS = 500


def give(
    merchant_id: int,
    customer: int,
    tier: str | None,
    until: int | None,
    reason: str,
    who: str,
    now: int,
    heard: Heard | None = None,
    ahead: Ahead | None = None,
) -> Steps[str | None]:
    """Give somebody a tier (None: none at all) by hand, until an instant (None: for good); return the tier they have.

    What is higher than they earned is the least they have from now on, what is lower the most; a later word takes the
    place of this one. `ahead` is what of their sales was read before the books are locked. Raises Refused for a tier
    that is not on the ladder, no reason, or an end in the past.
    """
    reason = " ".join(reason.split())
    if not reason or len(reason) > MOST_WORDS:
        raise Refused(f"A tier given by hand needs a reason of 1 to {MOST_WORDS} characters.")
    if until is not None and until <= now:
        raise Refused("A tier given by hand ends in the future.")
    shop, me, numbers = yield from _whom(merchant_id, customer)
    tiers = in_force(shop.versions, now)
    if not tiers.enabled:
        raise Refused("Tiers are switched off.")
    if tier is not None and tier not in tiers.ladder:
        raise Refused(f"{tier} is not a tier; the tiers are {', '.join(key for key, _ in tiers.ascending)}.")
    earned = (yield from placed({shop.id: shop}, [me], now, ahead))[me].earned.tier
    is_floor = laid_over(earned, Grant(now, until, tier, True), tiers) == tier
    yield from store.end_grants([(shop.id, number) for number in numbers], now)
    yield from store.grant(me, Grant(now, until, tier, is_floor), who, reason)
    detail = {"earned": earned, "given": tier, "until": to_iso(until)}
    yield from note(shop.id, who, "gave a tier by hand", f"customer:{me[1]}", detail, now)
    return (yield from _placed(shop, me, now, heard, ahead))


def leave(
    merchant_id: int, customer: int, who: str, now: int, heard: Heard | None = None, ahead: Ahead | None = None
) -> Steps[str | None]:
    """Leave somebody's tier to what they buy again; return the tier they have. Nothing given changes nothing."""
    shop, me, numbers = yield from _whom(merchant_id, customer)
    if (yield from store.end_grants([(shop.id, number) for number in numbers], now)):
        yield from note(shop.id, who, "left a tier to purchases again", f"customer:{me[1]}", None, now)
    return (yield from _placed(shop, me, now, heard, ahead))


def _whom(merchant_id: int, customer: int) -> Steps[tuple[Shop, Key, list[int]]]:
    yield from lock_books([merchant_id])
    shop = (yield from shops([merchant_id])).get(merchant_id)
    found = yield from persons([(merchant_id, customer)])
    if shop is None or not found:
        raise Refused("There is no such customer.")
    ((me, numbers),) = found.items()
    return shop, me, numbers


def _placed(shop: Shop, me: Key, now: int, heard: Heard | None, ahead: Ahead | None) -> Steps[str | None]:
    yield from place({shop.id: shop}, [me], now, ahead=ahead, heard=heard)
    row = (yield from store.of_people([me])).get(me)
    return row.tier if row is not None else None
