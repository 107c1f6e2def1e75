"""Finds a person in a merchant's books and takes them out, some at a time; and what this capability keeps itself."""

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from handlers.customers.identify import find as find_number
from handlers.holders import Holder, Name, Sections, Subject, deleting
from handlers.messages.personal import on_their_way
from handlers.privacy import store
from handlers.privacy.rules import AGAIN, LOOK_AGAIN, WAIT_FOR_CODES, WAIT_FOR_FILES, plainest
from handlers.referrals import personal as referrals
from handlers.rewards.personal import give_up, under_way
from handlers.sales.personal import is_anothers
from handlers.sales.rules import SaleFacts
from integration.clock import MINUTE, to_datetime, to_iso
from integration.database.steps import BIG, TEXT, Steps, ask, keyed, plain

PLATFORMS = ("shopify", "stripe")
FEW_NAMED = 5  # requests in a sentence
MOST_AT_ONCE = 500  # sales of one look; what is more comes with the next

_NUMBER = {"merchant_id": BIG, "number": BIG}
_NAMED = {"merchant_id": BIG, "kind": TEXT, "value": TEXT}

_GO_BY = keyed(
    "SELECT c.number, c.shopify_id, coalesce(c.merged_into, c.number), o.shopify_id FROM {keys} k"
    " CROSS JOIN customer_identities i JOIN customers c ON c.merchant_id = i.merchant_id AND c.number = i.customer"
    " LEFT JOIN customers o ON o.merchant_id = c.merchant_id AND o.number = c.merged_into"
    " WHERE i.merchant_id = k.merchant_id AND i.kind = k.kind AND i.value = k.value",
    **_NAMED,
)
_CALLED = keyed(
    "SELECT c.number, c.shopify_id, coalesce(c.merged_into, c.number), o.shopify_id FROM {keys} k"
    " CROSS JOIN customers c LEFT JOIN customers o ON o.merchant_id = c.merchant_id AND o.number = c.merged_into"
    " WHERE c.phone = k.phone AND c.merchant_id = k.merchant_id",
    merchant_id=BIG,
    phone=TEXT,
)
_MERGED = keyed(
    "SELECT c.number FROM {keys} k CROSS JOIN customers c"
    " WHERE c.merged_into = k.number AND c.merchant_id = k.merchant_id",
    **_NUMBER,
)
_MEANS = plain("SELECT coalesce(merged_into, number) FROM customers WHERE merchant_id = ?1 AND number = ?2")
# The plus keeps SQLite from reading all names of the merchant.
_OWN_NAMES = keyed(
    "SELECT i.kind, i.value FROM {keys} k CROSS JOIN customer_identities i"
    " WHERE i.customer = k.number AND +i.merchant_id = k.merchant_id",
    **_NUMBER,
)
_PROFILES = keyed(
    "SELECT c.email, c.phone, c.shopify_id FROM {keys} k CROSS JOIN customers c"
    " WHERE c.merchant_id = k.merchant_id AND c.number = k.number",
    **_NUMBER,
)
_BOUGHT = keyed(
    "SELECT s.number FROM {keys} k CROSS JOIN sales s"
    " WHERE s.customer = k.number AND s.merchant_id = k.merchant_id AND s.forgotten_at IS NULL"
    f" LIMIT {MOST_AT_ONCE}",
    **_NUMBER,
)
_BOUGHT_BY = keyed(
    "SELECT s.number, s.facts FROM {keys} k CROSS JOIN sales s"
    " WHERE s.email = k.email AND s.merchant_id = k.merchant_id AND s.forgotten_at IS NULL"
    f" LIMIT {MOST_AT_ONCE}",
    merchant_id=BIG,
    email=TEXT,
)
_CALLED_SALES = keyed(
    "SELECT i.sale FROM {keys} k CROSS JOIN sale_identities i"
    " WHERE i.merchant_id = k.merchant_id AND i.platform = k.platform AND i.kind = k.kind AND i.value = k.value",
    merchant_id=BIG,
    platform=TEXT,
    kind=TEXT,
    value=TEXT,
)
_TWINS = keyed(
    "SELECT s.paired_with FROM {keys} k CROSS JOIN sales s WHERE s.merchant_id = k.merchant_id"
    " AND s.number = k.number AND s.paired_with IS NOT NULL",
    **_NUMBER,
)
# Known by nothing but sales that are forgotten: no customer of the shop, and nothing else bought.
_LEFT_BEHIND = keyed(
    "SELECT DISTINCT c.number FROM {keys} k CROSS JOIN sales s JOIN customers c"
    " ON c.merchant_id = s.merchant_id AND c.number = s.customer"
    " WHERE s.merchant_id = k.merchant_id AND s.number = k.number AND c.shopify_id IS NULL AND c.forgotten_at IS NULL"
    " AND NOT EXISTS (SELECT 1 FROM sales o WHERE o.customer = c.number AND o.merchant_id = c.merchant_id"
    " AND o.forgotten_at IS NULL)",
    **_NUMBER,
)
_NOT_TO_BE_MAILED = keyed(
    "SELECT s.address, s.reason FROM {keys} k CROSS JOIN suppressions s WHERE s.merchant_id = k.merchant_id"
    " AND s.channel = 'email' AND s.address = k.address AND s.lifted_at IS NULL",
    merchant_id=BIG,
    address=TEXT,
)
_FACTS = msgspec.json.Decoder(SaleFacts)


