"""When to look, from where, what counts as missed and when silence is strange."""

import pytest

from handlers.reconcile.rules import (
    AGAIN,
    MOST_SLICES,
    OVERLAP,
    PERIOD,
    QUIET_AFTER,
    Silence,
    Slice,
    again,
    begins,
    is_news,
    next_look,
    silence,
    slices,
)
from integration.clock import DAY, HOUR, MINUTE, SECOND
from integration.facts import Order

NOON = 1_795_000_000 * SECOND
KNOWN = Order("1", NOON, "USD", financial_status="paid", fulfillment_status=None)


@pytest.mark.parametrize(
    ("known", "listed", "news"),
    [
        (None, (NOON, "paid", None, None), True),
        (KNOWN, (NOON, "paid", None, None), False),
        (KNOWN, (NOON + SECOND, "paid", None, None), True),
        (KNOWN, (NOON - SECOND, "refunded", None, None), False),
        (KNOWN, (NOON, "refunded", None, None), True),
        (KNOWN, (NOON, "paid", "fulfilled", None), True),
        (KNOWN, (NOON, "paid", None, NOON), True),
    ],
)
def test_news_is_what_is_unknown_newer_or_another_state_of_the_same_second(
    known: Order | None, listed: tuple[int, str, str | None, int | None], news: bool
) -> None:
    """What is older than what we know is none."""
    assert is_news(known, *listed) is news


def test_each_connection_has_its_own_minute_of_the_period() -> None:
    """Fifteen shops that were looked at together are looked at in fifteen different minutes from then on."""
    first = {number: next_look(number, NOON) for number in range(1, 16)}
    assert len({at % PERIOD for at in first.values()}) == 15
    for number, at in first.items():
        assert PERIOD // 2 <= at - NOON < 2 * PERIOD
        assert next_look(number, at + 3 * SECOND) == at + PERIOD


def test_pauses_grow_with_failures_and_heed_the_platform() -> None:
    """The last one stays; what the platform asks for is not undercut."""
    assert [again(n, NOON, None) - NOON for n in (1, 2, 6, 60)] == [AGAIN[0], AGAIN[1], AGAIN[5], AGAIN[5]]
    assert again(1, NOON, 3600.0) == NOON + HOUR
    assert again(0, NOON, 1.0) == NOON + AGAIN[0]


def test_a_look_begins_at_the_mark_less_the_overlap() -> None:
    """Before the first look that is when the shop was connected."""
    assert begins("shopify", None, NOON) == NOON - 60 * DAY
    assert begins("stripe", None, NOON) == NOON - OVERLAP["stripe"]
    assert begins("stripe", NOON + DAY, NOON) == NOON + DAY - OVERLAP["stripe"]


def test_slices_cover_the_time_without_gap_or_overlap() -> None:
    """The last one of what goes up to the present has no end."""
    cut = list(slices(0, 10, 4, open_ended=False))
    assert cut == [Slice(0, 4), Slice(4, 8), Slice(8, 10)]
    assert list(slices(0, 8, 4, open_ended=True)) == [Slice(0, 4), Slice(4, None)]
    assert list(slices(5, 3, 4, open_ended=True)) == [Slice(5, None)]
    assert len(list(slices(0, 10**12, 1, open_ended=False))) == MOST_SLICES


def test_silence_is_judged_by_the_platforms_own_times() -> None:
    """A change long after the last webhook is strange; it is over with the next webhook."""
    assert silence(NOON, 0, None, None, 0) is None
    assert silence(NOON, 0, NOON + QUIET_AFTER, None, 1) is None
    found = silence(NOON, 0, NOON + 3 * HOUR, None, 1)
    assert found is not None and found.since == NOON and "3 h" in found.why
    assert silence(NOON, 0, NOON + 3 * HOUR, found, 0) == found
    later = silence(NOON, 0, NOON + 5 * HOUR, found, 2)
    assert later is not None and (later.since, "5 h" in later.why) == (NOON, True)
    assert silence(NOON + 4 * HOUR, 0, NOON + 3 * HOUR, found, 0) is None
    assert silence(None, NOON, NOON + 2 * HOUR, None, 1) == Silence(
        NOON, "None has come since, although something changed there as late as 2 h after."
    )
    assert silence(None, NOON + 90 * MINUTE, NOON + 2 * HOUR, None, 1) is None
