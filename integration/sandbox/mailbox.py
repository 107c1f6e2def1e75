"""A mailbox for the demo and the tests: a real SMTP server on loopback that keeps what it is sent.

Answers can be programmed, so that greylisting, refusal and a lost connection happen in a real conversation.
"""

import asyncio
import ssl
from collections import deque
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default as modern
from typing import Self, cast

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

MAX_MESSAGE_BYTES = 10 * 1024 * 1024
DROP = "drop"  # close the connection without an answer
KEEP_AND_DROP = "keep and drop"  # take the message, then close the connection without an answer


@dataclass(frozen=True, slots=True)
class Mail:
    """One message as it arrived."""

    sender: str
    recipients: tuple[str, ...]
    raw: bytes
    parsed: EmailMessage
    secure: bool  # came over TLS

    @property
    def subject(self) -> str:
        return str(self.parsed["Subject"] or "")

    @property
    def message_id(self) -> str:
        return str(self.parsed["Message-ID"] or "").strip()

    def part(self, kind: str) -> str | None:
        """The text of the first part of a kind (`plain` or `html`), or None."""
        body = self.parsed.get_body((kind,))
        return None if body is None else str(body.get_content())


@dataclass(slots=True)
class Mailbox:
    """An SMTP server that runs in the event loop it is opened in (`async with Mailbox() as mailbox`).

    `tls` offers STARTTLS, or speaks TLS from the start where `implicit_tls` is set; with `login` (name,
    password) a client has to authenticate.
    """

    host: str = "127.0.0.1"
    port: int = 0  # 0 = any free port; the real one once it is open
    tls: ssl.SSLContext | None = None
    implicit_tls: bool = False
    login: tuple[str, str] | None = None
    mails: list[Mail] = field(default_factory=list)
    conversations: int = 0  # connections taken so far
    attempts: list[tuple[str, str]] = field(default_factory=list)  # (recipient, answer), accepted or not
    _next_rcpt: deque[str] = field(default_factory=deque)
    _next_data: deque[str] = field(default_factory=deque)
    _refused: dict[str, str] = field(default_factory=dict)
    _server: asyncio.Server | None = None
    _sessions: set[SMTP] = field(default_factory=set)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        """Where it listens, as the SMTP_URL setting wants it."""
        scheme = "smtps" if self.implicit_tls else "smtp"
        login = f"{self.login[0]}:{self.login[1]}@" if self.login else ""
        return f"{scheme}://{login}{self.host}:{self.port}"

    # --- Programming its answers ------------------------------------------------------------------

    def answer_recipients(self, *answers: str) -> None:
        """Answer the next RCPT commands so, e.g. `"450 4.2.0 Greylisted"` or DROP, one each."""
        self._next_rcpt.extend(answers)

    def answer_messages(self, *answers: str) -> None:
        """Answer the next messages so once their data has come; KEEP_AND_DROP keeps the message."""
        self._next_data.extend(answers)

    def refuse(self, address: str, answer: str = "550 5.1.1 No such mailbox") -> None:
        """Refuse an address from now on."""
        self._refused[address.lower()] = answer

    def allow(self, address: str) -> None:
        """Take an address again."""
        self._refused.pop(address.lower(), None)

    # --- Reading ----------------------------------------------------------------------------------

    def to(self, address: str) -> list[Mail]:
        """Mails to one address, oldest first."""
        return [mail for mail in self.mails if address.lower() in (each.lower() for each in mail.recipients)]

    async def wait_for(self, count: int, within: float = 10.0) -> list[Mail]:
        """Wait until so many mails have come; TimeoutError after `within` seconds."""
        async with asyncio.timeout(within):
            while len(self.mails) < count:
                self._changed.clear()
                await self._changed.wait()
        return self.mails

    # --- Opening and closing ----------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Listen; `port` holds the number from now on."""
        loop = asyncio.get_running_loop()
        context = self.tls if self.implicit_tls else None
        self._server = await loop.create_server(self._conversation, self.host, self.port, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening and end conversations; mails stay readable."""
        if self._server is None:
            return
        self._server.close()
        for session in list(self._sessions):
            _drop(session)
        await self._server.wait_closed()
        self._server = None

    def _conversation(self) -> SMTP:
        self.conversations += 1
        session = _Conversation(
            _Handler(self),
            data_size_limit=MAX_MESSAGE_BYTES,
            enable_SMTPUTF8=True,
            hostname="mailbox.example",
            ident="mailbox",
            tls_context=None if self.implicit_tls else self.tls,
            auth_required=self.login is not None,
            auth_require_tls=False,
            authenticator=self._authenticate,
        )
        session.on_end = lambda: self._sessions.discard(session)
        self._sessions.add(session)
        return session

    def _authenticate(self, server: SMTP, session: Session, envelope: Envelope, way: str, data: object) -> AuthResult:
        name, password = getattr(data, "login", b""), getattr(data, "password", b"")
        known = self.login is not None and (name, password) == tuple(part.encode() for part in self.login)
        return AuthResult(success=known, handled=False)


class _Conversation(SMTP):
    """aiosmtpd's protocol, which says when it ends."""

    on_end = staticmethod(lambda: None)

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self.on_end()


class _Handler:
    """aiosmtpd's hooks: what the mailbox answers to each command."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        mailbox = self._mailbox
        answer = mailbox._refused.get(address.lower())
        if answer is None and mailbox._next_rcpt:
            answer = mailbox._next_rcpt.popleft()
        if answer is not None and not answer.startswith("2"):
            mailbox.attempts.append((address, answer))
            if answer == DROP:
                _drop(server)
            return answer
        envelope.rcpt_tos.append(address)
        return answer or "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        mailbox = self._mailbox
        answer = mailbox._next_data.popleft() if mailbox._next_data else "250 2.0.0 Kept"
        mailbox.attempts.extend((address, answer) for address in envelope.rcpt_tos)
        if answer.startswith("2") or answer == KEEP_AND_DROP:
            self._keep(session, envelope)
        if answer in (DROP, KEEP_AND_DROP):
            _drop(server)
        return answer

    def _keep(self, session: Session, envelope: Envelope) -> None:
        content = envelope.content
        raw = content if isinstance(content, bytes) else str(content or "").encode()
        parsed = message_from_bytes(raw, policy=modern)
        assert isinstance(parsed, EmailMessage)
        recipients = tuple(str(address) for address in envelope.rcpt_tos)
        mail = Mail(str(envelope.mail_from), recipients, raw, parsed, session.ssl is not None)
        self._mailbox.mails.append(mail)
        self._mailbox._changed.set()


def _drop(session: SMTP) -> None:
    """Close a connection at once, without a word."""
    if session.transport is not None:
        cast("asyncio.Transport", session.transport).abort()
