"""What is kept of persons themselves: their names, what they allow, and what they asked us to leave off."""

from collections.abc import Iterator

from handlers.holders import Holder, Sections, Subject, deleting
from integration.clock import to_iso
from integration.database.steps import BIG, TEXT, Steps, ask, keyed, plain

CHANNELS = ("email", "sms")
BY_NUMBER = {"merchant_id": BIG, "number": BIG}
BY_ADDRESS = {"merchant_id": BIG, "channel": TEXT, "address": TEXT}

_SHOW = keyed(
    "SELECT c.number, c.shopify_id, c.first_name, c.last_name, c.email, c.phone, c.locale, c.country, c.region,"
    " c.birthday, c.created_at FROM {keys} k CROSS JOIN customers c"
    " WHERE c.merchant_id = k.merchant_id AND c.number = k.number ORDER BY c.number",
    **BY_NUMBER,
)
# The plus keeps SQLite from reading all names of the merchant.
_NAMES = keyed(
    "SELECT i.customer, i.kind, i.value FROM {keys} k CROSS JOIN customer_identities i"
    " WHERE +i.merchant_id = k.merchant_id AND i.customer = k.number ORDER BY i.customer, i.kind, i.value",
    **BY_NUMBER,
)
_CONSENTS = keyed(
    "SELECT c.channel, c.address, c.state, c.source, c.told_at FROM {keys} k CROSS JOIN consents c"
    " WHERE c.merchant_id = k.merchant_id AND c.channel = k.channel AND c.address = k.address",
    **BY_ADDRESS,
)
_SUPPRESSIONS = keyed(
    "SELECT s.channel, s.address, s.reason, s.detail, s.at, s.lifted_at FROM {keys} k CROSS JOIN suppressions s"
    " WHERE s.merchant_id = k.merchant_id AND s.channel = k.channel AND s.address = k.address",
    **BY_ADDRESS,
)
_BLANK = (
    "shopify_id = NULL, first_name = NULL, last_name = NULL, email = NULL, phone = NULL, locale = NULL,"
    " country = NULL, region = NULL, birthday = NULL, birthday_at = NULL, birthday_due_at = NULL,"
    " email_at = 0, name_at = 0, phone_at = 0, locale_at = 0, place_at = 0"
)
_FORGET = keyed(
    f"UPDATE customers SET {_BLANK}, forgotten_at = k.at FROM {{keys}} k"
    " WHERE customers.merchant_id = k.merchant_id AND customers.number = k.number AND customers.forgotten_at IS NULL",
    **BY_NUMBER,
    at=BIG,
)
_NAMELESS = keyed(
    "DELETE FROM customer_identities WHERE (customer, merchant_id) IN (SELECT k.number, k.merchant_id FROM {keys} k)",
    **BY_NUMBER,
)
_DROP = tuple(
    keyed(
        f"DELETE FROM {table} WHERE (merchant_id, channel, address) IN"
        " (SELECT k.merchant_id, k.channel, k.address FROM {keys} k)",
        **BY_ADDRESS,
    )
    for table in ("consents", "suppressions")
)
_LIVING = plain("SELECT number FROM customers WHERE merchant_id = ?1 AND forgotten_at IS NULL ORDER BY number LIMIT ?2")
_drop_all = deleting("customer_identities", "consents", "suppressions")


def addresses(subject: Subject) -> Iterator[str]:
    """Name a subject the ways consent and suppression do: addresses, phones, a platform's id, our own number."""
    for kind, value in subject.names:
        if kind in ("email", "phone"):
            yield value
        elif kind in ("shopify", "stripe"):
            yield f"{kind}:{value}"
    yield from (f"customer:{number}" for number in subject.numbers)


def export(subject: Subject) -> Steps[Sections]:
    """Show who the person is to us, what names them, and what they allow."""
    keys = [(subject.merchant_id, number) for number in subject.numbers]
    people = yield from ask(_SHOW, keys)
    names = yield from ask(_NAMES, keys)
    places = _places(subject)
    consents = yield from ask(_CONSENTS, places)
    suppressions = yield from ask(_SUPPRESSIONS, places)
    columns = (
        "number", "shopify_id", "first_name", "last_name", "email", "phone", "locale", "country", "region", "birthday",
    )  # fmt: skip
    return {
        "person": [dict(zip(columns, row, strict=False)) | {"known_since": to_iso(row[10])} for row in people],
        "names": [{"number": row[0], "kind": row[1], "value": row[2]} for row in names],
        "consent": [
            {"channel": row[0], "address": row[1], "state": row[2], "told_by": row[3], "told_at": to_iso(row[4])}
            for row in consents
        ],
        "do_not_mail": [
            {
                "channel": row[0],
                "address": row[1],
                "reason": row[2],
                "detail": row[3],
                "since": to_iso(row[4]),
                "lifted_at": to_iso(row[5]),
            }
            for row in suppressions
        ],
    }


def forget(subject: Subject, now: int) -> Steps[int]:
    """Leave nothing of a person but our own number, and since when it means nobody."""
    keys = [(subject.merchant_id, number) for number in sorted(subject.numbers)]
    changed = yield from ask(_FORGET, [(*key, now) for key in keys])
    gone = yield from ask(_NAMELESS, keys)
    count: int = sum(rows[0][0] for rows in (changed, gone) if rows)
    places = _places(subject)
    for statement in _DROP:
        dropped = yield from ask(statement, places)
        count += dropped[0][0] if dropped else 0
    return count


def clear(merchant_id: int, limit: int, now: int) -> Steps[int]:
    """Forget some of a shop's customers, and what they allowed."""
    rows = yield from ask(_LIVING, (merchant_id, limit))
    changed = yield from ask(_FORGET, [(merchant_id, row[0], now) for row in rows])
    count = int(changed[0][0]) if changed else 0
    return count + (yield from _drop_all(merchant_id, limit, now))


def _places(subject: Subject) -> list[tuple[int, str, str]]:
    named = sorted(set(addresses(subject)))
    return [(subject.merchant_id, channel, address) for channel in CHANNELS for address in named]


HOLDER = Holder("customers", export, forget, clear)