class Found(NamedTuple):
    """Who somebody is in the books: all their numbers, and everything that names them."""

    numbers: tuple[int, ...]
    names: tuple[Name, ...]


class Sales(NamedTuple):
    """Sales still to be taken out of: the person's own, and those of others that only hold an address of theirs."""

    own: tuple[int, ...]
    others: tuple[int, ...]


def find(merchant_id: int, asked: Sequence[Name], numbers: Sequence[int] = ()) -> Steps[Found]:
    """Find everybody whom names, or numbers of ours, mean.

    A platform's id means one person, with all numbers merged into theirs. An address or a phone means whoever goes by
    it without being a customer of the shop; a customer of the shop only where nothing else was asked for.
    """
    owners: set[int] = set()
    alone: set[int] = set()
    for number in numbers:
        owners |= {row[0] for row in (yield from ask(_MEANS, (merchant_id, number)))}
    ids = [(merchant_id, kind, value) for kind, value in asked if kind in PLATFORMS]
    owners |= {row[2] for row in (yield from ask(_GO_BY, sorted(ids)))}
    emails = sorted({plainest(kind, value) for kind, value in asked if kind == "email"})
    met = yield from ask(_GO_BY, [(merchant_id, "email", email) for email in emails])
    met += yield from ask(_CALLED, [(merchant_id, phone) for phone in _written(asked)])
    for number, shopify_id, owner, owner_shopify_id in met:
        if shopify_id is None and (owner in owners or owner == number or owner_shopify_id is None):
            owners.add(owner)
        elif shopify_id is None:
            alone.add(number)
    if not ids and not numbers:
        for email in emails:
            meant = yield from find_number(merchant_id, [("email", email)])
            owners |= {meant} if meant is not None else set()
    merged = yield from ask(_MERGED, [(merchant_id, number) for number in sorted(owners)])
    every = sorted(owners | alone | {row[0] for row in merged})
    return Found(tuple(every), tuple(sorted({*asked, *(yield from own_names(merchant_id, every))})))


def own_names(merchant_id: int, numbers: Iterable[int]) -> Steps[set[Name]]:
    """Return everything that names customers, by their numbers."""
    keys = [(merchant_id, number) for number in sorted(numbers)]
    found: set[Name] = {(row[0], row[1]) for row in (yield from ask(_OWN_NAMES, keys))}
    for email, phone, shopify_id in (yield from ask(_PROFILES, keys)):
        told = (("email", email), ("phone", phone), ("shopify", shopify_id))
        found |= {(kind, value) for kind, value in told if value}
    return found


