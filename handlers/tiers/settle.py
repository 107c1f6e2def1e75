"""Settles people onto the ladder: where each stands by now, worked out from all they bought, and written down."""

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import structlog

from handlers.customers.identify import Moved
from handlers.customers.persons import persons
from handlers.ladder import Heard
from handlers.merchants.books import lock_books, save_books, shops
from handlers.merchants.rules import Program, Shop
from handlers.messages.outbox import Next, kept
from handlers.messages.outbox import tell as wish
from handlers.points.posting import Posting, post
from handlers.points.rules import ISSUED, MICRO, account
from handlers.points.standing import seen
from handlers.sales.bonus import differ
from handlers.sales.books import LoadedSale, Stamp, load_sales, stamps_of
from handlers.sales.rules import Sale
from handlers.sales.settle import all_or_each
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
MOST_SALES = 500  # of one person, read while the merchant's books are locked; with more they are left to the clock

log = structlog.get_logger()


class TierRanker:
    """The tiers capability as the ranker: where each sale's customer stands, and which tier it was made under."""

    name = "tiers"

    def __init__(self, heard: Heard | None = None) -> None:
        self.heard = heard

    def rank(self, sales: Sequence[Sale], now: int) -> Steps[dict[Key, str | None]]:
        """Place the customers of these sales; return the tier each held when the sale was made, by (merchant, sale)."""
        concerned = [sale for sale in sales if sale.customer is not None and _has_tiers(sale)]
        if not concerned:
            return {}
        known = {sale.shop.id: sale.shop for sale in concerned}
        people = {(sale.shop.id, sale.customer) for sale in concerned if sale.customer is not None}
        found = yield from place(known, people, now, concerned, heard=self.heard)
        lives = {(m, number): one for (m, _), one in found.items() for number in one.numbers}
        absent = people - lives.keys()
        kept = (yield from _kept(known, absent, now)) if absent else {}
        return {
            (sale.shop.id, sale.number): held(sale.worth.sold_at)
            for sale in concerned
            if sale.customer is not None
            # What the merchant gave a person by hand is forgotten with them; what they earned stays as it is.
            and not sale.facts.forgotten
            and (held := _held(lives, kept, (sale.shop.id, sale.customer))) is not None
            and sale.worth.sold_at is not None
        }


Held = Callable[[int], str | None]
"""Says which tier somebody held just before an instant."""


def _held(lives: Mapping[Key, "Placed"], kept: Mapping[Key, Held], who: Key) -> Held | None:
    return lives[who].tier_at if who in lives else kept.get(who)


def _kept(known: Mapping[int, Shop], people: Iterable[Key], now: int) -> Steps[dict[Key, Held]]:
    """Say which tiers people held who could not be placed at once, as the clock last found; by any of their numbers."""
    everybody = yield from persons(people)
    rows = yield from store.of_people(everybody)
    grants = yield from store.grants_of((m, number) for (m, _), numbers in everybody.items() for number in numbers)
    found: dict[Key, Held] = {}
    for (m, root), numbers in everybody.items():
        row = rows.get((m, root))
        if row is None or row.history is None:
            continue
        history = [(at, tier) for at, tier in json.loads(row.history)]
        given = [held for number in numbers if (held := grants.get((m, number)))]
        terms = terms_of(known[m].versions, now)
        says = partial(tier_at, history, given, terms)
        found |= {(m, number): says for number in numbers}
    return found


def _has_tiers(sale: Sale) -> bool:
    version = sale.earns_under
    return sale.shop.current.tiers.enabled or (version is not None and version.program.tiers.enabled)


def follow(moved: Sequence[Moved], now: int) -> Steps[None]:
    """Have who somebody turned out to be looked at anew: all they bought counts together from now on."""
    yield from store.stir({(one.merchant_id, n) for one in moved for n in (one.number, one.into)}, now)


class Bought(NamedTuple):
    """What of one sale tiers go by."""

    number: int
    merit: Merit
    sold_at: int | None
    tier: str | None  # its customer's when it was made, as far as that is known
    earns: Program | None  # None = whatever tier that was


class Ahead(NamedTuple):
    """Sales that were read before the books were locked: they count for as long as nothing of theirs has changed."""

    shop: Shop
    sales: Mapping[int, tuple[Stamp, Bought]]


