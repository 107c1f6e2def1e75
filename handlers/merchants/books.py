"""What the hot path reads of merchants: shops with programmes, and the locked row that gives out numbers."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from handlers.merchants.rules import Program, Shop, Version
from integration.database.steps import BIG, TEXT, Steps, ask, insert, keyed

# Parsed programmes kept, by their text: versions are immutable and most merchants share the defaults.
KEPT_PROGRAMS = 4096

_MERCHANTS = keyed(
    "SELECT m.id, m.name, m.currency, m.timezone, m.country, m.email, m.closed_at, m.messages_paused_at,"
    " c.platform, c.closed_at"
    " FROM {keys} k CROSS JOIN merchants m"
    " LEFT JOIN connections c ON c.merchant_id = m.id"
    " WHERE m.id = k.merchant_id",
    merchant_id=BIG,
)
_VERSIONS = keyed(
    "SELECT p.merchant_id, p.version, p.in_force_at, p.document"
    " FROM {keys} k CROSS JOIN program_versions p WHERE p.merchant_id = k.merchant_id"
    " ORDER BY p.merchant_id, p.version",
    merchant_id=BIG,
)
_LOCK = keyed(
    "SELECT b.merchant_id, b.next_customer, b.next_sale, b.next_entry, b.head"
    " FROM {keys} k CROSS JOIN books b WHERE b.merchant_id = k.merchant_id ORDER BY b.merchant_id",
    postgres_suffix=" FOR UPDATE OF b",
    merchant_id=BIG,
)
_SAVE = insert(
    "books",
    "ON CONFLICT (merchant_id) DO UPDATE SET next_customer = excluded.next_customer,"
    " next_sale = excluded.next_sale, next_entry = excluded.next_entry, head = excluded.head",
    merchant_id=BIG,
    next_customer=BIG,
    next_sale=BIG,
    next_entry=BIG,
    head=TEXT,
)


@dataclass(slots=True)
class Counters:
    """The next numbers of one merchant while their books are locked; taking one leaves no gap once saved."""

    merchant_id: int
    next_customer: int
    next_sale: int
    next_entry: int
    head: str = ""  # chained digest of the ledger's entries so far
    read: tuple[int, int, int, str] = field(default=(0, 0, 0, ""), repr=False)

    def take_customer(self) -> int:
        """Hand out the next customer number."""
        self.next_customer += 1
        return self.next_customer - 1

    def take_sale(self) -> int:
        """Hand out the next sale number."""
        self.next_sale += 1
        return self.next_sale - 1

    def take_entry(self) -> int:
        """Hand out the next ledger entry number."""
        self.next_entry += 1
        return self.next_entry - 1

    @property
    def now(self) -> tuple[int, int, int, str]:
        return self.next_customer, self.next_sale, self.next_entry, self.head


def lock_books(merchant_ids: Iterable[int]) -> Steps[dict[int, Counters]]:
    """Lock the merchants' books in ascending order until the transaction ends, and return their next numbers.

    A merchant without books is left out.
    """
    keys = [(merchant_id,) for merchant_id in sorted(set(merchant_ids))]
    rows = yield from ask(_LOCK, keys)
    return {row[0]: Counters(row[0], row[1], row[2], row[3], row[4], row[1:]) for row in rows}


def save_books(counters: Iterable[Counters]) -> Steps[None]:
    """Write back the numbers of those locked books that moved; counts as read from then on."""
    moved = sorted((c for c in counters if c.now != c.read), key=lambda c: c.merchant_id)
    yield from ask(_SAVE, [(c.merchant_id, *c.now) for c in moved])
    for c in moved:
        c.read = c.now


def shops(merchant_ids: Iterable[int]) -> Steps[dict[int, Shop]]:
    """Load what settling needs of these merchants, programme versions and all; unknown ones are left out."""
    keys = [(merchant_id,) for merchant_id in sorted(set(merchant_ids))]
    versions: dict[int, list[Version]] = {}
    for merchant_id, number, in_force_at, document in (yield from ask(_VERSIONS, keys)):
        versions.setdefault(merchant_id, []).append(Version(number, in_force_at, parse_program(document)))
    found: dict[int, Shop] = {}
    platforms: dict[int, set[str]] = {}
    closed: dict[int, dict[str, int]] = {}
    rows = yield from ask(_MERCHANTS, keys)
    for id_, *_, platform, left_at in rows:
        opened, left = platforms.setdefault(id_, set()), closed.setdefault(id_, {})
        if platform is not None and left_at is None:
            opened.add(platform)
        elif platform is not None:
            left[platform] = max(left_at, left.get(platform, 0))
    for id_, name, currency, timezone, country, email, closed_at, paused_at, *_ in rows:
        found[id_] = Shop(
            id=id_,
            name=name,
            currency=currency,
            timezone=timezone,
            country=country,
            email=email,
            closed_at=closed_at,
            paused_at=paused_at,
            platforms=frozenset(platforms[id_]),
            versions=tuple(versions.get(id_, ())),
            closed={platform: at for platform, at in closed[id_].items() if platform not in platforms[id_]},
        )
    return found


@lru_cache(maxsize=KEPT_PROGRAMS)
def parse_program(document: str) -> Program:
    """Read a stored programme; the same text is parsed once."""
    return Program.model_validate_json(document)
