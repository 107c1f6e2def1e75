"""Presents by hand have limits, at once and within twelve months, and are given once a key."""

import pytest

from handlers.merchants.rules import Refused
from handlers.points.adjust import present
from integration.clock import DAY
from integration.facts import CustomerSeen, CustomersMerged
from tests.handlers.earning.fair import MAX, SHOP, Fair

NO_GIFTS = {"first_order": False, "goodwill_at_once": 100, "goodwill_a_year": 150}


async def gives(nora: Fair, points: int, key: str | None = None, numbers: tuple[int, ...] = (1,)) -> int:
    """Nora gives a present; returns what can be spent then."""
    now = nora.clock.now()
    balance = await nora.database.run(lambda: present(SHOP, numbers, points, "For waiting so long", key, now))
    return int(balance["available"])


async def test_a_present_is_given_once_a_key_and_shown_with_its_reason(nora: Fair) -> None:
    """It is spent like any other point, and the account says what it was."""
    await nora.set({"ways": NO_GIFTS}, at=0)
    await nora.hears(nora.order("1001"))
    assert await gives(nora, 40, "letter-7") == 40
    assert await gives(nora, 40, "letter-7") == 40
    with pytest.raises(Refused, match="another present"):
        await gives(nora, 41, "letter-7")
    with pytest.raises(Refused, match="another present"):
        await gives(nora, 40, "letter-7", numbers=(2,))
    assert await gives(nora, 40, "letter-7", numbers=(3, 1)) == 0, "they go under another number by now"
    entries = (await nora.account())["entries"]
    assert ("goodwill", 40) in [(entry["reason"], entry["points"]) for entry in entries]
    assert await nora.given() == {}


async def test_presents_are_limited_at_once_and_within_twelve_months(nora: Fair) -> None:
    """A hundred at once, a hundred and fifty a year; what was given under another number of the person counts, too."""
    await nora.set({"ways": NO_GIFTS}, at=0)
    await nora.hears(nora.order("1001"), nora.order("1002", buyer=MAX))
    with pytest.raises(Refused, match="100 points at most"):
        await gives(nora, 101)
    await gives(nora, 100)
    await gives(nora, 30, numbers=(2,))
    await nora.hears(CustomerSeen("shopify", MAX, nora.clock.now()), CustomersMerged("70", "71"))
    with pytest.raises(Refused, match="20 more points"):
        await gives(nora, 21, numbers=(1, 2))
    assert await gives(nora, 20, numbers=(1, 2)) == 150
    nora.clock.instant += 367 * DAY
    assert await gives(nora, 100, numbers=(1, 2)) == 250


@pytest.mark.parametrize("points", [0, -5])
async def test_a_present_is_never_less_than_a_point(nora: Fair, points: int) -> None:
    """Taking away is an adjustment."""
    await nora.hears(nora.order("1001"))
    with pytest.raises(Refused, match="at least one point"):
        await gives(nora, points)
