"""What whoever keeps data of persons says of it: how to show it, forget it, and clear it with its shop."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from integration.database.steps import Steps, ask, plain

Name = tuple[str, str]
"""What names a person (`shopify`, `stripe`, `email`, `phone`) or a sale (`shopify:order`, `stripe:charge`, …): kind
and value."""

Sections = Mapping[str, list[dict[str, Any]]]
"""What is kept of a person, as JSON values: a heading, and rows that all have the same keys."""


class Subject(NamedTuple):
    """Who or what is meant; each holder takes of it what concerns it.

    A person is forgotten in parts: first their sales, some at a time, with what names these; at last their numbers
    and names. Events are those whose bodies tell of the person.
    """

    merchant_id: int
    numbers: tuple[int, ...] = ()  # our own numbers for the person, merged ones too
    names: tuple[Name, ...] = ()
    sales: tuple[int, ...] = ()
    events: tuple[int, ...] = ()


Export = Callable[[Subject], Steps[Sections]]
Forget = Callable[[Subject, int], Steps[int]]
Clear = Callable[[int, int, int], Steps[int]]


class Holder(NamedTuple):
    """One keeper of personal data; named once in the list of holders, and once for each of its tables.

    `export(subject)` returns all there is. `forget(subject, now)` takes the person out of what is named and returns
    how many rows it changed: none when called again. `clear(merchant_id, limit, now)` takes every person of a shop
    out of at most `limit` rows, and returns how many it changed: none when nothing is left. The books of the merchant
    are locked while it forgets.
    """

    name: str
    export: Export
    forget: Forget
    clear: Clear


def deleting(*tables: str) -> Clear:
    """Make a `clear` that deletes the shop's rows of tables that have a `merchant_id`, an index beginning with it."""
    statements = [
        plain(
            f"DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table} WHERE merchant_id = ?1 LIMIT ?2)",
            postgres=f"DELETE FROM {table} WHERE ctid = ANY(ARRAY("
            f"SELECT ctid FROM {table} WHERE merchant_id = ?1 LIMIT ?2))",
        )
        for table in tables
    ]

    def clear(merchant_id: int, limit: int, now: int) -> Steps[int]:
        gone = 0
        for statement in statements:
            gone += (yield from ask(statement, (merchant_id, limit)))[0][0]
        return gone

    return clear


def of_the_merchant(name: str, *tables: str) -> Holder:
    """Make the holder of tables that tell of the merchant and who works for them, and of no customer."""

    def export(subject: Subject) -> Steps[Sections]:
        return {}
        yield  # A step function, though it asks for nothing.

    def forget(subject: Subject, now: int) -> Steps[int]:
        return 0
        yield  # A step function, though it asks for nothing.

    return Holder(name, export, forget, deleting(*tables))
