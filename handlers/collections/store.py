"""What was read of collections, written in one go; and which of them are to be read."""

from collections.abc import Iterable

from handlers.collections.rules import Read, Unread, concerned_since, next_look
from handlers.merchants.books import lock_books, shops
from handlers.sales.books import stir_sold_since
from integration.database.shares import numbers_due
from integration.database.steps import BIG, TEXT, Steps, ask, insert, keyed, plain

DUE = numbers_due("collections", number="collection")

_CONNECTION = plain(
    "SELECT id, account FROM connections WHERE merchant_id = ?1 AND platform = 'shopify' AND closed_at IS NULL"
    " AND revoked_at IS NULL AND token IS NOT NULL ORDER BY id LIMIT 1"
)
_CLAIM = plain(
    "UPDATE collections SET claim = ?3, due_at = ?4"
    " WHERE merchant_id = ?1 AND collection = ?2 AND due_at IS NOT NULL AND due_at <= ?5"
)
_CLAIMED = plain("SELECT known_at FROM collections WHERE merchant_id = ?1 AND collection = ?2 AND claim = ?3")
_IN_IT = plain(
    "SELECT product FROM collection_products WHERE collection = ?2 AND merchant_id = ?1 AND until_at IS NULL"
)
_NO_MORE = keyed(
    "UPDATE collection_products SET until_at = k.at FROM {keys} k WHERE collection_products.merchant_id = k.merchant_id"
    " AND collection_products.product = k.product AND collection_products.collection = k.collection"
    " AND collection_products.until_at IS NULL",
    merchant_id=BIG,
    product=TEXT,
    collection=TEXT,
    at=BIG,
)
# A clock that was set back to the very instant may have written the row before.
_FROM_NOW_ON = insert(
    "collection_products",
    "ON CONFLICT (merchant_id, product, collection, from_at) DO NOTHING",
    merchant_id=BIG,
    product=TEXT,
    collection=TEXT,
    from_at=BIG,
)
_WAS_READ = plain(
    "UPDATE collections SET title = ?3, products = ?4, known_at = coalesce(known_at, ?5), read_at = ?5, problem = NULL,"
    " due_at = ?6, claim = NULL, stir_from = coalesce(stir_from, ?7) WHERE merchant_id = ?1 AND collection = ?2"
)
_WAS_NOT_READ = plain(
    "UPDATE collections SET title = coalesce(?3, title), products = coalesce(?4, products), problem = ?5, due_at = ?6,"
    " claim = NULL WHERE merchant_id = ?1 AND collection = ?2"
)
_TO_STIR = plain("SELECT stir_from FROM collections WHERE merchant_id = ?1 AND collection = ?2")
_STIRRED = plain("UPDATE collections SET stir_from = NULL WHERE merchant_id = ?1 AND collection = ?2")


def connection_of(merchant_id: int) -> Steps[tuple[int, str] | None]:
    """Return the connection that lets us read a merchant's collections, and its shop; None where there is none."""
    rows = yield from ask(_CONNECTION, (merchant_id,))
    return (rows[0][0], rows[0][1]) if rows else None


def claim(merchant_id: int, collection: str, token: str, now: int, until: int) -> Steps[bool]:
    """Take a collection that is due, until an instant; False where another process has."""
    return bool((yield from ask(_CLAIM, (merchant_id, collection, token, until, now)))[0][0])


def keep(merchant_id: int, collection: str, token: str, told: Read | Unread, now: int) -> Steps[bool]:
    """Write what came of reading a claimed collection, all of it; False where another process has it by now.

    What was there the first time counts from the beginning; what came or went later from now on.
    """
    yield from lock_books([merchant_id])
    claimed = yield from ask(_CLAIMED, (merchant_id, collection, token))
    shop = (yield from shops([merchant_id])).get(merchant_id)
    if not claimed or shop is None:
        return False
    problem = told.problem if isinstance(told, Unread) else None
    due_at = next_look(shop.versions, shop.current, collection, now, problem)
    if isinstance(told, Unread):
        yield from ask(_WAS_NOT_READ, (merchant_id, collection, told.title, told.products, told.problem, due_at))
        return True
    is_first = claimed[0][0] is None
    before = {row[0] for row in (yield from ask(_IN_IT, (merchant_id, collection)))}
    came, went = sorted(told.products - before), sorted(before - told.products)
    yield from ask(_NO_MORE, [(merchant_id, product, collection, now) for product in went])
    yield from ask(_FROM_NOW_ON, [(merchant_id, product, collection, 0 if is_first else now) for product in came])
    since = concerned_since(shop.versions, collection) if is_first else None
    row = (merchant_id, collection, told.title, len(told.products), now, due_at, since)
    yield from ask(_WAS_READ, row)
    if (came or went) and not is_first:
        # A platform's clock may run ahead of ours: what was sold after this may have been settled already.
        yield from stir_sold_since(merchant_id, now, now)
    return True


def to_stir(merchant_id: int, collection: str) -> Steps[int | None]:
    """Say since when sales have still to be settled again because a collection is known by now."""
    rows = yield from ask(_TO_STIR, (merchant_id, collection))
    return rows[0][0] if rows else None


def stirred(merchant_id: int, collection: str) -> Steps[None]:
    """Keep that all of them are."""
    yield from ask(_STIRRED, (merchant_id, collection))


def put_off(merchant_id: int, named: Iterable[str], now: int) -> Steps[None]:
    """Keep that there is no shop to ask about these collections, and when to look again."""
    shop = (yield from shops([merchant_id])).get(merchant_id)
    for collection in sorted(named):
        due_at = next_look(shop.versions, shop.current, collection, now, "unconnected") if shop is not None else None
        yield from ask(_WAS_NOT_READ, (merchant_id, collection, None, None, "unconnected", due_at))
