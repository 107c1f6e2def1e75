"""The programme in words: what each setting is set to, and what differs between two versions."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from babel import Locale
from babel.dates import format_date
from babel.numbers import format_currency, format_decimal

from handlers.merchants.asking import CHANNELS, SETTINGS, TABLES, UNITS, Setting, setting_named, setting_of
from handlers.merchants.collections import Seen
from handlers.merchants.naming import named
from handlers.merchants.offers import Reward
from handlers.merchants.rules import MOST_IN_A_COLLECTION, Campaign, Program
from handlers.merchants.tiering import Tier

MOST_NAMED = 8  # entries of a list that are named in a difference; the others are counted


class Reader(NamedTuple):
    """Who reads the words: how numbers are written for them, what the shop's money is, what products are called."""

    locale: str
    currency: str
    products: Mapping[str, str] = {}  # product id -> title
    collections: Mapping[str, str] = {}  # the same of collections, as far as they are known


# --- Differences in words -----------------------------------------------------------------------


class Change(NamedTuple):
    """One setting that differs between two programmes; `before` and `after` are values, to be put into words."""

    key: str
    before: Any
    after: Any


def changes(old: Program, new: Program) -> list[Change]:
    """List what differs, in the order of the page; settings the page does not show come last."""
    listed = []
    for key, setting in SETTINGS.items():
        before, after = setting_of(old, key), setting_of(new, key)
        if setting.kind in TABLES:
            ids = dict.fromkeys((*before, *after))
            listed += [
                Change(f"{key}.{one}", before.get(one), after.get(one))
                for one in ids
                if before.get(one) != after.get(one)
            ]
        elif before != after:
            listed.append(Change(key, before, after))
    for section in Program.model_fields:
        for name in type(getattr(old, section)).model_fields:
            key = f"{section}.{name}"
            if key == "tiers.timezone" and not (old.tiers.timezone and new.tiers.timezone):
                continue  # It is the shop's own, written down with the first tier.
            if key not in SETTINGS and setting_of(old, key) != setting_of(new, key):
                listed.append(Change(key, setting_of(old, key), setting_of(new, key)))
    return listed


def touches(listed: list[Change]) -> set[str]:
    """Say what changes touch: `sales` to come, messages `waiting`, `points` there are, and what is `stopped`."""
    found: set[str] = {"sales" if (one := setting_named(each.key)) is None else one.touches for each in listed}
    found |= {"waiting" for each in listed if each.key == "messages.words"}
    if any(each.key in ("thanks.enabled", "reviews.enabled") and each.before and not each.after for each in listed):
        found.add("stopped")
    return found


def label(key: str, reader: Reader) -> str:
    """Say in words which setting a key is; the key itself for one the page does not show."""
    if key == "messages.words":
        return "Words of messages"
    setting = setting_named(key)
    return setting.label.format(**_names(reader)) if setting is not None else key


def hint(setting: Setting, reader: Reader) -> str:
    """Return what helps with a setting, for this reader's shop."""
    return setting.hint.format(**_names(reader))


