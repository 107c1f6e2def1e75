"""Lots of points in the order they lapse: what has lapsed by now, and what will when; pure arithmetic.

A lot is what one sale or one grant brought. Loyalty rules, "expiry": a debit takes from the lot that lapses soonest;
what is left of a lot lapses with it; switching expiry on never hits points before one full period, and a change of
terms never hits a lot that was there before, except in its favour.
"""

import calendar
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from handlers.merchants.rules import Expiry, Version
from integration.clock import DAY, SECOND, to_datetime


class Terms(NamedTuple):
    """How points lapse, and since when that holds."""

    since: int
    expiry: Expiry


class Credit(NamedTuple):
    """Points that could be spent from an instant on."""

    at: int
    micropoints: int


class Debit(NamedTuple):
    """Points that were spent or taken away; `reward` names what they were set aside for, where it was a reward."""

    at: int
    micropoints: int
    reward: str | None = None


class Return(NamedTuple):
    """Points of a reward that came back: into the lots they were taken from."""

    at: int
    micropoints: int
    reward: str


class Story(NamedTuple):
    """All that happened to one person's points; `active` are the instants at which they earned or spent any."""

    credits: Sequence[Credit] = ()
    debits: Sequence[Debit] = ()
    active: Sequence[int] = ()
    returns: Sequence[Return] = ()


class Open(NamedTuple):
    """What is left of a lot, and when it lapses (None: never, as the terms are)."""

    lapses_at: int | None
    micropoints: int


class Lots(NamedTuple):
    """How a person's points stand: lapsed so far, and what is left, the soonest to lapse first."""

    lapsed: int
    left: tuple[Open, ...]

    @property
    def next_at(self) -> int | None:
        """When points lapse next; None where none will."""
        return self.left[0].lapses_at if self.left else None

    def lapsing_before(self, instant: int) -> int:
        """Sum up what lapses before an instant, in micropoints."""
        return sum(lot.micropoints for lot in self.left if lot.lapses_at is not None and lot.lapses_at < instant)


def terms_of(versions: Iterable[Version], now: int) -> list[Terms]:
    """List the terms a programme had until now, in order, each where it differs from the one before."""
    found: list[Terms] = []
    for version in sorted(versions, key=lambda v: (v.in_force_at, v.number)):
        if version.in_force_at > now:
            break
        if found and found[-1].since == version.in_force_at:
            found.pop()
        mine = version.program.expiry
        if not found or _differ(found[-1].expiry, mine):
            found.append(Terms(version.in_force_at, mine))
    return found


def _differ(one: Expiry, other: Expiry) -> bool:
    return (one.enabled, one.after, one.months) != (other.enabled, other.after, other.months)


@lru_cache(maxsize=65_536)
def months_later(instant: int, months: int) -> int:
    """Return the same time of day so many months on, in UTC; of a shorter month its last day."""
    moment = to_datetime(instant)
    year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    day = min(moment.day, calendar.monthrange(year, month + 1)[1])
    return (
        int(moment.replace(year=year, month=month + 1, day=day, microsecond=0).timestamp()) * SECOND + instant % SECOND
    )


def play(terms: Sequence[Terms], story: Story, now: int) -> Lots:
    """Go through everything that happened until now, in order, and let lapse what does in between.

    The end depends on nothing but what happened and when: not on the order in which it was told, nor on when
    this was worked out before.
    """
    events: list[tuple[int, int, Terms | Credit | Debit | Return | None]] = [(one.since, 0, one) for one in terms]
    events += [(at, 1, None) for at in story.active]
    events += [(one.at, 2, one) for one in story.credits]
    events += [(one.at, 3, one) for one in story.debits]
    events += [(one.at, 4, one) for one in story.returns]
    purse = _Purse()
    for at, _, event in sorted((e for e in events if e[0] <= now), key=lambda e: (e[0], e[1])):
        purse.lapse(at)
        match event:
            case Terms():
                purse.change(event)
            case Credit():
                purse.fill(event)
            case Debit():
                purse.take(event)
            case Return():
                purse.give_back(event)
            case None:
                purse.active_at = at
    purse.lapse(now)
    left = sorted((purse.lapses_at(lot), lot.start, lot.left) for lot in purse.lots if lot.left)
    return Lots(purse.lapsed, tuple(Open(None if at == _NEVER else at, amount) for at, _, amount in left))


