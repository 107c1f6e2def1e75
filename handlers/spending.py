"""What a customer's page may ask about spending points: what there is to have, what they have, and the two acts."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

from handlers.merchants.offers import Reward
from handlers.merchants.rules import Shop
from integration.database.steps import Steps

Obstacle = Literal[
    "gone",  # not offered any more
    "early",  # not offered yet
    "over",
    "tier",  # for other tiers
    "steps",  # not so many at once
    "enough",  # as often as anybody can
    "sold_out",
    "points",  # too few of them
]
"""Why somebody cannot have a reward now."""


class Offer(NamedTuple):
    """One reward of a programme, and whether somebody can have it."""

    id: str
    reward: Reward
    most_steps: int  # they can pay for at once; 0 = none
    obstacle: Obstacle | None  # None = it is theirs to take


class Taken(NamedTuple):
    """One reward somebody has, or had."""

    number: int
    reward: Reward  # as it was when it was taken
    steps: int
    points: int  # whole ones
    value_minor: int  # 0 = depends on the order
    currency: str
    state: Literal["asked", "issued", "returning", "used", "expired", "voided", "refused"]
    code: str | None
    typed: bool  # its code is typed at a checkout
    shop: str | None  # domain of the Shopify shop whose checkout that is
    taken_at: int
    expires_at: int | None
    left_minor: int | None = None  # of what is used bit by bit; None = it is used whole


class Spending(Protocol):
    """What pages may ask; all of it takes part in the caller's transaction. Ring `bell` after an act."""

    bell: str

    def offers(self, shop: Shop, customer: int, now: int) -> Steps[Sequence[Offer]]:
        """List the rewards that are offered, the cheapest first; `customer` 0 = nobody known."""
        ...

    def taken(self, shop: Shop, customer: int) -> Steps[Sequence[Taken]]:
        """List what a person has had under all their numbers, the newest first."""
        ...

    def redeem(self, shop: Shop, customer: int, reward: str, steps: int, key: str, now: int) -> Steps[int]:
        """Set points aside for a reward and have it made; returns its number. The same `key` again is the same wish.

        Raises Refused, in words, for what they cannot have.
        """
        ...

    def give_back(self, shop: Shop, customer: int, number: int, now: int) -> Steps[None]:
        """Have an unused reward of this person taken back; its points follow. Raises Refused, in words."""
        ...
