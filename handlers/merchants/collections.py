"""What lies in the collections that campaigns name, since when and until when: as we noticed, never as we guess."""

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import Column, Index, Integer, Table, Text, text

from handlers.merchants.rules import Stay
from integration.database.schema import Instant, Number, metadata
from integration.database.steps import BIG, TEXT, Steps, ask, insert, keyed, plain

LOOK = "collections.look"  # the job that asks shops what is in them
MOST_SHOWN = 1_000  # collections of one merchant

# Only those that a campaign of some version of the programme names.
collections = Table(
    "collections",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("collection", Text, primary_key=True),  # its number at Shopify
    Column("title", Text),  # as the shop calls it; null = never seen
    Column("products", Integer),  # how many, when it was last read
    Column("known_at", Instant),  # when it was first read; null = what is in it is not known
    Column("read_at", Instant),  # when it was last read
    Column("problem", Text),  # why it was not read the last time: gone, too_big, refused, away; null = it was
    Column("due_at", Instant),  # when it is read next; null = no campaign to come needs it
    Column("claim", Text),  # of whoever reads it now
    Column("stir_from", Instant),  # since when sales are settled again, now that it is known; null = that is done
)
_TO_READ = text("due_at IS NOT NULL")
Index(
    "ix_collections_due",
    collections.c.merchant_id,
    collections.c.due_at,
    collections.c.collection,
    sqlite_where=_TO_READ,
    postgresql_where=_TO_READ,
)

# Rows are only ever added and closed: what a sale earned is worked out again from what lay where when it was made.
collection_products = Table(
    "collection_products",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("product", Text, primary_key=True),
    Column("collection", Text, primary_key=True),
    Column("from_at", Instant, primary_key=True, autoincrement=False),  # 0 = when the collection was first read
    Column("until_at", Instant),  # null = it still lies there
)
_STILL = text("until_at IS NULL")
# It starts with what it is for: see sales.
Index(
    "ix_collection_products_now",
    collection_products.c.collection,
    collection_products.c.merchant_id,
    sqlite_where=_STILL,
    postgresql_where=_STILL,
)

_WANT = insert(
    "collections",
    "ON CONFLICT (merchant_id, collection) DO UPDATE SET due_at = excluded.due_at",
    merchant_id=BIG,
    collection=TEXT,
    due_at=BIG,
)
_STAYS = keyed(
    "SELECT p.merchant_id, p.product, p.collection, p.from_at, p.until_at"
    " FROM {keys} k CROSS JOIN collection_products p"
    " WHERE p.merchant_id = k.merchant_id AND p.product = k.product"
    " ORDER BY p.merchant_id, p.product, p.from_at, p.collection",
    merchant_id=BIG,
    product=TEXT,
)
_ALL = plain(
    "SELECT collection, title, products, known_at, read_at, problem FROM collections"
    " WHERE merchant_id = ?1 ORDER BY collection LIMIT ?2"
)


class Seen(NamedTuple):
    """A collection as far as we know it."""

    title: str | None
    products: int | None
    known_at: int | None  # when it was first read
    read_at: int | None
    problem: str | None


def want(merchant_id: int, named: Iterable[str], now: int) -> Steps[None]:
    """Have what is in these collections read, at once."""
    yield from ask(_WANT, [(merchant_id, collection, now) for collection in sorted(named)])


def stays_of(products: Iterable[tuple[int, str]]) -> Steps[dict[int, dict[str, list[Stay]]]]:
    """Say where products lay, by (merchant, product id); those that lay in no collection that matters are left out."""
    found: dict[int, dict[str, list[Stay]]] = {}
    for merchant_id, product, *stay in (yield from ask(_STAYS, sorted(products))):
        found.setdefault(merchant_id, {}).setdefault(product, []).append(Stay(*stay))
    return found


def seen_of(merchant_id: int) -> Steps[dict[str, Seen]]:
    """Return the collections that campaigns of a merchant name or have named, by number."""
    rows = yield from ask(_ALL, (merchant_id, MOST_SHOWN))
    return {collection: Seen(*seen) for collection, *seen in rows}
