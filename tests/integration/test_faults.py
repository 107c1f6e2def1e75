"""The points at which a test can make the program fail."""

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from integration import faults
from tests.conftest import REPOSITORY

PASSINGS = 100_000
# What a delivery passes may cost it two tenths of a microsecond; machines that test are slower than those that serve.
MOST_NANOSECONDS = 2_000


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    """Leave nothing armed behind."""
    yield
    faults.arm("")


def test_nothing_happens_unless_armed() -> None:
    """Production passes its points without a word, and in next to no time."""
    begun = time.thread_time_ns()
    for _ in range(PASSINGS):
        faults.point("work.claimed")
    assert (time.thread_time_ns() - begun) / PASSINGS < MOST_NANOSECONDS


def test_the_nth_passing_of_one_point_fails() -> None:
    """Passings before and after, and of other points, go on."""
    faults.arm("record.committed:raise:3,work.claimed:sleep=0:1")
    for _ in range(2):
        faults.point("record.committed")
    with pytest.raises(faults.Staged, match=r"record\.committed"):
        faults.point("record.committed")
    faults.point("record.committed")
    faults.point("work.claimed")


def test_a_process_is_killed_where_it_stands() -> None:
    """Nothing after the point is run, not even what ends a process in order."""
    words = "from integration import faults as f\nf.arm('a:kill:1')\ntry:\n f.point('a')\nfinally:\n print('after')"
    ended = subprocess.run([sys.executable, "-c", words], cwd=REPOSITORY, capture_output=True, check=False)
    assert (ended.returncode, ended.stdout) == (-9, b"")


@pytest.mark.parametrize("words", ["here", "here:kill", "here:burn:1", "here:kill:soon"])
def test_what_cannot_be_understood_is_refused(words: str) -> None:
    """A fault that is misspelt would pass for one that was survived."""
    with pytest.raises(ValueError):
        faults.arm(words)
