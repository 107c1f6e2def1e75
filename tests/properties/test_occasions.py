"""Whatever happens in whatever order, however often: no occasion is given twice or not at all, and the books agree."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from integration.clock import DAY, HOUR, MINUTE
from integration.database.engine import Database
from integration.facts import CustomersMerged, OrderSeen
from tests.databases import Databases
from tests.handlers.earning.fair import ELSA, MAX, WAYS, Fair
from tests.properties.conftest import EXAMPLES

BUYERS = {"elsa": ELSA, "max": MAX}
WAITS = (0, HOUR, 3 * DAY, 40 * DAY, 200 * DAY)
FIRST, THIRD, JOINED = 30, 40, 10  # points, as in WAYS
name = st.sampled_from(sorted(BUYERS))
some = st.integers(0, 7)


class Bought(NamedTuple):
    """An order as somebody who watched would tell of it."""

    at: int
    by: str
    stays: bool
    first_brings: bool  # whether the shop gave points for first orders when it was sold
    third_brings: bool


class Occasions(RuleBasedStateMachine):
    """One shop with Elsa and Max, who may turn out to be one; words come late, twice and in any order."""

    lends: Callable[[], AbstractContextManager[str]]
    folder: Path
    run: Callable[[Coroutine[Any, Any, Any]], Any]

    def __init__(self) -> None:
        super().__init__()
        self.over = ExitStack()
        self.bought: dict[str, Bought] = {}
        self.told: list[OrderSeen] = []
        self.untold: list[OrderSeen] = []
        self.joined: set[str] = set()
        self.are_one = False
        self.first_brings = self.third_brings = True

    @initialize(years=st.booleans())
    def opens(self, years: bool) -> None:
        """Every occasion brings points, or all but years; orders are held for two weeks."""
        database = self.run(Database.open(self.over.enter_context(self.lends()), self.folder))
        self.over.callback(lambda: self.run(database.close()))
        self.fair = Fair(database)
        self.run(self.fair.open())
        off = {"enabled": False}
        self.run(
            self.fair.set(
                {"ways": {**WAYS, "anniversary": years}, "thanks": off, "reviews": off, "earning": {"hold_days": 14}},
                at=0,
            )
        )
        self._goes_on()

    # --- What people do -------------------------------------------------------------------------

    @rule(who=name, late=st.booleans())
    def buys(self, who: str, late: bool) -> None:
        """Somebody orders; sometimes that is told later, after what came behind it."""
        number = str(1000 + len(self.bought))
        order = self.fair.order(number, buyer=BUYERS[who])
        self.bought[number] = Bought(self.fair.clock.now(), who, True, self.first_brings, self.third_brings)
        self._tells(order, late)

    @rule(which=some, whole=st.booleans(), late=st.booleans())
    def sends_back(self, which: int, whole: bool, late: bool) -> None:
        """An order goes back, whole or in part; a part of it leaves it an order."""
        whole_ones = [one for one in (*self.told, *self.untold) if not one.order.refunds]
        if not whole_ones:
            return
        seen = whole_ones[which % len(whole_ones)]
        number = seen.order.id
        if not self.bought[number].stays or any(o.order.id == number and o.order.refunds for o in self._words()):
            return
        self._tells(self.fair.refunded(seen, number=f"9{number}", keep=0 if whole else 1), late)
        self.bought[number] = self.bought[number]._replace(stays=not whole)

    @rule(who=name)
    def joins(self, who: str) -> None:
        """Somebody opens an account, or is told of once more."""
        self.run(self.fair.joins(BUYERS[who]))
        self.joined.add(who)
        self._goes_on()

    @rule(day=st.sampled_from(["02-29", "03-01", "11-30", "12-01"]), which=some)
    def is_born(self, day: str, which: int) -> None:
        """Somebody tells a birthday, or another one."""
        numbers = [row[0] for row in self._rows("SELECT number FROM customers WHERE merged_into IS NULL")]
        if numbers:
            self.run(self.fair.born(day, numbers[which % len(numbers)]))
        self._goes_on()

    @rule()
    def turns_out_to_be_one(self) -> None:
        """Max is Elsa."""
        known = self._rows("SELECT count(*) FROM customers WHERE shopify_id IN ('70', '71')")[0][0]
        if known == len(BUYERS) and not self.are_one:
            self.are_one = True
            self.run(self.fair.hears(CustomersMerged("70", "71")))
        self._goes_on()

    # --- What the shop and the clock do ---------------------------------------------------------

    @rule(first=st.booleans(), third=st.booleans())
    def gives_for(self, first: bool, third: bool) -> None:
        """The shop gives points for first and third orders from now on, or no longer."""
        self.first_brings, self.third_brings = first, third
        self.run(self.fair.set({"ways": {"first_order": first, "milestones": third}}))
        self._goes_on()

    @rule(which=some)
    def is_told_again(self, which: int) -> None:
        """Old and new words in one batch."""
        if self.told:
            self.run(self.fair.hears(*(self.told[-1:] + self.told[which % len(self.told) :][:2])))
        self._goes_on()

    @rule()
    def is_told_at_last(self) -> None:
        """What was kept back is told, the newest first."""
        for one in reversed(self.untold):
            self.told.append(one)
            self.run(self.fair.hears(one))
        self.untold.clear()
        self._goes_on()

    @rule(by=st.sampled_from(WAITS))
    def time_passes(self, by: int) -> None:
        """And the clock settles whoever it concerns."""
        self.run(self.fair.strikes(by))
        self._nothing_twice()
        self._goes_on()

    def teardown(self) -> None:
        """All is told and over: orders and accounts have brought what they should, to whoever made them."""
        try:
            if hasattr(self, "fair"):
                self.is_told_at_last()
                self.run(self.fair.strikes(20 * DAY))
                self.run(self.fair.strikes())
                self._nothing_twice()
                given = self.run(self.fair.given())
                assert {one: points[1] for one, points in given.items() if not _is_day(one)} == self._expected()
                assert all(points[0] == 0 for points in given.values())
        finally:
            self.over.close()

    def _expected(self) -> dict[str, int]:
        """Whole points, all people's together, by occasion."""
        found: dict[str, int] = {}
        for person in {self._who(one.by) for one in self.bought.values()}:
            mine = sorted(one for one in self.bought.values() if one.stays and self._who(one.by) == person)
            if mine and mine[0].first_brings:
                found["order:1"] = found.get("order:1", 0) + FIRST
            if len(mine) >= 3 and mine[2].third_brings:
                found["milestone:3"] = found.get("milestone:3", 0) + THIRD
        if joined := len({self._who(one) for one in self.joined}):
            found["sign_up"] = JOINED * joined
        return found

    def _nothing_twice(self) -> None:
        """Of one person each occasion at most once, and days of a kind twelve months apart; the audit agrees."""
        self.run(self.fair.given())
        rows = self._rows(
            "SELECT COALESCE(c.merged_into, c.number), o.occasion FROM occasions o JOIN customers c"
            " ON c.merchant_id = o.merchant_id AND c.number = o.customer WHERE o.pending + o.available <> 0"
        )
        assert len(rows) == len(set(rows))
        for person in {row[0] for row in rows}:
            for kind in ("birthday", "anniversary"):
                days = sorted(date.fromisoformat(o.partition(":")[2]) for who, o in rows if who == person and kind in o)
                assert all((later - earlier).days >= 365 for earlier, later in pairwise(days))

    def _words(self) -> list[OrderSeen]:
        return [*self.told, *self.untold]

    def _who(self, one: str) -> str:
        return "elsa" if self.are_one else one

    def _tells(self, order: OrderSeen, late: bool) -> None:
        if late:
            self.untold.append(order)
        else:
            self.told.append(order)
            self.run(self.fair.hears(order))
        self._goes_on()

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self.run(self.fair.rows(sql))]

    def _goes_on(self) -> None:
        """No two things happen at one instant."""
        self.fair.clock.instant += MINUTE


def _is_day(occasion: str) -> bool:
    return occasion.startswith(("birthday:", "anniversary:"))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def lends(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], AbstractContextManager[str]]:
    """Lend a fresh database to each example."""
    if request.param == "postgresql":
        databases: Databases = request.getfixturevalue("postgres_databases")
        return databases.lent
    make: Callable[[Path], str] = request.getfixturevalue("sqlite_database")

    @contextmanager
    def lent() -> Iterator[str]:
        yield make(tmp_path_factory.mktemp("occasions"))

    return lent


def test_no_order_of_things_gives_an_occasion_twice_or_not_at_all(
    lends: Callable[[], AbstractContextManager[str]], runner: asyncio.Runner, tmp_path: Path
) -> None:
    """Orders, refunds, accounts, birthdays, a merge, other terms, late words and everything told again."""
    having = {"lends": staticmethod(lends), "folder": tmp_path, "run": staticmethod(runner.run)}
    lean = settings(settings.get_profile("ends"), max_examples=max(6, EXAMPLES // 6), stateful_step_count=30)
    run_state_machine_as_test(type("Occasions", (Occasions,), having), settings=lean)  # type: ignore[no-untyped-call]
