"""The audit finds a reward whose points are not where they belong."""

import pytest

from handlers.points.audit import audit_books
from integration.database.steps import ask, plain
from tests.handlers.rewards.counter import Counter


async def planted(counter: Counter, statement: str) -> list[str]:
    """Change something behind the program's back; returns what the audit says of rewards."""
    await counter.context.database.run(lambda: ask(plain(statement), ()))
    now, context = counter.market.clock.now(), counter.context
    found = await context.database.read(lambda: audit_books(counter.stall.merchant, now, context.auditors))
    return [drift.words for drift in found.drifts if drift.kind == "reward"]


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE redemptions SET state = 'voided'", "should have 0 micropoints set aside and 0 spent"),
        ("UPDATE redemptions SET spent = 0", "It says 0 micropoints set aside and 0 spent; its entries make"),
        ("UPDATE redemptions SET restored = 1000000", "should have 0 micropoints set aside and 499000000 spent"),
        ("UPDATE redemptions SET postings = 1", "1 entries were posted for it; there are 2"),
        ("UPDATE redemptions SET postings = 3", "3 entries were posted for it; there are 2"),
        ("DELETE FROM redemptions", "rewards have cost 0"),
        ("UPDATE accounts SET micropoints = 7 WHERE account = 'program:redeemed'", "It holds 7 micropoints"),
    ],
)
async def test_planted_drift_is_found(counter: Counter, statement: str, words: str):
    """Whatever of a reward does not agree with its entries, its state or the programme's account."""
    await counter.has()
    await counter.is_sound()
    assert any(words in each for each in await planted(counter, statement))


async def test_rewards_in_every_state_agree(counter: Counter):
    """Set aside, issued and given back."""
    await counter.cancels(await counter.has(key="first"))
    await counter.has(key="second")
    await counter.redeems(key="third")
    await counter.is_sound()
