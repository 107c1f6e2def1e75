"""What is counted is judged in words: what is broken, what is worth a look, and what to do."""

from typing import Any

import pytest

from handlers.watch.rules import Counted, Finding, judge, spoken
from integration.clock import DAY, HOUR, MINUTE, SECOND

WELL = Counted(
    backlog=3, backlog_age=SECOND, retrying=0, dead_letters=0, last_dead_age=None, unknown_events=0, messages_failed=0,
    message_age=0, settlements_retrying=0, settlements_given_up=0, quiet=0, rewards=0, reward_age=0, friends=0,
    friend_age=0, privacy=0, privacy_left=None, workers=2, workers_lost=(), audited=5, drifts=0, audit_age=HOUR,
    backup_age=HOUR,
)  # fmt: skip


def judged(name: str, **over: Any) -> Finding:
    (finding,) = [one for one in judge(WELL._replace(**over)) if one.name == name]
    return finding


def test_a_program_that_works_is_well() -> None:
    """A few events in hand are no news."""
    assert {finding.state for finding in judge(WELL)} == {"ok"}


@pytest.mark.parametrize(
    ("name", "over", "state", "words"),
    [
        ("worker", {"workers": 0, "backlog": 0}, "warning", "regulars serve"),
        ("worker", {"workers": 0}, "broken", "regulars worker"),
        ("worker", {"workers": 0, "backlog": 0, "message_age": HOUR}, "broken", "there is work"),
        ("worker", {"workers_lost": ["till:2"]}, "warning", "till:2"),
        ("backlog", {"backlog_age": 2 * MINUTE}, "warning", "2 minutes"),
        ("backlog", {"backlog_age": HOUR}, "broken", "restart"),
        ("backlog", {"retrying": 4}, "ok", "4 failed before"),
        ("backlog", {"backlog": 0, "backlog_age": 0}, "ok", "Nothing waits."),
        ("dead letters", {"dead_letters": 1}, "warning", "regulars events replay --failed"),
        ("dead letters", {"dead_letters": 2, "last_dead_age": HOUR}, "warning", "the newest 1 hour ago"),
        ("privacy", {"privacy": 1, "privacy_left": 30 * DAY}, "ok", "in 30 days"),
        ("privacy", {"privacy": 1, "privacy_left": 28 * DAY}, "warning", "regulars privacy list --open"),
        ("privacy", {"privacy": 2, "privacy_left": 6 * DAY}, "broken", "in 6 days"),
        ("privacy", {"privacy": 1, "privacy_left": -1}, "broken", "has passed"),
        ("privacy", {"privacy": 1, "privacy_left": None}, "ok", "wait on purpose"),
        ("webhooks", {"quiet": 1}, "broken", "regulars reconcile"),
        ("unknown shops", {"unknown_events": 9}, "warning", "regulars merchant add"),
        ("sales", {"settlements_retrying": 1}, "warning", "tried again"),
        ("sales", {"settlements_given_up": 1}, "broken", "not be tried again"),
        ("messages", {"messages_failed": 1}, "warning", "customer show"),
        ("messages", {"message_age": HOUR}, "broken", "1 hour"),
        ("rewards", {"rewards": 2, "reward_age": MINUTE}, "ok", "2 rewards still to be made"),
        ("rewards", {"rewards": 2, "reward_age": 2 * HOUR}, "warning", "2 hours ago"),
        ("friends", {"friends": 1, "friend_age": MINUTE}, "ok", "1 code of friends still to be made"),
        ("friends", {"friends": 2, "friend_age": 2 * HOUR}, "warning", "2 codes of friends still"),
        ("audit", {"drifts": 1}, "broken", "regulars audit"),
        ("audit", {"audit_age": 4 * DAY}, "warning", "4 days"),
        ("audit", {"audited": 0, "audit_age": None}, "ok", "once a day"),
        ("backup", {"backup_age": None}, "warning", "regulars backup"),
        ("backup", {"backup_age": 8 * DAY}, "warning", "8 days"),
    ],
)
def test_each_trouble_is_told_with_its_remedy(name: str, over: dict[str, Any], state: str, words: str) -> None:
    """In the words somebody needs who was asleep a minute ago."""
    finding = judged(name, **over)
    assert finding.state == state and words in f"{finding.words} {finding.todo}"
    assert finding.todo or state == "ok"


@pytest.mark.parametrize(
    ("age", "words"),
    [(0, "less than a second"), (SECOND, "1 second"), (59 * SECOND, "59 seconds"), (90 * SECOND, "1 minute"),
     (HOUR, "1 hour"), (49 * HOUR, "2 days")],
)  # fmt: skip
def test_a_length_of_time_is_said_as_people_do(age: int, words: str) -> None:
    """The largest unit is enough."""
    assert spoken(age) == words
