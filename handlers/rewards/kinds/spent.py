"""Looks every hour how much is left of the money customers have for points, which no platform tells by itself.

Shopify tells of each credit and each card what is left of it; of Stripe's one balance we say it by the movements.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence

import structlog

from handlers.context import Context
from handlers.rewards import changes, store
from handlers.rewards.kinds import Fate, Kind, Wanted
from handlers.rewards.kinds.asking import At, account_at, wanted_of
from handlers.rewards.store import Redemption
from integration.clock import HOUR, MINUTE
from integration.database.steps import BIG, Steps, ask, insert, plain
from integration.errors import OutsideError, Revoked
from integration.vault import Unsealable

LOOK_EVERY = 50 * MINUTE  # the clock comes by every ten minutes
REST = 5 * MINUTE  # before the next part of an account with many rewards is looked at
FAILED_REST = HOUR  # before an account that could not be asked is asked again
MOST_ACCOUNTS = 1_000  # of one run; the next one begins with those that have waited longest
ACCOUNTS_AT_ONCE = 8
PAGE = 50  # rewards of one question, and of one transaction
MOST_PAGES = 100  # of one account in one run
ASK_SECONDS = 60.0  # for one page
SECONDS = 180.0  # of one run
_DUE = plain(
    "SELECT c.merchant_id, c.id, c.platform, coalesce(l.after_number, 0) FROM connections c"
    " LEFT JOIN money_looks l ON l.merchant_id = c.merchant_id AND l.connection = c.id"
    " WHERE c.closed_at IS NULL AND coalesce(l.next_at, 0) <= ?1 AND EXISTS"
    " (SELECT 1 FROM redemptions r WHERE r.merchant_id = c.merchant_id AND r.connection = c.id"
    " AND r.state = 'issued' AND r.kind IN ('balance_credit', 'gift_card', 'store_credit'))"
    " ORDER BY coalesce(l.next_at, 0), c.id LIMIT ?2"
)
_NEXT = insert(
    "money_looks",
    "ON CONFLICT (merchant_id, connection) DO UPDATE SET next_at = excluded.next_at,"
    " after_number = excluded.after_number",
    merchant_id=BIG,
    connection=BIG,
    next_at=BIG,
    after_number=BIG,
)

log = structlog.get_logger()


async def look_due(context: Context) -> int:
    """Look at the accounts whose turn it is, some side by side; returns how many those were."""
    due = await context.database.read(lambda: ask(_DUE, (context.clock.now(), MOST_ACCOUNTS)))
    until, free = time.monotonic() + SECONDS, asyncio.Semaphore(ACCOUNTS_AT_ONCE)

    async def one(merchant_id: int, connection: int, platform: str, after: int) -> int:
        async with free:
            if time.monotonic() >= until:
                return 0
            rest, number = await _look_at(context, merchant_id, connection, platform, after, until)
            next_at = context.clock.now() + rest
            await context.database.run(lambda: ask(_NEXT, [(merchant_id, connection, next_at, number)]))
            return 1

    return sum(await asyncio.gather(*(one(*row) for row in due)))


async def _look_at(
    context: Context, merchant_id: int, connection: int, platform: str, number: int, until: float
) -> tuple[int, int]:
    """Look at an account's rewards behind a number; returns how long to rest then, and behind which one to go on."""
    account = await context.database.read(lambda: account_at(merchant_id, platform, connection))
    if account is None:
        return LOOK_EVERY, 0
    at = At(context, context.shopify.at_leisure(), account, ())
    try:
        for _ in range(MOST_PAGES):
            page = await context.database.read(
                lambda after=number: store.money_after(merchant_id, connection, after, PAGE)  # type: ignore[misc]
            )
            async with asyncio.timeout(ASK_SECONDS):
                fates = await _fates(context, at, page)
            if fates:
                now = context.clock.now()
                await context.database.run(lambda found=fates, at=now: changes.seen(merchant_id, found, at))  # type: ignore[misc]
            if len(page) < PAGE:
                return LOOK_EVERY, 0
            number = page[-1].number
            if time.monotonic() >= until:
                break
    except Revoked as error:
        await at.key.give_up(error)
        return FAILED_REST, number
    except (OutsideError, Unsealable, TimeoutError) as error:
        log.info("money_not_looked_at", merchant=merchant_id, connection=connection, reason=str(error))
        return FAILED_REST, number
    except Exception:
        # One account must not keep the others from being looked at.
        log.exception("money_not_looked_at", merchant=merchant_id, connection=connection)
        return FAILED_REST, number
    return REST, number


async def _fates(context: Context, at: At, page: Sequence[Redemption]) -> Mapping[int, Fate]:
    """Ask what has become of rewards; returns of which something is new."""
    now, fates = context.clock.now(), dict[int, Fate]()
    for name in sorted({each.kind for each in page}):
        kind, mine = context.rewards[name], [each for each in page if each.kind == name]
        if kind.purse is None:
            continue
        wanted = await context.database.read(lambda kind=kind, mine=mine: _all_wanted(mine, kind, now))  # type: ignore[misc]
        found = await kind.purse.look_all(at, wanted)
        for each, fate in zip(mine, found, strict=True):
            if fate != Fate("unused", each.used_minor):
                fates[each.number] = fate
    return fates


def _all_wanted(redemptions: Sequence[Redemption], kind: Kind, now: int) -> Steps[list[Wanted]]:
    wanted = []
    for each in redemptions:
        one = yield from wanted_of(each, kind, now)
        wanted.append(one)
    return wanted
