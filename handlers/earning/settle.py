"""Settles people to what the occasions of their life with the shop should have brought them by now."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import structlog

from handlers.customers.identify import Moved
from handlers.customers.persons import names_of, persons
from handlers.customers.rounds import look_anew
from handlers.earning import store
from handlers.earning.rules import (
    MESSAGES,
    Aim,
    Award,
    Given,
    Person,
    Purchase,
    aim,
    is_news,
    message_keys,
    purchase,
    tells,
)
from handlers.earning.store import Key
from handlers.holders import Name
from handlers.merchants.books import Counters, lock_books, save_books, shops
from handlers.merchants.rules import Shop
from handlers.messages.outbox import Next, kept, tell
from handlers.messages.zones import zone, zone_of
from handlers.points.expiry import has_terms, settle_people
from handlers.points.posting import Posting, post
from handlers.points.rules import Move, Target, account, moves
from handlers.points.standing import seen
from handlers.sales.books import load_sales, sales_of
from handlers.sales.rules import Sale
from handlers.sales.settle import all_or_each
from integration.clock import HOUR
from integration.database.steps import Steps
from integration.facts import CustomerSeen, DiscountSeen, PromotionSeen

PUT_OFF = HOUR  # of somebody who cannot be settled

log = structlog.get_logger()

# By what an occasion begins with: what its entry is called.
REASONS = {
    "sign_up": "sign_up",
    "order": "first_order",
    "milestone": "order_milestone",
    "birthday": "birthday",
    "anniversary": "anniversary",
}
MOVED = {"release": "gift_release", "hold": "gift_hold", "reversal": "gift_reversed"}
ALL_REASONS = sorted({*REASONS.values(), *MOVED.values()})


class EarningSettler:
    """The earning capability as a settler: whoever bought is looked at soon; that is all it costs the hot path."""

    name = "earning"

    def settle(self, sales: Sequence[Sale], now: int) -> Steps[dict[tuple[int, int], int]]:
        """Have the customers of these sales looked at, where the shop gives anything for orders; it wakes no sale."""
        people = {
            (sale.shop.id, sale.customer)
            for sale in sales
            if sale.customer is not None
            and not sale.worth.test
            and any(version.program.ways.by_orders for version in sale.shop.versions)
        }
        if people:
            yield from store.stir(people, now)
        return {}


def hear(
    merchant_id: int,
    told: PromotionSeen | DiscountSeen | CustomerSeen,
    customer: int | None,
    counters: Counters,
    now: int,
) -> Steps[None]:
    """Note that somebody opened an account."""
    if isinstance(told, CustomerSeen) and told.joined_at is not None and customer is not None:
        yield from store.join((merchant_id, customer), told.joined_at, now)


def follow(moved: Sequence[Moved], now: int) -> Steps[None]:
    """Have who somebody turned out to be looked at anew: their orders count together, what both got is one."""
    if not moved:
        return
    known = yield from shops({one.merchant_id for one in moved})
    giving = {m for m, shop in known.items() if any(version.program.ways.occasions for version in shop.versions)}
    people = {(one.merchant_id, n) for one in moved for n in (one.number, one.into)}
    yield from store.stir({who for who in people if who[0] in giving}, now)


def catch_up(merchant_id: int, left_at: int, now: int) -> Steps[None]:
    """Have everybody looked at, now that a shop is back: of the days that passed meanwhile some still count."""
    yield from look_anew(store.MARKS, merchant_id)


class Stand(NamedTuple):
    """How one person stands: everything told of them, and what they should have been given."""

    numbers: Sequence[int]  # all they have had, the present one first
    given: Sequence[Given]
    aim: Aim


def names_in(shop: Shop, people: Collection[int]) -> Steps[dict[int, set[Name]]]:
    """Say what names the persons some numbers mean, by the number they go under by now."""
    found = yield from persons((shop.id, number) for number in people)
    by_number = yield from names_of((shop.id, n) for (_, root), numbers in found.items() for n in numbers)
    return {
        root: {name for n in numbers for name in by_number.get((shop.id, n), ())}
        for (_, root), numbers in found.items()
    }


def stands(shop: Shop, people: Collection[int], forgotten: Mapping[int, int], now: int) -> Steps[dict[int, Stand]]:
    """Work out how persons stand, by the number they go under by now; nothing is written.

    `forgotten` says of whom we know, by that number, when they asked to be forgotten under the name they had before.
    """
    found = yield from persons((shop.id, number) for number in people)
    numbers = sorted((shop.id, n) for named in found.values() for n in named)
    joined = yield from store.joined(numbers)
    lives = yield from store.lives(numbers)
    given = yield from store.given(numbers)
    bought = yield from _purchases(shop, numbers)
    result = {}
    for key, named in found.items():
        mine = [(shop.id, n) for n in named]
        before = [one for n in mine for one in given.get(n, ())]
        person = Person(
            zone_of(lives[key].country, lives[key].region) or zone(shop.timezone),
            min((joined[n] for n in mine if n in joined), default=None),
            max((day for n in mine if (day := lives[n].birthday) is not None), key=lambda b: b.told_at, default=None),
            sorted(one for n in mine for one in bought.get(n, ())),
            before,
            forgotten.get(key[1]),
        )
        result[key[1]] = Stand(named, before, aim(shop, person, now))
    return result


def _purchases(shop: Shop, numbers: Iterable[Key]) -> Steps[dict[Key, list[Purchase]]]:
    named = yield from sales_of(numbers)
    loaded = yield from load_sales((m, number) for m, _, number in named)
    found: dict[Key, list[Purchase]] = {}
    for one in loaded:
        if one.merged_into is None and one.customer is not None and (counts := purchase(seen(shop, one))) is not None:
            found.setdefault((shop.id, one.customer), []).append(counts)
    return found


def look(merchant_id: int, people: Collection[int], forgotten: Mapping[int, int], now: int) -> Steps[int]:
    """Settle people of one merchant whose time has come; one who cannot be is put off, and says so in the log."""

    def put_off(customer: int, error: Exception) -> Steps[None]:
        log.error("earning_failed", merchant=merchant_id, customer=customer, exc_info=error)
        yield from store.looked([(merchant_id, customer)], {(merchant_id, customer): now + PUT_OFF})

    def settle(some: Collection[int]) -> Steps[int]:
        return (yield from _look(merchant_id, some, forgotten, now))

    return sum((yield from all_or_each(sorted(people), settle, put_off)))


def _look(merchant_id: int, people: Collection[int], forgotten: Mapping[int, int], now: int) -> Steps[int]:
    counters = yield from lock_books([merchant_id])
    shop = (yield from shops([merchant_id]))[merchant_id]
    found = yield from stands(shop, people, forgotten, now)
    postings: list[Posting] = []
    changed: list[Given] = []
    richer: set[int] = set()
    news: list[tuple[int, Sequence[int], str]] = []
    for root, one in found.items():
        before = {(row.customer, row.occasion): row for row in one.given}
        held = {award.occasion: award.held_until for award in one.aim.awards}
        for row, made in owed(merchant_id, root, one, now):
            changed.append(row)
            postings += made
            if made:
                richer.add(root)
            was = before.get((row.customer, row.occasion), row._replace(pending=0, available=0))
            if is_news(was, row, held.get(row.occasion, 0), now):
                news.append((root, one.numbers, row.occasion))
    if postings:
        yield from post(postings, counters, now)
    yield from store.give(merchant_id, changed)
    yield from _tell(shop, news, now)
    if richer and has_terms(shop):
        # What is taken back after it has lapsed is not taken twice.
        yield from settle_people(shop, richer, counters[merchant_id], now)
    if postings:
        yield from save_books(counters.values())
    numbers = {(merchant_id, n) for one in found.values() for n in one.numbers} | {(merchant_id, n) for n in people}
    coming = {(merchant_id, root): one.aim.next_at for root, one in found.items() if one.aim.next_at is not None}
    yield from store.looked(numbers, {key: at for key, at in coming.items() if at is not None})
    return len(found)


def _tell(shop: Shop, news: Sequence[tuple[int, Sequence[int], str]], now: int) -> Steps[None]:
    """Want the letter about each gift, once, under whichever number of a person's it was first wanted."""
    ways = shop.current.ways
    due = [one for one in news if tells(ways, MESSAGES[one[2].partition(":")[0]])]
    if not due:
        return
    keys = [message_keys(occasion, numbers) for _, numbers, occasion in due]
    have = yield from kept([(shop.id, key) for names in keys for key in names])
    wanted = [
        (root, Next(message_keys(occasion, [root])[0], MESSAGES[occasion.partition(":")[0]], now))
        for (root, _, occasion), names in zip(due, keys, strict=True)
        if not any((shop.id, key) in have for key in names)
    ]
    if wanted:
        yield from tell(shop.id, wanted, now)


