"""Points that lapse: settled for each person to a target, as sales are, and posted as the difference."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

import structlog

from handlers.merchants.books import Counters, lock_books, save_books, shops
from handlers.merchants.rules import Shop
from handlers.messages.outbox import Next, follow
from handlers.points.lots import Credit, Debit, Lots, Story, months_later, play, terms_of
from handlers.points.posting import Posting, post, posted_of
from handlers.points.rules import EXPIRED, MICRO, account
from handlers.sales.rules import Sale
from handlers.sales.settle import attempt
from integration.clock import DAY, HOUR, to_datetime
from integration.database.steps import BIG, TEXT, Row, Steps, ask, insert, keyed, plain

KIND = "points_expiring"
LOOK_AGAIN = 7 * DAY  # at somebody whose points lapse one day; shorter than the shortest period
PUT_OFF = HOUR  # of somebody whose points cannot be worked out
PAGE = 1_000  # entries of one round trip
MOST_PAGES = 1_000  # of one person
MOST_SALES = 100_000  # of one person, the newest

log = structlog.get_logger()

_ROOTS = keyed(
    "SELECT c.merchant_id, c.number, coalesce(c.merged_into, c.number) FROM {keys} k CROSS JOIN customers c"
    " WHERE c.merchant_id = k.merchant_id AND c.number = k.number",
    merchant_id=BIG,
    number=BIG,
)
_ALIASES = keyed(
    "SELECT c.merged_into, c.number FROM {keys} k CROSS JOIN customers c"
    " WHERE c.merchant_id = k.merchant_id AND c.merged_into = k.number",
    merchant_id=BIG,
    number=BIG,
)
_COLUMNS = "e.number, e.at, e.reason, e.source, e.destination, e.micropoints, e.sale, e.key"
# The plus keeps SQLite from reading all entries after a number instead of those of the account.
_ENTRIES = keyed(
    "SELECT * FROM ("
    f"SELECT {_COLUMNS} FROM {{keys}} k CROSS JOIN ledger_entries e"
    " WHERE e.merchant_id = k.merchant_id AND e.source = k.account AND +e.number > k.after"
    f" UNION SELECT {_COLUMNS} FROM {{keys}} k CROSS JOIN ledger_entries e"
    " WHERE e.merchant_id = k.merchant_id AND e.destination = k.account AND +e.number > k.after"
    f") both_sides ORDER BY number LIMIT {PAGE}",
    merchant_id=BIG,
    account=TEXT,
    after=BIG,
)
_SOLD = keyed(
    "SELECT s.number, s.sold_at FROM {keys} k CROSS JOIN sales s"
    " WHERE s.customer = k.customer AND s.merchant_id = k.merchant_id"
    f" AND s.sold_at IS NOT NULL AND s.test = 0 ORDER BY s.sold_at DESC LIMIT {MOST_SALES}",
    merchant_id=BIG,
    customer=BIG,
)
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
_DROP = plain("DELETE FROM expiries WHERE merchant_id = ?1 AND customer = ?2")
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


@dataclass(slots=True)
class Purse:
    """One person's points as the ledger tells of them, under all numbers the person ever had."""

    number: int
    numbers: Sequence[int]
    story: Story = field(default_factory=Story)
    expired: int = 0  # posted, net of what was given back
    postings: int = 0  # that were made for it


