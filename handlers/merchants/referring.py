"""What bringing a friend is worth: points for who brings one, a welcome for the friend; off until previewed."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, model_validator

from handlers.merchants.fields import Rate, Section
from handlers.merchants.offers import Reward

MOST_POINTS = 1_000_000  # for one friend
MOST_FRIENDS = 1_000  # of one customer
MOST_DAYS = 365

Friends = Annotated[int, Field(ge=1, le=MOST_FRIENDS)]


class Referrals(Section):
    """What both sides get once the friend's first order counts, and how often one customer may bring somebody."""

    enabled: bool = False
    points: Annotated[int, Field(ge=1, le=MOST_POINTS)] = 1_000  # for who brought a friend
    gift: Literal["amount_off", "percentage_off", "promotion_code"] = "amount_off"  # what the friend's code takes off
    gift_value: Annotated[Rate, Field(gt=0)] = Decimal(10)  # major units of the programme's currency, or percent
    min_order: Rate = Decimal(20)  # of the friend's order, in major units; its platform sees to it
    valid_days: Annotated[int, Field(ge=1, le=MOST_DAYS)] = 30  # of a friend's code, from when they asked for it
    most_a_month: Friends = 5  # friends of one customer that bring points, by the shop's calendar
    most_in_all: Friends = 50  # after so many orders with it a customer's link is over

    @model_validator(mode="after")
    def _is_a_share(self) -> "Referrals":
        if self.gift == "percentage_off" and self.gift_value > 100:
            raise ValueError("a percentage is 100 at most")
        return self

    @property
    def welcome(self) -> Reward:
        """What a friend's code is at its platform: for whoever has it, once."""
        share = self.gift == "percentage_off"
        return Reward(
            name="Welcome from a friend",
            kind=self.gift,
            points=1,  # Nobody pays it.
            value=Decimal(0) if share else self.gift_value,
            percent=self.gift_value if share else Decimal(0),
            min_order=self.min_order,
            valid_days=self.valid_days,
        )
