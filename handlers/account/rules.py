"""What a customer's page says in the reader's language: rewards, tiers and entries; pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from babel.dates import format_skeleton, get_month_names
from babel.numbers import format_decimal

from handlers.inviting import Invitation
from handlers.ladder import Place
from handlers.merchants.look import OwnPage
from handlers.merchants.offers import CODES, Reward
from handlers.messages.letters import day, money
from handlers.points.timeline import Moved
from handlers.spending import Offer, Taken
from integration.money import exponent

MOST_STEPS_SHOWN = 24  # choices of an incremental reward on one page; the most one can pay for comes last
NOT_SHOWN = frozenset({"reward"})  # setting points aside is told by what comes of it
ON_ACCOUNT = frozenset({"store_credit", "balance_credit"})  # nothing is to be typed or shown for these
OURS = OwnPage()
LEAP_YEAR = 2000  # has every day of a year
_FRENCH = "fr"  # where less than two is singular


@dataclass(frozen=True, slots=True)
class Reader:
    """Whom a page speaks to: their language's words, and how they read numbers, money and days."""

    words: Mapping[str, Any]
    language: str
    locale: str
    currency: str
    timezone: str
    shop_name: str
    tiers: Mapping[str, str]  # their names
    page: OwnPage = OURS  # how the shop's looks

    def say(self, word: str, /, **values: str) -> str:
        """Say one of the words, with values in it."""
        return str(self.words[word]).format(shop=self.shop_name, **values)

    def number(self, value: int | Decimal) -> str:
        """Write a number."""
        return str(format_decimal(value, locale=self.locale))

    def points(self, count: int | Decimal) -> str:
        """Write a number of points."""
        size = abs(Decimal(count))
        single = size < 2 if self.language == _FRENCH else size == 1
        return self.say("point_one" if single else "point_many", n=self.number(count))

    def signed(self, count: int) -> str:
        """Write a change of points with its sign."""
        return ("+" if count > 0 else "−") + self.number(abs(count))

    def money(self, minor: int, currency: str | None = None) -> str:
        """Write minor units as money of the programme's currency, or another."""
        return money(minor, currency or self.currency, self.locale)

    def amount(self, major: Decimal) -> str:
        """Write major units of the programme's currency."""
        return self.money(int(major.scaleb(exponent(self.currency))))

    def date(self, month_day: str) -> str:
        """Write a day of the year, kept as MM-DD."""
        month, _, day_ = month_day.partition("-")
        return str(format_skeleton("MMMMd", date(LEAP_YEAR, int(month), int(day_)), locale=self.locale))

    @property
    def months(self) -> list[tuple[int, str]]:
        """Name the months."""
        names = get_month_names("wide", "stand-alone", locale=self.locale)
        return [(month, names[month]) for month in range(1, 13)]

    def day(self, instant: int) -> str:
        """Write an instant as a day by the shop's clocks."""
        return day(instant, self.timezone, self.locale)


def day_of_year(month: int, day_: int) -> str | None:
    """Write a day of the year as MM-DD; None for one that no year has."""
    try:
        return date(LEAP_YEAR, month, day_).strftime("%m-%d")
    except ValueError:
        return None


# --- Rewards --------------------------------------------------------------------------------------


class Card(NamedTuple):
    """One reward as the page shows it."""

    id: str
    name: str
    gets: str
    points: str  # what it costs
    cost: int
    ready: bool
    note: str  # why not, or how much is missing
    have: int  # for the bar, never more than it costs
    progress: str
    steps: int  # they can pay for at once


def card(reader: Reader, offer: Offer, available: int) -> Card:
    """Show an offer to somebody with so many whole points."""
    reward = offer.reward
    have = max(0, min(available, reward.points))
    if offer.obstacle is None:
        note = reader.say("ready")
    elif offer.obstacle == "points":
        note = reader.say("missing", points=reader.points(reward.points - available))
    else:
        note = hindrance(reader, offer.obstacle, reward, available)
    return Card(
        id=offer.id,
        name=reward.name,
        gets=gets(reader, reward),
        points=reader.points(reward.points),
        cost=reward.points,
        ready=offer.obstacle is None,
        note=note,
        have=have,
        progress=reader.say("progress", have=reader.number(have), points=reader.points(reward.points)),
        steps=offer.most_steps,
    )


def hindrance(reader: Reader, obstacle: str, reward: Reward, available: int, steps: int = 1) -> str:
    """Say why somebody cannot have a reward."""
    return reader.say(
        f"obstacle_{obstacle}",
        day=reader.day(reward.starts_at) if reward.starts is not None else "",
        tiers=", ".join(reader.tiers.get(one, one) for one in reward.tiers),
        points=reader.points(max(0, reward.points * steps - available)),
    )


