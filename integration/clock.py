"""The one source of time: instants are integer microseconds since 1970 in UTC."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


@dataclass(slots=True)
class Clock:
    """Tell the time, shifted by `offset` microseconds (the demo moves its shop's clock forward)."""

    offset: int = 0

    def now(self) -> int:
        """Return the present instant."""
        return time.time_ns() // 1000 + self.offset


@cache
def timezones() -> frozenset[str]:
    """Return the names of all time zones, looked for once: each is a file somewhere."""
    return frozenset(available_timezones())


def to_datetime(instant: int) -> datetime:
    """Turn an instant into an aware UTC datetime."""
    return datetime.fromtimestamp(instant // SECOND, UTC).replace(microsecond=instant % SECOND)


def to_iso(instant: int | None) -> str | None:
    """Write an instant as ISO 8601 in UTC, for JSON output; None stays None."""
    return None if instant is None else to_datetime(instant).isoformat().replace("+00:00", "Z")


def from_iso(text: str) -> int:
    """Read an ISO 8601 time with an offset (`Z` or `±hh:mm`); a naive one counts as UTC.

    Raises ValueError where it is not a time.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp()) * SECOND + moment.microsecond


def from_wall(shown: datetime, zone: ZoneInfo, *, again: bool = False) -> int:
    """Return the instant at which a zone's clocks show a time (its own zone, if any, is not looked at).

    Of a time they show twice it is the first, or with `again` the second; for a time they jump over it is the
    moment of the jump. Whole seconds.
    """
    shown = shown.replace(tzinfo=zone, microsecond=0)
    utc = shown.replace(fold=int(again)).astimezone(UTC)
    if utc.astimezone(zone).replace(tzinfo=None) != shown.replace(tzinfo=None):
        # The jump lies between the two readings of such a time.
        low, high = sorted(shown.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
        after = high.astimezone(zone).utcoffset()
        while high - low > timedelta(seconds=1):
            middle = low + (high - low) / 2
            low, high = (low, middle) if middle.astimezone(zone).utcoffset() == after else (middle, high)
        utc = high.replace(microsecond=0)
    return int(utc.timestamp()) * SECOND
