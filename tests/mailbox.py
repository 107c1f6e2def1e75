"""A real mail server on loopback whose letters a test can read."""

import asyncio
import time
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

LOOK_EVERY_S = 0.005


class Mailbox:
    """What arrived, in order, and what the server answers.

    `answers` are used up one a letter, e.g. `["451 4.3.0 later", "550 5.1.1 no such mailbox"]`; then it is
    `250`. `refused` holds addresses that are refused for good when named as a recipient.
    """

    def __init__(self) -> None:
        self.letters: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self.answers: list[str] = []
        self.refused: set[str] = set()
        self.url = ""

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Take a recipient, or refuse one listed in `refused`."""
        if address in self.refused:
            return "550 5.1.1 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        """Keep a letter unless the next answer is a refusal."""
        answer = self.answers.pop(0) if self.answers else "250 2.0.0 kept"
        if answer.startswith("2"):
            content: Any = envelope.original_content
            letter = message_from_bytes(content, policy=policy.default)
            assert isinstance(letter, EmailMessage)
            self.letters.append(letter)
            self.recipients.append(list(envelope.rcpt_tos))
        return answer

    async def holds(self, count: int, within_s: float = 60) -> list[EmailMessage]:
        """Wait until at least `count` letters are here and return all; AssertionError where they are not."""
        end = time.monotonic() + within_s
        while len(self.letters) < count:
            assert time.monotonic() < end, f"{len(self.letters)} letters of {count} after {within_s} s"
            await asyncio.sleep(LOOK_EVERY_S)
        return self.letters

    def to(self, address: str) -> list[EmailMessage]:
        """Return the letters one address got."""
        return [letter for letter, to in zip(self.letters, self.recipients, strict=True) if address in to]


def serve(mailbox: Mailbox, **words: Any) -> Controller:
    """Start a mailbox's server on a free port; `words` go to aiosmtpd (TLS, authentication). `stop()` it."""
    controller = _AnyPort(mailbox, hostname="127.0.0.1", port=0, **words)
    controller.start()
    assert controller.server is not None
    mailbox.url = f"smtp://127.0.0.1:{controller.server.sockets[0].getsockname()[1]}"
    return controller


class _AnyPort(Controller):
    def _trigger_server(self) -> None:
        # The original greets the port it was given; zero is none.
        assert self.server is not None
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]
