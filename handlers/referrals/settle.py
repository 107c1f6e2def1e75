"""Settles customers to what the friends they brought should have brought them by now."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import structlog

from handlers.customers.identify import Moved
from handlers.customers.persons import names_of, persons
from handlers.holders import Name, Privacy
from handlers.merchants.books import lock_books, save_books, shops
from handlers.merchants.rules import Refused, Shop
from handlers.messages.zones import zone
from handlers.points.expiry import has_terms, settle_people
from handlers.points.posting import Posting, post
from handlers.points.rules import MICRO, Target, account, moves
from handlers.points.standing import seen
from handlers.referrals import codes, store
from handlers.referrals.rules import (
    FOR_GOOD,
    MOST_HOUSEHOLDS,
    Caps,
    Case,
    Verdict,
    has_got_about,
    judge,
    likeness,
    place_of,
)
from handlers.referrals.store import Key, Referral
from handlers.sales.books import load_sales
from handlers.sales.rules import Sale
from handlers.sales.settle import all_or_each
from integration.clock import DAY, HOUR, to_datetime
from integration.database.steps import Steps

NEVER = (2**63 - 1, 0)
PUT_OFF = HOUR  # of somebody who cannot be settled

log = structlog.get_logger()

# What an entry is called, by what it does.
REASONS = {
    "accrual": "referral",
    "release": "referral_release",
    "hold": "referral_hold",
    "reversal": "referral_reversed",
}


class ReferralsSettler:
    """The referrals capability as a settler: whoever is concerned is looked at soon; nothing more on the hot path."""

    name = "referrals"

    def __init__(self, digest: Callable[..., str] | None = None) -> None:
        """`digest` stands for an address without naming it (`Vault.stand_in`); without it none are compared."""
        self._digest = digest

    def settle(self, sales: Sequence[Sale], now: int) -> Steps[dict[Key, int]]:
        """Note which sales were made with whose code, and have what they change looked at; it wakes no sale."""
        concerned = [sale for sale in sales if not sale.worth.test and _offers(sale.shop)]
        if not concerned:
            return {}
        typed = {(sale.shop.id, code) for sale in concerned for code in _codes(sale)}
        promotions = {(sale.shop.id, name) for sale in concerned for name in _promotions(sale)}
        whose = (yield from codes.owners(typed, promotions)) if typed or promotions else {}
        brought, used = [], []
        for sale in concerned:
            names = [(sale.shop.id, one) for one in (*_codes(sale), *_promotions(sale)) if (sale.shop.id, one) in whose]
            if names:
                at = sale.worth.sold_at or sale.created_at
                brought.append((sale.shop.id, sale.number, whose[names[0]][0], sale.customer, at))
                used += [(sale.shop.id, whose[name][1]) for name in names]
        yield from self._note_homes(concerned)
        if brought:
            yield from store.told(brought, now)
            yield from codes.used(used, now)
        numbers = {(sale.shop.id, n) for sale in concerned for n in (sale.number, *sale.absorbed)}
        people = {(sale.shop.id, sale.customer) for sale in concerned if sale.customer is not None}
        found = yield from persons(people)
        yield from store.stir(numbers, {(m, n) for (m, _), mine in found.items() for n in mine}, now)
        return {}

    def _note_homes(self, sales: Sequence[Sale]) -> Steps[None]:
        """Keep a digest of where orders go, in shops that offer bringing friends now."""
        rows = []
        for sale in sales:
            if self._digest is not None and sale.home is not None and sale.shop.current.referrals.enabled:
                place = place_of(sale.home)
                if place and not sale.facts.forgotten:
                    digest = self._digest("home", sale.shop.id, place)
                    rows.append((sale.shop.id, sale.number, digest, sale.worth.sold_at or sale.created_at))
        if rows:
            yield from store.put_homes(rows)
        if gone := {(sale.shop.id, number) for sale in sales for number in sale.absorbed}:
            yield from store.drop_homes(gone)


def _offers(shop: Shop) -> bool:
    return any(version.program.referrals.enabled for version in shop.versions)


def _codes(sale: Sale) -> tuple[str, ...]:
    return tuple(code.upper() for code in sale.facts.order.codes) if sale.facts.order is not None else ()


def _promotions(sale: Sale) -> list[str]:
    return sorted(name for each in sale.facts.sessions.values() if not each.failed for name in each.promotions)


def follow(moved: Sequence[Moved], now: int) -> Steps[None]:
    """Have looked at anew what somebody brought, or was brought by, who turned out to be somebody else."""
    yield from store.stir((), {(one.merchant_id, n) for one in moved for n in (one.number, one.into)}, now)


# --- By the clock ---------------------------------------------------------------------------------


def look(merchant_id: int, sales: Collection[int], privacy: Privacy | None, now: int) -> Steps[int]:
    """Settle whoever brought the buyers of these sales; one who cannot be is put off, and says so in the log."""

    def put_off(sale: int, error: Exception) -> Steps[None]:
        log.error("referral_failed", merchant=merchant_id, sale=sale, exc_info=error)
        yield from store.stir([(merchant_id, sale)], (), now + PUT_OFF)

    def settle(some: Collection[int]) -> Steps[int]:
        return (yield from _look(merchant_id, some, privacy, now))

    return sum((yield from all_or_each(sorted(sales), settle, put_off)))


class Referrer(NamedTuple):
    """Everything that is known of what one customer brought."""

    root: int
    rows: Sequence[Referral]
    verdicts: Mapping[int, Verdict]


def _look(merchant_id: int, sales: Collection[int], privacy: Privacy | None, now: int) -> Steps[int]:
    counters = yield from lock_books([merchant_id])
    shop = (yield from shops([merchant_id]))[merchant_id]
    people = set()
    for sale in sorted(sales):
        row = yield from store.one(merchant_id, sale)
        if row is not None:
            people.add(row.referrer)
    postings: list[Posting] = []
    changed: list[Referral] = []
    richer: set[int] = set()
    found = yield from stands(shop, people, privacy, now)
    for one in found:
        for row in one.rows:
            after, made = owed(one.root, row, one.verdicts[row.sale])
            if after != row:
                changed.append(after)
            postings += made
            if made:
                richer.add(one.root)
        yield from _close(shop, one, now)
    if postings:
        yield from post(postings, counters, now)
    yield from store.put(changed)
    if richer and has_terms(shop):
        # What is taken back after it has lapsed is not taken twice.
        yield from settle_people(shop, richer, counters[merchant_id], now)
    if postings:
        yield from save_books(counters.values())
    return len(changed)


def stands(shop: Shop, people: Iterable[int], privacy: Privacy | None, now: int) -> Steps[list[Referrer]]:
    """Work out what customers' friends should have brought them, for each person once; nothing is written."""
    found = yield from persons((shop.id, number) for number in people)
    everybody = sorted((shop.id, n) for numbers in found.values() for n in numbers)
    rows = yield from store.of_referrers(everybody)
    loaded = yield from load_sales((shop.id, row.sale) for row in rows)
    sales = {one.number: seen(shop, one) for one in loaded if one.merged_into is None}
    buyers = {(shop.id, sale.customer) for sale in sales.values() if sale.customer is not None}
    friends = yield from persons(buyers)
    root_of = {n: root for (_, root), numbers in (*found.items(), *friends.items()) for n in numbers}
    likes = yield from _likes(shop, {**found, **friends}, privacy)
    shared = yield from _shared(shop, rows, found, root_of)
    brought = yield from _brought(shop, friends, root_of)
    first = yield from _firsts(friends)
    caps = Caps(shop.current.referrals.most_a_month, shop.current.referrals.most_in_all)
    result = []
    for (_, root), numbers in found.items():
        mine = sorted((row for row in rows if row.referrer in numbers), key=lambda row: row.sale)
        cases = []
        for row in mine:
            sale = sales.get(row.sale)
            friend = root_of.get(sale.customer) if sale is not None and sale.customer is not None else None
            case = _case(shop, row, sale, first.get(friend) if friend is not None else None)
            like = _likeness(row, root, friend, likes)
            if not like and (root in brought and brought[root].get(friend or 0, NEVER) < (row.at, row.sale)):
                like = "mutual"
            elif not like and row.sale in shared and row.state != "given":
                like = "address"
            cases.append(case._replace(likeness=like))
        result.append(Referrer(root, mine, judge(cases, caps, now)))
    return result


