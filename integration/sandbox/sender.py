"""Sends webhook deliveries as the platforms do: over kept connections, again until answered with 2xx.

Every attempt is kept as `ok` (2xx), `fail` (another answer) or `unknown` (no answer), which is what a checker
of "nothing lost, nothing doubled" needs to know.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Self

import httpx

from integration.sandbox.delivery import Delivery

CONNECT_SECONDS = 1.0
ANSWER_SECONDS = 5.0
SHOPIFY_ATTEMPTS = 9  # the first and eight more within four hours
STRIPE_ATTEMPTS = 16  # about three days of growing pauses
FIRST_PAUSE_SECONDS = 15.0
LONGEST_PAUSE_SECONDS = 3600.0
MOST_CONNECTIONS = 512

Outcome = Literal["ok", "fail", "unknown"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request and what came of it."""

    delivery: Delivery
    number: int  # 1 for the first request of a delivery, counting duplicates too
    outcome: Outcome
    status: int | None
    took: float  # seconds
    at: int  # microseconds, by the sender's clock
    answer: str = ""  # the error's words, or the start of a body that came with a failure


@dataclass(slots=True)
class Sender:
    """Posts deliveries to a receiver (`async with Sender("http://127.0.0.1:8000") as sender`).

    `clock` gives microseconds and stamps Stripe's signatures; `pace` scales the platforms' pauses between
    attempts (0.001 turns fifteen seconds into fifteen milliseconds).
    """

    base_url: str
    clock: Callable[[], int] = field(default=lambda: time.time_ns() // 1000)
    seed: int = 0
    pace: float = 0.001
    connections: int = 32
    history: list[Attempt] = field(default_factory=list)
    told: Callable[[Attempt], None] | None = None  # called after each attempt
    _client: httpx.AsyncClient | None = None
    _random: random.Random = field(init=False)
    _counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - which order to send in, not a secret

    async def __aenter__(self) -> Self:
        most = min(self.connections, MOST_CONNECTIONS)
        self._client = httpx.AsyncClient(
            base_url=self.base_url,
            timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS, pool=None),
            limits=httpx.Limits(max_connections=most, max_keepalive_connections=most),
            follow_redirects=False,
            trust_env=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def attempt(self, delivery: Delivery) -> Attempt:
        """Send once, whatever comes of it."""
        if self._client is None:
            raise RuntimeError("open the sender first: async with Sender(…)")
        self._counts[delivery.id] += 1
        number, now, begun = self._counts[delivery.id], self.clock(), time.perf_counter()
        status: int | None = None
        answer = ""
        outcome: Outcome = "unknown"
        try:
            response = await self._client.post(delivery.path, content=delivery.body, headers=delivery.headers_at(now))
        except httpx.HTTPError as error:
            answer = f"{type(error).__name__}: {error}"
        else:
            status = response.status_code
            outcome = "ok" if response.is_success else "fail"
            answer = "" if response.is_success else response.text[:200]
        attempt = Attempt(delivery, number, outcome, status, time.perf_counter() - begun, now, answer)
        self.history.append(attempt)
        if self.told is not None:
            self.told(attempt)
        return attempt

    async def send(self, delivery: Delivery, *, attempts: int | None = None) -> Attempt:
        """Send until it is answered with 2xx or the platform gives up; return the last attempt."""
        most = attempts or (SHOPIFY_ATTEMPTS if delivery.source == "shopify" else STRIPE_ATTEMPTS)
        for turn in range(most):
            last = await self.attempt(delivery)
            if last.outcome == "ok" or turn == most - 1:
                break
            await asyncio.sleep(min(FIRST_PAUSE_SECONDS * 2**turn, LONGEST_PAUSE_SECONDS) * self.pace)
        return last

    async def deliver(
        self,
        deliveries: Iterable[Delivery],
        *,
        at_once: int = 1,
        duplicates: float = 0.0,
        shuffled: float = 0.0,
        attempts: int | None = None,
    ) -> list[Attempt]:
        """Send many, `at_once` at a time; return the last attempt of each in the order they were sent.

        `duplicates` is the share sent a second time, `shuffled` the share that changes places with another.
        """
        queue = self.arrange(deliveries, duplicates=duplicates, shuffled=shuffled)
        waiting = iter(enumerate(queue))
        results: list[Attempt | None] = [None] * len(queue)

        async def work() -> None:
            for place, delivery in waiting:
                results[place] = await self.send(delivery, attempts=attempts)

        async with asyncio.TaskGroup() as group:
            for _ in range(max(1, min(at_once, len(queue), MOST_CONNECTIONS))):
                group.create_task(work())
        return [attempt for attempt in results if attempt is not None]

    def arrange(
        self, deliveries: Iterable[Delivery], *, duplicates: float = 0.0, shuffled: float = 0.0
    ) -> list[Delivery]:
        """Repeat a share of the deliveries and move a share of them to other places, by the seed."""
        queue = list(deliveries)
        queue += [delivery for delivery in queue if self._random.random() < duplicates]
        moved = [place for place in range(len(queue)) if self._random.random() < shuffled]
        targets = moved.copy()
        self._random.shuffle(targets)
        result = queue.copy()
        for place, target in zip(moved, targets, strict=True):
            result[target] = queue[place]
        return result

    def outcomes(self) -> dict[str, Outcome]:
        """What became of each delivery id: ok once any attempt was, else the last word."""
        known: dict[str, Outcome] = {}
        for attempt in self.history:
            if known.get(attempt.delivery.id) != "ok":
                known[attempt.delivery.id] = attempt.outcome
        return known

    def unanswered(self) -> Sequence[str]:
        """Ids of deliveries no attempt of which was answered with 2xx."""
        return [number for number, outcome in self.outcomes().items() if outcome != "ok"]
