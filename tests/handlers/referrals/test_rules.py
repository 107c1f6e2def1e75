"""Whatever orders were made with somebody's code, no referral pays twice, for a returned order or beyond the caps."""

import random

from hypothesis import given
from hypothesis import strategies as st

from handlers.referrals.rules import Caps, Case, canonical, judge, likeness, spelt
from integration.clock import DAY, HOUR

CASES = st.lists(
    st.builds(
        Case,
        sale=st.integers(1, 30),
        sold_at=st.none() | st.integers(1, 40).map(lambda n: n * 5 * HOUR),
        month=st.sampled_from(["2026-09", "2026-10"]),
        micropoints=st.sampled_from([0, 1_000]),
        hold_ends=st.integers(0, 20).map(lambda n: n * DAY),
        goods_minor=st.just(100),
        kept_minor=st.sampled_from([0, 49, 50, 100]),
        stands=st.booleans(),
        first=st.sampled_from([True, True, False]),
        likeness=st.sampled_from(["", "", "", "self", "known", "household"]),
        decision=st.sampled_from(["", "", "allowed", "refused"]),
    ),
    unique_by=lambda case: case.sale,
    max_size=30,
)


@given(CASES, st.integers(1, 4), st.integers(1, 8), st.integers(0, 25), st.randoms())
def test_no_referral_pays_beyond_what_it_may(
    cases: list[Case], month: int, all_: int, day: int, dice: random.Random
) -> None:
    """In any order they are looked at, and a second look says the same."""
    caps, now = Caps(month, all_), day * DAY
    found = judge(cases, caps, now)
    dice.shuffle(cases)
    assert judge(cases, caps, now) == found
    paid = [case for case in cases if found[case.sale].micropoints]
    assert len(paid) <= all_
    assert all(sum(1 for case in paid if case.month == one) <= month for one in ("2026-09", "2026-10"))
    for case in paid:
        assert case.first and case.stands and case.kept_minor >= 50 and case.likeness not in ("self", "known")
        assert case.decision == "allowed" or (case.decision == "" and case.likeness == "")
        assert found[case.sale].micropoints == case.micropoints
        assert found[case.sale].state == ("pending" if case.hold_ends > now else "given")


def test_mailboxes_and_telephones_are_compared_as_they_are_reached() -> None:
    """Tags, Google's dots and the way a number is written make nobody else."""
    assert canonical("Ana.Diaz+shop@googlemail.com") == canonical("anadiaz@gmail.com")
    assert canonical("ana.diaz@home.example") != canonical("anadiaz@home.example")
    mine = [("email", "ana@home.example"), ("phone", "+49 170 1234567")]
    assert likeness(mine, [("email", "ANA+x@home.example")]) == "self"
    assert likeness(mine, [("phone", "0170/1234567")]) == "household"
    assert likeness(mine, [("email", "bo@home.example"), ("phone", "12")]) == ""


def test_a_code_has_fourteen_letters_nobody_mistakes() -> None:
    """Of thirty: 68 bits."""
    assert spelt(bytes(16)) == "2" * 14
    assert len({spelt(bytes([n] * 16)) for n in range(200)}) == 200
