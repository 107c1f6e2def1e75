"""Settles people onto the ladder: where each stands by now, worked out from all they bought, and written down."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import structlog

from handlers.customers.identify import Moved
from handlers.customers.persons import persons
from handlers.merchants.books import lock_books, save_books, shops
from handlers.merchants.rules import Shop
from handlers.messages.outbox import Next, kept
from handlers.messages.outbox import tell as wish
from handlers.points.posting import Posting, post
from handlers.points.rules import ISSUED, MICRO, account
from handlers.points.standing import seen
from handlers.sales.bonus import differ
from handlers.sales.books import load_sales, sales_of
from handlers.sales.rules import Sale
from handlers.sales.settle import attempt
from handlers.tiers import store
from handlers.tiers.rules import (
    Grant,
    Merit,
    Standing,
    Terms,
    by_hand,
    entry_points,
    merit,
    news,
    news_keys,
    next_notice,
    stand,
    terms_of,
    tier_at,
)
from handlers.tiers.store import Key, Row
from integration.clock import HOUR
from integration.database.steps import Steps

PUT_OFF = HOUR  # of somebody who cannot be placed

log = structlog.get_logger()


class TierRanker:
    """The tiers capability as the ranker: where each sale's customer stands, and which tier it was made under."""

    name = "tiers"

    def rank(self, sales: Sequence[Sale], now: int) -> Steps[dict[Key, str | None]]:
        """Place the customers of these sales; return the tier each held when the sale was made, by (merchant, sale)."""
        concerned = [sale for sale in sales if sale.customer is not None and _has_tiers(sale)]
        if not concerned:
            return {}
        known = {sale.shop.id: sale.shop for sale in concerned}
        people = {(sale.shop.id, sale.customer) for sale in concerned if sale.customer is not None}
        found = yield from place(known, people, now, concerned)
        lives = {(m, number): one for (m, _), one in found.items() for number in one.numbers}
        return {
            (sale.shop.id, sale.number): one.tier_at(sale.worth.sold_at)
            for sale in concerned
            if sale.customer is not None
            # What the merchant gave a person by hand is forgotten with them; what they earned stays as it is.
            and not sale.facts.forgotten
            and (one := lives.get((sale.shop.id, sale.customer))) is not None
            and sale.worth.sold_at is not None
        }


def _has_tiers(sale: Sale) -> bool:
    version = sale.earns_under
    return sale.shop.current.tiers.enabled or (version is not None and version.program.tiers.enabled)


def follow(moved: Sequence[Moved], now: int) -> Steps[None]:
    """Have who somebody turned out to be looked at anew: all they bought counts together from now on."""
    yield from store.stir({(one.merchant_id, n) for one in moved for n in (one.number, one.into)}, now)


class Placed(NamedTuple):
    """Where one person stands: by what they bought, and as it is shown."""

    numbers: Sequence[int]  # all they have had
    earned: Standing
    shown: Standing
    given: Sequence[Sequence[Grant]] = ()  # by hand, to each number apart
    terms: Sequence[Terms] = ()
    others: Sequence[Sale] = ()  # what else they bought

    def tier_at(self, instant: int) -> str | None:
        """Say which tier the person held just before an instant."""
        return tier_at(self.earned.history, self.given, self.terms, instant)


def place(
    known: Mapping[int, Shop], people: Collection[Key], now: int, fresh: Sequence[Sale] = ()
) -> Steps[dict[Key, Placed]]:
    """Work out where people stand, by any of their numbers, and write it; return it by the number they go under.

    The merchants' books must be locked. `fresh` sales count as they are now: what is written of them is older.
    """
    found = yield from placed(known, people, now, fresh)
    rows, gone = [], set(people) - found.keys()
    for (merchant_id, number), person in found.items():
        one = person.shown
        notice = next_notice(one, person.terms[-1].tiers, now) if person.terms else None
        due_at = min((at for at in (one.next_at, notice) if at is not None), default=None)
        if one.tier is None and due_at is None:
            gone.add((merchant_id, number))
        else:
            rows.append(Row(merchant_id, number, one.tier, one.since, one.until, one.falls_at, due_at))
    yield from store.keep(rows)
    if gone:
        yield from store.drop(gone)
    yield from _welcome(found, now)
    yield from _tell(found, now)
    # What is told late may have made somebody a regular sooner: what they bought since is settled again.
    moved = [(m, sale.number) for (m, _), one in found.items() for sale in one.others if _earns_otherwise(sale, one)]
    yield from store.settle_again(moved, now)
    return found


def _tell(found: Mapping[Key, Placed], now: int) -> Steps[None]:
    """Want the letters whose time has come, each once, under whichever number of a person's it was first wanted."""
    due = [
        (who, one.numbers, each) for who, one in found.items() for each in news(one.earned, one.shown, one.terms, now)
    ]
    if not due:
        return
    keys = [[(who[0], key) for key in news_keys(each.kind, numbers, each.tail)] for who, numbers, each in due]
    have = yield from kept([key for names in keys for key in names])
    wanted: dict[int, list[tuple[int, Next]]] = {}
    for (who, _, each), names in zip(due, keys, strict=True):
        if not any(key in have for key in names):
            mine = news_keys(each.kind, [who[1]], each.tail)[0]
            wanted.setdefault(who[0], []).append((who[1], Next(mine, each.kind, now)))
    for merchant_id, letters in sorted(wanted.items()):
        yield from wish(merchant_id, letters, now)


