"""Tables behind the programme page: what was typed and not saved yet, what was previewed, and forecasts."""

import hashlib
import json
from collections.abc import Mapping
from typing import Literal, NamedTuple

import msgspec
from sqlalchemy import Column, Index, Table, Text

from handlers.merchants.books import lock_books
from handlers.merchants.rules import Program
from handlers.points.forecast import Forecast
from handlers.sales.books import LoadedSale, latest_sold, load_sales
from integration.clock import DAY, MINUTE
from integration.database.schema import Instant, Number, metadata
from integration.database.steps import Steps, ask, plain

MOST_DRAFTS = 30  # of one merchant; the oldest go first
MOST_FORECASTS = 20  # of one merchant that are kept
MOST_AT_ONCE = 2  # forecasts of one merchant that are worked out at a time
FRESH = DAY  # older ones are worked out again
STALLED = 5 * MINUTE  # without a sign of life: whoever worked it out is gone
# What stands for an answer that only another version of the program can read.
UNREADABLE = "The program was just renewed. Look again in a minute, and this will be worked out anew."
LATEST = 20  # sales a preview is made of
MOST_SEEN = 200  # previews of one merchant that are remembered

program_drafts = Table(
    "program_drafts",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("number", Number, primary_key=True, autoincrement=False),
    Column("base", Number, nullable=False),  # the version that was on the page
    Column("fields", Text, nullable=False),  # JSON: what was typed, by the names of the form
    Column("who", Text, nullable=False),
    Column("at", Instant, nullable=False),
)

program_previews = Table(
    "program_previews",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("what", Text, primary_key=True),  # earning | thanks | reviews
    Column("digest", Text, primary_key=True),  # of the settings that were previewed
    Column("who", Text, nullable=False),
    Column("at", Instant, nullable=False),
)

_SCOPES = plain(
    "SELECT scopes FROM connections WHERE merchant_id = ?1 AND platform = 'shopify' AND mode = 'live'"
    " AND closed_at IS NULL ORDER BY id LIMIT 1"
)

program_forecasts = Table(
    "program_forecasts",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("digest", Text, primary_key=True),  # of what is asked, and under which version
    Column("question", Text, nullable=False),  # JSON of Question
    Column("asked_at", Instant, nullable=False),
    Column("alive_at", Instant, nullable=False),
    Column("done", Number, nullable=False, server_default="0"),  # sales looked at
    Column("due", Number, nullable=False, server_default="0"),  # of about so many
    Column("answer", Text),  # JSON: a Forecast for each programme
    Column("answered_at", Instant),
    Column("failure", Text),
)
Index("ix_program_forecasts_asked", program_forecasts.c.merchant_id, program_forecasts.c.asked_at)

