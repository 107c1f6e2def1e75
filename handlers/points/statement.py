"""One customer's account as people are shown it: balances, entries, messages, and why each sale earned what."""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from handlers.customers.identify import find
from handlers.customers.rules import normalise
from handlers.merchants.books import shops
from handlers.merchants.rules import Refused, Shop
from handlers.points.ledger import SPOKEN, words_of
from handlers.points.purses import next_lapse
from handlers.points.rules import BUCKETS, MICRO, account, explain
from handlers.points.standing import Standing, standings
from integration.clock import to_iso
from integration.database.steps import BIG, TEXT, Row, Steps, ask, keyed, plain
from integration.money import to_decimal

MOST_ENTRIES = 5_000  # the newest are shown
MOST_MESSAGES = 1_000
MOST_SALES = 1_000
PAGE = 1_000
MOST_PAGES = 1_000_000
SPENT = "program:redeemed"

_CUSTOMER = plain(
    "SELECT number, first_name, last_name, email, phone, locale, country, region, created_at FROM customers"
    " WHERE merchant_id = ?1 AND number = ?2"
)
# A number and those that mean it since a merge; an OR of the two would look at every customer.
_SELF = (
    "SELECT CAST(?2 AS bigint) UNION ALL"
    " SELECT c.number FROM customers c WHERE c.merchant_id = ?1 AND c.merged_into = ?2"
)
# Here the plus keeps it from reading all names of the merchant.
_NAMES = plain(
    f"SELECT DISTINCT i.kind, i.value FROM customer_identities i WHERE +i.merchant_id = ?1 AND i.customer IN ({_SELF})"
    " ORDER BY i.kind, i.value LIMIT 1000"
)
_BALANCES = keyed(
    "SELECT a.account, a.micropoints FROM {keys} k CROSS JOIN accounts a"
    " WHERE a.merchant_id = k.merchant_id AND a.account = k.account",
    merchant_id=BIG,
    account=TEXT,
)
# Written so that nobody looks at all that was ever spent in the shop.
_SPENT = keyed(
    "SELECT e.source, CAST(sum(e.micropoints) AS bigint) FROM {keys} k CROSS JOIN ledger_entries e"
    " WHERE e.merchant_id = k.merchant_id AND e.source = k.account"
    f" AND e.destination || '' = '{SPENT}' GROUP BY e.source",
    merchant_id=BIG,
    account=TEXT,
)
# Asked of who has spent something alone: it reads all that came to an account.
_RETURNED = keyed(
    "SELECT e.destination, CAST(sum(e.micropoints) AS bigint) FROM {keys} k CROSS JOIN ledger_entries e"
    " WHERE e.merchant_id = k.merchant_id AND e.destination = k.account"
    f" AND e.source || '' = '{SPENT}' GROUP BY e.destination",
    merchant_id=BIG,
    account=TEXT,
)
_EXPIRED = keyed(
    "SELECT x.customer, x.expired FROM {keys} k CROSS JOIN expiries x"
    " WHERE x.merchant_id = k.merchant_id AND x.customer = k.customer",
    merchant_id=BIG,
    customer=BIG,
)
# The plus keeps SQLite from reading all entries after a number instead of those of the account.
_COLUMNS = "e.number, e.at, e.reason, e.source, e.destination, e.micropoints, e.sale, e.key, e.detail"
_ENTRIES = keyed(
    "SELECT * FROM ("
    f"SELECT {_COLUMNS} FROM {{keys}} k CROSS JOIN ledger_entries e"
    " WHERE e.merchant_id = k.merchant_id AND e.source = k.account AND +e.number > k.after"
    f" UNION SELECT {_COLUMNS} FROM {{keys}} k CROSS JOIN ledger_entries e"
    " WHERE e.merchant_id = k.merchant_id AND e.destination = k.account AND +e.number > k.after"
    f") both_sides ORDER BY number LIMIT {PAGE}",
    merchant_id=BIG,
    account=TEXT,
    after=BIG,
)
_MESSAGES = plain(
    "SELECT m.kind, m.channel, m.state, m.due_at, m.sent_at, m.reason, m.sale, m.test FROM messages m"
    f" WHERE m.merchant_id = ?1 AND m.customer IN ({_SELF}) ORDER BY m.due_at DESC, m.key LIMIT ?3"
)
_SALES = plain(
    f"SELECT s.number FROM sales s WHERE s.merchant_id = ?1 AND s.merged_into IS NULL AND s.customer IN ({_SELF})"
    " ORDER BY s.sold_at DESC, s.number DESC LIMIT ?3"
)
_SALE_NAMES = keyed(
    "SELECT i.sale, i.platform, i.kind, i.value FROM {keys} k CROSS JOIN sale_identities i"
    " WHERE i.merchant_id = k.merchant_id AND i.sale = k.sale ORDER BY i.platform, i.kind, i.value",
    merchant_id=BIG,
    sale=BIG,
)
# Kept by the tiers' settling; which tier that is says the programme.
_STANDING = plain(
    "SELECT tier, since_at, kept_until, falls_at FROM standings"
    " WHERE merchant_id = ?1 AND customer = ?2 AND tier IS NOT NULL"
)
_PEOPLE = plain(
    "SELECT c.number, c.email, (SELECT count(*) FROM sales s WHERE s.merchant_id = c.merchant_id"
    " AND s.customer = c.number AND s.merged_into IS NULL AND s.test = 0)"
    " FROM customers c WHERE c.merchant_id = ?1 AND c.number > ?2 AND c.merged_into IS NULL"
    " ORDER BY c.number LIMIT ?3"
)


