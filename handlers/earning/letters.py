"""Tells people of the points an occasion brought them: a birthday, another year, an account, an order of theirs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from handlers.earning import store
from handlers.earning.rules import ANNIVERSARY, BIRTHDAY, FRESH, GIFT, MESSAGES, is_day, message_keys, tells
from handlers.merchants.rules import Program
from handlers.messages.kinds import Content, Occasion, is_told_otherwise
from handlers.messages.letters import choose_words, fill, number, words_file
from handlers.messages.outbox import Later, Never
from handlers.points.rules import MICRO
from handlers.points.statement import balances
from integration.database.steps import Steps

WORDS = {name: Path(__file__).parent / "templates" / f"{name}.toml" for name in set(MESSAGES.values())}


@dataclass(slots=True)
class GiftLetter:
    """A kind of letter about points for an occasion: it can be unsubscribed from and obeys the cap."""

    name: str
    words: Path
    promotes: bool  # a day like every other: a reason to write, and none to be written to
    placeholders: frozenset[str]
    transactional: bool = False
    solicits: bool = False

    def off(self, program: Program) -> str | None:
        """Tell whether the merchant wants people to be told."""
        return None if tells(program.ways, self.name) else "letters about points for occasions are switched off"

    def compose(self, occasion: Occasion) -> Steps[Content | Later | Never]:
        """Look at what is left of the gift by now: an order it was for may have gone back."""
        shop, person = occasion.shop, occasion.person
        what = occasion.message.key.split(":", 3)[3]
        if (yield from is_told_otherwise(occasion, message_keys(what, person.numbers))):
            return Never("cancelled", "they are told of this already, under a number they had before")
        given = yield from store.given((shop.id, n) for n in person.numbers)
        mine = [one for rows in given.values() for one in rows if one.occasion == what]
        points = sum(one.available for one in mine) // MICRO
        if points < 1:
            return Never("cancelled", "its points were taken back")
        if is_day(what) and occasion.now >= min(one.at for one in mine) + FRESH:
            return Never("cancelled", "the day is past")
        balance = (yield from balances(shop.id, [person.number]))[person.number]["available"]
        words = choose_words(occasion.program, self.name, occasion.language, self.words)
        values = {
            "first_name": person.first_name,
            "shop_name": shop.name,
            "points": number(points, occasion.locale),
            "balance": number(max(0, balance), occasion.locale),
            "reason": _reason(what, occasion),
        }
        values = {name: value for name, value in values.items() if name in self.placeholders}
        return self.example(fill(words.subject, values), fill(words.body, values), occasion.language, values)

    def example(self, subject: str, body: str, language: str, values: Mapping[str, str]) -> Content:
        """Set words with nothing around them."""
        return Content(subject, body)


def _reason(what: str, occasion: Occasion) -> str:
    """Say what a gift is for; the words of a day say so themselves."""
    if is_day(what):
        return ""
    kind, _, place = what.partition(":")
    ours = words_file(WORDS[MESSAGES[kind]])
    words = ours.get(occasion.language) or ours["en"]
    return str(words[kind]).replace("{n}", number(int(place or 0), occasion.locale))


_PLACEHOLDERS = frozenset({"first_name", "shop_name", "points", "balance"})
LETTERS = (
    GiftLetter(BIRTHDAY, WORDS[BIRTHDAY], True, _PLACEHOLDERS),
    GiftLetter(ANNIVERSARY, WORDS[ANNIVERSARY], True, _PLACEHOLDERS),
    GiftLetter(GIFT, WORDS[GIFT], False, _PLACEHOLDERS | {"reason"}),
)
