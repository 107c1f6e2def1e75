"""Who is thanked for which sale, and when: pure rules."""

from typing import NamedTuple

from handlers.sales.rules import Sale
from integration.clock import DAY, MINUTE, to_datetime

KIND = "thank_you"
MILESTONES = frozenset({1, 3, 10})  # which of a person's sales are thanked for, by default
# An anniversary is kept while the person bought within two years: what CASL calls an existing relationship.
ANNIVERSARY_FRESH = 2 * 365 * DAY
ANNIVERSARY_LATE = 14 * DAY  # later than this a missed anniversary is let go
MOST_ANNIVERSARIES = 20
# A backfill of old orders makes a second purchase a third. Who bought longer ago than this is not thanked for it now.
MOVED_LATE = 2 * DAY
YEAR = 365 * DAY  # the shortest there is


class Target(NamedTuple):
    """When a sale's note is due, or why there is to be none."""

    due_at: int | None
    reason: str | None = None


def key(sale: int) -> str:
    """Name the one note of a sale."""
    return f"thank_you:sale:{sale}"


def yearly_key(sale: int, years: int) -> str:
    """Name the note of an anniversary of a person's first sale."""
    return f"thank_you:sale:{sale}:year:{years}"


def may_thank(sale: Sale) -> bool:
    """Tell whether notes may exist for this shop at all: the quick answer for shops that never thank."""
    return any(version.program.thanks.enabled for version in sale.shop.versions)


def by_milestones(sale: Sale) -> bool:
    """Tell whether the shop ever thanked at milestones only: then this sale's place moves those behind it."""
    return any(v.program.thanks.enabled and v.program.thanks.when == "milestones" for v in sale.shop.versions)


def target(sale: Sale, rank: int | None) -> Target:
    """Decide a sale's note; `rank` is the sale's place among the person's own (needed at milestones only)."""
    worth = sale.worth
    if sale.quiet:
        return Target(None, "a backfill told of it: nobody is thanked for old orders")
    if sale.version is None or worth.sold_at is None:
        return Target(None, "no programme was in force when it was sold")
    thanks = sale.version.program.thanks
    if not thanks.enabled:
        return Target(None, "thank-you notes were off when it was sold")
    if worth.standing != "counted":
        return Target(None, STANDINGS.get(worth.standing, "the sale does not count"))
    if worth.net_minor <= 0:
        return Target(None, "everything was given back")
    if sale.customer is None:
        return Target(None, "nobody is known to have bought it")
    if thanks.when == "milestones" and rank not in MILESTONES:
        return Target(None, "it is none of the person's milestones (first, third, tenth)")
    return Target(worth.sold_at + thanks.delay_minutes * MINUTE)


class Anniversary(NamedTuple):
    """The last anniversary of a first sale (`years` 0 = none yet) and the next one (None = no more)."""

    years: int
    at: int
    next_at: int | None


def anniversary(first_sold_at: int, now: int) -> Anniversary:
    """Find the anniversaries around `now`; a sale of 29 February is remembered on the 28th."""
    if now - first_sold_at < YEAR:
        return Anniversary(0, first_sold_at, _years_after(first_sold_at, 1))
    years = min(to_datetime(now).year - to_datetime(first_sold_at).year, MOST_ANNIVERSARIES)
    if years and _years_after(first_sold_at, years) > now:
        years -= 1
    following = _years_after(first_sold_at, years + 1) if years < MOST_ANNIVERSARIES else None
    return Anniversary(years, _years_after(first_sold_at, years), following)


def _years_after(instant: int, years: int) -> int:
    day = to_datetime(instant).date()
    if (day.month, day.day) == (2, 29):
        return _years_after(instant - DAY, years)
    return instant + (day.replace(year=day.year + years) - day).days * DAY


STANDINGS = {
    "cancelled": "the order was cancelled",
    "voided": "the payment was voided",
    "deleted": "the order was deleted",
    "elsewhere": "the same purchase is thanked for as the shop's order",
    "undone": "the backfill that told of it was undone",
    "disconnected": "it was sold after its platform was disconnected",
    "unpaid": "it is not paid",
    "authorized": "it is authorised, not paid",
    "partially_paid": "it is paid in part only",
    "uncaptured": "the payment was not captured",
    "waiting_for_order": "the order itself is not known yet",
    "waiting_for_payment": "the payment itself is not known yet",
}
