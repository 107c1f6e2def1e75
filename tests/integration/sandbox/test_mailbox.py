"""The mailbox holds a real SMTP conversation and answers as programmed."""

import pytest
from aiosmtplib import SMTPDataError, SMTPRecipientsRefused, SMTPServerDisconnected, send

from integration.sandbox.mailbox import DROP, KEEP_AND_DROP, Mailbox


def letter(to: str = "ana@example.com") -> bytes:
    return (
        f"From: shop@example.com\r\nTo: {to}\r\nSubject: =?utf-8?q?Th=C3=A9?=\r\nMessage-ID: <1@shop>\r\n"
        'MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary="b"\r\n\r\n'
        "--b\r\nContent-Type: text/plain\r\n\r\nHello Ana\r\n"
        "--b\r\nContent-Type: text/html\r\n\r\n<p>Hello Ana</p>\r\n--b--\r\n"
    ).encode()


async def post(mailbox: Mailbox, to: str = "ana@example.com") -> None:
    await send(letter(to), sender="shop@example.com", recipients=[to], hostname=mailbox.host, port=mailbox.port)


async def test_it_keeps_what_it_is_sent() -> None:
    """Subject, both parts, ids and the envelope can be read back."""
    async with Mailbox() as mailbox:
        await post(mailbox)
        (mail,) = await mailbox.wait_for(1)
    assert (mail.subject, mail.message_id, mail.recipients) == ("Thé", "<1@shop>", ("ana@example.com",))
    assert (mail.part("plain") or "").strip() == "Hello Ana"
    assert "<p>Hello Ana</p>" in (mail.part("html") or "")
    assert mailbox.to("ANA@example.com") == [mail]


async def test_it_greylists_and_refuses_as_told() -> None:
    """450 once and then the mail; 550 for an address until it is allowed again."""
    async with Mailbox() as mailbox:
        mailbox.answer_recipients("450 4.2.0 Greylisted")
        with pytest.raises(SMTPRecipientsRefused) as later:
            await post(mailbox)
        assert later.value.recipients[0].code == 450
        await post(mailbox)
        mailbox.refuse("bo@example.com")
        with pytest.raises(SMTPRecipientsRefused) as never:
            await post(mailbox, "bo@example.com")
        assert never.value.recipients[0].code == 550
        mailbox.allow("bo@example.com")
        await post(mailbox, "bo@example.com")
        mailbox.answer_messages("452 4.3.1 Full")
        with pytest.raises(SMTPDataError):
            await post(mailbox)
    assert len(mailbox.mails) == 2


async def test_it_drops_the_connection_with_or_without_the_mail() -> None:
    """A client that hears nothing cannot know which of the two it was."""
    async with Mailbox() as mailbox:
        mailbox.answer_messages(DROP, KEEP_AND_DROP)
        for _ in range(2):
            with pytest.raises(SMTPServerDisconnected):
                await post(mailbox)
    assert len(mailbox.mails) == 1
    assert [answer for _, answer in mailbox.attempts] == [DROP, KEEP_AND_DROP]


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
async def test_it_demands_a_login_where_it_has_one() -> None:
    """A known name and password are let in; without them nothing is taken."""
    async with Mailbox(login=("regulars", "hush")) as mailbox:
        await send(
            letter(),
            sender="shop@example.com",
            recipients=["ana@example.com"],
            hostname=mailbox.host,
            port=mailbox.port,
            username="regulars",
            password="hush",
        )
        with pytest.raises(Exception, match="Authentication required"):
            await post(mailbox)
    assert len(mailbox.mails) == 1
    assert mailbox.url == f"smtp://regulars:hush@127.0.0.1:{mailbox.port}"
