"""Shops load in one go; numbers are handed out under a lock, without gaps."""

import asyncio
from typing import Any

from handlers.merchants.books import lock_books, save_books, shops
from handlers.merchants.connections import Wish, add_merchant, connect_stripe
from integration.database.steps import Steps
from integration.vault import Vault

NOW = 1_790_000_000_000_000
VAULT = Vault(["hats-are-sold-here-by-ada-and-bob-since-1999"])
HATS = Wish(name="Hats", shop="hats", currency="EUR", timezone="Europe/Paris")
SHOES = Wish(name="Shoes", shop=None, currency="JPY", timezone="Asia/Tokyo", country="jp")


async def test_shops_of_a_batch_load_together(database: Any) -> None:
    """Each has its own money, hours, platforms and programme; an unknown one is left out."""
    hats = await database.run(lambda: add_merchant(HATS, VAULT, NOW))
    shoes = await database.run(lambda: add_merchant(SHOES, VAULT, NOW))
    await database.run(lambda: connect_stripe(hats.id, "whsec_hatshats", None, VAULT, NOW))
    found = await database.run(lambda: shops([shoes.id, hats.id, 999]))
    assert {(s.name, s.currency, s.timezone, s.country, s.platforms) for s in found.values()} == {
        ("Hats", "EUR", "Europe/Paris", None, frozenset({"shopify", "stripe"})),
        ("Shoes", "JPY", "Asia/Tokyo", "JP", frozenset()),
    }


async def test_numbers_taken_at_once_are_consecutive_and_never_twice(database: Any) -> None:
    """Ten transactions that take numbers of two merchants at once take turns."""
    hats = await database.run(lambda: add_merchant(HATS, VAULT, NOW))
    shoes = await database.run(lambda: add_merchant(SHOES, VAULT, NOW))

    def take() -> Steps[list[tuple[int, int, int]]]:
        books = yield from lock_books([shoes.id, hats.id])
        taken = [(hats.id, books[hats.id].take_sale(), books[hats.id].take_entry())]
        taken.append((shoes.id, books[shoes.id].take_customer(), books[shoes.id].take_entry()))
        yield from save_books(books.values())
        return taken

    taken = [row for rows in await asyncio.gather(*(database.run(take) for _ in range(10))) for row in rows]
    for merchant in (hats.id, shoes.id):
        assert sorted(row[1:] for row in taken if row[0] == merchant) == [(n, n) for n in range(1, 11)]


async def test_numbers_of_a_transaction_that_failed_are_not_lost(database: Any) -> None:
    """A rollback gives them back, so that no gap looks like a deletion."""
    hats = await database.run(lambda: add_merchant(HATS, VAULT, NOW))

    def take(fail: bool) -> Steps[int]:
        books = yield from lock_books([hats.id])
        number = books[hats.id].take_entry()
        yield from save_books(books.values())
        if fail:
            raise RuntimeError("the worker died")
        return number

    assert await database.run(lambda: take(fail=False)) == 1
    for _ in range(2):
        try:
            await database.run(lambda: take(fail=True))
        except RuntimeError:
            continue
    assert await database.run(lambda: take(fail=False)) == 2
