"""Puts a question for rewards to their platform, one or several at once, and settles what it said."""

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import structlog

from handlers.context import Context
from handlers.customers.persons import numbers_of, root_of
from handlers.inbox.keys import Key
from handlers.merchants.books import shops
from handlers.rewards import changes, store
from handlers.rewards.changes import Begun, Place
from handlers.rewards.kinds import (
    Asked,
    Declined,
    Fate,
    Issued,
    Kind,
    NotMade,
    Outcome,
    Pending,
    SwitchedOff,
    Unfinished,
    Wanted,
)
from handlers.rewards.rules import OPEN
from handlers.rewards.store import Redemption
from integration.clock import DAY, HOUR, MINUTE, SECOND
from integration.database.steps import BIG, TEXT, Steps, ask, keyed, plain
from integration.errors import OutsideError, Rejected, Revoked, Unavailable
from integration.faults import point
from integration.shopify.admin import Admin, document, refusal
from integration.vault import Unsealable

ASK_SECONDS = 60.0  # for one question, waits for a throttled shop included; within the lease
# Before a platform that was away is asked again, by attempts.
PAUSES = (5 * SECOND, 15 * SECOND, MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR)
# Before it is looked again whether an account that is closed, or shut to us, has been opened.
NO_ACCESS_PAUSES = (HOUR, 3 * HOUR, 12 * HOUR, DAY)
MOST_REFUSALS = 6  # attempts that the platform refused outright before the points come back
FEW_LOOKS = 3  # at what is being made, after which each look waits longer
MOST_ENDED = 50  # rewards of a customer that are over and may have left something
MOST_SHOPS = 500  # whose pace is remembered

log = structlog.get_logger()


class Errands:
    """What asks platforms for rewards; each shop is asked no faster than its bucket refills."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._paced: OrderedDict[str, Admin] = OrderedDict()

    def shop(self, domain: str) -> Admin:
        """Return what one shop is asked with: all questions of this process share its pace."""
        if domain not in self._paced:
            self._paced[domain] = self._context.shopify.at_leisure()
        self._paced.move_to_end(domain)
        while len(self._paced) > MOST_SHOPS:
            self._paced.popitem(last=False)
        return self._paced[domain]

    async def run(self, redemptions: Sequence[Redemption]) -> bool:
        """Ask for claimed redemptions of one kind, several only where they share a discount; note what it came to.

        Tells whether the platform was there.
        """
        context, first = self._context, redemptions[0]
        kind = context.rewards.get(first.kind)
        if kind is None:
            raise LookupError(f"nothing makes a {first.kind}")
        account = None if kind.platform is None else await context.database.read(lambda: _account(first, kind))
        if kind.platform is not None and account is None:
            words = f"{kind.platform.title()} is not connected."
            await _wait(context, redemptions, words, NO_ACCESS_PAUSES)
            return True
        now = context.clock.now()
        begun = await context.database.run(lambda: _begin(redemptions, kind, account, now))
        if not begun:
            return True
        at: At | _Nobody = _Nobody()
        if account is not None:
            at = At(context, self.shop(account.domain), account, [each.redemption for each in begun])
        try:
            async with asyncio.timeout(ASK_SECONDS):
                if first.state == "asked":
                    await _issue(context, kind, begun, at, account)
                else:  # It is to be taken back; or was used, and others must not use its code again.
                    await _take_back(context, kind, begun, at)
        except TimeoutError:
            late = Unavailable(f"{kind.platform} took longer than {ASK_SECONDS:g} s")
            return await _failed(context, begun, late, at)
        except (OutsideError, Unsealable) as error:
            return await _failed(context, begun, error, at)
        return True


def together(redemption: Redemption, kinds: Mapping[str, Kind]) -> tuple[object, ...]:
    """Name what may be asked for in one question with this redemption: all of the same name."""
    kind = kinds.get(redemption.kind)
    if kind is None or kind.bulk is None or not redemption.offer.shared:
        return (redemption.number,)
    if redemption.state != "asked":
        return "off", redemption.connection, redemption.platform_id
    return redemption.reward, redemption.terms, redemption.connection


# --- The platform's account ---------------------------------------------------------------------


class Account(NamedTuple):
    """The platform's account a redemption is made at."""

    connection: int
    domain: str  # a Shopify shop's


class At:
    """One merchant's account, asked with the key that holds at that moment."""

    def __init__(self, context: Context, admin: Admin, account: Account, asked: Sequence[Redemption]) -> None:
        self._context, self._admin, self._account, self._asked = context, admin, account, asked
        self.key = Key(context, account.connection)

    async def shopify(self, name: str, variables: dict[str, Any]) -> Mapping[str, Any]:
        """Ask one of our documents; answers with errors beside data count as refused."""
        answer = await self._admin.graphql(self._account.domain, self.key, document(name), variables)
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

    async def note(self, mark: str, of: Collection[int] = ()) -> None:
        """Keep where the account stood before it is asked, or what the platform calls what it was asked."""

        def steps() -> Steps[None]:
            for each in self._asked:
                if not of or each.number in of:
                    yield from changes.noted(each, mark)

        await self._context.database.run(steps)


