"""What moved in a month, and what outstanding points are worth under stated assumptions; for the accountant to judge.

Points that a purchase brings are a promise: a part of what was paid belongs to it until it is kept or lapses. The part
is shared out by relative selling prices (IFRS 15, ASC 606): points weigh what they buy, less those nobody will spend.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple
from zoneinfo import ZoneInfo

from handlers.merchants.offers import OF_MONEY, Rewards
from handlers.points.rules import EXPIRED, ISSUED, MICRO
from handlers.points.statement import SPENT
from integration.clock import to_datetime
from integration.money import exponent

MOST_MONTHS = 24  # shown on the page; files hold all there are
YEAR = 12  # months; with less to look back on, what is never spent is assumed and not measured
BASE, APART = Decimal(35), Decimal(15)  # per cent never spent where nothing is known yet, and what is shown beside it
MOST_VALUE = Decimal(1_000_000)
WHOLE = Decimal(100)
_HELD = ("customer:", "unclaimed:")  # accounts of people; test ones begin otherwise


class Moved(NamedTuple):
    """What moved in a month, in micropoints; all but `adjusted` are net of what was undone."""

    issued: int = 0
    clawed_back: int = 0
    adjusted: int = 0  # by hand, forgiven, brought in by a file; below zero where more was taken
    redeemed: int = 0
    expired: int = 0

    @property
    def net(self) -> int:
        """What the month added to what is outstanding."""
        return self.issued - self.clawed_back + self.adjusted - self.redeemed - self.expired


class Month(NamedTuple):
    """One line of the roll-forward, in micropoints."""

    month: int  # as `month_of` numbers them
    opening: int
    moved: Moved

    @property
    def closing(self) -> int:
        """What is outstanding at its end."""
        return self.opening + self.moved.net

    @property
    def name(self) -> str:
        """Year and month: 2026-11."""
        return f"{self.month // 12:04}-{self.month % 12 + 1:02}"

    @property
    def first(self) -> date:
        """Its first day."""
        return date(self.month // 12, self.month % 12 + 1, 1)


class Assumed(NamedTuple):
    """What is assumed of points: what one buys, how many are never spent, and how much of their worth they cost."""

    value: Decimal  # major units of the programme's currency
    breakage: Decimal  # per cent of points
    cost: Decimal = WHOLE  # per cent of what is bought with them


class Worth(NamedTuple):
    """What outstanding points come to, in minor units."""

    breakage: Decimal
    deferred: int  # the part of what was paid that belongs to them
    cost: int  # what keeping the promise will cost


class Line(NamedTuple):
    """One line of the journal: the same amount on both sides, in minor units."""

    debit: str
    credit: str
    words: str
    points: int  # micropoints
    minor: int


LIABILITY, REVENUE, MARKETING = "Loyalty points (contract liability)", "Sales", "Goodwill and marketing"


def month_of(instant: int, timezone: str) -> int:
    """Number the month of the shop's calendar an instant lies in: 12 a year."""
    day = to_datetime(instant).astimezone(ZoneInfo(timezone))
    return day.year * 12 + day.month - 1


def moved(source: str, destination: str, micropoints: int, reason: str, sale: int | None) -> Moved | None:
    """Say what one entry of the ledger is to the roll-forward; None where people's points only change places."""
    gives, takes = source.startswith(_HELD), destination.startswith(_HELD)
    if gives == takes:
        return None
    sign, other = (1, source) if takes else (-1, destination)
    if other == SPENT:
        return Moved(redeemed=-sign * micropoints)
    if other == EXPIRED:
        return Moved(expired=-sign * micropoints)
    if reason in _BY_HAND or other != ISSUED:
        return Moved(adjusted=sign * micropoints)
    return Moved(issued=micropoints) if takes else Moved(clawed_back=micropoints)


_BY_HAND = frozenset({"adjustment", "forgiven", "goodwill", "import", "import_undone"})


def added(one: Moved, other: Moved) -> Moved:
    """Add two of them up."""
    return Moved(*(a + b for a, b in zip(one, other, strict=True)))


def rolled(months: Mapping[int, Moved], until: int) -> list[Month]:
    """Roll what moved forward, month by month from the first to `until`; months without anything among them."""
    lines: list[Month] = []
    outstanding = 0
    for month in range(min(months, default=until), until + 1):
        line = Month(month, outstanding, months.get(month, Moved()))
        lines.append(line)
        outstanding = line.closing
    return lines


