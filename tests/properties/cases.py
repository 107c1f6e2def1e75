"""Every case of the rules by name, and the choices a story has."""

from typing import Any

BUYERS = ("account", "guest", "household", "merged", "moved", "unverified", "nobody")
LIVES = ("account", "merge", "failed merge", "moves", "stripe", "stripe moves", "leaves", "consent")
BEGINNINGS = ("paid", "authorized", "pending", "partially_paid", "foreign")
ORDER_STEPS = (
    "pieces", "all", "discrepancy", "money only", "shipping refund", "pending refund", "store credit", "exchange",
    "edit up", "edit down", "cancel", "reopen", "delete", "dispute", "inquiry", "ship", "touch", "pending money",
)  # fmt: skip
WAYS = ("checkout", "intent", "old charge", "invoice", "manual capture", "later", "fails", "authorised only")
STRIPE_CURRENCIES = ("eur", "isk", "jpy")
PAYMENT_STEPS = ("refund", "failed refund", "pending refund", "all", "dispute", "inquiry", "odd")
COURSES = (
    ["needs_response"],
    ["needs_response", "under_review"],
    ["needs_response", "under_review", "won"],
    ["needs_response", "lost"],
    ["under_review", "lost"],
)
CAMPAIGNS = ("double", "extra", "product", "tag", "channel", "two at once")
LINKS = ("note", "metadata", "none", "none twice")
NOISES = (
    "shop",
    "scopes",
    "discount",
    "unknown",
    "thin",
    "plan",
    "privacy",
    "redaction",
    "expired session",
    "reward code",
    "lonely refund",
    "lonely session",
)

MOST_STORIES = 4
MOST_STEPS = 4
ACCOUNT = "acct_corner"
RATES = ["1", "3", "0.5", "2.25", "0.333333", "0.01"]
CURRENCIES = ["USD", "USD", "EUR", "JPY", "KWD"]

Plan = dict[str, list[Any]]


def cases() -> dict[str, tuple[str, Plan]]:
    """Every case of the rules by name: which story tells it, and what is planned for it."""
    found: dict[str, tuple[str, Plan]] = {}
    for step in ORDER_STEPS:
        found[f"order: {step}"] = ("order", {"step": [step]})
        found[f"order: {step} twice"] = ("order", {"step": [step, step]})
    for course in COURSES:
        found[f"order: dispute {' '.join(course)}"] = ("order", {"step": ["dispute"], "course": [course]})
        found[f"payment: dispute {' '.join(course)}"] = ("payment", {"payment step": ["dispute"], "course": [course]})
    for begin in BEGINNINGS[1:4]:
        for end in ("paid", "voided", "expired", "stays"):
            found[f"order: {begin} then {end}"] = ("order", {"begin": [begin], "end": [end]})
    found["order: foreign"] = ("order", {"begin": ["foreign"]})
    found["order: test"] = ("order", {"test": [True]})
    for line in ("gift card", "tip"):
        found[f"order: {line}"] = ("order", {"line": [line, "goods"], "step": ["all"]})
    for buyer in BUYERS:
        found[f"buyer: {buyer}"] = ("order", {"buyer": [buyer]})
    for life in LIVES:
        found[f"person: {life}"] = ("person", {"life": [life]})
    for way in WAYS:
        found[f"payment: {way}"] = ("payment", {"way": [way]})
    for step in PAYMENT_STEPS:
        found[f"payment: {step}"] = ("payment", {"payment step": [step]})
        found[f"payment: {step} twice"] = ("payment", {"payment step": [step, step]})
    for currency in STRIPE_CURRENCIES:
        found[f"payment: {currency}"] = ("payment", {"currency": [currency]})
    found["payment: not livemode"] = ("payment", {"live": [False]})
    for campaign in CAMPAIGNS:
        for step in ("pieces", "discrepancy"):
            plan = {"campaign": [campaign], "line": ["goods", "goods"], "step": [step]}
            found[f"campaign: {campaign}, then {step}"] = ("order", plan)
    found["campaign: product, then dispute"] = ("order", {"campaign": ["product"], "step": ["dispute"]})
    found["campaign: double, then payment"] = ("payment", {"campaign": ["double"], "payment step": ["refund"]})
    for link in LINKS:
        found[f"twins: {link}"] = ("twins", {"link": [link]})
    for link in LINKS:
        found[f"milestones: {link}"] = ("milestones", {"when": ["milestones"], "link": [link], "buyer": ["guest"]})
    for noise in NOISES:
        found[f"noise: {noise}"] = ("noise", {"noise": [noise]})
    for platform in ("shopify", "stripe"):
        found[f"left: {platform}"] = ("leaves", {"leaves": [platform]})
    return found


CASES = cases()
