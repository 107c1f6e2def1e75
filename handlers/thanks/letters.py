"""What a thank-you note says: the merchant's words and the facts of the order, nothing to buy."""

from collections.abc import Mapping
from pathlib import Path

from handlers.merchants.rules import Earning, Program
from handlers.messages.kinds import Content, Occasion, bought
from handlers.messages.letters import choose_words, day, fill, frame_words, money, number
from handlers.messages.outbox import Later, Never
from handlers.sales.worth import worth
from handlers.thanks.rules import KIND, STANDINGS
from integration.database.steps import Steps, ask, plain

WORDS = Path(__file__).parent / "templates" / "words.toml"
_MICRO = 1_000_000

# What the sale brought the person: everything posted for it to their accounts, less what was taken back.
_POINTS = plain(
    "SELECT COALESCE(SUM(CASE WHEN destination LIKE 'customer:%' THEN micropoints ELSE 0 END"
    " - CASE WHEN source LIKE 'customer:%' THEN micropoints ELSE 0 END), 0)"
    " FROM ledger_entries WHERE merchant_id = ?1 AND sale = ?2"
)


class ThankYou:
    """The kind `thank_you`."""

    name = KIND
    transactional = False
    solicits = False
    promotes = False
    words = WORDS
    placeholders = frozenset(
        {"first_name", "shop_name", "order_name", "order_date", "order_total", "product", "points"}
    )

    def off(self, program: Program) -> str | None:
        """Tell whether notes are switched off by now."""
        return None if program.thanks.enabled else "thank-you notes were switched off"

    def compose(self, occasion: Occasion) -> Steps[Content | Later | Never]:
        """Thank for the sale, with what was bought as a footnote."""
        sale = yield from bought(occasion.shop.id, occasion.message.sale)
        if sale is None:
            return Never("cancelled", "the sale is not known any more")
        if sale.standing != "counted":
            # Settling cancels notes; this catches what changed while the note was on its way out.
            return Never("cancelled", STANDINGS.get(sale.standing, "the sale does not count"))
        if worth(sale.facts, Earning()).net_minor <= 0:
            return Never("cancelled", "it was refunded in full")
        rows = yield from ask(_POINTS, (occasion.shop.id, sale.number))
        order = sale.facts.order
        words = choose_words(occasion.program, KIND, occasion.language, WORDS)
        total = money(sale.total_minor, sale.currency, occasion.locale)
        sold_on = day(sale.sold_at, occasion.timezone, occasion.locale)
        values = {
            "first_name": occasion.person.first_name,
            "shop_name": occasion.shop.name,
            "order_name": order.name if order is not None else "",
            "order_date": sold_on,
            "order_total": total,
            "product": sale.products[0] if sale.products else "",
            "points": number(max(int(rows[0][0]) // _MICRO, 0), occasion.locale),
        }
        return self.example(fill(words.subject, values), fill(words.body, values), occasion.language, values)

    def example(self, subject: str, body: str, language: str, values: Mapping[str, str]) -> Content:
        """Set the words, with what was bought as a footnote."""
        frame = frame_words(language)
        facts = ((frame["order"], "order_name"), (frame["date"], "order_date"), (frame["total"], "order_total"))
        return Content(subject, body, facts=tuple((label, values[name]) for label, name in facts if values[name]))
