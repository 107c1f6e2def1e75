"""Where the goods of sales lay when they were sold: read for a batch at once, and only where a campaign asks for it."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Protocol

from handlers.merchants.collections import stays_of
from handlers.merchants.rules import Shop
from handlers.sales.books import LoadedSale
from handlers.sales.worth import order_sold_at
from integration.database.steps import Steps


class HasShop(Protocol):
    """Whatever works on one shop's sales, and may be given the shop again knowing more."""

    shop: Shop


def look_where_goods_lay(books: Mapping[int, HasShop], sales: Iterable[LoadedSale]) -> Steps[None]:
    """Let the shops of some books know where products of these sales lay, as far as they need to."""
    for merchant_id, shop in (yield from with_stays({m: book.shop for m, book in books.items()}, sales)).items():
        books[merchant_id].shop = shop


def with_stays_of(shop: Shop, sales: Iterable[LoadedSale]) -> Steps[Shop]:
    """Return a shop knowing where products of its sales lay, as far as it needs to."""
    return (yield from with_stays({shop.id: shop}, sales)).get(shop.id, shop)


def with_stays(known: Mapping[int, Shop], sales: Iterable[LoadedSale]) -> Steps[dict[int, Shop]]:
    """Return those shops, by merchant, that need to know where products of these sales lay, knowing it.

    One statement for all of them; none where no campaign with collections ran when any of the sales was made.
    """
    asking = {merchant_id: times for merchant_id, shop in known.items() if (times := shop.collected)}
    if not asking:
        return {}
    wanted = {
        (sale.merchant_id, line.product_id)
        for sale in sales
        if (order := sale.facts.order) is not None
        and any(starts <= order_sold_at(order) < ends for starts, ends in asking.get(sale.merchant_id, ()))
        for line in order.lines
        if line.product_id is not None
    }
    if not wanted:
        return {}
    stays = yield from stays_of(wanted)
    return {
        merchant_id: dataclasses.replace(known[merchant_id], stays={**known[merchant_id].stays, **found})
        for merchant_id, found in stays.items()
    }
