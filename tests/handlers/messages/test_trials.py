"""Test letters: to the merchant's own address, through a real conversation, plainly a test, and not too many."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from handlers.merchants.books import shops
from handlers.messages.letters import Words
from handlers.messages.trials import MOST_TRIALS, Trial, allow_trial, send_trial
from handlers.reviews.letters import Request
from handlers.thanks.letters import ThankYou
from integration.channels.smtp import SmtpChannel
from integration.clock import HOUR
from tests.handlers.messages.stage import Stage
from tests.mailbox import Mailbox


@pytest.fixture
async def posted(database: Any, mailbox: Mailbox) -> AsyncIterator[Stage]:
    """Nora's shop with a real mail server."""
    channel = SmtpChannel(mailbox.url)
    yield await Stage(database, channel=channel).open()
    await channel.close()


async def tries(nora: Stage, kind: Any, words: Words) -> Trial:
    """Nora has a test sent."""
    shop = (await nora.database.read(lambda: shops([1])))[1]
    return await send_trial(nora.context, shop, kind, "en", words)


async def test_a_test_letter_reaches_the_merchant_and_says_what_it_is(posted: Stage, mailbox: Mailbox) -> None:
    """Subject and letter are marked; the words are those on the page, saved or not; nothing is in the outbox."""
    trial = await tries(posted, ThankYou(), Words("Hey {first_name}", "Dear {first_name} {nonsense}"))
    assert trial == Trial(True, "A test is on its way to nora@tea.example.")
    (letter,) = await mailbox.holds(1)
    assert mailbox.recipients == [["nora@tea.example"]]
    assert letter["Subject"] == "[Test] Hey Ada"
    assert letter["From"] == "Nora's Tea <nora@tea.example>"
    for form in ("plain", "html"):
        content = letter.get_body((form,)).get_content()  # type: ignore[union-attr]
        assert "This is a test: no customer gets this email." in content
        assert "Dear Ada" in content
    assert await posted.rows("SELECT count(*) FROM messages") == [(0,)]


async def test_the_link_to_stop_mail_in_a_test_letter_stops_nobodys(posted: Stage, mailbox: Mailbox) -> None:
    """A merchant who tries it sees the page, and silences no customer."""
    await posted.hears(posted.order())
    await tries(posted, Request(), Words("How is it?", "Well?"))
    (letter,) = await mailbox.holds(1)
    assert letter["List-Unsubscribe"] is None
    text = letter.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    link = next(word for word in text.split() if "/c/unsubscribe/" in word)
    async with posted.browser() as browser:
        assert (await browser.post(link)).status_code == 200
    assert await posted.rows("SELECT count(*) FROM suppressions") == [(0,)]


async def test_a_server_that_does_not_take_it_is_told_in_words(posted: Stage, mailbox: Mailbox) -> None:
    """For now, for good, or because the address is wrong; no customer's suppression list hears of it."""
    mailbox.answers = ["451 4.3.0 later", "554 5.7.1 looks like spam"]
    assert (await tries(posted, ThankYou(), Words("a", "b"))).words.endswith("try again in a few minutes.")
    assert "554 5.7.1 looks like spam" in (await tries(posted, ThankYou(), Words("a", "b"))).words
    mailbox.refused = {"nora@tea.example"}
    refused = await tries(posted, ThankYou(), Words("a", "b"))
    assert not refused.is_sent and refused.words.startswith("nora@tea.example did not take it")
    assert await posted.rows("SELECT count(*) FROM suppressions") == [(0,)]


async def test_a_shop_without_an_address_gets_no_test_letter(posted: Stage, mailbox: Mailbox) -> None:
    """There is no other address it could go to."""
    await posted.does("UPDATE merchants SET email = NULL")
    assert not (await tries(posted, ThankYou(), Words("a", "b"))).is_sent
    assert not mailbox.letters


async def test_test_letters_are_limited(nora: Stage) -> None:
    """So many an hour, of each merchant; an hour later again."""

    async def allowed(merchant_id: int = 1) -> bool:
        return bool(await nora.database.run(lambda: allow_trial(merchant_id, nora.clock.now())))

    assert [await allowed() for _ in range(MOST_TRIALS + 2)] == [True] * MOST_TRIALS + [False, False]
    assert await allowed(2)
    nora.clock.instant += HOUR
    assert await allowed()
