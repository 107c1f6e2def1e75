"""Customers of a tier get the tag it names at Shopify, and lose it when they leave; nobody else's tag is touched."""

from typing import Any

import pytest
from sqlalchemy import text

from handlers.mirror import jobs, store
from handlers.mirror.jobs import tell
from handlers.privacy.jobs import carry_out
from handlers.tiers.changes import give, leave
from handlers.tiers.jobs import look_due
from integration.sandbox.graph import Request
from integration.sandbox.shopify_metafields import Metafields
from tests.handlers.mirror.conftest import grants
from tests.handlers.rewards.counter import SCOPES, Counter

GOLD = {"name": "Gold", "threshold": 10_000, "tag": "gold-club"}


@pytest.fixture
async def counter(counter: Counter) -> Counter:
    """Ana's shop, whose gold customers have a tag; Ana is gold, by hand, and nobody has been told yet."""
    await has_ladder(counter)
    await becomes(counter, "gold")
    return counter


async def has_ladder(counter: Counter, enabled: bool = True, **tiers: Any) -> None:
    """The shop writes its ladder."""
    await counter.sets(tiers={"enabled": enabled, "ladder": tiers or {"gold": GOLD}})
    counter.market.passes(seconds=2)


async def becomes(counter: Counter, tier: str | None) -> None:
    """Ana is given a tier, or left to what she buys; whoever follows tiers hears of it."""
    counter.market.passes(minutes=2)
    now, heard, shop = counter.market.clock.now(), store.heard, counter.stall.merchant
    if tier is None:
        await counter.context.database.run(lambda: leave(shop, counter.ana, "link:Ana", now, heard))
    else:
        await counter.context.database.run(
            lambda: give(shop, counter.ana, tier, None, "A friend", "link:Ana", now, heard)
        )


def beside(counter: Counter) -> Metafields:
    return counter.market.pretend.beside(counter.stall.shop)


def tags(counter: Counter) -> list[str]:
    """Ana's tags at Shopify."""
    return beside(counter).tags.get(f"gid://shopify/Customer/{counter.stall.ana.id}", [])


def asked(counter: Counter) -> int:
    """How often a tag was added or taken away."""
    return sum("tagsAdd" in call["query"] or "tagsRemove" in call["query"] for call in counter.market.pretend.calls)


async def kept(counter: Counter) -> list[tuple[Any, ...]]:
    """What we know of Ana's tag."""
    return await counter.market.rows("SELECT tag, tag_state, due_at FROM mirrors WHERE customer = :c", c=counter.ana)


async def test_who_reaches_a_tier_gets_its_tag_and_loses_it_when_they_leave(counter: Counter) -> None:
    """Once each, beside the tags the shop gave her; a run that finds nothing new asks nothing."""
    beside(counter).tags[f"gid://shopify/Customer/{counter.stall.ana.id}"] = ["wholesale"]
    await tell(counter.context)
    assert tags(counter) == ["wholesale", "gold-club"]
    counter.market.passes(days=2)
    await tell(counter.context)
    assert asked(counter) == 1
    await becomes(counter, None)
    await tell(counter.context)
    await tell(counter.context)
    assert (tags(counter), asked(counter)) == (["wholesale"], 2)
    assert await kept(counter) == [(None, None, None)]


async def test_what_staff_take_away_by_hand_stays_away(counter: Counter) -> None:
    """It is theirs to decide, until the customer leaves the tier and comes back."""
    await tell(counter.context)
    beside(counter).tags.clear()
    counter.market.passes(days=2)
    await tell(counter.context)
    assert tags(counter) == []
    await becomes(counter, None)
    await tell(counter.context)
    await becomes(counter, "gold")
    await tell(counter.context)
    assert tags(counter) == ["gold-club"]


