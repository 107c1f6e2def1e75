"""Looks after rewards by the clock: has platforms asked for what is wanted, fair between merchants, and what lapses."""

import asyncio
import secrets
from collections.abc import Sequence

import structlog

from handlers.context import Context
from handlers.rewards import changes, claims, feeds
from handlers.rewards.claims import Lapsed
from handlers.rewards.kinds import spent
from handlers.rewards.kinds.asking import PAUSES, Errands, put_off, together
from handlers.rewards.store import Redemption
from integration.clock import SECOND
from integration.errors import Unavailable

BELL = "rewards"
MERCHANTS_AT_ONCE = 32  # of one process; a shop that does not answer holds one seat
OFF_AT_ONCE = 25  # codes taken off what they share by one question: each is looked for before and after
QUESTIONS_AT_ONCE = 4  # to the platforms of one merchant
BATCH = 100  # redemptions of one merchant claimed at once
MOST_FAILURES = 3  # of one merchant's platforms in a row, after which the others of the batch are not tried now
GATHER = 2 * SECOND  # between two questions for codes that share a discount: what comes meanwhile is asked together
LOOK_SECONDS = 1.0  # how long one may lie before it is looked at
AWAY_SECONDS = 2.0
LAPSED_AT_ONCE = 200  # of one page
MOST_LAPSED = 100  # pages of one run; the next one goes on

log = structlog.get_logger()


async def ask_for_ever(context: Context, stop: asyncio.Event) -> None:
    """Make and take back rewards as they are wanted until `stop` is set; questions under way are finished."""
    async with asyncio.TaskGroup() as group:
        rounds = Rounds(context, stop, group)
        bell = group.create_task(context.queue.wait(BELL, 0))
        while not stop.is_set():
            try:
                await rounds.begin()
            except Unavailable as error:
                log.warning("rewards_paused", reason=str(error))
                await asyncio.sleep(AWAY_SECONDS)
                continue
            if bell.done():
                bell = group.create_task(context.queue.wait(BELL, LOOK_SECONDS))
            await asyncio.wait({bell, *rounds.under_way}, return_when=asyncio.FIRST_COMPLETED)


async def lapse(context: Context) -> None:
    """Have looked after what has lapsed unused; one that cannot be holds up no other."""
    now, last = context.clock.now(), Lapsed(0, 0, 0)
    for _ in range(MOST_LAPSED):
        page = await context.database.read(lambda after=last: claims.lapsed(now, after, LAPSED_AT_ONCE))  # type: ignore[misc]
        for each in page:
            try:
                await context.database.run(lambda at=each: changes.lapse(at.merchant_id, at.number, now))  # type: ignore[misc]
            except Unavailable:
                raise
            except Exception:
                log.exception("reward_not_lapsed", merchant=each.merchant_id, reward=each.number)
        context.queue.ring(BELL)
        if len(page) < LAPSED_AT_ONCE:
            return
        last = page[-1]


async def look_due(context: Context) -> None:
    """Have codes looked at that merchants may have switched off, and money that customers may have spent."""
    await spent.look_due(context)
    await feeds.look_due(context)
    context.queue.ring(BELL)


async def look_at_changed(context: Context) -> None:
    """Have discounts looked at of which Shopify told that somebody changed them."""
    if await feeds.look_at_changed(context):
        context.queue.ring(BELL)


