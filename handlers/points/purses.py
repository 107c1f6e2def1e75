"""People's points as the ledger tells of them, under all numbers somebody ever had, and the lots they make."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from handlers.customers.persons import roots_of
from handlers.merchants.rules import Shop
from handlers.points.lots import Credit, Debit, Lots, Return, Story, play, terms_of
from handlers.points.rules import MICRO, account
from handlers.sales.rules import Sale
from integration.database.steps import BIG, TEXT, Row, Steps, ask, keyed

PAGE = 10_000  # entries of one round trip
MOST_PAGES = 100  # of people read together
MOST_SALES = 1_000_000  # of people read together, the newest

_ALIASES = keyed(
    "SELECT c.merged_into, c.number FROM {keys} k CROSS JOIN customers c"
    " WHERE c.merchant_id = k.merchant_id AND c.merged_into = k.number",
    merchant_id=BIG,
    number=BIG,
)
_COLUMNS = "e.number, e.at, e.reason, e.source, e.destination, e.micropoints, e.sale, e.key"
# The plus keeps SQLite from reading all entries after a number instead of those of the account.
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
_SOLD = keyed(
    "SELECT s.customer, s.number, s.sold_at FROM {keys} k CROSS JOIN sales s"
    " WHERE s.customer = k.customer AND s.merchant_id = k.merchant_id"
    f" AND s.sold_at IS NOT NULL AND s.test = 0 ORDER BY s.sold_at DESC LIMIT {MOST_SALES}",
    merchant_id=BIG,
    customer=BIG,
)


@dataclass(slots=True)
class Purse:
    """One person's points as the ledger tells of them, under all numbers the person ever had."""

    number: int
    numbers: Sequence[int]
    story: Story = field(default_factory=Story)
    expired: int = 0  # posted, net of what was given back
    postings: int = 0  # that were made for it


def purse(shop: Shop, number: int, fresh: Sequence[Sale] = ()) -> Steps[Purse | None]:
    """Read the points of the person a number means, and whatever lapsed of them; None where nobody is meant."""
    roots = yield from roots_of(shop.id, [number])
    if not roots:
        return None
    return (yield from purses(shop, roots.values(), fresh))[roots[number]]


def purses(shop: Shop, roots: Collection[int], fresh: Sequence[Sale] = ()) -> Steps[dict[int, Purse]]:
    """Read the points of some people, by the numbers they go under now, and whatever lapsed of them.

    A lot is what a sale has brought net of its refunds, from the moment it could be spent; a dispute that was won
    starts its clock anew. People are active when they buy and when they are given points or spend them.
    `fresh` sales count as they are now: what is written of them is older.
    """
    owner = {root: root for root in roots}
    owner |= {alias: root for root, alias in (yield from ask(_ALIASES, [(shop.id, root) for root in sorted(roots)]))}
    readings = yield from _read(shop.id, owner)
    bought = yield from _bought(shop.id, owner, fresh)
    numbers: dict[int, list[int]] = {root: [] for root in readings}
    for number in sorted(owner):
        numbers[owner[number]].append(number)
    return {
        root: Purse(
            root,
            numbers[root],
            Story(*reading.lots(), sorted({*bought[root], *reading.active}), reading.returns),
            reading.expired,
            reading.postings,
        )
        for root, reading in readings.items()
    }


def _read(merchant_id: int, owner: Mapping[int, int]) -> Steps[dict[int, "_Reading"]]:
    """Read the entries of all these numbers' spendable points, by who they are of."""
    readings = {root: _Reading(set()) for root in owner.values()}
    by_account = {account(number, "available"): readings[root] for number, root in owner.items()}
    for name, reading in by_account.items():
        reading.accounts.add(name)
    after = 0
    for _ in range(MOST_PAGES):
        rows = yield from ask(_ENTRIES, [(merchant_id, name, after) for name in sorted(by_account)])
        for row in rows:
            giver, taker = by_account.get(row[3]), by_account.get(row[4])
            if taker is not None:
                taker.take(row)
            if giver is not None and giver is not taker:
                giver.take(row)
        if len(rows) < PAGE:
            break
        after = rows[-1][0]
    return readings


