"""What must hold after any fault: the invariants, read from the tables, the sender's history and the mailbox.

I1 nothing acknowledged is lost; I2 one row a delivery; I3 each effect exactly once, by the oracle; I4 the books
balance, and only what settling took back is below zero; I5 nothing is stuck, and what was given up says why; I6 each
mail once; I8 the end of a run without faults.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from handlers.inbox.idle import busy
from handlers.merchants.connections import find_merchant
from handlers.messages.sending import message_name
from handlers.points.audit import audit_books
from handlers.thanks.rules import STANDINGS
from integration.errors import Unavailable
from integration.sandbox.mailbox import Mail
from tests.faults.load import name_of
from tests.oracle.expectation import UNCLAIMED, Expected, expect
from tests.oracle.notes import counts, given_back
from tests.properties.histories import History
from tests.properties.plays import Observed, Stage, _described

MOST_SHOWN = 300
# Reasons for no note that the sale itself would have to bear out.
WORTHLESS = frozenset({*STANDINGS.values(), "everything was given back", "nobody is known to have bought it"})


@dataclass
class Findings:
    """What did not hold, by invariant, and what is counted though it may happen."""

    broken: dict[str, list[str]] = field(default_factory=dict)
    lost: int = 0  # acknowledged deliveries, or their effects, that are not there
    doubled: int = 0  # rows or effects there twice
    unthanked: list[str] = field(default_factory=list)  # sales without a note, and what became of other messages
    mails_twice: int = 0  # received again, or received and not counted as sent

    def add(self, others: "Findings") -> None:
        """Add what was found elsewhere."""
        for invariant, each in others.broken.items():
            self.broken.setdefault(invariant, []).extend(each)
        self.lost += others.lost
        self.doubled += others.doubled
        self.mails_twice += others.mails_twice

    def note(self, invariant: str, words: object) -> None:
        """Keep one thing that did not hold."""
        self.broken.setdefault(invariant, []).append(str(words)[:MOST_SHOWN])


async def is_idle(stage: Stage, ahead: int = 0) -> bool:
    """Whether nothing is left to be worked now, or within so many microseconds; not while the database is away."""
    try:
        return not await stage.context.database.read(lambda: busy(stage.clock.now() + ahead))
    except Unavailable:
        return False


async def check(
    stage: Stage,
    reference: Stage,
    shops: Sequence[tuple[History, History]],
    acknowledged: Collection[str],
    mails: Sequence[Mail],
    given_up: frozenset[str] = frozenset(),
) -> Findings:
    """Look at the end of one run.

    `shops` are histories as drawn and as they happened here; `given_up` are deliveries that were to end as dead
    letters.
    """
    found = Findings()
    received = Counter(str(mail.message_id).strip("<>").partition("@")[0] for mail in mails)
    for drawn, shop in shops:
        merchant = await stage.context.database.run(lambda shop=shop: find_merchant(shop.shop.name))
        await _journal(stage, shop, merchant, acknowledged, given_up, found)
        await _effects(stage, reference, drawn, shop, merchant, found)
        await _books(stage, merchant, found)
        await _mails(stage, shop, merchant, received, found)
    return found


async def _journal(
    stage: Stage,
    shop: History,
    merchant: int,
    acknowledged: Collection[str],
    given_up: frozenset[str],
    found: Findings,
) -> None:
    rows = await stage._rows(
        "SELECT source, connection, delivery_id, worked_at, failed_at, outcome, reason FROM events", merchant
    )
    stored = Counter(f"{source} {connection} {delivery}" for source, connection, delivery, *_ in rows)
    for name in {name for d in shop.deliveries if (name := name_of(d)) in acknowledged} - set(stored):
        found.lost += 1
        found.note("I1", f"acknowledged and not stored: {name}")
    for name, times in stored.items():
        if times > 1:
            found.doubled += 1
            found.note("I2", f"{times} rows of {name}")
    for source, connection, delivery, worked_at, failed_at, outcome, reason in rows:
        name = f"{source} {connection} {delivery}"
        if worked_at is None and failed_at is None:
            found.note("I5", f"neither worked nor given up: {name}: {reason}")
        elif (failed_at is not None) != (name in given_up) or outcome == "suspect":
            found.note("I5", f"{outcome or 'given up'}: {name}: {reason}")
        elif failed_at is not None and not reason:
            found.note("I5", f"given up without a reason: {name}")
    for sale, capability, failure in await stage._rows("SELECT sale, capability, failure FROM settlements", merchant):
        found.note("I5", f"sale {sale} is behind in {capability}: {failure}")


async def _effects(
    stage: Stage, reference: Stage, drawn: History, shop: History, merchant: int, found: Findings
) -> None:
    """Compare with what the oracle predicts, and with the same deliveries told without any fault."""
    now = stage.clock.now()
    expected = expect(shop.shop, shop.deliveries, now)
    try:
        observed = await stage.look(shop.shop, expected)
    except AssertionError as error:
        found.note("I4", error)
        return
    _compare(expected, observed, found)
    faultless = await without_faults(reference, drawn, expected)
    mine, its = _described(expected, observed), _described(expected, faultless)
    if (mine, observed.balances) != (its, faultless.balances):
        others = [(sale, mine.get(sale), its.get(sale)) for sale in mine.keys() | its.keys()]
        found.note("I8", f"otherwise without a fault: {[each for each in others if each[1] != each[2]]}")
    places = await stage._rows("SELECT account, micropoints FROM accounts", merchant)
    for account, amount in places:
        if amount < 0 and account.startswith("customer:") and not account.endswith(":available"):
            found.note("I4", f"{account} is at {amount}")


def _compare(expected: Expected, observed: Observed, found: Findings) -> None:
    wanted, there = _described(expected, None), _described(expected, observed)
    for sale in wanted.keys() | there.keys():
        want, have = wanted.get(sale, {}), there.get(sale, {})
        for place in want.keys() | have.keys():
            difference = have.get(place, 0) - want.get(place, 0)
            found.lost += difference < 0
            found.doubled += difference > 0
            if difference:
                found.note("I3", f"sale {sale}, {place}: {difference:+} micropoints")
    if observed.balances != expected.balances:
        found.note("I3", "balances are not what the sales come to")


async def without_faults(reference: Stage, drawn: History, expected: Expected) -> Observed:
    """Tell the same deliveries in order to a program nothing happens to."""
    mine = await reference.welcome(drawn)
    await reference.play(mine.deliveries, [100])
    return await reference.look(mine.shop, expected)


async def _books(stage: Stage, merchant: int, found: Findings) -> None:
    accounts = await stage._rows("SELECT account, micropoints FROM accounts", merchant)
    if total := sum(amount for _, amount in accounts):
        found.note("I4", f"all accounts come to {total}")
    audited = await stage.context.database.read(
        lambda: audit_books(merchant, stage.clock.now(), stage.context.auditors)
    )
    for drift in audited.drifts:
        found.note("I4", drift)


async def _mails(stage: Stage, shop: History, merchant: int, received: Counter[str], found: Findings) -> None:
    """Each message that counts as sent came once, no other came, and each sale to be thanked for has its message."""
    rows = await stage._rows("SELECT key, kind, sale, state, reason FROM messages", merchant)
    for key, _, _, state, _ in rows:
        came = received.get(message_name(merchant, key), 0)
        if state == "sent" and not came:
            found.note("I6", f"sent and not received: {key}")
        elif came and state != "sent":
            # It went out as its process ended, and was no longer wanted when the next one looked.
            found.mails_twice += 1
        if state == "sending":
            found.note("I5", f"still being sent: {key}")
        if state == "sent" and came > 1:
            found.mails_twice += came - 1
    for sale in await _unthanked(stage, shop, merchant, rows):
        found.unthanked.append(sale)


async def _unthanked(
    stage: Stage, shop: History, merchant: int, rows: Sequence[tuple[str, str, int, str, str]]
) -> list[str]:
    """Name the sales of a shop that thanks for every one for which, or for whose other half, there is no note."""
    now = stage.clock.now()
    into = dict(await stage._rows("SELECT number, merged_into FROM sales", merchant))
    # Whether a note that is due may go out is decided then, by what is known then: a shop or a person may have left.
    thanked = {
        _last(sale, into)
        for _, kind, sale, state, reason in rows
        if kind == "thank_you" and (state != "cancelled" or reason not in WORTHLESS)
    }
    names = {
        (platform, kind, value): _last(sale, into)
        for platform, kind, value, sale in await stage._rows(
            "SELECT platform, kind, value, sale FROM sale_identities", merchant
        )
    }
    missing = []
    expected = expect(shop.shop, shop.deliveries, now).sales
    alike = Counter((sale.total, sale.currency) for sale in expected)
    for sale in expected:
        programmes = (sale.programme, shop.shop.programme_at(now))
        if sale.person == UNCLAIMED or sale.sold_at is None or sale.test or not counts(sale) or given_back(sale):
            continue
        if not all(p and p.setting("thanks", "enabled", False) for p in programmes):
            continue
        if not all(p and p.setting("thanks", "when", "") == "every" for p in programmes):
            continue
        if alike[sale.total, sale.currency] > 1:
            # It may have passed for the other half of a purchase that was thanked for, before more was known.
            continue
        mine = {names.get(name) for name in sale.names | (sale.twin.names if sale.twin else frozenset())}
        if not mine & thanked:
            why = [(key, state, reason) for key, _, number, state, reason in rows if _last(number, into) in mine]
            missing.append(f"{min(sale.names)}: {why}")
    return missing


def _last(number: int, into: dict[int, int | None]) -> int:
    while (following := into.get(number)) is not None:
        number = following
    return number
