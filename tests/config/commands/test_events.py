"""`regulars events` and `regulars idle` from the desk: what failed, what is left, and what cannot be done."""

import pytest

from tests.config.beside import delivered, rows
from tests.config.commands.desk import Desk


def test_dead_letters_are_listed_shown_and_replayed(desk: Desk, database_url: str) -> None:
    """An operator finds what failed, sees its body and its reason, and has it worked again."""
    delivered(database_url, b'{"id": 1}', b"\xff")
    rows(database_url, "UPDATE events SET failed_at = 1, reason = 'after 8 attempts: KeyError', claims = 8")
    listed = desk("events", "list", "--state", "failed", "--json").value
    assert [(e["id"], e["state"], e["reason"]) for e in listed] == [
        (2, "failed", "after 8 attempts: KeyError"),
        (1, "failed", "after 8 attempts: KeyError"),
    ]
    assert desk("events", "show", "1", "--json").value["body"] == {"id": 1}
    assert desk("events", "show", "2", "--json").value["body"] == {"base64": "/w=="}
    assert "KeyError" in desk("events", "list").out
    told = desk("events", "show", "1").out.splitlines()
    assert "state: failed" in told and 'body: {"id": 1}' in told and not [line for line in told if "None" in line]
    assert desk("events", "replay", "1", "--json").value == {"replayed": [1], "left": []}
    found = rows(database_url, "SELECT id, failed_at IS NULL, claims, reason FROM events ORDER BY id")
    assert [(number, bool(is_open), claims, reason) for number, is_open, claims, reason in found] == [
        (1, True, 0, None),
        (2, False, 8, "after 8 attempts: KeyError"),
    ]
    assert desk("events", "replay", "--failed", "--json").value["replayed"] == [2]


def test_idle_waits_for_work_and_says_what_is_left(desk: Desk, database_url: str) -> None:
    """Nobody works here: the wait ends with exit 1 and one sentence."""
    delivered(database_url, b"{}", b"[]")
    left = desk("idle", "--timeout", "0.2")
    assert (left.code, left.err) == (1, "Still at work after 0.2 seconds: 2 events.\n")
    rows(database_url, "UPDATE events SET failed_at = 1, reason = 'unreadable'")
    assert desk("idle", "--timeout", "0.2").code == 0


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (("events", "show", "7"), 1, "There is no event 7.\n"),
        (("events", "replay", "7"), 1, "Cannot be replayed"),
        (("events", "list", "--merchant", "Nobody"), 1, "There is no merchant named Nobody.\n"),
        (("events", "replay"), 2, "Usage:"),
        (("events", "show", "9223372036854775808"), 2, "Usage:"),
        (("events", "replay", "9223372036854775808"), 2, "Usage:"),
        (("events", "list", "--limit", "9223372036854775808"), 2, "Usage:"),
        (("events", "list", "--state", "lost"), 2, "Usage:"),
        (("idle", "--timeout", "-1"), 2, "Usage:"),
        (("dance",), 2, "Usage:"),
    ],
)
def test_errors_are_one_sentence_and_a_status(desk: Desk, words: tuple[str, ...], status: int, sentence: str) -> None:
    """Exit 1 for what cannot be done, 2 for wrong usage; nothing on stdout."""
    done = desk(*words)
    assert (done.code, done.out) == (status, "")
    assert done.err.startswith(sentence)
    assert status == 2 or done.err.count("\n") == 1