class Rounds:
    """The rounds this process makes for rewards: one for each merchant who has something due, so many at a time.

    A merchant whose platform is slow or away, or who has a thousand rewards to be made, holds one seat of many.
    """

    def __init__(self, context: Context, stop: asyncio.Event, group: asyncio.TaskGroup) -> None:
        self._context, self._stop, self._group = context, stop, group
        self._errands = Errands(context)
        self._seats: dict[int, asyncio.Task[int]] = {}
        self._after = 0  # the merchant behind whom to look next
        self._asked_at: dict[tuple[object, ...], int] = {}  # when codes that share a discount were asked for last

    @property
    def under_way(self) -> Sequence["asyncio.Task[int]"]:
        """The rounds that are not over."""
        return list(self._seats.values())

    async def begin(self) -> None:
        """Begin a round for every merchant who has something due, as far as there are seats."""
        now, database = self._context.clock.now(), self._context.database
        is_due, is_left = await database.read(lambda: claims.anything_due(now))
        if is_left:
            await database.run(claims.free_left_behind)
        elif not is_due:
            return
        self._seats = {merchant: task for merchant, task in self._seats.items() if not task.done()}
        # Those who have a seat may fill one look; behind them others may wait.
        for _ in range(2):
            found, self._after = await database.read(lambda: claims.merchants_due(now, self._after))
            for merchant_id in found:
                if len(self._seats) >= MERCHANTS_AT_ONCE:
                    return
                if merchant_id not in self._seats:
                    self._after = merchant_id
                    self._seats[merchant_id] = self._group.create_task(self._round(merchant_id))
            if not found:
                return

    async def _round(self, merchant_id: int) -> int:
        """Ask for what one merchant has due, at most a batch of it."""
        try:
            token, now = secrets.token_hex(8), self._context.clock.now()
            claimed = await self._context.database.run(lambda: claims.claim(merchant_id, token, now, BATCH))
            self._asked_at = {one: at for one, at in self._asked_at.items() if now - at < GATHER}
            await _Round(self._context, self._errands, self._stop, self._asked_at).ask(claimed)
            return len(claimed)
        except Unavailable as error:
            # The database is away: the claims run out by themselves.
            log.warning("rewards_left", merchant=merchant_id, reason=str(error))
        except Exception:
            log.exception("rewards_left", merchant=merchant_id)
        return 0


class _Round:
    """One merchant's batch: asked for a few at a time, and put back where the platform is away."""

    def __init__(
        self, context: Context, errands: Errands, stop: asyncio.Event, asked_at: dict[tuple[object, ...], int]
    ) -> None:
        self._context, self._errands, self._stop, self._asked_at = context, errands, stop, asked_at
        self._free = asyncio.Semaphore(QUESTIONS_AT_ONCE)
        self._failures: dict[str | None, int] = {}  # of a platform, in a row

    async def ask(self, claimed: Sequence[Redemption]) -> None:
        """Ask for them all."""
        groups: dict[tuple[object, ...], list[Redemption]] = {}
        for each in claimed:
            groups.setdefault(together(each, self._context.rewards), []).append(each)
        for together_with in [one for one in groups if len(one) > 1 and groups[one][0].state == "asked"]:
            await self._gather(together_with, groups)
        parts = [part for group in groups.values() for part in _parts(group)]
        left = await asyncio.gather(*(self._one(part) for part in parts))
        rest = [each for group in left for each in group]
        if rest:
            until = self._context.clock.now() + PAUSES[0]
            await self._context.database.run(lambda: claims.put_back(rest, until))

    async def _gather(self, one: tuple[object, ...], groups: dict[tuple[object, ...], list[Redemption]]) -> None:
        """Put codes of a shared discount back until the others of the moment have come, too."""
        now, key = self._context.clock.now(), (groups[one][0].merchant_id, *one)
        last = self._asked_at.get(key)
        if last is None or not 0 <= now - last < GATHER:
            self._asked_at[key] = now
            return
        group = groups.pop(one)
        await self._context.database.run(lambda: claims.put_back(group, last + GATHER))

    async def _one(self, group: list[Redemption]) -> list[Redemption]:
        """Ask for what can be asked for at once; returns what was not tried."""
        kind = self._context.rewards.get(group[0].kind)
        platform = kind.platform if kind is not None else None
        async with self._free:
            if self._stop.is_set() or self._failures.get(platform, 0) >= MOST_FAILURES:
                return group
            try:
                was_there = await self._errands.run(group)
                self._failures[platform] = 0 if was_there else self._failures.get(platform, 0) + 1
            except Unavailable as error:
                # The database is away: the claims run out by themselves. The others are on their way.
                log.warning("rewards_left", merchant=group[0].merchant_id, reason=str(error))
            except Exception as error:
                log.exception("rewards_left", merchant=group[0].merchant_id, rewards=[each.number for each in group])
                await put_off(self._context, group, error)
        return []


def _parts(group: Sequence[Redemption]) -> list[list[Redemption]]:
    size = len(group) if group[0].state == "asked" else OFF_AT_ONCE
    return [list(group[start : start + size]) for start in range(0, len(group), size)]
