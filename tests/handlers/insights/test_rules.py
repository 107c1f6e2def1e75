"""Days of a shop's calendar, and the picture of ninety of them."""

import pytest

from handlers.insights.rules import DAYS, Figures, date_of, day_of, picture, start_of, summed
from integration.clock import DAY, HOUR, from_iso

POINT = 1_000_000


@pytest.mark.parametrize("timezone", ["Europe/Paris", "America/New_York", "Asia/Kathmandu", "Pacific/Apia", "UTC"])
def test_every_instant_lies_in_its_day(timezone: str) -> None:
    """Also where a clock change makes a day 23 or 25 hours long."""
    for instant in range(from_iso("2026-03-20T00:00:00Z"), from_iso("2026-11-05T00:00:00Z"), 7 * HOUR):
        day = day_of(instant, timezone)
        assert start_of(day, timezone) <= instant < start_of(day + 1, timezone)
        assert start_of(day + 1, timezone) - start_of(day, timezone) in (23 * HOUR, DAY, 25 * HOUR)
        assert day_of(start_of(day, timezone), timezone) == day


def test_the_picture_keeps_within_its_frame() -> None:
    """Every bar lies between top and floor, the highest nearly fills it, and none of nothing is drawn."""
    days = [Figures(issued=place * 7 * POINT, redeemed=place * POINT) for place in range(DAYS)]
    drawn = picture(days, 20_000)
    assert len(drawn.bars) == DAYS and drawn.most == 1_000 * POINT
    for bar in drawn.bars:
        assert drawn.top <= bar.issued_y <= drawn.floor and drawn.top <= bar.redeemed_y <= drawn.floor
        assert bar.issued_y + bar.issued_height == pytest.approx(drawn.floor, abs=0.02)
        assert bar.x + 2 * bar.width <= drawn.width
    assert drawn.bars[0].issued_height == 0
    assert drawn.months[0] == date_of(20_000 - DAYS + 1)
    assert picture([Figures()] * DAYS, 20_000).most == 0


def test_nothing_sums_to_nothing() -> None:
    """A shop without a day has no share of anything."""
    assert summed([]) == Figures() and summed([]).repeat_share is None
