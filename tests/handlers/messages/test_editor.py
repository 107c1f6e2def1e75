"""The page of a message's words: preview, warnings, saving, resetting, testing on oneself, nothing lost."""

import re

import pytest

from handlers.messages.letters import Words
from handlers.messages.trials import MOST_TRIALS
from handlers.messages.words import digest
from integration.clock import DAY, HOUR
from tests.visits import NORA, OTTO, House, Visitor

WORDS = "/app/messages/words/thank_you"
NOTHING = digest(Words("", ""))
JSON = {"Accept": "application/json"}


@pytest.fixture
async def nora(house: House) -> Visitor:
    """Nora's browser."""
    return await house.signed_in(NORA)


def typed(subject: str = "Hey {first_name}", body: str = "Dear {first_name}", **over: str) -> dict[str, str]:
    """What Nora's form sends."""
    return {"subject": subject, "body": body, "language": "en", "base": NOTHING, **over}


def frame(page: str) -> str:
    """The address of the letter in a page's frames: the same in both."""
    found = set(re.findall(r'<iframe src="([^"]+)"', page))
    assert len(found) == 1
    return found.pop()


async def saved(house: House) -> str:
    """The newest programme's document."""
    rows = await house.rows("SELECT document FROM program_versions WHERE merchant_id = 1 ORDER BY version DESC LIMIT 1")
    return str(rows[0][0])


async def test_the_page_begins_with_our_words_in_the_shops_language(nora: Visitor) -> None:
    """Nora's shop is in France; every language has a tab; an unknown one is not an error; an unknown kind is."""
    page = (await nora.get(WORDS)).text
    assert "Merci, {first_name}" in page
    assert "Merci, Ada" in page
    assert "Thank you, {first_name}" in (await nora.get(f"{WORDS}?language=en")).text
    assert (await nora.get(f"{WORDS}?language=%27")).status_code == 200
    assert (await nora.get("/app/messages/words/nonsense")).status_code == 404


async def test_what_is_typed_is_shown_as_a_letter_and_not_lost(nora: Visitor, house: House) -> None:
    """Without scripts: a button; the page comes back with what was typed, and still does in another tab."""
    answer = await nora.post(f"{WORDS}/preview", typed(body="Dear {first_name},\r\n\r\nall the best"))
    assert answer.status_code == 303
    page = (await nora.get(answer.headers["location"])).text
    assert "Hey {first_name}" in page and "Hey Ada" in page and "have not saved it yet" in page
    letter = await house.stranger().get(frame(page))
    assert "Dear Ada," in letter.text and "all the best" in letter.text
    assert "thank_you" not in await saved(house)
    await nora.post(f"{WORDS}/discard?language=en")
    assert "Thank you, Ada" in (await nora.get(f"{WORDS}?language=en")).text


async def test_a_script_gets_the_letter_while_it_is_typed(nora: Visitor, house: House) -> None:
    """Subject, plain text, remarks, and an address that shows just these words; a new one for new words."""
    first = (await nora.post(f"{WORDS}/preview", typed(), **JSON)).json()
    house.clock.instant += 1_000
    second = (await nora.post(f"{WORDS}/preview", typed(body="{balance} {nmae}"), **JSON)).json()
    assert first["subject"] == "Hey Ada" and "Dear Ada" in first["text"]
    assert first["remarks"] == {"subject": [], "body": []}
    assert [words[:9] for words in second["remarks"]["body"]] == ["{nmae} is", "{balance}"]
    assert first["src"] != second["src"]
    assert "Dear" not in (await house.stranger().get(second["src"])).text


async def test_a_letter_in_its_frame_runs_nothing_and_is_guarded(nora: Visitor, house: House) -> None:
    """Its own policy and sandbox; words are text; the address is signed, of one merchant, and lives for hours."""
    evil = '<script>alert(1)</script>"><img src=x onerror=alert(1)>{{7*7}}'
    data = (await nora.post(f"{WORDS}/preview", typed(body=evil.replace("{{7*7}}", "")), **JSON)).json()
    letter = await house.stranger().get(data["src"])
    assert "<script" not in letter.text and "<img" not in letter.text
    policy = letter.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'") and "frame-ancestors 'self'" in policy
    assert "script" not in policy and letter.headers["cache-control"] == "no-store"
    token = data["src"].rpartition("/")[2]
    changed = ("A" if token[3] != "A" else "B").join((token[:3], token[4:]))
    assert (await house.stranger().get(f"/app/messages/letter/{changed}")).status_code == 404
    other = house.context.vault.sign("unsubscribe", 1, "thank_you", "en", "", 9**18, "", 0)
    assert (await house.stranger().get(f"/app/messages/letter/{other}")).status_code == 404
    house.clock.instant += DAY
    assert "This preview is over" in (await house.stranger().get(data["src"])).text


async def test_in_the_admin_a_letter_may_stand_in_that_shops_frame(house: House) -> None:
    """The frame of our page stands in the admin's: both are named, and nobody else."""
    admin = house.embedded()
    data = (await admin.post(f"{WORDS}/preview", typed(), **JSON)).json()
    letter = await house.stranger().get(data["src"])
    policy = letter.headers["content-security-policy"]
    assert policy.endswith("frame-ancestors 'self' https://nora.myshopify.com https://admin.shopify.com")