_NEXT_DRAFT = plain("SELECT COALESCE(MAX(number), 0) + 1 FROM program_drafts WHERE merchant_id = ?1")
_NTH_DRAFT = plain("SELECT number FROM program_drafts WHERE merchant_id = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2")
_KEEP_DRAFT = plain(
    "INSERT INTO program_drafts (merchant_id, number, base, fields, who, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
)
_OLD_DRAFTS = plain("DELETE FROM program_drafts WHERE merchant_id = ?1 AND number <= ?2")
_DRAFT = plain("SELECT number, base, fields, who, at FROM program_drafts WHERE merchant_id = ?1 AND number = ?2")
_LAST_DRAFT = plain(
    "SELECT number, base, fields, who, at FROM program_drafts WHERE merchant_id = ?1 AND who = ?2"
    " ORDER BY number DESC LIMIT 1"
)
_DROP_DRAFTS = plain("DELETE FROM program_drafts WHERE merchant_id = ?1 AND who = ?2 AND number <= ?3")
_SAW = plain(
    "INSERT INTO program_previews (merchant_id, what, digest, who, at) VALUES (?1, ?2, ?3, ?4, ?5)"
    " ON CONFLICT (merchant_id, what, digest) DO UPDATE SET who = excluded.who, at = excluded.at"
)
_SEEN = plain("SELECT what, digest, at FROM program_previews WHERE merchant_id = ?1 ORDER BY at DESC LIMIT ?2")
_FORGET_SEEN = plain("DELETE FROM program_previews WHERE merchant_id = ?1 AND at < ?2")
_FORECAST = plain(
    "SELECT digest, question, asked_at, alive_at, done, due, answer, answered_at, failure"
    " FROM program_forecasts WHERE merchant_id = ?1 AND digest = ?2"
)
_UNDER_WAY = plain(
    "SELECT COUNT(*) FROM program_forecasts"
    " WHERE merchant_id = ?1 AND digest <> ?2 AND answered_at IS NULL AND failure IS NULL AND alive_at > ?3"
)
_ASK = plain(
    "INSERT INTO program_forecasts (merchant_id, digest, question, asked_at, alive_at) VALUES (?1, ?2, ?3, ?4, ?4)"
    " ON CONFLICT (merchant_id, digest) DO UPDATE SET question = excluded.question, asked_at = excluded.asked_at,"
    " alive_at = excluded.alive_at, done = 0, due = 0, answer = NULL, answered_at = NULL, failure = NULL"
)
_NTH_FORECAST = plain(
    "SELECT asked_at FROM program_forecasts WHERE merchant_id = ?1 ORDER BY asked_at DESC LIMIT 1 OFFSET ?2"
)
_OLD_FORECASTS = plain("DELETE FROM program_forecasts WHERE merchant_id = ?1 AND asked_at <= ?2")
_ADVANCE = plain(
    "UPDATE program_forecasts SET done = ?4, due = ?5, alive_at = ?6"
    " WHERE merchant_id = ?1 AND digest = ?2 AND asked_at = ?3 AND answered_at IS NULL AND failure IS NULL"
)
_ANSWER = plain(
    "UPDATE program_forecasts SET answer = ?4, failure = ?5, answered_at = ?6, done = ?7, due = ?7, alive_at = ?6"
    " WHERE merchant_id = ?1 AND digest = ?2 AND asked_at = ?3"
)


# --- What was typed -----------------------------------------------------------------------------


class Draft(NamedTuple):
    """What somebody typed over a version and has not saved."""

    number: int
    base: int
    fields: Mapping[str, str]
    who: str
    at: int


def scopes(merchant_id: int) -> Steps[frozenset[str] | None]:
    """Return what the merchant's shop lets us do; None where there is none, or it has not told."""
    rows = yield from ask(_SCOPES, (merchant_id,))
    return frozenset(json.loads(rows[0][0])) if rows and rows[0][0] else None


def keep_draft(merchant_id: int, base: int, fields: Mapping[str, str], who: str, now: int) -> Steps[int]:
    """Keep what was typed; returns its number, which never named another draft: a tab may still show that one."""
    yield from lock_books([merchant_id])
    rows = yield from ask(_NEXT_DRAFT, (merchant_id,))
    number = max(int(rows[0][0]), now)
    yield from ask(_KEEP_DRAFT, (merchant_id, number, base, json.dumps(dict(fields)), who, now))
    rows = yield from ask(_NTH_DRAFT, (merchant_id, MOST_DRAFTS))
    if rows:
        yield from ask(_OLD_DRAFTS, (merchant_id, rows[0][0]))
    return number


def read_draft(merchant_id: int, number: int) -> Steps[Draft | None]:
    """Return a draft by its number; None where there is none (any more)."""
    rows = yield from ask(_DRAFT, (merchant_id, number))
    return _draft(rows[0]) if rows else None


def last_draft(merchant_id: int, who: str) -> Steps[Draft | None]:
    """Return what somebody typed last; None where they have nothing unsaved."""
    rows = yield from ask(_LAST_DRAFT, (merchant_id, who))
    return _draft(rows[0]) if rows else None


