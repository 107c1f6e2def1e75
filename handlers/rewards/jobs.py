"""Asks the platforms for what is wanted: makes rewards, takes them back, and looks after what lapses."""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import structlog

from handlers.context import Context
from handlers.inbox.keys import Key
from handlers.merchants.books import shops
from handlers.rewards import changes, store
from handlers.rewards.changes import Begun, Place
from handlers.rewards.kinds import Declined, Issued, Kind, Pending, Standing, Wanted
from handlers.rewards.store import Lapsed, Redemption
from integration.clock import DAY, HOUR, MINUTE, SECOND
from integration.database.steps import BIG, TEXT, Steps, ask, keyed, plain
from integration.errors import OutsideError, Rejected, Revoked, Unavailable
from integration.faults import point
from integration.shopify.admin import document, refusal
from integration.vault import Unsealable

BELL = "rewards"
BATCH = 40  # redemptions claimed at once
AT_ONCE = 8  # questions of one process under way
LOOK_SECONDS = 1.0  # how long one may lie before it is looked at
AWAY_SECONDS = 2.0
ASK_SECONDS = 60.0  # for one redemption, waits for a throttled shop included; within the lease
# Before a platform that was away is asked again, by attempts.
PAUSES = (5 * SECOND, 15 * SECOND, MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR)
# Before it is looked again whether an account that is closed, or shut to us, has been opened.
NO_ACCESS_PAUSES = (HOUR, 3 * HOUR, 12 * HOUR, DAY)
MOST_REFUSALS = 6  # attempts that the platform refused outright before the points come back
LAPSED_AT_ONCE = 200  # of one page
MOST_LAPSED = 100  # pages of one run; the next one goes on

log = structlog.get_logger()


async def ask_for_ever(context: Context, stop: asyncio.Event) -> None:
    """Make and take back rewards as they are wanted until `stop` is set; those under way are finished."""
    while not stop.is_set():
        try:
            busy = await ask_due(context)
        except Unavailable as error:
            log.warning("rewards_paused", reason=str(error))
            await asyncio.sleep(AWAY_SECONDS)
            continue
        if not busy:
            await context.queue.wait(BELL, LOOK_SECONDS)


async def ask_due(context: Context) -> int:
    """Ask the platforms for what is due, some `BATCH` redemptions; returns how many were looked at."""
    token = secrets.token_hex(8)
    now = context.clock.now()
    if not await context.database.read(lambda: store.anything_due(now)):
        return 0
    claimed = await context.database.run(lambda: store.claim_due(token, now, BATCH))
    seats = asyncio.Semaphore(AT_ONCE)

    async def one(redemption: Redemption) -> None:
        async with seats:
            try:
                await _tend(context, redemption)
            except Unavailable as error:
                # The database is away: the claim runs out by itself. The others are on their way.
                log.warning("reward_left", merchant=redemption.merchant_id, reward=redemption.number, reason=str(error))
            except Exception as error:
                log.exception("reward_left", merchant=redemption.merchant_id, reward=redemption.number)
                reason = f"We failed inside ({type(error).__name__})."
                await _wait(context, redemption, reason, _pause(redemption), counts=True)

    async with asyncio.TaskGroup() as group:
        for redemption in claimed:
            group.create_task(one(redemption))
    return len(claimed)


async def lapse(context: Context) -> None:
    """Have looked after what has lapsed unused; one that cannot be holds up no other."""
    now, last = context.clock.now(), Lapsed(0, 0, 0)
    for _ in range(MOST_LAPSED):
        page = await context.database.read(lambda after=last: store.lapsed(now, after, LAPSED_AT_ONCE))  # type: ignore[misc]
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


async def look(context: Context, redemption: Redemption) -> Standing:
    """Ask its platform what has become of a reward; nothing changes. Raises as the kinds do."""
    kind, now = context.rewards[redemption.kind], context.clock.now()
    account = None if kind.platform is None else await context.database.read(lambda: _account(redemption, kind))
    if kind.platform is not None and account is None:
        raise Rejected(f"{kind.platform.title()} is not connected")
    at = _At(context, account, redemption) if account is not None else _Nobody()
    wanted = await context.database.read(lambda: _wanted(redemption, kind, now))
    return await kind.look(at, wanted)


# --- One redemption -----------------------------------------------------------------------------


class _Account(NamedTuple):
    """The platform's account a redemption is made at."""

    connection: int
    domain: str  # a Shopify shop's
    closed: bool


class _At:
    """One merchant's account, asked with the key that holds at that moment."""

    def __init__(self, context: Context, account: _Account, redemption: Redemption) -> None:
        self._context, self._account, self._redemption = context, account, redemption
        self.key = Key(context, account.connection)

    async def shopify(self, name: str, variables: dict[str, Any]) -> Mapping[str, Any]:
        """Ask one of our documents; answers with errors beside data count as refused."""
        answer = await self._context.shopify.graphql(self._account.domain, self.key, document(name), variables)
        data: Mapping[str, Any] = answer.get("data") or {}
        if answer.get("errors"):
            if any(value is not None for value in data.values()):
                # It did something, and nobody can say how much: whoever asks again looks first.
                raise Unavailable(f"{self._account.domain} answered with errors beside what it did")
            raise refusal(self._account.domain, answer["errors"])
        return data

    async def stripe(self) -> Any:
        """Return Stripe's client with the account's key."""
        return self._context.stripe.client(await self.key())

    async def note(self, mark: str) -> None:
        """Keep where the account stood before it is asked."""
        await self._context.database.run(lambda: changes.noted(self._redemption, mark))


