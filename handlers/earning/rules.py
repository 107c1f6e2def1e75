"""Which occasions somebody has reached, what each brings, and when the next one may come: a pure function.

An order's place among a person's orders follows from what still counts by now, so that what is told late, twice or in
any order comes to the same, and an order that goes back in full gives its place to the next. Days come once in twelve
months, whatever is entered anew, and what was given for one is kept.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from handlers.merchants.rules import Shop, Version
from handlers.merchants.ways import Ways
from handlers.points.rules import MICRO
from handlers.sales.rules import Sale
from integration.clock import DAY, from_wall, to_datetime

LATE = 31 * DAY  # a day that was missed for longer, while nothing ran, is let go
DORMANT = 732 * DAY  # whoever bought nothing for two years is given no more anniversaries
SIGN_UP = "sign_up"
FIRST = "order:1"
_YEARLY = ("birthday", "anniversary")
FRESH = 3 * DAY  # what is told of later than this is no news
BIRTHDAY, ANNIVERSARY, GIFT = "birthday_gift", "anniversary_gift", "gift"  # kinds of letters
# By what an occasion begins with: the kind of letter that tells of it.
MESSAGES = {"birthday": BIRTHDAY, "anniversary": ANNIVERSARY, "sign_up": GIFT, "order": GIFT, "milestone": GIFT}


class Purchase(NamedTuple):
    """An order that counts: paid, not wholly given back, not excluded from earning."""

    sold_at: int
    name: str  # on its platform: settles which of two that were sold in one second is the first
    number: int
    hold_ends: int


class Given(NamedTuple):
    """What was given for an occasion so far, under one of a person's numbers; in micropoints."""

    customer: int
    occasion: str
    at: int
    version: int
    pending: int
    available: int
    postings: int

    @property
    def points(self) -> int:
        """What it comes to."""
        return self.pending + self.available


class Birthday(NamedTuple):
    """A day of the year, and since when we know it."""

    month: int
    day: int
    told_at: int


class Person(NamedTuple):
    """What occasions follow from."""

    zone: ZoneInfo  # by whose calendar
    joined_at: int | None = None  # when they opened an account
    birthday: Birthday | None = None
    purchases: Sequence[Purchase] = ()  # in order
    given: Sequence[Given] = ()
    forgotten_at: int | None = None  # they were somebody else before, and asked to be forgotten


class Award(NamedTuple):
    """What an occasion brings: micropoints, which wait until an instant (0 = they do not)."""

    occasion: str
    at: int
    version: int
    micropoints: int
    held_until: int = 0


class Aim(NamedTuple):
    """What somebody should have been given by now, and when to look again."""

    awards: tuple[Award, ...]
    next_at: int | None


def purchase(sale: Sale) -> Purchase | None:
    """Say what a sale is among somebody's orders; None where it is none."""
    worth, version = sale.worth, sale.earns_under
    kept = worth.eligible_minor - worth.lost_minor - worth.disputed_minor
    if worth.standing != "counted" or worth.test or worth.sold_at is None or kept <= 0:
        return None
    hold_days = version.program.earning.hold_days if version is not None else 0
    return Purchase(worth.sold_at, _name(sale), sale.number, worth.sold_at + hold_days * DAY)


def _name(sale: Sale) -> str:
    if sale.facts.order is not None:
        return sale.facts.order.id
    return min(sale.facts.payments or sale.facts.charges, default="")


def aim(shop: Shop, person: Person, now: int) -> Aim:
    """Say what somebody should have been given by now, and when that changes by itself."""
    awards = [*_orders(shop, person, now), *_sign_up(shop, person, now)]
    looks = [each.held_until for each in awards if each.held_until > now]
    if person.joined_at is not None and person.joined_at > now:
        looks.append(person.joined_at)
    for kind in _YEARLY:
        kept = _once_a_year(given for given in person.given if given.occasion.startswith(f"{kind}:"))
        awards += [Award(one.occasion, one.at, one.version, one.points) for one in kept]
        last, coming = _days(person, kind, now)
        if last is not None and (award := _of_a_day(shop, person, kind, last, kept, now)) is not None:
            awards.append(award)
        if coming is not None and getattr(shop.current.ways, kind):
            looks.append(_begins(coming, person.zone))
    return Aim(tuple(awards), min(looks, default=None))


def _orders(shop: Shop, person: Person, now: int) -> Iterable[Award]:
    """What the first order and the milestones bring, under the programme of the order that reached them."""
    if person.forgotten_at is not None:
        return  # We cannot know how many there were before.
    for place, one in enumerate(person.purchases, start=1):
        version = shop.version_at(one.sold_at)
        if version is None or one.sold_at > now:
            continue
        ways = version.program.ways
        if place == 1 and ways.first_order:
            yield Award(FIRST, one.sold_at, version.number, ways.first_order_points * MICRO, one.hold_ends)
        elif ways.milestones and place in ways.milestone_points:
            points = ways.milestone_points[place] * MICRO
            yield Award(f"milestone:{place}", one.sold_at, version.number, points, one.hold_ends)


def _sign_up(shop: Shop, person: Person, now: int) -> Iterable[Award]:
    """What opening an account brings, once; of two accounts that are one person's, the first that brought it stays."""
    before = [one for one in person.given if one.occasion == SIGN_UP and one.points]
    if before:
        first = min(before, key=lambda one: (one.at, one.customer))
        yield Award(SIGN_UP, first.at, first.version, first.points)
    elif person.joined_at is not None and person.joined_at <= now and person.forgotten_at is None:
        version = shop.version_at(person.joined_at)
        if version is not None and version.program.ways.sign_up:
            points = version.program.ways.sign_up_points * MICRO
            yield Award(SIGN_UP, person.joined_at, version.number, points)