def drop_drafts(merchant_id: int, who: str, number: int) -> Steps[None]:
    """Let go of somebody's drafts up to a number: they are saved or given up."""
    yield from ask(_DROP_DRAFTS, (merchant_id, who, number))


def _draft(row: tuple[object, ...]) -> Draft:
    number, base, fields, who, at = row
    assert isinstance(number, int) and isinstance(base, int) and isinstance(who, str) and isinstance(at, int)
    return Draft(number, base, json.loads(str(fields)), who, at)


# --- What was previewed -------------------------------------------------------------------------


def section_digest(program: Program, what: str) -> str:
    """Name the settings of one section as they are; another setting is another name."""
    return hashlib.sha256(getattr(program, what).model_dump_json().encode()).hexdigest()


def saw(merchant_id: int, program: Program, what: tuple[str, ...], who: str, now: int) -> Steps[None]:
    """Remember that these sections of a programme were previewed as they are."""
    for one in what:
        yield from ask(_SAW, (merchant_id, one, section_digest(program, one), who, now))
    if what:
        rows = yield from ask(_SEEN, (merchant_id, MOST_SEEN))
        if len(rows) == MOST_SEEN:
            yield from ask(_FORGET_SEEN, (merchant_id, rows[-1][2]))


def unseen(merchant_id: int, program: Program, what: tuple[str, ...]) -> Steps[tuple[str, ...]]:
    """Return which of these sections were not previewed as they are in a programme."""
    rows = yield from ask(_SEEN, (merchant_id, MOST_SEEN))
    seen = {(row[0], row[1]) for row in rows}
    return tuple(one for one in what if (one, section_digest(program, one)) not in seen)


# --- The shop's own orders ----------------------------------------------------------------------


def latest_sales(merchant_id: int) -> Steps[list[LoadedSale]]:
    """Load a few of the merchant's latest sales, the newest first."""
    numbers = yield from latest_sold(merchant_id, LATEST)
    loaded = yield from load_sales((merchant_id, number) for number in numbers)
    by_number = {one.number: one for one in loaded}
    return [by_number[number] for number in numbers if number in by_number]


# --- Forecasts ----------------------------------------------------------------------------------


class Question(msgspec.Struct, frozen=True):
    """What a forecast is asked: programmes as documents, for sales between two instants.

    Or, of `what` is "tiers", who would have which tier under the one programme by the second instant.
    """

    programs: tuple[str, ...]
    since: int
    until: int
    version: int  # of the merchant's programme when it was asked
    what: Literal["sales", "tiers"] = "sales"


class Moved(msgspec.Struct, frozen=True, array_like=True):
    """What other tiers would do, counted over everybody; a newer version of the program may add to its end."""

    moves: tuple[tuple[str | None, str | None, int], ...]  # tier now, tier then, how many; who stays among them
    given: tuple[tuple[str, int], ...] = ()  # tier, how many would get its points for reaching it
    tagged: tuple[tuple[str, int], ...] = ()  # tag, how many customers at Shopify would get it
    untagged: tuple[tuple[str, int], ...] = ()  # tag, how many would lose it


class Asked(NamedTuple):
    """A forecast as its row stands."""

    digest: str
    question: Question
    asked_at: int
    alive_at: int
    done: int
    due: int
    answer: tuple[Forecast, ...] | None
    answered_at: int | None
    failure: str | None
    moves: Moved | None = None  # the answer about tiers

    def is_under_way(self, now: int) -> bool:
        """Tell whether somebody works it out, or will."""
        return self.answered_at is None and self.failure is None and now - self.alive_at < STALLED

    def is_fresh(self, now: int) -> bool:
        """Tell whether its answer still serves; one that cannot be read is let stand for a moment."""
        if self.answered_at is None or (self.answer is None and self.moves is None and self.failure != UNREADABLE):
            return False
        return now - self.answered_at < (MINUTE if self.failure == UNREADABLE else FRESH)