def find_customer(merchant_id: int, name: str) -> Steps[int]:
    """Return the number of who goes by an e-mail address, `shopify:<id>` or `stripe:<cus_…>`; else Refused."""
    kind, colon, value = name.strip().partition(":")
    if not colon or kind not in ("shopify", "stripe"):
        kind, value = "email", normalise(name)
    number = yield from find(merchant_id, [(kind, value)])
    if number is None:
        raise Refused(f"No customer goes by {name}.")
    return number


def statement(merchant_id: int, customer: int, now: int) -> Steps[dict[str, Any]]:
    """Return everything there is to show of a customer, as JSON values; what is of tests stands apart."""
    shop = (yield from shops([merchant_id]))[merchant_id]
    sold = yield from ask(_SALES, (merchant_id, customer, MOST_SALES))
    found = yield from standings(shop, [row[0] for row in sold])
    names = yield from ask(_SALE_NAMES, [(merchant_id, row[0]) for row in sold])
    messages = yield from ask(_MESSAGES, (merchant_id, customer, MOST_MESSAGES))
    shown: dict[str, Any] = {
        "customer": (yield from _person(merchant_id, customer)),
        "points": (yield from balances(merchant_id, [customer]))[customer],
        "expires": (yield from _expires(shop, customer, now)),
        **(yield from tier_of(shop, customer)),
        "entries": (yield from _entries(merchant_id, customer, test=False)),
        "messages": [_message(row) for row in reversed(messages)],
        "sales": [_sale(shop, one, names, now) for one in sorted(found, key=_sold_at)],
    }
    entries = yield from _entries(merchant_id, customer, test=True)
    if entries:
        points = (yield from balances(merchant_id, [customer], test=True))[customer]
        shown["test"] = {"points": points, "entries": entries}
    return shown


def tier_of(shop: Shop, customer: int) -> Steps[dict[str, Any]]:
    """Say which tier the customer has, by its name, and how long for; None where there are no tiers."""
    tiers = shop.current.tiers
    rows = (yield from ask(_STANDING, (shop.id, customer))) if tiers.enabled else []
    if not rows or rows[0][0] not in tiers.ladder:
        return {"tier": None}
    tier, since, until, falls_at = rows[0]
    standing = {"id": tier, "since": to_iso(since), "kept_until": to_iso(until), "lost_at": to_iso(falls_at)}
    return {"tier": tiers.ladder[tier].name, "standing": standing}


def _expires(shop: Shop, customer: int, now: int) -> Steps[dict[str, Any] | None]:
    """Say when points lapse next and how many whole ones at that moment; None where none will."""
    found = yield from next_lapse(shop, customer, now)
    return {"at": to_iso(found[0]), "points": found[1]} if found is not None else None


def balances(merchant_id: int, customers: Iterable[int], *, test: bool = False) -> Steps[dict[int, dict[str, int]]]:
    """Return the shown points of customers: whole ones, each bucket rounded down.

    `held` is disputed and reserved; `lifetime` is what sales and grants brought, net of reversals, without
    what is still pending.
    """
    numbers = list(customers)
    keys = [(merchant_id, account(n, bucket, test=test)) for n in numbers for bucket in BUCKETS]
    kept: dict[str, int] = dict((yield from ask(_BALANCES, keys)))
    spent: dict[str, int] = dict((yield from ask(_SPENT, keys)))
    if spent:
        for name, points in (yield from ask(_RETURNED, keys)):
            spent[name] = spent.get(name, 0) - points
    expired: dict[int, int] = {} if test else dict((yield from ask(_EXPIRED, [(merchant_id, n) for n in numbers])))
    shown = {}
    for number in numbers:
        pending, available, disputed, reserved = (kept.get(account(number, bucket, test=test), 0) for bucket in BUCKETS)
        gone = sum(spent.get(account(number, bucket, test=test), 0) for bucket in BUCKETS) + expired.get(number, 0)
        shown[number] = {
            "available": available // MICRO,
            "pending": pending // MICRO,
            "held": (disputed + reserved) // MICRO,
            "lifetime": (available + disputed + reserved + gone) // MICRO,
        }
    return shown


