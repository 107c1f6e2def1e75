"""Asking one shop many questions no faster than its bucket refills, leaving a share of it to everybody else."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

LEFT_TO_OTHERS = 0.25  # of the bucket: the worker's own questions, and the merchant's pages, come first
LONGEST_PACE = 30.0  # seconds before one question; a bucket that takes longer is answered by THROTTLED
MOST_ATTEMPTS_AT_LEISURE = 12  # of one question, when throttled
UNKNOWN_COST = 50.0  # of a question that was not asked before

Sleep = Callable[[float], Awaitable[None]]


class Pace:
    """What one run knows of one shop's bucket, from the cost each answer tells; questions may be asked side by side."""

    def __init__(self, sleep: Sleep = asyncio.sleep, seconds: Callable[[], float] = time.monotonic) -> None:
        self.calls = 0
        self.waited = 0.0  # seconds
        self._sleep = sleep
        self._seconds = seconds
        self._asked: dict[str, float] = {}  # document -> what it reserved when last asked
        self._maximum = self._available = self._restored = 0.0
        self._seen_at = 0.0
        self._under_way: list[float] = []  # what questions without an answer yet may take
        self._line = asyncio.Lock()  # who came first, asks first
        self._answered = asyncio.Event()

    async def turn(self, document: str) -> float:
        """Wait until a question may be asked without taking what is left to others.

        Returns what is set aside for it, until `over` gives that back.
        """
        async with self._line:
            self.calls += 1
            while not self._restored and self._under_way:
                # The first answer says how much there is.
                self._answered.clear()
                await self._answered.wait()
            cost = self._asked.get(document, UNKNOWN_COST)
            if self._restored:
                needed = min(cost + self._maximum * LEFT_TO_OTHERS, self._maximum)
                available = self._available + (self._seconds() - self._seen_at) * self._restored
                available = min(available, self._maximum) - sum(self._under_way)
                await self.wait(min(LONGEST_PACE, (needed - available) / self._restored))
            self._under_way.append(cost)
            return cost

    def over(self, cost: float) -> None:
        """Give back what was set aside for a question that has ended, answered or not."""
        self._under_way.remove(cost)
        self._answered.set()

    async def wait(self, seconds: float) -> None:
        """Pause, and count it."""
        if seconds > 0:
            self.waited += seconds
            await self._sleep(seconds)

    def saw(self, document: str, answer: dict[str, Any]) -> None:
        """Learn from an answer's cost; one that tells none changes nothing."""
        try:
            cost = answer["extensions"]["cost"]
            status = cost["throttleStatus"]
            told = [float(status[name]) for name in ("maximumAvailable", "currentlyAvailable", "restoreRate")]
            requested = float(cost["requestedQueryCost"])
        except (KeyError, TypeError, ValueError):
            return
        self._maximum, self._available, self._restored = told
        self._asked[document] = requested
        self._seen_at = self._seconds()
