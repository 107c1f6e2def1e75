"""The programme in words: its settings as a shop owner thinks of them, and what differs between two versions."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from babel import Locale
from babel.dates import format_date
from babel.numbers import format_currency, format_decimal

from handlers.merchants.naming import named
from handlers.merchants.offers import Reward
from handlers.merchants.rules import Campaign, Program

MOST_NAMED = 8  # entries of a list that are named in a difference; the others are counted

Kind = Literal[
    "switch", "decimal", "whole", "duration", "choice", "window", "text", "email", "words", "countries", "products",
    "channels", "rates", "campaigns", "catalogue", "notices",
]  # fmt: skip


class Setting(NamedTuple):
    """One setting of the programme: how it is asked for, and what a change of it touches.

    `touches` is `sales` (those made from then on; earlier ones keep the version they were made under), `waiting` (every
    message that has not gone out yet), `points` (those people have already) or `rewards` (what points buy).
    """

    key: str
    label: str
    kind: Kind
    hint: str = ""
    unit: str = ""
    options: tuple[tuple[str, str], ...] = ()
    touches: Literal["sales", "waiting", "points", "rewards"] = "sales"


class Group(NamedTuple):
    """Settings that belong together; `what` names the preview there is of them."""

    name: str
    title: str
    lead: str
    settings: tuple[Setting, ...]
    what: str = ""


CHANNELS = (
    ("web", "Online store"),
    ("pos", "Point of sale"),
    ("shopify_draft_order", "Draft orders"),
    ("subscription_contract", "Subscriptions"),
    ("iphone", "Shopify app on iPhone"),
    ("android", "Shopify app on Android"),
)
UNITS = (("minutes", 1), ("hours", 60), ("days", 1440))

GROUPS = (
    Group(
        "earning",
        "Earning points",
        "What a purchase brings your customer. A sale keeps the rules it was made under, whatever you change later.",
        (
            Setting("earning.enabled", "Customers earn points on what they buy", "switch"),
            Setting(
                "earning.points_per_unit",
                "Points for each {unit} spent",
                "decimal",
                "Three is usual. Half points are kept and add up: 1.5 works too.",
                "points",
            ),
            Setting(
                "earning.include_tax",
                "Tax earns points too",
                "switch",
                "Off: points are counted on prices without tax, also where your prices include it.",
            ),
            Setting("earning.include_shipping", "Shipping earns points too", "switch"),
            Setting(
                "earning.hold_days",
                "Points can be spent after",
                "whole",
                "As long as your return window, so that nobody spends points of goods they send back. 0: at once.",
                "days",
            ),
            Setting(
                "earning.exclude_products",
                "Products that earn nothing",
                "products",
                "One a line: the product’s number, or its address in your admin. Gift cards never earn.",
            ),
            Setting(
                "earning.exclude_tags",
                "Order tags that earn nothing",
                "words",
                "With commas between, such as: wholesale, staff",
            ),
            Setting("earning.exclude_channels", "Sales channels that earn nothing", "channels"),
            Setting(
                "earning.rates",
                "Sales in other currencies",
                "rates",
                "One a line, such as: EUR 1.08, if one euro is worth 1.08 {currency}. Without a line, a sale in that"
                " currency earns nothing.",
            ),
            Setting(
                "earning.notify_reductions",
                "Tell customers when their points go down",
                "switch",
                "After a refund, for instance. Only about points that they could have spent already.",
            ),
        ),
        "earning",
    ),
    Group(
        "campaigns",
        "Bonus campaigns",
        "More points for a while. Of two that fit a product at the same time, the one that gives more counts, alone.",
        (Setting("earning.campaigns", "Campaign", "campaigns"),),
    ),
    Group(
        "rewards",
        "Rewards",
        "What customers get for their points. The page on which they take them is not here yet. Who has taken one keeps"
        " it as it was, whatever you change later.",
        (
            Setting("rewards.enabled", "Customers can spend points on rewards", "switch", touches="rewards"),
            Setting("rewards.catalogue", "Reward", "catalogue", touches="rewards"),
            Setting(
                "rewards.return_expired", "Points of a code that lapses unused come back", "switch", touches="rewards"
            ),
        ),
        "rewards",
    ),
    Group(
        "expiry",
        "Points that expire",
        "Off, points are good for ever. Some places, Ontario and Quebec among them, allow no expiry but after a time"
        " without a purchase, and want people to be told before.",
        (
            Setting("expiry.enabled", "Points expire", "switch", touches="points"),
            Setting(
                "expiry.after",
                "When",
                "choice",
                options=(
                    ("inactivity", "All of a person’s points, so long after they last bought or spent points"),
                    ("age", "Each purchase’s points, so long after they could first be spent"),
                ),
                touches="points",
            ),
            Setting("expiry.months", "After", "whole", unit="months", touches="points"),
            Setting("expiry.remind", "Tell people before", "switch", "By e-mail.", touches="points"),
            Setting(
                "expiry.notice_days",
                "So many days before",
                "notices",
                "Up to three numbers, such as: 45, 7. Quebec wants one notice from 30 to 60 days before.",
                "days",
                touches="points",
            ),
        ),
        "expiry",
    ),
    Group(
        "thanks",
        "Thank-you notes",
        "A short personal note after a purchase, without advertising. Its words are on the Messages page.",
        (
            Setting("thanks.enabled", "Send thank-you notes", "switch"),
            Setting(
                "thanks.when",
                "For which purchases",
                "choice",
                options=(
                    ("milestones", "The first, third and tenth, and once a year"),
                    ("every", "Every purchase"),
                ),
            ),
            Setting("thanks.delay_minutes", "How long after the purchase", "duration"),
        ),
        "thanks",
    ),
    Group(
        "reviews",
        "Review requests",
        "The same neutral question to every buyer, once the goods have arrived. Nobody is chosen by whether they"
        " seem pleased.",
        (
            Setting("reviews.enabled", "Ask for reviews", "switch"),
            Setting(
                "reviews.days_after_delivery", "After the carrier’s word that it was delivered", "whole", unit="days"
            ),
            Setting(
                "reviews.days_after_fulfilment",
                "Without the carrier’s word: after it was sent, at home",
                "whole",
                unit="days",
            ),
            Setting(
                "reviews.days_after_fulfilment_abroad",
                "Without the carrier’s word: after it was sent, abroad",
                "whole",
                unit="days",
            ),
            Setting("reviews.days_digital", "After a purchase that is not shipped", "whole", unit="days"),
            Setting("reviews.days_point_of_sale", "After a purchase in your shop", "whole", unit="days"),
            Setting(
                "reviews.remind_after_days",
                "One reminder, if there is no answer, after",
                "whole",
                "0: no reminder.",
                "days",
                touches="waiting",
            ),
            Setting("reviews.ask_about_returns", "Ask about goods that were sent back, too", "switch"),
        ),
        "reviews",
    ),
    Group(
        "sending",
        "When messages may go out",
        "What does not fit waits; nothing is dropped. Notices about someone’s own points are sent at once within these"
        " hours.",
        (
            Setting(
                "messages.window",
                "Hours, by the customer’s own clock",
                "window",
                touches="waiting",
            ),
            Setting(
                "messages.cap_hours",
                "One message to the same person in",
                "whole",
                "0: no such pause.",
                "hours",
                touches="waiting",
            ),
            Setting(
                "messages.cap_fortnight",
                "And in 14 days at most",
                "whole",
                "0: no such limit.",
                "messages",
                touches="waiting",
            ),
            Setting(
                "messages.opt_in_countries",
                "Countries in which a review request needs consent first",
                "countries",
                "Two letters each, with commas between, such as: DE, AT",
                touches="waiting",
            ),
        ),
    ),
    Group(
        "sender",
        "Who messages are from",
        "Your own address is more familiar to customers. Its domain has to allow it: see the Connections page.",
        (
            Setting("messages.from_name", "Name", "text", "Empty: your shop’s name.", touches="waiting"),
            Setting(
                "messages.from_address",
                "Address",
                "email",
                "Empty: the address this service sends from.",
                touches="waiting",
            ),
            Setting(
                "messages.reply_to",
                "Answers go to",
                "email",
                "Somebody should read them. Empty: to the address above.",
                touches="waiting",
            ),
        ),
    ),
)
TABLES = frozenset({"campaigns", "catalogue"})
"""Kinds of settings that hold many things, each with an id and a key of its own: `earning.campaigns.spring`."""
SETTINGS: Mapping[str, Setting] = {setting.key: setting for group in GROUPS for setting in group.settings}
GROUP_OF: Mapping[str, Group] = {setting.key: group for group in GROUPS for setting in group.settings}


class Reader(NamedTuple):
    """Who reads the words: how numbers are written for them, what the shop's money is, what products are called."""

    locale: str
    currency: str
    products: Mapping[str, str] = {}  # product id -> title


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


