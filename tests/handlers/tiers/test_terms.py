"""New terms reach everybody they can move; a save of the programme that moves nobody looks at nobody."""

from collections.abc import Mapping
from typing import Any

import pytest

from handlers.customers.rounds import mark
from handlers.merchants.rules import Program, Version
from handlers.tiers import jobs, store
from handlers.tiers.rules import replaces
from integration.clock import DAY, MINUTE, SECOND
from integration.facts import Buyer
from tests.handlers.messages.stage import Stage
from tests.handlers.tiers.ladder import LADDER, SHOP, strikes, tier

PEOPLE = 5
DEARER = {**LADDER["ladder"], "silver": {"name": "Silver", "threshold": 100}}


@pytest.fixture
async def crowd(nora: Stage) -> Stage:
    """Nora's shop with five silver customers, all of them looked at under the terms in force."""
    for n in range(PEOPLE):
        mail = f"guest{n}@home.example"
        buyer = Buyer(platform_id=str(900 + n), email=mail, customer_email=mail, email_verified=True)
        await nora.hears(nora.order(str(5000 + n), buyer=buyer))
    nora.clock.instant += MINUTE
    await nora.set({"tiers": {"grandfather": False}})
    assert await strikes(nora, SECOND) == PEOPLE
    return nora


@pytest.mark.parametrize(
    "changes",
    [
        {"thanks": {"delay_minutes": 90}},
        {"earning": {"points_per_unit": "2"}},
        {"tiers": {"ladder": {**LADDER["ladder"], "silver": {"name": "Silber", "threshold": 50, "multiplier": "1.5"}}}},
    ],
)
async def test_a_save_that_moves_nobody_looks_at_nobody(crowd: Stage, changes: dict[str, Any]) -> None:
    """Delays, what points are earned from now on, and a tier's name leave everybody where they stand."""
    await crowd.set(changes)
    assert await strikes(crowd, SECOND) == 0
    assert await crowd.rows("SELECT version, after_customer FROM tier_marks") == [(crowd.versions, None)]
    assert await tier(crowd, "guest0@home.example") is not None


async def test_a_save_that_moves_somebody_looks_at_everybody_once(crowd: Stage) -> None:
    """A dearer silver, also where a save that moves nobody came right behind it, before the clock looked."""
    await crowd.set({"tiers": {"ladder": DEARER}})
    crowd.clock.instant += SECOND
    await crowd.set({"thanks": {"delay_minutes": 91}})
    assert await strikes(crowd, SECOND) == PEOPLE
    assert await tier(crowd, "guest0@home.example") is None
    assert await strikes(crowd, SECOND) == 0


async def test_what_was_changed_and_changed_back_counts(crowd: Stage) -> None:
    """Whoever lost silver in between stands by the day on which it was theirs again."""
    await crowd.set({"tiers": {"ladder": DEARER}})
    crowd.clock.instant += DAY
    await crowd.set({"tiers": {"ladder": LADDER["ladder"]}})
    assert await strikes(crowd, SECOND) == PEOPLE
    since = await crowd.rows("SELECT DISTINCT since_at FROM standings")
    assert since == [(crowd.clock.now() - SECOND,)]


async def test_a_look_under_way_goes_on_where_it_is(crowd: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two were looked at when a save that moves nobody came: the other three are looked at, nobody twice."""
    monkeypatch.setattr(jobs, "BATCH", 2)
    await crowd.set({"tiers": {"ladder": DEARER}})
    monkeypatch.setattr(jobs, "MOST_PEOPLE", 2)
    assert await strikes(crowd, SECOND) == 2
    await crowd.set({"thanks": {"delay_minutes": 92}})
    monkeypatch.setattr(jobs, "MOST_PEOPLE", 100)
    assert await strikes(crowd, SECOND) == PEOPLE - 2
    assert [await tier(crowd, f"guest{n}@home.example") for n in range(PEOPLE)] == [None] * PEOPLE


async def test_new_terms_in_the_middle_of_a_look_begin_it_anew(crowd: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the worker that was at it writes its mark behind them."""
    monkeypatch.setattr(jobs, "BATCH", 2)
    monkeypatch.setattr(jobs, "MOST_PEOPLE", 2)
    await crowd.set({"tiers": {"ladder": DEARER}})
    assert await strikes(crowd, SECOND) == 2
    begun = crowd.versions
    await crowd.set({"tiers": {"ladder": LADDER["ladder"]}})
    assert await strikes(crowd, SECOND) == 2
    await crowd.database.run(lambda: mark(store.MARKS, SHOP, begun, None))
    monkeypatch.setattr(jobs, "MOST_PEOPLE", 100)
    assert await strikes(crowd, SECOND) == PEOPLE
    assert [await tier(crowd, f"guest{n}@home.example") for n in range(PEOPLE)] == ["Silver"] * PEOPLE


def _versions(*tiers: Mapping[str, Any]) -> list[Version]:
    return [
        Version(number, number * SECOND, Program.model_validate({"tiers": {**LADDER, **each}}))
        for number, each in enumerate(tiers, start=1)
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"by": "points"},
        {"over": "lifetime"},
        {"kept_months": 6},
        {"grace_days": 3},
        {"tell": True},
        {"timezone": "Europe/Paris"},
        {"enabled": False},
        {"grandfather": False},
        {"keep_until": "2031-01-01"},
        {"ladder": DEARER},
        {"ladder": {"silver": LADDER["ladder"]["silver"]}},
    ],
)
def test_every_term_that_places_or_tells_somebody_has_everybody_looked_at(change: dict[str, Any]) -> None:
    """Once it is in force, and only behind the version that they were looked at under."""
    versions = _versions({}, change)
    assert replaces(versions, 1, 2 * SECOND)
    assert not replaces(versions, 1, 2 * SECOND - 1)
    assert not replaces(versions, 2, 2 * SECOND)
    assert not replaces(_versions({}, {}), 1, 2 * SECOND)
    assert not replaces(_versions({"enabled": False}, {"enabled": False, "grace_days": 3}), 0, 2 * SECOND)