async def _tend(context: Context, redemption: Redemption) -> None:
    kind = context.rewards.get(redemption.kind)
    if kind is None:
        raise LookupError(f"nothing makes a {redemption.kind}")
    account = None if kind.platform is None else await context.database.read(lambda: _account(redemption, kind))
    if kind.platform is not None and account is None:
        words = f"{kind.platform.title()} is not connected."
        await _wait(context, redemption, words, _pause(redemption, NO_ACCESS_PAUSES), counts=True)
        return
    at = _At(context, account, redemption) if account is not None else _Nobody()
    now = context.clock.now()
    place = await context.database.read(lambda: _place(redemption, kind, account))
    begun = await context.database.run(lambda: changes.begin(redemption, place, kind.alone, now))
    if begun is None:
        return
    try:
        async with asyncio.timeout(ASK_SECONDS):
            if redemption.state == "asked":
                await _issue(context, kind, begun, at, account)
            else:  # It is to be taken back; or was used, and others must not use its code again.
                await _take_back(context, kind, begun, at)
    except TimeoutError:
        await _failed(context, begun, Unavailable(f"{kind.platform} took longer than {ASK_SECONDS:g} s"), at)
    except (OutsideError, Unsealable) as error:
        await _failed(context, begun, error, at)


def _place(redemption: Redemption, kind: Kind, account: _Account | None) -> Steps[Place]:
    """Say at which account, and for whom, the platform is asked: the same at every attempt, merges or not."""
    if account is None or redemption.tried_at is not None:
        return Place(redemption.connection, redemption.buyer)
    root = (yield from store.root_of(redemption.merchant_id, redemption.customer)) or redemption.customer
    numbers = yield from store.numbers_of(redemption.merchant_id, root)
    return Place(account.connection, (yield from _buyer(redemption.merchant_id, numbers, kind)))


class _Nobody:
    """Stands for the platform where none is asked."""

    key: Key | None = None

    async def shopify(self, name: str, variables: dict[str, Any]) -> Mapping[str, Any]:
        raise Rejected("this reward has no platform")

    async def stripe(self) -> Any:
        raise Rejected("this reward has no platform")

    async def note(self, mark: str) -> None:
        raise Rejected("this reward has no platform")


async def _issue(context: Context, kind: Kind, begun: Begun, at: "_At | _Nobody", account: _Account | None) -> None:
    redemption, now = begun.redemption, context.clock.now()
    wanted = await context.database.read(lambda: _wanted(redemption, kind, now))
    # What was asked once may have come to be, whatever we heard of it.
    made = await kind.issue(at, wanted, begun.again)
    point("reward.asked")
    now = context.clock.now()
    match made:
        case Issued():
            connection = account.connection if account is not None else None
            await context.database.run(lambda: changes.issued(redemption, made, connection, now))
        case Declined():
            await context.database.run(lambda: changes.declined(redemption, made.reason, now))
            log.warning("reward_declined", merchant=redemption.merchant_id, reward=redemption.number)
        case Pending():
            # Longer each time: what never comes to be is not asked for every other second.
            later = now + max(round(made.seconds * SECOND), _pause(redemption) if redemption.attempts > 3 else 0)
            await context.database.run(lambda: changes.put_off(redemption, "It is being made.", later))


async def _take_back(context: Context, kind: Kind, begun: Begun, at: "_At | _Nobody") -> None:
    redemption, now = begun.redemption, context.clock.now()
    wanted = await context.database.read(lambda: _wanted(redemption, kind, now))
    stands = await kind.take_back(at, wanted, begun.again)
    point("reward.taken_back")
    now = context.clock.now()
    if stands == "unused":
        later = now + _pause(redemption)
        await context.database.run(lambda: changes.put_off(redemption, "It is being taken back.", later))
        return
    returns = await context.database.read(lambda: _returns(redemption.merchant_id))
    await context.database.run(lambda: changes.ended(redemption, stands == "used", returns, now))


