"""Every channel keeps one contract; SMTP is spoken with a real server, its refusals and its silences."""

import asyncio
import datetime
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from integration.channels import Channel, Letter, Refused, Unreachable
from integration.channels.console import ConsoleChannel
from integration.channels.smtp import SmtpChannel
from integration.errors import Rejected, Unavailable
from tests.mailbox import Mailbox, serve

LETTER = Letter(
    sender="nora@tea.example",
    sender_name="Nora's Tea",
    recipient="elsa@home.example",
    subject="Merci, Elsa — à bientôt",
    text="Bonjour Elsa",
    html="<p>Bonjour Elsa</p>",
    message_id="720bb209706e8f39eaa3bd3fd22181c8@regulars.example",
    reply_to="desk@tea.example",
    headers={
        "List-Unsubscribe": "<https://regulars.example/c/unsubscribe/" + "a1B2" * 40 + ">",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    },
)


@pytest.fixture(params=["smtp", "console"])
async def channel(request: pytest.FixtureRequest, mailbox: Mailbox) -> AsyncIterator[tuple[Channel, Callable[[], Any]]]:
    """Each implementation, and how to look at what it took."""
    if request.param == "smtp":
        smtp = SmtpChannel(mailbox.url)
        yield smtp, lambda: mailbox.letters
        await smtp.close()
    else:
        console = ConsoleChannel(stream=None)
        yield console, lambda: list(console.mailbox)


async def test_a_letter_arrives_as_it_was_written(channel: Any) -> None:
    """Names, subject, both bodies and the headers arrive whole; a long link is not broken up."""
    channel, letters = channel
    receipt = await channel.send(LETTER)
    assert receipt.answer
    (mail,) = letters()
    assert mail["Subject"] == LETTER.subject
    assert str(mail["From"]) == "Nora's Tea <nora@tea.example>"
    assert mail["To"] == "elsa@home.example"
    assert mail["Reply-To"] == "desk@tea.example"
    assert mail["Message-ID"] == f"<{LETTER.message_id}>"
    assert mail["Date"]
    assert b"\r\nList-Unsubscribe: " + LETTER.headers["List-Unsubscribe"].encode() + b"\r\n" in mail.as_bytes(
        policy=mail.policy.clone(max_line_length=998, linesep="\r\n")
    )
    assert mail.get_body(("plain",)).get_content().strip() == "Bonjour Elsa"
    assert mail.get_body(("html",)).get_content().strip() == "<p>Bonjour Elsa</p>"


async def test_a_greeting_sends_nothing(channel: Any) -> None:
    """Whether mail could go out can be asked without a letter, and the letter after it still goes."""
    channel, letters = channel
    await channel.greet()
    assert not letters()
    await channel.send(LETTER)
    assert len(letters()) == 1


async def test_a_server_that_is_away_is_unreachable_by_greeting() -> None:
    """As it would be by letter."""
    with pytest.raises(Unreachable):
        await SmtpChannel("smtp://127.0.0.1:1").greet()


@pytest.mark.parametrize(
    "bad",
    [
        {"subject": "Hi\r\nBcc: all@example.com"},
        {"subject": "Hi\nX: y"},
        {"sender_name": "Nora\r\nBcc: all@example.com"},
        {"recipient": "elsa@home.example\r\nBcc: all@example.com"},
        {"recipient": "elsa@home.example\nRCPT TO:<eve@x.example>"},
        {"recipient": "nobody"},
        {"recipient": "a@b@"},
        {"recipient": "<elsa>, eve@x.example"},
        {"sender": "nora\0@tea.example"},
        {"reply_to": "a@b.example\r\nX: y"},
        {"message_id": "x\r\nX: y@regulars.example"},
        {"headers": {"List-Unsubscribe": "<https://x>\r\nX: y"}},
        {"headers": {"List-Unsubscribe": "<https://x>\0"}},
    ],
)
async def test_nothing_breaks_out_of_a_header(channel: Any, bad: dict[str, Any]) -> None:
    """A line break or NUL in any header, or an address that is none, is rejected and nothing is sent."""
    channel, letters = channel
    with pytest.raises(Rejected):
        await channel.send(replace(LETTER, **bad))
    assert not letters()


async def test_a_name_cannot_pose_as_an_address(channel: Any) -> None:
    """A display name is quoted: the sender stays the sender."""
    channel, letters = channel
    await channel.send(replace(LETTER, sender_name='Bank <bank@bank.example>, "Nora'))
    (mail,) = letters()
    assert [a.addr_spec for a in mail["From"].addresses] == ["nora@tea.example"]


async def test_letters_share_a_connection_that_is_opened_again_when_it_ends(mailbox: Mailbox) -> None:
    """Three letters use one connection; when the server has restarted in between, the next letter still goes."""
    channel = SmtpChannel(mailbox.url)
    for _ in range(3):
        await channel.send(LETTER)
    assert len(channel._idle) == 1
    channel._idle[0][0].close()
    await channel.send(LETTER)
    assert len(mailbox.letters) == 4
    await channel.close()


