"""Which tier a person has, since when and until when: a pure function of their sales, the programme's terms and now.

It depends on nothing but what happened and when: not on the order in which it was told, nor on when this was worked
out before. Loyalty rules, "tier": what is pending does not count; the highest tier at once; kept until the end of its
time and the grace after it; lost one step at a time; a refund takes no tier away before that.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import accumulate
from typing import NamedTuple
from zoneinfo import ZoneInfo

from handlers.merchants.fields import instant_of
from handlers.merchants.rules import Version
from handlers.merchants.tiering import Tiers
from handlers.points.lots import months_later
from handlers.points.rules import MICRO, exchange_rate, micropoints
from handlers.sales.returns import counted_since
from handlers.sales.rules import Sale
from integration.clock import DAY, to_datetime
from integration.money import exponent

_NEVER = 2**62
REACHED, ENDING, LOST = "tier_reached", "tier_ending", "tier_lost"  # what people are told of
NOTICE_DAYS = (60, 30)  # before a tier is lost: loyalty rules, "tier"
FRESH = 3 * DAY  # what is longer ago is no news any more


class Step(NamedTuple):
    """What a sale counts for from an instant on: points, and money of the programme's currency, in millionths."""

    at: int
    points: int
    spend: int


Merit = tuple[Step, ...]
"""What one sale counts for: nothing before its hold is over, then ever less as goods go back."""


class Terms(NamedTuple):
    """How tiers are reached and kept, and since when that holds."""

    since: int
    tiers: Tiers


class Grant(NamedTuple):
    """A tier the merchant gave somebody: nothing less (a floor), or nothing more; None = no tier at all."""

    at: int
    until: int | None  # None = for good
    tier: str | None
    is_floor: bool


class Standing(NamedTuple):
    """Where somebody stands on the ladder at an instant."""

    tier: str | None = None
    since: int = 0
    until: int | None = None  # the end of the time it is kept for, before grace; None = nothing ends
    falls_at: int | None = None  # when it will be lost, as things are
    missing: int = 0  # of what it takes to keep it, in millionths
    next_at: int | None = None  # the next instant at which the clock changes something
    history: tuple[tuple[int, str | None], ...] = ()  # the tier from each instant on
    score: int = 0  # what counts now, in millionths


