"""What events are called, and bodies that do no harm when they are read."""

import pytest

from config.topics import TOPICS
from handlers.activity.rules import MOST_SHOWN, readable, sought_names, topic_in_words, who_in_words


def test_a_body_is_written_on_many_lines_with_its_letters() -> None:
    """JSON is indented; letters of any language stay letters."""
    assert readable('{"name":"Zoë 茶","n":[1]}'.encode()) == '{\n  "name": "Zoë 茶",\n  "n": [\n    1\n  ]\n}'


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b"not JSON", "not JSON"),
        (b"\xff\x00\x1b[31m", "\\xff\\u0000\\u001b[31m"),
        ('"a\u202etxt"'.encode(), '"a\\u202etxt"'),
        (b"", ""),
    ],
)
def test_what_cannot_be_seen_is_written_as_an_escape(body: bytes, shown: str) -> None:
    """Control characters, and those that turn the direction of writing, cannot hide anything."""
    assert readable(body) == shown


@pytest.mark.parametrize("body", [b"[" * 100_000, b"9" * 100_000, b'"' + b"x" * 1_000_000 + b'"'])
def test_a_hostile_body_is_cut_off(body: bytes) -> None:
    """Deep, long or huge: what is shown has an end, and so has the time it takes."""
    assert len(readable(body)) < MOST_SHOWN + 100


def test_every_topic_we_read_has_words() -> None:
    """A merchant reads `Order paid`, not `orders/paid`."""
    for topics in TOPICS.values():
        for topic in topics:
            assert topic_in_words(topic) != topic


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("1042", ("1042", "#1042")),
        (" #1042 ", ("#1042", "1042")),
        ("EU-7", ("eu-7", "#eu-7")),
        ("", ()),
        ("#", ("#",)),
    ],
)
def test_an_order_is_found_with_and_without_its_sign(text: str, names: tuple[str, ...]) -> None:
    """Shops call orders #1042; people write 1042."""
    assert sought_names(text) == names


def test_who_did_something_is_named_for_people() -> None:
    """By Shopify's number, by the name on a link, or as what it was."""
    assert who_in_words("shopify:99") == "Shopify user 99"
    assert who_in_words("link:nora") == "nora (by sign-in link)"
    assert who_in_words("command") == "The operator, by command"
    assert who_in_words("odd") == "odd"
