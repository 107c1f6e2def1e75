"""People are told once of a tier they reach, will lose or have lost by what they bought, where that is on."""

import re
from typing import Any

import pytest

from handlers.merchants.rules import PLACEHOLDERS
from handlers.points.lots import months_later
from handlers.tiers.letters import LETTERS
from integration.clock import DAY, SECOND
from tests.handlers.messages.stage import MONDAY_NOON, Stage
from tests.handlers.tiers.ladder import LADDER, strikes, tier

YEAR = months_later(MONDAY_NOON, 12) - MONDAY_NOON
KINDS = [kind.name for kind in LETTERS]


@pytest.fixture
async def nora(database: Any) -> Stage:
    """Nora's shop with a ladder, where people are told of their tier; nothing else is sent."""
    stage = await Stage(database).open()
    quiet = {"thanks": {"enabled": False}, "reviews": {"enabled": False}, "messages": {"cap_hours": 0}}
    await stage.set({"tiers": {**LADDER, "tell": True}, "earning": {"hold_days": 0}, **quiet}, at=0)
    return stage


async def goes_by(nora: Stage, days: int, step: int = 1) -> list[str]:
    """Let days pass, with the clock and the mail; returns the subjects of what came."""
    before = len(nora.mails)
    for _ in range(0, days, step):
        await strikes(nora, step * DAY)
        await nora.sends()
    return [str(mail["subject"]) for mail in nora.mails[before:]]


async def states(nora: Stage) -> dict[str, str]:
    return {key: state for kind in KINDS for key, state in (await nora.states(kind)).items()}


async def test_who_reaches_a_tier_is_told_once_with_what_it_brings(nora: Stage) -> None:
    """However often the purchase is told of."""
    ladder = {**LADDER["ladder"], "silver": {**LADDER["ladder"]["silver"], "perks": "Early access <b>"}}
    await nora.set({"tiers": {"ladder": ladder}}, at=0)
    order = nora.order(country="FR")
    await nora.hears(order)
    await nora.hears(order)
    assert await goes_by(nora, 2) == ["Vous avez atteint Silver chez Nora's Tea"]
    letter = nora.mails[-1]
    assert letter["List-Unsubscribe"]
    assert "Early access <b>" in letter.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert "Early access &lt;b&gt;" in letter.get_body(("html",)).get_content()  # type: ignore[union-attr]


async def test_warnings_come_sixty_and_thirty_days_before_then_the_word_that_it_ended(nora: Stage) -> None:
    """With the day and what is missing; one step down is told, too."""
    await nora.hears(*(nora.order(str(n), country="FR") for n in range(1001, 1004)))
    assert await goes_by(nora, 1) == ["Vous avez atteint Gold chez Nora's Tea"]
    lost_on = months_later(MONDAY_NOON, 12) + 30 * DAY
    days = (lost_on - nora.clock.now()) // DAY - 65
    assert await goes_by(nora, days - days % 5, step=5) == []
    assert await goes_by(nora, 12) == ["Vous avez Gold chez Nora's Tea jusqu’au 23 décembre 2027"]
    text = nora.mails[-1].get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert "Encore 150,00" in text
    assert await goes_by(nora, 30) == ["Vous avez Gold chez Nora's Tea jusqu’au 23 décembre 2027"]
    assert await goes_by(nora, 40) == ["Gold chez Nora's Tea a pris fin"]
    assert "Vous avez maintenant Silver" in nora.mails[-1].get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert await tier(nora) == "Silver"


async def test_a_warning_that_waits_is_called_off_by_a_purchase(nora: Stage) -> None:
    """It waited for the send window; when it may go out there is nothing to tell."""
    await nora.hears(nora.order())
    await goes_by(nora, 1)
    await nora.set({"messages": {"window": "03:00-03:30"}})
    nora.clock.instant = months_later(MONDAY_NOON, 12) + 2 * DAY
    await strikes(nora)
    await nora.sends()
    ending = {key: state for key, state in (await states(nora)).items() if key.startswith("tier_ending")}
    assert list(ending.values()) == ["waiting"]
    await nora.hears(nora.order("1002"))
    await nora.set({"messages": {"window": "always"}})
    await goes_by(nora, 2)
    ((state, reason),) = (await nora.messages("tier_ending")).values()
    assert (state, reason) == ("cancelled", "their tier is kept for longer by now")


@pytest.mark.parametrize("told", [False, True])
async def test_what_the_merchant_does_is_told_by_nobody(nora: Stage, told: bool) -> None:
    """Nor is anything where it is off, or where it was reached before it was on."""
    await nora.set({"tiers": {**LADDER, "tell": False}}, at=0)
    await nora.hears(nora.order())
    await goes_by(nora, 1)
    easier = {**LADDER["ladder"], "gold": {"name": "Gold", "threshold": 60}}
    await nora.set({"tiers": {**LADDER, "ladder": easier, "tell": told}})
    await goes_by(nora, 2)
    assert await tier(nora) == "Gold"
    assert await states(nora) == {} and nora.mails == []


async def test_two_people_who_turn_out_to_be_one_are_told_once(nora: Stage) -> None:
    """What one of them was told, the other is not told again."""
    await nora.hears(nora.order())
    await goes_by(nora, 1)
    assert list(await nora.states("tier_reached")) == ["tier_reached:customer:1:silver:1"]
    await nora.does(
        "INSERT INTO customers (merchant_id, number, email, created_at) VALUES (1, 90, 'elsa@old.example', 5)"
    )
    await nora.does("UPDATE customers SET merged_into = 90 WHERE merchant_id = 1 AND number = 1")
    await nora.does("UPDATE standings SET customer = 90, due_at = ?1", nora.clock.now() + SECOND)
    assert await goes_by(nora, 1) == []
    assert list(await nora.states("tier_reached")) == ["tier_reached:customer:1:silver:1"]


async def test_each_letter_fills_exactly_the_placeholders_it_names(nora: Stage) -> None:
    """In the merchant's own words, too."""
    every = "\n\n".join(f"{name}=[{{{name}}}]" for name in sorted(PLACEHOLDERS))
    await nora.set({"messages": {"words": {kind: {"en": {"subject": "S", "body": every}} for kind in KINDS}}}, at=0)
    await nora.hears(nora.order(country="GB"))
    await goes_by(nora, 1)
    nora.clock.instant = months_later(MONDAY_NOON, 12) - 10 * DAY
    await goes_by(nora, 1)
    nora.clock.instant = months_later(MONDAY_NOON, 12) + 30 * DAY
    await goes_by(nora, 1)
    texts = [mail.get_body(("plain",)).get_content() for mail in nora.mails]  # type: ignore[union-attr]
    filled = [frozenset(re.findall(r"^(\w+)=\[.+\]", text, re.M)) for text in texts]
    assert filled == [kind.placeholders for kind in LETTERS]
