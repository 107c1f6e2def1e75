"""Letters about points for occasions on the programme page: off, previewed, saved, and written in one's own words."""

import pytest

from handlers.merchants.rules import Program
from tests.handlers.programme.test_pages import PAGE, follows, form, proof, reviewed, versions
from tests.visits import NORA, House, Visitor


@pytest.fixture
async def nora(house: House) -> Visitor:
    """Nora, signed in."""
    return await house.signed_in(NORA)


async def test_letters_about_occasions_are_off_until_they_were_seen(house: House, nora: Visitor) -> None:
    """Their words stand in the preview, on or off, in the shop's language; switched on they are seen before saving."""
    page = (await nora.get(PAGE)).text
    assert (
        "Joyeux anniversaire de la part de Nora" in page
        and "Letters for birthdays are switched off: nobody gets this." in page
    )
    assert "Une année de plus avec Nora" in page and "100 points de Nora" in page
    ways = (await versions(house))[-1][1].ways
    assert not ways.tell_days and not ways.tell_gifts
    path, review = await reviewed(nora, form(ways__birthday="on", ways__birthday_points="275", ways__tell_days="on"))
    assert "Un cadeau vous attend : 275 points" in review.text
    assert (
        "This goes live for the first time" in review.text and "Joyeux anniversaire de la part de Nora" in review.text
    )
    assert "only to customers who agreed to marketing e-mail" in review.text
    refused = await follows(nora, await nora.post(path, {}))
    assert "look at the preview first" in refused.text and len(await versions(house)) == 1
    assert "Saved as version 2" in (await follows(nora, await nora.post(path, proof(review)))).text
    ways = (await versions(house))[-1][1].ways
    assert ways.birthday and ways.tell_days and not ways.tell_gifts


async def test_the_letter_about_points_tells_of_an_occasion_that_is_on(nora: Visitor) -> None:
    """Its points and what they are for, as they were typed."""
    typed = form(ways__tell_gifts="on", ways__milestones="on", ways__milestone_points="7 333")
    preview = (await nora.post(f"{PAGE}/preview", typed)).text
    assert "333 points de Nora" in preview and "votre commande numéro 7" in preview


async def test_the_release_before_reads_what_it_knows(house: House, nora: Visitor) -> None:
    """Letters are named in a version only where there are any."""
    for changes, named in (({"ways__birthday": "on"}, False), ({"ways__tell_gifts": "on"}, True)):
        _, program, _, _ = (await versions(house))[-1]
        path, review = await reviewed(nora, form(program, **changes) | {"base": str(len(await versions(house)))})
        await nora.post(path, proof(review))
        ((document,),) = await house.rows(
            "SELECT document FROM program_versions WHERE merchant_id = ?1 ORDER BY version DESC LIMIT 1", NORA
        )
        assert ("tell_gifts" in document) is named and "tell_days" not in document
        assert Program.model_validate_json(document).ways.birthday


async def test_words_of_these_letters_are_the_merchants_to_write(nora: Visitor) -> None:
    """They are among the messages, each with when it goes out."""
    page = (await nora.get("/app/messages")).text
    for title in ("Birthday", "Anniversary", "Points for an occasion"):
        assert title in page
    assert "only to those who agreed to marketing e-mail" in page