async def _failed(context: Context, begun: Begun, error: Exception, at: "_At | _Nobody") -> None:
    """Put off what a platform did not do; give up what it refuses again and again, if it is surely not there."""
    redemption, now = begun.redemption, context.clock.now()
    # An earlier question may have been done all the same: then nobody can say that it is not there, and it waits.
    surely_nothing = isinstance(error, Rejected) and not begun.again
    if isinstance(error, Revoked):
        if at.key is None or await at.key.give_up(error):
            pause = _pause(redemption, NO_ACCESS_PAUSES)
            await _wait(context, redemption, "The shop took our access away.", pause, counts=True)
            return
        error = Unavailable("the key was replaced while we asked with it", retry_after=1)
    if isinstance(error, Unsealable):
        await _wait(context, redemption, "The key to the platform cannot be opened.", HOUR)
        return
    if surely_nothing and redemption.state == "asked" and redemption.attempts >= MOST_REFUSALS:
        reason = f"{error}."
        await context.database.run(lambda: changes.declined(redemption, reason, now))
        log.warning("reward_refused", merchant=redemption.merchant_id, reward=redemption.number)
        return
    pause = _pause(redemption)
    if isinstance(error, Unavailable) and error.retry_after is not None:
        pause = max(pause, round(error.retry_after * SECOND))
    await _wait(context, redemption, f"{error}.", pause, counts=True, clear=surely_nothing)


def _pause(redemption: Redemption, pauses: Sequence[int] = PAUSES) -> int:
    return pauses[min(max(redemption.attempts, 1), len(pauses)) - 1]


async def _wait(
    context: Context, redemption: Redemption, reason: str, pause: int, counts: bool = False, clear: bool = False
) -> None:
    until = context.clock.now() + pause
    log.info("reward_waits", merchant=redemption.merchant_id, reward=redemption.number, reason=reason)
    await context.database.run(lambda: changes.put_off(redemption, reason, until, counts, clear))


# --- What a platform is told --------------------------------------------------------------------

# Never one in test mode: what is made there nobody can use, and its points are real.
_ACCOUNTS = plain(
    "SELECT c.id, c.account, c.closed_at FROM connections c"
    " LEFT JOIN stripe_accounts s ON s.merchant_id = c.merchant_id AND s.connection = c.id"
    " WHERE c.merchant_id = ?1 AND c.platform = ?2"
    " AND (c.id = ?3 OR (?3 = 0 AND c.closed_at IS NULL AND c.token IS NOT NULL AND coalesce(s.livemode, 1) = 1))"
    " ORDER BY c.id LIMIT 1"
)
_SHOPIFY_ID = plain("SELECT shopify_id FROM customers WHERE merchant_id = ?1 AND number = ?2")
_NAMES = keyed(
    "SELECT i.kind, i.value FROM {keys} k CROSS JOIN customer_identities i"
    " WHERE +i.merchant_id = k.merchant_id AND i.customer = k.customer AND i.kind = k.kind ORDER BY i.value",
    merchant_id=BIG,
    customer=BIG,
    kind=TEXT,
)
_PARENT = plain(
    "SELECT platform_id FROM redemptions WHERE merchant_id = ?1 AND reward = ?2 AND terms = ?3"
    " AND platform_id IS NOT NULL AND connection = ?4 ORDER BY number LIMIT 1"
)


def _account(redemption: Redemption, kind: Kind) -> Steps[_Account | None]:
    """Find the account a redemption belongs to: the one it was made at, else the merchant's first that is open."""
    rows = yield from ask(_ACCOUNTS, (redemption.merchant_id, kind.platform, redemption.connection or 0))
    if not rows or rows[0][2] is not None:
        return None
    return _Account(rows[0][0], rows[0][1], rows[0][2] is not None)


def _wanted(redemption: Redemption, kind: Kind, now: int) -> Steps[Wanted]:
    root = (yield from store.root_of(redemption.merchant_id, redemption.customer)) or redemption.customer
    numbers = yield from store.numbers_of(redemption.merchant_id, root)
    buyer = redemption.buyer or (yield from _buyer(redemption.merchant_id, numbers, kind))
    reward = redemption.offer
    parent = None
    if reward.shared:
        account = yield from _account(redemption, kind)
        terms = (redemption.merchant_id, redemption.reward, redemption.terms, account.connection if account else 0)
        found = yield from ask(_PARENT, terms)
        parent = found[0][0] if found else None
    return Wanted(
        merchant_id=redemption.merchant_id,
        number=redemption.number,
        reward=reward,
        value_minor=redemption.value_minor,
        currency=redemption.currency,
        code=redemption.code or "",
        buyer=buyer,
        starts_at=redemption.asked_at,
        expires_at=redemption.expires_at,
        platform_id=redemption.platform_id,
        parent=parent,
        now=now,
        mark=redemption.mark,
    )


def _buyer(merchant_id: int, numbers: Sequence[int], kind: Kind) -> Steps[str | None]:
    """Find what the platform calls a customer by now: of one who was merged, the record that is left."""
    if kind.platform == "shopify":
        rows = yield from ask(_SHOPIFY_ID, (merchant_id, numbers[0]))
        if rows and rows[0][0] is not None:
            return str(rows[0][0])
    for number in numbers:
        rows = yield from ask(_NAMES, [(merchant_id, number, kind.platform or "")])
        if rows:
            return str(rows[0][1])
    return None


def _returns(merchant_id: int) -> Steps[bool]:
    shop = (yield from shops([merchant_id]))[merchant_id]
    return shop.current.rewards.return_expired
