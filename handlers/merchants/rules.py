"""The programme a merchant steers by: one immutable, validated document, and which was in force when."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, EmailStr, Field, StringConstraints, model_validator

from handlers.merchants.fields import (
    Collections,
    Currency,
    Days,
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
from handlers.merchants.look import OwnPage
from handlers.merchants.offers import Rewards
from handlers.merchants.referring import Referrals
from handlers.merchants.tiering import MOST_TIERS, TierId, Tiers
from handlers.merchants.ways import Ways

MAX_HOLD_DAYS = 90
MAX_MULTIPLIER = Decimal(100)
MOST_CAMPAIGNS = 100  # of one programme; those that are over may be taken out of later versions
MOST_COLLECTIONS = 10  # of one campaign
MOST_IN_A_COLLECTION = 5_000  # products; of a greater one nothing is read, and the merchant is told
MOST_COLLECTIONS_IN_ALL = 50  # of one programme: what is in each is asked of the shop again and again
MOST_NOTICES = 3  # before the same points expire
MAX_NOTICE_DAYS = 180
_WINDOW = re.compile(r"([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]|24):[0-5]\d")


def _window(value: str) -> str:
    """Accept `always` or `HH:MM-HH:MM` within one day, the end after the start."""
    if value == "always":
        return value
    start, _, end = value.partition("-")
    if not _WINDOW.fullmatch(value) or not start < end <= "24:00":
        raise ValueError("write the send window as 10:00-16:00, or always")
    return value


def _notices(days: tuple[int, ...]) -> tuple[int, ...]:
    """Accept a few whole numbers of days; the earliest notice comes first."""
    if len(days) > MOST_NOTICES or not all(1 <= each <= MAX_NOTICE_DAYS for each in days):
        raise ValueError(f"write at most {MOST_NOTICES} numbers of days from 1 to {MAX_NOTICE_DAYS}, such as 45, 7")
    return tuple(sorted(set(days), reverse=True))


class Campaign(Section):
    """More points for a while: for what is sold from `starts` until `ends`, by the sale's own time.

    Of several campaigns a piece of goods has part in, the one that gives most counts, alone.
    """

    name: Annotated[Word, Field(max_length=80), AfterValidator(one_line)]
    starts: Moment  # a day, a time by the shop's clocks, or an instant: 2026-11-27, 2026-11-27T09:00, …T09:00Z
    ends: Moment  # a day is part of it to its end; a time is not
    multiplier: Annotated[Rate, Field(ge=1, le=MAX_MULTIPLIER)] = Decimal(1)  # of `points_per_unit`
    extra_per_unit: Rate = Decimal(0)  # points for one major unit, beside those
    products: Products = ()  # only these; none, and no collections = all goods
    # And what lay in one of these when it was sold, as far as we had noticed.
    collections: Annotated[Collections, Field(max_length=MOST_COLLECTIONS)] = ()
    tags: WordList = ()  # only orders with one of these tags, compared without case
    channels: WordList = ()  # only orders from one of these
    tiers: Annotated[
        tuple[TierId, ...], Field(max_length=MOST_TIERS)
    ] = ()  # only who had one of these when they bought
    timezone: Annotated[str, AfterValidator(zone_name)] = ""  # by whose clocks; the shop's when it was written

    @model_validator(mode="after")
    def _is_one(self) -> "Campaign":
        if self.multiplier == 1 and not self.extra_per_unit:
            raise ValueError("a campaign needs a multiplier above 1 or extra points a unit")
        if self.starts_at >= self.ends_at:
            raise ValueError("a campaign ends after it starts")
        return self

    @property
    def starts_at(self) -> int:
        """The first instant that is part of it."""
        return instant_of(self.starts, self.timezone or "UTC", end=False)

    @property
    def ends_at(self) -> int:
        """The first instant after it."""
        return instant_of(self.ends, self.timezone or "UTC", end=True)


CampaignId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]


class Earning(Section):
    """How purchases earn; off until the merchant has previewed it."""

    enabled: bool = False
    points_per_unit: Rate = Decimal(3)  # points for one major unit of the programme's currency
    hold_days: Annotated[int, Field(ge=0, le=MAX_HOLD_DAYS)] = 30  # the return window
    include_tax: bool = False
    include_shipping: bool = False
    exclude_products: Products = ()  # product ids
    exclude_tags: WordList = ()  # order tags, compared without case
    exclude_channels: WordList = ()  # Shopify's source_name, compared without case: web, pos, shopify_draft_order…
    # What one major unit of another currency is worth in the programme's: {"EUR": "1.08"}.
    rates: dict[Currency, Rate] = Field(default_factory=dict)
    # Points for one major unit at most, whatever campaigns and tiers come to; none = no such limit.
    most_per_unit: Annotated[Rate, Field(gt=0)] | None = None
    notify_reductions: bool = True  # tell the customer when available points went down
    campaigns: Annotated[dict[CampaignId, Campaign], Field(max_length=MOST_CAMPAIGNS)] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _asks_for_few(self) -> "Earning":
        if len(self.collections) > MOST_COLLECTIONS_IN_ALL:
            raise ValueError(
                f"all campaigns together name at most {MOST_COLLECTIONS_IN_ALL} collections; take out campaigns that"
                " are over"
            )
        return self

    @property
    def collections(self) -> frozenset[str]:
        """The collections its campaigns name."""
        return frozenset(one for each in self.campaigns.values() for one in each.collections)

    @property
    def collected(self) -> list[tuple[int, int]]:
        """When campaigns with collections run: the first instant, and the first one after."""
        return [(each.starts_at, each.ends_at) for each in self.campaigns.values() if each.collections]


LEAST_QUIET_MONTHS = 12  # before points lapse in Quebec


class Expiry(Section):
    """When points that can be spent lapse; off until the merchant switches it on.

    `inactivity`: all of a person's points lapse so many months after they last earned or spent any (the one way
    that is allowed in Ontario and Quebec). `age`: each lot does, so many months after its points could be spent.
    """

    enabled: bool = False
    after: Literal["inactivity", "age"] = "inactivity"
    months: Annotated[int, Field(ge=1, le=120)] = 12
    remind: bool = False  # mail people before their points lapse
    # So many days before; where points lapse for inactivity, Quebec wants one of 30 to 60 days.
    notice_days: Annotated[tuple[int, ...], AfterValidator(_notices)] = (45, 7)

    def refused_in(self, places: Collection[str]) -> str | None:
        """Say why points may not lapse like this where customers live (`ontario`, `quebec`); None = they may.

        Ontario: not by the passage of time alone (Consumer Protection Act, since 2018). Quebec: for inactivity of a
        year at least, told of 30 to 60 days before (regulation under the Consumer Protection Act, s. 79.6.3).
        """
        if not self.enabled or not places:
            return None
        where = " and ".join(place.title() for place in sorted(places))
        if self.after == "age":
            return (
                f"Customers of yours live, or may live, in {where}, where points must not expire by time alone. Let"
                " them expire after a time without a purchase instead."
            )
        if "quebec" not in places:
            return None
        if self.months < LEAST_QUIET_MONTHS:
            return f"In Quebec points may expire after {LEAST_QUIET_MONTHS} months without a purchase at the earliest."
        if not self.remind or not any(30 <= days <= 60 for days in self.notice_days):
            return (
                "In Quebec people have to be told 30 to 60 days before their points expire: switch “Tell people before”"
                " on, with such a number of days."
            )
        return None


class Thanks(Section):
    """When a buyer is thanked."""

    enabled: bool = False
    when: Literal["every", "milestones"] = "milestones"  # milestones: first, third, tenth, anniversary
    delay_minutes: Annotated[int, Field(ge=0, le=60 * 24 * 30)] = 60


# What merchants may put into their words, as `{name}`; there is no other code in them.
PLACEHOLDERS = frozenset(
    {
        "first_name",
        "shop_name",
        "order_name",
        "product",
        "order_date",
        "order_total",
        "points",
        "balance",
        "expires_on",
        "reason",
        "tier",
        "missing",
        "lost_on",
    }
)


def _placeholders(value: str) -> str:
    """Accept words whose every brace belongs to a known placeholder."""
    rest = re.sub(r"\{([a-z_]+)\}", lambda m: "" if m[1] in PLACEHOLDERS else m[0], value)
    if "{" in rest or "}" in rest:
        known = ", ".join(f"{{{name}}}" for name in sorted(PLACEHOLDERS))
        raise ValueError(f"words may hold these placeholders and no other braces: {known}")
    return value


class Words(Section):
    """The merchant's own words for one kind of message in one language; placeholders are `{name}`."""

    subject: Annotated[str, Field(max_length=200), AfterValidator(one_line), AfterValidator(_placeholders)] = ""
    body: Annotated[str, Field(max_length=5000), AfterValidator(_placeholders)] = ""