async def test_taking_the_tag_out_takes_it_from_everybody(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight by one question, going on where a run ended; also from who has neither points nor a tier by then."""
    for n in range(19):
        await counter.stall.tells(counter.stall.shop.welcome(f"P{n}", "Vance", f"p{n}@club.example")[1])
    await stand(counter, "P%")
    counter.market.passes(days=1, minutes=1)
    await tell(counter.context)
    assert (sum(map(len, beside(counter).tags.values())), asked(counter)) == (20, 3)
    adding = [call for call in counter.market.pretend.calls if "tagsAdd" in call["query"]]
    costs = [Request(call["query"], call["variables"]).cost() for call in adding]
    # The smallest shop's bucket holds 2,000 points.
    assert costs == [96, 96, 48]
    async with counter.context.engine.begin() as connection:
        await connection.execute(text("DELETE FROM standings WHERE customer <> :ana"), {"ana": counter.ana})
    await has_ladder(counter, gold={**GOLD, "tag": ""})
    monkeypatch.setattr(jobs, "ALONE", 8)
    monkeypatch.setattr(jobs, "MOST_ROUNDS", 1)
    for left in (12, 4, 0):
        await tell(counter.context)
        assert sum(map(len, beside(counter).tags.values())) == left
    assert asked(counter) == 6


async def stand(counter: Counter, names: str) -> None:
    """Have customers be gold."""
    async with counter.context.engine.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO standings (merchant_id, customer, tier, since_at)"
                " SELECT merchant_id, number, 'gold', 1 FROM customers WHERE first_name LIKE :names"
                " ON CONFLICT (merchant_id, customer) DO UPDATE SET tier = 'gold'"
            ),
            {"names": names},
        )


async def test_a_tier_without_a_tag_asks_nothing(counter: Counter) -> None:
    """Off until the merchant types one; then everybody there gets it, and loses it when it is taken out."""
    await has_ladder(counter, gold={**GOLD, "tag": ""})
    await tell(counter.context)
    assert not any("nodes" in call["query"] or "tags" in call["query"] for call in counter.market.pretend.calls)
    await has_ladder(counter)
    await tell(counter.context)
    assert tags(counter) == ["gold-club"]
    await has_ladder(counter, gold={**GOLD, "tag": "vip"})
    await tell(counter.context)
    assert tags(counter) == ["vip"]
    await has_ladder(counter, enabled=False)
    await tell(counter.context)
    assert tags(counter) == []


async def test_a_tag_that_was_there_before_goes_only_with_the_tier(counter: Counter) -> None:
    """The shop had given it by hand: another tag for the tier leaves it alone, leaving the tier does not."""
    owner = f"gid://shopify/Customer/{counter.stall.ana.id}"
    beside(counter).tags[owner] = ["Gold-Club"]
    await tell(counter.context)
    assert (tags(counter), asked(counter)) == (["Gold-Club"], 0)
    await has_ladder(counter, gold={**GOLD, "tag": "vip"})
    await tell(counter.context)
    assert tags(counter) == ["Gold-Club", "vip"]
    await has_ladder(counter)
    await tell(counter.context)
    assert tags(counter) == ["Gold-Club"]
    await becomes(counter, None)
    await tell(counter.context)
    assert tags(counter) == []


async def test_the_way_from_one_tier_to_the_next_changes_the_tag(counter: Counter) -> None:
    """Two tiers with one tag change nothing."""
    jade = {"name": "Jade", "threshold": 20_000, "tag": "jade-club"}
    await has_ladder(counter, gold=GOLD, jade=jade)
    await tell(counter.context)
    await becomes(counter, "jade")
    await tell(counter.context)
    assert tags(counter) == ["jade-club"]
    await has_ladder(counter, gold={**GOLD, "tag": "jade-club"}, jade=jade)
    counter.market.passes(minutes=1)
    before = asked(counter)
    await becomes(counter, "gold")
    await tell(counter.context)
    assert (tags(counter), asked(counter)) == (["jade-club"], before)


@pytest.mark.parametrize("lost", [1, 2, 4])
async def test_what_shopify_did_and_we_did_not_hear_of_is_ours(counter: Counter, lost: int) -> None:
    """The answer to adding is lost, once or again: it is there once, and ours to take away; so for taking it away."""
    await has_ladder(counter, gold={**GOLD, "tag": ""})
    await tell(counter.context)
    await has_ladder(counter)
    counter.market.pretend.drop_next = [503] * lost
    await tell(counter.context)
    counter.market.pretend.drop_next = []
    counter.market.passes(minutes=2)
    await tell(counter.context)
    assert (tags(counter), await kept(counter)) == (["gold-club"], [("gold-club", "ours", None)])
    await becomes(counter, None)
    counter.market.pretend.drop_next = [503] * lost
    await tell(counter.context)
    counter.market.pretend.drop_next = []
    counter.market.passes(minutes=2)
    await tell(counter.context)
    assert (tags(counter), await kept(counter)) == ([], [(None, None, None)])


async def test_a_throttled_shop_is_told_in_the_end(counter: Counter) -> None:
    """At the pace of its bucket."""
    counter.market.pretend.throttle_next = 3
    await tell(counter.context)
    counter.market.passes(minutes=2)
    await tell(counter.context)
    assert tags(counter) == ["gold-club"]


async def test_a_shop_that_does_not_let_us_keeps_its_tags(counter: Counter) -> None:
    """Taken back while somebody has one, and given again: then it is as it should be."""
    await tell(counter.context)
    await grants(counter.market, *SCOPES)
    await becomes(counter, None)
    await tell(counter.context)
    assert tags(counter) == ["gold-club"]
    await grants(counter.market, *SCOPES, "write_customers")
    counter.market.passes(days=1, minutes=1)
    await tell(counter.context)
    assert tags(counter) == []


async def test_one_whom_the_shop_no_longer_knows_holds_nobody_up(counter: Counter) -> None:
    """They are left out, and the next one gets theirs."""
    person = counter.stall.people[1]
    _, told = counter.stall.sells(person)
    await counter.stall.tells(told)
    del counter.stall.shop.customers[person.id]
    await stand(counter, person.first_name)
    await tell(counter.context)
    assert tags(counter) == ["gold-club"]
    assert f"gid://shopify/Customer/{person.id}" not in beside(counter).tags


async def test_a_tag_goes_with_who_is_forgotten(counter: Counter) -> None:
    """And what we know of it, within minutes."""
    await tell(counter.context)
    gate, now = counter.context.privacy, counter.market.clock.now()
    assert gate is not None
    await counter.context.database.run(lambda: gate.forget(counter.stall.merchant, counter.ana, "merchant", now))
    await carry_out(counter.context)
    counter.market.passes(minutes=1)
    await tell(counter.context)
    assert tags(counter) == []
    mine = "SELECT count(*) FROM mirrors WHERE account = :a"
    assert (await counter.market.rows(mine, a=str(counter.stall.ana.id)))[0][0] == 0


async def test_a_tier_reached_by_the_clock_is_heard_of(counter: Counter) -> None:
    """What she bought counts from the end of its hold: her tag is due with it, not a day later."""
    await becomes(counter, None)
    await has_ladder(counter, gold={**GOLD, "threshold": 1})
    await tell(counter.context)
    assert (tags(counter), await kept(counter)) == ([], [(None, None, None)])
    counter.market.passes(days=30)
    await look_due(counter.context)
    assert [due is not None for *_, due in await kept(counter)] == [True]
    await tell(counter.context)
    assert tags(counter) == ["gold-club"]
