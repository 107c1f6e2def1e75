"""What tests of tiers speak to: the ladder, the clock that looks, and where somebody stands."""

from typing import Any

from handlers.points.audit import audit_books
from handlers.points.statement import find_customer, statement
from handlers.tiers.jobs import look_due
from tests.handlers.messages.stage import Stage

SHOP = 1
ELSA = "elsa@home.example"
LADDER: dict[str, Any] = {
    "enabled": True,
    "ladder": {
        "silver": {"name": "Silver", "threshold": 50},
        "gold": {"name": "Gold", "threshold": 150},
        "jade": {"name": "Jade", "threshold": 1000},
    },
}


async def strikes(nora: Stage, by: int = 0) -> int:
    """Time passes, and the clock looks; says at how many people."""
    nora.clock.instant += by
    return await look_due(nora.context)


async def shown(nora: Stage, who: str = ELSA) -> dict[str, Any]:
    """A customer's account; the books agree."""
    number = await nora.database.read(lambda: find_customer(SHOP, who))
    account: dict[str, Any] = await nora.database.read(lambda: statement(SHOP, number, nora.clock.now()))
    findings = await nora.database.read(lambda: audit_books(SHOP, nora.clock.now()))
    assert findings.drifts == []
    return account


async def tier(nora: Stage, who: str = ELSA) -> str | None:
    """The tier a customer is shown to have."""
    found: str | None = (await shown(nora, who))["tier"]
    return found
