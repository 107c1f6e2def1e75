"""What a customer is told when their points were changed by hand: by how many, why, and what they have now."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from handlers.merchants.rules import Program
from handlers.messages.kinds import Content, Occasion
from handlers.messages.letters import choose_words, fill, number
from handlers.messages.outbox import Later, Never
from handlers.points.rules import MICRO, account
from integration.database.steps import BIG, TEXT, Steps, ask, keyed

KIND = "points_adjusted"
WORDS = Path(__file__).parent / "templates" / "points_adjusted.toml"

_AVAILABLE = keyed(
    "SELECT COALESCE(SUM(a.micropoints), 0) FROM {keys} k CROSS JOIN accounts a"
    " WHERE a.merchant_id = k.merchant_id AND a.account = k.account",
    merchant_id=BIG,
    account=TEXT,
)


class Adjusted(msgspec.Struct, frozen=True):
    """What the letter carries: whole points with their sign, and the merchant's reason."""

    points: int
    reason: str


class PointsAdjusted:
    """The kind `points_adjusted`: about what is owed alone, and nothing to buy."""

    name = KIND
    transactional = True
    solicits = False
    promotes = False
    words = WORDS
    placeholders = frozenset({"first_name", "shop_name", "points", "reason", "balance"})

    def off(self, program: Program) -> str | None:
        """Never: whose points are changed by hand is told."""
        return None

    def compose(self, occasion: Occasion) -> Steps[Content | Later | Never]:
        """Tell of the change, and of the balance as it is by now."""
        told = msgspec.json.decode(occasion.message.details, type=Adjusted)
        names = [(occasion.shop.id, account(n, "available")) for n in occasion.person.numbers]
        rows = yield from ask(_AVAILABLE, names)
        return say(occasion, told, int(rows[0][0]) // MICRO)

    def example(self, subject: str, body: str, language: str, values: Mapping[str, str]) -> Content:
        """Set words with nothing around them, as `compose` does."""
        return Content(subject=subject, body=body)


def say(occasion: Occasion, told: Adjusted, balance: int) -> Content:
    """Write the letter about a change that leaves so many points."""
    words = choose_words(occasion.program, KIND, occasion.language, WORDS)
    sign = "+" if told.points > 0 else "−"
    values = {
        "first_name": occasion.person.first_name,
        "shop_name": occasion.shop.name,
        "points": sign + number(abs(told.points), occasion.locale),
        "reason": told.reason,
        "balance": number(balance, occasion.locale),
    }
    return Content(subject=fill(words.subject, values), body=fill(words.body, values))
