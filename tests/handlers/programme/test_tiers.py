"""Tiers on the programme page: typed, told what is wrong beside its field, reviewed, saved and undone like the rest."""

import pytest

from handlers.merchants.rules import Program
from handlers.merchants.wording import Reader, changes, spoken
from handlers.programme.rules import merged, shown, understand
from tests.handlers.programme.test_pages import PAGE, follows, form, proof, reviewed, versions
from tests.visits import NORA, House, Visitor

LADDER = {
    "silver": {"name": "Silver", "threshold": 50},
    "gold": {"name": "Gold", "threshold": 150, "multiplier": "1.5", "entry_points": 100, "perks": "Early access."},
}
RICH = Program.model_validate({"tiers": {"enabled": True, "ladder": LADDER}})
NEW = {"tiers.ladder.+.name": "Jade & Co", "tiers.ladder.+.threshold": "1000"}


@pytest.fixture
async def nora(house: House) -> Visitor:
    """Nora, signed in."""
    return await house.signed_in(NORA)


def test_a_tier_is_added_changed_and_taken_out_in_one_form() -> None:
    """Each has an id that stays, whatever it is called later."""
    typed = understand(RICH, {**shown(RICH), **NEW, "tiers.ladder.gold.name": "Golden"})
    assert not typed.errors
    assert {one: each.name for one, each in typed.program.tiers.ascending} == {
        "silver": "Silver", "gold": "Golden", "jade-co": "Jade & Co",
    }  # fmt: skip
    assert list(understand(RICH, {"tiers.ladder.silver.remove": "on"}).program.tiers.ladder) == ["gold"]


@pytest.mark.parametrize(
    ("typed", "place", "told"),
    [
        ({"tiers.ladder.+.name": "Jade"}, "tiers.ladder.+.threshold", "what it takes"),
        ({"tiers.ladder.+.threshold": "9"}, "tiers.ladder.+.name", "Give it a name"),
        ({**NEW, "tiers.ladder.+.threshold": "50"}, "tiers.ladder.+.threshold", "“Silver” takes as much"),
        ({"tiers.ladder.gold.threshold": "50"}, "tiers.ladder.gold.threshold", "“Silver” takes as much"),
        ({"tiers.ladder.gold.threshold": "many"}, "tiers.ladder.gold.threshold", "whole number"),
        ({"tiers.ladder.gold.multiplier": "0.5"}, "tiers.ladder.gold.multiplier", "from 1 to 10"),
        ({"tiers.ladder.gold.multiplier": "11"}, "tiers.ladder.gold.multiplier", "from 1 to 10"),
        ({"tiers.ladder.gold.entry_points": "-1"}, "tiers.ladder.gold.entry_points", "whole number"),
        ({"tiers.ladder.gold.tag": "vip, gold"}, "tiers.ladder.gold.tag", "without a comma"),
        ({"tiers.ladder.gold.tag": "x" * 41}, "tiers.ladder.gold.tag", "40"),
        ({"tiers.ladder.gold.entry_for": "nobody"}, "tiers.ladder.gold.entry_for", "newcomers"),
        ({"tiers.grace_days": "400"}, "tiers.grace_days", "from 0 to 90"),
        ({"tiers.ladder.gold.remove": "on", "tiers.ladder.silver.remove": "on"}, "tiers.enabled", "at least one tier"),
    ],
)
def test_what_cannot_be_a_tier_is_told_beside_its_field(typed: dict[str, str], place: str, told: str) -> None:
    """And the ladder stays as it was."""
    result = understand(RICH, typed)
    assert list(result.errors) == [place] and told in result.errors[place]
    assert result.program.tiers == RICH.tiers


def test_two_people_who_change_different_tiers_both_have_their_way() -> None:
    """Each tier is a setting of its own in differences."""
    mine = understand(RICH, {"tiers.ladder.gold.threshold": "200"}).program
    theirs = understand(RICH, {"tiers.ladder.silver.threshold": "60"}).program
    both, twice = merged(RICH, mine, theirs)
    assert [(one, each.threshold) for one, each in both.tiers.ascending] == [("silver", 60), ("gold", 200)]
    assert twice == ()
    (change,) = changes(RICH, mine)
    english = Reader("en", "EUR")
    assert spoken(change.key, change.after, english) == (
        "“Gold”: from 200, 1.5 times the points, 100 points for reaching it, “Early access.”"
    )


async def test_tiers_are_previewed_reviewed_saved_and_undone(house: House, nora: Visitor) -> None:
    """Nothing is on before; what is typed is escaped wherever it stands."""
    page = (await nora.get(PAGE)).text
    assert "No tier yet" in page and not (await versions(house))[-1][1].tiers.enabled
    path, review = await reviewed(nora, form(**NEW, tiers__enabled="on"))
    assert "“Jade &amp; Co”: from 1,000" in review.text and "This goes live for the first time" in review.text
    assert "can reach tiers" in review.text and "Points that people have already stay" in review.text
    refused = await follows(nora, await nora.post(path, {}))
    assert "look at the preview first" in refused.text and len(await versions(house)) == 1
    saved = await follows(nora, await nora.post(path, proof(review)))
    assert "Saved as version 2" in saved.text
    tiers = (await versions(house))[-1][1].tiers
    assert tiers.enabled and tiers.ladder["jade-co"].threshold == 1000 and tiers.timezone
    undo = await nora.get(f"{PAGE}/restore/1")
    assert "tiers.timezone" not in undo.text
    assert "Saved as version 3" in (await follows(nora, await nora.post(f"{PAGE}/restore/1", {"base": "2"}))).text
    assert not (await versions(house))[-1][1].tiers.enabled


async def test_a_tier_that_cannot_be_read_stays_as_it_was_typed(nora: Visitor) -> None:
    """The page answers with what was typed and what to do, in the place where it was typed."""
    answer = await nora.post(PAGE, form(**{"tiers.ladder.+.name": "Jade", "tiers.ladder.+.threshold": "lots"}))
    assert answer.status_code == 422
    assert 'value="lots"' in answer.text and "Write a whole number" in answer.text
