"""In a visit that is one owner's no statement runs that could touch another's rows, on either engine."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from config.migrate import declared
from integration.database.equalities import Tables
from integration.database.ownership import owners
from integration.database.steps import BIG, TEXT, Sql, Steps, ask, insert, keyed, plain
from integration.database.wall import Trespass, keep_within, visiting

NORA, OTTO = 1, 2

FORGOTTEN = {
    "no condition": plain("SELECT first_name FROM customers"),
    "another column": plain("SELECT first_name FROM customers WHERE number = ?1"),
    "under OR": plain("SELECT first_name FROM customers WHERE merchant_id = ?1 OR number = 7"),
    "under NOT": plain("SELECT first_name FROM customers WHERE NOT (merchant_id = ?1)"),
    "in a CASE": plain("SELECT first_name FROM customers WHERE CASE WHEN merchant_id = ?1 THEN 1 ELSE 1 END = 1"),
    "not equal": plain("SELECT first_name FROM customers WHERE merchant_id <> ?1"),
    "at least": plain("SELECT first_name FROM customers WHERE merchant_id >= ?1"),
    "a number written in": plain("SELECT first_name FROM customers WHERE merchant_id = 2 AND number <> ?1"),
    "itself": plain("SELECT first_name FROM customers WHERE merchant_id = merchant_id AND number <> ?1"),
    "only the other table": plain(
        "SELECT c.first_name FROM sales s JOIN customers c ON c.number = s.customer WHERE s.merchant_id = ?1"
    ),
    "the wrong side of a LEFT JOIN": plain(
        "SELECT c.first_name FROM customers c LEFT JOIN sales s ON c.merchant_id = ?1 AND s.merchant_id = ?1"
    ),
    "one part of a UNION": plain(
        "SELECT first_name FROM customers WHERE merchant_id = ?1 UNION ALL SELECT last_name FROM customers"
    ),
    "only inside EXISTS": plain(
        "SELECT c.first_name FROM customers c WHERE EXISTS (SELECT 1 FROM sales s WHERE s.merchant_id = ?1)"
    ),
    "a query inside": plain(
        "SELECT (SELECT count(*) FROM sales) FROM customers WHERE merchant_id = ?1 AND number = 7"
    ),
    "a query in a condition": plain(
        "SELECT first_name FROM customers WHERE merchant_id = ?1 AND number IN (SELECT customer FROM sales)"
    ),
    "a query by name": plain(
        "WITH people AS (SELECT * FROM customers) SELECT first_name FROM people WHERE number = ?1"
    ),
    "what hangs on it": plain("SELECT body FROM event_bodies WHERE event_id = ?1"),
    "what hangs on another's": plain(
        "SELECT b.body FROM events e JOIN event_bodies b ON b.event_id <> e.id WHERE e.merchant_id = ?1"
    ),
    "the owners themselves": plain("SELECT name FROM merchants WHERE name <> ?1"),
    "UPDATE": plain("UPDATE customers SET first_name = 'x' WHERE number = ?1"),
    "a row that changes hands": plain("UPDATE customers SET merchant_id = 2 WHERE merchant_id = ?1"),
    "DELETE": plain("DELETE FROM customers WHERE number = ?1"),
    "DELETE by a query": plain("DELETE FROM sales WHERE merchant_id IN (SELECT merchant_id FROM customers)"),
    "INSERT without an owner's value": plain(
        "INSERT INTO customers (merchant_id, number, created_at) VALUES (2, ?1, 0)"
    ),
    "INSERT of another's": plain(
        "INSERT INTO customers (merchant_id, number, created_at) SELECT merchant_id, 99, 0 FROM books"
    ),
    "INSERT over another's": plain(
        "INSERT INTO connections (merchant_id, platform, account, created_at, connected_at)"
        " VALUES (?1, 'shopify', 'otto', 0, 0)"
        " ON CONFLICT (platform, account, mode) DO UPDATE SET account = 'mine'"
    ),
    "two statements": plain("SELECT 1; DELETE FROM customers"),
    "a comment": plain("SELECT first_name FROM customers -- WHERE merchant_id = ?1"),
    "a table nobody knows": plain("SELECT * FROM elsewhere WHERE merchant_id = ?1"),
}  # fmt: skip

OWN = {
    "by the key": plain("SELECT first_name FROM customers WHERE merchant_id = ?1 AND number = 7"),
    "in brackets": plain("SELECT first_name FROM customers WHERE (number = 7 OR number = 8) AND (merchant_id = ?1)"),
    "by way of another table": plain(
        "SELECT c.first_name FROM sales s CROSS JOIN customers c"
        " WHERE s.merchant_id = ?1 AND c.merchant_id = s.merchant_id AND c.number = s.customer"
    ),
    "joined where there is one": plain(
        "SELECT c.first_name FROM customers c LEFT JOIN sales s ON s.merchant_id = c.merchant_id"
        " WHERE c.merchant_id = ?1"
    ),
    "both parts of a UNION": plain(
        "SELECT u.a FROM (SELECT merchant_id, first_name AS a FROM customers WHERE merchant_id = ?1"
        " UNION ALL SELECT merchant_id, name FROM sales WHERE merchant_id = ?1) u"
        " JOIN customers c ON c.merchant_id = u.merchant_id"
    ),
    "inside of one of one's own": plain(
        "SELECT (SELECT count(*) FROM sales s WHERE s.merchant_id = c.merchant_id) FROM customers c"
        " WHERE c.merchant_id = ?1 AND EXISTS (SELECT 1 FROM sales s WHERE s.merchant_id = c.merchant_id)"
    ),
    "by name": plain(
        "WITH people AS (SELECT * FROM customers WHERE merchant_id = ?1) SELECT s.name FROM people p"
        " JOIN sales s ON s.merchant_id = p.merchant_id"
    ),
    "what hangs on one's own": plain(
        "SELECT b.body FROM events e JOIN event_bodies b ON b.event_id = e.id WHERE e.merchant_id = ?1"
    ),
    "what no owner has": plain("SELECT name FROM vitals WHERE at > ?1"),
    "pairs": plain(
        "SELECT name FROM sales WHERE (merchant_id, customer) IN"
        " (SELECT merchant_id, number FROM customers WHERE merchant_id = ?1)"
    ),
}  # fmt: skip


@pytest.fixture
async def two_shops(database: Any) -> Any:
    """Nora and Otto with a customer each, both under number 7."""
    for shop, name in ((NORA, "Nell"), (OTTO, "Olga")):
        for text, values in (
            ("INSERT INTO merchants (id, name, currency, timezone, created_at) VALUES (?1, ?2, 'EUR', 'UTC', 0)",
             (shop, f"The shop of {name}")),
            ("INSERT INTO books (merchant_id) VALUES (?1)", (shop,)),
            ("INSERT INTO customers (merchant_id, number, first_name, created_at) VALUES (?1, 7, ?2, 0)", (shop, name)),
        ):  # fmt: skip
            await run(database, plain(text), values)
    return database


async def run(database: Any, sql: Sql, values: Sequence[Any], *, read: bool = False) -> list[Any]:
    """Run one statement."""
    found = await (database.read if read else database.run)(lambda: ask(sql, values))
    return list(found)


async def people(database: Any) -> list[Any]:
    """Everybody of every shop."""
    return await run(database, plain("SELECT merchant_id, number, first_name FROM customers ORDER BY merchant_id"), ())


@pytest.mark.parametrize("way", FORGOTTEN)
async def test_who_forgets_whose_rows_are_meant_gets_none(two_shops: Any, way: str) -> None:
    """The statement is not run, and nothing of its transaction stays; by itself it would have shown or changed."""

    def forgetful() -> Steps[Any]:
        yield from ask(plain("UPDATE customers SET first_name = 'Gone' WHERE merchant_id = ?1"), (NORA,))
        return (yield from ask(FORGOTTEN[way], (NORA,)))

    before = await people(two_shops)
    with visiting():
        keep_within(NORA)
        with pytest.raises(Trespass, match="whose rows"):
            await two_shops.run(forgetful)
    assert await people(two_shops) == before


@pytest.mark.parametrize("way", OWN)
async def test_what_says_whose_rows_are_meant_runs_for_its_owner_alone(two_shops: Any, way: str) -> None:
    """With the own number the rows come; with a neighbour's, as from a request, nothing does."""
    with visiting():
        keep_within(NORA)
        found = await run(two_shops, OWN[way], (NORA,), read=True)
        assert "Olga" not in str(found)
        if "vitals" not in OWN[way].sqlite:
            with pytest.raises(Trespass, match="another's rows"):
                await run(two_shops, OWN[way], (OTTO,), read=True)


