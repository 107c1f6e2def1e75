"""What comes with a tier comes once ever, what is given by hand holds, and a change is counted before it is made."""

from typing import Any

import pytest

from handlers.ladder import NOBODY, Moves
from handlers.merchants.rules import Refused
from handlers.merchants.tiering import Tiers
from handlers.tiers.changes import give, leave
from handlers.tiers.views import moves
from integration.clock import DAY, SECOND, to_iso
from integration.facts import Buyer, CustomerSeen, CustomersMerged
from tests.handlers.messages.stage import Stage
from tests.handlers.tiers.ladder import LADDER, SHOP, shown, strikes, tier

MAX = Buyer(platform_id="71", email="max@home.example", customer_email="max@home.example", email_verified=True)
WITH_GIFTS = {key: {**each, "entry_points": 100} for key, each in LADDER["ladder"].items()}


async def gives(nora: Stage, wanted: str | None, until: int | None = None, customer: int = 1) -> str | None:
    """Nora gives a customer a tier."""
    now = nora.clock.now()
    given: str | None = await nora.database.run(
        lambda: give(SHOP, customer, wanted, until, "A friend of the house", "link:Nora", now)
    )
    return given


async def available(nora: Stage) -> int:
    """Elsa's points to spend."""
    return int((await shown(nora))["points"]["available"])


async def test_what_comes_with_a_tier_comes_once_ever(nora: Stage) -> None:
    """Reached, lost and reached again, and told again: a hundred points, beside the sixty of each order."""
    await nora.set({"tiers": {"ladder": WITH_GIFTS}}, at=0)
    await nora.hears(nora.order())
    await nora.hears(nora.order())
    assert await available(nora) == 160
    await strikes(nora, 400 * DAY)
    assert await tier(nora) is None
    await nora.hears(nora.order("1002"))
    assert (await tier(nora), await available(nora)) == ("Silver", 220)
    assert [e["reason"] for e in (await shown(nora))["entries"]] == ["tier_reward", "accrual", "accrual"]


async def test_two_who_are_one_are_not_welcomed_again(nora: Stage) -> None:
    """Each had a gift for silver; together they reach gold, and silver is given to nobody a third time."""
    await nora.set({"tiers": {"ladder": WITH_GIFTS}}, at=0)
    await nora.hears(nora.order(), nora.order("1002", buyer=MAX))
    nora.clock.instant += SECOND
    await nora.hears(CustomerSeen("shopify", MAX, nora.clock.now()), CustomersMerged("71", "70"))
    await nora.settles()
    await strikes(nora, SECOND)
    assert await tier(nora) == "Silver"
    assert await available(nora) == 2 * 60 + 2 * 100
    await nora.hears(nora.order("1003"))
    assert (await tier(nora), await available(nora)) == ("Gold", 3 * 60 + 3 * 100)


async def test_a_tier_given_by_hand_is_the_least_somebody_has_until_its_end(nora: Stage) -> None:
    """Gold for ten days; what is earned meanwhile is not lost, and what is higher counts."""
    await nora.hears(nora.order())
    ends = nora.clock.now() + 10 * DAY
    assert await gives(nora, "gold", ends) == "gold"
    standing = (await shown(nora))["standing"]
    assert (standing["id"], standing["kept_until"], standing["lost_at"]) == ("gold", to_iso(ends), None)
    await strikes(nora, 10 * DAY - SECOND)
    assert await tier(nora) == "Gold"
    assert await strikes(nora, SECOND) == 1
    assert await tier(nora) == "Silver"
    await gives(nora, "gold")
    await nora.hears(*(nora.order(str(n)) for n in range(2000, 2020)))
    assert await tier(nora) == "Jade"


async def test_a_tier_can_be_taken_by_hand_and_left_to_purchases_again(nora: Stage) -> None:
    """Whatever she buys meanwhile; it is written down who did it."""
    await nora.hears(nora.order())
    assert await gives(nora, None) is None
    nora.clock.instant += SECOND
    await nora.hears(nora.order("1002"), nora.order("1003"))
    assert await tier(nora) is None
    nora.clock.instant += SECOND
    assert await nora.database.run(lambda: leave(SHOP, 1, "link:Nora", nora.clock.now())) == "gold"
    assert await nora.rows("SELECT did, about FROM journal ORDER BY at") == [
        ("gave a tier by hand", "customer:1"),
        ("left a tier to purchases again", "customer:1"),
    ]


async def test_the_higher_of_two_tiers_given_by_hand_survives_when_two_are_one(nora: Stage) -> None:
    """Whichever was given last."""
    await nora.hears(nora.order(), nora.order("1002", buyer=MAX))
    await gives(nora, "jade", customer=1)
    nora.clock.instant += SECOND
    await gives(nora, "gold", customer=2)
    nora.clock.instant += SECOND
    await nora.hears(CustomerSeen("shopify", MAX, nora.clock.now()), CustomersMerged("71", "70"))
    await nora.settles()
    await strikes(nora, SECOND)
    assert await tier(nora) == "Jade"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((SHOP, 1, "lead", None, "x", "a", 5), "lead is not a tier; the tiers are silver, gold, jade."),
        ((SHOP, 1, "gold", 5, "x", "a", 5), "A tier given by hand ends in the future."),
        ((SHOP, 1, "gold", None, " ", "a", 5), "A tier given by hand needs a reason of 1 to 500 characters."),
        ((SHOP, 9, "gold", None, "x", "a", 5), "There is no such customer."),
    ],
)
async def test_what_cannot_be_given_is_refused_in_words(nora: Stage, arguments: Any, words: str) -> None:
    """And nothing is written."""
    await nora.hears(nora.order())
    with pytest.raises(Refused) as refused:
        await nora.database.run(lambda: give(*arguments))
    assert str(refused.value) == words
    assert await nora.rows("SELECT * FROM tier_grants") == []


async def test_who_would_move_is_counted_before_a_ladder_is_changed(nora: Stage) -> None:
    """By what would happen indeed: it is saved, and everybody stands where the count said."""
    await nora.hears(nora.order(), *(nora.order(str(n), buyer=MAX) for n in (1002, 1003, 1004)))
    nora.clock.instant += DAY
    silver = {"name": "Silver", "threshold": 100}
    ladder = {**LADDER["ladder"], "silver": silver, "gold": {"name": "Gold", "threshold": 170}}
    counts = {}
    for grandfather in (True, False):
        tiers = Tiers.model_validate({**LADDER, "ladder": ladder, "grandfather": grandfather})
        counts[grandfather] = await counted(nora, tiers)
    assert counts[True] == {("silver", "silver"): 1, ("gold", "gold"): 1}
    assert counts[False] == {("silver", None): 1, ("gold", "gold"): 1}
    assert await nora.rows("SELECT tier FROM standings ORDER BY customer") == [("silver",), ("gold",)]
    await nora.set({"tiers": {"ladder": ladder, "grandfather": False}})
    await strikes(nora, SECOND)
    assert await nora.rows("SELECT tier FROM standings ORDER BY customer") == [("gold",)]


async def counted(nora: Stage, tiers: Tiers) -> Moves:
    """Count page by page, one customer a page."""
    found = NOBODY
    after: int | None = 0
    while after is not None:
        part, after = await nora.database.read(
            lambda after=after: moves(SHOP, tiers, after, 1, nora.clock.now())  # type: ignore[misc]
        )
        found = found.plus(part)
    return found.moves
