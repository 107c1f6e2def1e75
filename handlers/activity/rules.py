"""What events are called, what their fate means and what to do about it, and bodies written so that they do no harm."""

import json
from typing import Literal, NamedTuple

MOST_SHOWN = 200_000  # characters of a body
MOST_SOUGHT = 200  # characters of a search
STATES = ("amiss", "failed", "waiting", "suspect", "open", "applied", "unhandled")

State = Literal["failed", "waiting", "suspect", "open", "applied", "unhandled"]


class Fate(NamedTuple):
    """What became of an event, for people: a word, its tone, what it means, and what to do."""

    words: str
    tone: str
    meaning: str
    todo: str = ""


FATES: dict[str, Fate] = {
    "open": Fate("In hand", "info", "It came in and is being worked, or will be in a moment."),
    "applied": Fate("Done", "success", "What it told is in the books: sales, points and messages follow from it."),
    "unhandled": Fate("Not needed", "", "It tells nothing this program uses."),
    "waiting": Fate(
        "Waits for more",
        "warning",
        "It says too little by itself.",
        "Mostly another event tells the rest and nothing is to be done. If many wait, see whether Connections shows a"
        " lost key, then replay them.",
    ),
    "suspect": Fate(
        "Not trusted",
        "warning",
        "It came under your shop's name, but what it says belongs elsewhere. It had no effect.",
        "If you have just changed your shop's domain, replay it. Otherwise leave it: nothing is missing in your books.",
    ),
    "failed": Fate(
        "Given up",
        "critical",
        "It could not be worked. What it told has had no effect.",
        "Replay it: what was wrong is often mended by then. If it fails again, send us its number and the reason.",
    ),
}

FILTERS: tuple[tuple[str, str], ...] = (
    ("", "All events"),
    ("amiss", "Needs a look"),
    ("failed", "Given up"),
    ("waiting", "Waits for more"),
    ("suspect", "Not trusted"),
    ("open", "In hand"),
    ("applied", "Done"),
    ("unhandled", "Not needed"),
)

# Topics in words, by their beginning; what is not here is shown as it is.
_TOPICS = (
    ("orders/create", "Order placed"),
    ("orders/paid", "Order paid"),
    ("orders/updated", "Order changed"),
    ("orders/edited", "Order edited"),
    ("orders/cancelled", "Order cancelled"),
    ("orders/fulfilled", "Order sent"),
    ("orders/partially_fulfilled", "Part of an order sent"),
    ("orders/delete", "Order deleted"),
    ("orders/recovered", "Order found by asking"),
    ("refunds/create", "Refund"),
    ("fulfillment", "Parcel"),
    ("customers/merge", "Customers merged"),
    ("customers/data_request", "Request for a customer's data"),
    ("customers/redact", "Request to forget a customer"),
    ("customers_", "Consent to marketing"),
    ("customers/", "Customer"),
    ("disputes/", "Dispute"),
    ("shop/redact", "Request to forget the shop"),
    ("shop/", "Shop settings"),
    ("app/", "Installation"),
    ("charge.dispute", "Dispute"),
    ("charge.refund", "Refund"),
    ("charge.", "Payment"),
    ("refund.", "Refund"),
    ("payment_intent.", "Payment"),
    ("checkout.session.", "Checkout"),
    ("invoice", "Invoice"),
    ("customer.", "Customer"),
    ("discounts/", "Discount"),
    ("promotion_code.", "Discount code"),
    ("account.", "Installation"),
    ("apps.", "Installation"),
    ("dispute.", "Dispute found by asking"),
)


def topic_in_words(topic: str) -> str:
    """Name what an event tells of."""
    bare = topic.removeprefix("v1.")  # Stripe's references begin so
    return next((words for beginning, words in _TOPICS if bare.startswith(beginning)), topic)


def who_in_words(who: str) -> str:
    """Name who changed or saw something, from how the journal writes it."""
    way, _, name = who.partition(":")
    if way == "shopify":
        return f"Shopify user {name}"
    if way == "link":
        return f"{name} (by sign-in link)"
    return {"command": "The operator, by command", "app": "The program itself"}.get(way, who)


def sought_names(text: str) -> tuple[str, ...]:
    """Say by what names an order may be known that somebody seeks as `1042` or `#1042`, in small letters."""
    text = text.strip().lower()[:MOST_SOUGHT]
    if not text:
        return ()
    bare = text.removeprefix("#")
    return tuple(dict.fromkeys((text, bare, f"#{bare}"))) if bare else (text,)


def readable(body: bytes) -> str:
    """Write a body for reading: JSON on many lines, else as it is; what cannot be seen is written as an escape.

    Cut off after MOST_SHOWN characters.
    """
    try:
        text = json.dumps(json.loads(body), ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        text = body[: MOST_SHOWN * 4].decode("utf-8", "backslashreplace")
    shown = text[:MOST_SHOWN]
    # Letters that turn the direction of writing, or show nothing, could make a text read as another.
    safe = "".join(c if c.isprintable() or c == "\n" else f"\\u{ord(c):04x}" for c in shown)
    return safe if len(text) <= MOST_SHOWN else f"{safe}\n… cut off here"
