"""Letters as they are set: words are words, whatever is in them, in every language."""

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from config.wiring import KINDS
from handlers.account.pages import WORDS as ACCOUNT_WORDS
from handlers.merchants.rules import PLACEHOLDERS, Program, Words
from handlers.messages.kinds import Content, Kind
from handlers.messages.letters import (
    choose_words,
    fill,
    frame_words,
    locale_name,
    money,
    preview,
    set_letter,
    words_file,
)
from handlers.messages.rules import LANGUAGES
from handlers.reviews.letters import TEMPLATES as REVIEW_TEMPLATES
from handlers.thanks.letters import WORDS
from tests.handlers.messages.stage import MONDAY_NOON

EVIL = '"><a href="https://evil.example">click</a><script>alert(1)</script>{{7*7}}{% for x in y %}{first_name}'


class Tags(HTMLParser):
    """Collects the tags and links of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.sources: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name == "href"]
        self.sources += [value or "" for name, value in attrs if name in ("src", "background")]


@pytest.mark.parametrize("words", ["{{7*7}}", "{first_name.__class__}", "{unknown}", "{% raw %}", "{", "a } b", "{ }"])
def test_words_with_anything_but_placeholders_are_not_saved(words: str) -> None:
    """A brace that belongs to no known placeholder is an error that names those there are."""
    with pytest.raises(ValidationError, match="first_name"):
        Words(body=words)
    with pytest.raises(ValidationError):
        Words(subject=words)


def test_every_known_placeholder_is_saved_and_filled() -> None:
    """All placeholders may be used; each stands for its value."""
    text = " ".join(f"{{{name}}}" for name in sorted(PLACEHOLDERS))
    assert Words(body=text).body == text
    assert fill(text, {name: name.upper() for name in PLACEHOLDERS}) == " ".join(sorted(PLACEHOLDERS)).upper()


@pytest.mark.parametrize(
    ("words", "values", "filled"),
    [
        ("Hello {first_name},", {"first_name": "Ada"}, "Hello Ada,"),
        ("Hello {first_name},", {}, "Hello,"),
        ("Thank you, {first_name}", {}, "Thank you"),
        ("your order {order_name}.", {}, "your order."),
        ("{nonsense} and {first_name}", {"nonsense": "x", "first_name": "{shop_name}"}, " and {shop_name}"),
        ("{first_name}", {"first_name": "A\r\nB\tC\u2028D"}, "A B C D"),
    ],
)
def test_values_are_put_in_once_and_what_is_missing_leaves_no_gap(
    words: str, values: dict[str, str], filled: str
) -> None:
    """A value is never read as words again; an unknown name disappears with its comma or space."""
    assert fill(words, values) == filled


def test_nothing_in_a_name_or_in_words_becomes_markup() -> None:
    """Shop, customer and product names and the merchant's words stand as text in HTML; no template is run."""
    content = Content(
        subject=EVIL,
        body=f"Hello {EVIL}\n\n{EVIL}",
        facts=(("Order", EVIL),),
        button=("Go", "https://ok.example/x"),
        note=EVIL,
    )
    letter = set_letter(content, shop_name=EVIL, language="en", unsubscribe_url="https://ok.example/u")
    tags = Tags(letter.html)
    assert "script" not in tags.tags
    assert set(tags.links) == {"https://ok.example/x", "https://ok.example/u"}
    assert "{{7*7}}" in letter.html and "49" not in letter.text
    assert EVIL in letter.text


def test_a_subject_is_one_line_whatever_the_name() -> None:
    """Line breaks in names never reach a header."""
    content = Content(subject="Thank you, Ada\r\nBcc: x@y.example\u2028Z", body="Hi")
    letter = set_letter(content, shop_name="S\r\nT", language="en", unsubscribe_url=None)
    assert letter.subject == "Thank you, Ada Bcc: x@y.example Z"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_kind_can_be_previewed_in_every_language(kind: Kind, language: str) -> None:
    """Each preview has a subject, a text and HTML that fetches nothing, and no placeholder is left over."""
    words = choose_words(Program(), kind.name, language, kind.words)
    shop: dict[str, Any] = {"shop_name": "Nora's Tea", "timezone": "Europe/Paris", "currency": "EUR"}
    letter = preview(kind, words, language, **shop, now=MONDAY_NOON)
    assert letter.subject and "{" not in letter.subject + letter.text
    assert f'lang="{language}"' in letter.html
    tags = Tags(letter.html)
    assert not tags.sources and "link" not in tags.tags and "img" not in tags.tags
    assert "@import" not in letter.html and "fonts.googleapis" not in letter.html
    stop = frame_words(language)["unsubscribe"]
    assert (stop in letter.text) is not kind.transactional


def test_a_merchants_own_words_stand_where_they_wrote_them() -> None:
    """Their subject replaces ours; what they left empty stays ours; other languages are untouched."""
    program = Program.model_validate({"messages": {"words": {"thank_you": {"en": {"subject": "Hey {first_name}!"}}}}})
    own = choose_words(program, "thank_you", "en", WORDS)
    assert own.subject == "Hey {first_name}!"
    assert own.body == words_file(WORDS)["en"]["body"]
    assert choose_words(program, "thank_you", "de", WORDS).subject == words_file(WORDS)["de"]["subject"]


@pytest.mark.parametrize(
    "path",
    [
        *sorted({kind.words for kind in KINDS}),
        WORDS.parents[2] / "messages" / "templates" / "frame.toml",
        REVIEW_TEMPLATES / "form.toml",
        ACCOUNT_WORDS,
    ],
    ids=lambda path: path.stem,
)
def test_every_file_of_words_says_the_same_in_every_language(path: Path) -> None:
    """No language lacks a text that another has."""
    words = words_file(path)
    assert set(words) == set(LANGUAGES)
    for language in LANGUAGES:
        assert {name: type(text) for name, text in words[language].items()} == {
            name: type(text) for name, text in words["en"].items()
        }


@pytest.mark.parametrize(
    ("minor", "currency", "locale", "shown"),
    [
        (123_450, "EUR", "de", "1.234,50\xa0€"),
        (123_450, "USD", "en", "$1,234.50"),
        (1_234, "JPY", "en", "¥1,234"),
        (1_234_500, "KWD", "en", "KWD1,234.500"),
        (123_450, "CAD", "fr_CA", "1\xa0234,50\xa0$"),
        (1, None, "en", ""),
    ],
)
def test_money_is_written_for_the_locale(minor: int, currency: str | None, locale: str, shown: str) -> None:
    """Currencies of no and three decimals too."""
    assert money(minor, currency, locale) == shown


@pytest.mark.parametrize(
    ("locale", "language", "chosen"),
    [
        ("fr-CA", "fr", "fr_CA"),
        ("fr-CA", "en", "en"),
        ("xx-nonsense-!!", "de", "de"),
        (None, "es", "es"),
        ("en-GB", "en", "en_GB"),
    ],
)
def test_dates_and_money_follow_the_letters_language(locale: str | None, language: str, chosen: str) -> None:
    """The reader's own region where it is of the language, else the language alone."""
    assert locale_name(locale, language) == chosen
