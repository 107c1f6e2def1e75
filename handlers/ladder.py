"""What pages may ask about tiers: where somebody stands, how far it is to the next step, who would move."""

from collections import Counter
from collections.abc import Callable, Collection
from decimal import Decimal
from typing import Literal, NamedTuple, Protocol

from handlers.merchants.rules import Shop
from handlers.merchants.tiering import Tiers
from integration.database.steps import Steps


class Rung(NamedTuple):
    """One step of a ladder."""

    name: str
    takes: int  # whole points, or minor units of the programme's currency
    perks: str  # the shop's own words
    multiplier: Decimal = Decimal(1)  # of what whoever stands on it earns


class Place(NamedTuple):
    """Where somebody stands; amounts are whole points or minor units, as the ladder counts."""

    by: Literal["points", "spend"]
    over: Literal["lifetime", "calendar_year", "rolling_12_months"]
    tier: Rung | None  # None = on none of its steps yet
    until: int | None  # the end of the time it is kept for, before grace; None = nothing ends
    falls_at: int | None  # when it will be lost, as things are
    to_keep: int  # missing for keeping it
    next: Rung | None  # None = there is none that can be reached by buying
    have: int  # that counts now


Moves = Counter[tuple[str | None, str | None]]
"""(Tier now, tier then) -> how many people; those who stay where they are among them."""


class Shift(NamedTuple):
    """What other tiers would do, counted over people."""

    moves: Moves
    given: Counter[str]  # tier -> how many would get its points for reaching it
    tagged: Counter[str]  # tag -> how many customers of a Shopify shop would get it
    untagged: Counter[str]  # tag -> how many would lose it

    def plus(self, other: "Shift") -> "Shift":
        """Count both together."""
        tagged, untagged = self.tagged + other.tagged, self.untagged + other.untagged
        return Shift(self.moves + other.moves, self.given + other.given, tagged, untagged)


NOBODY = Shift(Counter(), Counter(), Counter(), Counter())


Heard = Callable[[int, Collection[int], int], Steps[None]]
"""Hears whose tier has changed: (merchant, customers, now), in the transaction in which it is written."""


class Ladder(Protocol):
    """What pages may ask about tiers."""

    def moves(
        self, merchant_id: int, tiers: Tiers, after: int, limit: int, now: int
    ) -> Steps[tuple[Shift, int | None]]:
        """Count where a page of customers stands, and would stand with other tiers; with behind whom the next begins.

        None = that was all.
        """
        ...

    def place(self, shop: Shop, customer: int, now: int) -> Steps[Place | None]:
        """Say where a person stands now, by any number of theirs; None where there are no tiers."""
        ...
