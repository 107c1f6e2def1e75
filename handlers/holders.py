"""What whoever keeps data of persons says of it: how to show it, forget it, and clear it with its shop."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

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


class Privacy(Protocol):
    """What pages may ask for a person; all of it takes part in the caller's transaction.

    Requests are carried out within a minute or two: at once after `queue.enqueue("privacy.carry_out")`.
    """

    def forget(self, merchant_id: int, customer: int, who: str, now: int) -> Steps[int]:
        """Ask for a customer to be forgotten, by the merchant's own wish; returns the request's number.

        One that is still open is the same request.
        """
        ...

    def hand_over(self, merchant_id: int, customer: int, who: str, now: int) -> Steps[int]:
        """Ask for everything that is kept of a customer as a file; returns the request's number."""
        ...

    def receipts(self, merchant_id: int, customer: int | None = None) -> Steps[list[dict[str, Any]]]:
        """Return a merchant's newest requests, of one customer or of all, as JSON values: see `Request.shown`.

        `file` says whether a file is there to be fetched.
        """
        ...

    def waits_until(self, merchant_id: int, customer: int, now: int) -> Steps[int | None]:
        """Say until when, at most, forgetting a customer would wait for a file of theirs; None where it would not."""
        ...

    def file(self, merchant_id: int, request: int, now: int) -> Steps[tuple[str, bytes] | None]:
        """Return name and bytes of the file a request made, and note that it was fetched; None where it is gone."""
        ...

    def forgotten_at(self, merchant_id: int, people: Mapping[int, Iterable[Name]]) -> Steps[dict[int, int]]:
        """Say of customers, by number and what names them, when they were forgotten under a number they had before.

        Those of whom we do not know that they did are left out.
        """
        ...

    def gone(self, merchant_id: int, names: Iterable[Name]) -> Steps[frozenset[Name]]:
        """Say which of names are of people who were forgotten and have not bought since."""
        ...


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
