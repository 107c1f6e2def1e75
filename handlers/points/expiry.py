"""Points that lapse: settled for each person to a target, as sales are, and posted as the difference."""

import re
from collections.abc import Collection, Iterable, Sequence

import structlog

from handlers.customers.persons import roots_of
from handlers.merchants.books import Counters, lock_books, save_books, shops
from handlers.merchants.rules import Shop
from handlers.messages.outbox import Kept, Next, kept, tell
from handlers.points.lots import Lots, months_later, play, terms_of
from handlers.points.posting import Posting, post
from handlers.points.purses import Purse, purses
from handlers.points.rules import EXPIRED, MICRO, account
from handlers.sales.rules import Sale
from handlers.sales.settle import all_or_each
from integration.clock import DAY, HOUR, to_datetime
from integration.database.steps import BIG, Steps, ask, insert, keyed, plain

KIND = "points_expiring"
LOOK_AGAIN = 7 * DAY  # at somebody whose points lapse one day; shorter than the shortest period
PUT_OFF = HOUR  # of somebody whose points cannot be worked out
PEOPLE_AT_ONCE = 100  # whose points are read together

log = structlog.get_logger()

_LAPSED = keyed(
    "SELECT x.merchant_id, x.customer FROM {keys} k CROSS JOIN expiries x"
    " WHERE x.merchant_id = k.merchant_id AND x.customer = k.customer AND x.expired > 0",
    merchant_id=BIG,
    customer=BIG,
)
_KEEP = insert(
    "expiries",
    "ON CONFLICT (merchant_id, customer) DO UPDATE SET due_at = excluded.due_at, expired = excluded.expired",
    merchant_id=BIG,
    customer=BIG,
    due_at=BIG,
    expired=BIG,
)
_DROP = keyed(
    "DELETE FROM expiries WHERE (merchant_id, customer) IN (SELECT k.merchant_id, k.customer FROM {keys} k)",
    merchant_id=BIG,
    customer=BIG,
)
_STIR = keyed(
    "UPDATE expiries SET due_at = k.at FROM {keys} k"
    " WHERE expiries.merchant_id = k.merchant_id AND expiries.customer = k.customer",
    merchant_id=BIG,
    customer=BIG,
    at=BIG,
)
_HOLDERS = plain(
    "SELECT a.account FROM accounts a WHERE a.merchant_id = ?1 AND a.account > ?2 AND a.micropoints > 0"
    " ORDER BY a.account LIMIT ?3"
)
_ENROL = insert(
    "expiries",
    "ON CONFLICT (merchant_id, customer) DO UPDATE SET due_at = excluded.due_at WHERE expiries.due_at IS NULL",
    merchant_id=BIG,
    customer=BIG,
    due_at=BIG,
    expired=BIG,
)
_PUT_OFF = plain("UPDATE expiries SET due_at = ?3 WHERE merchant_id = ?1 AND customer = ?2")


def has_terms(shop: Shop) -> bool:
    """Tell whether points ever could lapse in a shop."""
    return any(version.program.expiry.enabled for version in shop.versions)


def settle_people(
    shop: Shop, people: Collection[int], counters: Counters, now: int, fresh: Sequence[Sale] = ()
) -> Steps[int]:
    """Post for each person (by any of their numbers) what has lapsed by now minus what is posted; say how many were.

    The merchant's books must be locked, and be saved afterwards. `fresh` are sales of the merchant that are written
    after this. What lapsed and should not have, since a sale was told of late or has changed, is given back.
    """
    roots = yield from roots_of(shop.id, people)
    yield from ask(_DROP, [(shop.id, number) for number in sorted(set(people) - roots.keys())])
    everybody = sorted(set(roots.values()))
    for start in range(0, len(everybody), PEOPLE_AT_ONCE):
        some = everybody[start : start + PEOPLE_AT_ONCE]
        found = yield from purses(shop, some, fresh)
        yield from _settle(shop, [found[root] for root in some], counters, now)
    return len(everybody)


