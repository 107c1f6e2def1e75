"""Settles sales into thank-you notes: one a sale, cancelled and brought back as the sale changes."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from handlers.messages.outbox import UNSENT, Kept, Wish, keep, kept
from handlers.messages.rules import Place
from handlers.sales.books import origin
from handlers.sales.rules import Sale
from handlers.thanks.rules import (
    ANNIVERSARY_FRESH,
    ANNIVERSARY_LATE,
    KIND,
    MILESTONES,
    MOVED_LATE,
    YEAR,
    Anniversary,
    anniversary,
    by_milestones,
    key,
    may_thank,
    target,
    yearly_key,
)
from integration.database.steps import BIG, Steps, ask, keyed
from integration.facts import Charge, Session

# Of one person: the ten places milestones are among, twice for pairs, and a batch whose sales may leave theirs.
MOST_PLACES = 256
# The sales that count of the people concerned, the oldest and the newest: a sale's place among them is its milestone.
_PLACES = keyed(
    "SELECT p.merchant_id, p.customer, p.test, p.number, p.sold_at, p.platform_id, p.paired_with, p.standing,"
    " p.covered FROM"
    " (SELECT s.merchant_id, s.customer, s.test, s.number, s.sold_at, s.platform_id, s.paired_with, s.standing,"
    "  CASE WHEN s.backfill IS NULL THEN 0 ELSE 1 END AS covered,"
    "  ROW_NUMBER() OVER (PARTITION BY s.merchant_id, s.customer, s.test, s.standing"
    "   ORDER BY s.sold_at, s.platform_id, s.number) AS place,"
    "  MAX(s.sold_at) OVER (PARTITION BY s.merchant_id, s.customer, s.test, s.standing) AS newest"
    "  FROM {keys} k CROSS JOIN sales s"
    "  WHERE s.merchant_id = k.merchant_id AND s.customer = k.customer AND s.standing IN ('counted', 'undone')"
    "  AND s.merged_into IS NULL AND s.sold_at IS NOT NULL) p"
    f" WHERE p.place <= {MOST_PLACES} OR p.sold_at = p.newest",
    merchant_id=BIG,
    customer=BIG,
)
# Where the sales at hand stood before: until they are saved, the table has them as they were.
_STOOD = keyed(
    "SELECT s.merchant_id, s.number, s.customer, s.test, s.sold_at, s.platform_id FROM {keys} k CROSS JOIN sales s"
    " WHERE s.merchant_id = k.merchant_id AND s.number = k.number AND s.standing = 'counted'"
    " AND s.merged_into IS NULL AND s.customer IS NOT NULL AND s.sold_at IS NOT NULL",
    merchant_id=BIG,
    number=BIG,
)
# Sales of the same people whose place changed are settled by the sweep, each under its own programme.
_AGAIN = keyed(
    "UPDATE sales SET settle_at = k.at FROM {keys} k"
    " WHERE sales.merchant_id = k.merchant_id AND sales.number = k.number"
    " AND (sales.settle_at IS NULL OR sales.settle_at > k.at)",
    merchant_id=BIG,
    number=BIG,
    at=BIG,
)

_Person = tuple[int, int, int]  # merchant, customer, test
_Moment = tuple[int, str]  # sold_at and, within one second, the platform's own id: never the order of arrival
_Stood = dict[tuple[int, int], tuple[_Person, _Moment]]  # (merchant, number) -> (whose it was, when)


class _Place(NamedTuple):
    """One sale of a person, in the order they bought."""

    moment: _Moment
    number: int
    twin: int | None


_Places = dict[_Person, list[_Place]]  # oldest first


class ThanksSettler:
    """The thank-you capability as a settler."""

    name = "thanks"

    def settle(self, sales: Sequence[Sale], now: int) -> Steps[dict[tuple[int, int], int]]:
        """Wish for each sale's note, or for none; returns when anniversaries fall due."""
        sales = [sale for sale in sales if may_thank(sale)]
        if not sales:
            return {}
        stood = yield from _stood(sales)
        places, moved_by_backfill = yield from _places(sales, stood)
        have = yield from kept(_keys(sales, places, now))
        wishes: list[Wish] = []
        again: dict[tuple[int, int], int] = {}
        for sale in sales:
            rank = _rank(sale, places) if places else None
            is_moved = (sale.shop.id, sale.customer or 0, int(sale.worth.test)) in moved_by_backfill
            is_late = is_moved and _is_late(sale, have, now)
            wishes.extend(_wishes(sale, None if is_late else rank, have))
            if (look_at := _under_way(sale, have, now)) is not None:
                again[(sale.shop.id, sale.number)] = look_at
            if rank == 1 and not sale.quiet:
                year = anniversary(sale.worth.sold_at or now, now)
                if year.next_at is not None:
                    place = (sale.shop.id, sale.number)
                    again[place] = min(year.next_at, again.get(place, year.next_at))
                if year.years:
                    wishes.append(_yearly(sale, year, places, now))
        busy = yield from keep(wishes, have, now)
        for place, instant in busy.items():
            again[place] = min(instant, again.get(place, instant))
        yield from _look_again_at_neighbours(sales, stood, places, have, now)
        return again


