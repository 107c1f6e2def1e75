"""The contract of a settler, and running all of them so that one that fails holds up no other."""

import traceback
from collections.abc import Iterable, Sequence
from typing import Protocol

import structlog

from handlers.sales.rules import Sale
from integration.clock import HOUR, MINUTE
from integration.database.steps import BIG, TEXT, Steps, ask, insert, keyed, plain

log = structlog.get_logger(__name__)

RETRY_AFTER = (MINUTE, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 6 * HOUR, 12 * HOUR, 24 * HOUR)

_SAVEPOINT = plain("SAVEPOINT settler")
_RELEASE = plain("RELEASE SAVEPOINT settler")
_ROLLBACK = plain("ROLLBACK TO SAVEPOINT settler")
_ATTEMPTS = keyed(
    "SELECT s.attempts FROM {keys} k CROSS JOIN settlements s"
    " WHERE s.merchant_id = k.merchant_id AND s.sale = k.sale AND s.capability = k.capability",
    merchant_id=BIG,
    sale=BIG,
    capability=TEXT,
)
_FAILED = insert(
    "settlements",
    "ON CONFLICT (merchant_id, sale, capability) DO UPDATE SET revision = excluded.revision,"
    " attempts = excluded.attempts, failure = excluded.failure, failed_at = excluded.failed_at,"
    " retry_at = excluded.retry_at",
    merchant_id=BIG,
    sale=BIG,
    capability=TEXT,
    revision=BIG,
    attempts=BIG,
    failure=TEXT,
    failed_at=BIG,
    retry_at=BIG,
)
_CAUGHT_UP = keyed(
    "DELETE FROM settlements WHERE EXISTS (SELECT 1 FROM {keys} k"
    " WHERE settlements.merchant_id = k.merchant_id AND settlements.sale = k.sale"
    " AND settlements.capability = k.capability)",
    merchant_id=BIG,
    sale=BIG,
    capability=TEXT,
)
_FORGET = keyed(
    "DELETE FROM settlements WHERE EXISTS (SELECT 1 FROM {keys} k"
    " WHERE settlements.merchant_id = k.merchant_id AND settlements.sale = k.sale)",
    merchant_id=BIG,
    sale=BIG,
)

Wakes = dict[tuple[int, int], int]


class Settler(Protocol):
    """One capability's settling; must be idempotent: it posts target minus already posted.

    `settle` gets sales of one batch (possibly several merchants, each sale once, merchants' books locked) and
    the present instant, writes with set-based steps, and returns for each sale number of a merchant when settling
    again would change something without any event: `{(merchant_id, sale number): instant}`.
    A sale it raises for is retried alone and then by the sweep; the other capabilities are not held up.
    """

    name: str

    def settle(self, sales: Sequence[Sale], now: int) -> Steps[dict[tuple[int, int], int]]: ...


def settle_all(settlers: Sequence[Settler], sales: Sequence[Sale], now: int, *, retried: bool = False) -> Steps[Wakes]:
    """Settle sales with every capability; return when each wants to be settled again, the earliest.

    `retried` says that some of them may have been behind: what has caught up is forgotten.
    """
    wakes: Wakes = {}
    if not sales:
        return wakes
    for settler in settlers:
        failed: set[tuple[int, int]] = set()
        found = yield from _attempt(settler, sales, now)
        if isinstance(found, Exception):
            for sale in sales:
                alone = yield from _attempt(settler, [sale], now)
                if isinstance(alone, Exception):
                    failed.add((sale.shop.id, sale.number))
                    yield from _note_failure(settler, sale, alone, now)
                else:
                    _earliest(wakes, alone)
        else:
            _earliest(wakes, found)
        if retried:
            done = [(s.shop.id, s.number, settler.name) for s in sales if (s.shop.id, s.number) not in failed]
            yield from ask(_CAUGHT_UP, done)
    return wakes


def forget_failures(merged: Iterable[tuple[int, int]]) -> Steps[None]:
    """Forget what failed for (merchant, sale) merged into others: their survivors are settled in their place."""
    yield from ask(_FORGET, sorted(merged))


def _attempt(settler: Settler, sales: Sequence[Sale], now: int) -> Steps[Wakes | Exception]:
    yield from ask(_SAVEPOINT, ())
    try:
        wakes = yield from settler.settle(sales, now)
    except Exception as error:  # noqa: BLE001 - one capability must not stop the others; it is kept and retried
        yield from ask(_ROLLBACK, ())
        yield from ask(_RELEASE, ())
        return error
    yield from ask(_RELEASE, ())
    return wakes


def _earliest(wakes: Wakes, found: Wakes) -> None:
    for key, at in found.items():
        wakes[key] = min(at, wakes.get(key, at))


def _note_failure(settler: Settler, sale: Sale, error: Exception, now: int) -> Steps[None]:
    key = (sale.shop.id, sale.number, settler.name)
    rows = yield from ask(_ATTEMPTS, [key])
    attempts = (rows[0][0] if rows else 0) + 1
    retry_at = now + RETRY_AFTER[attempts - 1] if attempts <= len(RETRY_AFTER) else None
    # The error's own words may hold personal data; its type and place are enough to find it.
    log.error(
        "settling failed",
        capability=settler.name,
        merchant=sale.shop.id,
        sale=sale.number,
        attempts=attempts,
        error=type(error).__name__,
        exc_info=error,
    )
    yield from ask(_FAILED, [(*key, sale.revision, attempts, _in_words(error), now, retry_at)])


def _in_words(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {frames[-1].name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}"