def sales_of(merchant_id: int, found: Found, limit: int) -> Steps[Sales]:
    """List at most some `limit` sales that still tell of a person: theirs, those named, and their twins."""
    own: set[int] = {row[0] for row in (yield from ask(_BOUGHT, [(merchant_id, n) for n in found.numbers]))}
    own |= yield from named_sales(merchant_id, found.names)
    mine = frozenset(found.names)
    others: set[int] = set()
    emails = sorted({plainest(kind, value) for kind, value in found.names if kind == "email"})
    for number, facts in (yield from ask(_BOUGHT_BY, [(merchant_id, email) for email in emails])):
        (others if is_anothers(_FACTS.decode(facts), mine) and number not in own else own).add(number)
    chosen = set(sorted(own)[:limit])
    twins = yield from ask(_TWINS, [(merchant_id, number) for number in sorted(chosen)])
    chosen |= {row[0] for row in twins}
    return Sales(tuple(sorted(chosen)), tuple(sorted(others)[:limit]))


def named_sales(merchant_id: int, names: Iterable[Name]) -> Steps[set[int]]:
    """Return the sales that go by platforms' names, as `shopify:order`."""
    keys = sorted((merchant_id, *kind.split(":"), value) for kind, value in names if ":" in kind)
    return {row[0] for row in (yield from ask(_CALLED_SALES, keys))}


def left_behind(merchant_id: int, sales: Iterable[int]) -> Steps[set[int]]:
    """Return those customers who were known by nothing but sales that have been forgotten."""
    return {row[0] for row in (yield from ask(_LEFT_BEHIND, [(merchant_id, number) for number in sorted(sales)]))}


def notes(merchant_id: int, found: Found) -> Steps[dict[Name, str | None]]:
    """Say of each name why whoever has it again is not to be mailed; None for no reason."""
    emails = {plainest(kind, value) for kind, value in found.names if kind == "email"}
    addresses = sorted(emails | {f"customer:{number}" for number in found.numbers})
    rows = yield from ask(_NOT_TO_BE_MAILED, [(merchant_id, address) for address in addresses])
    reasons: dict[str, str] = dict(rows)
    # Who unsubscribed did so as a person; a mailbox that refuses is only itself.
    anywhere = next((reason for reason in reasons.values() if reason == "unsubscribed"), None)
    people = [name for name in found.names if ":" not in name[0]]
    return {name: reasons.get(plainest(*name)) or anywhere for name in people}


def wait_a_little(one: store.Request, now: int) -> Steps[store.Request | None]:
    """Put the end off while something goes out that needs what is left of a person; None where nothing does."""
    if (yield from on_their_way(one.merchant_id, one.numbers)):
        reason = "a mail to the person is on its way: its address goes with the next run"
        return (yield from store.write(one._replace(next_at=now + MINUTE, reason=reason)))
    until = one.asked_at + WAIT_FOR_CODES
    codes = yield from under_way(one.merchant_id, one.numbers)
    codes = codes or (yield from referrals.under_way(one.merchant_id, one.numbers))
    if now < until and codes:
        reason = "unused codes of the person are being switched off, and go with one of the next runs"
        return (yield from store.write(one._replace(next_at=now + MINUTE, reason=reason, waits_until=until)))
    return None


def give_codes_up(one: store.Request, now: int) -> Steps[store.Request]:
    """Forget codes that could not be switched off in time: their platform is not connected any more."""
    gone = yield from give_up(one.merchant_id, one.numbers, now)
    links = yield from referrals.give_up(one.merchant_id, one.numbers)
    return (yield from store.write(store.counted(store.counted(one, "rewards", gone), "referrals", links)))


def owed_to(merchant_id: int, found: Found | None, now: int) -> Steps[list[store.Owed]]:
    """List the data requests of a person, or (None) of anybody, whose file is still to be made or fetched."""
    owed = yield from store.owed(merchant_id, now)
    if found is None:
        return owed
    # One whose people nobody has looked for yet has names only; these go once it is done.
    named: dict[int, set[Name]] = {}
    for one in owed:
        named[one.request] = _plain_names((yield from store.names(merchant_id, one.request)))
    mine, called = set(found.numbers), _plain_names(found.names)
    return [one for one in owed if mine & one.numbers or called & named[one.request]]


