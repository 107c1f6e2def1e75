"""Lots lapse in their order, and never sooner than the terms they came under allow."""

import pytest

from handlers.merchants.rules import Expiry, Program, Version
from handlers.points.lots import Credit, Debit, Open, Story, months_later, play, terms_of
from integration.clock import DAY, from_iso


def on(day: str) -> int:
    return from_iso(f"{day}T12:00:00Z")


def versions(*terms: tuple[str, dict[str, object]]) -> list[Version]:
    """A programme as it was changed, by day."""
    return [
        Version(number, on(day), Program(expiry=Expiry.model_validate({"enabled": True, **expiry})))
        for number, (day, expiry) in enumerate(terms, start=1)
    ]


@pytest.mark.parametrize(
    ("start", "months", "end"),
    [
        ("2026-01-31T12:00:00Z", 1, "2026-02-28T12:00:00Z"),
        ("2027-11-30T23:59:59.000001Z", 3, "2028-02-29T23:59:59.000001Z"),
        ("2028-02-29T00:00:00Z", 12, "2029-02-28T00:00:00Z"),
        ("2026-12-31T00:00:00Z", 120, "2036-12-31T00:00:00Z"),
    ],
)
def test_months_are_the_calendars_and_end_on_their_last_day(start: str, months: int, end: str) -> None:
    """Nobody loses a day to a short month, nor a microsecond."""
    assert months_later(from_iso(start), months) == from_iso(end)


def test_a_debit_takes_from_the_lot_that_lapses_soonest_though_it_came_later() -> None:
    """The older lot was promised two years, the younger one: the younger goes first."""
    terms = terms_of(versions(("2026-01-01", {"months": 24, "after": "age"}), ("2026-03-01", {"after": "age"})), 2**61)
    story = Story([Credit(on("2026-02-01"), 50), Credit(on("2026-04-01"), 30)], [Debit(on("2026-05-01"), 40)])
    assert play(terms, story, on("2026-06-01")).left == (Open(on("2028-02-01"), 40),)
    assert play(terms, story, on("2028-02-01")).lapsed == 40


def test_what_is_taken_after_a_lot_has_lapsed_is_not_taken_from_it() -> None:
    """The balance does not collapse: 100 lapse, 50 of the next 80 are spent, 30 are left."""
    terms = terms_of(versions(("2026-01-01", {"after": "age", "months": 2})), 2**61)
    story = Story([Credit(on("2026-01-10"), 100), Credit(on("2026-03-10"), 80)], [Debit(on("2026-04-01"), 50)])
    lots = play(terms, story, on("2026-04-02"))
    assert (lots.lapsed, lots.left) == (100, (Open(on("2026-05-10"), 30),))


def test_switching_on_gives_every_point_one_full_period() -> None:
    """Points of three years ago lapse a year from today, not today."""
    story = Story([Credit(on("2023-01-01"), 10)], (), [on("2023-01-01")])
    for after in ("inactivity", "age"):
        terms = terms_of(versions(("2020-01-01", {"enabled": False}), ("2026-01-01", {"after": after})), 2**61)
        assert play(terms, story, on("2026-06-01")).next_at == on("2027-01-01")


def test_a_change_of_terms_never_hits_points_that_were_there_before_but_in_their_favour() -> None:
    """Shortened, old points keep their year and new ones get a month; lengthened, all get the longer one."""
    story = Story([Credit(on("2026-01-10"), 10), Credit(on("2026-02-10"), 7)])
    shorter = terms_of(versions(("2026-01-01", {"months": 12}), ("2026-02-01", {"months": 1})), 2**61)
    assert play(shorter, story, on("2026-02-11")).left == (Open(on("2026-03-10"), 7), Open(on("2027-01-10"), 10))
    longer = terms_of(versions(("2026-01-01", {"months": 12}), ("2026-02-01", {"months": 24})), 2**61)
    assert play(longer, story, on("2026-02-11")).next_at == on("2028-01-10")


def test_what_has_lapsed_is_gone_whatever_the_terms_become() -> None:
    """Lengthened or switched off the day after, nothing comes back."""
    story = Story([Credit(on("2026-01-10"), 10)])
    for change in ({"months": 24}, {"enabled": False}):
        terms = terms_of(versions(("2026-01-01", {"months": 1}), ("2026-02-11", change)), 2**61)
        assert play(terms, story, on("2026-03-01")).lapsed == 10


def test_an_instant_of_activity_keeps_everything_and_one_too_late_keeps_nothing() -> None:
    """To the microsecond; by age it changes nothing."""
    end = on("2027-01-10")
    for after, moment, lapsed in (
        ("inactivity", end - 1, 0),
        ("inactivity", end, 10),
        ("age", end - 1, 10),
    ):
        terms = terms_of(versions(("2026-01-01", {"after": after})), 2**61)
        assert play(terms, Story([Credit(on("2026-01-10"), 10)], (), [moment]), end + DAY).lapsed == lapsed


def test_a_debt_is_paid_by_the_next_points_and_does_not_lapse() -> None:
    """40 are owed; of the 100 that come 60 can lapse."""
    terms = terms_of(versions(("2026-01-01", {"months": 1})), 2**61)
    story = Story([Credit(on("2026-02-01"), 100)], [Debit(on("2026-01-15"), 40)])
    assert play(terms, story, on("2026-03-01")).lapsed == 60


def test_of_two_changes_of_one_second_the_later_counts() -> None:
    """Off and on within a second is no switching off: the clock goes on."""
    changes = versions(("2026-01-01", {}), ("2026-06-01", {"enabled": False}), ("2026-06-01", {}))
    story = Story([Credit(on("2026-01-10"), 10)])
    assert play(terms_of(changes, 2**61), story, on("2026-07-01")).next_at == on("2027-01-10")
