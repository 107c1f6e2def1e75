"""The contract of a kind of reward: how it comes into being at its platform, is looked after and taken back."""

from collections.abc import Collection, Mapping, Sequence
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
    now: int
    mark: str | None = None  # where the account stood before it was first asked, as `Platform.note` kept it
    welcome: bool = False  # for a newcomer, whoever that is, and their first purchase where the platform knows it
    tried_at: int | None = None  # since when it has been asked for without a clear answer
    used_minor: int = 0  # of a reward of money: how much was used of it, when it was seen last
    ended: Sequence[str] = ()  # what the platform calls this customer's other rewards of the kind that are over

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


class NotMade(NamedTuple):
    """It is surely not there, as the platform said in a sentence; it may be asked for again, a few times."""

    reason: str


class SwitchedOff(NamedTuple):
    """It is not there: the merchant has switched the discount off that its code would have been added to."""

    parent: str


class Unfinished(NamedTuple):
    """The platform has been at it for longer than anybody waits, and it is not there; why, in a sentence."""

    reason: str


class Pending(NamedTuple):
    """The platform is at it: look again in so many seconds; or, not `asked`, it has first to do something else."""

    seconds: float
    asked: bool = True


Standing = Literal["unused", "used", "gone"]


class Fate(NamedTuple):
    """What has become of a reward; of one of money also how much of it was used, in minor units.

    `unused` can still be used, as far as it was not; `used` has nothing left; `gone` cannot be used any more.
    """

    standing: Standing
    used_minor: int = 0


Outcome = Issued | Declined | NotMade | SwitchedOff | Unfinished | Pending


class Asked(NamedTuple):
    """One of several that are asked for at once; `again` = somebody may have tried before."""

    wanted: Wanted
    again: bool


class Platform(Protocol):
    """One merchant's account at a platform, asked with the key that holds at that moment."""

    async def shopify(self, document: str, variables: dict[str, Any]) -> Mapping[str, Any]:
        """Ask one document of ours by name; returns its `data`. Raises as `Admin.graphql` does."""
        ...

    async def stripe(self) -> Any:
        """Return Stripe's client for the account's key. Raises as `Key` does."""
        ...

    async def note(self, mark: str, of: Collection[int] = ()) -> None:
        """Keep where the account stood, before the platform is asked for what it would do once more if asked again.

        Or what the platform calls what it was asked. `of` = the numbers of those it is about; none = all.
        """
        ...


class Bulk(Protocol):
    """Makes several rewards of one offer with one question, and takes them back: codes that share a parent."""

    async def issue_all(self, at: Platform, asked: Sequence[Asked]) -> Sequence[Outcome]:
        """Bring them into being; returns what became of each. Raises as `issue` does, of all of them."""
        ...

    async def take_back_all(self, at: Platform, wanted: Sequence[Wanted]) -> Sequence[Standing]:
        """Make them unusable; returns of each what `Kind.take_back` does. Raises as it does, of all of them."""
        ...


class Purse(Protocol):
    """Tells how much is left of rewards that are money somewhere: used bit by bit, and told of by nobody."""

    async def look_all(self, at: Platform, wanted: Sequence[Wanted]) -> Sequence[Fate]:
        """Say what has become of some of one account's rewards; nothing changes. Raises as `Kind.issue` does."""
        ...


class Kind(Protocol):
    """One kind of reward; named once in the list of kinds.

    `issue` may have been cut off at any point before, also after the platform acted: it looks before it makes
    anything twice, so that calling it again gives the same thing. All raise Unavailable, Rejected or Revoked as the
    adapters do, Rejected only where the platform surely did nothing; what only this redemption can never have is
    Declined.

    Taking back means that nothing of it can be used any more: a code is switched off, a gift card is deactivated, store
    credit and credit for invoices are taken off the account again, as far as they are still there.
    """

    @property
    def name(self) -> str:
        """Its name in the programme."""
        ...

    @property
    def platform(self) -> str | None:
        """`shopify` or `stripe`; None = nobody is asked."""
        ...

    @property
    def alone(self) -> bool:
        """Whether a customer's are asked for one after the other: the platform does not tell them apart."""
        ...

    @property
    def bulk(self) -> Bulk | None:
        """What makes codes that share one discount; None = this kind has no such codes."""
        ...

    @property
    def purse(self) -> Purse | None:
        """What tells how much of it is left; None = it is used whole, and others tell of that."""
        ...

    async def issue(self, at: Platform, wanted: Wanted, again: bool) -> Outcome:
        """Bring it into being; `again` = somebody may have tried before."""
        ...

    async def take_back(self, at: Platform, wanted: Wanted, again: bool) -> Fate:
        """Make what is left of it unusable: `gone` or `used`, or `unused` while the platform is at it.

        `again` = somebody may have tried before.
        """
        ...