def count_people(merchant_id: int, limit: int) -> Steps[int]:
    """Count a merchant's customers, up to a limit."""
    return int((yield from ask(_PEOPLE, (merchant_id, limit)))[0][0])


_PEOPLE = plain(
    "SELECT count(*) FROM (SELECT 1 FROM customers WHERE merchant_id = ?1 AND merged_into IS NULL LIMIT ?2) AS p"
)


def name_of(programs: tuple[Program, ...], days: int, version: int, what: str = "sales") -> str:
    """Name a question: by the programmes, the days looked at, the version in force, and what is asked of them."""
    documents = [program.model_dump_json() for program in programs] + ([what] if what != "sales" else [])
    return hashlib.sha256(json.dumps([documents, days, version]).encode()).hexdigest()[:32]


def read_forecast(merchant_id: int, digest: str) -> Steps[Asked | None]:
    """Return a forecast by its name; None where nobody asked."""
    rows = yield from ask(_FORECAST, (merchant_id, digest))
    if not rows:
        return None
    _, question, asked_at, alive_at, done, due, answer, answered_at, failure = rows[0]
    asked = msgspec.json.decode(question, type=Question)
    decoded, moved = None, None
    try:
        if answer and asked.what == "tiers":
            moved = msgspec.json.decode(answer, type=Moved)
        elif answer:
            decoded = msgspec.json.decode(answer, type=tuple[Forecast, ...])
    except msgspec.DecodeError:
        # While one version of the program takes the place of another, both work out what either asks.
        failure = UNREADABLE
    return Asked(digest, asked, asked_at, alive_at, done, due, decoded, answered_at, failure, moved)


def ask_for(merchant_id: int, digest: str, question: Question, now: int) -> Steps[tuple[Asked | None, bool]]:
    """Ask for a forecast: returns it as it stands and whether it is new and has to be worked out.

    One that is fresh or under way is not asked for again. None where too many are under way already.
    """
    found = yield from read_forecast(merchant_id, digest)
    if found is not None and (found.is_under_way(now) or found.is_fresh(now)):
        return found, False
    rows = yield from ask(_UNDER_WAY, (merchant_id, digest, now - STALLED))
    if rows[0][0] >= MOST_AT_ONCE:
        return None, False
    yield from ask(_ASK, (merchant_id, digest, msgspec.json.encode(question).decode(), now))
    rows = yield from ask(_NTH_FORECAST, (merchant_id, MOST_FORECASTS))
    if rows:
        yield from ask(_OLD_FORECASTS, (merchant_id, rows[0][0]))
    return Asked(digest, question, now, now, 0, 0, None, None, None), True


def advance(merchant_id: int, asked: Asked, done: int, due: int, now: int) -> Steps[bool]:
    """Note how far a forecast has come; False where it is not wanted any more, or another works it out."""
    rows = yield from ask(_ADVANCE, (merchant_id, asked.digest, asked.asked_at, done, due, now))
    return bool(rows[0][0])


def answer(
    merchant_id: int, asked: Asked, found: tuple[Forecast, ...] | Moved | None, failure: str | None, done: int, now: int
) -> Steps[None]:
    """Note what came out of a forecast, or why nothing did."""
    written = msgspec.json.encode(found).decode() if found is not None else None
    yield from ask(_ANSWER, (merchant_id, asked.digest, asked.asked_at, written, failure, now, done))


def previews(merchant_id: int, since: int, until: int, /) -> Steps[int]:
    """Count the settings a merchant previewed between two instants, the first included, as far as remembered."""
    rows = yield from ask(_PREVIEWS, (merchant_id, since, until))
    return int(rows[0][0])


_PREVIEWS = plain("SELECT count(*) FROM program_previews WHERE merchant_id = ?1 AND at >= ?2 AND at < ?3")
