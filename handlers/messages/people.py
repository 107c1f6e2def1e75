"""Who a message goes to, and what they allow: looked up when it is to go out, never before."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from integration.clock import DAY
from integration.database.steps import BIG, TEXT, Steps, ask, keyed

HISTORY = 31 * DAY  # how far back caps look; the longest cap is thirty days

_PEOPLE = keyed(
    "SELECT k.merchant_id, k.customer, p.number, p.first_name, p.last_name, p.email, p.locale, p.country,"
    " p.region, p.held_at FROM {keys} k CROSS JOIN customers c CROSS JOIN customers p"
    " WHERE c.merchant_id = k.merchant_id AND c.number = k.customer"
    " AND p.merchant_id = c.merchant_id AND p.number = COALESCE(c.merged_into, c.number)",
    merchant_id=BIG,
    customer=BIG,
)
# The newest told last: what a person's own record lacks is taken from what they were known as before.
_ALIASES = keyed(
    "SELECT c.merchant_id, c.merged_into, c.number, c.first_name, c.last_name, c.email, c.locale, c.country, c.region,"
    " c.held_at FROM {keys} k CROSS JOIN customers c"
    " WHERE c.merchant_id = k.merchant_id AND c.merged_into = k.number"
    " ORDER BY c.merchant_id, c.email_at, c.name_at, c.email, c.number",
    merchant_id=BIG,
    number=BIG,
)
# The plus keeps SQLite from reading all names of the merchant: its key's index holds every column.
_SHOPIFY_IDS = keyed(
    "SELECT i.merchant_id, i.customer, i.value FROM {keys} k CROSS JOIN customer_identities i"
    " WHERE +i.merchant_id = k.merchant_id AND i.customer = k.number AND i.kind = 'shopify'",
    merchant_id=BIG,
    number=BIG,
)
_CONSENTS = keyed(
    "SELECT c.merchant_id, c.address, c.state FROM {keys} k CROSS JOIN consents c"
    " WHERE c.merchant_id = k.merchant_id AND c.channel = 'email' AND c.address = k.address",
    merchant_id=BIG,
    address=TEXT,
)
_SUPPRESSED = keyed(
    "SELECT s.merchant_id, s.address, s.reason FROM {keys} k CROSS JOIN suppressions s"
    " WHERE s.merchant_id = k.merchant_id AND s.channel = 'email' AND s.address = k.address"
    " AND s.lifted_at IS NULL",
    merchant_id=BIG,
    address=TEXT,
)
_HISTORY = keyed(
    "SELECT m.merchant_id, m.customer, m.kind, m.state, COALESCE(m.sent_at, m.next_attempt_at), m.claim"
    " FROM {keys} k CROSS JOIN messages m"
    " WHERE m.merchant_id = k.merchant_id AND m.customer = k.number AND m.test = 0"
    " AND (m.state = 'sending' OR (m.state = 'sent' AND m.sent_at > k.since))",
    merchant_id=BIG,
    number=BIG,
    since=BIG,
)


class Past(NamedTuple):
    """A message of a person that went out, or that somebody else is sending now."""

    kind: str
    at: int


@dataclass(slots=True)
class Person:
    """One person of a merchant, all their numbers, and what they allow."""

    merchant_id: int
    number: int
    first_name: str = ""
    last_name: str = ""
    email: str | None = None
    locale: str | None = None
    country: str | None = None
    region: str | None = None
    numbers: list[int] = field(default_factory=list)  # `number` and those merged into it
    shopify_ids: list[str] = field(default_factory=list)
    consents: set[str] = field(default_factory=set)  # states told of the address or the person
    suppressed: dict[str, str] = field(default_factory=dict)  # address -> refused | unsubscribed
    past: list[Past] = field(default_factory=list)
    held_at: int | None = None  # since when the merchant holds their messages back


def person_address(number: int) -> str:
    """Name a person in the suppression list: it follows them to a new address."""
    return f"customer:{number}"


def load(keys: Collection[tuple[int, int]], now: int, claim: str | None = None) -> Steps[dict[tuple[int, int], Person]]:
    """Load persons by (merchant, customer number), numbers merged into others too.

    Messages under `claim` are not part of anybody's past yet.
    """
    found: dict[tuple[int, int], Person] = {}
    people: dict[tuple[int, int], Person] = {}
    rows = yield from ask(_PEOPLE, sorted(keys))
    for merchant_id, asked, number, first, last, email, locale, country, region, held_at in rows:
        fresh = Person(merchant_id, number, first or "", last or "", email, locale, country, region, [number])
        person = people.setdefault((merchant_id, number), fresh)
        person.held_at = held_at
        found[(merchant_id, asked)] = person
    yield from _numbers(people)
    yield from _permissions(list(people.values()))
    yield from _past(list(people.values()), now, claim)
    return found


def _numbers(people: dict[tuple[int, int], Person]) -> Steps[None]:
    rows = yield from ask(_ALIASES, sorted(people))
    for merchant_id, number, alias, first, last, email, locale, country, region, held_at in reversed(rows):
        person = people[(merchant_id, number)]
        person.numbers.append(alias)
        if not person.first_name and not person.last_name:
            person.first_name, person.last_name = first or "", last or ""
        person.email = person.email or email
        person.held_at = person.held_at or held_at
        person.locale = person.locale or locale
        if person.country is None:
            person.country, person.region = country, region
    owner = {(p.merchant_id, number): p for p in people.values() for number in p.numbers}
    rows = yield from ask(_SHOPIFY_IDS, sorted(owner))
    for merchant_id, number, value in rows:
        owner[(merchant_id, number)].shopify_ids.append(value)


def _permissions(people: Sequence[Person]) -> Steps[None]:
    consents: dict[tuple[int, str], list[Person]] = {}
    suppressions: dict[tuple[int, str], list[Person]] = {}
    for person in people:
        names = [f"shopify:{value}" for value in person.shopify_ids]
        own = [person_address(number) for number in person.numbers]
        if person.email:
            names.append(person.email)
            own.append(person.email)
        for name in names:
            consents.setdefault((person.merchant_id, name), []).append(person)
        for name in own:
            suppressions.setdefault((person.merchant_id, name), []).append(person)
    rows = yield from ask(_CONSENTS, sorted(consents))
    for merchant_id, address, state in rows:
        for person in consents[(merchant_id, address)]:
            person.consents.add(state)
    rows = yield from ask(_SUPPRESSED, sorted(suppressions))
    for merchant_id, address, reason in rows:
        for person in suppressions[(merchant_id, address)]:
            person.suppressed[address] = reason


def _past(people: Sequence[Person], now: int, claim: str | None) -> Steps[None]:
    owner = {(p.merchant_id, number): p for p in people for number in p.numbers}
    rows = yield from ask(_HISTORY, sorted((*key, now - HISTORY) for key in owner))
    for merchant_id, number, kind, state, at, token in rows:
        if state == "sending":
            if token == claim:
                continue
            at = now
        owner[(merchant_id, number)].past.append(Past(kind, at))
