"""What a capability may ask of the kinds of rewards: a code that costs no points, made and taken off."""

from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from handlers.merchants.offers import Reward
from integration.database.steps import Steps

if TYPE_CHECKING:
    from handlers.context import Context


class Coupon(NamedTuple):
    """A code for a newcomer, whoever that is: used once, by one customer, until it ends."""

    merchant_id: int
    reward: Reward
    value_minor: int  # 0 = depends on the order
    currency: str
    code: str
    starts_at: int
    expires_at: int
    connection: int  # the platform's account it is made at: the same at every attempt
    platform_id: str | None = None  # once it is there


class Answer(NamedTuple):
    """What a platform said: it is done, it is to be asked again, or it will never be."""

    state: Literal["done", "waits", "refused"]
    reason: str = ""
    seconds: float = 0  # before it is asked again, at least
    nothing_done: bool = False  # the platform surely did nothing so far
    platform_id: str | None = None


class Coupons(Protocol):
    """Asks platforms for codes; never raises but for the database."""

    def platform(self, kind: str) -> str | None:
        """Name the platform of a kind of code; None = there is no such kind."""
        ...

    def account(self, merchant_id: int, kind: str) -> Steps[int | None]:
        """Find the connection of the account that a merchant's codes are made at; None = none is open."""
        ...

    async def make(self, context: "Context", coupon: Coupon, again: bool) -> Answer:
        """Make a code, never twice; `again` = somebody may have tried before."""
        ...

    async def take_off(self, context: "Context", coupon: Coupon) -> Answer:
        """Make a code unusable; what was bought with it stays bought."""
        ...
