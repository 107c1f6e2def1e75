"""Looks whether the codes customers have still hold at their shop, where the merchant may switch them off.

A discount is looked at soon after Shopify told that somebody changed it, which may get lost: once a day a shop is
asked for all discounts behind the codes that nobody has used.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence

import structlog

from handlers.context import Context
from handlers.merchants.books import lock_books, shops
from handlers.merchants.offers import CODES
from handlers.rewards import changes, store
from handlers.rewards.kinds import discounts_off
from handlers.rewards.kinds.asking import Account, At, account_at
from handlers.rewards.kinds.discounts_off import SwitchedOff
from handlers.rewards.kinds.shopify_codes import Condition, conditions
from handlers.rewards.store import Redemption
from integration.clock import DAY, HOUR, MINUTE
from integration.database.steps import BIG, TEXT, Steps, ask, insert, plain
from integration.errors import OutsideError, Revoked
from integration.vault import Unsealable

LOOK_EVERY = DAY
MOST_CHANGED = 1_000  # discounts that were changed, of all shops, of one run; the next one goes on
MOST_SHOPS = 100  # of one run; the next one goes on
PAGE = 200  # redemptions of one transaction
MOST_PAGES = 50  # of one shop in one run; the next one goes on behind them
AT_ONCE = 100  # discounts of one question
ASK_SECONDS = 60.0  # for one question
PERSON_WAITS = 10.0  # seconds for somebody at the page
SECONDS = 240.0  # of one run
CHANGED_SECONDS = 40.0  # of one run at what was changed
REST = 15 * MINUTE  # before the next part of a shop with many codes is looked at
FAILED_REST = 6 * HOUR  # before a shop that could not be asked is asked again
_SHOPIFY = "shopify"
_OURS = tuple(sorted(CODES - {"promotion_code"}))
_DUE = plain(
    "SELECT m.id FROM merchants m LEFT JOIN discount_looks l ON l.merchant_id = m.id"
    " WHERE (l.next_at IS NULL OR l.next_at <= ?1)"
    " AND EXISTS (SELECT 1 FROM redemptions r WHERE r.merchant_id = m.id) ORDER BY m.id LIMIT ?2"
)
_AFTER = plain("SELECT after_number FROM discount_looks WHERE merchant_id = ?1")
_NEXT = insert(
    "discount_looks",
    "ON CONFLICT (merchant_id) DO UPDATE SET next_at = excluded.next_at, after_number = excluded.after_number",
    merchant_id=BIG,
    next_at=BIG,
    after_number=BIG,
)

_STIR = insert(
    "discount_changes",
    "ON CONFLICT (merchant_id, platform_id) DO UPDATE SET next_at = excluded.next_at",
    merchant_id=BIG,
    platform_id=TEXT,
    next_at=BIG,
)
_CHANGED = plain(
    "SELECT merchant_id, platform_id FROM discount_changes WHERE next_at <= ?1 ORDER BY next_at, merchant_id LIMIT ?2"
)
# What was told again since stays.
_SEEN = plain("DELETE FROM discount_changes WHERE merchant_id = ?1 AND platform_id = ?2 AND next_at <= ?3")

log = structlog.get_logger()


def stir(merchant_id: int, discount: str, now: int) -> Steps[None]:
    """Have a discount that somebody changed looked at soon, if it is one of ours that matters to anybody."""
    off = {one.platform_id for one in (yield from discounts_off.known(merchant_id))}
    if discount in off or (yield from store.unused_of(merchant_id, discount, 1)):
        yield from ask(_STIR, [(merchant_id, discount, now)])


async def look_at_changed(context: Context) -> int:
    """Look at the discounts of which Shopify told that somebody changed them; returns at how many."""
    now = context.clock.now()
    rows = await context.database.read(lambda: ask(_CHANGED, (now, MOST_CHANGED)))
    changed: dict[int, list[str]] = {}
    for merchant_id, discount in rows:
        changed.setdefault(merchant_id, []).append(discount)
    until = time.monotonic() + CHANGED_SECONDS
    for merchant_id, discounts in changed.items():
        if time.monotonic() < until:
            await _look_at_changes(context, merchant_id, discounts, now)
    return len(rows)


async def _look_at_changes(context: Context, merchant_id: int, discounts: Sequence[str], now: int) -> None:
    """Look at some discounts of a shop; those that cannot be asked for, or have too many codes, come again."""
    database = context.database
    account = await database.read(lambda: account_at(merchant_id, _SHOPIFY, None))
    seen: Sequence[str] = discounts
    if account is not None:
        at = At(context, context.shopify.at_leisure(), account, ())
        try:
            stands = await _asked(at, discounts)
        except Revoked as error:
            await at.key.give_up(error)
            stands = {}
        except (OutsideError, Unsealable, TimeoutError) as error:
            log.info("codes_not_looked_at", merchant=merchant_id, reason=str(error))
            later = [(merchant_id, discount, now + REST) for discount in sorted(discounts)]
            await database.run(lambda: ask(_STIR, later))
            return
        pages = {one: await database.read(lambda of=one: store.unused_with(merchant_id, of, PAGE)) for one in stands}  # type: ignore[misc]
        page = [each for found in pages.values() for each in found if each.connection == account.connection]
        await _settle(context, merchant_id, account, page, stands, always=True)
        seen = [one for one in discounts if stands.get(one) != "gone" or len(pages[one]) < PAGE]

    def steps() -> Steps[None]:
        for discount in seen:
            yield from ask(_SEEN, (merchant_id, discount, now))

    await database.run(steps)


async def look_due(context: Context) -> int:
    """Look at the codes of the shops whose turn it is; returns how many shops that were."""
    merchants = await context.database.read(lambda: ask(_DUE, (context.clock.now(), MOST_SHOPS)))
    until, looked_at = time.monotonic() + SECONDS, 0
    for (merchant_id,) in merchants:
        if time.monotonic() >= until:
            break
        await _look_at_shop(context, merchant_id)
        looked_at += 1
    return looked_at


async def look_again(context: Context, merchant_id: int) -> bool:
    """Look whether shared discounts that were switched off are on again; False where the shop could not be asked."""
    account = await context.database.read(lambda: account_at(merchant_id, _SHOPIFY, None))
    if account is None:
        return False
    at = At(context, context.shopify, account, ())
    try:
        async with asyncio.timeout(PERSON_WAITS):
            await _look_at_known(context, merchant_id, at, account)
    except Revoked as error:
        await at.key.give_up(error)
        return False
    except (OutsideError, Unsealable, TimeoutError) as error:
        log.info("codes_not_looked_at", merchant=merchant_id, reason=str(error))
        return False
    return True


async def _look_at_shop(context: Context, merchant_id: int) -> None:
    """Look at a shop's unused codes, as many as one run allows."""
    database, number = context.database, 0
    account = await database.read(lambda: account_at(merchant_id, _SHOPIFY, None))
    if account is None:
        await _go_on(context, merchant_id, LOOK_EVERY)
        return
    at = At(context, context.shopify.at_leisure(), account, ())
    rows = await database.read(lambda: ask(_AFTER, (merchant_id,)))
    number = rows[0][0] if rows else 0
    try:
        stands = await _look_at_known(context, merchant_id, at, account)
        for _ in range(MOST_PAGES):
            page = await database.read(lambda after=number: store.unused_after(merchant_id, after, PAGE))  # type: ignore[misc]
            ours = [each for each in page if each.kind in _OURS and each.connection == account.connection]
            named = sorted({each.platform_id for each in ours if each.platform_id is not None} - stands.keys())
            stands |= await _asked(at, named)
            await _settle(context, merchant_id, account, ours, stands)
            if len(page) < PAGE:
                await _go_on(context, merchant_id, LOOK_EVERY)
                return
            number = page[-1].number
        await _go_on(context, merchant_id, REST, number)
    except Revoked as error:
        await at.key.give_up(error)
        await _go_on(context, merchant_id, FAILED_REST, number)
    except (OutsideError, Unsealable, TimeoutError) as error:
        log.info("codes_not_looked_at", merchant=merchant_id, reason=str(error))
        await _go_on(context, merchant_id, FAILED_REST, number)


