"""What brings points beside purchases: occasions of a customer's life with the shop, each off until previewed."""

from typing import Annotated, NamedTuple

from pydantic import AfterValidator, Field

from handlers.merchants.fields import Section

MOST_POINTS = 1_000_000  # of one occasion
MOST_MILESTONES = 20
LAST_MILESTONE = 1_000  # orders
MOST_NOTICE_DAYS = 365

Gift = Annotated[int, Field(ge=1, le=MOST_POINTS)]


def _milestones(steps: dict[int, int]) -> dict[int, int]:
    """Accept a few orders by their place, with points for each; the first order has a setting of its own."""
    if len(steps) > MOST_MILESTONES or not all(2 <= place <= LAST_MILESTONE for place in steps):
        raise ValueError(f"name at most {MOST_MILESTONES} orders, from the 2nd to the {LAST_MILESTONE}th")
    if not all(1 <= points <= MOST_POINTS for points in steps.values()):
        raise ValueError(f"each brings 1 to {MOST_POINTS} points")
    return dict(sorted(steps.items()))


class Occasion(NamedTuple):
    """A kind of occasion that brings points."""

    kind: str
    steps: tuple[tuple[int, int], ...]  # an order's place (0 = of no order), and the points it brings
    notice_days: int = 0  # it must have been known before


class Ways(Section):
    """Occasions that bring points, and the limits of what the shop gives of its own accord."""

    sign_up: bool = False
    sign_up_points: Gift = 100
    birthday: bool = False
    birthday_points: Gift = 100
    # A birthday brings points once it has been known for so long: nobody is born on the day on which they enter it.
    birthday_notice_days: Annotated[int, Field(ge=0, le=MOST_NOTICE_DAYS)] = 30
    first_order: bool = False
    first_order_points: Gift = 100
    milestones: bool = False
    milestone_points: Annotated[dict[int, int], AfterValidator(_milestones)] = Field(
        default_factory=lambda: {5: 100, 10: 250}
    )
    anniversary: bool = False
    anniversary_points: Gift = 100
    tell_days: bool = False  # letters for birthdays and anniversaries, to who agreed to marketing mail
    tell_gifts: bool = False  # letters about what an account, a first order or a round number of orders brought
    # What the merchant gives by hand as a present, to one customer: at once, and within twelve months; 0 = nothing.
    goodwill_at_once: Annotated[int, Field(ge=0, le=MOST_POINTS)] = 1_000
    goodwill_a_year: Annotated[int, Field(ge=0, le=MOST_POINTS)] = 5_000

    @property
    def by_orders(self) -> bool:
        """Tell whether orders are counted for anything."""
        return self.first_order or self.milestones or self.anniversary

    @property
    def occasions(self) -> list[Occasion]:
        """List what brings points, as customers are told of it."""
        found = [
            Occasion("sign_up", ((0, self.sign_up_points),)) if self.sign_up else None,
            Occasion("first_order", ((1, self.first_order_points),)) if self.first_order else None,
            Occasion("milestone", tuple(self.milestone_points.items())) if self.milestones else None,
            Occasion("birthday", ((0, self.birthday_points),), self.birthday_notice_days) if self.birthday else None,
            Occasion("anniversary", ((0, self.anniversary_points),)) if self.anniversary else None,
        ]
        return [one for one in found if one is not None and one.steps]
