"""What the home page works out from plain figures: days of a shop, sums, a picture, and how far the set-up is."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from integration.clock import SECOND, to_datetime

DAYS = 90
_WIDTH, _HEIGHT, _FLOOR, _TOP = 720, 142, 140, 2  # of the picture, in its own units
_EPOCH = date(1970, 1, 1)


class Figures(NamedTuple):
    """What happened in a time; points in micropoints."""

    issued: int = 0
    taken_back: int = 0
    redeemed: int = 0
    orders: int = 0
    repeats: int = 0  # of the orders, those by somebody who had bought before
    notes: int = 0
    asked: int = 0
    reviews: int = 0
    recovered: int = 0

    @property
    def repeat_share(self) -> float | None:
        """The share of orders by people who had bought before; None without any order."""
        return self.repeats / self.orders if self.orders else None


class Bar(NamedTuple):
    """One day's bars in the picture."""

    x: float
    width: float
    issued_y: float
    issued_height: float
    redeemed_y: float
    redeemed_height: float


class Picture(NamedTuple):
    """Points of each day as bars, in units of a view box `width` by `height`."""

    width: int
    height: int
    floor: int
    top: int
    bars: Sequence[Bar]
    most: int  # micropoints that the highest bar may stand for
    months: Sequence[date]  # the first day of each stretch of thirty, all equally wide


def day_of(instant: int, timezone: str) -> int:
    """Number the day of the shop's calendar an instant lies in, from 1970-01-01 on."""
    return (to_datetime(instant).astimezone(ZoneInfo(timezone)).date() - _EPOCH).days


def start_of(day: int, timezone: str) -> int:
    """Return the instant a day of the shop's calendar begins."""
    midnight = datetime.combine(date_of(day), datetime.min.time(), ZoneInfo(timezone))
    return int(midnight.timestamp()) * SECOND


def date_of(day: int) -> date:
    """Return the date a day's number stands for."""
    return _EPOCH + timedelta(days=day)


def summed(figures: Iterable[Figures]) -> Figures:
    """Add figures up."""
    columns = list(zip(*figures, strict=True))
    return Figures(*map(sum, columns)) if columns else Figures()


def picture(days: Sequence[Figures], last_day: int) -> Picture:
    """Draw the points issued and redeemed of consecutive days, the last of them `last_day`."""
    most = _round_up(max((max(day.issued, day.redeemed) for day in days), default=0))
    step = _WIDTH / max(len(days), 1)
    width = step * 0.4

    def height(amount: int) -> float:
        return round((_FLOOR - _TOP) * amount / most, 2) if most else 0.0

    bars = [
        Bar(
            round(place * step, 2),
            round(width, 2),
            round(_FLOOR - height(day.issued), 2),
            height(day.issued),
            round(_FLOOR - height(day.redeemed), 2),
            height(day.redeemed),
        )
        for place, day in enumerate(days)
    ]
    first = last_day - len(days) + 1
    months = [date_of(first + place) for place in range(0, len(days), 30)]
    return Picture(_WIDTH, _HEIGHT, _FLOOR, _TOP, bars, most, months)


def _round_up(amount: int) -> int:
    """Return the next one, two or five times a power of ten."""
    if amount <= 0:
        return 0
    power = int(10 ** (len(str(amount)) - 1))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= amount)