async def _look_at_known(context: Context, merchant_id: int, at: At, account: Account) -> dict[str, Condition]:
    """Look at the shared discounts that were off when they were looked at last."""
    known = await context.database.read(lambda: discounts_off.known(merchant_id))
    stands = await _asked(at, sorted({each.platform_id for each in known}))
    await _settle(context, merchant_id, account, [], stands)
    return stands


async def _asked(at: At, discounts: Sequence[str]) -> dict[str, Condition]:
    """Ask how discounts stand, some at once."""
    stands: dict[str, Condition] = {}
    for start in range(0, len(discounts), AT_ONCE):
        async with asyncio.timeout(ASK_SECONDS):
            stands |= await conditions(at, discounts[start : start + AT_ONCE])
    return stands


async def _settle(
    context: Context,
    merchant_id: int,
    account: Account,
    page: Sequence[Redemption],
    stands: Mapping[str, Condition],
    always: bool = False,
) -> None:
    """Note shared discounts that are off or on again, and take back what cannot be used and never will be."""
    now = context.clock.now()
    off = {
        each.platform_id: SwitchedOff(each.platform_id, each.reward, each.terms, now)
        for each in page
        if each.platform_id is not None and each.offer.shared and stands.get(each.platform_id) == "off"
    }
    # A discount of its own that is off was one customer's: the merchant has taken it away from them.
    lost = [
        each.number
        for each in page
        if stands.get(each.platform_id or "") == "gone"
        or (stands.get(each.platform_id or "") == "off" and not each.offer.shared)
    ]

    def steps() -> Steps[None]:
        yield from lock_books([merchant_id])
        for one in (yield from discounts_off.known(merchant_id)):
            if stands.get(one.platform_id) in ("on", "gone") or (yield from _is_over(merchant_id, one)):
                yield from discounts_off.note_on(merchant_id, one.platform_id)
        for one in off.values():
            yield from discounts_off.note_switched_off(merchant_id, one, now)
        for number in lost:
            yield from changes.lapse(merchant_id, number, now)

    if off or lost or not page or always:
        await context.database.run(steps)
    if lost:
        log.info("codes_gone", merchant=merchant_id, connection=account.connection, rewards=len(lost))


def _is_over(merchant_id: int, off: SwitchedOff) -> Steps[bool]:
    """Tell whether nobody misses a discount that is off: no customer has a code of it, and it is offered no more."""
    rewards = (yield from shops([merchant_id]))[merchant_id].current.rewards
    offered = rewards.catalogue.get(off.reward)
    if rewards.enabled and offered is not None and offered.enabled and store.terms_of(offered) == off.terms:
        return False
    return not (yield from store.unused_of(merchant_id, off.platform_id, 1))


async def _go_on(context: Context, merchant_id: int, rest: int, after: int = 0) -> None:
    next_at = context.clock.now() + rest
    await context.database.run(lambda: ask(_NEXT, [(merchant_id, next_at, after)]))