@pytest.mark.parametrize(
    ("answer", "error", "exactly"),
    [
        ("450 4.2.0 greylisted, come back", Unavailable, Unavailable),
        ("451 4.3.0 later", Unavailable, Unavailable),
        ("421 4.3.2 shutting down", Unreachable, Unreachable),
        ("550 5.1.1 no such mailbox", Refused, Refused),
        ("550 no such user", Refused, Refused),
        ("550 5.7.1 looks like spam", Rejected, Rejected),
        ("550 5.1.7 bad sender", Rejected, Rejected),
        ("554 refused for its content", Rejected, Rejected),
        ("554 5.7.0 policy", Rejected, Rejected),
        ("552 5.2.2 mailbox full", Rejected, Rejected),
    ],
)
async def test_an_answer_says_what_to_do(
    mailbox: Mailbox, answer: str, error: type[Exception], exactly: type[Exception]
) -> None:
    """4xx is later, 5xx never; only what is about the mailbox itself closes the address."""
    mailbox.answers.append(answer)
    channel = SmtpChannel(mailbox.url)
    with pytest.raises(error) as raised:
        await channel.send(LETTER)
    assert type(raised.value) is exactly
    await channel.send(LETTER)
    assert len(mailbox.letters) == 1
    await channel.close()


async def test_a_recipient_that_is_refused_is_refused_for_good(mailbox: Mailbox) -> None:
    """A 550 to RCPT closes the address; the connection goes on for others."""
    mailbox.refused.add("elsa@home.example")
    channel = SmtpChannel(mailbox.url)
    with pytest.raises(Refused):
        await channel.send(LETTER)
    await channel.send(replace(LETTER, recipient="ben@home.example"))
    assert mailbox.to("ben@home.example")
    await channel.close()


async def test_no_server_is_unreachable() -> None:
    """A port nobody listens on means that no letter can go now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(Unreachable):
        await SmtpChannel(f"smtp://127.0.0.1:{port}").send(LETTER)


@asynccontextmanager
async def _talking(lines: list[bytes | None]) -> AsyncIterator[str]:
    """A server that says these lines in turn, one a command; None hangs up, running out stays silent."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        in_data = False
        for line in lines:
            if line is None:
                break
            writer.write(line + b"\r\n")
            await writer.drain()
            in_data = line.startswith(b"354")
            while (told := await reader.readline()) and in_data and told != b".\r\n":
                pass
            if not told:
                break
        else:
            await reader.read()
        writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    async with server:
        yield f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    ("to_sender", "to_recipient", "error"),
    [
        (b"250 ok", b"554 no", Refused),
        (b"250 ok", b"571 no", Refused),
        (b"250 ok", b"550 5.4.1 access denied", Refused),
        (b"250 ok", b"554 5.7.1 relaying denied", Rejected),
        (b"550 who are you", b"250 ok", Rejected),
        (b"553 5.1.8 no such domain of yours", b"250 ok", Rejected),
    ],
)
async def test_a_5xx_closes_the_address_where_it_is_about_the_recipient(
    to_sender: bytes, to_recipient: bytes, error: type[Exception]
) -> None:
    """A plain 5xx to RCPT always does; what is said of the sender or of relaying would silence everybody."""
    async with _talking([b"220 hi", b"250 hi", to_sender, to_recipient, b"250 ok"]) as url:
        with pytest.raises(error) as raised:
            await SmtpChannel(url).send(LETTER)
    assert type(raised.value) is error


async def test_hanging_up_after_data_is_tried_again_later() -> None:
    """Whether it was taken is unknown: later, under the same Message-ID."""
    talk = [b"220 hi", b"250 hi", b"250 ok", b"250 ok", b"354 go", None]
    async with _talking(talk) as url:
        with pytest.raises(Unavailable):
            await SmtpChannel(url).send(LETTER)


async def test_a_silent_server_is_left_after_the_time_limit() -> None:
    """A server that never answers costs the time limit, no more."""
    async with _talking([b"220 hi"]) as url:
        channel = SmtpChannel(url, timeout_seconds=0.2)
        with pytest.raises(Unavailable):
            await asyncio.wait_for(channel.send(LETTER), 8)


async def test_a_wrong_password_is_no_fault_of_the_letter() -> None:
    """535 means that nothing can be sent until the operator mends it; no address is closed for it."""
    talk = [b"220 hi", b"250-hi\r\n250 AUTH PLAIN LOGIN", b"535 5.7.8 no", b"535 5.7.8 no", b"221 bye"]
    async with _talking(talk) as url:
        with pytest.raises(Unreachable) as raised:
            await SmtpChannel(url.replace("smtp://", "smtp://nora:s3cret@")).send(LETTER)
    assert "s3cret" not in str(raised.value)
    assert "s3cret" not in repr(SmtpChannel("smtp://nora:s3cret@mail.example"))


# --- TLS ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that nobody but the test trusts, with its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    plain = serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    path.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain) + built.public_bytes(pem))
    return path


def _server_side(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


def _client_side(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate))


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
async def test_tls_is_used_and_the_certificate_is_checked(certificate: Path, scheme: str) -> None:
    """`smtp://` changes to TLS where offered, `smtps://` begins with it; a certificate we do not trust ends it."""
    box = Mailbox()
    context = _server_side(certificate)
    words: dict[str, Any] = {"tls_context": context} if scheme == "smtp" else {"ssl_context": context}
    if scheme == "smtp":
        words["require_starttls"] = True
    controller = serve(box, **words)
    try:
        url = box.url.replace("smtp://127.0.0.1", f"{scheme}://localhost")
        trusting = SmtpChannel(url, tls=_client_side(certificate))
        await trusting.send(LETTER)
        assert len(box.letters) == 1
        with pytest.raises(Unreachable):
            await SmtpChannel(url).send(LETTER)
        assert len(box.letters) == 1
        await trusting.close()
    finally:
        controller.stop()