class _Nobody:
    """Stands for the platform where none is asked."""

    key: Key | None = None

    async def shopify(self, name: str, variables: dict[str, Any]) -> Mapping[str, Any]:
        raise Rejected("this reward has no platform")

    async def stripe(self) -> Any:
        raise Rejected("this reward has no platform")

    async def note(self, mark: str, of: Collection[int] = ()) -> None:
        raise Rejected("this reward has no platform")


# --- Asking, and what it came to ----------------------------------------------------------------


def _begin(redemptions: Sequence[Redemption], kind: Kind, account: Account | None, now: int) -> Steps[list[Begun]]:
    """Write down that the platform is about to be asked; those whose claim was lost are left out."""
    begun = []
    for each in redemptions:
        place = yield from _place(each, kind, account)
        one = yield from changes.begin(each, place, kind.alone, now)
        if one is not None:
            begun.append(one)
    return begun


async def _issue(
    context: Context, kind: Kind, begun: Sequence[Begun], at: "At | _Nobody", account: Account | None
) -> None:
    now = context.clock.now()

    def steps() -> Steps[list[Asked]]:
        asked = []
        for each in begun:
            wanted = yield from wanted_of(each.redemption, kind, now)
            # What was asked once may have come to be, whatever we heard of it.
            asked.append(Asked(wanted, each.again))
        return asked

    asked = await context.database.read(steps)
    if kind.bulk is not None and begun[0].redemption.offer.shared:
        outcomes = await kind.bulk.issue_all(at, asked)
    else:
        (one,) = asked
        outcomes = [await kind.issue(at, one.wanted, one.again)]
    point("reward.asked")
    now, connection = context.clock.now(), account.connection if account is not None else None

    def settle() -> Steps[None]:
        for each, outcome in zip(begun, outcomes, strict=True):
            yield from _settled(each.redemption, outcome, connection, now)
        unfinished = sum(isinstance(outcome, Unfinished) for outcome in outcomes)
        if unfinished:
            yield from changes.note_unfinished(begun[0].redemption, unfinished, now)

    await context.database.run(settle)


def _settled(redemption: Redemption, outcome: Outcome, connection: int | None, now: int) -> Steps[None]:
    """Note what the platform said of one reward."""
    refused = redemption.attempts >= MOST_REFUSALS
    match outcome:
        case Issued():
            yield from changes.issued(redemption, outcome, connection, now)
        case Declined(reason):
            log.warning("reward_declined", merchant=redemption.merchant_id, reward=redemption.number)
            yield from changes.declined(redemption, reason, now)
        case SwitchedOff(parent):
            log.warning("reward_switched_off", merchant=redemption.merchant_id, reward=redemption.number)
            yield from changes.switched_off(redemption, parent, now)
        case Unfinished(reason):
            log.warning("reward_unfinished", merchant=redemption.merchant_id, reward=redemption.number)
            yield from changes.declined(redemption, reason, now)
        case NotMade(reason) if refused:
            log.warning("reward_refused", merchant=redemption.merchant_id, reward=redemption.number)
            yield from changes.declined(redemption, reason, now)
        case NotMade(reason):
            yield from changes.put_off(redemption, reason, now + _pause(redemption), clear=True)
        case Pending(seconds, asked):
            # Longer each time: what never comes to be is not asked for every other second.
            pause = _pause(redemption) if redemption.attempts > FEW_LOOKS else 0
            later = now + max(round(seconds * SECOND), pause)
            yield from changes.put_off(redemption, "It is being made.", later, counts=asked, clear=not asked)


async def _take_back(context: Context, kind: Kind, begun: Sequence[Begun], at: "At | _Nobody") -> None:
    now = context.clock.now()

    def steps() -> Steps[list[Wanted]]:
        wanted = []
        for each in begun:
            one = yield from wanted_of(each.redemption, kind, now)
            wanted.append(one)
        return wanted

    wanted = await context.database.read(steps)
    if kind.bulk is not None and begun[0].redemption.offer.shared:
        fates = [Fate(stands) for stands in await kind.bulk.take_back_all(at, wanted)]
    else:
        (one,) = wanted
        fates = [await kind.take_back(at, one, begun[0].again)]
    point("reward.taken_back")
    now = context.clock.now()

    def settle() -> Steps[None]:
        returns = yield from _returns(begun[0].redemption.merchant_id)
        for (redemption, _), fate in zip(begun, fates, strict=True):
            if fate.standing == "unused":
                later = now + _pause(redemption)
                yield from changes.put_off(redemption, "It is being taken back.", later)
            else:
                yield from changes.ended(redemption, fate, returns, now)

    await context.database.run(settle)


