"""A shop is told of its customers' points once, in batches, and again only when something has changed."""

import json
from typing import Any

from sqlalchemy import text

from handlers.mirror.jobs import tell
from handlers.mirror.rules import DEFINITIONS, PEOPLE_AT_ONCE
from handlers.privacy.jobs import carry_out
from integration.sandbox.shopify_metafields import Metafields
from tests.handlers.mirror.conftest import grants
from tests.handlers.rewards.counter import FIVE, SCOPES, Counter


def beside(counter: Counter) -> Metafields:
    return counter.market.pretend.beside(counter.stall.shop)


def of_ana(counter: Counter) -> dict[str, str]:
    return beside(counter).of(counter.stall.ana.id)


def card(counter: Counter) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(of_ana(counter)["card"])
    return found


async def test_points_and_what_they_buy_stand_beside_the_customer(counter: Counter) -> None:
    """As numbers for Flow, and as the card that theme and account read."""
    await counter.offers(five=FIVE, big={**FIVE, "name": "20 off", "points": 2_000, "value": "20"})
    await tell(counter.context)
    assert of_ana(counter)["points"] == "1000"
    assert "tier" not in of_ana(counter)
    assert card(counter) == {
        "points": 1_000,
        "pending": 24,
        "tier": None,
        "next": {"name": "20 off", "points": 2_000},
        "rewards": [{"name": "5 off", "points": 500}, {"name": "20 off", "points": 2_000}],
        "page": f"https://{counter.stall.shop.domain}/apps/regulars",
    }


async def test_each_metafield_is_defined_once_and_only_we_and_its_customer_read_it(counter: Counter) -> None:
    """Defined by us alone, shown to nobody else's storefront script."""
    await tell(counter.context)
    counter.market.passes(minutes=1)
    await counter.gives(1)
    await tell(counter.context)
    defined = beside(counter).definitions
    assert [key for _, key in defined] == [name for name, *_ in DEFINITIONS]
    assert {one["access"]["storefront"] for one in defined.values()} == {"NONE"}
    assert {one["access"]["customerAccount"] for one in defined.values()} == {"READ"}
    asked = [call for call in counter.market.pretend.calls if "metafieldDefinitionCreate" in call["query"]]
    assert len(asked) == len(DEFINITIONS)


async def test_definitions_that_are_there_already_are_no_error(counter: Counter) -> None:
    """The shop keeps them while the app is away."""
    for name, kind, *_ in DEFINITIONS:
        beside(counter).definitions["$app:loyalty", name] = {"key": name, "type": kind}
    await tell(counter.context)
    assert of_ana(counter)["points"] == "1000"


async def test_what_has_not_changed_is_not_written_again(counter: Counter) -> None:
    """Neither by the next run, nor by the daily look over everybody, nor under a programme that says the same."""
    await tell(counter.context)
    written = beside(counter).writes
    await tell(counter.context)
    counter.market.passes(days=2)
    assert await tell(counter.context) >= 1
    await counter.sets(thanks={"delay_minutes": 90})
    assert await tell(counter.context) >= 1
    assert beside(counter).writes == written


async def test_every_change_is_told_by_the_next_run(counter: Counter) -> None:
    """Points given, points spent, and a reward that is offered no more."""
    await tell(counter.context)
    counter.market.passes(minutes=1)
    await counter.gives(200)
    await tell(counter.context)
    assert of_ana(counter)["points"] == "1200"
    counter.market.passes(minutes=1)
    await counter.redeems()
    await tell(counter.context)
    assert of_ana(counter)["points"] == "700"
    counter.market.passes(minutes=1)
    await counter.offers(enabled=False)
    await tell(counter.context)
    assert card(counter)["rewards"] == []


async def test_a_tier_is_told_and_taken_away(counter: Counter) -> None:
    """Whoever has none has no such field: Flow asks whether it is there."""
    async with counter.context.engine.begin() as connection:
        await connection.execute(
            text("INSERT INTO standings (merchant_id, customer, tier, since_at) VALUES (:m, :c, 'gold', 1)"),
            {"m": counter.stall.merchant, "c": counter.ana},
        )
    ladder = {"enabled": True, "ladder": {"gold": {"name": "Gold", "threshold": "1"}}}
    await counter.sets(tiers=ladder)
    await tell(counter.context)
    assert of_ana(counter)["tier"] == "Gold"
    assert card(counter)["tier"] == "Gold"
    async with counter.context.engine.begin() as connection:
        await connection.execute(text("DELETE FROM standings"))
    counter.market.passes(days=1, minutes=1)
    await tell(counter.context)
    assert "tier" not in of_ana(counter)


