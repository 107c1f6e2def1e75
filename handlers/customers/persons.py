"""Who somebody is by now: every number a person has had, what names them, and a shop's people page by page."""

from collections.abc import Iterable

from handlers.holders import Name
from integration.database.steps import BIG, Steps, ask, keyed, plain

Key = tuple[int, int]
"""(Merchant, customer)."""

_ROOTS = keyed(
    "SELECT c.merchant_id, c.number, COALESCE(c.merged_into, c.number) FROM {keys} k CROSS JOIN customers c"
    " WHERE c.merchant_id = k.merchant_id AND c.number = k.customer",
    merchant_id=BIG,
    customer=BIG,
)
_ALIASES = keyed(
    "SELECT c.merchant_id, c.merged_into, c.number FROM {keys} k CROSS JOIN customers c"
    " WHERE c.merged_into = k.customer AND c.merchant_id = k.merchant_id",
    merchant_id=BIG,
    customer=BIG,
)
# The plus keeps SQLite from reading all names of the merchant: its key's index holds every column.
_NAMES = keyed(
    "SELECT i.merchant_id, i.customer, i.kind, i.value FROM {keys} k CROSS JOIN customer_identities i"
    " WHERE +i.merchant_id = k.merchant_id AND i.customer = k.customer",
    merchant_id=BIG,
    customer=BIG,
)
_SHOWN = keyed(
    "SELECT c.number, coalesce(nullif(trim(coalesce(c.first_name, '') || ' ' || coalesce(c.last_name, '')), ''),"
    " c.email) FROM {keys} k CROSS JOIN customers c WHERE c.merchant_id = k.merchant_id AND c.number = k.customer",
    merchant_id=BIG,
    customer=BIG,
)
_PEOPLE = plain(
    "SELECT number FROM customers WHERE merchant_id = ?1 AND number > ?2 AND merged_into IS NULL"
    " ORDER BY number LIMIT ?3"
)


def persons(people: Iterable[Key]) -> Steps[dict[Key, list[int]]]:
    """Find the persons some numbers mean: (merchant, number by now) -> every number they have had, that one first."""
    roots = {(row[0], row[2]) for row in (yield from ask(_ROOTS, sorted(set(people))))}
    found = {root: [root[1]] for root in sorted(roots)}
    for merchant_id, root, number in (yield from ask(_ALIASES, sorted(roots))):
        found[merchant_id, root].append(number)
    return found


def root_of(merchant_id: int, customer: int) -> Steps[int | None]:
    """Return the number a customer goes under by now; None where there is no such customer."""
    return (yield from roots_of(merchant_id, [customer])).get(customer)


def roots_of(merchant_id: int, numbers: Iterable[int]) -> Steps[dict[int, int]]:
    """Return the numbers that people go under now, by those they are called; those nobody has are left out."""
    rows = yield from ask(_ROOTS, [(merchant_id, number) for number in sorted(set(numbers))])
    return {number: root for _, number, root in rows}


def numbers_of(merchant_id: int, root: int) -> Steps[list[int]]:
    """List every number a person has had, theirs by now first."""
    return [root, *sorted(row[2] for row in (yield from ask(_ALIASES, [(merchant_id, root)])))]


def names_of(numbers: Iterable[Key]) -> Steps[dict[Key, set[Name]]]:
    """Say what names customers: platform ids and addresses."""
    found: dict[Key, set[Name]] = {}
    for merchant_id, customer, kind, value in (yield from ask(_NAMES, sorted(set(numbers)))):
        found.setdefault((merchant_id, customer), set()).add((kind, value))
    return found


def customers_after(merchant_id: int, number: int, limit: int) -> Steps[list[int]]:
    """One page of a merchant's customers, by number."""
    return [row[0] for row in (yield from ask(_PEOPLE, (merchant_id, number, limit)))]


def shown_names(merchant_id: int, numbers: Iterable[int]) -> Steps[dict[int, str]]:
    """Say what the merchant reads for customers, their name or else their address; who has neither is left out."""
    rows = yield from ask(_SHOWN, [(merchant_id, number) for number in sorted(set(numbers))])
    return {row[0]: row[1] for row in rows if row[1]}