def settle_before_taking(merchant_id: int, people: Collection[int], counters: Counters, now: int) -> Steps[None]:
    """Post what has lapsed of some people's points, before somebody takes points away by hand.

    The clock comes to it a little later: until then a balance still shows what is not there to be taken. The
    merchant's books must be locked, and be saved afterwards.
    """
    shop = (yield from shops([merchant_id])).get(merchant_id)
    if shop is not None and has_terms(shop):
        yield from settle_people(shop, people, counters, now)


def _settle(shop: Shop, people: Sequence[Purse], counters: Counters, now: int) -> Steps[None]:
    terms = terms_of(shop.versions, now)
    stand = [(mine, play(terms, mine.story, now)) for mine in people]
    postings = (_posting(shop.id, mine, lots.lapsed - mine.expired) for mine, lots in stand)
    yield from post([posting for posting in postings if posting is not None], {shop.id: counters}, now)
    looks = [(mine, lots, _next_look(shop, lots, now)) for mine, lots in stand]
    held = {mine.number for mine, lots, due_at in looks if due_at is not None or lots.lapsed}
    yield from ask(_DROP, [(shop.id, each) for mine, _ in stand for each in mine.numbers if each not in held])
    yield from ask(
        _KEEP, [(shop.id, mine.number, due_at, lots.lapsed) for mine, lots, due_at in looks if mine.number in held]
    )
    yield from _remind(shop, [(mine, lots) for mine, lots in stand if mine.number in held], now)


def _posting(merchant_id: int, mine: Purse, change: int) -> Posting | None:
    """Move what has lapsed and is not posted (below zero: what is posted and had not lapsed); None = nothing has."""
    if not change:
        return None
    places = (account(mine.number, "available"), EXPIRED)
    source, destination = places if change > 0 else reversed(places)
    reason = "expiry" if change > 0 else "reinstatement"
    return Posting(merchant_id, f"expire:{mine.number}:{mine.postings}", source, destination, abs(change), reason)


def _next_look(shop: Shop, lots: Lots, now: int) -> int | None:
    """Say when to look at somebody again; None where nothing can lapse as things are."""
    if lots.next_at is None:
        return None
    days = (0, *notices(shop))
    instants = (lot.lapses_at - each * DAY for lot in lots.left if lot.lapses_at is not None for each in days)
    return min((at for at in instants if now < at < now + LOOK_AGAIN), default=now + LOOK_AGAIN)


def notices(shop: Shop) -> tuple[int, ...]:
    """List how many days before their points lapse people are told, where the shop does tell them, the most first.

    A notice that would come before the points do is none.
    """
    expiry = shop.current.expiry
    return tuple(days for days in expiry.notice_days if days < 28 * expiry.months) if expiry.remind else ()


def _remind(shop: Shop, people: Sequence[tuple[Purse, Lots]], now: int) -> Steps[None]:
    """Want the notices whose time has come; one for all that lapses within a month, and each notice once."""
    due = [(mine, tail) for mine, lots in people if (tail := _notice(shop, lots, now)) is not None]
    have = yield from kept([(shop.id, key) for mine, tail in due for key in notice_keys(mine.numbers, tail)])
    wanted = [
        (mine.number, Next(notice_keys([mine.number], tail)[0], KIND, now))
        for mine, tail in due
        if not any(_told(have.get((shop.id, key))) for key in notice_keys(mine.numbers, tail))
    ]
    yield from tell(shop.id, wanted, now)


def _notice(shop: Shop, lots: Lots, now: int) -> str | None:
    """Name the notice whose time has come, by the month points lapse in and the days before; None where none has."""
    if lots.next_at is None or lots.lapsing_before(end_of_month(lots.next_at)) < MICRO:
        return None
    due = [days for days in notices(shop) if lots.next_at - days * DAY <= now]
    return f"{to_datetime(lots.next_at):%Y-%m}:{min(due)}" if due else None


