"""The one source of time: instants are integer microseconds since 1970 in UTC."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

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
