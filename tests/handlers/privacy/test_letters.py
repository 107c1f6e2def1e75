"""A person's data as a file: no spreadsheet runs what somebody wrote into it."""

import csv
import io
import zipfile

import pytest

from handlers.privacy.letters import bundle
from handlers.privacy.rules import DATA, WITHIN
from handlers.privacy.store import Request

ASKED = Request(7, 1, DATA, "shopify", 0, WITHIN, "search", (1,), 0, 0, {}, 0, 0, None, None, None)


@pytest.mark.parametrize("words", ["=1+1", "＝1+1", " =1+1", "\u00a0@SUM(A1)", "\n-2", "\0+1", "\t=1"])
def test_words_that_look_like_a_formula_are_text(words: str) -> None:
    """Whatever stands unseen in front of them."""
    file = bundle(ASKED, "Nora's Tea", {"reviews": [{"words": words, "stars": 4}]}, 0)
    with zipfile.ZipFile(io.BytesIO(file.content)) as archive:
        rows = list(csv.reader(io.StringIO(archive.read("reviews.csv").decode(), newline="")))
    assert rows[1][0].startswith("'") and rows[1][1] == "4"
