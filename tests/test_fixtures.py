"""The servers tests lean on are real and empty when a test gets them."""

import smtplib
from email.message import EmailMessage

import pytest


def letter_to(address: str) -> EmailMessage:
    """Write a short letter."""
    letter = EmailMessage()
    letter["From"], letter["To"], letter["Subject"] = "shop@example.com", address, "Thank you, Zoë"
    letter.set_content("See you soon.")
    return letter


async def test_the_mailbox_keeps_what_it_accepts(mailbox):
    """A letter sent over SMTP can be read, with its recipients."""
    with smtplib.SMTP(*mailbox.url.removeprefix("smtp://").split(":")) as client:
        client.send_message(letter_to("ada@example.com"))
    [letter] = await mailbox.holds(1)
    assert letter["Subject"] == "Thank you, Zoë"
    assert mailbox.to("ada@example.com") == [letter]


def test_the_mailbox_refuses_as_told(mailbox):
    """Answers are used up one a letter, and a refused address is refused for good."""
    mailbox.answers = ["451 4.3.0 later"]
    mailbox.refused = {"gone@example.com"}
    with smtplib.SMTP(*mailbox.url.removeprefix("smtp://").split(":")) as client:
        with pytest.raises(smtplib.SMTPDataError, match="451"):
            client.send_message(letter_to("ada@example.com"))
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            client.send_message(letter_to("gone@example.com"))
        client.send_message(letter_to("ada@example.com"))
    assert len(mailbox.letters) == 1


def test_the_queue_is_empty_when_a_test_starts(redis_url):
    """Two tests share one Valkey; neither sees what the other left."""
    from redis import Redis

    with Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("left", "behind")


def test_the_queue_is_empty_for_the_next_test_too(redis_url):
    """The other half of the test above."""
    from redis import Redis

    with Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("left", "behind")
