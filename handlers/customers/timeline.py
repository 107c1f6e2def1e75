"""A person's timeline: what every capability knows of somebody, merged newest first, one page at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from handlers.merchants.rules import Shop
from integration.database.steps import Steps

PAGE = 30  # items of one page
MOST_CURSOR = 500  # characters
LATEST = 2**62  # later than any instant
# In a statement about customer ?2 of merchant ?1: that number and those that mean it since a merge.
SELF = (
    "SELECT CAST(?2 AS bigint) UNION ALL"
    " SELECT c.number FROM customers c WHERE c.merchant_id = ?1 AND c.merged_into = ?2"
)


class Bound(NamedTuple):
    """Where a source's page begins: strictly before this instant and, at it, with a lesser key."""

    at: int
    key: str = ""  # "" = nothing of that instant


@dataclass(frozen=True, slots=True)
class Whose:
    """Whose timeline it is, and how the one who looks reads money and days."""

    shop: Shop
    number: int
    numbers: tuple[int, ...]  # `number` and those merged into it
    addresses: tuple[str, ...]  # every name consent may be kept under
    now: int
    money: Callable[[int, str | None], str]
    day: Callable[[int], str]


class Badge(NamedTuple):
    """One or two words that stand out, and how: `success`, `info`, `warning`, `critical` or `plain`."""

    words: str
    tone: str = "plain"


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that happened or will happen to somebody; all of it is plain text."""

    at: int
    key: str  # unique within its source, ordering what happened at one instant
    what: str  # order, refund, dispute, points, message, review, consent or note
    title: str
    badge: Badge | None = None
    details: tuple[str, ...] = ()
    points: int | None = None  # whole points this changed, with its sign
    sale: int | None = None  # whose reckoning explains it
    letter: str | None = None  # key of the message that can be looked at
    test: bool = False


class Source(Protocol):
    """What one capability adds to timelines; named once in the list of sources."""

    name: str  # without a dot

    def items(self, whose: Whose, before: Bound, limit: int) -> Steps[Sequence[Item]]:
        """List at most `limit` items below the bound, by instant and key, the newest first."""
        ...


class Page(NamedTuple):
    """One page of a timeline, and the cursor of what follows; None = that was all."""

    items: tuple[Item, ...]
    after: str | None


class _Cursor(NamedTuple):
    at: int
    rank: int  # of the source of the last item shown
    key: str

    def bound_of(self, rank: int) -> Bound:
        """Say where another page of a source begins: of one instant, sources of a higher rank were shown before."""
        if rank == self.rank:
            return Bound(self.at, self.key)
        return Bound(self.at) if rank > self.rank else Bound(self.at + 1)


def gather(sources: Sequence[Source], whose: Whose, after: str | None = None) -> Steps[Page]:
    """Merge the next page of all sources; a cursor that cannot be read begins at the newest.

    Of one instant, what a later source says stands above what an earlier one says.
    """
    cursor = _read(after, [source.name for source in sources])
    found: list[tuple[Item, int]] = []
    for rank, source in enumerate(sources):
        bound = cursor.bound_of(rank) if cursor is not None else Bound(LATEST)
        items = yield from source.items(whose, bound, PAGE + 1)
        found += [(item, rank) for item in items]
    # A stable sort: what one source says of one instant stays in that source's own order.
    found.sort(key=lambda pair: (pair[0].at, pair[1]), reverse=True)
    shown = found[:PAGE]
    more = len(found) > PAGE
    last = f"{shown[-1][0].at}.{sources[shown[-1][1]].name}.{shown[-1][0].key}" if more else None
    return Page(tuple(item for item, _ in shown), last)


def _read(text: str | None, names: Sequence[str]) -> _Cursor | None:
    if not text or len(text) > MOST_CURSOR or not text.isprintable():
        return None
    at, _, rest = text.partition(".")
    source, dot, key = rest.partition(".")
    if not dot or not at.isascii() or not at.isdigit() or len(at) > 18 or source not in names:
        return None
    return _Cursor(int(at), names.index(source), key)


def numbered(key: str) -> int:
    """Read the key of a source that counts its items; 0 where it is none."""
    return int(key) if key.isascii() and key.isdigit() and len(key) <= 18 else 0
