"""A collection as the shop has it, read page by page: all of it, or nothing."""

import msgspec

from handlers.collections.rules import Read, Unread
from handlers.inbox.keys import Key
from handlers.merchants.rules import MOST_IN_A_COLLECTION
from integration.errors import Rejected, Unavailable
from integration.shopify.admin import Admin, document, refusal
from integration.shopify.answers import Page

PAGE = 250  # products, as the document asks for them
MOST_PAGES = MOST_IN_A_COLLECTION // PAGE + 1


class _Product(msgspec.Struct):
    id: str


class _Products(msgspec.Struct, rename="camel"):
    nodes: list[_Product]
    page_info: Page


class _Count(msgspec.Struct):
    count: int


class _Collection(msgspec.Struct, rename="camel"):
    title: str
    updated_at: str
    products: _Products
    products_count: _Count | None = None


async def read(admin: Admin, shop: str, key: Key, collection: str) -> Read | Unread:
    """Read a collection. Raises as `Admin.graphql` does, and Unavailable where it changed while it was read."""
    products: set[str] = set()
    after: str | None = None
    begun: str | None = None
    for _ in range(MOST_PAGES):
        page = await _page(admin, shop, key, collection, after)
        if page is None:
            return Unread("gone")
        if begun is not None and page.updated_at != begun:
            raise Unavailable(f"collection {collection} of {shop} changed while it was read", retry_after=1)
        begun = page.updated_at
        products |= {each.id.removeprefix("gid://shopify/Product/") for each in page.products.nodes}
        many = max(len(products), page.products_count.count if page.products_count is not None else 0)
        if many > MOST_IN_A_COLLECTION:
            return Unread("too_big", page.title, many)
        after = page.products.page_info.end_cursor
        if not page.products.page_info.has_next_page:
            return Read(page.title, frozenset(products))
    raise Rejected(f"collection {collection} of {shop} has pages without end")


async def _page(admin: Admin, shop: str, key: Key, collection: str, after: str | None) -> _Collection | None:
    """Ask for one page; None where the shop has no such collection."""
    variables = {"id": f"gid://shopify/Collection/{collection}", "after": after}
    answer = await admin.graphql(shop, key, document("collection"), variables)
    if answer.get("errors"):
        raise refusal(shop, answer["errors"])
    found = (answer.get("data") or {}).get("collection")
    try:
        return None if found is None else msgspec.convert(found, _Collection)
    except msgspec.ValidationError as error:
        raise Rejected(f"{shop} tells a collection in another shape: {error}") from None