class _Likes(NamedTuple):
    """What names people, and who of them asked to be forgotten under a name they had before."""

    names: Mapping[int, set[Name]]
    forgotten: Collection[int]


def _likes(shop: Shop, people: Mapping[Key, Sequence[int]], privacy: Privacy | None) -> Steps[_Likes]:
    numbers = sorted({(shop.id, n) for mine in people.values() for n in mine})
    named = yield from names_of(numbers)
    called = yield from store.called(numbers)
    names = {
        root: {one for n in mine for one in (*named.get((shop.id, n), ()), *called.get((shop.id, n), ()))}
        for (_, root), mine in people.items()
    }
    if privacy is None:
        return _Likes(names, ())
    known = {root: [name for n in mine for name in named.get((shop.id, n), ())] for (_, root), mine in people.items()}
    return _Likes(names, (yield from privacy.forgotten_at(shop.id, known)).keys())


def _likeness(row: Referral, root: int, friend: int | None, likes: _Likes) -> str:
    if friend == root:
        return "self"
    if row.why in FOR_GOOD:
        return row.why
    if friend is None:
        return ""
    if friend in likes.forgotten:
        return "known"
    return likeness(likes.names.get(root, ()), likes.names.get(friend, ()))


def _brought(
    shop: Shop, friends: Mapping[Key, Sequence[int]], root_of: Mapping[int, int]
) -> Steps[dict[int, dict[int, tuple[int, int]]]]:
    """Say whom friends brought themselves, by person: by which friend, and with which order first."""
    found: dict[int, dict[int, tuple[int, int]]] = {}
    for row in (yield from store.of_referrers((m, n) for (m, _), numbers in friends.items() for n in numbers)):
        by, whom = root_of[row.referrer], root_of.get(row.friend or 0)
        if whom is not None:
            mine = found.setdefault(whom, {})
            mine[by] = min(mine.get(by, NEVER), (row.at, row.sale))
    return found