def _stood(sales: Sequence[Sale]) -> Steps[_Stood]:
    """Find where the sales at hand, and those joined into them, counted before, where milestones are thanked for."""
    keys = {(sale.shop.id, number) for sale in sales if by_milestones(sale) for number in (sale.number, *sale.absorbed)}
    rows = yield from ask(_STOOD, sorted(keys))
    return {
        (merchant_id, number): ((merchant_id, customer, test), (sold_at, platform_id or ""))
        for merchant_id, number, customer, test, sold_at, platform_id in rows
    }


def _places(sales: Sequence[Sale], stood: _Stood) -> Steps[tuple[_Places, set[_Person]]]:
    """List the sales that count of the people who are thanked at milestones, oldest first.

    Returns too whose places a backfill, or the undoing of one, may have moved.
    """
    people = {(sale.shop.id, sale.customer) for sale in sales if sale.customer is not None and by_milestones(sale)}
    people |= {(merchant_id, customer) for (merchant_id, customer, _), _ in stood.values()}
    if not people:
        return {}, set()
    # The sales at hand are not in the table yet as they are now; the table has the others.
    here = {(sale.shop.id, sale.number) for sale in sales}
    gone = {(sale.shop.id, number) for sale in sales for number in sale.absorbed}
    places: _Places = {}
    moved: set[_Person] = set()
    rows = yield from ask(_PLACES, sorted(people))
    for merchant_id, customer, test, number, sold_at, platform_id, twin, standing, covered in rows:
        if covered or standing == "undone":
            moved.add((merchant_id, customer, test))
        if standing == "counted" and (merchant_id, number) not in here and (merchant_id, number) not in gone:
            place = _Place((sold_at, platform_id or ""), number, twin)
            places.setdefault((merchant_id, customer, test), []).append(place)
    for sale in sales:
        if sale.customer is None or sale.worth.standing != "counted" or sale.worth.sold_at is None:
            continue
        if (sale.shop.id, sale.customer) in people:
            person = (sale.shop.id, sale.customer, int(sale.worth.test))
            places.setdefault(person, []).append(_Place(_moment(sale), sale.number, sale.twin))
            if sale.facts.imported is not None:
                moved.add(person)
    return {person: _without_twins(sorted(own)) for person, own in places.items()}, moved


def _moment(sale: Sale) -> _Moment:
    return (sale.worth.sold_at or 0, origin(sale.facts)[1] or "")


def _without_twins(own: list[_Place]) -> list[_Place]:
    """Give the two halves of a suspected pair one place."""
    seen: set[int] = set()
    kept_places = []
    for place in own:
        seen.add(place.number)
        if place.twin is None or place.twin not in seen:
            kept_places.append(place)
    return kept_places


def _is_late(sale: Sale, have: dict[tuple[int, str], Kept], now: int) -> bool:
    """Tell whether a note that nobody wanted so far would come long after its sale."""
    note = have.get((sale.shop.id, key(sale.number)))
    missing = note is None or note.state == "cancelled"
    return missing and sale.worth.sold_at is not None and now > sale.worth.sold_at + MOVED_LATE


def _rank(sale: Sale, places: _Places) -> int | None:
    if sale.customer is None:
        return None
    own = places.get((sale.shop.id, sale.customer, int(sale.worth.test)), ())
    for rank, place in enumerate(own, start=1):
        if sale.number in (place.number, place.twin):
            return rank
    return None


def _keys(sales: Sequence[Sale], places: _Places, now: int) -> list[tuple[int, str]]:
    """Name the notes of the sales, of the sales joined into them, of their twins and their neighbours."""
    keys = set()
    for sale in sales:
        merchant_id = sale.shop.id
        keys.add((merchant_id, key(sale.number)))
        keys.update((merchant_id, key(number)) for number in sale.absorbed)
        if sale.twin is not None:
            keys.add((merchant_id, key(sale.twin)))
    for (merchant_id, _, _), own in places.items():
        keys.update((merchant_id, key(place.number)) for place in own)
        (sold_at, _), first, _ = own[0]
        if now - sold_at > YEAR and (years := anniversary(sold_at, now).years):
            keys.add((merchant_id, yearly_key(first, years)))
    return sorted(keys)


