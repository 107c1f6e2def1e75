"""What the ledger adds to a person's timeline: every entry of their accounts, and the reckoning of its sale."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from handlers.customers.timeline import LATEST, Badge, Bound, Item, Whose, numbered
from handlers.merchants.rules import Shop
from handlers.points.ledger import SPOKEN, words_of
from handlers.points.rules import BUCKETS, MICRO, account, explain
from handlers.points.standing import numbers_of, standings
from handlers.sales.timeline import called
from integration.database.steps import BIG, TEXT, Row, Sql, Steps, ask, keyed, plain

_COLUMNS = "e.number, e.at, e.reason, e.source, e.destination, e.micropoints, e.sale, e.key, e.detail"
_OF = "e.merchant_id = k.merchant_id"
_KEY = {"merchant_id": BIG, "account": TEXT, "before_at": BIG, "before_number": BIG}


def _newest(accounts: int) -> Sql:
    """Select so many accounts' newest entries below a bound: each side of each account gives a page at most.

    All of them together would have to be read and sorted whole for every page.
    """
    parts = (
        f"SELECT * FROM (SELECT {_COLUMNS} FROM ledger_entries e WHERE e.{side} = ?{n} AND e.merchant_id = ?1"
        f" AND (e.at, e.number) < (?2, ?3) ORDER BY e.at DESC, e.number DESC LIMIT ?4) {side}_{n}"
        for n in range(5, 5 + accounts)
        for side in ("source", "destination")
    )
    return plain(" UNION ALL ".join(parts))


_ENTRIES = _newest(2 * len(BUCKETS))
_BALANCES = keyed(
    "SELECT a.account, a.micropoints FROM {keys} k CROSS JOIN accounts a"
    " WHERE a.merchant_id = k.merchant_id AND a.account = k.account",
    merchant_id=BIG,
    account=TEXT,
)
# What has moved on each account since a page's end: its balance less that is what it was then.
_TAKEN, _ADDED = (
    keyed(
        f"SELECT k.account, CAST(SUM(e.micropoints) AS bigint) FROM {{keys}} k CROSS JOIN ledger_entries e"
        f" WHERE {_OF} AND e.{side} = k.account AND (e.at, e.number) >= (k.before_at, k.before_number)"
        " GROUP BY k.account",
        **_KEY,
    )
    for side in ("source", "destination")
)
_SALES = keyed(
    "SELECT s.number, s.name, s.platform, COALESCE(s.merged_into, s.number) FROM {keys} k CROSS JOIN sales s"
    " WHERE s.merchant_id = k.merchant_id AND s.number = k.number",
    merchant_id=BIG,
    number=BIG,
)


class EntryCalled(NamedTuple):
    """A kind of entry in words."""

    title: str  # with its points, and the order it is for
    short: str  # beside its points


# By the reason an entry carries, and here alone.
ENTRIES_CALLED = {
    "accrual": EntryCalled("{points} for {order}", "earned"),
    "reversal": EntryCalled("{points} taken back for {order}", "taken back"),
    "release": EntryCalled("{points} of {order} became available", "the return window is over"),
    "hold": EntryCalled("{points} of {order} went back on hold", "back on hold"),
    "dispute_hold": EntryCalled("{points} held while {order} is disputed", "held: the payment is disputed"),
    "dispute_release": EntryCalled("{points} free again: the dispute of {order} is over", "the dispute is over"),
    "claim": EntryCalled("{points} of {order} found their owner", "bought before we knew who"),
    "move": EntryCalled("{points} of {order} went to another customer record", "to another customer record"),
    "adjustment": EntryCalled("{points} {given} by hand", "by hand"),
    "forgiven": EntryCalled("{points} of debt forgiven", "debt forgiven"),
    "expiry": EntryCalled("{points} expired", "expired"),
    "reinstatement": EntryCalled("{points} given back: they had not expired after all", "not expired after all"),
    "import": EntryCalled("{points} brought along from another loyalty app", "brought along"),
    "import_undone": EntryCalled("{points} of an import taken back", "import taken back"),
    "tier_reward": EntryCalled("{points} for reaching a tier", "for reaching a tier"),
    "sign_up": EntryCalled("{points} for opening an account", "for an account"),
    "birthday": EntryCalled("{points} for their birthday", "for a birthday"),
    "first_order": EntryCalled("{points} for the first order", "for the first order"),
    "order_milestone": EntryCalled("{points} for one more round number of orders", "for a number of orders"),
    "anniversary": EntryCalled("{points} for another year as a customer", "for an anniversary"),
    "gift_release": EntryCalled("{points} of a gift became available", "the return window is over"),
    "gift_hold": EntryCalled("{points} of a gift went back on hold", "back on hold"),
    "gift_reversed": EntryCalled("{points} of a gift taken back: what it was for came back", "gift taken back"),
    "goodwill": EntryCalled("{points} given as a present", "a present"),
    "referral": EntryCalled("{points} for bringing a friend", "for a friend"),
    "referral_release": EntryCalled("{points} for a friend became available", "the return window is over"),
    "referral_hold": EntryCalled("{points} for a friend went back on hold", "back on hold"),
    "referral_reversed": EntryCalled("{points} for a friend taken back", "the friend’s order came back"),
    "reward": EntryCalled("{points} set aside for a reward", "set aside for a reward"),
    "redeemed": EntryCalled("{points} spent on a reward", "spent on a reward"),
    "reward_returned": EntryCalled(
        "{points} given back: a reward was not used, or what was bought with it came back", "reward given back"
    ),
    "merge": EntryCalled("{points} came along from another customer record", "two records became one person"),
}


class BucketCalled(NamedTuple):
    """A bucket of somebody's points in words."""

    badge: Badge
    spelt: str


