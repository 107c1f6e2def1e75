"""`regulars message`: a merchant reads their mail before anybody else does."""

from pathlib import Path

import pytest

from tests.config.commands.desk import Desk


@pytest.fixture
def nora(desk: Desk) -> Desk:
    """A machine with Nora's tea shop on it, nothing switched on."""
    desk.all([("merchant", "add", "Nora's Tea", "--currency", "EUR", "--timezone", "Europe/Paris", "--country", "FR")])
    return desk


def test_a_mail_is_shown_as_a_customer_would_read_it(nora: Desk, tmp_path: Path) -> None:
    """In the shop's language, with the text for people and the whole of it for a browser and for programs."""
    page = tmp_path / "note.html"
    shown = nora("message", "preview", "Nora's Tea", "--kind", "thank_you", "--html", str(page))
    assert shown.code == 0 and shown.out.startswith("Subject: Merci")
    assert "Nora's Tea" in shown.out and str(page) in shown.out
    assert "<html" in page.read_text(encoding="utf-8")
    letter = nora("message", "preview", "Nora's Tea", "--kind", "review_request", "--locale", "de-AT", "--json").value
    assert set(letter) == {"subject", "text", "html"} and "Nora's Tea" in letter["text"]


def test_the_merchants_own_words_are_shown_before_they_are_switched_on(nora: Desk) -> None:
    """The newest version of the programme counts, whether or not its second has come."""
    words = 'messages.words={"thank_you": {"en": {"subject": "Cheers, {first_name}", "body": "Brewed for you."}}}'
    nora.all([("merchant", "program", "Nora's Tea", "--set", words)])
    letter = nora("message", "preview", "Nora's Tea", "--locale", "en", "--json").value
    assert letter["subject"] == "Cheers, Ada" and "Brewed for you." in letter["text"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("Nobody",), "There is no merchant named Nobody."),
        (("Nora's Tea", "--kind", "greeting"), "thank_you"),
        (("Nora's Tea", "--html", "/nowhere/at/all.html"), "/nowhere/at/all.html cannot be written"),
    ],
)
def test_what_cannot_be_shown_is_said_in_one_sentence(nora: Desk, words: tuple[str, ...], said: str) -> None:
    """An unknown merchant, an unknown kind with those there are, a place that cannot be written."""
    answer = nora("message", "preview", *words)
    assert answer.code == 1 and said in answer.err and answer.err.count("\n") == 1