def setting_of(program: Program, key: str) -> Any:
    """Return the value of a setting by its dotted key."""
    section, _, name = key.partition(".")
    return getattr(getattr(program, section), name)


def setting_named(key: str) -> Setting | None:
    """Return the setting a key is, or is a part of; None for what the page does not show."""
    return SETTINGS.get(key) or SETTINGS.get(key.rpartition(".")[0])


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
        case "switch":
            return "on" if value else "off"
        case "decimal":
            return f"{_number(value, reader)} {setting.unit}".strip()
        case "whole":
            return _counted(value, setting.unit, reader)
        case "duration":
            name, factor = next(((u, f) for u, f in reversed(UNITS) if value and value % f == 0), UNITS[0])
            return _counted(value // factor, name, reader)
        case "choice":
            return dict(setting.options).get(value, str(value))
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
        ("for", [reader.products.get(each, f"product {each}") for each in one.products]),
        ("on orders tagged", list(one.tags)),
        ("from", [dict(CHANNELS).get(each, each) for each in one.channels]),
    ):
        if listed:
            words.append(f"{name} {_listed(listed)}")
    return " ".join(words)


KINDS_OF_REWARDS = (
    ("amount_off", "Money off an order", "shopify"),
    ("percentage_off", "A percentage off an order", "shopify"),
    ("free_shipping", "Free shipping", "shopify"),
    ("free_product", "A free product", "shopify"),
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
        words.append("and any multiple")
    if one.min_order:
        words.append(f"on orders from {_money(one.min_order, reader)}")
    if one.products:
        words.append(f"for {_listed([reader.products.get(each, f'product {each}') for each in one.products])}")
    if one.valid_days:
        words.append(f"good for {_counted(one.valid_days, 'days', reader)}")
    if one.stock is not None:
        words.append(f"{_counted(one.stock, 'times', reader)} in all")
    if one.per_customer is not None:
        words.append(f"{_counted(one.per_customer, 'times', reader)} a customer")
    return ", ".join(words) + ("" if one.enabled else " (not offered)")


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


def _counted(value: int, units: str, reader: Reader) -> str:
    return f"{format_decimal(value, locale=reader.locale)} {units if value != 1 else units.removesuffix('s')}"


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
