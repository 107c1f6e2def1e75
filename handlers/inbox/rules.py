"""What the inbox hands on and gets back: a told event, and what became of it."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from integration.database.steps import Steps
from integration.facts import Envelope, Reading


class Told(NamedTuple):
    """One claimed event of a known merchant, read."""

    event_id: int
    merchant_id: int
    connection: str  # the connection's account: shop domain, or the Stripe path's token
    envelope: Envelope
    reading: Reading


class Outcome(NamedTuple):
    """What became of a told event; `reason` in words for everything but `applied`."""

    kind: Literal["applied", "suspect", "waiting", "unhandled"]
    reason: str | None = None


Apply = Callable[[Sequence[Told], int], Steps[dict[int, Outcome]]]
"""Applies told events at an instant, in one transaction: event id -> outcome. Raises to have them retried."""

Resettle = Callable[[int, int], Steps[int]]
"""Settles at most `limit` sales whose `settle_at` or failed capability is due at `now`; returns how many."""