def _shared(
    shop: Shop, rows: Sequence[Referral], people: Mapping[Key, Sequence[int]], root_of: Mapping[int, int]
) -> Steps[set[int]]:
    """Name the orders that went where something was sent to whoever brought them, too.

    Where many others have something sent to (a locker, an office, a hall of residence), that says nothing; friends
    of the same customer do not make a place one of those.
    """
    went = yield from store.homes_of_sales((shop.id, row.sale) for row in rows)
    if not went:
        return set()
    lives = yield from store.homes_of((shop.id, n) for numbers in people.values() for n in numbers)
    found: set[int] = set()
    for numbers in people.values():
        mine = [row for row in rows if row.referrer in numbers]
        homes = {digest for n in numbers for digest in lives.get(n, ())}
        same = [row for row in mine if row.sale in went and went[row.sale][0] in homes]
        brought = {root_of.get(row.friend or 0) for row in mine} | {row.friend for row in mine}
        for digest in sorted({went[row.sale][0] for row in same}):
            there = yield from persons((shop.id, n) for n in (yield from store.at_home(shop.id, digest)))
            others = [of for (_, of), all_of in there.items() if not {*all_of} & {*numbers, *brought}]
            if len(others) <= MOST_HOUSEHOLDS:
                found |= {row.sale for row in same if went[row.sale][0] == digest}
    return found


