"""The contract of a settler, and running all of them so that one that fails holds up no other."""

import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

import msgspec
import structlog

from handlers.merchants.books import Counters
from handlers.sales.rules import Sale
from handlers.sales.worth import valued
from integration.clock import HOUR, MINUTE
from integration.database.steps import BIG, TEXT, Steps, ask, insert, keyed, plain
from integration.facts import CustomerSeen, DiscountSeen, PromotionSeen

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
_ANY_BEHIND = plain("SELECT 1 FROM settlements LIMIT 1")
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
WHOLE = "sale"  # stands for a capability where the sale itself could not be valued

T = TypeVar("T")
Each = TypeVar("Each")

Listener = Callable[[int, PromotionSeen | DiscountSeen | CustomerSeen, int | None, Counters, int], Steps[None]]
"""Hears of a promotion code, of a discount that was changed, or of somebody's new account; the merchant's books are
locked and open: (merchant, what was told, the customer it is about, books, now)."""


class Settler(Protocol):
    """One capability's settling; must be idempotent: it posts target minus already posted.

    `settle` gets sales of one batch (possibly several merchants, each sale once, merchants' books locked) and
    the present instant, writes with set-based steps, and returns for each sale number of a merchant when settling
    again would change something without any event: `{(merchant_id, sale number): instant}`.
    A sale it raises for is retried alone and then by the sweep; the other capabilities are not held up.
    """

    name: str

    def settle(self, sales: Sequence[Sale], now: int) -> Steps[dict[tuple[int, int], int]]: ...


class Ranker(Protocol):
    """Says, before anything is settled, which tier the customer of each sale held when it was made."""

    name: str

    def rank(self, sales: Sequence[Sale], now: int) -> Steps[Mapping[tuple[int, int], str | None]]:
        """Return tiers by (merchant, sale); a sale that is left out keeps the tier it has."""
        ...


def settle_all(
    settlers: Sequence[Settler], sales: Sequence[Sale], now: int, ranker: Ranker | None = None
) -> Steps[tuple[Wakes, Mapping[tuple[int, int], str | None]]]:
    """Settle sales with every capability; return when each wants to be settled again, the earliest, and its tier.

    What was behind and has caught up is forgotten.
    """
    wakes: Wakes = {}
    tiers: dict[tuple[int, int], str | None] = {}
    if not sales:
        return wakes, tiers
    some_behind = bool((yield from ask(_ANY_BEHIND, ())))
    if ranker is not None:
        for ranks in (yield from _each_or_all(ranker.name, ranker.rank, sales, now, some_behind)):
            tiers.update(ranks)
        sales = [_with_tier(sale, tiers.get((sale.shop.id, sale.number), sale.tier)) for sale in sales]
    for settler in settlers:
        for found in (yield from _each_or_all(settler.name, settler.settle, sales, now, some_behind)):
            _earliest(wakes, found)
    return wakes, tiers


def _each_or_all(
    name: str, run: Callable[[Sequence[Sale], int], Steps[T]], sales: Sequence[Sale], now: int, some_behind: bool
) -> Steps[list[T]]:
    """Run a capability over all sales, or over each alone where one of them trips it; that one is tried again later."""
    failed: set[tuple[int, int]] = set()

    def put_off(sale: Sale, error: Exception) -> Steps[None]:
        failed.add((sale.shop.id, sale.number))
        yield from note_failure((sale.shop.id, sale.number, name), sale.revision, error, now)

    results = yield from all_or_each(sales, lambda some: run(some, now), put_off)
    if some_behind:
        well = [(s.shop.id, s.number) for s in sales if (s.shop.id, s.number) not in failed]
        yield from ask(_CAUGHT_UP, [(*key, each) for key in well for each in (name, WHOLE)])
    return results


def _with_tier(sale: Sale, tier: str | None) -> Sale:
    if tier == sale.tier:
        return sale
    # Campaigns may be for some tiers only; what does not count for other reasons does not begin to.
    worth = valued(sale.shop, sale.facts, tier)[0] if sale.worth.eligible_minor else sale.worth
    return msgspec.structs.replace(sale, tier=tier, worth=worth)


def attempt(make: Callable[[], Steps[T]]) -> Steps[T | Exception]:
    """Run steps under a savepoint; return what they raise, with everything they wrote undone."""
    yield from ask(_SAVEPOINT, ())
    try:
        result = yield from make()
    except Exception as error:  # noqa: BLE001 - one that fails must not stop the others; it is kept and retried
        yield from ask(_ROLLBACK, ())
        yield from ask(_RELEASE, ())
        return error
    yield from ask(_RELEASE, ())
    return result


def all_or_each(
    several: Sequence[Each],
    run: Callable[[Sequence[Each]], Steps[T]],
    put_off: Callable[[Each, Exception], Steps[None]],
) -> Steps[list[T]]:
    """Run steps over several at once, or over each alone where one of them trips the others; list what came of it.

    `put_off` is called for one that trips alone, with everything its run wrote undone: it says so, and when to try
    again.
    """
    found = yield from attempt(lambda: run(several))
    if not isinstance(found, Exception):
        return [found]
    if len(several) == 1:
        yield from put_off(several[0], found)
        return []
    results = []
    for each in several:
        alone = yield from attempt(lambda one=each: run([one]))  # type: ignore[misc]
        if isinstance(alone, Exception):
            yield from put_off(each, alone)
        else:
            results.append(alone)
    return results


def forget_failures(merged: Iterable[tuple[int, int]]) -> Steps[None]:
    """Forget what failed for (merchant, sale) merged into others: their survivors are settled in their place."""
    yield from ask(_FORGET, sorted(merged))


def _earliest(wakes: Wakes, found: Wakes) -> None:
    for key, at in found.items():
        wakes[key] = min(at, wakes.get(key, at))


def note_failure(key: tuple[int, int, str], revision: int, error: Exception, now: int) -> Steps[None]:
    """Remember that (merchant, sale, capability) failed, and when to try again; in the end, that it was given up."""
    rows = yield from ask(_ATTEMPTS, [key])
    attempts = (rows[0][0] if rows else 0) + 1
    retry_at = now + RETRY_AFTER[attempts - 1] if attempts <= len(RETRY_AFTER) else None
    merchant, sale, capability = key
    # The error's own words may hold personal data; its type and place are enough to find it.
    log.error(
        "settling_failed",
        capability=capability,
        merchant=merchant,
        sale=sale,
        attempts=attempts,
        error=type(error).__name__,
        exc_info=error,
    )
    yield from ask(_FAILED, [(*key, revision, attempts, _in_words(error), now, retry_at)])


def _in_words(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {frames[-1].name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}"
