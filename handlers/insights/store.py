"""What happened each day, added up aside so that the home page reads ninety rows and not a million entries.

The ledger is numbered without gaps, so it is added up once, entry by entry, from a mark on. The other figures of a day
are counted afresh while the day lasts and once when it is over.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from sqlalchemy import Column, Table

from handlers.insights.rules import DAYS, Figures, day_of, start_of
from handlers.merchants.programs import read_program
from handlers.merchants.rules import Program
from handlers.merchants.stripe_accounts import accounts_of
from handlers.messages.undelivered import Held, held
from handlers.points.rules import ISSUED
from handlers.points.statement import SPENT
from integration.clock import DAY, HOUR
from integration.database.schema import Instant, Number, metadata
from integration.database.steps import BIG, Row, Steps, ask, insert, plain

MOST_ENTRIES = 5_000  # of the ledger added up at once
MOST_MERCHANTS = 1_000
MOST_AMISS = 1_000  # events that are counted one by one; more are "more than"
MOST_CONNECTIONS = 50
TWINS_WITHIN = 30 * DAY
FOR_EVER = 2**62
COUNT_EVERY = HOUR
# What is counted of rewards: how far back it reaches, and for how long it is no news yet.
_REWARDS = {"rewards_off": (FOR_EVER, 0), "rewards_refused": (7 * DAY, 0), "rewards_waiting": (FOR_EVER, HOUR)}

daily_figures = Table(
    "daily_figures",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("day", Number, primary_key=True, autoincrement=False),  # of the shop's calendar, from 1970-01-01 on
    Column("issued", Number, nullable=False, server_default="0"),  # micropoints
    Column("taken_back", Number, nullable=False, server_default="0"),
    Column("redeemed", Number, nullable=False, server_default="0"),
    Column("orders", Number, nullable=False, server_default="0"),
    Column("repeats", Number, nullable=False, server_default="0"),
    Column("notes", Number, nullable=False, server_default="0"),
    Column("asked", Number, nullable=False, server_default="0"),
    Column("reviews", Number, nullable=False, server_default="0"),
    Column("recovered", Number, nullable=False, server_default="0"),
)

# How far a merchant's figures have been added up.
figure_marks = Table(
    "figure_marks",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("entry", Number, nullable=False),  # the last one of the ledger
    Column("day", Number, nullable=False),  # the first one whose other figures are not final
    Column("counted_at", Instant, nullable=False),
)


class Count(Protocol):
    """What a capability counts for a merchant between two instants, the first included."""

    def __call__(self, merchant_id: int, since: int, until: int, /) -> Steps[int]:
        """Return how many."""
        ...


class Mark(NamedTuple):
    """How far a merchant's figures have been added up."""

    entry: int = 0
    day: int | None = None
    counted_at: int = 0


class Connected(NamedTuple):
    """An open connection and whether it lets us in."""

    platform: str
    account: str
    revoked_at: int | None
    has_lapsed: bool  # its key has ended and could not be renewed yet


class State(NamedTuple):
    """How far a merchant's set-up is, and what went wrong; counts end at MOST_AMISS."""

    program: Program
    connected: tuple[Connected, ...]
    previewed: bool
    failed: int  # events given up
    suspect: int  # events that do not fit, kept without effect
    given_up: int  # sales something of which could not be settled
    twins: int  # lately sold, told by both platforms without a name in common: their like is awarded
    accounts: tuple[tuple[int, str | None, str, str | None], ...]  # Stripe's: connection, name, state, why
    quiet: int  # connections whose webhooks have gone quiet while the platform has news
    mail: Held
    friends: int = 0  # brought by customers, who wait for the merchant's decision
    rewards_off: int = 0  # discounts that codes share and that are switched off at the shop
    rewards_refused: int = 0  # rewards that could not be made, lately
    rewards_waiting: int = 0  # for longer than a platform is away for a while