def gets(reader: Reader, reward: Reward, steps: int = 1, value_minor: int | None = None) -> str:
    """Say what a reward is; its name alone where the merchant hands it over."""
    if reward.kind == "by_hand":
        return reader.say("by_hand")
    kind = reward.kind
    if kind == "promotion_code":
        kind = "percentage_off" if reward.percent else "amount_off"
    minor = int((reward.value * steps).scaleb(exponent(reader.currency))) if value_minor is None else value_minor
    return reader.say(f"gets_{kind}", money=reader.money(minor), percent=reader.number(reward.percent))


def conditions(reader: Reader, reward: Reward) -> list[str]:
    """List what holds for a reward, in sentences."""
    said = []
    if reward.min_order:
        said.append(reader.say("min_order", money=reader.amount(reward.min_order)))
    if (reward.products and reward.kind != "free_product") or reward.collections:
        said.append(reader.say("only_some"))
    if reward.kind in CODES:
        said.append(reader.say("once"))
    if reward.kind in ("amount_off", "percentage_off") and not reward.with_order_discounts:
        said.append(reader.say("alone"))
    if reward.valid_days:
        said.append(reader.say("valid", days=reader.number(reward.valid_days)))
    else:
        said.append(reader.say("valid_ever"))
    if reward.ends is not None:
        said.append(reader.say("until", day=reader.day(reward.ends_at - 1)))
    if reward.per_customer is not None:
        said.append(reader.say("per_customer", n=reader.number(reward.per_customer)))
    return said


def choices(offer: Offer) -> list[int]:
    """List how many steps of an incremental reward a page lets choose from."""
    if not offer.reward.incremental or offer.most_steps < 2:
        return []
    few = list(range(1, min(offer.most_steps, MOST_STEPS_SHOWN) + 1))
    return few if few[-1] == offer.most_steps else [*few, offer.most_steps]


class Coupon(NamedTuple):
    """A reward somebody has, as the page shows it."""

    number: int
    name: str
    gets: str
    code: str | None
    hint: str  # what to do with it
    instructions: str
    link: str | None  # applies it at the shop
    until: str
    left: str  # of money that was used in part
    state: str  # said where there is nothing to use (any more), else empty
    can_return: bool
    points: str


def coupon(reader: Reader, one: Taken, acts: bool = True) -> Coupon:
    """Show a reward somebody has; its code, which can be used by whoever knows it, to who may act alone."""
    code = one.code if one.state == "issued" and acts and one.reward.kind not in ON_ACCOUNT else None
    at_shop = code is not None and one.reward.kind in CODES and one.shop is not None
    until = reader.say("good_until", day=reader.day(one.expires_at)) if one.expires_at else reader.say("good_ever")
    hint = reader.say("apply_how" if one.typed else "show_code")
    if one.reward.kind in CODES and one.reward.min_order:
        hint = f"{hint} {reader.say('min_order', money=reader.amount(one.reward.min_order))}"
    return Coupon(
        number=one.number,
        name=one.reward.name,
        gets=gets(reader, one.reward, one.steps, one.value_minor or None),
        code=code,
        hint=hint,
        instructions=one.reward.instructions if code is not None else "",
        link=f"https://{one.shop}/discount/{code}?redirect=/" if at_shop else None,
        until=until if one.state == "issued" else "",
        left=_left(reader, one),
        state="" if code is not None else _state(reader, one),
        can_return=acts and returnable(one),
        points=reader.points(one.points),
    )


def _left(reader: Reader, one: Taken) -> str:
    """Say how much is left of money of which a part was used."""
    if one.state != "issued" or one.left_minor is None or one.left_minor == one.value_minor:
        return ""
    whole = reader.money(one.value_minor, one.currency)
    return reader.say("left_of", left=reader.money(one.left_minor, one.currency), whole=whole)


def returnable(one: Taken) -> bool:
    """Tell whether a reward can be given back unused: a code, or what the shop has yet to hand over."""
    return one.state == "issued" and (one.reward.kind in CODES or one.reward.kind == "by_hand")


def _state(reader: Reader, one: Taken) -> str:
    if one.state != "issued":
        return reader.say(f"state_{one.state}")
    return reader.say("on_account" if one.reward.kind in ON_ACCOUNT else "hidden")


# --- Tiers ----------------------------------------------------------------------------------------