class Messages(Section):
    """How mail goes out: from whom, in which hours, how often at most."""

    window: Annotated[str, AfterValidator(_window)] = "10:00-16:00"
    cap_hours: Annotated[int, Field(ge=0, le=24 * 30)] = 16  # one non-transactional message in so many hours
    cap_fortnight: Annotated[int, Field(ge=0, le=50)] = 3  # and so many in 14 days; 0 = no such cap
    from_address: EmailStr | None = None
    from_name: Annotated[str, Field(max_length=100), AfterValidator(one_line)] = ""
    reply_to: EmailStr | None = None
    opt_in_countries: tuple[str, ...] = ("DE", "AT")  # ask for consent before a review request there
    words: dict[str, dict[str, Words]] = Field(default_factory=dict)  # kind -> language -> words


class Reviews(Section):
    """When a buyer is asked for a review; neutral rules only."""

    enabled: bool = False
    days_after_delivery: Days = 10
    days_after_fulfilment: Days = 14
    days_after_fulfilment_abroad: Days = 21
    days_digital: Days = 3
    days_point_of_sale: Days = 0
    remind_after_days: Days = 7  # 0 = no reminder
    ask_about_returns: bool = True


class Program(Section):
    """One merchant's settings, as one immutable document."""

    earning: Earning = Earning()
    expiry: Expiry = Expiry()
    thanks: Thanks = Thanks()
    messages: Messages = Messages()
    reviews: Reviews = Reviews()
    rewards: Rewards = Rewards()
    tiers: Tiers = Tiers()
    page: OwnPage = OwnPage()
    ways: Ways = Ways()
    referrals: Referrals = Referrals()


