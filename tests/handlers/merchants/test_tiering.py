"""A ladder of tiers is written as one can climb it, keeps its own clocks, and is named only where it is used."""

import pytest

from handlers.merchants.programs import changed, pinned
from handlers.merchants.rules import Program, Refused

SILVER = '{"name": "Silver", "threshold": 100}'


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"tiers.enabled": "true"}, "write at least one tier before tiers are switched on"),
        (
            {"tiers.ladder.silver": SILVER, "tiers.ladder.gold": SILVER.replace("Silver", "Gold")},
            "every tier needs a threshold of its own",
        ),
        ({"tiers.ladder.Silver": SILVER}, "pattern"),
    ],
)
def test_a_ladder_nobody_could_climb_is_refused_in_words(settings: dict[str, object], words: str) -> None:
    """Nothing is written then."""
    with pytest.raises(Refused, match=words):
        changed(Program(), settings)


def test_the_years_of_a_ladder_are_those_of_the_shop_when_it_was_written() -> None:
    """A shop that moves does not move its customers' years."""
    program = pinned(changed(Program(), {"tiers.ladder.silver": SILVER}), "America/New_York")
    assert program.tiers.timezone == "America/New_York"
    assert pinned(program, "Asia/Tokyo") == program
    assert pinned(Program(), "Asia/Tokyo") == Program()


def test_the_steps_of_a_ladder_stand_by_what_they_take() -> None:
    """Whatever the order in which they were written."""
    program = changed(Program(), {"tiers.ladder.gold": '{"name": "Gold", "threshold": 400}', "tiers.ladder.a": SILVER})
    assert [key for key, _ in program.tiers.ascending] == ["a", "gold"]
