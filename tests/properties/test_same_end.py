"""Any interleaving, repetition and batching of one set of deliveries comes to the oracle's end."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.properties.cases import CASES
from tests.properties.conftest import EXAMPLES
from tests.properties.histories import History, histories, planned
from tests.properties.plays import Stage

settings.load_profile("ends")


@st.composite
def ways(draw: st.DrawFn, history: History) -> tuple[list[int], list[int]]:
    """An order of a history's deliveries with repetitions, and sizes to group and batch them in."""
    count = len(history.deliveries)
    order = draw(st.permutations(range(count)))
    again = draw(st.lists(st.integers(0, count - 1), max_size=count)) if count else []
    for index in again:
        order.insert(draw(st.integers(0, len(order))), index)
    sizes = draw(st.lists(st.sampled_from([1, 2, 3, 7, 100]), min_size=1, max_size=4))
    return order, sizes


on_sqlite = pytest.mark.parametrize("stage", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("stage", ["postgresql"], indirect=True)


@on_sqlite
@pytest.mark.parametrize("case", CASES)
@settings(settings.get_profile("ends"), max_examples=max(EXAMPLES // 30, 1))
@given(st.data())
def test_every_case_comes_to_the_same_end_however_it_is_told(
    stage: Stage, runner: asyncio.Runner, case: str, data: st.DataObject
) -> None:
    """Each case of the rules by itself in an ordinary shop: as it happened, backwards and twice, and drawn."""
    history = data.draw(planned(case))
    _told_in_three_ways(stage, runner, history, data)


@on_postgresql
@pytest.mark.parametrize("case", CASES)
@settings(settings.get_profile("ends"), max_examples=max(EXAMPLES // 60, 1))
@given(st.data())
def test_every_case_comes_to_the_same_end_on_postgresql_too(
    stage: Stage, runner: asyncio.Runner, case: str, data: st.DataObject
) -> None:
    """The same code runs there: each case in its plainest form has to do, and whole histories drawn at will below."""
    history = data.draw(planned(case))
    _told_in_three_ways(stage, runner, history, data)


@on_sqlite
@given(st.data())
def test_any_way_of_telling_comes_to_the_same_end(stage: Stage, runner: asyncio.Runner, data: st.DataObject) -> None:
    """Whole histories of any shop: as it happened, backwards and twice one by one, and drawn at will."""
    _told_in_three_ways(stage, runner, data.draw(histories()), data)


@on_postgresql
@settings(settings.get_profile("ends"), max_examples=max(EXAMPLES // 3, 1))
@given(st.data())
def test_any_way_of_telling_comes_to_the_same_end_on_postgresql_too(
    stage: Stage, runner: asyncio.Runner, data: st.DataObject
) -> None:
    """The same code runs there, so fewer examples have to do."""
    _told_in_three_ways(stage, runner, data.draw(histories()), data)


def _told_in_three_ways(stage: Stage, runner: asyncio.Runner, history: History, data: st.DataObject) -> None:
    forwards: Sequence[int] = range(len(history.deliveries))
    drawn, sizes = data.draw(ways(history))
    as_it_happened = runner.run(stage.perform(history, forwards, [100]))
    backwards = [index for index in reversed(forwards) for _ in "12"]
    in_reverse = runner.run(stage.perform(history, backwards, [1]))
    anyhow = runner.run(stage.perform(history, drawn, sizes))
    # The plays are of different shops, so a tie that only a digest decides may end differently in each.
    if history.ticks:
        assert as_it_happened == in_reverse == anyhow
