"""The settings of the programme as a shop owner thinks of them: in groups, with what each is called and what helps."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from handlers.merchants.rules import Program

Kind = Literal[
    "switch", "decimal", "limit", "whole", "duration", "choice", "window", "text", "email", "words", "countries",
    "products", "channels", "rates", "campaigns", "catalogue", "ladder", "day", "notices", "places",
]  # fmt: skip


class Setting(NamedTuple):
    """One setting of the programme: how it is asked for, and what a change of it touches.

    `touches` is `sales` (those made from then on; earlier ones keep the version they were made under), `waiting` (every
    message that has not gone out yet), `points` (those people have already), `rewards` (what points buy), `tiers` (who
    has which) or `page` (how customers' own page looks).
    """

    key: str
    label: str
    kind: Kind
    hint: str = ""
    unit: str = ""
    options: tuple[tuple[str, str], ...] = ()
    touches: Literal["sales", "waiting", "points", "rewards", "tiers", "page"] = "sales"


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
                "earning.most_per_unit",
                "Never more points for each {unit} than",
                "limit",
                "Whatever campaigns and tiers come to together. Empty: no limit.",
                "points",
            ),
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
        "ways",
        "More ways to earn",
        "Points for occasions beside purchases, each given once. They count for no tier. An occasion keeps the rules of"
        " its day: whatever is switched on now brings nothing for days that are past.",
        (
            Setting("ways.sign_up", "For opening an account in your shop", "switch", "A guest’s checkout is none."),
            Setting("ways.sign_up_points", "An account brings", "whole", unit="points"),
            Setting(
                "ways.first_order",
                "For the first order",
                "switch",
                "They wait as long as the order’s own points, and go with it if it comes back.",
            ),
            Setting("ways.first_order_points", "The first order brings", "whole", unit="points"),
            Setting("ways.milestones", "For round numbers of orders", "switch"),
            Setting(
                "ways.milestone_points",
                "Which orders",
                "places",
                "One a line: the order’s number and its points, such as: 5 100. Orders that came back do not count.",
                "points",
            ),
            Setting(
                "ways.birthday",
                "For a birthday",
                "switch",
                "Customers tell day and month on their own page, never the year.",
            ),
            Setting("ways.birthday_points", "A birthday brings", "whole", unit="points"),
            Setting(
                "ways.birthday_notice_days",
                "It must have been known for",
                "whole",
                "So that nobody’s birthday is the day on which they enter it.",
                "days",
            ),
            Setting(
                "ways.anniversary",
                "For each year since the first order",
                "switch",
                "To customers who bought something within the last two years.",
            ),
            Setting("ways.anniversary_points", "Each year brings", "whole", unit="points"),
            Setting(
                "ways.tell_days",
                "Write to people on these days",
                "switch",
                "On birthdays and on the day of the first order, with the points they got. Only to customers who agreed"
                " to marketing e-mail, in your shop or on their own page.",
            ),
            Setting(
                "ways.tell_gifts",
                "Tell people of points for an account or for orders",
                "switch",
                "By e-mail, once they can spend them.",
            ),
            Setting(
                "ways.goodwill_at_once",
                "A present from you is at most",
                "whole",
                "What you may give one customer as a present, on their page. Corrections have no such limit.",
                "points",
            ),
            Setting("ways.goodwill_a_year", "And within twelve months", "whole", unit="points"),
        ),
        "ways",
    ),
    Group(
        "rewards",
        "Rewards",
        "What customers get for their points: they choose on their own page, which every message leads to. Who has"
        " taken one keeps it as it was, whatever you change later.",
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
        "tiers",
        "Tiers",
        "Who buys much, or often, becomes a regular: silver, gold, or what you call it. A refund takes no tier away at"
        " once, and nobody falls by more than one step at a time.",
        (
            Setting("tiers.enabled", "Customers can reach tiers", "switch", touches="tiers"),
            Setting(
                "tiers.by",
                "What counts",
                "choice",
                "Both without what goes back, and only once points of a purchase could be spent.",
                options=(
                    ("spend", "What they spend on goods that earn points"),
                    ("points", "The points they earn, without campaigns and tiers"),
                ),
                touches="tiers",
            ),
            Setting(
                "tiers.over",
                "Of which time",
                "choice",
                options=(
                    ("rolling_12_months", "The last 12 months"),
                    ("calendar_year", "The calendar year"),
                    ("lifetime", "All time"),
                ),
                touches="tiers",
            ),
            Setting("tiers.ladder", "Tier", "ladder", touches="tiers"),
            Setting(
                "tiers.kept_months",
                "A tier is kept for",
                "whole",
                "From the day it is reached, then as long again for who has bought enough.",
                "months",
                touches="tiers",
            ),
            Setting(
                "tiers.grace_days",
                "And then, before it is lost, for another",
                "whole",
                "Who buys enough in these days keeps it. After them it goes down one step.",
                "days",
                touches="tiers",
            ),
            Setting(
                "tiers.grandfather",
                "Who has a tier when you change these terms keeps it for as long as it was promised",
                "switch",
                touches="tiers",
            ),
            Setting(
                "tiers.keep_until",
                "And at least until",
                "day",
                "For those who would have another tier by new terms. Empty: no longer than was promised.",
                touches="tiers",
            ),
            Setting(
                "tiers.tell",
                "Tell people by e-mail",
                "switch",
                "When they reach a tier, 60 and 30 days before they lose one, and when it has ended. Not when you"
                " change these terms, or give a tier by hand.",
                touches="tiers",
            ),
        ),
        "tiers",
    ),
    Group(
        "page",
        "Customers’ own page",
        "Where they see and spend their points: every message leads to it, and it stands at your shop’s own address.",
        (
            Setting(
                "page.colour",
                "Your colour",
                "text",
                "Such as #1f5c46. Where it is too light for words, a darker shade of it is used. Empty: ours.",
                touches="page",
            ),
            Setting(
                "page.logo",
                "Your logo",
                "text",
                "The link of a picture from Content, Files in your Shopify admin. Empty: your shop’s name.",
                touches="page",
            ),
        ),
    ),
    Group(
        "referrals",
        "Friends who bring friends",
        "Customers find a link on their own page. A friend who opens it gets a code of their own, and who sent it gets"
        " points once the friend’s first order can no longer be returned. Who has a code keeps it as it was.",
        (
            Setting(
                "referrals.enabled",
                "Customers get points for bringing a friend",
                "switch",
                "Never for themselves or people who bought before. A code works once. Stripe takes it for first"
                " purchases only; Shopify cannot tell, so there somebody who bought before can use one, too: it brings"
                " nobody points, and after five such orders the link is closed.",
            ),
            Setting("referrals.points", "For each friend, who brought them gets", "whole", unit="points"),
            Setting(
                "referrals.gift",
                "The friend’s code takes off",
                "choice",
                options=(
                    ("amount_off", "Money, at the Shopify checkout"),
                    ("percentage_off", "A percentage, at the Shopify checkout"),
                    ("promotion_code", "Money, where you sell with Stripe"),
                ),
            ),
            Setting("referrals.gift_value", "How much", "decimal", "In your currency, or per cent."),
            Setting(
                "referrals.min_order",
                "The friend’s order is at least",
                "decimal",
                "Before the code is taken off; 0: any order.",
            ),
            Setting("referrals.valid_days", "The friend’s code holds for", "whole", unit="days"),
            Setting("referrals.most_a_month", "At most", "whole", "Of one customer, in a month.", "friends"),
            Setting(
                "referrals.most_in_all",
                "And in all",
                "whole",
                "After so many orders with it a customer’s link stops working, in case it gets about.",
                "friends",
            ),
        ),
        "referrals",
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
TABLES = frozenset({"campaigns", "catalogue", "ladder"})
"""Kinds of settings that hold many things, each with an id and a key of its own: `earning.campaigns.spring`."""
SETTINGS: Mapping[str, Setting] = {setting.key: setting for group in GROUPS for setting in group.settings}


def setting_of(program: Program, key: str) -> Any:
    """Return the value of a setting by its dotted key."""
    section, _, name = key.partition(".")
    return getattr(getattr(program, section), name)


def setting_named(key: str) -> Setting | None:
    """Return the setting a key is, or is a part of; None for what the page does not show."""
    return SETTINGS.get(key) or SETTINGS.get(key.rpartition(".")[0])
