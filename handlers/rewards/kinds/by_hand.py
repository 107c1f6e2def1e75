"""A reward that the merchant hands over: no platform is asked, the customer reads how to get it."""

from handlers.rewards.kinds import Declined, Fate, Issued, Pending, Platform, Wanted


class ByHand:
    """The kind `by_hand`: the merchant notes when it was handed over."""

    name = "by_hand"
    platform = None
    alone = False
    bulk = None
    purse = None

    async def issue(self, at: Platform, wanted: Wanted, again: bool) -> Issued | Declined | Pending:
        """It is there as soon as it is wanted; its code is what the customer shows."""
        return Issued(wanted.code)

    async def take_back(self, at: Platform, wanted: Wanted, again: bool) -> Fate:
        """What was not handed over can always be taken back."""
        return Fate("gone")
