"""The contract of a channel: a letter goes out, a receipt comes back, and failures have three names."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from integration.errors import Rejected, Unavailable


@dataclass(frozen=True, slots=True)
class Letter:
    """One mail to one person, ready to go; addresses are bare (`ada@example.com`), names apart."""

    sender: str
    recipient: str
    subject: str
    text: str
    html: str
    message_id: str  # without angle brackets; the same for every attempt at the same letter
    sender_name: str = ""
    reply_to: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Receipt(NamedTuple):
    """What the other side said when it took the letter."""

    answer: str


class Refused(Rejected):
    """The mailbox does not exist or is closed for good: never write to this address again."""


class Unreachable(Unavailable):
    """No conversation is possible at all: other letters need not be tried now either."""


class Channel(Protocol):
    """One way to reach people; `close` ends what it holds open."""

    async def send(self, letter: Letter) -> Receipt:
        """Hand over one letter.

        Raises Unavailable (try this letter later), Unreachable (try any letter later), Rejected (this letter
        will never be taken) or Refused (nor will any other to this address).
        """
        ...

    async def greet(self) -> None:
        """Hold a conversation as far as it goes without a letter; raises Unreachable where none is possible."""
        ...

    async def close(self) -> None:
        """Let go of connections; sending again opens new ones."""
        ...