def _once_a_year(given: Iterable[Given]) -> list[Given]:
    """Keep of what was given for days what lies twelve months apart: two people who are one had two birthdays."""
    kept: list[Given] = []
    for one in sorted((each for each in given if each.points), key=lambda each: (day_of(each.occasion), each.customer)):
        if not kept or day_of(one.occasion) >= _years_on(day_of(kept[-1].occasion), 1):
            kept.append(one)
    return kept


def _of_a_day(shop: Shop, person: Person, kind: str, day: date, kept: Sequence[Given], now: int) -> Award | None:
    """What the last day of a kind brings, where it is not too late for it and nothing was given within the year."""
    begins = _begins(day, person.zone)
    version = shop.version_at(begins)
    if version is None or now >= begins + LATE or not getattr(version.program.ways, kind):
        return None
    if shop.closed_at is not None and begins >= shop.closed_at:
        return None  # The shop has left.
    if any(day < _years_on(day_of(one.occasion), 1) for one in kept):
        return None
    if person.forgotten_at is not None and day < _years_on(_today(person.forgotten_at, person.zone), 1):
        return None  # Under the name they had before, it may have been given already.
    if kind == "birthday":
        notice = version.program.ways.birthday_notice_days * DAY
        if person.birthday is None or person.birthday.told_at + notice > begins:
            return None
    elif not any(begins - DORMANT <= one.sold_at for one in person.purchases):
        return None
    return Award(f"{kind}:{day.isoformat()}", begins, version.number, _points(version.program.ways, kind) * MICRO)


def _points(ways: Ways, kind: str) -> int:
    return ways.birthday_points if kind == "birthday" else ways.anniversary_points


def _days(person: Person, kind: str, now: int) -> tuple[date | None, date | None]:
    """Find the last day of a kind until now, and the next."""
    today = _today(now, person.zone)
    if kind == "birthday":
        if person.birthday is None:
            return None, None
        month, day = person.birthday.month, person.birthday.day
        listed = [_in_year(year, month, day) for year in (today.year - 1, today.year, today.year + 1)]
    else:
        if not person.purchases:
            return None, None
        first = _today(person.purchases[0].sold_at, person.zone)
        years = {max(1, today.year - first.year + n) for n in (-1, 0, 1)}
        listed = sorted(_years_on(first, n) for n in years)
    return max((each for each in listed if each <= today), default=None), min(
        (each for each in listed if each > today), default=None
    )


def days_begin(versions: Iterable[Version], after: int, now: int) -> bool:
    """Tell whether days begin to bring points under a version in force by now, behind one people were looked at under.

    Each is compared with the one before it: whoever was looked at while days brought nothing waits for none.
    """
    before = Ways()
    for version in sorted(versions, key=lambda v: v.number):
        ways = version.program.ways
        begins = any(getattr(ways, kind) and not getattr(before, kind) for kind in _YEARLY)
        if begins and version.number > after and version.in_force_at <= now:
            return True
        before = ways
    return False


def brings(ways: Ways, occasion: str) -> int:
    """Say how many points an occasion brings under a programme's terms; 0 = none."""
    kind, _, which = occasion.partition(":")
    match kind:
        case "sign_up":
            return ways.sign_up_points if ways.sign_up else 0
        case "order":
            return ways.first_order_points if ways.first_order else 0
        case "milestone":
            return ways.milestone_points.get(int(which), 0) if ways.milestones else 0
        case "birthday":
            return ways.birthday_points if ways.birthday else 0
    return ways.anniversary_points if ways.anniversary else 0


def tells(ways: Ways, message: str) -> bool:
    """Say whether people are written to by a kind of letter."""
    return ways.tell_gifts if message == GIFT else ways.tell_days


def is_day(occasion: str) -> bool:
    """Tell whether an occasion is a day of the calendar."""
    return occasion.startswith(_YEARLY)


def message_keys(occasion: str, numbers: Iterable[int]) -> list[str]:
    """Name the letter about an occasion under each of a person's numbers: whoever was merged is told once."""
    return [f"{MESSAGES[occasion.partition(':')[0]]}:customer:{number}:{occasion}" for number in numbers]


def is_news(before: Given, after: Given, held_until: int, now: int) -> bool:
    """Tell whether points of an occasion have only now become somebody's to spend, not long after they were due."""
    return before.available <= 0 < after.available and now < max(after.at, held_until) + FRESH


def day_of(occasion: str) -> date:
    """Read the day out of an occasion that is one."""
    return date.fromisoformat(occasion.partition(":")[2])


def _in_year(year: int, month: int, day: int) -> date:
    """Return a day of the year; 29 February is kept on the 28th where there is none."""
    try:
        return date(year, month, day)
    except ValueError:
        return date(year, month, 28)


def _years_on(day: date, years: int) -> date:
    return _in_year(day.year + years, day.month, day.day)


def _today(instant: int, zone: ZoneInfo) -> date:
    return to_datetime(instant).astimezone(zone).date()


def _begins(day: date, zone: ZoneInfo) -> int:
    return from_wall(datetime(day.year, day.month, day.day), zone)