def purse(shop: Shop, number: int, fresh: Sequence[Sale] = ()) -> Steps[Purse | None]:
    """Read the points of the person a number means, and whatever lapsed of them; None where nobody is meant.

    A lot is what a sale has brought net of its refunds, from the moment it could be spent; a dispute that was won
    starts its clock anew. People are active when they buy and when they are given points or spend them.
    `fresh` sales count as they are now: what is written of them is older.
    """
    rows = yield from ask(_ROOTS, [(shop.id, number)])
    if not rows:
        return None
    root: int = rows[0][2]
    aliases = yield from ask(_ALIASES, [(shop.id, root)])
    mine = Purse(root, sorted({root, *(row[1] for row in aliases)}))
    reading = _Reading({account(each, "available") for each in mine.numbers})
    after = 0
    for _ in range(MOST_PAGES):
        rows = yield from ask(_ENTRIES, [(shop.id, name, after) for name in sorted(reading.accounts)])
        for row in rows:
            reading.take(row)
        if len(rows) < PAGE:
            break
        after = rows[-1][0]
    rows = yield from ask(_SOLD, [(shop.id, each) for each in mine.numbers])
    newer = {number for sale in fresh for number in (sale.number, *sale.absorbed)}
    bought = {sold_at for sale, sold_at in rows if sale not in newer}
    bought |= {sale.worth.sold_at for sale in fresh if sale.customer in mine.numbers and sale.worth.sold_at is not None}
    active = sorted({*bought, *reading.active})
    mine.story = Story(*reading.lots(), active)
    mine.expired, mine.postings = reading.expired, reading.postings
    return mine


@dataclass(slots=True)
class _Reading:
    """Turns entries of a person's spendable points into credits and debits; moves between their numbers are none."""

    accounts: set[str]
    # A sale, or a line of an import -> when its clock began, and what is left net of refunds or of undoing.
    sales: dict[int | str, tuple[int, int]] = field(default_factory=dict)
    credits: list[Credit] = field(default_factory=list)
    debits: list[Debit] = field(default_factory=list)
    active: list[int] = field(default_factory=list)
    expired: int = 0
    postings: int = 0

    def take(self, entry: Row) -> None:
        _, at, reason, source, destination, amount, sale, key = entry
        comes, goes = destination in self.accounts, source in self.accounts
        if key.startswith("expire:"):
            self.expired += amount if goes else -amount
            self.postings += 1
        elif comes and goes:
            return
        elif sale is not None:
            began, net = self.sales.get(sale, (at, 0))
            self.sales[sale] = (at if reason == "dispute_release" else began, net + (amount if comes else -amount))
        elif key.startswith("import:"):
            # Undone, a line takes back its own points and nobody's earned ones, even where they had lapsed.
            line = key.removesuffix(":undone")
            began, net = self.sales.get(line, (at, 0))
            self.sales[line] = (began, net + (amount if comes else -amount))
            if comes:
                self.active.append(at)
        elif comes:
            self.credits.append(Credit(at, amount))
            if reason == "adjustment":
                self.active.append(at)
        else:
            self.debits.append(Debit(at, amount))
            if reason not in ("adjustment", "merge"):
                self.active.append(at)

    def lots(self) -> tuple[list[Credit], list[Debit]]:
        brought = [Credit(at, net) for at, net in self.sales.values() if net > 0]
        # Between two settlements of a sale that changes hands its points may be missing here for a moment.
        missing = [Debit(at, -net) for at, net in self.sales.values() if net < 0]
        return self.credits + brought, self.debits + missing


def lots_of(shop: Shop, mine: Purse, now: int) -> Lots:
    """Work out a person's lots at an instant under the terms the programme had until then."""
    return play(terms_of(shop.versions, now), mine.story, now)


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
    done: set[int] = set()
    for number in sorted(people):
        mine = yield from purse(shop, number, fresh)
        if mine is None:
            yield from ask(_DROP, (shop.id, number))
        elif mine.number not in done:
            done.add(mine.number)
            yield from _settle(shop, mine, counters, now)
    return len(done)


def settle_before_taking(merchant_id: int, people: Collection[int], counters: Counters, now: int) -> Steps[None]:
    """Post what has lapsed of some people's points, before somebody takes points away by hand.

    The clock comes to it a little later: until then a balance still shows what is not there to be taken. The
    merchant's books must be locked, and be saved afterwards.
    """
    shop = (yield from shops([merchant_id])).get(merchant_id)
    if shop is not None and has_terms(shop):
        yield from settle_people(shop, people, counters, now)