class Placed(NamedTuple):
    """Where one person stands: by what they bought, and as it is shown."""

    numbers: Sequence[int]  # all they have had
    earned: Standing
    shown: Standing
    given: Sequence[Sequence[Grant]] = ()  # by hand, to each number apart
    terms: Sequence[Terms] = ()
    bought: Sequence[Bought] = ()  # what else they bought

    def tier_at(self, instant: int) -> str | None:
        """Say which tier the person held just before an instant."""
        return tier_at(self.earned.history, self.given, self.terms, instant)


def place(
    known: Mapping[int, Shop],
    people: Collection[Key],
    now: int,
    fresh: Sequence[Sale] = (),
    ahead: Ahead | None = None,
    heard: Heard | None = None,
) -> Steps[dict[Key, Placed]]:
    """Work out where people stand, by any of their numbers, and write it; return it by the number they go under.

    The merchants' books must be locked. `fresh` sales count as they are now: what is written of them is older. Who has
    more sales than are read under a lock is left to the clock, and out of what is returned.
    """
    found, many = yield from _worked_out(known, people, now, fresh, ahead, MOST_SALES)
    rows, gone = [], set(people) - found.keys() - many
    for (merchant_id, number), person in found.items():
        one = person.shown
        notice = next_notice(one, person.terms[-1].tiers, now) if person.terms else None
        due_at = min((at for at in (one.next_at, notice) if at is not None), default=None)
        history = json.dumps(person.earned.history) if len(person.bought) >= MOST_SALES else None
        if one.tier is None and due_at is None and history is None:
            gone.add((merchant_id, number))
        else:
            rows.append(Row(merchant_id, number, one.tier, one.since, one.until, one.falls_at, due_at, history))
    if heard is not None:
        yield from _say(heard, found, now)
    yield from store.keep(rows)
    if gone:
        yield from store.drop(gone)
    if many:
        yield from store.call(many, now)
    yield from _welcome(found, now)
    yield from _tell(found, now)
    # What is told late may have made somebody a regular sooner: what they bought since is settled again.
    moved = [(m, each.number) for (m, _), one in found.items() for each in one.bought if _earns_otherwise(each, one)]
    yield from store.settle_again(moved, now)
    return found


def _say(heard: Heard, found: Mapping[Key, Placed], now: int) -> Steps[None]:
    """Say whose tier is not the one that is written down."""
    kept = yield from store.of_people(found)
    moved: dict[int, list[int]] = {}
    for who, one in found.items():
        if one.shown.tier != (kept[who].tier if who in kept else None):
            moved.setdefault(who[0], []).append(who[1])
    for merchant_id, customers in sorted(moved.items()):
        yield from heard(merchant_id, customers, now)


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


def _earns_otherwise(one: Bought, person: Placed) -> bool:
    if one.earns is None or one.sold_at is None:
        return False
    return differ(one.earns, one.tier, person.tier_at(one.sold_at))


def placed(
    known: Mapping[int, Shop], people: Iterable[Key], now: int, ahead: Ahead | None = None
) -> Steps[dict[Key, Placed]]:
    """Work out where persons stand, by (merchant, the number they go under by now); nothing is written."""
    found, _ = yield from _worked_out(known, people, now, ahead=ahead)
    return found


def _worked_out(
    known: Mapping[int, Shop],
    people: Iterable[Key],
    now: int,
    fresh: Sequence[Sale] = (),
    ahead: Ahead | None = None,
    most: int | None = None,
) -> Steps[tuple[dict[Key, Placed], set[Key]]]:
    """Return where persons stand; and who has more sales to read than `most`."""
    everybody = yield from persons(people)
    root_of = {(m, number): (m, root) for (m, root), numbers in everybody.items() for number in numbers}
    bought, counted, many = yield from _sales(known, root_of, fresh, ahead, most)
    grants = yield from store.grants_of(root_of)
    terms = {merchant_id: terms_of(shop.versions, now) for merchant_id, shop in known.items()}
    found = {}
    for (merchant_id, root), numbers in everybody.items():
        if (merchant_id, root) in many:
            continue
        mine, others = terms[merchant_id], bought.get((merchant_id, root), [])
        merits = [*(each.merit for each in others), *counted.get((merchant_id, root), ())]
        earned = shown = stand(mine, merits, now)
        given = [held for number in numbers if (held := grants.get((merchant_id, number)))]
        if given and mine:
            shown = by_hand(earned, given, mine[-1].tiers, now)
        found[merchant_id, root] = Placed(numbers, earned, shown, given, mine, others)
    return found, many


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


