"""When to look at a platform, from which instant on, what counts as missed, and when silence is strange: pure rules."""

from collections.abc import Iterator
from typing import NamedTuple

from integration.clock import DAY, HOUR, MINUTE
from integration.facts import Order

PERIOD = 15 * MINUTE  # between two looks at a connection
PUT_OFF = MINUTE  # while the shop's own webhooks still wait to be worked
LONGEST_PUT_OFF = HOUR  # after the last look; then it is looked at all the same
# What is found again and again costs nothing but the question: platforms' lists and webhooks lag behind.
OVERLAP = {"shopify": 10 * MINUTE, "stripe": 2 * HOUR}
# Before a shop was connected. Shopify shows orders of 60 days to whoever has no further permission.
FIRST_LOOK = {"shopify": 60 * DAY, "stripe": OVERLAP["stripe"]}
GRACE = 2 * MINUTE  # what changed this lately may still be told
AGAIN = (5 * MINUTE, 10 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 6 * HOUR)  # after so many failures in a row
REFUSED_AGAIN = 6 * HOUR  # what a platform refused it will mostly refuse again
QUIET_AFTER = HOUR  # a change so much later than the last webhook should have been told
DISPUTES_BACK = 120 * DAY  # a dispute is mostly decided by then
EVENTS_MARGIN = HOUR  # before events reach no further, objects are asked for instead
EVENTS_SLICE = 6 * HOUR
OBJECTS_SLICE = 7 * DAY
MOST_SLICES = 5_000


class Slice(NamedTuple):
    """A stretch of time; without an end it goes up to the present, whatever the platform's clock says that is."""

    since: int
    until: int | None


class Silence(NamedTuple):
    """Since when webhooks have been missing although there was something to tell, and how that is known."""

    since: int
    why: str


def begins(platform: str, reached_at: int | None, connected_at: int) -> int:
    """Say from which instant on to look: what was reached, less the overlap; the first time a while back.

    What was sold before a shop was connected earns nothing by itself; it is what previews are made of.
    """
    return connected_at - FIRST_LOOK[platform] if reached_at is None else reached_at - OVERLAP[platform]


def is_news(
    known: Order | None,
    updated_at: int,
    financial_status: str | None,
    fulfillment_status: str | None,
    cancelled_at: int | None,
) -> bool:
    """Tell whether a listed state of an order is one we do not know, or newer than the one we do.

    Shopify counts in seconds: of two states of one second the later may have been missed, so those that
    differ count as news.
    """
    if known is None or updated_at != known.updated_at:
        return known is None or updated_at > known.updated_at
    listed = (financial_status, fulfillment_status, cancelled_at)
    return listed != (known.financial_status, known.fulfillment_status, known.cancelled_at)


def next_look(connection_id: int, now: int) -> int:
    """Say when to look at a connection next: each has its own minute of the period, so that shops are spread."""
    phase = connection_id * 37 % (PERIOD // MINUTE) * MINUTE
    following = now - (now - phase) % PERIOD + PERIOD
    # Who has only just been looked at skips a turn.
    return following if following - now >= PERIOD // 2 else following + PERIOD


def again(failures: int, now: int, retry_after: float | None) -> int:
    """Say when to look again after so many failures in a row; not before the platform wants (seconds)."""
    pause = AGAIN[min(max(failures, 1), len(AGAIN)) - 1]
    return now + max(pause, int((retry_after or 0) * 1_000_000))


def slices(since: int, until: int, length: int, *, open_ended: bool) -> Iterator[Slice]:
    """Cut a time into slices, the oldest first; an open-ended time's last slice has no end."""
    start = since
    for _ in range(MOST_SLICES):
        end = start + length
        if end >= until:
            yield Slice(start, None if open_ended else until)
            return
        yield Slice(start, end)
        start = end


def silence(
    heard_at: int | None, begun_at: int, missed_at: int | None, before: Silence | None, missed: int
) -> Silence | None:
    """Judge whether webhooks have gone quiet: all instants but `begun_at` are the platform's own.

    `heard_at` is the last webhook's, `begun_at` when we began to listen (or a backup was put back), `missed_at`
    that of the newest change no webhook told of, `missed` how many such changes this look found.
    """
    last = max(heard_at or 0, begun_at)
    if missed_at is None or missed_at - last <= QUIET_AFTER:
        return None
    if before is not None and not missed:
        return before
    hours = (missed_at - last) // HOUR
    return Silence(last, f"None has come since, although something changed there as late as {hours} h after.")