def put_off(one: store.Request, found: Found | None, now: int) -> Steps[store.Request | None]:
    """Put a forgetting off while a file of the person, or (None) of anybody, is owed; None where it may begin.

    Once it has begun nothing holds it up, nor once it has waited long enough: what was not made by then is void.
    """
    if one.kind == AGAIN or one.removed:
        return None
    owed = yield from owed_to(one.merchant_id, found, now)
    until = one.asked_at + WAIT_FOR_FILES
    if owed and now < until:
        several = ", ".join(str(other.request) for other in owed[:FEW_NAMED])
        what = f"the file of data request {several} has" if len(owed) == 1 else f"the files of requests {several} have"
        day = to_datetime(until).strftime("%d %B %Y")
        reason = f"it waits until {what} been downloaded, and is carried out on {day} at the latest"
        later = one._replace(next_at=min(until, now + LOOK_AGAIN), reason=reason, waits_until=until)
        return (yield from store.write(later))
    for other in owed:
        asked = None if other.is_made else (yield from store.request(other.request))
        if asked is not None:
            reason = f"request {one.id}, to forget, could not wait for it any longer"
            yield from store.finish(asked, "void", now, reason)
    return None


def _plain_names(names: Iterable[Name]) -> set[Name]:
    return {(kind, plainest(kind, value)) for kind, value in names}


def _written(asked: Iterable[Name]) -> list[str]:
    """Write phones the ways platforms do."""
    found: set[str] = set()
    for kind, value in asked:
        if kind == "phone" and (digits := plainest(kind, value)):
            found |= {value, digits, f"+{digits}"}
    return sorted(found)


# --- What is kept here --------------------------------------------------------------------------

_RECEIPTS = plain("SELECT id, kind, who, asked_at, done_at, numbers FROM privacy_requests WHERE merchant_id = ?1")
_STONES = deleting("tombstones", "privacy_files")
_UNREAD = plain(
    "UPDATE privacy_requests SET reason = 'the file went, unread, with the whole shop' WHERE merchant_id = ?1 AND id IN"
    " (SELECT f.request FROM privacy_files f WHERE f.merchant_id = ?1 AND f.fetched_at IS NULL)"
)
_DROP_NAMES = plain(
    "DELETE FROM privacy_names WHERE request IN (SELECT r.id FROM privacy_requests r WHERE r.merchant_id = ?1"
    " AND r.kind <> 'shop/redact')"
)
_NOBODY_ASKED = plain("UPDATE privacy_requests SET who = 'the merchant' WHERE merchant_id = ?1 AND who <> 'shopify'")
_VOID = plain(
    "UPDATE privacy_requests SET stage = 'void', done_at = ?2, reason = 'the whole shop was forgotten'"
    " WHERE merchant_id = ?1 AND done_at IS NULL AND kind <> 'shop/redact'"
)


def export(subject: Subject) -> Steps[Sections]:
    """Show what the person asked for before."""
    mine = set(subject.numbers)
    rows = yield from ask(_RECEIPTS, (subject.merchant_id,))
    return {
        "requests": [
            {"number": number, "kind": kind, "asked_by": who, "asked_at": to_iso(asked), "done_at": to_iso(done)}
            for number, kind, who, asked, done, numbers in rows
            if mine & set(json.loads(numbers))
        ]
    }


def forget(subject: Subject, now: int) -> Steps[int]:
    """Delete exports of the person that are waiting to be fetched; receipts and tombstones stay: they name nobody."""
    return (yield from store.forget_files(subject.merchant_id, subject.numbers)) if subject.numbers else 0


def clear(merchant_id: int, limit: int, now: int) -> Steps[int]:
    """Delete tombstones and exports; requests about single people are done with the whole."""
    yield from ask(_UNREAD, (merchant_id,))
    yield from ask(_DROP_NAMES, (merchant_id,))
    yield from ask(_VOID, (merchant_id, now))
    yield from ask(_NOBODY_ASKED, (merchant_id,))
    return (yield from _STONES(merchant_id, limit, now))


HOLDER = Holder("privacy", export, forget, clear)
