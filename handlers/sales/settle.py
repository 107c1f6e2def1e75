"""The contract of a settler: a capability that turns sales into what is owed."""

from collections.abc import Sequence
from typing import Protocol

from handlers.sales.rules import Sale
from integration.database.steps import Steps


class Settler(Protocol):
    """One capability's settling; must be idempotent: it posts target minus already posted.

    `settle` gets sales of one batch (possibly several merchants, each sale once, merchants' books locked) and
    the present instant, writes with set-based steps, and returns for each sale number of a merchant when settling
    again would change something without any event: `{(merchant_id, sale number): instant}`.
    A sale it raises for is retried alone and then by the sweep; the other capabilities are not held up.
    """

    name: str

    def settle(self, sales: Sequence[Sale], now: int) -> Steps[dict[tuple[int, int], int]]: ...
