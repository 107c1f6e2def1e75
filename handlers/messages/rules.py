"""When a message may go out: windows, caps, growing pauses; pure rules."""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import msgspec

from handlers.merchants.rules import Messages
from integration.clock import DAY, HOUR, MINUTE, from_wall, to_datetime

FORTNIGHT = 14 * DAY
MOST_ATTEMPTS = 24  # failed ones; with the pauses below more than four days
FIRST_PAUSE = MINUTE
LONGEST_PAUSE = 6 * HOUR
NO_ADDRESS_PAUSE = 6 * HOUR
NO_ADDRESS_PATIENCE = 30 * DAY
_DAYS_LOOKED_AT = 4  # a window that a change of clocks swallows comes back the next day


class Place(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a person is and what they read: the part of a message's details every kind has."""

    country: str | None = None
    region: str | None = None
    locale: str | None = None

    def to_json(self) -> str:
        """Write it for the `details` column."""
        return msgspec.json.encode(self).decode()


def permitted_at(instant: int, window: str, zone: ZoneInfo) -> int:
    """Return the first instant from `instant` on that lies in the window, by the clocks of the zone.

    A window is `always` or `HH:MM-HH:MM` (merchants' rules). Where clocks change, the window is what they
    show: an hour that does not exist is left out, of one that comes twice the first counts.
    """
    if window == "always":
        return instant
    opens, _, closes = window.partition("-")
    day = to_datetime(instant).astimezone(zone).date()
    for offset in range(_DAYS_LOOKED_AT):
        start, end = _window_on(day + timedelta(days=offset), opens, closes, zone)
        if start < end and instant < end:
            return max(instant, start)
    return instant + DAY


def _window_on(day: date, opens: str, closes: str, zone: ZoneInfo) -> tuple[int, int]:
    end_day, end = (day + timedelta(days=1), "00:00") if closes == "24:00" else (day, closes)
    return _instant(day, opens, zone), _instant(end_day, end, zone)


def _instant(day: date, clock: str, zone: ZoneInfo) -> int:
    return from_wall(datetime.combine(day, time.fromisoformat(clock)), zone)


def capped_until(sent: Sequence[int], now: int, settings: Messages) -> int:
    """Return when one more non-transactional message is allowed, given when earlier ones went out.

    `now` or earlier means at once. Settings: one in `cap_hours`, and `cap_fortnight` in 14 days (0 = no cap).
    """
    until = now
    if settings.cap_hours and sent:
        until = max(until, max(sent) + settings.cap_hours * HOUR)
    if settings.cap_fortnight:
        recent = sorted(instant for instant in sent if instant > now - FORTNIGHT)
        if len(recent) >= settings.cap_fortnight:
            until = max(until, recent[-settings.cap_fortnight] + FORTNIGHT)
    return until


def pause(attempts: int) -> int:
    """Return how long to wait after so many failed attempts: doubling, from a minute to six hours."""
    doublings = min(max(attempts - 1, 0), 20)
    return min(FIRST_PAUSE << doublings, LONGEST_PAUSE)


def shown(instant: int, zone: ZoneInfo) -> str:
    """Write an instant for a reason: `2026-11-23 10:00 Europe/Paris`."""
    return f"{to_datetime(instant).astimezone(zone):%Y-%m-%d %H:%M} {zone.key}"


LANGUAGES = ("en", "de", "fr", "es")


def language(locale: str | None, country: str | None) -> str:
    """Choose one of `LANGUAGES` from a locale (`fr-CA`), else the country's language, else English."""
    if locale:
        spoken = locale.replace("_", "-").partition("-")[0].lower()
        return spoken if spoken in LANGUAGES else "en"
    return _SPOKEN.get((country or "").upper(), "en")


_SPANISH = "ES MX AR CO CL PE EC UY PY BO VE CR PA GT HN NI SV DO CU"
_SPOKEN = {
    **dict.fromkeys(("DE", "AT", "LI"), "de"),
    **dict.fromkeys(("FR", "MC"), "fr"),
    **dict.fromkeys(_SPANISH.split(), "es"),
}
