"""What the clock does about referrals: has codes made and taken off, and looks at whose time has come."""

import asyncio
import secrets
import time
from collections.abc import Callable

import structlog

from handlers.context import Context
from handlers.coupons import Answer, Coupon, Coupons
from handlers.merchants.books import lock_books, shops
from handlers.referrals import codes, store
from handlers.referrals.codes import Code
from handlers.referrals.settle import look
from integration.clock import HOUR, MINUTE, SECOND
from integration.database.shares import Limit, Want, due_by_merchant, each_due, numbers_due, take
from integration.database.steps import Steps
from integration.faults import point

MAKE = "referrals.make"
BATCH = 50  # referrals settled in one transaction
MOST_LOOKS = 20_000  # of one run; the next one goes on
MOST_CODES = 200  # asked for in one run
SHOPS_AT_ONCE = 8  # asked for codes; one after the other each
MOST_ROUNDS = 100  # of deleting, a day
MOST_SHOPS = 100_000  # looked at for having switched off, a day
RUN_SECONDS = 45.0  # beyond which no other batch is begun
# Before a platform is asked again, by attempts.
PAUSES = (5 * SECOND, 15 * SECOND, MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR)
MOST_REFUSALS = 6  # attempts at which the platform surely did nothing, before nobody asks any more

log = structlog.get_logger()

_DUE = numbers_due("referrals", number="sale")
_TO_ASK = due_by_merchant(
    "referral_codes", "next_at", "code", "t.next_at IS NOT NULL", ("t.code", "t.merchant_id AS owner")
)


async def look_due(context: Context) -> int:
    """Settle referrals whose time has come; fair between merchants. Twice at once, or cut off, it comes to the same."""
    now, done = context.clock.now(), 0
    limit = Limit(BATCH, MOST_LOOKS, time.monotonic() + RUN_SECONDS)
    async for merchant_id, sales in each_due(context.database, _DUE, now, limit):
        await context.database.run(lambda m=merchant_id, s=sales: look(m, s, context.privacy, now))  # type: ignore[misc]
        done += len(sales)
    return done


async def make(context: Context) -> int:
    """Have codes made and taken off that are due, each shop's in turn; returns how many were asked for."""
    now = context.clock.now()
    taken = await context.database.read(lambda: take(_TO_ASK, now, Want(MOST_CODES, MOST_CODES)))
    free = asyncio.Semaphore(SHOPS_AT_ONCE)

    async def shop(merchant_id: int, mine: list[str]) -> None:
        async with free:
            for code in mine:
                try:
                    await _one(context, merchant_id, code)
                except Exception:
                    # Its claim runs out; others' codes do not wait for it.
                    log.exception("referral_code_failed", merchant=merchant_id)

    async with asyncio.TaskGroup() as group:
        for rows in taken.rows:
            group.create_task(shop(rows[0][1], sorted(code for code, _ in rows)))
    return sum(map(len, taken.rows))


async def prune(context: Context) -> int:
    """Delete codes that ended long ago and that nobody used, and where orders went; returns how many of all."""
    now = context.clock.now()
    deleted = await _each(context, lambda: codes.prune(now)) + await _each(context, lambda: store.prune_homes(now))
    # A shop that offers it no longer compares nothing any more.
    after = 0
    for _ in range(MOST_SHOPS):
        merchant_id = await context.database.read(lambda a=after: store.next_with_homes(a))  # type: ignore[misc]
        if merchant_id is None:
            break
        deleted += await _prune_shop(context, merchant_id)
        after = merchant_id
    return deleted


async def _prune_shop(context: Context, merchant_id: int) -> int:
    shop = (await context.database.read(lambda: shops([merchant_id]))).get(merchant_id)
    if shop is not None and shop.current.referrals.enabled and shop.closed_at is None:
        return 0
    return await _each(context, lambda: store.drop_homes_of_shop(merchant_id))


