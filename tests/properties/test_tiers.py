"""The tier somebody has is what the rules say day by day, and nothing changes between two looks of the clock."""

from datetime import date, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.merchants.rules import Program, Version
from handlers.merchants.tiering import Tiers
from handlers.points.rules import MICRO
from handlers.tiers.rules import Merit, Standing, Step, Terms, stand, terms_of
from integration.clock import DAY, from_iso
from tests.oracle.tiers import Bought, Ladder, tiers_by_day

FIRST = date(2026, 1, 1)
LAST_DAY = 1_500

_days = st.integers(0, LAST_DAY)
_purchase = st.tuples(
    _days, st.integers(0, 12), st.lists(st.tuples(st.integers(1, 500), st.integers(0, 12)), max_size=2)
)
_ladder = st.fixed_dictionaries(
    {
        "steps": st.lists(
            st.tuples(st.sampled_from(["a", "b", "c", "d"]), st.integers(0, 20)),
            max_size=4,
            unique_by=(lambda s: s[0], lambda s: s[1]),
        ),
        "over": st.sampled_from(["lifetime", "calendar_year", "rolling_12_months"]),
        "kept_months": st.sampled_from([1, 3, 12, 24]),
        "grace_days": st.sampled_from([0, 30, 45]),
        "grandfather": st.booleans(),
    }
)
_history = st.lists(_purchase, max_size=8)
_programme = st.lists(st.tuples(_days, _ladder), min_size=1, max_size=3, unique_by=lambda pair: pair[0])


def on(day: int) -> int:
    """Midnight of a day, in UTC."""
    return from_iso(f"{(FIRST + timedelta(days=day)).isoformat()}T00:00:00Z")


def merits(history: list[tuple[int, int, list[tuple[int, int]]]]) -> list[Merit]:
    """What purchases count for, in points; they only fall."""
    return [
        tuple(Step(on(day), worth * MICRO, 0) for day, worth in _worth(began, first, falls))
        for began, first, falls in history
    ]


def _worth(began: int, first: int, falls: list[tuple[int, int]]) -> list[tuple[int, int]]:
    steps, value = [(began, first)], first
    for later, to in sorted(falls):
        if began + later > steps[-1][0]:
            value = min(value, to)
            steps.append((began + later, value))
    return steps


def programme(parts: list[tuple[int, dict[str, object]]]) -> list[Terms]:
    """The terms as versions of a programme make them, from the first day on."""
    versions = [Version(1, on(0), Program())]
    for number, (day, part) in enumerate(sorted(parts, key=lambda p: p[0]), start=2):
        steps: list[tuple[str, int]] = part["steps"]  # type: ignore[assignment]
        ladder = {name: {"name": name, "threshold": takes} for name, takes in steps}
        settings_ = {key: value for key, value in part.items() if key != "steps"}
        tiers = Tiers.model_validate({**settings_, "enabled": bool(steps), "by": "points", "ladder": ladder})
        versions.append(Version(number, on(day), Program(tiers=tiers)))
    return terms_of(versions, on(LAST_DAY * 2))


def until(terms: list[Terms], now: int) -> list[Terms]:
    """The terms that are known at an instant."""
    return [one for one in terms if one.since <= now]


@settings(max_examples=300, deadline=None)
@given(_programme, _history, st.integers(0, LAST_DAY + 800))
def test_the_tier_is_what_living_through_every_day_comes_to(parts, history, today):
    """Upgrades, kept time, grace, soft landing, refunds, windows, and three programmes one after the other."""
    ladders = [
        Ladder(
            FIRST + timedelta(days=day),
            tuple(part["steps"]),
            part["over"],
            part["kept_months"],
            part["grace_days"],
            part["grandfather"],
        )
        for day, part in sorted(parts, key=lambda p: p[0])
    ]
    if ladders[0].since > FIRST:
        ladders.insert(0, Ladder(FIRST, (), "rolling_12_months", 12, 30, True))
    bought = [Bought(tuple((FIRST + timedelta(days=day), worth) for day, worth in _worth(*one))) for one in history]
    last = FIRST + timedelta(days=today)
    expected = tiers_by_day(ladders, bought, last)
    standing = stand(until(programme(parts), on(today)), merits(history), on(today))
    assert standing.tier == expected[last]
    noted = {FIRST + timedelta(days=day): _in_history(standing, on(day)) for day in range(today + 1)}
    assert noted == expected


@settings(max_examples=200, deadline=None)
@given(_programme, _history, _days, st.randoms())
def test_nothing_changes_before_the_clock_looks_again(parts, history, today, chance):
    """What `next_at` promises, and that the order of telling is nothing to it."""
    terms = [one for one in programme(parts) if one.since <= on(today)]
    before = stand(terms, merits(history), on(today))
    shuffled = merits(history)
    chance.shuffle(shuffled)
    assert stand(terms, shuffled, on(today)) == before
    ahead = on(today + 900) if before.next_at is None else before.next_at - 1
    assert before.next_at is None or before.next_at > on(today)
    later = stand(terms, merits(history), ahead)
    assert (later.tier, later.since, later.until) == (before.tier, before.since, before.until)
    assert later.history == before.history


@settings(max_examples=200, deadline=None)
@given(_ladder, _history, _days, _days)
def test_a_tier_is_lost_only_on_the_day_that_was_foretold(part, history, today, later):
    """A refund takes nothing before that day: whoever is told a day keeps their tier, or a higher one, until then."""
    terms = programme([(0, part)])
    standing = stand(terms, merits(history), on(today))
    if standing.tier is None or standing.until is None:
        return
    promised = standing.until + int(part["grace_days"]) * DAY
    # Whatever goes back from now on.
    cut = [tuple(step for step in one if step.at <= on(today)) for one in merits(history) if one[0].at <= on(today)]
    emptied = [(*one, Step(on(today) + 1, 0, 0)) for one in cut]
    moment = min(on(today + later), promised - 1)
    assert _height(part, stand(terms, emptied, moment)) >= _height(part, standing)
    after = stand(terms, emptied, promised)
    assert _height(part, after) == _height(part, standing) - 1


def _in_history(standing: Standing, instant: int) -> str | None:
    return next((tier for at, tier in reversed(standing.history) if at <= instant), None)


def _height(part: dict[str, object], standing: Standing) -> int:
    order = [name for name, _ in sorted(part["steps"], key=lambda s: s[1])]  # type: ignore[call-overload]
    return -1 if standing.tier is None else order.index(standing.tier)