async def test_many_keys_are_all_of_the_owner(two_shops: Any) -> None:
    """One neighbour's key among the own ones is enough to be refused: in what is asked for, changed and put in."""
    names = keyed(
        "SELECT c.first_name FROM {keys} k CROSS JOIN customers c WHERE c.merchant_id = k.shop AND c.number = k.number",
        shop=BIG, number=BIG,
    )  # fmt: skip
    rename = keyed(
        "UPDATE customers SET first_name = k.name FROM {keys} k"
        " WHERE customers.merchant_id = k.shop AND customers.number = k.number",
        shop=BIG, number=BIG, name=TEXT,
    )  # fmt: skip
    add = insert(
        "customers", "ON CONFLICT (merchant_id, number) DO NOTHING", merchant_id=BIG, number=BIG, created_at=BIG
    )
    before = await people(two_shops)
    with visiting():
        keep_within(NORA)
        assert await run(two_shops, names, [(NORA, 7), (NORA, 8)]) == [("Nell",)]
        for sql, rows in (
            (names, [(NORA, 7), (OTTO, 7)]),
            (rename, [(NORA, 7, "x"), (OTTO, 7, "x")]),
            (add, [(NORA, 8, 0), (OTTO, 8, 0)]),
        ):
            with pytest.raises(Trespass, match="another's rows"):
                await run(two_shops, sql, rows)
        assert await run(two_shops, rename, [(NORA, 7, "Nelly")]) == [(1,)]
        assert await run(two_shops, add, [(NORA, 8, 0)]) == [(1,)]
    assert await people(two_shops) == [(NORA, 7, "Nelly"), (NORA, 8, None), before[1]]