def _bought(merchant_id: int, owner: Mapping[int, int], fresh: Sequence[Sale]) -> Steps[dict[int, set[int]]]:
    """Say when people bought, by who they are; `fresh` sales as they are now."""
    bought: dict[int, set[int]] = {root: set() for root in owner.values()}
    newer = {number for sale in fresh for number in (sale.number, *sale.absorbed)}
    for customer, sale, sold_at in (yield from ask(_SOLD, [(merchant_id, number) for number in sorted(owner)])):
        if sale not in newer:
            bought[owner[customer]].add(sold_at)
    for one in fresh:
        if one.customer is not None and one.customer in owner and one.worth.sold_at is not None:
            bought[owner[one.customer]].add(one.worth.sold_at)
    return bought


@dataclass(slots=True)
class _Reading:
    """Turns entries of a person's spendable points into credits and debits; moves between their numbers are none."""

    accounts: set[str]
    # A sale, an occasion, or a line of an import -> when its clock began, and what is left net of what was undone.
    sales: dict[int | str, tuple[int, int]] = field(default_factory=dict)
    credits: list[Credit] = field(default_factory=list)
    debits: list[Debit] = field(default_factory=list)
    active: list[int] = field(default_factory=list)
    returns: list[Return] = field(default_factory=list)
    expired: int = 0
    postings: int = 0

    def take(self, entry: Row) -> None:
        _, at, reason, source, destination, amount, sale, key = entry
        comes, goes = destination in self.accounts, source in self.accounts
        if key.startswith("expire:"):
            self.expired += amount if goes else -amount
            self.postings += 1
        elif comes and goes:
            return
        elif sale is not None:
            began, net = self.sales.get(sale, (at, 0))
            self.sales[sale] = (at if reason == "dispute_release" else began, net + (amount if comes else -amount))
        elif key.startswith("import:"):
            # Undone, a line takes back its own points and nobody's earned ones, even where they had lapsed.
            line = key.removesuffix(":undone")
            began, net = self.sales.get(line, (at, 0))
            self.sales[line] = (began, net + (amount if comes else -amount))
            if comes:
                self.active.append(at)
        elif key.startswith(("earn:", "refer:")):
            # Taken back, an occasion or a friend takes its own points, even where they had lapsed.
            occasion = key.rpartition(":")[0]
            began, net = self.sales.get(occasion, (at, 0))
            self.sales[occasion] = (began, net + (amount if comes else -amount))
            if comes:
                self.active.append(at)
        elif key.startswith("redeem:") and comes:
            self.returns.append(Return(at, amount, _reward_of(key)))
        elif comes:
            self.credits.append(Credit(at, amount))
            if reason in ("adjustment", "goodwill"):
                self.active.append(at)
        else:
            self.debits.append(Debit(at, amount, _reward_of(key) if key.startswith("redeem:") else None))
            if reason not in ("adjustment", "merge"):
                self.active.append(at)

    def lots(self) -> tuple[list[Credit], list[Debit]]:
        brought = [Credit(at, net) for at, net in self.sales.values() if net > 0]
        # Between two settlements of a sale that changes hands its points may be missing here for a moment.
        missing = [Debit(at, -net) for at, net in self.sales.values() if net < 0]
        return self.credits + brought, self.debits + missing


def _reward_of(key: str) -> str:
    """Name the reward an entry `redeem:<number>:<posting>` is of."""
    return key.rpartition(":")[0]


def lots_of(shop: Shop, mine: Purse, now: int) -> Lots:
    """Work out a person's lots at an instant under the terms the programme had until then."""
    return play(terms_of(shop.versions, now), mine.story, now)


def next_lapse(shop: Shop, number: int, now: int) -> Steps[tuple[int, int] | None]:
    """Say when somebody's points lapse next, and how many whole ones at that moment; None where none will."""
    if not shop.current.expiry.enabled:
        return None
    mine = yield from purse(shop, number)
    lots = lots_of(shop, mine, now) if mine is not None else None
    if lots is None or lots.next_at is None:
        return None
    return lots.next_at, lots.lapsing_before(lots.next_at + 1) // MICRO
