"""What people and mailboxes decide for good: unsubscribing, coming back, and addresses that refuse mail."""

from typing import NamedTuple

from handlers.messages.people import Person, load, person_address
from integration.database.steps import BIG, TEXT, Steps, ask, insert, keyed, plain

_SUPPRESS = insert(
    "suppressions",
    # A mailbox that is gone stays gone, whatever is said on top of it.
    "ON CONFLICT (merchant_id, channel, address) DO UPDATE SET reason = excluded.reason,"
    " detail = excluded.detail, at = excluded.at, lifted_at = NULL"
    " WHERE suppressions.lifted_at IS NOT NULL OR excluded.reason = 'refused'",
    merchant_id=BIG,
    channel=TEXT,
    address=TEXT,
    reason=TEXT,
    detail=TEXT,
    at=BIG,
)
_LIFT = keyed(
    "UPDATE suppressions SET lifted_at = k.at FROM {keys} k"
    " WHERE suppressions.merchant_id = k.merchant_id AND suppressions.channel = 'email'"
    " AND suppressions.address = k.address AND suppressions.reason = 'unsubscribed'"
    " AND suppressions.lifted_at IS NULL",
    merchant_id=BIG,
    address=TEXT,
    at=BIG,
)
_TOLD = insert(
    "consents",
    "ON CONFLICT (merchant_id, channel, address) DO UPDATE SET state = excluded.state,"
    " source = excluded.source, told_at = excluded.told_at,"
    " stood_before = CASE WHEN consents.state = excluded.state AND consents.source IN ('link', 'one-click')"
    " THEN consents.stood_before ELSE consents.state END"
    " WHERE consents.told_at <= excluded.told_at",
    merchant_id=BIG,
    channel=TEXT,
    address=TEXT,
    state=TEXT,
    source=TEXT,
    told_at=BIG,
)
# Whoever never agreed to marketing mail has not agreed to it by taking a stop back.
_STANDS_AGAIN = keyed(
    "UPDATE consents SET state = CASE WHEN consents.source IN ('link', 'one-click')"
    " AND consents.stood_before IN ('subscribed', 'pending') THEN consents.stood_before ELSE 'not_subscribed' END,"
    " source = 'link', told_at = k.at, stood_before = NULL FROM {keys} k"
    " WHERE consents.merchant_id = k.merchant_id AND consents.channel = 'email' AND consents.address = k.address"
    " AND consents.state IN ('unsubscribed', 'redacted', 'invalid') AND consents.told_at <= k.at",
    merchant_id=BIG,
    address=TEXT,
    at=BIG,
)
_SENT_TO = plain("SELECT address FROM messages WHERE merchant_id = ?1 AND key = ?2 AND address IS NOT NULL")


class Named(NamedTuple):
    """Who an unsubscribe link names."""

    merchant_id: int
    customer: int
    key: str  # of the message that carried the link


def refuse(merchant_id: int, address: str, detail: str, now: int) -> Steps[None]:
    """Never write to an address again: its mailbox refused for good."""
    yield from ask(_SUPPRESS, [(merchant_id, "email", address, "refused", detail, now)])


def unsubscribe(named: Named, source: str, now: int) -> Steps[bool]:
    """Stop all but transactional mail to a person at once; again changes nothing. False = nobody is named.

    The address the message went to is remembered, and the person, so that it follows them to a new address.
    What waits to go out is looked at again when its time comes, and cancelled then.
    """
    person, addresses = yield from _addresses(named, now)
    if person is None:
        return False
    rows = sorted((named.merchant_id, "email", a, "unsubscribed", source, now) for a in addresses)
    yield from ask(_SUPPRESS, rows)
    yield from _consent(named.merchant_id, addresses, "unsubscribed", source, now)
    return True


def resubscribe(named: Named, now: int) -> Steps[bool]:
    """Take an unsubscribing back, by the person's own hand; what was cancelled meanwhile stays cancelled.

    What they allowed before is allowed again, and no more: to marketing mail one agrees by `agree`.
    """
    names = yield from _lifted(named, now)
    yield from ask(_STANDS_AGAIN, sorted((named.merchant_id, name, now) for name in names))
    return bool(names)


def agree(named: Named, now: int) -> Steps[bool]:
    """Note that a person agreed to marketing mail, by their own hand; it takes an unsubscribing back, too."""
    names = yield from _lifted(named, now)
    yield from _consent(named.merchant_id, names, "subscribed", "link", now)
    return bool(names)


def _lifted(named: Named, now: int) -> Steps[set[str]]:
    """Write to a person again; returns what consent may be kept under, nothing where nobody is named."""
    person, addresses = yield from _addresses(named, now)
    if person is None:
        return set()
    yield from ask(_LIFT, sorted((named.merchant_id, address, now) for address in addresses))
    return {*addresses, *(f"shopify:{value}" for value in person.shopify_ids)}


def _addresses(named: Named, now: int) -> Steps[tuple[Person | None, set[str]]]:
    people = yield from load([(named.merchant_id, named.customer)], now)
    person = people.get((named.merchant_id, named.customer))
    if person is None:
        return None, set()
    addresses = {person_address(person.number)}
    rows = yield from ask(_SENT_TO, (named.merchant_id, named.key))
    addresses.update(row[0] for row in rows)
    if person.email:
        addresses.add(person.email)
    return person, addresses


def _consent(merchant_id: int, names: set[str], state: str, source: str, now: int) -> Steps[None]:
    rows = [(merchant_id, "email", name, state, source, now) for name in names if not name.startswith("customer:")]
    yield from ask(_TOLD, sorted(rows))
