"""The contract of a kind of reward: how it comes into being at its platform, is looked after and taken back."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Protocol

from handlers.merchants.offers import Reward


class Wanted(NamedTuple):
    """One redemption as a platform is told of it."""

    merchant_id: int
    number: int
    reward: Reward
    value_minor: int  # 0 = depends on the order
    currency: str
    code: str
    buyer: str | None  # the customer's id at the platform
    starts_at: int
    expires_at: int | None
    platform_id: str | None  # once it is there
    parent: str | None  # what its code is added to, where the reward shares one discount

    @property
    def title(self) -> str:
        """What the merchant reads at the platform."""
        return f"{self.reward.name} ({self.code})"


class Issued(NamedTuple):
    """It is there: what the platform calls it, and its code where the platform chose another."""

    platform_id: str
    code: str | None = None
    parent: str | None = None  # what further codes of the same reward are added to


class Declined(NamedTuple):
    """It is not there and never will be as asked; why, in a sentence for the merchant."""

    reason: str


class Pending(NamedTuple):
    """The platform is at it: look again in so many seconds."""

    seconds: float


Standing = Literal["unused", "used", "gone"]


class Platform(Protocol):
    """One merchant's account at a platform, asked with the key that holds at that moment."""

    async def shopify(self, document: str, variables: dict[str, Any]) -> Mapping[str, Any]:
        """Ask one document of ours by name; returns its `data`. Raises as `Admin.graphql` does."""
        ...

    async def stripe(self) -> Any:
        """Return Stripe's client for the account's key. Raises as `Key` does."""
        ...


class Kind(Protocol):
    """One kind of reward; named once in the list of kinds.

    `issue` may have been cut off at any point before, also after the platform acted: it looks before it makes
    anything twice, so that calling it again gives the same thing. All raise Unavailable, Rejected or Revoked as the
    adapters do; what only this redemption can never have is Declined.
    """

    @property
    def name(self) -> str:
        """Its name in the programme."""
        ...

    @property
    def platform(self) -> str | None:
        """`shopify` or `stripe`; None = nobody is asked."""
        ...

    async def issue(self, at: Platform, wanted: Wanted, again: bool) -> Issued | Declined | Pending:
        """Bring it into being; `again` = somebody may have tried before."""
        ...

    async def look(self, at: Platform, wanted: Wanted) -> Standing:
        """Say what has become of it."""
        ...

    async def take_back(self, at: Platform, wanted: Wanted) -> Standing:
        """Make it unusable, unless it was used; afterwards it is `gone` or `used`."""
        ...
