"""Tells people of their tier: that they reached one, that one will be lost and what keeps it, that one has ended."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from handlers.merchants.rules import Program, Shop
from handlers.merchants.tiering import Tier, Tiers
from handlers.messages.kinds import Content, Occasion, is_told_otherwise
from handlers.messages.letters import choose_words, day, fill, money, number, words_file
from handlers.messages.outbox import Later, Never
from handlers.tiers.rules import ENDING, LOST, REACHED, in_force, news_keys
from handlers.tiers.settle import Placed, placed
from handlers.tiers.views import whole
from integration.clock import DAY
from integration.database.steps import Steps

WORDS: Mapping[str, Path] = {
    name: Path(__file__).parent / "templates" / f"{name}.toml" for name in (REACHED, ENDING, LOST)
}
SLACK = 2 * DAY  # a warning may come a little early where the clocks of two machines differ


@dataclass(slots=True)
class TierLetter:
    """A kind of letter about tiers: it can be unsubscribed from and obeys the cap, and asks for nothing."""

    name: str
    words: Path
    placeholders: frozenset[str]
    transactional: bool = False
    solicits: bool = False
    promotes: bool = False

    def off(self, program: Program) -> str | None:
        """Tell whether there are tiers at all, and whether the merchant wants people to be told of theirs."""
        if not program.tiers.enabled:
            return "tiers are switched off"
        return None if program.tiers.tell else "letters about tiers are switched off"

    def compose(self, occasion: Occasion) -> Steps[Content | Later | Never]:
        """Look at where the person stands by now: what was bought meanwhile may have changed it."""
        shop, now = occasion.shop, occasion.now
        kind, _, _, tail = occasion.message.key.split(":", 3)
        if (yield from is_told_otherwise(occasion, news_keys(kind, occasion.person.numbers, tail))):
            return Never("cancelled", "they are told of this already, under a number they had before")
        found = yield from placed({shop.id: shop}, [(shop.id, occasion.person.number)], now)
        one = next(iter(found.values()), None)
        tiers = in_force(shop.versions, now)
        name = occasion.message.key.split(":")[3]
        tier = tiers.ladder.get(name)
        if one is None or tier is None:
            return Never("cancelled", "this tier is not there any more")
        if (why := self._is_overtaken(one, name, occasion)) is not None:
            return Never("cancelled", why)
        words = choose_words(occasion.program, self.name, occasion.language, self.words)
        values = {
            "first_name": occasion.person.first_name,
            "shop_name": shop.name,
            "tier": tier.name,
            "lost_on": day(one.shown.falls_at, occasion.timezone, occasion.locale),
            "missing": _missing(one, shop, tiers, occasion),
        }
        values = {name: value for name, value in values.items() if name in self.placeholders}
        subject, body = fill(words.subject, values), fill(words.body, values)
        return Content(subject, body, note=self._note(tier, tiers.ladder.get(one.shown.tier or ""), occasion.language))

    def example(self, subject: str, body: str, language: str, values: Mapping[str, str]) -> Content:
        """Set words with nothing around them: perks are each tier's own."""
        return Content(subject, body)

    def _is_overtaken(self, one: Placed, tier: str, occasion: Occasion) -> str | None:
        """Say why there is nothing to tell any more; None where there is."""
        has_it, falls_at = one.shown.tier == tier, one.shown.falls_at
        if self.name == LOST:
            return "they have it again" if has_it else None
        if not has_it:
            return "they have another tier by now"
        days = int(occasion.message.key.rpartition(":")[2])
        if self.name == ENDING and (falls_at is None or falls_at > occasion.now + days * DAY + SLACK):
            return "their tier is kept for longer by now"
        return None

    def _note(self, tier: Tier, has: Tier | None, language: str) -> str:
        if self.name == REACHED:
            return tier.perks
        if self.name == LOST and has is not None:
            ours = words_file(self.words)
            return str((ours.get(language) or ours["en"])["now"]).replace("{tier}", has.name)
        return ""


def _missing(one: Placed, shop: Shop, tiers: Tiers, occasion: Occasion) -> str:
    """Say what is missing for keeping a tier: money, or points with the word for them."""
    missing = whole(shop, tiers, one.shown.missing, up=True)
    if tiers.by == "spend":
        return money(missing, shop.currency, occasion.locale)
    ours = words_file(WORDS[ENDING])
    words = ours.get(occasion.language) or ours["en"]
    return str(words["points"]).replace("{number}", number(missing, occasion.locale))


LETTERS = (
    TierLetter(REACHED, WORDS[REACHED], frozenset({"first_name", "shop_name", "tier"})),
    TierLetter(ENDING, WORDS[ENDING], frozenset({"first_name", "shop_name", "tier", "lost_on", "missing"})),
    TierLetter(LOST, WORDS[LOST], frozenset({"first_name", "shop_name", "tier"})),
)
