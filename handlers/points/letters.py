"""Tells people some time before points of theirs lapse: how many, from which day on, and nothing to buy."""

from collections.abc import Mapping
from pathlib import Path

from handlers.merchants.rules import Program
from handlers.messages.kinds import Content, Occasion, is_told_otherwise
from handlers.messages.letters import choose_words, day, fill, number, words_file
from handlers.messages.outbox import Later, Never
from handlers.points.expiry import KIND, end_of_month, notice_keys
from handlers.points.purses import lots_of, purse
from handlers.points.rules import MICRO
from integration.clock import DAY
from integration.database.steps import Steps

WORDS: Path = Path(__file__).parent / "templates" / "points_expiring.toml"
SLACK = 2 * DAY  # a notice may come a little early where the clocks of two machines differ, never a month


class PointsExpiring:
    """The kind `points_expiring`: it can be unsubscribed from and obeys the cap, and advertises nothing."""

    name = KIND
    transactional = False
    solicits = False
    promotes = False
    words = WORDS
    placeholders = frozenset({"first_name", "shop_name", "points", "balance", "expires_on"})

    def off(self, program: Program) -> str | None:
        """Tell whether points lapse at all, and whether the merchant wants people to be told."""
        if not program.expiry.enabled:
            return "points do not expire any more"
        return None if program.expiry.remind else "notices about points that expire are switched off"

    def compose(self, occasion: Occasion) -> Steps[Content | Later | Never]:
        """Look at the points as they are now: what was bought or spent meanwhile may have put off the day."""
        shop, now = occasion.shop, occasion.now
        mine = yield from purse(shop, occasion.person.number)
        lots = lots_of(shop, mine, now) if mine is not None else None
        tail = ":".join(occasion.message.key.split(":")[3:])
        if (yield from is_told_otherwise(occasion, notice_keys(occasion.person.numbers, tail))):
            return Never("cancelled", "they are told of this already, under a number they had before")
        days = int(occasion.message.key.rpartition(":")[2])
        if lots is None or lots.next_at is None or lots.next_at > now + days * DAY + SLACK:
            return Never("cancelled", "their points are good for longer by now, or spent")
        points = lots.lapsing_before(end_of_month(lots.next_at)) // MICRO
        if points < 1:
            return Never("cancelled", "less than a point would expire")
        words = choose_words(occasion.program, KIND, occasion.language, WORDS)
        values = {
            "first_name": occasion.person.first_name,
            "shop_name": shop.name,
            "points": number(points, occasion.locale),
            "balance": number(sum(lot.micropoints for lot in lots.left) // MICRO, occasion.locale),
            "expires_on": day(lots.next_at, occasion.timezone, occasion.locale),
        }
        subject, body = fill(words.subject, values), fill(words.body, values)
        if occasion.program.expiry.after == "inactivity":
            # There a purchase keeps all points good: saying so is part of saying what happens to them.
            return self.example(subject, body, occasion.language, values)
        return Content(subject, body)

    def example(self, subject: str, body: str, language: str, values: Mapping[str, str]) -> Content:
        """Set the words, with what keeps the points under them."""
        ours = words_file(WORDS)
        return Content(subject, body, note=(ours.get(language) or ours["en"])["note"])