_MARK = plain("SELECT entry, day, counted_at FROM figure_marks WHERE merchant_id = ?1")
_BEHIND = plain(
    "SELECT m.id, m.timezone FROM merchants m JOIN books b ON b.merchant_id = m.id"
    " LEFT JOIN figure_marks f ON f.merchant_id = m.id"
    " WHERE m.id > ?1 AND (f.merchant_id IS NULL OR f.counted_at <= ?2 OR b.next_entry - 1 > f.entry)"
    " ORDER BY m.id LIMIT ?3"
)
_ENTRIES = plain(
    "SELECT number, at, source, destination, micropoints FROM ledger_entries"
    " WHERE merchant_id = ?1 AND number > ?2 ORDER BY number LIMIT ?3"
)
_ADD = insert(
    "daily_figures",
    "ON CONFLICT (merchant_id, day) DO UPDATE SET issued = daily_figures.issued + excluded.issued,"
    " taken_back = daily_figures.taken_back + excluded.taken_back,"
    " redeemed = daily_figures.redeemed + excluded.redeemed",
    merchant_id=BIG, day=BIG, issued=BIG, taken_back=BIG, redeemed=BIG,
)  # fmt: skip
_SET = insert(
    "daily_figures",
    "ON CONFLICT (merchant_id, day) DO UPDATE SET orders = excluded.orders, repeats = excluded.repeats,"
    " notes = excluded.notes, asked = excluded.asked, reviews = excluded.reviews, recovered = excluded.recovered",
    merchant_id=BIG, day=BIG, orders=BIG, repeats=BIG, notes=BIG, asked=BIG, reviews=BIG, recovered=BIG,
)  # fmt: skip
_FIRST_MARK = plain(
    "INSERT INTO figure_marks (merchant_id, entry, day, counted_at) VALUES (?1, 0, ?2, 0)"
    " ON CONFLICT (merchant_id) DO NOTHING"
)
# Of two that add up at once, the one whose entries the mark has passed already adds nothing.
_ADVANCE = plain("UPDATE figure_marks SET entry = ?3 WHERE merchant_id = ?1 AND entry = ?2")
_COUNTED = plain("UPDATE figure_marks SET day = ?2, counted_at = ?3 WHERE merchant_id = ?1")
_DAYS = plain(
    "SELECT day, issued, taken_back, redeemed, orders, repeats, notes, asked, reviews, recovered"
    " FROM daily_figures WHERE merchant_id = ?1 AND day >= ?2 AND day <= ?3"
)
# The plus keeps each one's earlier orders from being looked up in the index by time: it would read all of the shop's.
_ORDERS = plain(
    "SELECT count(*), coalesce(sum(CASE WHEN EXISTS (SELECT 1 FROM sales e WHERE e.customer = s.customer"
    " AND e.merchant_id = s.merchant_id AND e.sold_at < s.sold_at AND +e.merged_into IS NULL"
    " AND e.standing = 'counted' AND e.test = 0) THEN 1 ELSE 0 END), 0)"
    " FROM sales s WHERE s.merchant_id = ?1 AND s.sold_at >= ?2 AND s.sold_at < ?3 AND s.sold_at IS NOT NULL"
    " AND s.merged_into IS NULL AND s.standing = 'counted' AND s.test = 0"
)
_SENT = plain(
    "SELECT kind, count(*) FROM messages WHERE merchant_id = ?1 AND sent_at >= ?2 AND sent_at < ?3"
    " AND sent_at IS NOT NULL AND test = 0 GROUP BY kind"
)
_CONNECTIONS = plain(
    "SELECT platform, account, revoked_at, CASE WHEN refresh_problem IS NOT NULL AND token_expires_at <= ?3 THEN 1"
    " ELSE 0 END FROM connections WHERE merchant_id = ?1 AND closed_at IS NULL ORDER BY id LIMIT ?2"
)
_AMISS = plain(
    "SELECT what, count(*) FROM (SELECT CASE WHEN failed_at IS NOT NULL THEN 'failed' ELSE outcome END AS what"
    " FROM events WHERE merchant_id = ?1"
    # The first condition is the index's; what waits for a later event needs nobody.
    " AND (failed_at IS NOT NULL OR outcome = 'suspect' OR outcome = 'waiting')"
    " AND (failed_at IS NOT NULL OR outcome = 'suspect') ORDER BY id DESC LIMIT ?2) e GROUP BY what"
)
_GIVEN_UP = plain("SELECT count(DISTINCT sale) FROM settlements WHERE merchant_id = ?1 AND retry_at IS NULL")
_TWINS = plain(
    "SELECT count(*) FROM (SELECT sold_at, standing FROM sales WHERE merchant_id = ?1 AND paired_with IS NOT NULL"
    " ORDER BY number DESC LIMIT ?3) s WHERE sold_at > ?2 AND standing = 'elsewhere'"
)