def _firsts(friends: Mapping[Key, Sequence[int]]) -> Steps[dict[int, tuple[int, int]]]:
    """Say when each person first bought anything, and what."""
    bought = yield from store.bought((m, n) for (m, _), numbers in friends.items() for n in numbers)
    found = {}
    for (merchant_id, root), numbers in friends.items():
        mine = [one for n in numbers for one in bought.get((merchant_id, n), ())]
        if mine:
            found[root] = min(mine)
    return found


def _case(shop: Shop, row: Referral, sale: Sale | None, first: tuple[int, int] | None) -> Case:
    worth = sale.worth if sale is not None else None
    if sale is None or worth is None or worth.sold_at is None or sale.customer is None:
        # It became part of another sale, which has a referral of its own; or nobody has paid yet, or is known.
        return Case(row.sale, None, "", 0, 0, 0, 0, False, False)
    version = shop.version_at(worth.sold_at)
    terms = version.program.referrals if version is not None else None
    micropoints = terms.points * MICRO if terms is not None and terms.enabled else 0
    hold_days = version.program.earning.hold_days if version is not None else 0
    return Case(
        sale=row.sale,
        sold_at=worth.sold_at,
        month=to_datetime(worth.sold_at).astimezone(zone(shop.timezone)).strftime("%Y-%m"),
        micropoints=micropoints,
        hold_ends=worth.sold_at + hold_days * DAY,
        goods_minor=worth.goods_minor,
        kept_minor=worth.eligible_minor - worth.lost_minor - worth.disputed_minor,
        stands=worth.standing == "counted",
        first=first is None or first >= (worth.sold_at, row.sale),
        decision=row.decision,
    )


def owed(root: int, row: Referral, verdict: Verdict) -> tuple[Referral, list[Posting]]:
    """Say what the row of a referral will be, and list the entries that lead there."""
    pending = verdict.micropoints if verdict.held_until else 0
    places = (account(root, "pending"), account(root, "available"))
    posted = {places[0]: row.pending, places[1]: row.available}
    wanted = {name: n for name, n in zip(places, (pending, verdict.micropoints - pending), strict=True) if n}
    postings = [
        Posting(
            row.merchant_id,
            f"refer:{row.sale}:{row.postings + n}",
            move.source,
            move.destination,
            move.micropoints,
            REASONS.get(move.reason, move.reason),
        )
        for n, move in enumerate(moves(posted, Target(wanted)))
    ]
    after = row._replace(
        state=verdict.state,
        why=verdict.why,
        pending=pending,
        available=verdict.micropoints - pending,
        postings=row.postings + len(postings),
        due_at=verdict.held_until or None,
    )
    return after, postings


def _close(shop: Shop, one: Referrer, now: int) -> Steps[None]:
    """Close a link that has got about, and take its codes off."""
    if not has_got_about(one.verdicts.values(), shop.current.referrals.most_in_all):
        return
    for link in (yield from codes.links_of((shop.id, n) for n in {row.referrer for row in one.rows} | {one.root})):
        if link.state == "open":
            yield from codes.put_link(link._replace(state="closed"))
            for code in (yield from codes.open_codes(link, now)):
                yield from codes.put_code(code._replace(state="closing", next_at=now, attempts=0))


def decide(merchant_id: int, sale: int, decision: str, now: int) -> Steps[Referral]:
    """Note what the merchant says of a referral, and have it looked at. Raises Refused where nothing is to be said."""
    yield from lock_books([merchant_id])
    row = yield from store.one(merchant_id, sale)
    if row is None or row.state not in ("held", "pending", "given"):
        raise Refused("There is nothing to decide about this friend any more.")
    decided = row._replace(decision=decision, due_at=now)
    yield from store.put([decided])
    return decided
