"""What a review request and its reminder say: the same neutral question to everybody."""

from collections.abc import Mapping
from pathlib import Path

from handlers.merchants.rules import Program
from handlers.messages.kinds import Bought, Content, Occasion, Stars, bought
from handlers.messages.letters import choose_words, day, fill, money, words_file
from handlers.messages.outbox import Later, Never, Next
from handlers.reviews.rules import ASKED_ABOUT, REMINDER, REQUEST, products, reminder_key
from handlers.reviews.store import answered
from integration.clock import DAY
from integration.database.steps import Steps

TEMPLATES = Path(__file__).parent / "templates"
PLACEHOLDERS = frozenset({"first_name", "shop_name", "order_name", "order_date", "order_total", "product"})


class Request:
    """The kind `review_request`; a reminder follows it."""

    name = REQUEST
    transactional = False
    solicits = True
    promotes = False
    words = TEMPLATES / f"{REQUEST}.toml"
    placeholders = PLACEHOLDERS

    def off(self, program: Program) -> str | None:
        """Tell whether requests are switched off by now."""
        return None if program.reviews.enabled else "review requests were switched off"

    def compose(self, occasion: Occasion) -> Steps[Content | Later | Never]:
        """Ask about up to three products of the order."""
        return (yield from _compose(occasion))

    def example(self, subject: str, body: str, language: str, values: Mapping[str, str]) -> Content:
        """Ask about one product, with links that lead nowhere."""
        return _set(subject, body, language, "#", (Stars(values["product"], ("#",) * 5),))


class Reminder:
    """The kind `review_reminder`: once, and only where the request was not answered."""

    name = REMINDER
    transactional = False
    solicits = True
    promotes = False
    words = TEMPLATES / f"{REMINDER}.toml"
    placeholders = PLACEHOLDERS

    def off(self, program: Program) -> str | None:
        """Tell whether requests or reminders are switched off by now."""
        reviews_ = program.reviews
        return None if reviews_.enabled and reviews_.remind_after_days else "reminders were switched off"

    def compose(self, occasion: Occasion) -> Steps[Content | Later | Never]:
        """Ask again, in fewer words."""
        return (yield from _compose(occasion))

    def example(self, subject: str, body: str, language: str, values: Mapping[str, str]) -> Content:
        """Ask about one product, with links that lead nowhere."""
        return _set(subject, body, language, "#", (Stars(values["product"], ("#",) * 5),))


def _compose(occasion: Occasion) -> Steps[Content | Never]:
    sale = yield from bought(occasion.shop.id, occasion.message.sale)
    if sale is None:
        return Never("cancelled", "the order is not known any more")
    if (yield from answered(occasion.shop.id, sale.number)):
        return Never("cancelled", "it was answered already")
    return _asking(occasion, sale)


def _asking(occasion: Occasion, sale: Bought) -> Content | Never:
    order = sale.facts.order
    # Asking again after "not arrived yet" is the first real question: it has the request's words.
    kind = REMINDER if occasion.message.key == reminder_key(occasion.message.sale or 0) else REQUEST
    returned_too = occasion.program.reviews.ask_about_returns
    lines = list(products(order, sale.facts, returned_too))[:ASKED_ABOUT] if order is not None else []
    if order is None or not lines:
        return Never("cancelled", "there is nothing to review")
    words = choose_words(occasion.program, kind, occasion.language, TEMPLATES / f"{kind}.toml")
    url = occasion.link("review", occasion.shop.id, sale.number, occasion.now // DAY)
    values = {
        "first_name": occasion.person.first_name,
        "shop_name": occasion.shop.name,
        "order_name": order.name,
        "order_date": day(sale.sold_at, occasion.timezone, occasion.locale),
        "order_total": money(sale.total_minor, sale.currency, occasion.locale),
        "product": lines[0].title,
    }
    then = None
    if occasion.message.kind == REQUEST and occasion.program.reviews.remind_after_days:
        due_at = occasion.now + occasion.program.reviews.remind_after_days * DAY
        then = Next(reminder_key(sale.number), REMINDER, due_at, occasion.message.details)
    stars = tuple(Stars(line.title, tuple(f"{url}?line={line.id}&stars={n}" for n in range(1, 6))) for line in lines)
    return _set(fill(words.subject, values), fill(words.body, values), occasion.language, url, stars, then)


def _set(
    subject: str, body: str, language: str, url: str, stars: tuple[Stars, ...], then: Next | None = None
) -> Content:
    form = words_file(TEMPLATES / "form.toml")
    spoken = form.get(language) or form["en"]
    return Content(subject, body, stars=stars, button=(spoken["open"], url), note=spoken["late"], then=then)