BUCKETS_CALLED = {
    "pending": BucketCalled(Badge("Pending", "info"), "pending points"),
    "available": BucketCalled(Badge("Available", "success"), "points to spend"),
    "disputed": BucketCalled(Badge("Held", "warning"), "points held for a dispute"),
    "reserved": BucketCalled(Badge("Reserved", "info"), "points set aside"),
}
_ACCOUNT = re.compile(r"in (test:)?(customer:\d+|unclaimed):(pending|available|disputed|reserved)")


class Entries:
    """The source `points`: each entry of the ledger with the whole points it moved."""

    name = "points"

    def items(self, whose: Whose, before: Bound, limit: int) -> Steps[Sequence[Item]]:
        """List entries; an entry shows its account's floor after it less the floor before it."""
        return [_item(each) for each in (yield from moved(whose.shop.id, whose.numbers, before, limit))]


class Moved(NamedTuple):
    """One entry of a person's accounts, in whole points."""

    number: int
    at: int
    key: str
    reason: str
    points: int  # it moved on the account it fills, or, leaving the person, on the one it empties
    total: int  # by which all accounts of the person together changed
    bucket: str
    order: str | None  # what the shop calls the sale
    platform: str | None  # the sale's; empty = there is none
    sale: int | None  # under the number it has by now
    words: str | None  # said to the person
    detail: str | None
    test: bool


