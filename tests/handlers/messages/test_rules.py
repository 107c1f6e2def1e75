"""Windows by people's own clocks, caps, pauses and languages: pure rules, no database."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.merchants.rules import Messages
from handlers.messages.rules import capped_until, language, pause, permitted_at
from handlers.messages.zones import zone, zone_of
from integration.clock import DAY, HOUR, MINUTE, SECOND, to_datetime

NOON = 1_790_000_000_000_000


def at(text: str, zone_name: str) -> int:
    """An instant by the clocks of a zone."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone_name)).timestamp()) * SECOND


@pytest.mark.parametrize(
    ("zone_name", "now", "window", "goes"),
    [
        ("Europe/Paris", "2026-06-01T12:00", "10:00-16:00", "2026-06-01T12:00"),
        ("Europe/Paris", "2026-06-01T09:59", "10:00-16:00", "2026-06-01T10:00"),
        ("Europe/Paris", "2026-06-01T16:00", "10:00-16:00", "2026-06-02T10:00"),
        ("Europe/Paris", "2026-06-01T23:59", "always", "2026-06-01T23:59"),
        ("Europe/Paris", "2026-06-01T03:00", "18:00-24:00", "2026-06-01T18:00"),
        # The clocks go forward at two and back at three.
        ("Europe/Berlin", "2026-03-29T00:30", "10:00-16:00", "2026-03-29T10:00"),
        ("Europe/Berlin", "2026-03-29T00:30", "02:15-04:00", "2026-03-29T03:00"),
        ("Europe/Berlin", "2026-03-29T00:30", "02:15-02:45", "2026-03-30T02:15"),
        ("Europe/Berlin", "2026-10-25T00:30", "10:00-16:00", "2026-10-25T10:00"),
        ("Europe/Berlin", "2026-10-25T00:30", "02:15-02:45", "2026-10-25T02:15"),
        # A day that did not exist.
        ("Pacific/Apia", "2011-12-29T23:00", "10:00-16:00", "2011-12-31T10:00"),
        ("Australia/Lord_Howe", "2026-10-04T01:00", "02:10-05:00", "2026-10-04T02:30"),
    ],
)
def test_a_message_goes_out_in_the_window_by_the_persons_clocks(
    zone_name: str, now: str, window: str, goes: str
) -> None:
    """It waits for the next opening, also where the clocks change in between."""
    assert permitted_at(at(now, zone_name), window, ZoneInfo(zone_name)) == at(goes, zone_name)


ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "America/St_Johns", "Africa/Cairo"]
CLOCKS = st.integers(0, 24 * 60 - 1)


@given(
    st.integers(at("2024-01-01T00:00", "UTC"), at("2030-01-01T00:00", "UTC")),
    st.sampled_from(ZONES),
    CLOCKS,
    CLOCKS,
)
def test_every_permitted_instant_lies_in_the_window(instant: int, zone_name: str, one: int, other: int) -> None:
    """Never before it is due, never outside the window as the clocks show it, and within three days."""
    opens, closes = sorted((one, other))
    if opens == closes:
        closes += 1
    end = "24:00" if closes == 24 * 60 else f"{closes // 60:02}:{closes % 60:02}"
    there = ZoneInfo(zone_name)
    goes = permitted_at(instant, f"{opens // 60:02}:{opens % 60:02}-{end}", there)
    shown = to_datetime(goes).astimezone(there)
    assert instant <= goes < instant + 3 * DAY
    assert opens <= shown.hour * 60 + shown.minute < closes
    assert permitted_at(goes, f"{opens // 60:02}:{opens % 60:02}-{end}", there) == goes


@pytest.mark.parametrize(
    ("sent", "settings", "waits"),
    [
        ([], {}, 0),
        ([0], {}, 16 * HOUR),
        ([-16 * HOUR], {}, 0),
        ([-15 * HOUR], {}, HOUR),
        ([-13 * DAY, -5 * DAY, -2 * DAY], {}, DAY),
        ([-15 * DAY, -5 * DAY, -2 * DAY], {}, 0),
        ([-13 * DAY, -5 * DAY, -1 * HOUR], {"cap_fortnight": 0}, 15 * HOUR),
        ([-13 * DAY, -5 * DAY, -1 * HOUR], {"cap_hours": 0}, DAY),
        ([-1], {"cap_hours": 0, "cap_fortnight": 0}, 0),
        ([-DAY, -DAY, -DAY, -DAY], {"cap_hours": 0, "cap_fortnight": 2}, 13 * DAY),
    ],
)
def test_caps_say_when_and_never_no(sent: list[int], settings: dict[str, int], waits: int) -> None:
    """One in sixteen hours and three in fourteen days, unless the merchant says otherwise."""
    instants = [NOON + offset for offset in sent]
    assert capped_until(instants, NOON, Messages(**settings)) == NOON + waits  # type: ignore[arg-type]


def test_pauses_grow_to_six_hours() -> None:
    """A minute, two, four … and never more than six hours, whatever the count."""
    assert [pause(n) // MINUTE for n in (0, 1, 2, 3, 4)] == [1, 1, 2, 4, 8]
    assert pause(1_000_000) == 6 * HOUR


@pytest.mark.parametrize(
    ("country", "region", "expected"),
    [
        ("US", "CA", "America/Los_Angeles"),
        ("US", "NY", "America/New_York"),
        ("us", "us-tx", "America/Chicago"),
        ("US", None, None),
        ("CA", "NL", "America/St_Johns"),
        ("AU", "WA", "Australia/Perth"),
        ("BR", "AM", "America/Manaus"),
        ("MX", "Q ROO", "America/Cancun"),
        ("MX", None, None),
        ("RU", "PRI", "Asia/Vladivostok"),
        ("ID", "BA", "Asia/Makassar"),
        ("ES", "TF", "Atlantic/Canary"),
        ("ES", "M", "Europe/Madrid"),
        ("DE", None, "Europe/Berlin"),
        ("FR", "75", "Europe/Paris"),
        ("JP", None, "Asia/Tokyo"),
        ("XX", None, None),
        (None, "CA", None),
    ],
)
def test_a_place_tells_the_zone(country: str | None, region: str | None, expected: str | None) -> None:
    """Single-zone countries by themselves, the others by region; what cannot be told is none."""
    found = zone_of(country, region)
    assert (found.key if found else None) == expected


def test_every_zone_of_the_table_exists() -> None:
    """The table names no zone that the time zone database does not have."""
    from handlers.messages.zones import _BY_REGION, _MAIN

    for name in {*_BY_REGION.values(), *_MAIN.values()}:
        assert zone(name).key == name


@pytest.mark.parametrize(
    ("locale", "country", "spoken"),
    [
        ("fr-CA", "CA", "fr"),
        ("de", None, "de"),
        ("es_MX", "US", "es"),
        ("pt-BR", "BR", "en"),
        ("DE-at", None, "de"),
        (None, "AT", "de"),
        (None, "MX", "es"),
        (None, "FR", "fr"),
        (None, "JP", "en"),
        (None, None, "en"),
        ("", "DE", "de"),
    ],
)
def test_letters_speak_the_readers_language(locale: str | None, country: str | None, spoken: str) -> None:
    """The locale decides; without one, the country; without either, English."""
    assert language(locale, country) == spoken