def behind(after: int, now: int) -> Steps[list[tuple[int, str]]]:
    """List merchants, and their time zones, whose ledger has grown or whose figures are old; by id, from `after` on."""
    rows = yield from ask(_BEHIND, (after, now - COUNT_EVERY, MOST_MERCHANTS))
    return [(row[0], row[1]) for row in rows]


def add_up(merchant_id: int, timezone: str, now: int) -> Steps[int]:
    """Add the next entries of a merchant's ledger to their days; returns how many there were."""
    yield from ask(_FIRST_MARK, (merchant_id, day_of(now, timezone) - DAYS + 1))
    mark = yield from _mark(merchant_id)
    entries = yield from ask(_ENTRIES, (merchant_id, mark.entry, MOST_ENTRIES))
    if not entries:
        return 0
    moved = yield from ask(_ADVANCE, (merchant_id, mark.entry, entries[-1][0]))
    if not moved[0][0]:
        return 0
    sums = _by_day(entries, timezone)
    rows = [(merchant_id, day, each.issued, each.taken_back, each.redeemed) for day, each in sorted(sums.items())]
    yield from ask(_ADD, rows)
    return len(entries)


def count_day(merchant_id: int, timezone: str, counts: Mapping[str, Count], now: int) -> Steps[bool]:
    """Count the other figures of the next day that is not final; False where it still is not, and nothing is left.

    Once a day all days are counted anew: orders are paid, cancelled or found again long after the day they are of.
    """
    today = day_of(now, timezone)
    mark = yield from _mark(merchant_id)
    # A day is final an hour after its end: what was under way at midnight has been written by then.
    is_new_day = mark.counted_at < start_of(today, timezone) + HOUR <= now
    first = today - DAYS + 1
    day = first if is_new_day or mark.day is None else max(mark.day, first)
    start, end = start_of(day, timezone), start_of(day + 1, timezone)
    each = yield from counted(merchant_id, start, end, counts)
    row = (each.orders, each.repeats, each.notes, each.asked, each.reviews, each.recovered)
    yield from ask(_SET, [(merchant_id, day, *row)])
    is_final = now >= end + HOUR
    yield from ask(_COUNTED, (merchant_id, day + 1 if is_final else day, now))
    return is_final


def counted(merchant_id: int, since: int, until: int, counts: Mapping[str, Count]) -> Steps[Figures]:
    """Count what happened between two instants, but for points."""
    [(orders, repeats)] = yield from ask(_ORDERS, (merchant_id, since, until))
    sent = yield from ask(_SENT, (merchant_id, since, until))
    by_kind = {row[0]: row[1] for row in sent}
    reviews = recovered = 0
    if "reviews" in counts:
        reviews = yield from counts["reviews"](merchant_id, since, until)
    if "recovered" in counts:
        recovered = yield from counts["recovered"](merchant_id, since, until)
    return Figures(
        orders=orders,
        repeats=int(repeats),
        notes=by_kind.get("thank_you", 0),
        asked=by_kind.get("review_request", 0),
        reviews=reviews,
        recovered=recovered,
    )


