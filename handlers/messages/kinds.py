"""The contract of a kind of message: what it is in law, whether it is still wanted, and what it says."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from handlers.merchants.rules import Program, Shop
from handlers.messages.outbox import Due, Later, Never, Next
from handlers.messages.outbox import kept as outbox_kept
from handlers.messages.people import Person
from handlers.sales.rules import SaleFacts
from integration.database.steps import Steps, ask, plain

_SALE = plain(
    "SELECT COALESCE(s.merged_into, s.number), s.facts, s.currency, s.total_minor, s.sold_at, s.merged_into,"
    " s.standing"
    " FROM sales s WHERE s.merchant_id = ?1 AND s.number = ?2"
)
MOST_JOINED = 10  # sales joined into one another that are followed
_decoder = msgspec.json.Decoder(SaleFacts)


@dataclass(frozen=True, slots=True)
class Stars:
    """A product with five links, one for each number of stars; following one rates nothing yet."""

    title: str
    links: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Content:
    """What one letter says, before it is set: words are plain text everywhere."""

    subject: str
    body: str  # paragraphs with an empty line between
    preheader: str = ""
    facts: tuple[tuple[str, str], ...] = ()  # label and value
    stars: tuple[Stars, ...] = ()
    button: tuple[str, str] | None = None  # label and address
    note: str = ""
    then: Next | None = None  # what follows once this one has gone out


class Kept(msgspec.Struct, frozen=True):
    """What a letter said once it has gone out."""

    language: str
    content: Content


def kept(content: Content, language: str) -> str:
    """Write what a letter says to be kept with its message: without its links, which are for its reader alone."""
    bare = replace(
        content,
        stars=tuple(Stars(one.title, ("#",) * len(one.links)) for one in content.stars),
        button=(content.button[0], "#") if content.button is not None else None,
        then=None,
    )
    return msgspec.json.encode(Kept(language, bare)).decode()


class Occasion(NamedTuple):
    """All a kind is told when it has to say something."""

    shop: Shop
    program: Program
    message: Due
    person: Person
    language: str
    locale: str  # for dates and money: fr_CA
    timezone: str
    now: int
    link: Callable[..., str]  # (page, *parts) -> address of a customer's page, signed


class Kind(Protocol):
    """One kind of message; named once in the list of kinds."""

    name: str
    transactional: bool  # about what is owed alone: no cap, no unsubscribing
    solicits: bool  # asks for something: some countries want consent first
    promotes: bool  # advertises: only to those who said that they want that
    words: Path  # what it says by default, by language
    placeholders: frozenset[str]  # of those merchants may use, the ones it can fill

    def off(self, program: Program) -> str | None:
        """Say in words why the merchant does not want it any more; None = they do."""
        ...

    def compose(self, occasion: Occasion) -> Steps[Content | Later | Never]:
        """Say what the letter says, or why it waits or is not sent after all."""
        ...

    def example(self, subject: str, body: str, language: str, values: Mapping[str, str]) -> Content:
        """Set words that are filled in already as a letter would, with made-up `values` for its placeholders."""
        ...


@dataclass(frozen=True, slots=True)
class Bought:
    """What a letter may tell of a sale."""

    number: int
    facts: SaleFacts
    currency: str | None
    total_minor: int
    sold_at: int | None
    products: tuple[str, ...] = field(default=())
    standing: str = "counted"


def is_told_otherwise(occasion: Occasion, keys: Iterable[str]) -> Steps[bool]:
    """Tell whether a letter of the same meaning has gone out, or is on its way, under another number of the person's.

    `keys` are its names under each number. Both may have been waiting when two customers turned out to be one. Of two
    that are sent at one moment the first by its key goes out.
    """
    mine = occasion.message.key
    found = yield from outbox_kept([(occasion.shop.id, key) for key in keys if key != mine])
    return any(one.state == "sent" or (one.state == "sending" and one.key < mine) for one in found.values())


def bought(merchant_id: int, number: int | None) -> Steps[Bought | None]:
    """Load a sale for a letter, following it where it was joined into another; None where there is none."""
    for _ in range(MOST_JOINED):
        if number is None:
            return None
        rows: Sequence[tuple[object, ...]] = yield from ask(_SALE, (merchant_id, number))
        if not rows:
            return None
        target, facts, currency, total, sold_at, merged, standing = rows[0]
        if merged is None:
            assert isinstance(facts, str) and isinstance(number, int)
            told = _decoder.decode(facts)
            titles = tuple(line.title for line in told.order.lines) if told.order is not None else ()
            return Bought(number, told, currency, total or 0, sold_at, titles, standing)  # type: ignore[arg-type]
        number = target  # type: ignore[assignment]
    return None