def _settle(shop: Shop, mine: Purse, counters: Counters, now: int) -> Steps[None]:
    lots = lots_of(shop, mine, now)
    change = lots.lapsed - mine.expired
    if change:
        places = (account(mine.number, "available"), EXPIRED)
        source, destination = places if change > 0 else reversed(places)
        reason = "expiry" if change > 0 else "reinstatement"
        key = f"expire:{mine.number}:{mine.postings}"
        yield from post([Posting(shop.id, key, source, destination, abs(change), reason)], {shop.id: counters}, now)
    for former in mine.numbers:
        if former != mine.number:
            yield from ask(_DROP, (shop.id, former))
    due_at = _next_look(shop, lots, now)
    if due_at is None and not lots.lapsed:
        yield from ask(_DROP, (shop.id, mine.number))
        return
    yield from ask(_KEEP, [(shop.id, mine.number, due_at, lots.lapsed)])
    yield from _remind(shop, mine.number, lots, now)


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


def _remind(shop: Shop, customer: int, lots: Lots, now: int) -> Steps[None]:
    """Want the notice whose time has come; one for all that lapses within a month, and each notice once."""
    if lots.next_at is None or lots.lapsing_before(end_of_month(lots.next_at)) < MICRO:
        return
    due = [days for days in notices(shop) if lots.next_at - days * DAY <= now]
    if due:
        key = f"{KIND}:customer:{customer}:{to_datetime(lots.next_at):%Y-%m}:{min(due)}"
        yield from follow(shop.id, None, customer, False, Next(key, KIND, now), now)


def end_of_month(instant: int) -> int:
    """Return the first instant of the month after, in UTC: what lapses before is told of together."""
    day = to_datetime(instant).day
    return months_later(instant - instant % DAY - (day - 1) * DAY, 1)


def settle_lapsed(sales: Sequence[Sale], now: int) -> Steps[None]:
    """Settle anew whoever has or had points of these sales, where any of theirs has lapsed; after the sales' own.

    A refund so takes back nothing that has lapsed already, and a purchase told of late gives back what had not
    lapsed after all. What is still to lapse is left to the clock.
    """
    known = {sale.shop.id: sale.shop for sale in sales}
    lapses = {merchant_id for merchant_id, shop in known.items() if has_terms(shop)}
    concerned = [sale for sale in sales if sale.shop.id in lapses and not sale.worth.test]
    if not concerned:
        return
    owners = yield from _owners(concerned)
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


def _owners(sales: Sequence[Sale]) -> Steps[set[tuple[int, int]]]:
    """Name whose accounts the postings of sales ever touched, by (merchant, customer)."""
    found = {(sale.shop.id, sale.customer) for sale in sales if sale.customer is not None}
    posted = yield from posted_of((sale.shop.id, n) for sale in sales for n in (sale.number, *sale.absorbed))
    for (merchant_id, _), one in posted.items():
        owners = (match for name in one.balances if (match := _OWNER.fullmatch(name)))
        found |= {(merchant_id, int(match[1])) for match in owners}
    return found


_OWNER = re.compile(r"customer:([0-9]+):available")


def stir(people: Iterable[tuple[int, int]], now: int) -> Steps[None]:
    """Have these (merchant, customer) looked at by the clock at once: who is who has changed."""
    yield from ask(_STIR, [(*who, now) for who in sorted(people)])


def look(merchant_id: int, people: Sequence[int], now: int) -> Steps[int]:
    """Settle people of one merchant whose time has come; one who cannot be is put off, and says so in the log."""
    done = yield from attempt(lambda: _look(merchant_id, people, now))
    if not isinstance(done, Exception):
        return done
    kept = 0
    for customer in people:
        alone = yield from attempt(lambda one=customer: _look(merchant_id, [one], now))  # type: ignore[misc]
        if isinstance(alone, Exception):
            log.error("expiry_failed", merchant=merchant_id, customer=customer, exc_info=alone)
            yield from ask(_PUT_OFF, (merchant_id, customer, now + PUT_OFF))
        else:
            kept += alone
    return kept


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