def _wishes(sale: Sale, rank: int | None, have: dict[tuple[int, str], Kept]) -> list[Wish]:
    merchant_id = sale.shop.id
    due_at, reason = target(sale, rank)
    others = list(sale.absorbed)
    if sale.twin is not None and sale.worth.standing != "elsewhere":
        others.append(sale.twin)
    wishes = []
    for other in others:
        note = have.get((merchant_id, key(other)))
        if note is None:
            continue
        if note.gone or note.closed_at is not None:
            due_at, reason = None, "the same purchase was thanked for already"
        elif other != sale.twin:
            joined = "it is part of another sale"
            wishes.append(Wish(merchant_id, key(other), KIND, sale.number, sale.customer, None, joined))
    details = _details(sale) if due_at is not None else "{}"
    test = sale.worth.test
    own = key(sale.number)
    wishes.append(Wish(merchant_id, own, KIND, sale.number, sale.customer, due_at, reason, test, details, sale.trace))
    return wishes


def _under_way(sale: Sale, have: dict[tuple[int, str], Kept], now: int) -> int | None:
    """Return when to look again at another note for the same purchase that is being sent: the attempt may fail."""
    others = [*sale.absorbed, *((sale.twin,) if sale.twin is not None else ())]
    notes = [note for other in others if (note := have.get((sale.shop.id, key(other)))) is not None]
    return min((at for note in notes if (at := note.under_way(now)) is not None), default=None)


def _details(sale: Sale) -> str:
    """Keep where the person is and what they read, which decides when the note goes out and how."""
    facts = sale.facts
    if facts.order is not None:
        country, region, locale = facts.order.country, facts.order.region, facts.order.buyer.locale
    else:
        # By their ids: the order in which they were told must not decide when the note goes out.
        charges = (charge for _, charge in sorted(facts.charges.items()))
        told: tuple[Charge | Session, ...] = (*charges, *(session for _, session in sorted(facts.sessions.items())))
        country = next((t.country for t in told if t.country), None)
        region = next((t.region for t in told if t.region), None)
        locale = next((t.buyer.locale for t in told if t.buyer.locale), None)
    return Place(country, region, locale).to_json()


def _yearly(sale: Sale, year: Anniversary, places: _Places, now: int) -> Wish:
    """Wish for the note of the last anniversary of a person's first sale, where one is to be kept."""
    last = places[(sale.shop.id, sale.customer or 0, int(sale.worth.test))][-1].moment[0]
    version = sale.shop.version_at(now)
    thanks = version.program.thanks if version is not None else None
    due_at: int | None = year.at
    reason = None
    if thanks is None or not thanks.enabled or thanks.when != "milestones":
        due_at, reason = None, "anniversaries are not kept any more"
    elif now - last > ANNIVERSARY_FRESH or now - year.at > ANNIVERSARY_LATE or sale.worth.net_minor <= 0:
        due_at, reason = None, "the last purchase is too long ago"
    details = _details(sale) if due_at is not None else "{}"
    return Wish(
        sale.shop.id,
        yearly_key(sale.number, year.years),
        KIND,
        sale.number,
        sale.customer,
        due_at,
        reason,
        sale.worth.test,
        details,
        sale.trace,
    )


def _look_again_at_neighbours(
    sales: Sequence[Sale], stood: _Stood, places: _Places, have: dict[tuple[int, str], Kept], now: int
) -> Steps[None]:
    """Have later sales of the same people settled again where their place, and so their note, changed.

    Only those behind where a sale stands or stood before: a sale moves the places behind it, and so the looking
    again comes to an end.
    """
    here = {(sale.shop.id, sale.number) for sale in sales}
    moved = set()
    for person, behind in _moved_places(sales, stood):
        for rank, (moment, number, _) in enumerate(places.get(person, ()), start=1):
            if moment <= behind or (person[0], number) in here:
                continue
            note = have.get((person[0], key(number)))
            wanted = rank in MILESTONES
            missing = wanted and (note is None or (note.state == "cancelled" and note.closed_at is None))
            too_many = not wanted and note is not None and note.state in UNSENT
            if missing or too_many:
                moved.add((person[0], number, now))
    yield from ask(_AGAIN, sorted(moved))


def _moved_places(sales: Sequence[Sale], stood: _Stood) -> Iterator[tuple[_Person, _Moment]]:
    """List whose places change, and from which moment on."""
    for sale in sales:
        yield (sale.shop.id, sale.customer or 0, int(sale.worth.test)), _moment(sale)
        for number in (sale.number, *sale.absorbed):
            if (before := stood.get((sale.shop.id, number))) is not None:
                yield before
