"""Collections of a pretend shop: goods the merchant put together by hand, read in pages by Shopify's rules."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from integration.clock import SECOND, to_iso
from integration.sandbox.graph import MOST_A_PAGE, Node, connection
from integration.sandbox.shopify import Shop
from integration.sandbox.shopify_records import Product

MOST_COUNTED = 10_000  # beyond which Shopify says only "at least"


@dataclass(slots=True)
class Collection:
    """Some of a shop's goods under one title."""

    id: int
    title: str
    products: set[int]
    updated_at: int


@dataclass(slots=True)
class Collections:
    """What one shop has put together."""

    shop: Shop
    kept: dict[int, Collection] = field(default_factory=dict)

    def make(self, title: str, products: Iterable[Product | int]) -> Collection:
        """Put goods together under a title."""
        made = Collection(8_000_000 + len(self.kept), title, set(), self.shop.clock())
        self.kept[made.id] = made
        self.change(made, put=products)
        return made

    def change(
        self, collection: Collection, *, put: Iterable[Product | int] = (), take: Iterable[Product | int] = ()
    ) -> None:
        """Put goods into a collection by hand, and take some out."""
        collection.products |= {_number(each) for each in put}
        collection.products -= {_number(each) for each in take}
        collection.updated_at = self.shop.clock()

    def delete(self, collection: Collection) -> None:
        """Delete a collection; its goods stay in the shop."""
        del self.kept[collection.id]

    def fields(self) -> Node:
        """What can be asked about collections."""
        return {"collection": self._one}

    def _one(self, id: str) -> Node | None:
        kind, _, number = id.removeprefix("gid://shopify/").partition("/")
        found = self.kept.get(int(number)) if kind == "Collection" and number.isdigit() else None
        if found is None:
            return None
        many = len(found.products)

        def products(first: int, after: str | None = None, sortKey: str = "COLLECTION_DEFAULT") -> Node:
            if first > MOST_A_PAGE:
                raise ValueError(f"first cannot exceed {MOST_A_PAGE}")
            # By any other order a product that is put in moves the others to other pages.
            order = sorted(found.products, reverse=sortKey != "ID")
            page: Node = connection([{"id": f"gid://shopify/Product/{each}"} for each in order])(first, after)
            return page

        return {
            "__typename": "Collection",
            "id": id,
            "title": found.title,
            "updatedAt": to_iso(found.updated_at - found.updated_at % SECOND),
            "productsCount": {
                "count": min(many, MOST_COUNTED),
                "precision": "EXACT" if many <= MOST_COUNTED else "AT_LEAST",
            },
            "products": products,
        }


def _number(product: Product | int) -> int:
    return product if isinstance(product, int) else product.id