async def _each(context: Context, some_of: Callable[[], Steps[int]]) -> int:
    """Delete some after some until nothing is left."""
    deleted = 0
    for _ in range(MOST_ROUNDS):
        some = await context.database.run(some_of)
        deleted += some
        if not some:
            break
    return deleted


async def _one(context: Context, merchant_id: int, code: str) -> None:
    coupons, token = context.coupons, secrets.token_hex(8)
    if coupons is None:
        return
    now = context.clock.now()
    begun = await context.database.run(lambda: _begin(coupons, merchant_id, code, token, now))
    if begun is None:
        return
    asked, again = begun
    if asked.connection is None:
        answer = Answer("waits", "The shop is not connected.", HOUR / SECOND, nothing_done=True)
    elif asked.state == "asked":
        answer = await coupons.make(context, _coupon(asked, asked.connection), again)
    else:
        answer = await coupons.take_off(context, _coupon(asked, asked.connection))
    point("referral.asked")
    now = context.clock.now()
    await context.database.run(lambda: _answered(asked, answer, now))
    if answer.state != "done":
        log.info("referral_code_waits", merchant=merchant_id, reason=answer.reason)


def _coupon(code: Code, connection: int) -> Coupon:
    return Coupon(
        code.merchant_id,
        code.welcome,
        code.value_minor,
        code.currency,
        code.code,
        code.created_at,
        code.expires_at,
        connection,
        code.platform_id,
    )


def _begin(coupons: Coupons, merchant_id: int, code: str, token: str, now: int) -> Steps[tuple[Code, bool] | None]:
    """Claim a code and write down where its platform is about to be asked, and whether it may have been before."""
    yield from lock_books([merchant_id])
    found = yield from codes.claim(merchant_id, code, token, now)
    if found is None:
        return None
    again = found.tried_at is not None or found.platform_id is not None
    if found.expires_at <= now:
        found = found._replace(state="closing")
    if found.state == "closing" and not again:
        # It never was there, and need not be any more.
        yield from codes.put_code(found._replace(state="closed", next_at=None, claim=None, claimed_until=None))
        return None
    if found.state == "closing":
        # Since then it is to be taken off: who watches is told by it how long that takes.
        found = found._replace(tried_at=found.tried_at or now)
    elif not again:
        connection = yield from coupons.account(merchant_id, found.kind)
        found = found._replace(connection=connection, tried_at=now if connection is not None else None)
    yield from codes.put_code(found)
    return found, again


def _answered(asked: Code, answer: Answer, now: int) -> Steps[None]:
    """Note what the platform said; nothing where somebody else has taken the asking over."""
    yield from lock_books([asked.merchant_id])
    present = yield from codes.code_of(asked.merchant_id, asked.code)
    if present is None or present.claim != asked.claim:
        return
    free = present._replace(claim=None, claimed_until=None)
    refused = answer.state == "refused" or (answer.nothing_done and present.attempts >= MOST_REFUSALS)
    if answer.state == "done" and asked.state == "asked":
        there = free._replace(platform_id=answer.platform_id, reason=None, attempts=0, tried_at=None)
        # Its link may have been closed, or its owner forgotten, while it was being made.
        yield from codes.put_code(there._replace(state="made", next_at=None) if present.state == "asked" else there)
    elif answer.state == "done" or (asked.expires_at <= now and present.attempts >= MOST_REFUSALS):
        # What is over ends by itself in the end; a platform that cannot be asked any more is not asked for ever.
        yield from codes.put_code(free._replace(state="closed", next_at=None, reason=None))
    elif refused and present.state == "asked" and asked.connection is not None:
        yield from codes.put_code(free._replace(state="refused", next_at=None, reason=answer.reason))
    else:
        pause = PAUSES[min(present.attempts, len(PAUSES)) - 1]
        again = free._replace(next_at=now + max(pause, round(answer.seconds * SECOND)), reason=answer.reason)
        yield from codes.put_code(again._replace(tried_at=None) if answer.nothing_done else again)
