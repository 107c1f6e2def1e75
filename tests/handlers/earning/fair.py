"""What tests of occasions speak to: a shop with everything that gives points, its clock, and what people were given."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from config.personal_data import HOLDERS
from handlers.customers.correct import tell_birthday
from handlers.earning import settle
from handlers.earning.jobs import look_due
from handlers.earning.ledger import auditor
from handlers.earning.letters import LETTERS
from handlers.points.audit import audit_books
from handlers.points.settle import PointsSettler, follow
from handlers.points.statement import find_customer, statement
from handlers.privacy.gate import Gate
from handlers.privacy.jobs import carry_out
from handlers.sales.apply import make_apply
from integration.facts import Buyer, CustomerSeen
from tests.handlers.messages.stage import ELSA, VAULT, Stage

SHOP = 1
MAX = Buyer(platform_id="71", email="max@home.example", customer_email="max@home.example", email_verified=True)
WAYS: dict[str, Any] = {
    "sign_up": True,
    "sign_up_points": 10,
    "birthday": True,
    "birthday_points": 20,
    "first_order": True,
    "first_order_points": 30,
    "milestones": True,
    "milestone_points": {"3": 40},
    "anniversary": True,
    "anniversary_points": 50,
}


@dataclass(slots=True)
class Fair(Stage):
    """A stage with the earning capability on it."""

    async def open(self) -> "Fair":
        """Set the stage up."""
        await Stage.open(self)
        gate = Gate(VAULT)
        settlers = [PointsSettler(), settle.EarningSettler()]
        apply, resettle = make_apply(settlers, [follow, settle.follow], gate, [settle.hear])
        self.context = dataclasses.replace(
            self.context,
            settlers=settlers,
            apply=apply,
            resettle=resettle,
            privacy=gate,
            auditors=(auditor(gate),),
            holders=HOLDERS,
            kinds={**self.context.kinds, **{kind.name: kind for kind in LETTERS}},
        )
        return self

    async def strikes(self, by: int = 0) -> int:
        """Time passes, and the clock settles what is due and looks who has reached what."""
        self.clock.instant += by
        for _ in range(20):
            if not await self.settles():
                break
        return await look_due(self.context)

    async def joins(self, who: Buyer = ELSA, at: int | None = None) -> None:
        """Somebody opens an account."""
        now = self.clock.now()
        await self.hears(CustomerSeen("shopify", who, now, joined_at=now if at is None else at))

    async def born(self, day: str | None, customer: int = 1) -> bool:
        """Somebody tells their birthday on their own page."""
        now = self.clock.now()
        told: bool = await self.database.run(lambda: tell_birthday(SHOP, [customer], day, now))
        return told

    async def forgets(self, customer: int) -> None:
        """Nora has a customer forgotten."""
        gate = self.context.privacy
        assert gate is not None
        await self.database.run(lambda: gate.forget(SHOP, customer, "link:Nora", self.clock.now()))
        for _ in range(10):
            await carry_out(self.context)

    async def given(self) -> dict[str, tuple[int, int]]:
        """Whole points by occasion, pending and available, of everybody together; the books agree."""
        findings = await self.database.read(lambda: audit_books(SHOP, self.clock.now(), self.context.auditors))
        assert findings.drifts == []
        rows = await self.rows(
            "SELECT occasion, pending, available FROM occasions WHERE pending <> 0 OR available <> 0 ORDER BY occasion"
        )
        found: dict[str, tuple[int, int]] = {}
        for occasion, pending, available in rows:
            before = found.get(occasion, (0, 0))
            found[occasion] = (before[0] + pending // 1_000_000, before[1] + available // 1_000_000)
        return found

    async def account(self, who: str = "elsa@home.example") -> dict[str, Any]:
        """A customer's account."""
        number = await self.database.read(lambda: find_customer(SHOP, who))
        found: dict[str, Any] = await self.database.read(lambda: statement(SHOP, number, self.clock.now()))
        return found
