"""Codes of the kinds of rewards for who pays no points: made and taken off for other capabilities."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from handlers.context import Context
from handlers.coupons import Answer, Coupon
from handlers.rewards.kinds import Declined, Issued, Kind, NotMade, Pending, SwitchedOff, Unfinished, Wanted
from handlers.rewards.kinds.asking import ASK_SECONDS, At, account_at
from integration.clock import HOUR, SECOND
from integration.database.steps import Steps
from integration.errors import OutsideError, Rejected, Revoked, Unavailable
from integration.vault import Unsealable

_Ask = Callable[[Kind, At, Wanted], Awaitable[Answer]]


class Lender:
    """What other capabilities may ask of the kinds of rewards (`Context.coupons`)."""

    def __init__(self, kinds: Mapping[str, Kind]) -> None:
        """`kinds` by name."""
        self._kinds = kinds

    def platform(self, kind: str) -> str | None:
        """Name the platform of a kind of code; None = there is no such kind."""
        found = self._kinds.get(kind)
        return found.platform if found is not None else None

    def account(self, merchant_id: int, kind: str) -> Steps[int | None]:
        """Find the connection of the account that a merchant's codes are made at; None = none is open."""
        found = yield from account_at(merchant_id, self._kinds[kind].platform, None)
        return found.connection if found is not None else None

    async def make(self, context: Context, coupon: Coupon, again: bool) -> Answer:
        """Make a code, never twice; `again` = somebody may have tried before."""

        async def ask(kind: Kind, at: At, wanted: Wanted) -> Answer:
            outcome = await kind.issue(at, wanted, again)
            match outcome:
                case Issued(platform_id):
                    return Answer("done", platform_id=platform_id)
                case Declined(reason):
                    return Answer("refused", reason)
                case SwitchedOff() | Unfinished():  # Only what shares a discount; these have one each.
                    return Answer("refused", "Its discount cannot be used.")
                case NotMade(reason):
                    return Answer("waits", reason, nothing_done=True)
                case Pending(seconds, asked):
                    return Answer("waits", "It is being made.", seconds, nothing_done=not asked)

        return await self._asked(context, coupon, again, ask)

    async def take_off(self, context: Context, coupon: Coupon) -> Answer:
        """Make a code unusable; what was bought with it stays bought."""

        async def ask(kind: Kind, at: At, wanted: Wanted) -> Answer:
            fate = await kind.take_back(at, wanted, True)
            if fate.standing == "unused":
                return Answer("waits", "It is being taken off.")
            return Answer("done")

        return await self._asked(context, coupon, True, ask)

    async def _asked(self, context: Context, coupon: Coupon, again: bool, ask: _Ask) -> Answer:
        kind = self._kinds[coupon.reward.kind]
        account = await context.database.read(lambda: account_at(coupon.merchant_id, kind.platform, coupon.connection))
        if account is None:
            return Answer("waits", "The shop is not connected.", HOUR / SECOND)
        at, wanted = At(context, context.shopify.at_leisure(), account, ()), _wanted(coupon, context.clock.now())
        try:
            async with asyncio.timeout(ASK_SECONDS):
                return await ask(kind, at, wanted)
        except TimeoutError:
            return Answer("waits", f"{kind.platform} took longer than {ASK_SECONDS:g} s.")
        except Revoked as error:
            if await at.key.give_up(error):
                return Answer("waits", "The shop took our access away.", HOUR / SECOND)
            return Answer("waits", "The key was replaced while we asked with it.", 1)
        except Unsealable:
            return Answer("waits", "The key to the platform cannot be opened.", HOUR / SECOND)
        except Rejected as error:
            return Answer("waits", f"{error}.", nothing_done=not again)
        except Unavailable as error:
            return Answer("waits", f"{error}.", error.retry_after or 0)
        except OutsideError as error:
            return Answer("waits", f"{error}.")


def _wanted(coupon: Coupon, now: int) -> Wanted:
    return Wanted(
        merchant_id=coupon.merchant_id,
        number=0,
        reward=coupon.reward,
        value_minor=coupon.value_minor,
        currency=coupon.currency,
        code=coupon.code,
        buyer=None,
        starts_at=coupon.starts_at,
        expires_at=coupon.expires_at,
        platform_id=coupon.platform_id,
        parent=None,
        now=now,
        welcome=True,
    )