_NEVER = 2**62
SECOND_LIFE = 30 * DAY  # of points that come back after their lot has lapsed (loyalty rules, "redeemed order refunded")


@dataclass(slots=True)
class _Lot:
    start: int  # of its clock
    left: int
    months_of_age: int = 0  # the longest period of each kind that held while it was there; 0 = none did
    months_idle: int = 0
    away: int = 0  # for rewards whose points may still come back
    second_end: int = 0  # of points that came back after their lot had lapsed; 0 = this is no such lot
    has_lapsed: bool = False


class _Purse:
    """One person's lots while time goes by."""

    def __init__(self) -> None:
        self.lots: list[_Lot] = []
        self.lapsed = 0
        self.active_at = 0
        self._taken: dict[str, list[tuple[_Lot, int]]] = {}  # by reward, what lapses last at the end
        self._debt = 0  # taken away when nothing was left: the next points pay it
        self._terms: Expiry | None = None
        self._soonest = _NEVER  # no lot lapses before

    def lapses_at(self, lot: _Lot) -> int:
        if lot.second_end:
            return lot.second_end
        aged = months_later(lot.start, lot.months_of_age) if lot.months_of_age else 0
        idle = months_later(max(lot.start, self.active_at), lot.months_idle) if lot.months_idle else 0
        return max(aged, idle) or _NEVER

    def lapse(self, now: int) -> None:
        if now < self._soonest:
            return
        for lot in self.lots:
            if self.lapses_at(lot) <= now:
                self.lapsed += lot.left
                lot.left, lot.has_lapsed = 0, True
        self.lots = [lot for lot in self.lots if not lot.has_lapsed]
        self._soonest = min(map(self.lapses_at, self.lots), default=_NEVER)

    def change(self, terms: Terms) -> None:
        was_on = self._terms is not None and self._terms.enabled
        self._terms = terms.expiry
        for lot in self.lots:
            if not was_on or not terms.expiry.enabled:
                # One full period from the day it is switched on, whatever went before.
                lot.start, lot.months_of_age, lot.months_idle = max(lot.start, terms.since), 0, 0
                lot.second_end = 0
            self._put_under_terms(lot)
        self._soonest = min(map(self.lapses_at, self.lots), default=_NEVER)

    def _put_under_terms(self, lot: _Lot) -> None:
        if self._terms is None or not self._terms.enabled:
            return
        if self._terms.after == "age":
            lot.months_of_age = max(lot.months_of_age, self._terms.months)
        else:
            lot.months_idle = max(lot.months_idle, self._terms.months)

    def fill(self, credit: Credit) -> None:
        paid = min(self._debt, credit.micropoints)
        self._debt -= paid
        if credit.micropoints > paid:
            lot = _Lot(credit.at, credit.micropoints - paid)
            self._put_under_terms(lot)
            self.lots.append(lot)
            self._soonest = min(self._soonest, self.lapses_at(lot))

    def take(self, debit: Debit) -> None:
        amount = debit.micropoints
        taken_from = self._taken.setdefault(debit.reward, []) if debit.reward is not None else None
        for lot in sorted(self.lots, key=lambda one: (self.lapses_at(one), one.start, one.second_end)):
            taken = min(lot.left, amount)
            lot.left -= taken
            amount -= taken
            if taken and taken_from is not None:
                taken_from.append((lot, taken))
                lot.away += taken
        self.lots = [lot for lot in self.lots if lot.left or lot.away]
        self._debt += amount

    def give_back(self, back: Return) -> None:
        """Put points of a reward back into their lots, those that lapse last first; a debt is paid before.

        A lot that has lapsed meanwhile lives a little longer with what came back. What no lot is known of is a new one.
        """
        taken_from = self._taken.get(back.reward, [])
        paid = min(self._debt, back.micropoints)
        self._debt -= paid
        amount = back.micropoints - paid
        while amount and taken_from:
            lot, taken = taken_from.pop()
            returned = min(taken, amount)
            amount -= returned
            lot.away -= returned
            if taken > returned:
                taken_from.append((lot, taken - returned))
            if not lot.has_lapsed:
                lot.left += returned
            elif self._terms is not None and self._terms.enabled:
                self.lots.append(_Lot(back.at, returned, second_end=back.at + SECOND_LIFE))
            else:
                self.lots.append(_Lot(back.at, returned))
        self._soonest = min(map(self.lapses_at, self.lots), default=_NEVER)
        if amount:
            self.fill(Credit(back.at, amount))
