"""What kinds of messages are called on pages, in differences and in the queue: here alone."""

from collections.abc import Mapping
from typing import NamedTuple


class Named(NamedTuple):
    """A kind of message in words."""

    title: str  # on top of a card, in a list
    noun: str  # in a sentence, after "the"
    nouns: str  # several of them
    when: str  # it goes out, as a sentence


# A kind that is not here is shown by its bare name; a test looks for each in the list of kinds.
MESSAGES: Mapping[str, Named] = {
    "thank_you": Named("Thank-you note", "thank-you note", "thank-you notes", "After a purchase."),
    "review_request": Named(
        "Review request", "review request", "review requests", "When the order should have arrived."
    ),
    "review_reminder": Named(
        "Review reminder", "review reminder", "review reminders", "Once, where a request was not answered."
    ),
    "points_down": Named(
        "Notice: points went down",
        "notice of fewer points",
        "notices of fewer points",
        "When a refund or a cancellation took spendable points back.",
    ),
    "points_expiring": Named(
        "Notice: points expire",
        "notice of points that expire",
        "notices of points that expire",
        "Some time before points expire, on the days the programme says.",
    ),
    "tier_reached": Named(
        "Tier reached",
        "letter about a tier that was reached",
        "letters about tiers that were reached",
        "When somebody reached a tier by what they bought.",
    ),
    "tier_ending": Named(
        "Notice: a tier will be lost",
        "notice of a tier that will be lost",
        "notices of tiers that will be lost",
        "60 and 30 days before somebody loses a tier, with what is missing to keep it.",
    ),
    "tier_lost": Named(
        "Notice: a tier has ended",
        "notice of a tier that has ended",
        "notices of tiers that have ended",
        "When somebody's tier went down a step at the end of its time.",
    ),
    "birthday_gift": Named(
        "Birthday",
        "birthday letter",
        "birthday letters",
        "On the birthday, with the points it brought; only to those who agreed to marketing e-mail.",
    ),
    "anniversary_gift": Named(
        "Anniversary",
        "anniversary letter",
        "anniversary letters",
        "Each year on the day of the first order, with the points it brought; only to those who agreed to marketing"
        " e-mail.",
    ),
    "gift": Named(
        "Points for an occasion",
        "letter about points for an occasion",
        "letters about points for an occasion",
        "When somebody can spend points for opening an account, a first order or a round number of orders.",
    ),
    "points_adjusted": Named(
        "Notice: points adjusted",
        "notice of adjusted points",
        "notices of adjusted points",
        "When you changed somebody's points by hand.",
    ),
}


def named(kind: str) -> Named:
    """Return the words for a kind of message, by its name."""
    return MESSAGES.get(kind) or Named((bare := kind.replace("_", " ")).capitalize(), bare, bare, "")