async def test_what_has_to_see_more_says_so_where_it_is_declared(two_shops: Any) -> None:
    """With a reason, in its own words."""
    with visiting():
        keep_within(NORA)
        count = plain("SELECT count(*) FROM customers", across="how many there are, and nobody's name")
        assert await run(two_shops, count, ()) == [(2,)]


async def test_nobody_is_kept_from_anything_outside_of_a_visit(two_shops: Any) -> None:
    """Workers serve many shops by one statement; and a visit is over when its request is."""
    everybody = FORGOTTEN["no condition"]
    assert len(await run(two_shops, everybody, ())) == 2
    with visiting():
        assert len(await run(two_shops, everybody, ())) == 2, "nobody knows yet whose it is"
        keep_within(NORA)
        with pytest.raises(Trespass):
            await run(two_shops, everybody, ())
    assert len(await run(two_shops, everybody, ())) == 2
    with pytest.raises(RuntimeError):
        keep_within(NORA)


async def test_a_visit_is_one_owners_whatever_it_begins(two_shops: Any) -> None:
    """It cannot become another's half-way; tasks it begins are kept as it is, and two visits at once do not mix."""

    async def visit(shop: int) -> list[Any]:
        with visiting():
            keep_within(shop)
            keep_within(shop)
            with pytest.raises(Trespass, match="two owners"):
                keep_within(NORA + OTTO - shop)
            with pytest.raises(Trespass):
                await asyncio.create_task(run(two_shops, FORGOTTEN["no condition"], ()))
            return await asyncio.create_task(run(two_shops, OWN["by the key"], (shop,)))

    assert await asyncio.gather(visit(NORA), visit(OTTO)) == [[("Nell",)], [("Olga",)]]


def test_every_table_has_an_owner_or_is_nobodys() -> None:
    """A new table with somebody's rows names whose they are; these have none of anybody's."""
    tables = Tables.of(declared())
    assert {name for name in tables.columns if not tables.belongs(name)} == {
        "installs", "unknown_shops", "vitals", "restores",
    }  # fmt: skip


def test_reading_a_statement_says_which_values_bind_it() -> None:
    """By the position of the value, whichever way the statement goes about it."""
    tables = Tables.of(declared())
    text = "SELECT 1 FROM customers c JOIN sales s ON s.merchant_id = c.merchant_id WHERE c.merchant_id = ?2"
    assert owners(text, "plain", tables) == (frozenset({1}), frozenset({1}))
    assert owners("SELECT name FROM vitals", "plain", tables) == ()
