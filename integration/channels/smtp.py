"""Sends mail over SMTP: a few connections kept open, answers translated once."""

import asyncio
import re
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Literal
from urllib.parse import unquote, urlsplit

import aiosmtplib

from integration.channels import Letter, Receipt, Refused, Unreachable
from integration.channels.mime import INTERNATIONAL, mail
from integration.errors import Rejected, Unavailable

CONNECTIONS = 4
TIMEOUT_SECONDS = 20.0  # for each step of the conversation
LETTERS_A_CONNECTION = 100  # many servers close a connection after some hundreds
ANSWER_SHOWN = 300
# What 5xx codes say about the mailbox itself (RFC 5321 4.2.3, RFC 3463): no such mailbox, or closed for good.
_ABOUT_THE_MAILBOX = frozenset({550, 551, 553})
_ENHANCED = re.compile(r"\b5\.(\d{1,3})\.(\d{1,3})\b")
_WANTS_LOGIN = frozenset({530, 534, 535, 538})


@dataclass(slots=True)
class SmtpChannel:
    """Send to the server of `url`: `smtp://` with STARTTLS where offered, `smtps://` with TLS from the start.

    User and password stand in the URL, percent-encoded. `tls` replaces the system's trust (tests).
    """

    url: str = field(repr=False)
    tls: ssl.SSLContext | None = None
    timeout_seconds: float = TIMEOUT_SECONDS
    _idle: list[tuple[aiosmtplib.SMTP, int]] = field(default_factory=list, init=False)
    _seats: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CONNECTIONS), init=False)

    async def send(self, letter: Letter) -> Receipt:
        """Send one letter on a connection that is open or is opened; errors as in `Channel.send`."""
        message = mail(letter)
        async with self._seats:
            client, sent = await self._connection()
            keep = False
            try:
                answer = await _send(client, message)
                keep = sent + 1 < LETTERS_A_CONNECTION
                return Receipt(answer[:ANSWER_SHOWN])
            except aiosmtplib.SMTPRecipientsRefused as error:
                keep = True
                refusal = error.recipients[0]
                raise _translated(refusal.code, refusal.message, to="recipient") from error
            except aiosmtplib.SMTPSenderRefused as error:
                keep = error.code != 421
                raise _translated(error.code, error.message, to="sender") from error
            except aiosmtplib.SMTPResponseException as error:
                keep = error.code != 421
                raise _translated(error.code, error.message, to="letter") from error
            except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
                raise Unavailable(f"the mail server went away: {_brief(error)}") from error
            finally:
                if keep and client.is_connected:
                    self._idle.append((client, sent + 1))
                else:
                    client.close()

    async def greet(self) -> None:
        """Connect, with TLS and login where they apply, and send nothing; errors as in `Channel.greet`."""
        async with self._seats:
            client, sent = await self._connection()
            self._idle.append((client, sent))

    async def close(self) -> None:
        """Say goodbye on every open connection."""
        while self._idle:
            client, _ = self._idle.pop()
            try:
                await client.quit()
            except (aiosmtplib.SMTPException, OSError, TimeoutError):
                client.close()

    async def _connection(self) -> tuple[aiosmtplib.SMTP, int]:
        """Take an idle connection that still answers, or open one."""
        while self._idle:
            client, sent = self._idle.pop()
            try:
                await client.rset()
                return client, sent
            except (aiosmtplib.SMTPException, OSError, TimeoutError):
                client.close()
        parts = urlsplit(self.url)
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
            raise Unreachable("SMTP_URL must look like smtp://user:password@host:587")
        secure = parts.scheme == "smtps"
        client = aiosmtplib.SMTP(
            hostname=parts.hostname,
            port=parts.port or (465 if secure else 587),
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            timeout=self.timeout_seconds,
            use_tls=secure,
            start_tls=False if secure else None,  # None = where the server offers it
            tls_context=self.tls,
        )
        try:
            await client.connect()
        except aiosmtplib.SMTPAuthenticationError as error:
            client.close()
            raise Unreachable("the mail server does not accept our user name and password") from error
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            client.close()
            raise Unreachable(f"the mail server cannot be reached: {_brief(error)}") from error
        return client, 0


async def _send(client: aiosmtplib.SMTP, message: EmailMessage) -> str:
    # The bytes are made here: the library would fold headers again, and break long links in them.
    sender, recipient = (message[name].addresses[0].addr_spec for name in ("From", "To"))
    if (sender + recipient).isascii():
        _, answer = await client.sendmail(sender, [recipient], message.as_bytes())
        return answer
    if not client.supports_extension("smtputf8"):
        raise Rejected("the mail server cannot take an address with letters beyond ASCII")
    content = message.as_bytes(policy=INTERNATIONAL)
    _, answer = await client.sendmail(sender, [recipient], content, mail_options=["SMTPUTF8"])
    return answer


def _translated(code: int, answer: str, *, to: Literal["sender", "recipient", "letter"]) -> Exception:
    """Turn a refusing answer to a step of the conversation into what to do about it."""
    words = f"{code} {answer}"[:ANSWER_SHOWN]
    if code == 421 or code in _WANTS_LOGIN:
        return Unreachable(f"the mail server said: {words}")
    if code < 500:
        return Unavailable(f"the mail server said: {words}")
    if to != "sender" and _about_the_mailbox(code, answer, to):
        return Refused(f"the mail server said: {words}")
    return Rejected(f"the mail server said: {words}")


def _about_the_mailbox(code: int, answer: str, to: str) -> bool:
    """Tell whether a 5xx is about the recipient's mailbox, and not about us or about the letter."""
    enhanced = _ENHANCED.search(answer)
    if enhanced is None:
        return to == "recipient" or code in _ABOUT_THE_MAILBOX
    subject, detail = enhanced.groups()
    if subject == "1":
        # An address that does not exist or has moved; 1.7 and 1.8 are about the sender's.
        return detail not in ("7", "8")
    # 2.1 is a mailbox closed for good. Microsoft's servers say 4.1 of recipients they do not know.
    return (subject, detail) == ("2", "1") or (to == "recipient" and (subject, detail) == ("4", "1"))


def _brief(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error)[:ANSWER_SHOWN]}"
