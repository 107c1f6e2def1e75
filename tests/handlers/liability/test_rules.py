"""What a month's movements are worth: sums that tie, and the examples accountants know."""

from decimal import Decimal
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from handlers.liability.rules import (
    LIABILITY,
    Assumed,
    Moved,
    journal,
    measured,
    month_of,
    moved,
    per_point,
    rolled,
    spread,
    value_of,
    worth,
)
from handlers.merchants.offers import Reward, Rewards
from handlers.points.rules import MICRO
from integration.clock import from_iso

CENT = Assumed(Decimal("0.01"), Decimal(35))
AMOUNTS = st.integers(0, 10**15)
MOVES = st.builds(Moved, AMOUNTS, AMOUNTS, st.integers(-(10**15), 10**15), AMOUNTS, AMOUNTS)


def test_what_an_entry_is_to_the_books() -> None:
    """By the accounts it moves between; people's own points only change places."""
    mine, pending = "customer:7:available", "customer:7:pending"
    assert moved("program:issued", pending, 5, "earn", 1) == Moved(issued=5)
    assert moved(pending, mine, 5, "release", 1) is None
    assert moved(mine, "program:issued", 5, "refund", 1) == Moved(clawed_back=5)
    assert moved("unclaimed:available", "customer:7:available", 5, "claim", 1) is None
    assert moved("program:issued", mine, 5, "adjustment", None) == Moved(adjusted=5)
    assert moved(mine, "program:issued", 5, "adjustment", None) == Moved(adjusted=-5)
    assert moved("customer:7:reserved", "program:redeemed", 5, "redeemed", None) == Moved(redeemed=5)
    assert moved("program:redeemed", mine, 5, "restored", None) == Moved(redeemed=-5)
    assert moved(mine, "program:expired", 5, "expiry", None) == Moved(expired=5)
    assert moved("program:issued", "test:customer:7:pending", 5, "earn", 1) is None


def test_a_month_is_of_the_shops_calendar() -> None:
    """The last evening of November in New York is December in Paris."""
    at = from_iso("2026-12-01T02:00:00Z")
    assert month_of(at, "America/New_York") == 2026 * 12 + 10
    assert month_of(at, "Europe/Paris") == 2026 * 12 + 11


def test_points_weigh_what_they_buy_against_what_was_paid() -> None:
    """100,000 paid for 10,000 points of 1.00 that are spent to 97 per cent: about 8,842 belong to the points."""
    assumed = Assumed(Decimal(1), Decimal(3))
    found = worth(10_000 * MICRO, assumed, Decimal("0.1"), "USD")
    assert found.deferred == 884_230
    assert found.cost == 970_000


def test_points_that_buy_nothing_or_are_never_spent_carry_nothing() -> None:
    """Nothing is promised by them."""
    assert per_point(Assumed(Decimal(0), Decimal(10)), Decimal(3), "USD") == 0
    assert worth(MICRO, Assumed(Decimal(1), Decimal(100)), Decimal(3), "USD").deferred == 0


def test_money_is_in_the_currencys_own_units() -> None:
    """A yen has no hundredths."""
    assumed = Assumed(Decimal(1), Decimal(0))
    assert worth(1_000 * MICRO, assumed, Decimal(0), "JPY").deferred == 1_000
    assert worth(1_000 * MICRO, assumed, Decimal(0), "EUR").deferred == 100_000


@given(st.dictionaries(st.integers(24_000, 24_040), MOVES, max_size=12))
def test_opening_and_movements_come_to_closing(months: dict[int, Moved]) -> None:
    """Every month begins where the one before ended, months without anything among them."""
    lines = rolled(months, 24_041)
    assert [line.month for line in lines] == list(range(lines[0].month, 24_042))
    assert all(after.opening == line.closing for line, after in pairwise(lines))
    assert lines[-1].closing == sum(each.net for each in months.values())


@given(MOVES, AMOUNTS, st.decimals(0, 5, places=3), st.decimals(0, 100, places=1), st.decimals(0, 100, places=2))
def test_journal_lines_carry_the_liability_from_opening_to_closing(
    moves: Moved, opening: int, value: Decimal, breakage: Decimal, per_unit: Decimal
) -> None:
    """To the last cent, whatever is rounded on the way."""
    months = {24_000: Moved(issued=opening), 24_001: moves}
    line, assumed = rolled(months, 24_001)[-1], Assumed(value, breakage)
    lines = journal(line, assumed, per_unit, "USD")
    carried = sum(each.minor if each.credit == LIABILITY else -each.minor for each in lines)
    before, after = (worth(amount, assumed, per_unit, "USD").deferred for amount in (line.opening, line.closing))
    assert carried == after - before
    assert all(each.minor >= 0 and each.debit != each.credit for each in lines)
    assert all(each.minor <= 10 for each in lines if each.words == "Rounding")


def test_what_is_never_spent_is_measured_after_a_year_alone() -> None:
    """By points that are a year old: half of them spent is half of them left."""
    year = {24_000 + month: Moved() for month in range(12)}
    young = rolled(year | {24_000: Moved(issued=100)}, 24_011)
    assert measured(young) is None
    old = rolled(year | {24_000: Moved(issued=100), 24_005: Moved(redeemed=50)}, 24_012)
    assert measured(old) == 50
    assert measured(rolled({}, 24_012)) is None


def test_what_a_point_buys_is_taken_from_rewards_of_fixed_value() -> None:
    """The best of them; those that are off, or a share of an order, say nothing."""
    five = Reward(name="5 off", kind="amount_off", points=500, value=Decimal(5))
    ten = Reward(name="10 off", kind="amount_off", points=800, value=Decimal(10))
    share = Reward(name="Tenth", kind="percentage_off", points=1, percent=Decimal(10))
    assert value_of(Rewards(enabled=True, catalogue={"a": five, "b": ten, "c": share})) == Decimal("0.0125")
    assert value_of(Rewards(enabled=True, catalogue={"c": share})) is None
    assert value_of(Rewards(enabled=False, catalogue={"a": five})) is None


def test_less_and_more_are_shown_beside_an_assumption() -> None:
    """Never beyond all or none."""
    assert spread(Decimal(35)) == (20, 35, 50)
    assert spread(Decimal(5)) == (0, 5, 20)
    assert spread(Decimal(95)) == (80, 95, 100)
