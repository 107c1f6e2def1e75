"""Whoever bought very much is placed by the clock: their sales are read while nobody waits for the merchant's books."""

from typing import Any

import pytest

from handlers.points.audit import audit_books
from handlers.tiers import jobs, settle
from handlers.tiers.changes import give, leave
from handlers.tiers.settle import Ahead
from integration.clock import DAY, HOUR, MINUTE, SECOND
from integration.facts import Buyer, CustomerSeen, CustomersMerged
from tests.handlers.messages.stage import Stage
from tests.handlers.tiers.ladder import LADDER, SHOP, strikes, tier

MAX = Buyer(platform_id="71", email="max@home.example", customer_email="max@home.example", email_verified=True)
TIMES = {"silver": "1.5", "gold": "2", "jade": "3"}


@pytest.fixture
async def nora(nora: Stage, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Nora's shop, where three sales of one person are very many, and each tier multiplies points."""
    monkeypatch.setattr(settle, "MOST_SALES", 3)
    monkeypatch.setattr(jobs, "PAGE", 2)
    await nora.set({"tiers": {"ladder": {k: {**v, "multiplier": TIMES[k]} for k, v in LADDER["ladder"].items()}}}, at=0)
    return nora


async def comes_to_rest(nora: Stage) -> None:
    """The clock looks, and what it stirred is settled, until nothing is left to do; the books agree."""
    for _ in range(6):
        looked = await strikes(nora, SECOND)
        if not looked + await nora.settles():
            findings = await nora.database.read(lambda: audit_books(SHOP, nora.clock.now()))
            assert findings.drifts == []
            return
    raise AssertionError("it never ends")


async def facts(nora: Stage) -> tuple[Any, ...]:
    """Where people stand and what each sale was made under and earned."""
    standings = await nora.rows("SELECT tier, since_at, kept_until, falls_at, due_at FROM standings ORDER BY customer")
    sales = await nora.rows("SELECT name, tier, customer FROM sales ORDER BY name")
    earned = await nora.rows(
        "SELECT sale, CAST(sum(CASE WHEN source LIKE 'program%' THEN micropoints"
        " WHEN destination LIKE 'program%' THEN -micropoints ELSE 0 END) AS bigint)"
        " FROM ledger_entries GROUP BY sale ORDER BY sale"
    )
    return standings, sales, earned


async def lives(nora: Stage) -> None:
    """Elsa buys eight times, gives two back, and turns out to be Max as well; one order is told weeks late."""
    late = nora.order("1000")
    for n in range(8):
        nora.clock.instant += HOUR
        bought = nora.order(str(1001 + n))
        await nora.hears(bought)
        await comes_to_rest(nora)
        if n % 4 == 3:
            nora.clock.instant += DAY
            await nora.hears(nora.refunded(bought, number=str(90 + n)))
            await comes_to_rest(nora)
    await nora.hears(nora.order("1100", buyer=MAX))
    nora.clock.instant += DAY
    await nora.hears(CustomerSeen("shopify", MAX, nora.clock.now()), CustomersMerged("71", "70"))
    await comes_to_rest(nora)
    nora.clock.instant += DAY
    await nora.hears(late)
    await comes_to_rest(nora)


async def test_who_bought_very_much_stands_where_everybody_would(nora: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tier, points of each sale and the next look are the same, however much is read at once."""
    await lives(nora)
    few, histories = await facts(nora), await nora.rows("SELECT history FROM standings")
    assert histories[0][0] is not None
    assert {name: tier for name, tier, _ in few[1]}["#1008"] == "gold"
    monkeypatch.setattr(settle, "MOST_SALES", 10_000)
    await nora.does("UPDATE standings SET due_at = 1")
    await comes_to_rest(nora)
    assert await facts(nora) == few
    assert await nora.rows("SELECT history FROM standings") == [(None,)]


async def test_a_sale_of_theirs_waits_for_no_other_sale_to_be_read(
    nora: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It earns at once by the tier they were found to have, and none of theirs is looked into."""
    for n in range(6):
        await nora.hears(nora.order(str(1001 + n)))
    await comes_to_rest(nora)
    looked_into = []
    real = settle.merit
    monkeypatch.setattr(settle, "merit", lambda sale: (looked_into.append(sale.number), real(sale))[1])
    nora.clock.instant += SECOND
    await nora.hears(nora.order("2001"))
    assert looked_into == []
    assert await nora.rows("SELECT tier FROM sales WHERE name = '#2001'") == [("gold",)]
    await comes_to_rest(nora)
    assert len(looked_into) == 7
    assert await tier(nora) == "Gold"


async def test_a_tier_is_given_by_hand_without_reading_their_sales_under_the_lock(
    nora: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were read before; it holds at once, and so does leaving it to what they buy again."""
    for n in range(6):
        await nora.hears(nora.order(str(1001 + n)))
    await comes_to_rest(nora)
    ahead, loaded = await jobs.all_ahead(nora.context, SHOP, 1), []
    real = settle.load_sales
    monkeypatch.setattr(settle, "load_sales", lambda keys: real(loaded.extend(found := list(keys)) or found))
    now = nora.clock.now()
    given = await nora.database.run(lambda: give(SHOP, 1, "jade", None, "A friend", "link:Nora", now, None, ahead))
    left = await nora.database.run(lambda: leave(SHOP, 1, "link:Nora", now, None, ahead))
    assert (given, left, loaded) == ("jade", "gold", [])


async def test_what_changes_while_their_sales_are_read_counts(nora: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """An order that comes in between is read under the lock; where very many come, the clock looks again."""
    for n in range(6):
        await nora.hears(nora.order(str(1001 + n)))
    real, meanwhile = jobs.all_ahead, [1, 4]

    async def interrupted(*arguments: Any) -> Ahead:
        read = await real(*arguments)
        for n in range(meanwhile.pop(0) if meanwhile else 0):
            await nora.hears(nora.order(f"30{len(meanwhile)}{n}"))
        return read

    monkeypatch.setattr(jobs, "all_ahead", interrupted)
    await strikes(nora, SECOND)
    assert await nora.rows("SELECT tier FROM standings") == [("gold",)]
    await nora.hears(nora.order("4001"))
    await strikes(nora, SECOND)
    assert await nora.rows("SELECT due_at FROM standings") == [(nora.clock.now() + MINUTE,)]
    await strikes(nora, MINUTE)
    await comes_to_rest(nora)
    assert (await nora.rows("SELECT count(*) FROM sales"))[0][0] == 12
    assert await tier(nora) == "Gold"