def days(merchant_id: int, timezone: str, counts: Mapping[str, Count], now: int) -> Steps[list[Figures]]:
    """Return the figures of the last DAYS days of the shop's calendar, the last one being today and up to date."""
    today = day_of(now, timezone)
    rows = yield from ask(_DAYS, (merchant_id, today - DAYS + 1, today))
    found = {row[0]: Figures(*row[1:]) for row in rows}
    mark = yield from _mark(merchant_id)
    tail = yield from ask(_ENTRIES, (merchant_id, mark.entry, MOST_ENTRIES))
    for day, each in _by_day(tail, timezone).items():
        known = found.get(day, Figures())
        found[day] = known._replace(
            issued=known.issued + each.issued,
            taken_back=known.taken_back + each.taken_back,
            redeemed=known.redeemed + each.redeemed,
        )
    points = found.get(today, Figures())
    fresh = yield from counted(merchant_id, start_of(today, timezone), now + 1, counts)
    found[today] = fresh._replace(issued=points.issued, taken_back=points.taken_back, redeemed=points.redeemed)
    return [found.get(day, Figures()) for day in range(today - DAYS + 1, today + 1)]


def state(merchant_id: int, counts: Mapping[str, Count], now: int) -> Steps[State]:
    """Return how far a merchant's set-up is, and what went wrong."""
    connections = yield from ask(_CONNECTIONS, (merchant_id, MOST_CONNECTIONS, now))
    program = (yield from read_program(merchant_id)).program
    amiss = yield from ask(_AMISS, (merchant_id, MOST_AMISS))
    given_up = yield from ask(_GIVEN_UP, (merchant_id,))
    twins = yield from ask(_TWINS, (merchant_id, now - TWINS_WITHIN, MOST_AMISS))
    accounts = yield from accounts_of(merchant_id)
    mail = yield from held(merchant_id, now)
    previews = quiet = friends = 0
    if "previews" in counts:
        previews = yield from counts["previews"](merchant_id, 0, now + 1)
    if "quiet" in counts:
        quiet = yield from counts["quiet"](merchant_id, 0, now + 1)
    if "friends" in counts:
        friends = yield from counts["friends"](merchant_id, 0, now + 1)
    rewards = dict.fromkeys(_REWARDS, 0)
    for name, (reach, lag) in _REWARDS.items():
        if name in counts:
            rewards[name] = yield from counts[name](merchant_id, max(0, now - reach), now + 1 - lag)
    found = {row[0]: row[1] for row in amiss}
    return State(
        program=program,
        connected=tuple(Connected(platform, account, at, bool(ended)) for platform, account, at, ended in connections),
        previewed=previews > 0,
        failed=found.get("failed", 0),
        suspect=found.get("suspect", 0),
        given_up=given_up[0][0],
        twins=twins[0][0],
        accounts=tuple((one.connection, one.name, one.state, one.reason) for one in accounts if one.revoked_at is None),
        quiet=quiet,
        mail=mail,
        friends=friends,
        rewards_off=rewards["rewards_off"],
        rewards_refused=rewards["rewards_refused"],
        rewards_waiting=rewards["rewards_waiting"],
    )


def _mark(merchant_id: int) -> Steps[Mark]:
    rows = yield from ask(_MARK, (merchant_id,))
    return Mark(*rows[0]) if rows else Mark()


def _by_day(entries: Sequence[Row], timezone: str) -> dict[int, Figures]:
    """Sort entries (number, at, source, destination, micropoints) by day of the shop's calendar."""
    found: dict[int, Figures] = {}
    day = start = until = 0
    for _, at, source, destination, amount in entries:
        if not start <= at < until:  # most entries are of the day of the one before
            day = day_of(at, timezone)
            start, until = start_of(day, timezone), start_of(day + 1, timezone)
        each = found.get(day, Figures())
        if source == ISSUED:
            found[day] = each._replace(issued=each.issued + amount)
        elif destination == ISSUED:
            found[day] = each._replace(taken_back=each.taken_back + amount)
        elif destination == SPENT:
            found[day] = each._replace(redeemed=each.redeemed + amount)
    return found
