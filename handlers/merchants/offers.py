"""What a programme gives for points: rewards of every kind, as the merchant defines them."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from handlers.merchants.fields import (
    Moment,
    Products,
    Rate,
    Section,
    Word,
    WordList,
    instant_of,
    one_line,
    zone_name,
)

MOST_REWARDS = 50  # of one programme
MOST_POINTS = 10_000_000  # for one reward
MOST_STEPS = 1_000  # of an incremental reward, at once
MOST_INSTRUCTIONS = 2_000  # characters

RewardKind = Literal[
    "amount_off",  # Shopify: money off an order
    "percentage_off",  # Shopify: a share off an order
    "free_shipping",  # Shopify
    "free_product",  # Shopify: money off one product, as much as it costs
    "store_credit",  # Shopify: money on the customer's account
    "gift_card",  # Shopify
    "promotion_code",  # Stripe: money or a share off
    "balance_credit",  # Stripe: money off the customer's next invoices
    "by_hand",  # whatever the merchant hands over
]
OF_MONEY = frozenset({"amount_off", "free_product", "store_credit", "gift_card", "balance_credit"})
INCREMENTAL = frozenset({"amount_off", "store_credit", "gift_card", "balance_credit", "promotion_code"})
BIT_BY_BIT = frozenset({"store_credit", "gift_card", "balance_credit"})
"""Kinds that are money somewhere, of which a part can be used and the rest is left."""
CODES = frozenset({"amount_off", "percentage_off", "free_shipping", "free_product", "promotion_code"})
"""Kinds that are a code to type at the checkout: it can be used, unused, taken back."""

RewardId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
Percent = Annotated[Rate, Field(le=100)]


class Reward(Section):
    """One thing customers can have for points; who has taken it keeps it as it was then."""

    name: Annotated[Word, Field(max_length=80), AfterValidator(one_line)]
    kind: RewardKind
    points: Annotated[int, Field(ge=1, le=MOST_POINTS)]  # for one; for one step where it is incremental
    enabled: bool = True
    value: Rate = Decimal(0)  # in major units of the programme's currency, for one step
    percent: Percent = Decimal(0)  # of what is bought
    incremental: bool = False  # any multiple of `points`, for as many times the value
    most_steps: Annotated[int, Field(ge=1, le=MOST_STEPS)] = 100
    min_order: Rate = Decimal(0)  # major units; 0 = any order
    products: Products = ()  # only for these; none = everything
    collections: Products = ()
    with_order_discounts: bool = False  # what it may be combined with
    with_product_discounts: bool = True
    with_shipping_discounts: bool = True
    shared: bool = False  # Shopify: one of many codes under one discount, not bound to the customer
    valid_days: Annotated[int, Field(ge=0, le=3650)] = 90  # after it was taken; 0 = for ever
    stock: Annotated[int, Field(ge=0, le=10_000_000)] | None = None  # of all customers together
    per_customer: Annotated[int, Field(ge=1, le=10_000)] | None = None
    tiers: WordList = ()  # only for these tiers; none = for all
    starts: Moment | None = None
    ends: Moment | None = None  # a day is part of it to its end
    timezone: Annotated[str, AfterValidator(zone_name)] = ""  # by whose clocks; the shop's when it was written
    instructions: Annotated[str, Field(max_length=MOST_INSTRUCTIONS)] = ""  # how one gets what is handed over

    @model_validator(mode="after")
    def _is_one(self) -> "Reward":
        if self.kind in OF_MONEY and not self.value:
            raise ValueError("this kind of reward needs a value")
        if self.kind == "percentage_off" and not self.percent:
            raise ValueError("this kind of reward needs a percentage")
        if self.kind == "promotion_code" and bool(self.value) == bool(self.percent):
            raise ValueError("a promotion code needs either a value or a percentage")
        if self.kind == "free_product" and len(self.products) != 1:
            raise ValueError("a free product needs its one product")
        if self.kind == "by_hand" and not self.instructions.strip():
            raise ValueError("say how the customer gets it")
        if self.incremental and (self.kind not in INCREMENTAL or not self.value):
            raise ValueError("only an amount of money can be had for any multiple of points")
        if self.shared and (self.kind not in CODES or self.kind == "promotion_code" or self.incremental):
            raise ValueError("only codes of one fixed value can share a discount")
        if self.starts and self.ends and self.starts_at >= self.ends_at:
            raise ValueError("a reward ends after it starts")
        return self

    @property
    def starts_at(self) -> int:
        """The first instant at which it can be had."""
        return instant_of(self.starts, self.timezone or "UTC", end=False) if self.starts else 0

    @property
    def ends_at(self) -> int:
        """The first instant at which it cannot be had any more."""
        return instant_of(self.ends, self.timezone or "UTC", end=True) if self.ends else 2**62


class Rewards(Section):
    """What points can be spent on; off until the merchant has previewed it."""

    enabled: bool = False
    return_expired: bool = True  # points of a code that lapses unused come back
    catalogue: Annotated[dict[RewardId, Reward], Field(max_length=MOST_REWARDS)] = Field(default_factory=dict)
