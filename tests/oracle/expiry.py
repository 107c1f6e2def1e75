"""What of a person's points has lapsed, worked out point by point and day by day; slow, and sharing no code."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any


@dataclass
class Person:
    """What happened, by day: terms that came into force, purchases, points that came and points that went."""

    terms: list[tuple[date, dict[str, Any]]] = field(default_factory=list)
    active: list[date] = field(default_factory=list)
    came: list[tuple[date, int]] = field(default_factory=list)
    went: list[tuple[date, int]] = field(default_factory=list)
    spent: list[tuple[date, str, int]] = field(default_factory=list)  # on a reward
    back: list[tuple[date, str, int]] = field(default_factory=list)  # from a reward, after what was spent that day


@dataclass
class Point:
    """One point, and when it could first be spent."""

    born: date
    has_lapsed: bool = False  # while it was away for a reward
    second: date | None = None  # the end of its second life


def lapsed(person: Person, until: date) -> tuple[int, dict[date | None, int]]:
    """How many points have lapsed by a day, and how many of those left lapse when (None: never)."""
    days = [one[0] for one in [*person.terms, *person.came, *person.went, *person.spent, *person.back]] + person.active
    today = min([*days, until])
    purse: list[Point] = []
    away: dict[str, list[Point]] = {}
    gone = owed = 0
    while today <= until:
        yesterday = today - timedelta(days=1)
        late = [point for point in purse if (_end(person, point, yesterday) or date.max) <= today]
        gone += len(late)
        purse = [point for point in purse if not any(point is other for other in late)]
        for point in (point for points in away.values() for point in points):
            point.has_lapsed = point.has_lapsed or (_end(person, point, yesterday) or date.max) <= today
        for day, amount in person.came:
            for _ in range(amount if day == today else 0):
                if owed:
                    owed -= 1
                else:
                    purse.append(Point(today))
        for day, amount in person.went:
            for _ in range(amount if day == today else 0):
                point = _first(person, purse, today)
                owed += point is None
        for day, reward, amount in person.spent:
            for _ in range(amount if day == today else 0):
                point = _first(person, purse, today)
                owed += point is None
                away.setdefault(reward, []).extend([point] if point else [])
        for day, reward, amount in person.back:
            for _ in range(amount if day == today else 0):
                if owed:
                    owed -= 1
                else:
                    purse.append(_returned(person, away.get(reward, []), today))
        today += timedelta(days=1)
    left: dict[date | None, int] = {}
    for point in purse:
        end = _end(person, point, until)
        left[end] = left.get(end, 0) + 1
    return gone, left


def _first(person: Person, purse: list[Point], today: date) -> Point | None:
    """Take out the point that lapses soonest."""
    purse.sort(key=lambda point: (_end(person, point, today) or date.max, point.born, point.second is not None))
    return purse.pop(0) if purse else None


def _returned(person: Person, away: list[Point], today: date) -> Point:
    """The point that comes back: itself; where it would have lapsed meanwhile, one that lives thirty days more."""
    point = away.pop() if away else Point(today)
    if not point.has_lapsed:
        return point
    told = _in_force(person.terms, today)
    return Point(today, second=today + timedelta(days=30) if told and told[-1][1]["enabled"] else None)


def _end(person: Person, point: Point, known: date) -> date | None:
    """When a point lapses, by all that is known on a day: the latest day that any terms of its life allow."""
    told = _in_force(person.terms, known)
    if not told or not told[-1][1]["enabled"]:
        return None
    on = len(told) - 1
    while on > 0 and told[on - 1][1]["enabled"]:
        on -= 1
    clock = max(point.born, told[on][0])
    if point.second is not None and told[on][0] <= point.born:
        return point.second
    spell = told[on:]
    mine = [
        terms
        for number, (_, terms) in enumerate(spell)
        if number + 1 == len(spell) or spell[number + 1][0] > point.born
    ]
    ends = []
    for terms in mine:
        if terms["after"] == "age":
            ends.append(_months_after(clock, terms["months"]))
        else:
            last = max([day for day in person.active if day <= known], default=clock)
            ends.append(_months_after(max(clock, last), terms["months"]))
    return max(ends)


def _in_force(terms: Sequence[tuple[date, dict[str, Any]]], known: date) -> list[tuple[date, dict[str, Any]]]:
    """Those that were in force by a day, in order; of two of one day the later one only."""
    by_day = {day: one for day, one in terms if day <= known}
    return sorted(by_day.items(), key=lambda pair: pair[0])


def _months_after(day: date, months: int) -> date:
    year, month = day.year, day.month
    for _ in range(months):
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    for last in (day.day, 30, 29, 28):
        try:
            return date(year, month, min(day.day, last))
        except ValueError:
            continue
    raise AssertionError(day)