async def _failed(context: Context, begun: Sequence[Begun], error: Exception, at: "At | _Nobody") -> bool:
    """Put off what a platform did not do, and give up what it refuses again and again, if it is surely not there.

    Tells whether the platform was there.
    """
    asked = [each.redemption for each in begun]
    if isinstance(error, Revoked):
        if at.key is None or await at.key.give_up(error):
            await _wait(context, asked, "The shop took our access away.", NO_ACCESS_PAUSES)
            return True
        error = Unavailable("the key was replaced while we asked with it", retry_after=1)
    if isinstance(error, Unsealable):
        await _wait(context, asked, "The key to the platform cannot be opened.", (HOUR,))
        return True
    now, after = context.clock.now(), 0
    if isinstance(error, Unavailable) and error.retry_after is not None:
        after = round(error.retry_after * SECOND)

    def steps() -> Steps[None]:
        for redemption, again in begun:
            # An earlier question may have been done all the same: then nobody can say that it is not there.
            surely_nothing = isinstance(error, Rejected) and not again
            if surely_nothing and redemption.state == "asked":
                yield from _settled(redemption, NotMade(f"{error}."), None, now)
            else:
                until = now + max(_pause(redemption), after)
                yield from changes.put_off(redemption, f"{error}.", until, clear=surely_nothing)

    await context.database.run(steps)
    for each in asked:
        log.info("reward_waits", merchant=each.merchant_id, reward=each.number, reason=str(error))
    return not isinstance(error, Unavailable)


def _pause(redemption: Redemption, pauses: Sequence[int] = PAUSES) -> int:
    return pauses[min(max(redemption.attempts, 1), len(pauses)) - 1]


async def _wait(context: Context, redemptions: Sequence[Redemption], reason: str, pauses: Sequence[int]) -> None:
    now = context.clock.now()

    def steps() -> Steps[None]:
        for each in redemptions:
            yield from changes.put_off(each, reason, now + _pause(each, pauses))

    await context.database.run(steps)
    for each in redemptions:
        log.info("reward_waits", merchant=each.merchant_id, reward=each.number, reason=reason)


async def put_off(context: Context, redemptions: Sequence[Redemption], error: Exception) -> None:
    """Have rewards that a fault of ours kept from being asked for asked for later, each time a little."""
    await _wait(context, redemptions, f"We failed inside ({type(error).__name__}).", PAUSES)


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
    " AND platform_id IS NOT NULL AND connection = ?4 AND issued_at IS NOT NULL"
    " ORDER BY issued_at DESC, number DESC LIMIT 1"
)


def _account(redemption: Redemption, kind: Kind) -> Steps[Account | None]:
    """Find the account a redemption belongs to: the one it was made at, else the merchant's first that is open."""
    return (yield from account_at(redemption.merchant_id, kind.platform, redemption.connection))


def account_at(merchant_id: int, platform: str | None, connection: int | None) -> Steps[Account | None]:
    """Find an account that is open: the one of a connection, or, for None, the merchant's first."""
    rows = yield from ask(_ACCOUNTS, (merchant_id, platform, connection or 0))
    if not rows or rows[0][2] is not None:
        return None
    return Account(rows[0][0], rows[0][1])


def _place(redemption: Redemption, kind: Kind, account: Account | None) -> Steps[Place]:
    """Say at which account, and for whom, the platform is asked: the same at every attempt, merges or not."""
    if account is None or redemption.tried_at is not None:
        return Place(redemption.connection, redemption.buyer)
    root = (yield from root_of(redemption.merchant_id, redemption.customer)) or redemption.customer
    numbers = yield from numbers_of(redemption.merchant_id, root)
    return Place(account.connection, (yield from _buyer(redemption.merchant_id, numbers, kind)))


def wanted_of(redemption: Redemption, kind: Kind, now: int) -> Steps[Wanted]:
    """Say of a redemption what its platform is told."""
    root = (yield from root_of(redemption.merchant_id, redemption.customer)) or redemption.customer
    numbers = yield from numbers_of(redemption.merchant_id, root)
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
        tried_at=redemption.tried_at,
        mark=redemption.mark,
        used_minor=redemption.used_minor,
        ended=(yield from _ended(redemption, numbers)) if kind.alone and redemption.state != "asked" else (),
    )


def _ended(redemption: Redemption, numbers: Sequence[int]) -> Steps[Sequence[str]]:
    """Name a customer's other rewards of a kind that are over, the newest, as their platform calls them."""
    had = yield from store.of_people(redemption.merchant_id, numbers)
    over = [each for each in had if each.kind == redemption.kind and each.state not in OPEN]
    here = [each.platform_id for each in over if each.connection == redemption.connection]
    return tuple([name for name in here if name is not None][:MOST_ENDED])


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
