"""No cell that goes out is run by a spreadsheet."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from integration.spreadsheets import FORMULA, plain_text


@given(some.text())
def test_no_text_begins_like_a_formula(text: str) -> None:
    """Whatever is in front of it that a spreadsheet does not see; and what is harmless stays as it is."""
    shown = plain_text(text)
    assert not shown.lstrip(" \u00a0\ufeff").startswith(tuple(FORMULA))
    assert shown.removeprefix("'") in text or shown == text or any(ord(c) < 32 or ord(c) == 127 for c in text)


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", " =", "\u00a0-", "\ufeff+", "\0="])
def test_what_begins_like_a_formula_gets_an_apostrophe(first: str) -> None:
    """Each sign, and each with something unseen before it."""
    assert plain_text(f"{first}1+1").startswith("'")
