"""Whatever happens to somebody's points, what lapses of them and when is what counting them one by one says."""

from datetime import UTC, date, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.merchants.rules import Expiry, Program, Version
from handlers.points.lots import Credit, Debit, Return, Story, play, terms_of
from integration.clock import DAY
from tests.oracle.expiry import Person, lapsed
from tests.properties.conftest import EXAMPLES

FIRST = date(2026, 1, 28)
DAYS = 400
# Many on the same day of some month, so that one thing falls on the day of another.
days = st.one_of(
    st.sampled_from([date(2026, month, 28) for month in range(1, 13)]),
    st.integers(0, DAYS).map(lambda n: FIRST + timedelta(days=n)),
)
terms = st.fixed_dictionaries(
    {"enabled": st.sampled_from([True, True, False]), "after": st.sampled_from(["age", "inactivity"]),
     "months": st.sampled_from([1, 2, 3, 6, 12])}
)  # fmt: skip


def at(day: date) -> int:
    """The first moment of a day."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000_000


@settings(settings.get_profile("ends"), max_examples=EXAMPLES * 5)
@given(
    st.lists(st.tuples(days, terms), max_size=4),
    st.lists(st.tuples(days, st.integers(1, 4)), max_size=6),
    st.lists(st.tuples(days, st.integers(1, 5)), max_size=3),
    st.lists(days, max_size=3),
    st.lists(st.tuples(days, st.sampled_from(["redeem:1", "redeem:2"]), st.integers(1, 4)), max_size=3),
    st.lists(st.tuples(days, st.sampled_from(["redeem:1", "redeem:2"]), st.integers(1, 4)), max_size=3),
    days,
)
def test_what_lapses_is_what_counting_point_by_point_says(
    changes: list[tuple[date, dict[str, object]]],
    came: list[tuple[date, int]],
    went: list[tuple[date, int]],
    active: list[date],
    spent: list[tuple[date, str, int]],
    back: list[tuple[date, str, int]],
    until: date,
) -> None:
    """Terms change, points come, go, lapse and come back, people buy or do not: the same sum and days to come."""
    changes.sort(key=lambda pair: pair[0])
    active = [day for day in active if day <= until]
    gone, left = lapsed(Person(changes, active, came, went, spent, back), until)
    versions = [
        Version(number, at(day), Program(expiry=Expiry.model_validate(one)))
        for number, (day, one) in enumerate(changes, start=1)
    ]
    story = Story(
        [Credit(at(d), n) for d, n in came],
        [*(Debit(at(d), n) for d, n in went), *(Debit(at(d), n, reward) for d, reward, n in spent)],
        [at(d) for d in active],
        [Return(at(d), n, reward) for d, reward, n in back],
    )
    lots = play(terms_of(versions, at(until)), story, at(until))
    assert lots.lapsed == gone
    found: dict[date | None, int] = {}
    for lot in lots.left:
        day = None if lot.lapses_at is None else FIRST + timedelta(days=(lot.lapses_at - at(FIRST)) // DAY)
        found[day] = found.get(day, 0) + lot.micropoints
    assert found == left
