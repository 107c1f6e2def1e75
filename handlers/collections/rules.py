"""When what lies in a collection is read again, and which sales its first reading concerns."""

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from handlers.merchants.rules import Campaign, Program, Version
from integration.clock import DAY, HOUR, MINUTE

EVERY = 10 * MINUTE  # while a campaign with the collection runs
AHEAD = HOUR  # while one is to come
LATE = 90 * DAY  # after its last campaign what could never be read is given up

Problem = Literal["gone", "too_big", "refused", "away", "unconnected"]
"""Why a collection was not read: the shop has none of that number, it has too many products, the shop does not let us,
it does not answer, no shop is connected."""

PAUSES: Mapping[Problem, int | None] = {
    "gone": None,  # a number is never given again
    "too_big": 6 * HOUR,
    "refused": HOUR,
    "away": 2 * MINUTE,
    "unconnected": HOUR,
}


class Read(NamedTuple):
    """A collection as the shop has it, complete."""

    title: str
    products: frozenset[str]


class Unread(NamedTuple):
    """Why a collection was not read, with what was learned of it all the same."""

    problem: Problem
    title: str | None = None
    products: int | None = None  # how many it has


def next_look(
    versions: Iterable[Version], current: Program, collection: str, now: int, problem: Problem | None
) -> int | None:
    """Say when a collection is read again after it was, or was not; None where no campaign needs it any more."""
    if problem is not None:
        pause = PAUSES[problem]
        ends = max((each.ends_at for one in versions for each in _naming(one.program, collection)), default=0)
        return None if pause is None or now >= ends + LATE else now + pause
    starts = [each.starts_at for each in _naming(current, collection) if each.ends_at > now]
    if not starts:
        return None
    return now + EVERY if min(starts) <= now else min(now + AHEAD, min(starts))


def concerned_since(versions: Iterable[Version], collection: str) -> int | None:
    """Say since when a campaign with a collection may have been for what was sold; None where none is."""
    return min((each.starts_at for one in versions for each in _naming(one.program, collection)), default=None)


def _naming(program: Program, collection: str) -> list[Campaign]:
    return [each for each in program.earning.campaigns.values() if collection in each.collections]