def customers_after(merchant_id: int, number: int, limit: int) -> Steps[list[tuple[int, dict[str, Any]]]]:
    """One page of customers by number: each with address, shown points and how many real sales."""
    rows = yield from ask(_PEOPLE, (merchant_id, number, limit))
    points = yield from balances(merchant_id, [row[0] for row in rows])
    return [(number, {"email": email, "points": points[number], "sales": sales}) for number, email, sales in rows]


def _person(merchant_id: int, customer: int) -> Steps[dict[str, Any]]:
    rows = yield from ask(_CUSTOMER, (merchant_id, customer))
    number, first, last, email, phone, locale, country, region, created_at = rows[0]
    names = yield from ask(_NAMES, (merchant_id, customer))
    return {
        "number": number,
        "first_name": first,
        "last_name": last,
        "email": email,
        "phone": phone,
        "locale": locale,
        "country": country,
        "region": region,
        "since": to_iso(created_at),
        "known_as": [f"{kind}:{value}" for kind, value in names],
    }


def _entries(merchant_id: int, customer: int, *, test: bool) -> Steps[list[dict[str, Any]]]:
    """List the entries of the customer's accounts, each with the whole points it moved on the one it fills.

    Where both accounts are the customer's (a release), the destination counts.
    """
    running = dict.fromkeys((account(customer, bucket, test=test) for bucket in BUCKETS), 0)
    shown: deque[dict[str, Any]] = deque(maxlen=MOST_ENTRIES)
    after = 0
    for _ in range(MOST_PAGES):
        rows = yield from ask(_ENTRIES, [(merchant_id, name, after) for name in running])
        for number, at, reason, source, destination, amount, sale, key, detail in rows:
            points = 0
            for name, change in ((source, -amount), (destination, amount)):
                if name in running:
                    points = (running[name] + change) // MICRO - running[name] // MICRO
                    running[name] += change
            entry = {"at": to_iso(at), "reason": reason, "points": points, "from": source, "to": destination}
            shown.append(entry | {"sale": sale, "key": key} | ({"detail": detail} if detail else {}))
            after = number
        if len(rows) < PAGE:
            break
    words = yield from words_of(merchant_id, [e["key"] for e in shown if e.get("detail", "").startswith(SPOKEN)])
    for entry in shown:
        if entry.get("detail", "").startswith(SPOKEN):
            entry["detail"] = words.get(entry["key"], "(forgotten)")
    return list(shown)


def _message(row: Row) -> dict[str, Any]:
    kind, channel, state, due_at, sent_at, reason, sale, test = row
    shown = {
        "kind": kind,
        "channel": channel,
        "state": state,
        "due_at": to_iso(due_at),
        "sent_at": to_iso(sent_at),
        "reason": reason,
        "sale": sale,
    }
    return shown | ({"test": True} if test else {})


def _sale(shop: Shop, standing: Standing, names: Iterable[Row], now: int) -> dict[str, Any]:
    sale, worth = standing.sale, standing.sale.worth
    order = sale.facts.order
    return {
        "number": sale.number,
        "name": order.name if order is not None else None,
        "ids": [f"{platform}:{kind}:{value}" for number, platform, kind, value in names if number == sale.number],
        "sold_at": to_iso(worth.sold_at),
        "standing": worth.standing,
        "test": worth.test,
        "currency": worth.currency,
        "total": _money(worth.paid_minor, worth.currency),
        "eligible": _money(worth.eligible_minor, worth.currency),
        "program_version": sale.earns_under.number if sale.earns_under is not None else None,
        "campaigns": [sale.earns_under.program.earning.campaigns[each.campaign].name for each in worth.bonuses]
        if sale.earns_under is not None
        else [],
        "points": _by_bucket(standing.held),
        "why": explain(sale, standing.posted, now),
    }


def _by_bucket(held: Mapping[str, int]) -> dict[str, float]:
    """Return a sale's own points by bucket, exact: a single sale's fraction is not rounded away."""
    shown: dict[str, float] = {}
    for name, amount in sorted(held.items()):
        bucket = name.rpartition(":")[2]
        total = round(shown.get(bucket, 0) * MICRO) + amount
        shown[bucket] = total // MICRO if total % MICRO == 0 else total / MICRO
    return shown


def _money(minor: int, currency: str | None) -> str | None:
    return None if currency is None else f"{to_decimal(minor, currency):f}"


def _sold_at(standing: Standing) -> tuple[int, int]:
    return standing.sale.worth.sold_at or 0, standing.sale.number