def _sales(
    known: Mapping[int, Shop], root_of: Mapping[Key, Key], fresh: Sequence[Sale], ahead: Ahead | None, most: int | None
) -> Steps[tuple[dict[Key, list[Bought]], dict[Key, list[Merit]], set[Key]]]:
    """Return what each person bought, what their fresh sales count for, and who has more to read than `most`."""
    told = {(sale.shop.id, number) for sale in fresh for number in (sale.number, *sale.absorbed)}
    bought: dict[Key, list[Bought]] = {}
    unread: dict[Key, list[Key]] = {}
    for stamp in (yield from stamps_of(root_of)):
        key, root = (stamp.merchant_id, stamp.number), root_of[stamp.merchant_id, stamp.customer]
        was = ahead.sales.get(stamp.number) if ahead is not None and ahead.shop == known[stamp.merchant_id] else None
        if key in told:
            continue
        if was is not None and was[0] == stamp:
            bought.setdefault(root, []).append(was[1])
        else:
            unread.setdefault(root, []).append(key)
    many = {root for root, keys in unread.items() if most is not None and len(keys) > most}
    loaded = yield from load_sales(key for root, keys in unread.items() if root not in many for key in keys)
    for one in loaded:
        root_ = root_of.get((one.merchant_id, one.customer)) if one.customer is not None else None
        if one.merged_into is None and root_ is not None:
            bought.setdefault(root_, []).append(_bought(known[one.merchant_id], one))
    counted: dict[Key, list[Merit]] = {}
    for sale in fresh:
        root_ = root_of.get((sale.shop.id, sale.customer)) if sale.customer is not None else None
        if root_ is not None and root_ not in many:
            counted.setdefault(root_, []).append(merit(sale))
    return bought, counted, many


def _bought(shop: Shop, one: LoadedSale) -> Bought:
    sale = seen(shop, one)
    version = sale.earns_under if not sale.facts.forgotten else None
    return Bought(
        sale.number, merit(sale), sale.worth.sold_at, sale.tier, version.program if version is not None else None
    )


def read_ahead(shop: Shop, stamps: Collection[Stamp]) -> Steps[dict[int, tuple[Stamp, Bought]]]:
    """Read sales without a lock, each with the stamp it had; one that is gone, or another's by now, is left out."""
    wanted = {stamp.number: stamp.customer for stamp in stamps}
    loaded = yield from load_sales((shop.id, number) for number in wanted)
    return {
        one.number: (Stamp(shop.id, one.customer, one.number, one.revision, one.tier, one.twin), _bought(shop, one))
        for one in loaded
        if one.merged_into is None and one.customer is not None and one.customer == wanted[one.number]
    }


def look(
    merchant_id: int, people: Collection[int], now: int, ahead: Ahead | None = None, heard: Heard | None = None
) -> Steps[set[int]]:
    """Place people of one merchant whose time has come; one who cannot be is put off, and says so in the log.

    Returns who has more sales than are read under a lock: with those read `ahead`, who has bought too much since.
    """

    def put_off(customer: int, error: Exception) -> Steps[None]:
        log.error("tier_failed", merchant=merchant_id, customer=customer, exc_info=error)
        yield from store.call([(merchant_id, customer)], now + PUT_OFF)

    def settle(some: Collection[int]) -> Steps[set[int]]:
        return (yield from _look(merchant_id, some, now, ahead, heard))

    return set().union(*(yield from all_or_each(sorted(people), settle, put_off)))


def _look(
    merchant_id: int, people: Collection[int], now: int, ahead: Ahead | None = None, heard: Heard | None = None
) -> Steps[set[int]]:
    yield from lock_books([merchant_id])
    known = yield from shops([merchant_id])
    wanted = {(merchant_id, number) for number in people}
    found = yield from place(known, wanted, now, ahead=ahead, heard=heard)
    if len(found) == len(wanted):
        return set()
    done = {number for one in found.values() for number in one.numbers}
    return {root for _, root in (yield from persons((merchant_id, n) for n in people if n not in done))}
