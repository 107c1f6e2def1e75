"""Which tier somebody has, told a second time: day by day, by the words of the rules, sharing no code with them."""

from calendar import monthrange
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta


@dataclass(frozen=True)
class Bought:
    """One purchase: the day from which on it counts, and what it is worth from which day on."""

    worth: tuple[tuple[date, int], ...]

    def on(self, day: date) -> int:
        """What it is worth on a day."""
        return next((value for since, value in reversed(self.worth) if since <= day), 0)


@dataclass(frozen=True)
class Ladder:
    """What holds from a day on: name -> threshold, empty where tiers are off."""

    since: date
    steps: tuple[tuple[str, int], ...]
    over: str
    kept_months: int
    grace_days: int
    grandfather: bool

    def reach(self, total: int) -> str | None:
        """The highest tier that a sum is enough for."""
        return max((s for s in self.steps if s[1] <= total), key=lambda s: s[1], default=(None, 0))[0]

    def takes(self, name: str | None) -> int:
        """What a tier takes; none takes less than anything."""
        return dict(self.steps).get(name or "", -1)

    def below(self, name: str | None) -> str | None:
        """The next lower tier."""
        return self.reach(self.takes(name) - 1)


def months_on(day: date, months: int) -> date:
    """The same day so many months later, or that month's last."""
    year, month = day.year + (day.month - 1 + months) // 12, (day.month - 1 + months) % 12 + 1
    return date(year, month, min(day.day, monthrange(year, month)[1]))


def tiers_by_day(ladders: Sequence[Ladder], bought: Sequence[Bought], last: date) -> dict[date, str | None]:
    """Live through every day until the last, and note the tier in the evening."""
    day, tier, end, in_grace = min(one.since for one in ladders), None, date.max, False
    ladder: Ladder | None = None
    evenings: dict[date, str | None] = {}
    while day <= last:
        fresh = [one for one in ladders if one.since == day]
        entered = any(one.worth[0][0] <= day and one.worth[0][1] > 0 for one in bought)

        def total(now: Ladder, day: date = day) -> int:
            return sum(one.on(day) for one in bought if _counts(one.worth[0][0], day, now.over))

        if fresh:
            former, ladder = ladder, fresh[-1]
            same = former is not None and (former.steps, former.over) == (ladder.steps, ladder.over)
            if not same:
                reached = ladder.reach(total(ladder)) if entered else None
                stays = None
                if tier is not None and ladder.grandfather and former is not None:
                    price = former.takes(tier)
                    stays = tier if tier in dict(ladder.steps) else ladder.reach(price)
                if stays is not None and (
                    ladder.takes(stays) > ladder.takes(reached) or (stays == reached and stays == tier)
                ):
                    if former is not None and former.takes(tier) == 0:
                        end, in_grace = _end(day, ladder), False
                    tier = stays
                else:
                    tier, end, in_grace = reached, _end(day, ladder), False
        assert ladder is not None
        if entered and ladder.steps and any(one.worth[0][0] == day for one in bought):
            reached = ladder.reach(total(ladder))
            if ladder.takes(reached) > ladder.takes(tier) or (in_grace and reached == tier):
                tier, end, in_grace = reached, _end(day, ladder), False
        while tier is not None and ladder.takes(tier) > 0:
            if total(ladder) >= ladder.takes(tier):
                if day < end:
                    break
                end, in_grace = _end(day, ladder), False
            elif not in_grace:
                if day < end:
                    break
                in_grace = True
            elif day >= end + timedelta(days=ladder.grace_days):
                reached = ladder.reach(total(ladder))
                lower = ladder.below(tier)
                tier = lower if ladder.takes(lower) >= ladder.takes(reached) else reached
                end, in_grace = max(day, _end(end, ladder)), False
            else:
                break
        evenings[day] = tier
        day += timedelta(days=1)
    return evenings


def _counts(began: date, day: date, over: str) -> bool:
    if began > day:
        return False
    if over == "calendar_year":
        return began.year == day.year
    return over == "lifetime" or day < months_on(began, 12)


def _end(day: date, ladder: Ladder) -> date:
    end = months_on(day, ladder.kept_months)
    if ladder.over != "calendar_year" or (end.month, end.day) == (1, 1):
        return end
    return date(end.year + 1, 1, 1)