async def test_saved_words_go_out_and_the_change_is_written_down(nora: Visitor, house: House) -> None:
    """A new version of the programme, the draft gone, and who changed what from what."""
    answer = await nora.post(WORDS, typed())
    page = (await nora.get(answer.headers["location"])).text
    assert "Saved." in page and "English (yours)" in page and "have not saved" not in page
    assert "Dear {first_name}" in await saved(house)
    ((who, did, about, detail),) = await house.rows(
        "SELECT who, did, about, detail FROM journal WHERE about <> 'session'"
    )
    assert (who, did, about) == ("link:nora", "changed the words of a message", "words:thank_you")
    assert '"before"' in detail and "Dear {first_name}" in detail
    assert "Yours in EN" in (await nora.get("/app/messages")).text


async def test_words_that_cannot_be_saved_come_back_with_what_is_wrong_beside_them(nora: Visitor, house: House) -> None:
    """Nothing is saved, nothing typed is lost, and each field says what to do."""
    answer = await nora.post(WORDS, typed(subject="Hey {frist_name}", body="x" * 5_001))
    assert answer.status_code == 422
    assert "Did you mean {first_name}?" in answer.text and "5,001 characters" in answer.text
    assert 'value="Hey {frist_name}"' in answer.text and 'aria-invalid="true"' in answer.text
    assert await house.rows("SELECT max(version) FROM program_versions") == [(1,)]
    assert await house.rows("SELECT count(*) FROM journal WHERE about <> 'session'") == [(0,)]


async def test_who_saves_over_somebody_elses_words_is_asked_again(nora: Visitor, house: House) -> None:
    """Both typed from the same words; the second one's are kept beside a warning, and saved when sent again."""
    colleague = await house.signed_in(NORA, "link:ben")
    await colleague.post(WORDS, typed(subject="Ben's"))
    answer = await nora.post(WORDS, typed(subject="Nora's"))
    assert answer.status_code == 422 and "Somebody else saved these words" in answer.text
    assert "Nora&#39;s" in answer.text and "Ben&#39;s" not in answer.text.split("<iframe")[0]
    base = re.search(r'name="base" value="(\w+)"', answer.text)
    assert base is not None
    assert (await nora.post(WORDS, typed(subject="Nora's", base=base[1]))).status_code == 303
    assert "Nora's" in await saved(house)


async def test_a_reset_is_asked_for_and_brings_ours_back(nora: Visitor, house: House) -> None:
    """In one language; the question shows what ours say; others keep theirs."""
    await nora.post(WORDS, typed())
    await nora.post(WORDS, typed(language="de"))
    assert "Thank you, {first_name}" in (await nora.get(f"{WORDS}/reset?language=en")).text
    assert "Dear" in await saved(house)
    answer = await nora.post(f"{WORDS}/reset?language=en")
    assert "our words again" in (await nora.get(answer.headers["location"])).text
    page = (await nora.get("/app/messages")).text
    assert "Yours in DE" in page
    dids = [row[0] for row in await house.rows("SELECT did FROM journal WHERE about <> 'session' ORDER BY at, mark")]
    assert sorted(dids)[-1] == "reset the words of a message"


async def test_a_test_goes_to_the_shops_own_address_whatever_the_form_says(nora: Visitor, house: House) -> None:
    """What was typed, unsaved; marked as a test; there is no field for another address."""
    answer = await nora.post(f"{WORDS}/test", {**typed(), "to": "victim@x.example", "email": "victim@x.example"})
    assert "on its way to owner1@shop.example" in (await nora.get(answer.headers["location"])).text
    (mail,) = house.mail.mailbox
    assert (str(mail["To"]), str(mail["Subject"])) == ("owner1@shop.example", "[Test] Hey Ada")
    assert "have not saved" in (await nora.get(f"{WORDS}?language=en")).text
    assert (await nora.post(f"{WORDS}/test", typed(subject="{nmae}"))).status_code == 422
    assert len(house.mail.mailbox) == 1
    assert await house.rows("SELECT did, about FROM journal WHERE about <> 'session'") == [
        ("had a test message sent to the shop", "words:thank_you")
    ]


async def test_tests_are_limited(nora: Visitor, house: House) -> None:
    """So many an hour; what was typed is kept; an hour later again."""
    for _ in range(MOST_TRIALS):
        await nora.post(f"{WORDS}/test", typed())
    answer = await nora.post(f"{WORDS}/test", typed())
    assert "wait a little" in (await nora.get(answer.headers["location"])).text
    assert len(house.mail.mailbox) == MOST_TRIALS
    house.clock.instant += HOUR
    await nora.post(f"{WORDS}/test", typed())
    assert len(house.mail.mailbox) == MOST_TRIALS + 1


async def test_what_one_person_types_nobody_else_sees(nora: Visitor, house: House) -> None:
    """Neither a colleague nor another shop."""
    await nora.post(f"{WORDS}/preview", typed(subject="Secret"))
    colleague, otto = await house.signed_in(NORA, "link:ben"), await house.signed_in(OTTO)
    for other in (colleague, otto):
        assert "Secret" not in (await other.get(f"{WORDS}?language=en")).text
    assert "Secret" in (await nora.get(f"{WORDS}?language=en")).text
