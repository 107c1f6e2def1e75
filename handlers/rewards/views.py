"""Rewards as a customer's page is shown them: what is offered to whom, and what somebody has."""

from collections.abc import Mapping, Sequence

from handlers.customers.persons import numbers_of, root_of
from handlers.merchants.connections import shop_of
from handlers.merchants.offers import BIT_BY_BIT
from handlers.merchants.rules import Shop
from handlers.rewards import changes, jobs, store
from handlers.rewards.changes import Wish, holdings
from handlers.rewards.kinds import discounts_off
from handlers.rewards.rules import KEEPS, Holdings, is_code, most_steps, obstacle
from handlers.rewards.store import Redemption
from handlers.spending import Offer, Taken
from integration.database.steps import Steps, ask, plain

_OFF = plain("SELECT count(*) FROM discounts_off WHERE merchant_id = ?1 AND since_at >= ?2 AND since_at < ?3")
_REFUSED = plain(
    "SELECT count(*) FROM (SELECT closed_at FROM redemptions WHERE merchant_id = ?1 AND state = 'refused'"
    " ORDER BY number DESC LIMIT ?4) r WHERE closed_at >= ?2 AND closed_at < ?3"
)
_WAITING = plain(
    "SELECT count(*) FROM (SELECT asked_at FROM redemptions WHERE merchant_id = ?1 AND state = 'asked'"
    " ORDER BY number LIMIT ?4) r WHERE asked_at >= ?2 AND asked_at < ?3"
)
MOST_COUNTED = 1_000


def switched_off(merchant_id: int, since: int, until: int) -> Steps[int]:
    """Count the shared discounts that are off at the shop, by when we noticed."""
    return int((yield from ask(_OFF, (merchant_id, since, until)))[0][0])


def refused(merchant_id: int, since: int, until: int) -> Steps[int]:
    """Count the rewards that could not be made, by when they were given up; of the last thousand of them."""
    return int((yield from ask(_REFUSED, (merchant_id, since, until, MOST_COUNTED)))[0][0])


def waiting(merchant_id: int, since: int, until: int) -> Steps[int]:
    """Count the rewards that are still being made, by when they were wanted; a thousand at most."""
    return int((yield from ask(_WAITING, (merchant_id, since, until, MOST_COUNTED)))[0][0])


class Counter:
    """What pages of customers may ask about rewards (`Context.spending`)."""

    bell = jobs.BELL

    def __init__(self, platforms: Mapping[str, str | None]) -> None:
        """`platforms` maps kinds of rewards to the platform that is asked for them."""
        self._platforms = platforms

    def offers(self, shop: Shop, customer: int, now: int) -> Steps[Sequence[Offer]]:
        """List the rewards that are offered and this shop can make, the cheapest first."""
        rewards = shop.current.rewards
        offered = {
            name: each
            for name, each in rewards.catalogue.items()
            if rewards.enabled and each.enabled and now < each.ends_at and self._can_make(shop, each.kind)
        }
        root = ((yield from root_of(shop.id, customer)) if customer else None) or 0
        numbers = (yield from numbers_of(shop.id, root)) if root else []
        off = {(one.reward, one.terms) for one in (yield from discounts_off.known(shop.id))}
        offered = {name: each for name, each in offered.items() if (name, store.terms_of(each)) not in off}
        # The tier is looked up for a reward that asks for one.
        first = next((name for name, each in offered.items() if each.tiers), "")
        mine = (yield from holdings(shop, root, numbers, first)) if root else Holdings(0)
        had = yield from store.of_people(shop.id, numbers)
        found = []
        for name, each in offered.items():
            taken = sum(1 for one in had if one.reward == name and one.state in KEEPS)
            by_all = (yield from store.taken(shop.id, name)) if each.stock is not None else 0
            here = mine._replace(taken=taken, taken_by_all=by_all)
            hindrance = obstacle(rewards, each, 1, here, now)
            steps = most_steps(each, max(0, mine.available)) if hindrance is None else 0
            found.append(Offer(name, each, steps, hindrance))
        return sorted(found, key=lambda offer: (offer.reward.points, offer.id))

    def taken(self, shop: Shop, customer: int) -> Steps[Sequence[Taken]]:
        """List what a person has had under all their numbers, the newest first."""
        root = yield from root_of(shop.id, customer)
        if root is None:
            return []
        numbers = yield from numbers_of(shop.id, root)
        domain = yield from shop_of(shop.id)
        return [self._shown(each, domain) for each in (yield from store.of_people(shop.id, numbers))]

    def redeem(self, shop: Shop, customer: int, reward: str, steps: int, key: str, now: int) -> Steps[int]:
        """Set points aside for a reward and have it made; see `changes.redeem`."""
        wish = Wish(shop.id, customer, reward, steps, key)
        return (yield from changes.redeem(wish, self._platforms, now)).number

    def give_back(self, shop: Shop, customer: int, number: int, now: int) -> Steps[None]:
        """Have an unused reward of this person taken back; see `changes.cancel`."""
        yield from changes.cancel(shop.id, number, customer, now)

    def _can_make(self, shop: Shop, kind: str) -> bool:
        platform = self._platforms.get(kind)
        return kind in self._platforms and (platform is None or platform in shop.platforms)

    def _shown(self, one: Redemption, domain: str | None) -> Taken:
        there = one.state in ("issued", "returning")
        return Taken(
            number=one.number,
            reward=one.offer,
            steps=one.steps,
            points=one.points,
            value_minor=one.value_minor,
            currency=one.currency,
            state=one.state,
            # Until the platform has made it, it is none that works anywhere.
            code=one.code if there else None,
            typed=is_code(one.kind) or one.kind == "gift_card",
            shop=domain if self._platforms.get(one.kind) == "shopify" else None,
            taken_at=one.asked_at,
            expires_at=one.expires_at,
            left_minor=one.left_minor if one.kind in BIT_BY_BIT else None,
        )