def _earns_otherwise(sale: Sale, person: Placed) -> bool:
    version = sale.earns_under
    if version is None or sale.worth.sold_at is None or sale.facts.forgotten:
        return False
    return differ(version.program, sale.tier, person.tier_at(sale.worth.sold_at))


def placed(
    known: Mapping[int, Shop], people: Iterable[Key], now: int, fresh: Sequence[Sale] = ()
) -> Steps[dict[Key, Placed]]:
    """Work out where persons stand, by (merchant, the number they go under by now); nothing is written."""
    everybody = yield from persons(people)
    root_of = {(m, number): (m, root) for (m, root), numbers in everybody.items() for number in numbers}
    merits, others = yield from _merits(known, root_of, fresh)
    grants = yield from store.grants_of(root_of)
    terms = {merchant_id: terms_of(shop.versions, now) for merchant_id, shop in known.items()}
    found = {}
    for (merchant_id, root), numbers in everybody.items():
        mine = terms[merchant_id]
        earned = shown = stand(mine, merits.get((merchant_id, root), ()), now)
        given = [held for number in numbers if (held := grants.get((merchant_id, number)))]
        if given and mine:
            shown = by_hand(earned, given, mine[-1].tiers, now)
        bought = others.get((merchant_id, root), ())
        found[merchant_id, root] = Placed(numbers, earned, shown, given, mine, bought)
    return found


def welcomes(found: Mapping[Key, Placed]) -> Steps[dict[Key, tuple[str, int]]]:
    """Say who has points coming for the tier they reached by what they bought: which, and how many; once ever."""
    due = {
        who: (one.earned.tier, points)
        for who, one in found.items()
        if one.earned.tier is not None and (points := entry_points(one.earned, one.terms))
    }
    keys = [(m, _key(number, due[m, root][0])) for m, root in due for number in found[m, root].numbers]
    given = (yield from store.welcomed(keys)) if keys else set()
    return {
        (m, root): (tier, points)
        for (m, root), (tier, points) in sorted(due.items())
        if not any((m, _key(number, tier)) in given for number in found[m, root].numbers)
    }


def _welcome(found: Mapping[Key, Placed], now: int) -> Steps[None]:
    """Give people the points that come with the tier they reached."""
    due = yield from welcomes(found)
    postings = [
        Posting(m, _key(root, tier), ISSUED, account(root, "available"), points * MICRO, "tier_reward", detail=tier)
        for (m, root), (tier, points) in due.items()
    ]
    if postings:
        counters = yield from lock_books({posting.merchant_id for posting in postings})
        yield from post(postings, counters, now)
        yield from save_books(counters.values())


def _key(number: int, tier: str) -> str:
    return f"tier:{number}:{tier}"


def _merits(
    known: Mapping[int, Shop], root_of: Mapping[Key, Key], fresh: Sequence[Sale]
) -> Steps[tuple[dict[Key, list[Merit]], dict[Key, list[Sale]]]]:
    """What all sales of persons count for, each person's together; and the sales that are not fresh."""
    told = {(sale.shop.id, number) for sale in fresh for number in (sale.number, *sale.absorbed)}
    named = yield from sales_of(root_of)
    loaded = yield from load_sales((m, number) for m, _, number in named if (m, number) not in told)
    found: dict[Key, list[Merit]] = {}
    others: dict[Key, list[Sale]] = {}
    older = [seen(known[one.merchant_id], one) for one in loaded if one.merged_into is None]
    for place, sale in enumerate([*older, *fresh]):
        root = root_of.get((sale.shop.id, sale.customer)) if sale.customer is not None else None
        if root is not None and (counts := merit(sale)):
            found.setdefault(root, []).append(counts)
        if root is not None and place < len(older):
            others.setdefault(root, []).append(sale)
    return found, others


def look(merchant_id: int, people: Collection[int], now: int) -> Steps[int]:
    """Place people of one merchant whose time has come; one who cannot be is put off, and says so in the log."""
    done = yield from attempt(lambda: _look(merchant_id, people, now))
    if not isinstance(done, Exception):
        return done
    placed = 0
    for customer in sorted(people):
        alone = yield from attempt(lambda one=customer: _look(merchant_id, [one], now))  # type: ignore[misc]
        if isinstance(alone, Exception):
            log.error("tier_failed", merchant=merchant_id, customer=customer, exc_info=alone)
            yield from store.stir([(merchant_id, customer)], now + PUT_OFF)
        else:
            placed += alone
    return placed


def _look(merchant_id: int, people: Collection[int], now: int) -> Steps[int]:
    yield from lock_books([merchant_id])
    known = yield from shops([merchant_id])
    return len((yield from place(known, {(merchant_id, number) for number in people}, now)))