def notice_keys(numbers: Iterable[int], tail: str) -> list[str]:
    """Return the keys one notice has under each of a person's numbers: whoever was merged is told of it once."""
    return [f"{KIND}:customer:{number}:{tail}" for number in numbers]


def _told(message: Kept | None) -> bool:
    """Tell whether a person was told, or will be as things are."""
    return message is not None and message.state not in ("cancelled", "failed")


def end_of_month(instant: int) -> int:
    """Return the first instant of the month after, in UTC: what lapses before is told of together."""
    day = to_datetime(instant).day
    return months_later(instant - instant % DAY - (day - 1) * DAY, 1)


def settle_lapsed(sales: Sequence[Sale], touched: Iterable[tuple[int, str]], now: int) -> Steps[None]:
    """Settle anew whoever has or had points of these sales, where any of theirs has lapsed; after the sales' own.

    `touched` are the (merchant, account) that the sales' postings ever named. A refund so takes back nothing that has
    lapsed already, and a purchase told of late gives back what had not lapsed after all. What is still to lapse is
    left to the clock.
    """
    known = {sale.shop.id: sale.shop for sale in sales}
    lapses = {merchant_id for merchant_id, shop in known.items() if has_terms(shop)}
    concerned = [sale for sale in sales if sale.shop.id in lapses and not sale.worth.test]
    if not concerned:
        return
    owners = {(sale.shop.id, sale.customer) for sale in concerned if sale.customer is not None}
    owners |= {
        (merchant_id, int(match[1]))
        for merchant_id, name in touched
        if merchant_id in lapses and (match := _OWNER.fullmatch(name)) is not None
    }
    lapsed: dict[int, set[int]] = {}
    for merchant_id, customer in (yield from ask(_LAPSED, sorted(owners))):
        lapsed.setdefault(merchant_id, set()).add(customer)
    if not lapsed:
        return
    counters = yield from lock_books(lapsed)
    for merchant_id, people in sorted(lapsed.items()):
        fresh = [sale for sale in concerned if sale.shop.id == merchant_id]
        yield from settle_people(known[merchant_id], people, counters[merchant_id], now, fresh)
    yield from save_books(counters.values())


_OWNER = re.compile(r"customer:([0-9]+):available")


def stir(people: Iterable[tuple[int, int]], now: int) -> Steps[None]:
    """Have these (merchant, customer) looked at by the clock at once: who is who has changed."""
    yield from ask(_STIR, [(*who, now) for who in sorted(people)])


def look(merchant_id: int, people: Sequence[int], now: int) -> Steps[int]:
    """Settle people of one merchant whose time has come; one who cannot be is put off, and says so in the log."""

    def put_off(customer: int, error: Exception) -> Steps[None]:
        log.error("expiry_failed", merchant=merchant_id, customer=customer, exc_info=error)
        yield from ask(_PUT_OFF, (merchant_id, customer, now + PUT_OFF))

    return sum((yield from all_or_each(people, lambda some: _look(merchant_id, some, now), put_off)))


def _look(merchant_id: int, people: Sequence[int], now: int) -> Steps[int]:
    counters = yield from lock_books([merchant_id])
    shop = (yield from shops([merchant_id]))[merchant_id]
    done = yield from settle_people(shop, people, counters[merchant_id], now)
    yield from save_books(counters.values())
    return done


def enrol(merchant_id: int, after: str, limit: int, now: int) -> Steps[str | None]:
    """Have whoever holds points looked at, a page of accounts by name at a time; return where to go on, None = done.

    Whoever is known already stays as they are.
    """
    rows = yield from ask(_HOLDERS, (merchant_id, after, limit))
    people = sorted(int(match[1]) for row in rows if (match := _OWNER.fullmatch(row[0])))
    yield from ask(_ENROL, [(merchant_id, customer, now, 0) for customer in people])
    return rows[-1][0] if len(rows) == limit else None