class Rank(NamedTuple):
    """Where somebody stands on the ladder, as the page shows it."""

    name: str  # empty = on none of its steps yet
    perks: str  # the shop's own words
    times: str  # how many times the points
    kept: str  # until when, and what it takes to keep it
    next: str  # what is missing to the next step, empty = there is none
    brings: str  # what that step brings, in lines
    have: int  # for the bar
    takes: int
    progress: str
    counts: str  # what counts, over which time


def rank(reader: Reader, place: Place) -> Rank:
    """Show where somebody stands, and how far it is to the next step."""
    name = place.tier.name if place.tier is not None else ""
    kept = ""
    if place.falls_at is not None and place.to_keep:
        values = {"missing": _amount(reader, place, place.to_keep), "day": reader.day(place.falls_at)}
        kept = reader.say("tier_falls", tier=name, **values)
    elif place.until is not None:
        kept = reader.say("tier_kept", tier=name, day=reader.day(place.until))
    missing, have, takes, progress, brings = "", 0, 0, "", ""
    if place.next is not None:
        have, takes = min(place.have, place.next.takes), place.next.takes
        missing = reader.say("tier_next", tier=place.next.name, missing=_amount(reader, place, takes - have))
        if gains := [each for each in (times(reader, place.next.multiplier), place.next.perks) if each]:
            brings = "\n".join([reader.say("tier_brings", tier=place.next.name), *gains])
        progress = reader.say(
            "progress", have=_amount(reader, place, have, bare=True), points=_amount(reader, place, takes)
        )
    return Rank(
        name=name,
        perks=place.tier.perks if place.tier is not None else "",
        times=times(reader, place.tier.multiplier) if place.tier is not None else "",
        kept=kept,
        next=missing,
        brings=brings,
        have=have,
        takes=takes,
        progress=progress,
        counts=reader.say(f"tier_{place.by}_{place.over}"),
    )


def times(reader: Reader, multiplier: Decimal) -> str:
    """Say how many times the points a tier brings; nothing for once."""
    return reader.say("tier_times", times=reader.number(multiplier)) if multiplier != 1 else ""


def _amount(reader: Reader, place: Place, count: int, bare: bool = False) -> str:
    if place.by == "spend":
        return reader.money(count)
    return reader.number(count) if bare else reader.points(count)


# --- Friends --------------------------------------------------------------------------------------


class Friends(NamedTuple):
    """What bringing friends brings somebody, as the page shows it."""

    text: str
    code: str | None  # of the link
    can_ask: bool
    over: str
    coming: str
    brought: str


def friends(reader: Reader, one: Invitation) -> Friends:
    """Show what both sides get, the link, and what came of it."""
    welcome = gets(reader, one.welcome)
    least = reader.say("min_order", money=reader.amount(one.welcome.min_order)) if one.welcome.min_order else ""
    text = reader.say("friends_text", points=reader.points(one.points), welcome=welcome)
    return Friends(
        text=f"{text} {least}".strip(),
        code=one.code,
        can_ask=one.state == "new",
        over=reader.say("friends_over") if one.state == "over" else "",
        coming=reader.say("friends_coming", n=reader.number(one.coming)) if one.coming else "",
        brought=reader.say("friends_brought", n=reader.number(one.brought)) if one.brought else "",
    )


# --- History --------------------------------------------------------------------------------------


class Line(NamedTuple):
    """One thing that happened to somebody's points."""

    at: int
    day: str
    title: str
    words: str  # the shop's own
    change: str  # empty where nothing was won or lost
    gained: bool


def line(reader: Reader, one: Moved, rewards: Mapping[int, str]) -> Line | None:
    """Say what an entry was; None for a test, and for what the entry after it tells."""
    if one.test or one.reason in NOT_SHOWN or (one.total == 0 and one.reason in ("move", "merge", "redeemed")):
        return None
    reason = one.reason
    if reason == "adjustment":
        reason = "given" if one.total >= 0 else "taken"
    if f"did_{reason}" not in reader.words:
        reason = "other"
    order = reader.say("order", name=one.order) if one.order else reader.say("purchase")
    reward = rewards.get(redemption_of(one.key), reader.say("a_reward"))
    title = reader.say(f"did_{reason}", points=reader.points(abs(one.points)), order=order, reward=reward)
    return Line(
        at=one.at,
        day=reader.day(one.at),
        title=title[0].upper() + title[1:],
        words=one.words or "",
        change=reader.signed(one.total) if one.total else "",
        gained=one.total > 0,
    )


def redemption_of(key: str) -> int:
    """Return the number of the reward an entry was posted for; 0 = none."""
    kind, _, rest = key.partition(":")
    number = rest.partition(":")[0]
    return int(number) if kind == "redeem" and number.isascii() and number.isdigit() else 0
