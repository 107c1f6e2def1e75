"""The programme a merchant steers by: one immutable, validated document, and which was in force when."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, EmailStr, Field, StringConstraints

MAX_RATE = Decimal(1_000_000)
MAX_HOLD_DAYS = 90
_WINDOW = re.compile(r"([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]|24):[0-5]\d")


def _window(value: str) -> str:
    """Accept `always` or `HH:MM-HH:MM` within one day, the end after the start."""
    if value == "always":
        return value
    start, _, end = value.partition("-")
    if not _WINDOW.fullmatch(value) or not start < end <= "24:00":
        raise ValueError("write the send window as 10:00-16:00, or always")
    return value


def _rate(value: Decimal) -> Decimal:
    if not value.is_finite() or -value.normalize().as_tuple().exponent > 6:  # type: ignore[operator]
        raise ValueError("a rate has at most six decimal places")
    return value


Rate = Annotated[Decimal, Field(ge=0, le=MAX_RATE), AfterValidator(_rate)]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
Days = Annotated[int, Field(ge=0, le=365)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Earning(_Section):
    """How purchases earn; off until the merchant has previewed it."""

    enabled: bool = False
    points_per_unit: Rate = Decimal(3)  # points for one major unit of the programme's currency
    hold_days: Annotated[int, Field(ge=0, le=MAX_HOLD_DAYS)] = 30  # the return window
    include_tax: bool = False
    include_shipping: bool = False
    exclude_products: tuple[str, ...] = ()  # product ids
    exclude_tags: tuple[str, ...] = ()  # order tags, compared without case
    exclude_channels: tuple[str, ...] = ()  # Shopify's source_name: web, pos, shopify_draft_order…
    # What one major unit of another currency is worth in the programme's: {"EUR": "1.08"}.
    rates: dict[Currency, Rate] = Field(default_factory=dict)
    notify_reductions: bool = True  # tell the customer when available points went down


class Thanks(_Section):
    """When a buyer is thanked."""

    enabled: bool = False
    when: Literal["every", "milestones"] = "milestones"  # milestones: first, third, tenth, anniversary
    delay_minutes: Annotated[int, Field(ge=0, le=60 * 24 * 30)] = 60


# What merchants may put into their words, as `{name}`; there is no other code in them.
PLACEHOLDERS = frozenset(
    {"first_name", "shop_name", "order_name", "product", "order_date", "order_total", "points", "balance"}
)


def _one_line(value: str) -> str:
    """Accept what fits a mail header: one line, nothing that cannot be seen."""
    if not value.isprintable():
        raise ValueError("write it in one line, without control characters")
    return value


def _placeholders(value: str) -> str:
    """Accept words whose every brace belongs to a known placeholder."""
    rest = re.sub(r"\{([a-z_]+)\}", lambda m: "" if m[1] in PLACEHOLDERS else m[0], value)
    if "{" in rest or "}" in rest:
        known = ", ".join(f"{{{name}}}" for name in sorted(PLACEHOLDERS))
        raise ValueError(f"words may hold these placeholders and no other braces: {known}")
    return value


class Words(_Section):
    """The merchant's own words for one kind of message in one language; placeholders are `{name}`."""

    subject: Annotated[str, Field(max_length=200), AfterValidator(_one_line), AfterValidator(_placeholders)] = ""
    body: Annotated[str, Field(max_length=5000), AfterValidator(_placeholders)] = ""


class Messages(_Section):
    """How mail goes out: from whom, in which hours, how often at most."""

    window: Annotated[str, AfterValidator(_window)] = "10:00-16:00"
    cap_hours: Annotated[int, Field(ge=0, le=24 * 30)] = 16  # one non-transactional message in so many hours
    cap_fortnight: Annotated[int, Field(ge=0, le=50)] = 3  # and so many in 14 days; 0 = no such cap
    from_address: EmailStr | None = None
    from_name: Annotated[str, Field(max_length=100), AfterValidator(_one_line)] = ""
    reply_to: EmailStr | None = None
    opt_in_countries: tuple[str, ...] = ("DE", "AT")  # ask for consent before a review request there
    words: dict[str, dict[str, Words]] = Field(default_factory=dict)  # kind -> language -> words


class Reviews(_Section):
    """When a buyer is asked for a review; neutral rules only."""

    enabled: bool = False
    days_after_delivery: Days = 10
    days_after_fulfilment: Days = 14
    days_after_fulfilment_abroad: Days = 21
    days_digital: Days = 3
    days_point_of_sale: Days = 0
    remind_after_days: Days = 7  # 0 = no reminder
    ask_about_returns: bool = True


class Program(_Section):
    """One merchant's settings, as one immutable document."""

    earning: Earning = Earning()
    thanks: Thanks = Thanks()
    messages: Messages = Messages()
    reviews: Reviews = Reviews()


@dataclass(frozen=True, slots=True)
class Version:
    """A programme and since when it is in force (instant, a whole second)."""

    number: int
    in_force_at: int
    program: Program


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
