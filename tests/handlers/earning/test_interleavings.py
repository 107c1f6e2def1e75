"""Whatever happens in whatever order, however often: no occasion is ever given twice, and the books agree."""

import random
from datetime import date
from itertools import pairwise

import pytest

from integration.clock import DAY, HOUR, MINUTE
from integration.facts import CustomersMerged, OrderSeen
from tests.handlers.earning.fair import MAX, Fair
from tests.handlers.messages.stage import ELSA

STEPS = 45


class Life:
    """What has happened so far, as somebody who watched would tell it."""

    def __init__(self) -> None:
        self.orders: dict[str, tuple[int, str, bool]] = {}  # order -> when, by whom, whether it was kept
        self.joined: set[str] = set()
        self.are_one = False

    def who(self, name: str) -> str:
        """The person a name means by now."""
        return "max" if self.are_one else name

    def expected(self) -> dict[str, int]:
        """What orders and accounts should have brought: whole points, all people's together, by occasion."""
        found: dict[str, int] = {}
        people = {self.who(by) for _, by, _ in self.orders.values()}
        for person in people:
            kept = sum(1 for _, by, stays in self.orders.values() if stays and self.who(by) == person)
            if kept >= 1:
                found["order:1"] = found.get("order:1", 0) + 30
            if kept >= 3:
                found["milestone:3"] = found.get("milestone:3", 0) + 40
        if joined := len({self.who(name) for name in self.joined}):
            found["sign_up"] = 10 * joined
        return found


@pytest.mark.parametrize("seed", range(5))
async def test_no_interleaving_gives_two_awards_for_one_occasion(nora: Fair, seed: int) -> None:
    """Orders, refunds, accounts, birthdays, a merge, clocks and everything told again, in random order."""
    chance, life, told = random.Random(seed), Life(), list[OrderSeen]()
    buyers = {"elsa": ELSA, "max": MAX}
    nora.clock.instant += MINUTE
    for step in range(STEPS):
        name = chance.choice(["elsa", "max"])
        match chance.randint(0, 9):
            case 0 | 1 | 2:
                number = str(1000 + step)
                told.append(nora.order(number, buyer=buyers[name]))
                life.orders[number] = (nora.clock.now(), name, True)
                await nora.hears(told[-1])
            case 3 if told:
                order = chance.choice(told)
                told.append(nora.refunded(order, number=f"9{step}"))
                when, by, _ = life.orders[order.order.id]
                life.orders[order.order.id] = (when, by, False)
                await nora.hears(told[-1])
            case 4 if told:
                # Told again, newest and oldest words in one batch.
                await nora.hears(*chance.sample(told, min(len(told), 3)))
            case 5:
                await nora.joins(buyers[name])
                life.joined.add(name)
            case 6:
                numbers = [row[0] for row in await nora.rows("SELECT number FROM customers WHERE merged_into IS NULL")]
                if numbers:
                    await nora.born(chance.choice(["02-29", "03-01", "11-30", "12-01"]), chance.choice(numbers))
            case 7 if chance.random() < 0.3 and not life.are_one and await _both_are_known(nora):
                life.are_one = True
                await nora.hears(CustomersMerged("71", "70"))
            case _:
                await nora.strikes(chance.choice([0, HOUR, 3 * DAY, 40 * DAY, 200 * DAY]))
                await _nothing_twice(nora)
        nora.clock.instant += chance.choice([MINUTE, HOUR, DAY])
    await nora.strikes(20 * DAY)
    await nora.strikes()
    await _nothing_twice(nora)
    given = await nora.given()
    assert {name: points[1] for name, points in given.items() if not _is_day(name)} == life.expected()
    assert all(points[0] == 0 for points in given.values())


async def _both_are_known(nora: Fair) -> bool:
    rows = await nora.rows("SELECT count(*) FROM customers WHERE shopify_id IN ('70', '71')")
    return bool(rows[0][0] == 2)


def _is_day(occasion: str) -> bool:
    return occasion.startswith(("birthday:", "anniversary:"))


async def _nothing_twice(nora: Fair) -> None:
    """Of one person each occasion at most once, and days of a kind twelve months apart; the audit agrees."""
    await nora.given()
    rows = await nora.rows(
        "SELECT COALESCE(c.merged_into, c.number), o.occasion FROM occasions o JOIN customers c"
        " ON c.merchant_id = o.merchant_id AND c.number = o.customer WHERE o.pending + o.available <> 0"
    )
    assert len(rows) == len(set(rows))
    for person in {row[0] for row in rows}:
        for kind in ("birthday", "anniversary"):
            days = sorted(date.fromisoformat(o.partition(":")[2]) for who, o in rows if who == person and kind in o)
            assert all((later - earlier).days >= 365 for earlier, later in pairwise(days))
