"""Merchants' words: what is said beside the field, what is saved, and what is kept while it is typed."""

import re

import pytest

from config.wiring import KINDS
from handlers.earning import letters as earning
from handlers.merchants.books import shops
from handlers.merchants.rules import PLACEHOLDERS, Program
from handlers.messages.falls import PointsDown
from handlers.messages.letters import Words, choose_words
from handlers.messages.rules import LANGUAGES
from handlers.messages.words import (
    MOST_BODY,
    author,
    digest,
    draft_of,
    drop_draft,
    keep_draft,
    look_over,
    our_words,
    own_words,
    save_words,
    tidied,
)
from handlers.points.jobs import enrol_holders, expire_due
from handlers.thanks.letters import ThankYou
from handlers.tiers import letters as tiers
from integration.clock import DAY, HOUR, MINUTE
from tests.handlers.messages.stage import Stage

THANKS = ThankYou()
NOTHING = digest(Words("", ""))


async def saves(nora: Stage, words: Words, base: str = NOTHING, language: str = "en") -> str:
    """Nora saves words for her thank-you notes."""
    return str(await nora.database.run(lambda: save_words(1, THANKS, language, words, base, nora.clock.now())))


async def program(nora: Stage) -> Program:
    """The newest programme."""
    return (await nora.database.read(lambda: shops([1])))[1].current


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Hello {frist_name}", "{frist_name} is not a placeholder. Did you mean {first_name}?"),
        ("Hello {First Name}", "{First Name} is not a placeholder. Did you mean {first_name}?"),
        ("{colour}", "{colour} is not a placeholder. Choose one from the list, or leave out the braces."),
        ("{{7*7}}", "{7*7} is not a placeholder. Choose one from the list, or leave out the braces."),
        ("a } b", "A { or } stands alone. Write a placeholder as {first_name}, or leave the brace out."),
        ("x" * (MOST_BODY + 1), "The text has 5,001 characters; 5,000 is the most."),
    ],
)
def test_what_cannot_be_saved_is_said_beside_its_field(text: str, said: str) -> None:
    """And what is said names the way out."""
    found = look_over(THANKS, Words("Thank you", text))
    assert said in found["body"].errors
    assert not found["subject"].errors


def test_a_placeholder_this_message_cannot_fill_is_a_warning() -> None:
    """A thank-you note knows no balance: the words can be saved, and it is said what becomes of them."""
    found = look_over(THANKS, Words("Thank you", "You have {balance} points."))
    assert found["body"].warnings == ("{balance} is not known in this message: it is left out.",)
    assert not found["body"].errors
    assert not look_over(PointsDown(), Words("", "{balance}"))["body"].warnings


def test_a_subject_of_two_lines_cannot_be_saved() -> None:
    """It would end the header."""
    assert look_over(THANKS, Words("Thank you\nBcc: x@y.example", ""))["subject"].errors


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("language", LANGUAGES)
def test_our_own_words_give_no_cause_for_remarks(kind, language) -> None:  # type: ignore[no-untyped-def]
    """What we say by default would pass what we say about merchants' words."""
    found = look_over(kind, our_words(kind, language))
    assert all(not findings.errors and not findings.warnings for findings in found.values())


async def test_a_kind_fills_exactly_the_placeholders_it_names(nora: Stage) -> None:
    """Every letter that really goes out: each placeholder it claims has a value, each other one is left out."""
    every = "\n\n".join(f"{name}=[{{{name}}}]" for name in sorted(PLACEHOLDERS))
    words = {kind.name: {"fr": {"subject": "S", "body": every}} for kind in KINDS}
    await nora.set({"messages": {"words": words}})
    order = nora.order()
    await nora.hears(order, nora.parcel(order.order.id))
    await nora.later(HOUR)
    await nora.later(15 * DAY)
    await nora.later(8 * DAY)
    await nora.hears(nora.refunded(order, keep=1))
    await nora.later(11 * MINUTE)
    await nora.set({"expiry": {"enabled": True, "months": 1, "remind": True, "notice_days": [7]}})
    await nora.later(25 * DAY)
    await enrol_holders(nora.context)
    await expire_due(nora.context)
    await nora.later(0)
    keys = [row[0] for row in await nora.rows("SELECT kind FROM messages WHERE state = 'sent' ORDER BY sent_at")]
    filled = {}
    for kind, mail in zip(keys, nora.mails, strict=True):
        text = mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
        filled[kind] = frozenset(re.findall(r"^(\w+)=\[.+\]", text, re.M))
    elsewhere = {"points_adjusted", *(kind.name for kind in (*earning.LETTERS, *tiers.LETTERS))}
    assert filled == {kind.name: kind.placeholders for kind in KINDS if kind.name not in elsewhere}