def moved(merchant_id: int, numbers: Sequence[int], before: Bound, limit: int) -> Steps[list[Moved]]:
    """List at most `limit` entries of a person's numbers below a bound, the newest first."""
    bound = (before.at, numbered(before.key))
    names = [account(n, bucket, test=test) for test in (False, True) for n in numbers for bucket in BUCKETS]
    keys = [(merchant_id, name, *bound) for name in names]
    found: dict[int, Row] = {}
    for number in numbers:
        mine = [account(number, bucket, test=test) for test in (False, True) for bucket in BUCKETS]
        for row in (yield from ask(_ENTRIES, (merchant_id, *bound, limit, *mine))):
            found[row[0]] = row
    rows = sorted(found.values(), key=lambda row: (row[1], row[0]), reverse=True)[:limit]
    if not rows:
        return []
    running = dict.fromkeys(names, 0)
    running.update(dict((yield from ask(_BALANCES, [(merchant_id, name) for name in names]))))
    newer = keys if before.at < LATEST else []
    for name, amount in (yield from ask(_TAKEN, newer)):
        running[name] += amount
    for name, amount in (yield from ask(_ADDED, newer)):
        running[name] -= amount
    sales = yield from _named(merchant_id, {row[6] for row in rows if row[6] is not None})
    words = yield from words_of(merchant_id, [row[7] for row in rows if row[6] is None])
    return [_entry(row, running, sales, words) for row in rows]


def called_entry(reason: str) -> EntryCalled:
    """Return the words for a kind of entry, by its reason."""
    bare = reason.replace("_", " ")
    return ENTRIES_CALLED.get(reason) or EntryCalled("{points}: " + bare, bare)


_Sale = tuple[str | None, str | None, int]  # name, platform, the number it goes under


def _named(merchant_id: int, numbers: Iterable[int]) -> Steps[dict[int, _Sale]]:
    rows = yield from ask(_SALES, [(merchant_id, number) for number in sorted(numbers)])
    return {number: (name, platform, now) for number, name, platform, now in rows}


def _entry(row: Row, running: dict[str, int], sales: Mapping[int, _Sale], words: Mapping[str, str]) -> Moved:
    """Read an entry, and take it off the running balances: the next one is older."""
    number, at, reason, source, destination, amount, sale, key, detail = row
    points, total, mine = 0, 0, destination
    for name, change in ((source, -amount), (destination, amount)):
        if name in running:
            points = running[name] // MICRO - (running[name] - change) // MICRO
            total += points
            running[name] -= change
            mine = name
    order, platform, survivor = sales.get(sale, (None, None, sale))
    return Moved(
        number=number,
        at=at,
        key=key,
        reason=reason,
        points=points,
        total=total,
        bucket=mine.rpartition(":")[2],
        order=order,
        platform=platform if sale in sales else "",
        sale=survivor,
        words=words.get(key),
        detail=detail,
        test=mine.startswith("test:"),
    )


def _item(one: Moved) -> Item:
    order = "a purchase" if one.platform == "" else called(one.order, one.platform)
    title = called_entry(one.reason).title
    # Words that were forgotten leave a digest.
    said = one.words or (one.detail if one.detail and not one.detail.startswith(SPOKEN) else "")
    return Item(
        at=one.at,
        key=str(one.number),
        what="points",
        title=title.format(
            points="1 point" if abs(one.points) == 1 else f"{abs(one.points):,} points",
            order=order.replace("Order", "order", 1),
            given="given" if one.points >= 0 else "taken away",
        ),
        badge=BUCKETS_CALLED[one.bucket].badge if one.bucket in BUCKETS_CALLED else None,
        details=(said,) if said and one.reason != "merge" else (),
        points=one.total or None,
        sale=one.sale,
        test=one.test,
    )


def whys(shop: Shop, sales: Iterable[int], now: int) -> Steps[dict[int, tuple[str, ...]]]:
    """Say of sales, by number, what each earned and why; those joined into others are left out."""
    found = yield from standings(shop, sorted(set(sales)))
    return {
        number: tuple(_ACCOUNT.sub(_spelt, sentence) for sentence in explain(one.sale, one.posted, now))
        for one in found
        for number in numbers_of(one.sale)
    }


def _spelt(account_: re.Match[str]) -> str:
    """Name an account for people who do not know our books."""
    owner = " of a customer not known yet" if account_[2] == "unclaimed" else ""
    return f"as {BUCKETS_CALLED[account_[3]].spelt}{owner}{', of a test' if account_[1] else ''}"
