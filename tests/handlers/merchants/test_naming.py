"""Kinds of messages have words for people, in one place."""

from config.wiring import KINDS
from handlers.merchants.naming import MESSAGES, named


def test_every_kind_of_message_has_words() -> None:
    """Neither does anything else have."""
    assert set(MESSAGES) == {kind.name for kind in KINDS}
    assert all(all(words) for words in MESSAGES.values())


def test_a_kind_of_a_later_release_is_shown_by_its_name() -> None:
    """Two releases run side by side over an update."""
    assert named("tier_up")[:3] == ("Tier up", "tier up", "tier up")