async def test_saved_words_are_a_new_version_and_only_what_differs_from_ours_is_kept(nora: Stage) -> None:
    """Her subject is hers; our text stays ours, and follows when ours gets better. The same again changes nothing."""
    ours = our_words(THANKS, "en")
    words = Words('{first_name}: "thanks"', ours.body)
    assert await saves(nora, words) == "saved"
    saved = await program(nora)
    assert own_words(saved, "thank_you", "en") == Words('{first_name}: "thanks"', "")
    assert choose_words(saved, "thank_you", "en", THANKS.words).body.strip() == ours.body
    base = digest(own_words(saved, "thank_you", "en"))
    assert await saves(nora, words, base) == "same"
    assert await nora.rows("SELECT max(version) FROM program_versions") == [(2,)]


async def test_words_that_look_like_json_are_kept_as_they_are(nora: Stage) -> None:
    """A body that begins with a brace, a bracket or a quotation mark is a text like any other."""
    for body in ("{first_name}, hello", '["hello"]', '"hello"', "null"):
        base = digest(own_words(await program(nora), "thank_you", "de"))
        assert await saves(nora, Words("Hi", body), base, "de") == "saved"
        assert own_words(await program(nora), "thank_you", "de").body == body


async def test_a_reset_leaves_no_trace_in_the_programme(nora: Stage) -> None:
    """Empty words are ours again; words of another language stay."""
    await saves(nora, Words("Danke", ""), language="de")
    await saves(nora, Words("Hi", ""))
    base = digest(Words("Hi", ""))
    assert await saves(nora, Words("", ""), base) == "saved"
    assert (await program(nora)).messages.words.keys() == {"thank_you"}
    assert (await program(nora)).messages.words["thank_you"].keys() == {"de"}
    await saves(nora, Words("", ""), digest(Words("Danke", "")), "de")
    assert (await program(nora)).messages.words == {}


async def test_who_saves_over_somebody_elses_words_is_told(nora: Stage) -> None:
    """Two people edit at once: the second one's form was made before the first one saved."""
    assert await saves(nora, Words("First", "")) == "saved"
    assert await saves(nora, Words("Second", "")) == "overtaken"
    assert own_words(await program(nora), "thank_you", "en").subject == "First"


async def test_a_draft_is_its_authors_alone_and_forgotten_in_time(nora: Stage) -> None:
    """What one person types nobody else sees; saving or discarding drops it, and so does a month."""
    now = nora.clock.now()
    nora_, ben = author("shopify:1"), author("link:ben@tea.example")
    await nora.database.run(lambda: keep_draft(1, "thank_you", "en", nora_, Words("a", "b"), now))
    await nora.database.run(lambda: keep_draft(1, "thank_you", "en", nora_, Words("c", "d"), now + 1))

    async def draft(whose: str, at: int = now, merchant_id: int = 1) -> Words | None:
        found = await nora.database.read(lambda: draft_of(merchant_id, "thank_you", "en", whose, at))
        return found.words if found else None

    assert await draft(nora_) == Words("c", "d")
    assert await draft(ben) is None
    assert await draft(nora_, merchant_id=2) is None
    assert await draft(nora_, now + 31 * DAY) is None
    await nora.database.run(lambda: drop_draft(1, "thank_you", "en", nora_, now))
    assert await draft(nora_) is None


def test_line_ends_of_browsers_are_not_kept() -> None:
    """A form sends CRLF; a letter's paragraphs are told by empty lines."""
    assert tidied(" Hi ", "a\r\n\r\nb\r\n") == Words("Hi", "a\n\nb")