def merit(sale: Sale) -> Merit:
    """Say what a sale counts for towards a tier: what it earns without campaigns, under the terms it was sold under."""
    worth, version = sale.worth, sale.earns_under
    if version is None or not version.program.earning.enabled or worth.test:
        return ()
    if worth.currency is None or worth.sold_at is None:
        return ()
    earning, currency = version.program.earning, worth.currency
    rate = exchange_rate(currency, sale.shop.currency, earning)
    if rate is None:
        return ()
    steps = counted_since(sale, worth.sold_at + earning.hold_days * DAY)
    if not any(minor for _, minor in steps):
        return ()
    units = int(rate * MICRO)
    return tuple(
        Step(at, micropoints(minor, currency, earning, rate), minor * units // 10 ** exponent(currency))
        for at, minor in steps
    )


def terms_of(versions: Iterable[Version], now: int) -> list[Terms]:
    """List the terms a programme had until now, in order, each where it differs from the one before."""
    found: list[Terms] = []
    for version in sorted(versions, key=lambda v: (v.in_force_at, v.number)):
        if version.in_force_at > now:
            break
        if found and found[-1].since == version.in_force_at:
            found.pop()
        if not found or found[-1].tiers != version.program.tiers:
            found.append(Terms(version.in_force_at, version.program.tiers))
    return found


def replaces(versions: Iterable[Version], after: int, now: int) -> bool:
    """Tell whether versions in force by now, behind one that everybody was looked at under, can move or tell anybody.

    Each is compared with the one before it: what was changed and changed back may have cost somebody their tier.
    """
    before: object = None
    for version in sorted(versions, key=lambda v: v.number):
        terms = _deciding(version.program.tiers)
        if after < version.number and version.in_force_at <= now and terms != before:
            return True
        before = terms
    return False


def _deciding(tiers: Tiers) -> object:
    """Return what of the terms decides where people stand and what they are told; None where there are none."""
    if not tiers.enabled:
        return None
    said: dict[str, object] = {"name": "", "perks": "", "multiplier": Decimal(1), "tag": ""}  # which moves nobody
    ladder = {
        # Points that are for newcomers alone are nothing to whoever is there.
        key: each.model_copy(update=said if each.entry_for == "everybody" else {**said, "entry_points": 0})
        for key, each in tiers.ladder.items()
    }
    return tiers.model_copy(update={"ladder": ladder})


def in_force(versions: Iterable[Version], now: int) -> Tiers:
    """Return the ladder that holds at an instant."""
    terms = terms_of(versions, now)
    return terms[-1].tiers if terms else Tiers()


def stand(terms: Sequence[Terms], merits: Iterable[Merit], now: int) -> Standing:
    """Say where somebody stands at an instant, going through all that happened until then."""
    counted = [each for each in merits if each]
    walk = _Walk(min((each[0].at for each in counted if each[0].points or each[0].spend), default=_NEVER))
    for place, (since, tiers) in enumerate(terms):
        ends = terms[place + 1].since if place + 1 < len(terms) else now + 1
        walk.come_under(tiers, counted, since)
        for at in sorted({each[0].at for each in counted if since < each[0].at < ends}):
            walk.wait(at)
            walk.rise(at)
        walk.wait(ends)
    return walk.standing(now, [each[0].at for each in counted])


class _Score:
    """How much counts at every instant, under one set of terms."""

    def __init__(self, merits: Iterable[Merit], tiers: Tiers) -> None:
        changes: dict[int, int] = {}
        for each in merits:
            leaves, before = _leaves(each[0].at, tiers), 0
            for step in each:
                if step.at >= leaves:
                    break
                value = step.points if tiers.by == "points" else step.spend
                changes[step.at] = changes.get(step.at, 0) + value - before
                before = value
            if leaves < _NEVER:
                changes[leaves] = changes.get(leaves, 0) - before
        self._instants = sorted(changes)
        self._sums = list(accumulate(changes[at] for at in self._instants))

    def at(self, instant: int) -> int:
        place = bisect_right(self._instants, instant)
        return self._sums[place - 1] if place else 0


@dataclass(slots=True)
class _Walk:
    """One person on the ladder while time goes by; level -1 = below it."""

    entered: int  # when something of theirs first counted
    tiers: Tiers = field(default_factory=Tiers)
    score: _Score = field(default_factory=lambda: _Score((), Tiers()))
    ladder: tuple[tuple[str, int], ...] = ()  # id and threshold in millionths, ascending
    level: int = -1
    since: int = 0
    until: int = _NEVER
    late: bool = False  # its time is over, the grace is not
    began: int = 0  # when these terms did: none of their deadlines lies before
    history: list[tuple[int, str | None]] = field(default_factory=list)

    def come_under(self, tiers: Tiers, merits: Sequence[Merit], at: int) -> None:
        """Put the person under other terms; whoever has a tier keeps it where the terms say so."""
        had, before = self.ladder[self.level] if self.level >= 0 else None, self.ladder
        measure = (self.tiers.by, self.tiers.over)
        self.tiers, self.began = tiers, at
        self.ladder = tuple((key, each.threshold * MICRO) for key, each in tiers.ascending) if tiers.enabled else ()
        if self.ladder == before and measure == (tiers.by, tiers.over):
            return
        self.score = _Score(merits, tiers)
        earned, kept = self.earned(at), -1
        if had is not None and tiers.grandfather:
            kept = self._nearest(had, comparable=measure[0] == tiers.by)
        if kept > earned or (kept == earned and had is not None and had[0] == self._name(kept)):
            # For as long as it was promised; what took nothing had no end.
            self.level = kept
            if had is None or not had[1]:
                self.until, self.late = self._period_end(at), False
            if had is not None and tiers.kept_at_least_until > max(self.until, at):
                self.until, self.late = tiers.kept_at_least_until, False
            self._note(at)
        else:
            self._put(earned, at, self._period_end(at))

    def _nearest(self, had: tuple[str, int], *, comparable: bool) -> int:
        """Find the tier somebody had on the new ladder, else the highest one that took no more."""
        for level, (key, _) in enumerate(self.ladder):
            if key == had[0]:
                return level
        return sum(1 for _, threshold in self.ladder if threshold <= had[1]) - 1 if comparable else -1

    def earned(self, at: int) -> int:
        """The level that what counts at an instant is enough for."""
        if at < self.entered:
            return -1
        score = self.score.at(at)
        return sum(1 for _, threshold in self.ladder if threshold <= score) - 1

    def rise(self, at: int) -> None:
        """Let what begins to count at an instant have its effect."""
        earned = self.earned(at)
        if earned > self.level:
            self._put(earned, at, self._period_end(at))
        elif self.late and earned == self.level:
            self.until, self.late = self._period_end(at), False

    def wait(self, until: int) -> None:
        """Let the clock have its effect on everything before an instant."""
        while (due := self._due()) is not None and due < until:
            if self.earned(due) >= self.level:
                self.until, self.late = self._period_end(due), False
            elif not self.late:
                self.late = True
            else:
                self._put(max(self.level - 1, self.earned(due)), due, max(due, self._period_end(self.until)))

    def _due(self) -> int | None:
        if self.level < 0 or not self.ladder[self.level][1]:
            return None  # What takes nothing is never lost.
        return max(self.began, self.until + self.tiers.grace_days * DAY if self.late else self.until)

    def _put(self, level: int, at: int, until: int) -> None:
        self.level, self.since, self.until, self.late = level, at, until, False
        self._note(at)

    def _note(self, at: int) -> None:
        name = self._name(self.level)
        if (self.history[-1][1] if self.history else None) != name:
            self.history.append((at, name))
            self.since = at

    def _name(self, level: int) -> str | None:
        return self.ladder[level][0] if level >= 0 else None

    def _period_end(self, at: int) -> int:
        """Return until when a tier is kept that is reached, or kept anew, at an instant."""
        end = months_later(at, self.tiers.kept_months)
        if self.tiers.over != "calendar_year":
            return end
        # What is reached within a year is kept to the end of the next; zones change, so a day does not matter.
        return _year_start(_year(end - DAY, self.tiers) + 1, self.tiers)

    def standing(self, now: int, begins: Sequence[int]) -> Standing:
        """Say where the person stands, and when to look again."""
        name, due, score = self._name(self.level), self._due(), self.score.at(now)
        later = [at for at in begins if at > now] if self.ladder else []
        if due is None:
            since = self.since if name else 0
            return Standing(name, since, next_at=min(later, default=None), history=tuple(self.history), score=score)
        # What is on hold by now, and will count in time, helps.
        falls_at = max(self.began, self.until + self.tiers.grace_days * DAY)
        looks = [max(now, self.until), *(at for at in later if self.until <= at <= falls_at)]
        missing = max(0, self.ladder[self.level][1] - max(map(self.score.at, looks)))
        return Standing(
            name,
            self.since,
            self.until,
            falls_at if missing else None,
            missing,
            min([due, *later]),
            tuple(self.history),
            score,
        )


def _leaves(at: int, tiers: Tiers) -> int:
    """Return when what began to count at an instant counts no more."""
    match tiers.over:
        case "rolling_12_months":
            return months_later(at, 12)
        case "calendar_year":
            return _year_start(_year(at, tiers) + 1, tiers)
    return _NEVER


def _year(instant: int, tiers: Tiers) -> int:
    return to_datetime(instant).astimezone(ZoneInfo(tiers.timezone or "UTC")).year


def _year_start(year: int, tiers: Tiers) -> int:
    return instant_of(f"{year}-01-01", tiers.timezone or "UTC", end=False)


def by_hand(standing: Standing, given: Iterable[Sequence[Grant]], tiers: Tiers, now: int) -> Standing:
    """Lay what the merchant gave over what was earned; `given` to each number of one person apart.

    Of what was given to one number the last word that holds counts. Of two people who turned out to be one, the higher
    tier does.
    """
    held, soon = [], [] if standing.next_at is None else [standing.next_at]
    for grants in given:
        soon += [at for each in grants for at in (each.at, each.until) if at is not None and at > now]
        if (holds := holding(grants, now)) is not None:
            held.append(holds)
    shown = standing._replace(next_at=min(soon, default=None))
    for one in sorted(held, key=lambda grant: grant.is_floor):
        tier = laid_over(shown.tier, one, tiers)
        if tier != shown.tier:
            shown = shown._replace(tier=tier, since=one.at, until=one.until, falls_at=None, missing=0)
    return shown


def holding(grants: Iterable[Grant], instant: int) -> Grant | None:
    """Find the grant that holds at an instant: the last one given, unless its time is over."""
    last = max((each for each in grants if each.at <= instant), key=lambda g: g.at, default=None)
    return last if last is not None and (last.until is None or instant < last.until) else None


def tier_at(
    history: Sequence[tuple[int, str | None]], given: Iterable[Sequence[Grant]], terms: Sequence[Terms], instant: int
) -> str | None:
    """Say which tier somebody held just before an instant: what was bought then did not count yet.

    It follows from what was before the instant alone, so that nothing that goes back later changes it.
    """
    tier = next((name for at, name in reversed(history) if at < instant), None)
    tiers = next((one.tiers for one in reversed(terms) if one.since <= instant), Tiers())
    held = [grant for grants in given if (grant := holding(grants, instant)) is not None]
    for one in sorted(held, key=lambda grant: grant.is_floor):
        tier = laid_over(tier, one, tiers)
    return tier


def laid_over(earned: str | None, grant: Grant | None, tiers: Tiers) -> str | None:
    """Say which of two tiers counts; a tier that is not on the ladder any more, or a ladder that is off, never does."""
    order: list[str | None] = [None, *(key for key, _ in tiers.ascending)] if tiers.enabled else [None]
    if grant is None or grant.tier not in order or earned not in order:
        return earned
    pick = max if grant.is_floor else min
    return pick(earned, grant.tier, key=lambda tier: order.index(tier))


def entry_points(earned: Standing, terms: Sequence[Terms]) -> int:
    """Say how many points the tier somebody has by what they bought brings them, once ever.

    They are for whoever reached it from below under terms that had them; terms may also give them to everybody there.
    """
    tier = terms[-1].tiers.ladder.get(earned.tier or "") if terms else None
    if tier is None:
        return 0
    if tier.entry_for == "everybody":
        return tier.entry_points
    at = earned.history[-1][0]
    before = earned.history[-2][1] if len(earned.history) > 1 else None
    under = next(one.tiers for one in reversed(terms) if one.since <= at)
    order = [None, *(key for key, _ in under.ascending)]
    if before not in order or order.index(before) > order.index(earned.tier):
        return 0
    return under.ladder[earned.tier or ""].entry_points


# --- What people are told of -------------------------------------------------------------------


class News(NamedTuple):
    """Something about somebody's tier they are told once."""

    kind: str
    tail: str  # of its message's key: which tier, and which time


def news(earned: Standing, shown: Standing, terms: Sequence[Terms], now: int) -> list[News]:
    """List what somebody may be told now of the tier they have by what they bought.

    Nothing of what the merchant did: edits of the ladder and tiers by hand are told of by whoever made them.
    """
    tiers = terms[-1].tiers if terms else Tiers()
    if not tiers.enabled or not tiers.tell or shown.tier != earned.tier:
        return []
    moved = _moved(earned.history, terms, now)
    found = [moved] if moved is not None else []
    if shown.falls_at is not None and now < shown.falls_at:
        due = [days for days in NOTICE_DAYS if shown.falls_at - days * DAY <= now]
        if due:
            found.append(News(ENDING, f"{shown.tier}:{to_datetime(shown.falls_at):%Y-%m-%d}:{min(due)}"))
    return found


def _moved(history: Sequence[tuple[int, str | None]], terms: Sequence[Terms], now: int) -> News | None:
    """Name the last move on the ladder where it is news: the how manieth time it was is part of its name."""
    if not history:
        return None
    at, tier = history[-1]
    before = history[-2][1] if len(history) > 1 else None
    held = next((one for one in reversed(terms) if one.since <= at), None)
    if held is None or at <= now - FRESH or at == held.since or not held.tiers.tell:
        return None
    order = [None, *(key for key, _ in held.tiers.ascending)]
    if tier not in order or before not in order:
        return None
    kind, named = (REACHED, tier) if order.index(tier) > order.index(before) else (LOST, before)
    return News(kind, f"{named}:{sum(1 for _, each in history if each == named)}")


def next_notice(shown: Standing, tiers: Tiers, now: int) -> int | None:
    """Say when the next warning is due; None where none will be, as things are."""
    if not tiers.tell or shown.falls_at is None:
        return None
    return min((at for days in NOTICE_DAYS if (at := shown.falls_at - days * DAY) > now), default=None)


def news_keys(kind: str, numbers: Iterable[int], tail: str) -> list[str]:
    """Return the keys one letter has under each of a person's numbers: whoever was merged is told once."""
    return [f"{kind}:customer:{number}:{tail}" for number in numbers]