def value_of(rewards: Rewards) -> Decimal | None:
    """Work out what a point buys at most, by the rewards worth a fixed amount of money; None where there are none."""
    worth = [each.value / each.points for each in rewards.catalogue.values() if each.enabled and each.kind in OF_MONEY]
    return max(worth, default=None) if rewards.enabled else None


def measured(months: Sequence[Month]) -> Decimal | None:
    """Measure the per cent of points never spent, by those a year old or older; None where there is too little.

    What was redeemed so far over what was issued until a year ago: an estimate that leans towards spending.
    """
    if len(months) <= YEAR:
        return None
    old = sum(line.moved.issued + line.moved.adjusted - line.moved.clawed_back for line in months[:-YEAR])
    if old <= 0:
        return None
    spent = min(old, sum(line.moved.redeemed for line in months))
    return (WHOLE * (old - spent) / old).quantize(Decimal(1), ROUND_HALF_UP)


def per_point(assumed: Assumed, per_unit: Decimal, currency: str) -> Decimal:
    """Return the minor units carried for one outstanding point.

    `per_unit` is how many points one major unit earns. What is paid, P, is shared between goods and points by
    P : S with S = points x value x (1 - breakage); a point's part is S / (P + S) of P over its number.
    """
    stand_alone = assumed.value * (WHOLE - assumed.breakage) / WHOLE
    return stand_alone / (1 + per_unit * stand_alone) * Decimal(10) ** exponent(currency)


def worth(micropoints: int, assumed: Assumed, per_unit: Decimal, currency: str) -> Worth:
    """Say what outstanding points come to; points that are owed count as they stand."""
    points = Decimal(micropoints) / MICRO
    cost = points * assumed.value * (WHOLE - assumed.breakage) / WHOLE * assumed.cost / WHOLE * 10 ** exponent(currency)
    return Worth(assumed.breakage, _whole(points * per_point(assumed, per_unit, currency)), _whole(cost))


def spread(breakage: Decimal) -> tuple[Decimal, Decimal, Decimal]:
    """Return what is shown beside an assumption: fewer never spent, as assumed, more; never beyond all or none."""
    return max(Decimal(0), breakage - APART), breakage, min(WHOLE, breakage + APART)


def journal(month: Month, assumed: Assumed, per_unit: Decimal, currency: str) -> list[Line]:
    """Write a month as journal lines: every point is carried at the same amount, so opening and closing tie.

    The last line evens out rounding, where there is any.
    """
    each, moves = per_point(assumed, per_unit, currency), month.moved
    lines = [
        _line(LIABILITY, REVENUE, "Points issued with purchases", -moves.issued, each),
        _line(LIABILITY, REVENUE, "Points taken back with refunds", moves.clawed_back, each),
        _line(LIABILITY, MARKETING, "Points given or taken by hand", -moves.adjusted, each),
        _line(LIABILITY, REVENUE, "Points redeemed", moves.redeemed, each),
        _line(LIABILITY, REVENUE, "Points expired", moves.expired, each),
    ]
    carried = _carried(month.closing, each) - _carried(month.opening, each)
    off = carried - sum(line.minor if line.credit == LIABILITY else -line.minor for line in lines)
    if off:
        sides = (REVENUE, LIABILITY) if off > 0 else (LIABILITY, REVENUE)
        lines.append(Line(*sides, "Rounding", 0, abs(off)))
    return [line for line in lines if line.minor or line.points]


def _line(debit: str, credit: str, words: str, micropoints: int, each: Decimal) -> Line:
    """Write one line; below zero, the sides change places."""
    sides = (debit, credit) if micropoints >= 0 else (credit, debit)
    return Line(*sides, words, abs(micropoints), _carried(abs(micropoints), each))


def _carried(micropoints: int, each: Decimal) -> int:
    return _whole(Decimal(micropoints) / MICRO * each)


def _whole(amount: Decimal) -> int:
    return int(amount.quantize(Decimal(1), ROUND_HALF_UP))


class Bar(NamedTuple):
    """One month of the picture, in units of its view box."""

    x: float
    y: float
    width: float
    height: float


WIDTH, HEIGHT = 720, 180


def bars(months: Iterable[Month]) -> list[Bar]:
    """Draw what is outstanding at the end of each month; what is owed all in all is drawn as nothing."""
    shown = list(months)
    most = max((line.closing for line in shown), default=0)
    step = WIDTH / max(len(shown), 1)
    found = []
    for place, line in enumerate(shown):
        height = HEIGHT * max(0, line.closing) / most if most > 0 else 0.0
        x, width = round(place * step + step * 0.1, 2), round(step * 0.8, 2)
        found.append(Bar(x, round(HEIGHT - height, 2), width, round(height, 2)))
    return found
