"""Points given, taken away or forgiven by the merchant's hand."""

import hashlib
import secrets
from collections.abc import Sequence

from handlers.merchants.books import lock_books, save_books, shops
from handlers.merchants.rules import Refused
from handlers.points.expiry import settle_before_taking
from handlers.points.ledger import SPOKEN
from handlers.points.posting import Posting, post
from handlers.points.rules import ISSUED, MICRO, account
from handlers.points.statement import balances
from integration.clock import DAY
from integration.database.steps import BIG, TEXT, Steps, ask, insert, plain

MOST_POINTS = 1_000_000_000
MOST_WORDS = 500
MOST_KEY = 100
YEAR = 366 * DAY  # in which presents are added up

_AVAILABLE = plain("SELECT micropoints FROM accounts WHERE merchant_id = ?1 AND account = ?2")
_SPEAK = insert("entry_words", merchant_id=BIG, key=TEXT, salt=TEXT, words=TEXT)
_PRESENTS = plain(
    "SELECT CAST(COALESCE(SUM(e.micropoints), 0) AS BIGINT) FROM ledger_entries e"
    " WHERE e.destination = ?1 AND e.merchant_id = ?2 AND e.at > ?3 AND e.reason = 'goodwill'"
)
_POSTED = plain("SELECT source, destination, micropoints FROM ledger_entries WHERE merchant_id = ?1 AND key = ?2")


def adjust(
    merchant_id: int, customer: int, points: int, words: str, key: str | None, now: int
) -> Steps[dict[str, int]]:
    """Give whole points, or take some away where they are below zero; return the shown balance afterwards.

    The same `key` again changes nothing. Raises Refused for no points, no words, more than the customer has,
    or a key used for something else.
    """
    if not points or abs(points) > MOST_POINTS:
        raise Refused(f"An adjustment moves 1 to {MOST_POINTS} points, either way.")
    words = _in_words(words)
    mine = account(customer, "available")
    source, destination = (ISSUED, mine) if points > 0 else (mine, ISSUED)
    salt = secrets.token_hex(16)
    posting = Posting(
        merchant_id,
        f"adjust:{_key(key) or secrets.token_hex(12)}",
        source,
        destination,
        abs(points) * MICRO,
        "adjustment",
        detail=_sealed(salt, words),
    )
    counters = yield from lock_books([merchant_id])
    rows = yield from ask(_POSTED, (merchant_id, posting.key))
    if rows and rows[0] != (source, destination, posting.micropoints):
        raise Refused(f"The key {key} stands for another adjustment.")
    if not rows:
        if points < 0:
            yield from settle_before_taking(merchant_id, [customer], counters[merchant_id], now)
        available = yield from _available(merchant_id, mine)
        if points < 0 and available < posting.micropoints:
            raise Refused(f"Only {max(0, available // MICRO)} points are available to take away.")
        yield from post([posting], counters, now)
        yield from ask(_SPEAK, [(merchant_id, posting.key, salt, words)])
        yield from save_books(counters.values())
    return (yield from balances(merchant_id, [customer]))[customer]


def present(
    merchant_id: int, numbers: Sequence[int], points: int, words: str, key: str | None, now: int
) -> Steps[dict[str, int]]:
    """Give whole points as a present, within the programme's limits; return the shown balance afterwards.

    `numbers` are all the person has had, the present one first: what was given under any counts. The same `key` again
    changes nothing. Raises Refused for no words, more than a present may be, or more than a year's presents may be.
    """
    words = _in_words(words)
    if points < 1:
        raise Refused("A present is of at least one point.")
    counters = yield from lock_books([merchant_id])
    ways = (yield from shops([merchant_id]))[merchant_id].current.ways
    mine = account(numbers[0], "available")
    salt = secrets.token_hex(16)
    name = f"goodwill:{_key(key) or secrets.token_hex(12)}"
    posting = Posting(merchant_id, name, ISSUED, mine, points * MICRO, "goodwill", detail=_sealed(salt, words))
    rows = yield from ask(_POSTED, (merchant_id, name))
    places = {account(number, "available") for number in numbers}
    if rows and (rows[0][0] != ISSUED or rows[0][1] not in places or rows[0][2] != posting.micropoints):
        raise Refused(f"The key {key} stands for another present.")
    if not rows:
        if points > ways.goodwill_at_once:
            raise Refused(f"A present is of {ways.goodwill_at_once} points at most; the programme says so.")
        given = 0
        for number in numbers:
            given += (yield from ask(_PRESENTS, (account(number, "available"), merchant_id, now - YEAR)))[0][0]
        left = max(0, ways.goodwill_a_year - given // MICRO)
        if points > left:
            raise Refused(f"Within twelve months {left} more points can be given to this customer as presents.")
        yield from post([posting], counters, now)
        yield from ask(_SPEAK, [(merchant_id, name, salt, words)])
        yield from save_books(counters.values())
    return (yield from balances(merchant_id, [numbers[0]]))[numbers[0]]


def _in_words(words: str) -> str:
    words = " ".join(words.split())
    if not words or len(words) > MOST_WORDS:
        raise Refused(f"An adjustment needs a reason of 1 to {MOST_WORDS} characters.")
    return words


def _key(key: str | None) -> str | None:
    if key is not None and (not key or len(key) > MOST_KEY or any(c.isspace() for c in key)):
        raise Refused(f"A key has 1 to {MOST_KEY} characters and no spaces.")
    return key


def _sealed(salt: str, words: str) -> str:
    return f"{SPOKEN}{hashlib.sha256(f'{salt} {words}'.encode()).hexdigest()}"


def forgive(merchant_id: int, customer: int, now: int) -> Steps[dict[str, int]]:
    """Bring available points that are below zero up to zero; return the shown balance afterwards.

    Raises Refused where nothing is owed.
    """
    mine = account(customer, "available")
    counters = yield from lock_books([merchant_id])
    available = yield from _available(merchant_id, mine)
    if available >= 0:
        raise Refused("This customer owes no points.")
    key = f"forgive:{customer}:{counters[merchant_id].next_entry}"
    posting = Posting(merchant_id, key, ISSUED, mine, -available, "forgiven")
    yield from post([posting], counters, now)
    yield from save_books(counters.values())
    return (yield from balances(merchant_id, [customer]))[customer]


def _available(merchant_id: int, name: str) -> Steps[int]:
    rows = yield from ask(_AVAILABLE, (merchant_id, name))
    return int(rows[0][0]) if rows else 0