def spoken(key: str, value: Any, reader: Reader) -> str:
    """Put the value of a setting into words."""
    setting = setting_named(key)
    if setting is None:
        return _own_words(value) if key == "messages.words" else str(value)
    match setting.kind:
        case "campaigns":
            return "none" if value is None else _campaign(value, reader)
        case "catalogue":
            return "none" if value is None else reward_words(value, reader)
        case "ladder":
            return "none" if value is None else tier_words(value, reader)
        case "switch":
            return "on" if value else "off"
        case "decimal" | "limit":
            return "no limit" if value is None else _counted(value, setting.unit, reader)
        case "whole":
            return _counted(value, setting.unit, reader)
        case "duration":
            name, factor = next(((u, f) for u, f in reversed(UNITS) if value and value % f == 0), UNITS[0])
            return _counted(value // factor, name, reader)
        case "choice":
            return dict(setting.options).get(value, str(value))
        case "day":
            return _moment(value, reader) if value else "not set"
        case "window":
            return "at any hour" if value == "always" else " to ".join(value.split("-"))
        case "channels":
            return _listed([dict(CHANNELS).get(name, name) for name in value])
        case "products":
            return _listed([reader.products.get(name, f"product {name}") for name in value])
        case "words" | "countries":
            return _listed(list(value))
        case "notices":
            return _listed([_counted(days, setting.unit, reader) for days in value])
        case "places":
            return _listed(
                [f"order {place}: {_counted(points, setting.unit, reader)}" for place, points in value.items()]
            )
        case "rates":
            return _listed([f"1 {name} = {_number(rate, reader)} {reader.currency}" for name, rate in value.items()])
    return str(value) if value not in (None, "") else "not set"


def _campaign(one: Campaign, reader: Reader) -> str:
    """Say what a campaign gives, when and for what."""
    words = [f"“{one.name}”, {_moment(one.starts, reader)} to {_moment(one.ends, reader)}:"]
    if one.multiplier != 1:
        words.append(f"{_number(one.multiplier, reader)} times the points")
    if one.extra_per_unit:
        also = "and " if one.multiplier != 1 else ""
        words.append(f"{also}{_number(one.extra_per_unit, reader)} points more for each {unit(reader)}")
    for name, listed in (
        ("for", _goods(one, reader)),
        ("on orders tagged", list(one.tags)),
        ("from", [dict(CHANNELS).get(each, each) for each in one.channels]),
        ("for customers who have the tier", list(one.tiers)),
    ):
        if listed:
            words.append(f"{name} {_listed(listed)}")
    return " ".join(words)


def _goods(one: Campaign, reader: Reader) -> list[str]:
    return [
        *(reader.products.get(each, f"product {each}") for each in one.products),
        *(_collection(each, reader.collections.get(each)) for each in one.collections),
    ]


def _collection(number: str, title: str | None) -> str:
    return f"collection {number}" if title is None else f"the collection “{title}”"


def collections_said(program: Program, seen: Mapping[str, Seen], reader: Reader) -> dict[str, list[str]]:
    """Say of each campaign's collections what is known of them, by the campaign's id."""
    return {
        one: [_collection_words(each, seen.get(each), reader) for each in campaign.collections]
        for one, campaign in program.earning.campaigns.items()
        if campaign.collections
    }


def _collection_words(number: str, seen: Seen | None, reader: Reader) -> str:
    """Say what is known of a collection that a campaign names, and what that means for it; None = it is not saved."""
    title = seen.title if seen is not None else None
    called = f"Collection {number}" if title is None else f"“{title}”"
    if seen is None:
        return f"{called}: what is in it is read from your shop once this is saved. Until then it brings nothing more."
    count = _counted(seen.products or 0, "products", reader)
    still = "What was in it when it was last read still counts." if seen.known_at is not None else ""
    nothing = still or "Until then nothing in it brings more; what is sold meanwhile gets its points afterwards."
    match seen.problem:
        case "gone" if still:
            return f"{called} was deleted in your shop. {still}"
        case "gone":
            return f"Your shop has no collection {number}, so it brings nothing. Look at the number once more."
        case "too_big":
            most = _counted(MOST_IN_A_COLLECTION, "products", reader)
            return f"{called} has {count}; a campaign can be for {most} at most. {still or 'It brings nothing.'}"
        case "refused":
            return f"{called}: your shop does not let us read it. See the Connections page. {nothing}"
        case "unconnected":
            return f"{called}: no Shopify shop is connected to read it from. See the Connections page. {nothing}"
        case "away":
            return f"{called}: your shop did not answer; it is asked again in a few minutes. {nothing}"
    return f"{called}: {count}." if still else f"{called}: what is in it is being read from your shop. {nothing}"


KINDS_OF_REWARDS = (
    ("amount_off", "Money off an order", "shopify"),
    ("percentage_off", "A percentage off an order", "shopify"),
    ("free_shipping", "Free shipping", "shopify"),
    ("free_product", "A free product", "shopify"),
    ("store_credit", "Store credit", "shopify"),
    ("gift_card", "A gift card", "shopify"),
    ("promotion_code", "A promotion code at Stripe", "stripe"),
    ("balance_credit", "Credit for the next invoices", "stripe"),
    ("by_hand", "Something you hand over", ""),
)


def reward_words(one: Reward, reader: Reader) -> str:
    """Say what a reward gives, for how many points, and under which conditions."""
    what = {kind: words for kind, words, _ in KINDS_OF_REWARDS}.get(one.kind, one.kind.replace("_", " "))
    if one.value:
        what += f", {_money(one.value, reader)}"
    if one.percent:
        what += f", {_number(one.percent, reader)} %"
    words = [f"“{one.name}”: {what}", f"for {_counted(one.points, 'points', reader)}"]
    if one.incremental:
        words.append(f"and any multiple, up to {_counted(one.most_steps, 'times', reader)} at once")
    if one.min_order:
        words.append(f"on orders from {_money(one.min_order, reader)}")
    if one.products:
        words.append(f"for {_listed([reader.products.get(each, f'product {each}') for each in one.products])}")
    if one.collections:
        words.append(f"for {_listed([_collection(each, reader.collections.get(each)) for each in one.collections])}")
    if one.tiers:
        words.append(f"for customers who have the tier {_listed(list(one.tiers))}")
    if one.starts:
        words.append(f"from {_moment(one.starts, reader)}")
    if one.ends:
        words.append(f"until {_moment(one.ends, reader)}")
    if one.valid_days:
        words.append(f"good for {_counted(one.valid_days, 'days', reader)}")
    if one.stock is not None:
        words.append(f"{_counted(one.stock, 'times', reader)} in all")
    if one.per_customer is not None:
        words.append(f"{_counted(one.per_customer, 'times', reader)} a customer")
    return ", ".join(words) + ("" if one.enabled else " (not offered)")


def reward_means(one: Reward, program: Program, usual: Decimal, reader: Reader) -> list[str]:
    """Say what a reward means for the shop: what has to be bought for it, what of that goes back, the most at once.

    `usual` are the points of one of the shop's usual orders; 0 = none is known.
    """
    rate, said = program.earning.points_per_unit, []
    spent = Decimal(one.points) / rate if rate else Decimal(0)
    if spent:
        orders = f", about {_number(-(-one.points // usual), reader)} of your usual orders" if usual else ""
        each = f"{_number(rate, reader)} points for each {unit(reader)}"
        said.append(f"Customers have enough for it after buying for {_money(spent, reader)}{orders}, at {each}.")
    if spent and one.value:
        share = (one.value / spent * 100).quantize(Decimal("0.1")).normalize()
        said.append(f"{_money(one.value, reader)} of that goes back to them: {_number(share, reader)} %.")
    if one.incremental:
        most, points = one.value * one.most_steps, _counted(one.points * one.most_steps, "points", reader)
        least = f", and the smallest order stays {_money(one.min_order, reader)}" if one.min_order else ""
        said.append(f"Taken as often as it may be at once it is {_money(most, reader)} for {points}{least}.")
    if one.kind in ("amount_off", "promotion_code") and one.value and one.min_order <= one.value:
        said.append("An order can cost nothing with it: the smallest order is no higher than what it takes off.")
    if not one.enabled:
        said.append("Nobody can take it as long as it is not offered.")
    elif not program.rewards.enabled:
        said.append("Rewards are switched off on the Programme page: until they are on, nobody can take it.")
    return said


def tier_words(one: Tier, reader: Reader) -> str:
    """Say what a tier takes and what whoever has it gets; what it takes is points or money, as the programme counts."""
    words = [f"“{one.name}”: from {format_decimal(one.threshold, locale=reader.locale)}"]
    if one.multiplier != 1:
        words.append(f"{_number(one.multiplier, reader)} times the points")
    if one.entry_points:
        also = " or having it already" if one.entry_for == "everybody" else ""
        words.append(f"{_counted(one.entry_points, 'points', reader)} for reaching it{also}")
    if one.tag:
        words.append(f"the tag “{one.tag}” at Shopify")
    if one.perks:
        words.append(f"“{one.perks}”")
    return ", ".join(words)


def ways_words(program: Program, reader: Reader) -> list[str]:
    """Say for each way to earn that is switched on what it brings, to whom and when."""
    ways, said = program.ways, []

    def points(count: int) -> str:
        return _counted(count, "points", reader)

    days = program.earning.hold_days
    wait = (
        f" They can be spent {_counted(days, 'days', reader)} later, if the order does not come back." if days else ""
    )
    if ways.sign_up:
        said.append(f"Whoever opens an account gets {points(ways.sign_up_points)}, once.")
    if ways.first_order:
        said.append(f"The first order brings {points(ways.first_order_points)} more.{wait}")
    if ways.milestones:
        for place, count in ways.milestone_points.items():
            said.append(f"Order number {_number(Decimal(place), reader)} of a customer brings {points(count)} more.")
    if ways.birthday:
        known = _counted(ways.birthday_notice_days, "days", reader)
        said.append(
            f"On their birthday customers get {points(ways.birthday_points)}, once in twelve months, if they told it"
            f" {known} before. Whoever was born on 29 February gets them on the 28th in other years."
        )
    if ways.anniversary:
        said.append(
            f"On the day of their first order customers get {points(ways.anniversary_points)} each year, if they bought"
            " something within two years."
        )
    return said


def friends_words(program: Program, reader: Reader) -> list[str]:
    """Say what bringing a friend brings both sides, and what keeps it from being abused."""
    terms, days = program.referrals, program.earning.hold_days
    value = (
        f"{_number(terms.gift_value, reader)} %" if terms.gift == "percentage_off" else _money(terms.gift_value, reader)
    )
    least = f" on an order of {_money(terms.min_order, reader)} or more" if terms.min_order else ""
    wait = f" {_counted(days, 'days', reader)} after the purchase" if days else " at once"
    return [
        f"A friend gets {value} off their first order{least}, with a code of their own that works once,"
        f" within {_counted(terms.valid_days, 'days', reader)}.",
        f"Who brought them gets {_counted(terms.points, 'points', reader)}; they can be spent{wait}, and go if the"
        " order comes back.",
        f"At most {_counted(terms.most_a_month, 'friends', reader)} of one customer count in a month, and"
        f" {_counted(terms.most_in_all, 'friends', reader)} in all.",
        "Somebody’s other addresses, and people who bought before, bring nothing; friends with the same telephone"
        " number or address wait for your decision.",
    ]


def _money(value: Decimal, reader: Reader) -> str:
    return str(format_currency(value, reader.currency, locale=reader.locale))


def _moment(text: str, reader: Reader) -> str:
    """Write a day or a time of a campaign, by the clocks it is written in."""
    moment = datetime.fromisoformat(text)
    day = format_date(moment.date(), "medium", locale=reader.locale)
    return str(day) if len(text) == len("2026-11-27") else f"{day} {moment:%H:%M}"


def unit(reader: Reader) -> str:
    """Write one unit of the shop's money."""
    return str(format_currency(1, reader.currency, locale=reader.locale, format="¤#,##0", currency_digits=False))


def _names(reader: Reader) -> dict[str, str]:
    return {"unit": unit(reader), "currency": reader.currency}


def _counted(value: int | Decimal, units: str, reader: Reader) -> str:
    return f"{_number(Decimal(value), reader)} {units if value != 1 else units.removesuffix('s')}".strip()


def _number(value: Decimal, reader: Reader) -> str:
    return str(format_decimal(value, locale=reader.locale, decimal_quantization=False))


def _listed(entries: list[str]) -> str:
    if not entries:
        return "none"
    more = len(entries) - MOST_NAMED
    return ", ".join(entries[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _own_words(value: Mapping[str, Mapping[str, Any]]) -> str:
    """Name the messages whose words are the merchant's own."""
    own = [
        f"{named(kind).noun} in {Locale(language).get_display_name('en')}"
        for kind, languages in sorted(value.items())
        for language in sorted(languages)
    ]
    return f"own words for the {_listed(own)}" if own else "ours"


def who_words(who: str | None) -> str:
    """Say who wrote a version, as the journal names them."""
    if who is None:
        return "the command line"
    kind, _, name = who.partition(":")
    return f"Shopify user {name}" if kind == "shopify" else name or who