@dataclass(frozen=True, slots=True)
class Version:
    """A programme and since when it is in force (instant, a whole second)."""

    number: int
    in_force_at: int
    program: Program


class Stay(NamedTuple):
    """A stretch of time for which a product lay in a collection, as we noticed; `until` None = it still does."""

    collection: str
    since: int
    until: int | None


Stays = Mapping[str, Sequence[Stay]]
"""Where products lay, by product id; of one that is not there nothing is known, or it lay in none that matters."""


@dataclass(frozen=True, slots=True)
class Shop:
    """What settling needs to know of a merchant; `versions` are in ascending order of number."""

    id: int
    name: str
    currency: str
    timezone: str
    country: str | None
    email: str | None
    closed_at: int | None
    platforms: frozenset[str]  # platforms with an open connection
    versions: tuple[Version, ...]
    closed: Mapping[str, int] = field(default_factory=dict)  # platform with no open connection -> closed since
    paused_at: int | None = None  # since when all messages are held back
    # Of what is in hand, and only where a campaign asks for it; no part of who the shop is.
    stays: Stays = field(default_factory=dict, compare=False)

    def version_at(self, instant: int) -> Version | None:
        """The version in force at an instant, compared in whole seconds; the newest on a tie."""
        second = instant - instant % 1_000_000
        return newest(v for v in reversed(self.versions) if v.in_force_at <= second)

    def version(self, number: int | None) -> Version | None:
        """The version of a number; None where there is none."""
        return next((v for v in self.versions if v.number == number), None)

    def is_history(self, instant: int) -> bool:
        """Tell whether an instant lies before earning was first switched on."""
        began = min((v.in_force_at for v in self.versions if v.program.earning.enabled), default=None)
        return began is None or instant - instant % 1_000_000 < began

    @property
    def collected(self) -> frozenset[tuple[int, int]]:
        """When campaigns with collections run, by any version: the first instant, and the first one after."""
        return frozenset(time for version in self.versions for time in version.program.earning.collected)

    @property
    def current(self) -> Program:
        """The newest programme written, whether or not its second has come."""
        return self.versions[-1].program if self.versions else Program()


def newest(versions: Iterable[Version]) -> Version | None:
    """Pick the version that came into force last; the highest number on a tie."""
    best: Version | None = None
    for version in versions:
        if best is None or (version.in_force_at, version.number) > (best.in_force_at, best.number):
            best = version
    return best


class Refused(Exception):
    """What was asked cannot be done and nothing was changed; the message is one sentence for people."""