def owed(merchant_id: int, root: int, one: Stand, now: int) -> Iterable[tuple[Given, list[Posting]]]:
    """List the occasions of which something is missing or too much: what its row will say, and the entries to it."""
    wanted = {award.occasion: award for award in one.aim.awards}
    kept: dict[str, Given] = {}
    for row in sorted(one.given, key=lambda each: (not each.points, each.at, each.customer)):
        # Of two people who are one, the first who was given something for an occasion keeps it.
        kept.setdefault(row.occasion, row)
    rows = [*one.given, *(_nothing(root, award) for name, award in wanted.items() if name not in kept)]
    for row in rows:
        award = wanted.get(row.occasion) if kept.get(row.occasion, row) is row else None
        after, postings = _settled(merchant_id, root, row, award, now)
        if after != row or postings:
            yield after, postings


def _nothing(root: int, award: Award) -> Given:
    return Given(root, award.occasion, award.at, award.version, 0, 0, 0)


def _settled(merchant_id: int, root: int, row: Given, award: Award | None, now: int) -> tuple[Given, list[Posting]]:
    whole = award.micropoints if award is not None else 0
    pending = whole if award is not None and award.held_until > now else 0
    places = (account(root, "pending"), account(root, "available"))
    posted = {places[0]: row.pending, places[1]: row.available}
    wanted = {name: n for name, n in zip(places, (pending, whole - pending), strict=True) if n}
    postings = [_posting(merchant_id, row, move, n) for n, move in enumerate(moves(posted, Target(wanted)))]
    at, version = (award.at, award.version) if award is not None else (row.at, row.version)
    after = row._replace(
        at=at,
        version=version,
        pending=pending,
        available=whole - pending,
        postings=row.postings + len(postings),
    )
    return after, postings


def _posting(merchant_id: int, row: Given, move: Move, n: int) -> Posting:
    kind, _, which = row.occasion.partition(":")
    return Posting(
        merchant_id,
        f"earn:{row.customer}:{row.occasion}:{row.postings + n}",
        move.source,
        move.destination,
        move.micropoints,
        REASONS[kind] if move.reason == "accrual" else MOVED.get(move.reason, move.reason),
        detail=f"order {which}" if kind == "milestone" else None,
    )
