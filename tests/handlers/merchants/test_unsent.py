"""A form whose session has ended: what was typed comes back to whoever typed it, and acts by a press alone."""

import html
import json
import re
from typing import Any

import httpx
import pytest

from handlers.merchants import sessions
from handlers.messages.words import Words, digest
from tests.visits import HERE, NORA, OTTO, House, Visitor

WORDS = "/app/messages/words/thank_you"
LETTER = 'Dear {first_name},\n\nwelcome to <b>Nora\'s</b> & "friends".'
TYPED = {"subject": "<script>alert(1)</script>", "body": LETTER, "language": "en", "base": digest(Words("", ""))}
OURS = {"Origin": HERE, "Sec-Fetch-Site": "same-origin"}
_HIDDEN = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)">')


@pytest.fixture
async def house(database: Any) -> House:
    """Nora's and Otto's shops."""
    return await House(database).open()


async def ends(house: House, merchant: int = NORA) -> None:
    """Every session of a merchant ends."""
    now = house.clock.now()
    await house.database.run(lambda: sessions.end_sessions(merchant, now))


async def signs_in(house: House, visitor: Visitor, merchant: int = NORA) -> None:
    """The same browser uses another link, in another tab."""
    now = house.clock.now()
    token = await house.database.run(lambda: sessions.new_link(merchant, "link:nora", house.context.vault, now))
    assert (await visitor.client.post(f"/app/sign-in/{token}")).status_code == 303


def hidden(answer: httpx.Response) -> dict[str, str]:
    """The fields that a page would send again."""
    form = answer.text.partition(f'action="{WORDS}"')[2].partition("</form>")[0]
    return {html.unescape(name): html.unescape(value) for name, value in _HIDDEN.findall(form)}


def shows(answer: httpx.Response) -> bool:
    """Whether what was typed stands in an answer, and nothing of it as anything but words."""
    assert "<script>alert" not in answer.text and "<b>Nora" not in answer.text
    return "alert(1)" in answer.text or "Nora&#39;s" in answer.text


async def written(house: House) -> Any:
    """The words that Nora's shop has of its own."""
    (document,) = (await house.rows("SELECT document FROM program_versions WHERE merchant_id = 1 ORDER BY version"))[-1]
    return json.loads(document)["messages"]["words"]


async def test_what_was_typed_is_saved_after_signing_in_again(house: House) -> None:
    """Three presses: too late, signed in, send; only the last one saves anything, and it saves every character."""
    nora = await house.signed_in()
    old = await nora.token()
    await ends(house)
    late = await nora.post(WORDS, TYPED, **OURS)
    assert late.status_code == 401 and shows(late) and "Nothing was saved yet" in late.text
    assert hidden(late) == {**TYPED, "form-token": old}
    still_out = await nora.client.post(WORDS, data=hidden(late), headers=OURS)
    assert still_out.status_code == 401 and hidden(still_out) == hidden(late)
    await signs_in(house, nora)
    asked = await nora.client.post(WORDS, data=hidden(late), headers=OURS)
    assert asked.status_code == 403 and shows(asked) and "Nora&#39;s Tea" in asked.text
    assert await written(house) == {}
    again = hidden(asked)
    assert again.pop("form-token") != old and again == TYPED
    assert (await nora.client.post(WORDS, data=hidden(asked), headers=OURS)).status_code == 303
    assert await written(house) == {"thank_you": {"en": {"subject": TYPED["subject"], "body": LETTER}}}


@pytest.mark.parametrize(
    "headers",
    [{}, {"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}],
    ids=["says nothing", "another site", "cross-site", "opaque"],
)
async def test_only_a_page_of_ours_gets_it_back(house: House, headers: dict[str, str]) -> None:
    """No other site has a page of ours say its words: neither without a session nor with another one."""
    nora = await house.signed_in()
    await nora.token()
    await ends(house)
    answer = await nora.post(WORDS, TYPED, **headers)
    assert answer.status_code == 401 and not shows(answer)
    await signs_in(house, nora)
    answer = await nora.post(WORDS, TYPED, **headers)
    assert answer.status_code == 403 and not shows(answer)
    assert await written(house) == {}


async def test_a_token_that_we_did_not_make_for_a_form_gives_nothing_back(house: House) -> None:
    """None, a changed one, one for another purpose; without a session, and with one."""
    nora = await house.signed_in()
    token, vault = await nora.token(), house.context.vault
    for session in (True, False):
        for forged in ("", token[:-1], "x" + token, vault.sign("unsubscribe", NORA, "x")):
            answer = await nora.post(WORDS, {**TYPED, "form-token": forged}, **OURS)
            assert answer.status_code == (403 if session else 401) and not shows(answer)
        await ends(house)


async def test_what_was_typed_for_one_shop_does_not_go_to_another(house: House) -> None:
    """Whoever signed in to Otto's shop meanwhile is not led to put Nora's words there."""
    browser = await house.signed_in(NORA)
    await browser.token()
    await signs_in(house, browser, OTTO)
    answer = await browser.post(WORDS, TYPED, **OURS)
    assert answer.status_code == 403 and not shows(answer) and "form-token" not in answer.text


async def test_a_key_is_never_shown_again(house: House) -> None:
    """The restricted key of a Stripe account stands in no page, however its form came back."""
    nora = await house.signed_in()
    await nora.token()
    await ends(house)
    for status in (401, 403):
        answer = await nora.post("/app/connections/stripe", {"key": "rk_live_51Secret"}, **OURS)
        assert answer.status_code == status and "rk_live" not in answer.text
        await signs_in(house, nora)


async def test_more_than_a_person_types_is_not_given_back(house: House) -> None:
    """Without a session no great body is read, and rubbish is answered like everything else."""
    nora = await house.signed_in()
    await nora.token()
    await ends(house)
    great = await nora.post(WORDS, {**TYPED, "body": "tea " * 40_000}, **OURS)
    rubbish = await nora.client.post(WORDS, content=b"\x00{", headers={**OURS, "Content-Type": "application/json"})
    for answer in (great, rubbish):
        assert answer.status_code == 401 and "Nothing was changed" in answer.text