async def test_an_answer_that_was_lost_is_asked_for_again_to_the_same_end(counter: Counter) -> None:
    """Shopify did it and we did not hear: it is written again, the same."""
    await tell(counter.context)
    counter.market.passes(minutes=1)
    await counter.gives(5)
    counter.market.pretend.drop_next = [503] * 5
    await tell(counter.context)
    rows = await counter.market.rows("SELECT count(*) FROM mirrors WHERE due_at IS NOT NULL")
    assert rows[0][0] >= 1
    counter.market.pretend.drop_next = []
    counter.market.passes(minutes=2)
    await tell(counter.context)
    assert of_ana(counter)["points"] == "1005"
    assert (await counter.market.rows("SELECT count(*) FROM mirrors WHERE due_at IS NOT NULL"))[0][0] == 0


async def test_one_whom_the_shop_no_longer_knows_does_not_hold_up_the_others(counter: Counter) -> None:
    """All or none is written at once: who is gone is left out, and not tried again until something changes."""
    for person in counter.stall.people[1:]:
        _, told = counter.stall.sells(person)
        await counter.stall.tells(told)
    gone = counter.stall.people[1]
    del counter.stall.shop.customers[gone.id]
    await tell(counter.context)
    assert of_ana(counter)["points"] == "1000"
    assert beside(counter).of(counter.stall.people[2].id) != {}
    assert beside(counter).of(gone.id) == {}
    asked = len(counter.market.pretend.calls)
    counter.market.passes(minutes=2)
    await tell(counter.context)
    assert len(counter.market.pretend.calls) == asked


async def test_many_are_told_in_few_questions(counter: Counter) -> None:
    """As many at once as Shopify takes."""
    shop = counter.stall.shop
    for number in range(20):
        person, told = shop.welcome(f"Guest {number}", "Diaz", f"guest{number}@market.example")
        await counter.stall.tells(told)
        _, told = counter.stall.sells(person)
        await counter.stall.tells(told)
    await tell(counter.context)
    sets = [call for call in counter.market.pretend.calls if "metafieldsSet" in call["query"]]
    assert len(sets) == -(-21 // PEOPLE_AT_ONCE)
    assert max(len(call["variables"]["metafields"]) for call in sets) <= 25


async def test_nothing_is_told_where_the_shop_does_not_let_us(counter: Counter) -> None:
    """The permission is the merchant's to give, and to take back."""
    await grants(counter.market, *SCOPES)
    assert await tell(counter.context) == 0
    assert counter.market.pretend.calls == []
    await grants(counter.market, *SCOPES, "write_customers")
    await tell(counter.context)
    assert of_ana(counter)["points"] == "1000"
    await grants(counter.market, *SCOPES)
    counter.market.passes(minutes=1)
    await counter.gives(7)
    asked = len(counter.market.pretend.calls)
    await tell(counter.context)
    assert len(counter.market.pretend.calls) == asked


async def test_a_shop_that_refuses_is_left_alone_for_an_hour(counter: Counter) -> None:
    """It took the permission back without telling us."""
    counter.stall.shop.scopes = SCOPES
    await tell(counter.context)
    asked = len(counter.market.pretend.calls)
    counter.market.passes(minutes=30)
    await tell(counter.context)
    assert len(counter.market.pretend.calls) == asked
    counter.stall.shop.scopes = (*SCOPES, "write_customers")
    counter.market.passes(minutes=31)
    await tell(counter.context)
    assert of_ana(counter)["points"] == "1000"


async def test_what_stands_at_shopify_goes_with_who_is_forgotten(counter: Counter) -> None:
    """And so does the number it stood under."""
    await tell(counter.context)
    assert of_ana(counter)
    gate = counter.context.privacy
    assert gate is not None
    now = counter.market.clock.now()
    await counter.context.database.run(lambda: gate.forget(counter.stall.merchant, counter.ana, "merchant", now))
    await carry_out(counter.context)
    counter.market.passes(minutes=1)
    await tell(counter.context)
    assert of_ana(counter) == {}
    mine = "SELECT count(*) FROM mirrors WHERE account = :a"
    assert (await counter.market.rows(mine, a=str(counter.stall.ana.id)))[0][0] == 0


async def test_a_shop_is_told_only_of_its_own_customers(counter: Counter) -> None:
    """Two shops, one clock: each hears of its own."""
    other = await counter.market.open_stall()
    other.shop.scopes = (*SCOPES, "write_customers")
    await grants(counter.market, *SCOPES, "write_customers")
    _, told = other.sells()
    await other.tells(told)
    await tell(counter.context)
    theirs = counter.market.pretend.beside(other.shop)
    assert {owner for owner, *_ in theirs.values} == {f"gid://shopify/Customer/{other.ana.id}"}
    assert json.loads(theirs.of(other.ana.id)["card"])["page"].startswith(f"https://{other.shop.domain}/")
