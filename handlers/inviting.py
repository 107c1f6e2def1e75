"""What a customer's page may ask about bringing friends: their link, what both sides get, and what came of it."""

from typing import Literal, NamedTuple, Protocol

from handlers.merchants.offers import Reward
from handlers.merchants.rules import Shop
from integration.database.steps import Steps


class Invitation(NamedTuple):
    """What somebody gets for bringing friends, and how far that has come."""

    state: Literal["new", "open", "over"]  # no link yet; one that works; as many friends as one can bring
    code: str | None  # of their link `/c/friend/{code}`
    points: int  # for each friend
    welcome: Reward  # what a friend gets
    coming: int  # friends whose order can still be returned, or that the shop looks at
    brought: int  # friends for whom there were points


class Inviting(Protocol):
    """What pages may ask; all of it takes part in the caller's transaction."""

    def invitation(self, shop: Shop, customer: int, now: int) -> Steps[Invitation | None]:
        """Say what bringing friends brings a person; None where the shop does not offer it."""
        ...

    def invite(self, shop: Shop, customer: int, now: int) -> Steps[None]:
        """Give a person their link; again changes nothing. Raises Refused, in words."""
        ...
