"""A channel for development: mails land in a mailbox in memory and are shown, nothing leaves the machine."""

import sys
from collections import deque
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import TextIO

from integration.channels import Letter, Receipt
from integration.channels.mime import mail

KEPT = 1_000  # newest mails kept in memory


@dataclass(slots=True)
class ConsoleChannel:
    """Keep each mail in `mailbox` and write its outline to `stream` (None = silent)."""

    stream: TextIO | None = field(default_factory=lambda: sys.stderr)
    mailbox: deque[EmailMessage] = field(default_factory=lambda: deque(maxlen=KEPT))

    async def send(self, letter: Letter) -> Receipt:
        """Put one letter into the mailbox; raises Rejected where it cannot be written as a mail."""
        message = mail(letter)
        self.mailbox.append(message)
        if self.stream is not None:
            # No addresses and no words: a development log is still a log.
            self.stream.write(f"mail kept in memory, not sent: {letter.message_id}\n")
        return Receipt("kept in memory (no SMTP_URL is set)")

    async def greet(self) -> None:
        """Do nothing: memory is always there."""

    async def close(self) -> None:
        """Do nothing: there is no connection."""
