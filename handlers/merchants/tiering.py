"""What a programme gives regulars for good: tiers, what they take and how long they are kept, as the merchant says."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from handlers.merchants.fields import Moment, Rate, Section, Word, instant_of, one_line, zone_name

MOST_TIERS = 10  # of one programme
MOST_THRESHOLD = 10**12  # points, or major units of the programme's currency
MOST_ENTRY_POINTS = 1_000_000
MAX_GRACE_DAYS = 90
MOST_TAG = 40  # characters, as Shopify takes them
MAX_KEPT_MONTHS = 60
MAX_TIER_MULTIPLIER = Decimal(10)

TierId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]


def _lifts(value: Decimal) -> Decimal:
    if not 1 <= value <= MAX_TIER_MULTIPLIER:
        raise ValueError(f"write a number from 1 to {MAX_TIER_MULTIPLIER}")
    return value


def _tag(value: str) -> str:
    tag = value.strip()
    if "," in tag:
        raise ValueError("write one tag, without a comma")
    return one_line(tag)


class Tier(Section):
    """One step of the ladder: what it takes, and what whoever stands on it has."""

    name: Annotated[Word, Field(max_length=80), AfterValidator(one_line)]
    threshold: Annotated[int, Field(ge=0, le=MOST_THRESHOLD)]  # points, or major units of the programme's currency
    entry_points: Annotated[int, Field(ge=0, le=MOST_ENTRY_POINTS)] = 0  # given once ever, when it is reached
    entry_for: Literal["newcomers", "everybody"] = "newcomers"  # who reaches it by these terms, or has it already too
    multiplier: Annotated[Rate, AfterValidator(_lifts)] = Decimal(1)  # of what whoever has it earns
    perks: Annotated[str, Field(max_length=1_000)] = ""  # in words, for the customer
    # Of the customer at Shopify, for early access and segments; empty = none.
    tag: Annotated[str, Field(max_length=MOST_TAG), AfterValidator(_tag)] = ""


class Tiers(Section):
    """Who counts as a regular, and how much of one; off until the merchant has previewed it."""

    enabled: bool = False
    by: Literal["points", "spend"] = "spend"  # earned without campaigns and multipliers, or what eligible goods cost
    over: Literal["lifetime", "calendar_year", "rolling_12_months"] = "rolling_12_months"
    kept_months: Annotated[int, Field(ge=1, le=MAX_KEPT_MONTHS)] = 12  # from reaching it, then as long again
    grace_days: Annotated[int, Field(ge=0, le=MAX_GRACE_DAYS)] = 30  # after that, before it is lost
    grandfather: bool = True  # who has a tier when tiers are edited keeps it for as long as it was promised
    keep_until: Moment | None = None  # and at least until then, its day included
    tell: bool = False  # people, by mail: of a tier they have reached, will lose, have lost
    timezone: Annotated[str, AfterValidator(zone_name)] = ""  # whose years; the shop's when it was written
    ladder: Annotated[dict[TierId, Tier], Field(max_length=MOST_TIERS)] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_a_ladder(self) -> "Tiers":
        thresholds = [each.threshold for each in self.ladder.values()]
        if len(set(thresholds)) < len(thresholds):
            raise ValueError("every tier needs a threshold of its own")
        if self.enabled and not self.ladder:
            raise ValueError("write at least one tier before tiers are switched on")
        return self

    @property
    def kept_at_least_until(self) -> int:
        """Until when whoever has a tier when these terms begin keeps it at least."""
        return instant_of(self.keep_until, self.timezone or "UTC", end=True) if self.keep_until else 0

    @property
    def ascending(self) -> tuple[tuple[str, Tier], ...]:
        """The tiers by what they take, the least first."""
        return tuple(sorted(self.ladder.items(), key=lambda pair: pair[1].threshold))
