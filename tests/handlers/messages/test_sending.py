"""Sending: what is looked at when a letter goes out, what waits, and what a mail server's moods do."""

import asyncio
from typing import Any

import pytest

from handlers.messages import outbox, sending
from handlers.messages.rules import MOST_ATTEMPTS
from handlers.messages.sending import message_name, send_due
from integration.channels import Letter, Receipt
from integration.channels.smtp import SmtpChannel
from integration.clock import DAY, HOUR, MINUTE
from integration.errors import Unavailable
from integration.facts import ConsentSeen, CustomerSeen, CustomersMerged
from tests.handlers.messages.stage import ELSA, Buyer, Stage
from tests.mailbox import Mailbox

NOTE = "thank_you:sale:1"
REQUEST = "review_request:sale:1"


def told(nora: Stage, state: str, **changes: Any) -> ConsentSeen:
    """What Shopify says about Elsa's consent now."""
    words: dict[str, Any] = {"address": "elsa@home.example", "customer_id": "70", **changes}
    return ConsentSeen("shopify", "email", state, nora.clock.now(), **words)


# --- Windows and caps ---------------------------------------------------------------------------


async def test_a_message_waits_for_the_window_of_the_persons_own_zone(nora: Stage) -> None:
    """At noon in Paris it is night in Los Angeles: the note waits, says why, and goes at ten there."""
    await nora.set({"messages": {"window": "10:00-16:00"}, "thanks": {"delay_minutes": 0}})
    await nora.hears(nora.order(country="US", region="CA"), nora.order("1002", buyer=Buyer(email="b@x.example")))
    await nora.sends()
    assert [mail["To"] for mail in nora.mails] == ["b@x.example"]
    state, reason = (await nora.messages())[NOTE]
    assert state == "waiting"
    assert reason == ("the send window is 10:00-16:00: it goes out at 2026-11-23 10:00 America/Los_Angeles")
    await nora.later(7 * HOUR - MINUTE)
    assert len(nora.mails) == 1
    await nora.later(MINUTE)
    assert len(nora.mails) == 2


async def test_waiting_costs_no_attempts_and_is_not_claimable(nora: Stage) -> None:
    """What waits for its window is nobody's work until then, however long it waits."""
    await nora.set({"messages": {"window": "10:00-11:00"}, "thanks": {"delay_minutes": 0}})
    await nora.hears(nora.order())
    await nora.sends()
    assert await nora.database.read(lambda: outbox.claimable(nora.clock.now())) == 0
    assert await nora.rows("SELECT state, attempts FROM messages WHERE key = ?1", NOTE) == [("waiting", 0)]


async def test_a_message_that_cannot_be_read_holds_up_no_other(nora: Stage) -> None:
    """It is given up with its reason, and the others go out."""
    await nora.set({"messages": {"window": "always"}, "thanks": {"delay_minutes": 0}})
    await nora.hears(nora.order(), nora.order("1002", buyer=Buyer(email="b@x.example")))
    await nora.does("UPDATE messages SET details = '{\"country\": 7}' WHERE key = ?1", NOTE)
    await nora.sends()
    assert [mail["To"] for mail in nora.mails] == ["b@x.example"]
    assert (await nora.messages())[NOTE] == ("failed", "what is kept of it cannot be read")


async def test_two_messages_to_one_person_keep_their_distance(nora: Stage) -> None:
    """The second of two notes due together waits sixteen hours, is not dropped, and says so."""
    await nora.set({"messages": {"cap_hours": 16, "cap_fortnight": 3}})
    await nora.hears(nora.order("1"), nora.order("2"))
    await nora.later(HOUR)
    assert len(nora.mails) == 1
    waiting = [reason for state, reason in (await nora.messages()).values() if state == "waiting"]
    assert waiting == ["they were written to recently: it goes out at 2026-11-24 05:00 Europe/Paris"]
    await nora.later(16 * HOUR)
    assert len(nora.mails) == 2


async def test_the_cap_follows_a_person_through_a_merge(nora: Stage) -> None:
    """What was sent to a customer counts for the one they were merged into."""
    await nora.set({"messages": {"cap_hours": 16}})
    other = Buyer("71", "e.berg@work.example", "e.berg@work.example", True, "Elsa")
    await nora.hears(nora.order("1"))
    await nora.later(HOUR)
    await nora.hears(nora.order("2", buyer=other), CustomersMerged("71", "70"))
    await nora.later(HOUR)
    assert len(nora.mails) == 1
    await nora.later(15 * HOUR)
    assert [mail["To"] for mail in nora.mails][1:] == ["e.berg@work.example"]


async def test_notices_about_points_ignore_the_cap(nora: Stage) -> None:
    """What is owed is told in time, whatever else was written; it carries no unsubscribe link."""
    await nora.set({"messages": {"cap_hours": 16}})
    order = nora.order()
    await nora.hears(order)
    await nora.later(HOUR)
    await nora.hears(nora.refunded(order))
    await nora.later(10 * MINUTE)
    assert [str(mail["Subject"]) for mail in nora.mails][1:] == ["Vos points chez Nora's Tea ont changé"]
    notice = nora.mails[1]
    assert notice["List-Unsubscribe"] is None
    assert "60 points" in notice.get_body(("plain",)).get_content()  # type: ignore[union-attr]


# --- Consent, suppression, switches: looked at when sending -------------------------------------


@pytest.mark.parametrize("state", ["unsubscribed", "redacted", "invalid"])
async def test_consent_withdrawn_between_queueing_and_sending_counts(nora: Stage, state: str) -> None:
    """The message was fine when it was queued; it is cancelled when it would go out, for good."""
    order = nora.order()
    await nora.hears(order)
    await nora.hears(told(nora, state))
    await nora.later(HOUR)
    assert not nora.mails
    found, reason = (await nora.messages())[NOTE]
    assert found == "cancelled" and reason and state in reason
    await nora.hears(told(nora, "subscribed"), nora.refunded(order, keep=1))
    await nora.later(DAY)
    assert (await nora.states())[NOTE] == "cancelled"


async def test_consent_told_of_the_customer_counts_for_their_address(nora: Stage) -> None:
    """Consent that names only the customer id, not the address, is found as well."""
    await nora.hears(nora.order(), told(nora, "unsubscribed", address=None))
    await nora.later(HOUR)
    assert not nora.mails


@pytest.mark.parametrize(
    ("country", "state", "sent"),
    [
        ("DE", None, False),
        ("DE", "not_subscribed", False),
        ("DE", "subscribed", True),
        ("AT", "pending", False),
        ("FR", None, True),
        ("FR", "not_subscribed", True),
    ],
)
async def test_germany_and_austria_want_consent_before_a_review_request(
    nora: Stage, country: str, state: str | None, sent: bool
) -> None:
    """A thank-you asks for nothing and may go; asking for a review needs an opt-in there."""
    await nora.hears(nora.order(country=country), nora.parcel(country=country))
    if state:
        await nora.hears(told(nora, state))
    await nora.later(HOUR)
    assert (await nora.states())[NOTE] == "sent"
    await nora.later(30 * DAY)
    assert ((await nora.states())[REQUEST] == "sent") is sent


async def test_what_is_switched_off_meanwhile_is_not_sent(nora: Stage) -> None:
    """The merchant's switch is in force for what is queued; switching on again brings nothing back."""
    order = nora.order()
    await nora.hears(order)
    await nora.set({"thanks": {"enabled": False}})
    await nora.later(HOUR)
    assert (await nora.messages())[NOTE] == ("cancelled", "thank-you notes were switched off")
    await nora.set({"thanks": {"enabled": True}})
    await nora.hears(nora.refunded(order, keep=1))
    await nora.later(HOUR)
    assert (await nora.states())[NOTE] == "cancelled"


async def test_a_shop_that_left_sends_nothing(nora: Stage) -> None:
    """After an uninstall nothing goes out in its name."""
    await nora.hears(nora.order())
    await nora.does("UPDATE merchants SET closed_at = ?1", nora.clock.now())
    await nora.later(HOUR)
    assert (await nora.messages())[NOTE] == ("cancelled", "the shop has left")


async def test_a_person_without_an_address_is_waited_for(nora: Stage) -> None:
    """A customer known by phone only: the note waits, and goes out when an address becomes known."""
    silent = Buyer(platform_id="80", first_name="Ben")
    await nora.hears(nora.order(buyer=silent))
    await nora.later(HOUR)
    assert (await nora.messages())[NOTE] == ("waiting", "no mail address is known yet")
    known = Buyer("80", "ben@home.example", "ben@home.example", True, "Ben")
    await nora.hears(CustomerSeen("shopify", known, nora.clock.now()))
    await nora.later(6 * HOUR)
    assert [mail["To"] for mail in nora.mails] == ["ben@home.example"]


# --- The mail server's moods --------------------------------------------------------------------


@pytest.fixture
async def posted(nora: Stage, mailbox: Mailbox) -> Any:
    """Nora's shop with a real mail server."""
    nora.channel = SmtpChannel(mailbox.url, timeout_seconds=5)
    nora.context.channels["email"] = nora.channel  # type: ignore[index]
    yield nora
    await nora.channel.close()


async def test_a_greylisted_letter_is_tried_again_under_the_same_name(posted: Stage, mailbox: Mailbox) -> None:
    """450 costs an attempt and a pause; then it goes out once, as the same message."""
    mailbox.answers.append("450 4.2.0 greylisted")
    await posted.hears(posted.order())
    await posted.later(HOUR)
    state, reason = (await posted.messages())[NOTE]
    assert state == "waiting" and reason and "greylisted" in reason
    await posted.later(59_000_000)
    assert not mailbox.letters
    await posted.later(1_000_000)
    assert [letter["Message-ID"] for letter in mailbox.letters] == [f"<{message_name(1, NOTE)}@regulars.example>"]


async def test_a_mailbox_that_is_gone_is_never_written_to_again(posted: Stage, mailbox: Mailbox) -> None:
    """A 550 suppresses the address: the next message to it is not even tried, the others go."""
    mailbox.refused.add("elsa@home.example")
    await posted.hears(posted.order("1"), posted.order("2", buyer=Buyer(email="ben@home.example")))
    await posted.later(HOUR)
    assert (await posted.states())[NOTE] == "failed"
    assert len(mailbox.to("ben@home.example")) == 1
    mailbox.refused.clear()
    await posted.hears(posted.order("3"))
    await posted.later(HOUR)
    state, reason = (await posted.messages())["thank_you:sale:3"]
    assert state == "cancelled" and reason and "refused" in reason
    assert not mailbox.to("elsa@home.example")


async def test_a_letter_refused_for_its_looks_does_not_close_the_address(posted: Stage, mailbox: Mailbox) -> None:
    """554 after DATA fails the message alone."""
    mailbox.answers.append("554 5.7.1 looks like spam")
    await posted.hears(posted.order("1"))
    await posted.later(HOUR)
    assert (await posted.states())[NOTE] == "failed"
    assert await posted.rows("SELECT address FROM suppressions") == []


async def test_a_server_that_is_away_costs_nobody_their_attempts_but_one(nora: Stage) -> None:
    """With the server down the first letter learns it, the others wait; all go when it is back."""
    nora.channel = SmtpChannel("smtp://127.0.0.1:9", timeout_seconds=1)
    nora.context.channels["email"] = nora.channel  # type: ignore[index]
    buyers = [Buyer(email=f"p{n}@home.example") for n in range(20)]
    await nora.hears(*(nora.order(str(n), buyer=buyer) for n, buyer in enumerate(buyers)))
    await nora.later(HOUR)
    assert set((await nora.states()).values()) == {"waiting"}


async def test_in_the_end_a_message_fails_with_its_reason(nora: Stage) -> None:
    """A claim that crashed each time counts too: after so many attempts it is given up, visibly."""
    await nora.hears(nora.order())
    nora.clock.instant += HOUR
    for _ in range(MOST_ATTEMPTS):
        await nora.database.run(lambda: outbox.claim("crashed", nora.clock.now(), 10))
        await nora.leases_end()
    await nora.sends()
    state, reason = (await nora.messages())[NOTE]
    assert state == "failed" and reason and str(MOST_ATTEMPTS) in reason


# --- Two senders, and slow ones -----------------------------------------------------------------


class Slow:
    """A channel that holds letters until it is told to go on."""

    def __init__(self) -> None:
        self.letters: list[Letter] = []
        self.go = asyncio.Event()
        self.holding = asyncio.Event()

    async def send(self, letter: Letter) -> Receipt:
        self.letters.append(letter)
        self.holding.set()
        await self.go.wait()
        return Receipt("250 taken")

    async def close(self) -> None:
        """Nothing to close."""


async def test_two_senders_never_send_one_message(nora: Stage) -> None:
    """While one holds the claim the other finds nothing."""
    slow = Slow()
    nora.context.channels["email"] = slow  # type: ignore[index]
    await nora.hears(nora.order())
    nora.clock.instant += HOUR
    first = asyncio.create_task(send_due(nora.context))
    await slow.holding.wait()
    assert await send_due(nora.context) == 0
    slow.go.set()
    await first
    assert len(slow.letters) == 1
    assert (await nora.states())[NOTE] == "sent"


async def test_an_order_cancelled_while_its_note_is_under_way_is_looked_at_again(nora: Stage) -> None:
    """What is under way is left alone; the sale asks to be settled again after the claim."""
    await nora.hears(nora.order())
    nora.clock.instant += HOUR
    await nora.database.run(lambda: outbox.claim("mine", nora.clock.now(), 10))
    order = nora.order(updated_at=nora.clock.now() + 1, cancelled_at=nora.clock.now())
    await nora.hears(order)
    assert (await nora.states())[NOTE] == "sending"
    await nora.leases_end()
    nora.clock.instant += outbox.LEASE
    assert await nora.settles() == 1
    assert (await nora.messages())[NOTE] == ("cancelled", "the order was cancelled")


async def test_a_late_sender_does_not_undo_what_another_did(nora: Stage) -> None:
    """A claim that was taken over is fenced off: its verdict has no effect."""
    await nora.hears(nora.order())
    nora.clock.instant += HOUR
    (mine,), _ = await nora.database.run(lambda: outbox.claim("mine", nora.clock.now(), 10))
    await nora.leases_end()
    await nora.database.run(lambda: outbox.claim("theirs", nora.clock.now(), 10))
    late = outbox.Never("failed", "mine")
    await nora.database.run(lambda: outbox.settle([(mine, late)], "mine", nora.clock.now()))
    assert (await nora.states())[NOTE] == "sending"
    await nora.database.run(lambda: outbox.sent(mine, "elsa@home.example", "250", nora.clock.now()))
    assert (await nora.states())[NOTE] == "sent"


async def test_a_letter_that_cannot_be_written_holds_nobody_up(nora: Stage) -> None:
    """A fault in one letter is seen in its reason; its neighbours go out."""
    await nora.hears(nora.order("1"), nora.order("2", buyer=Buyer(email="ben@home.example")))
    await nora.does("UPDATE sales SET facts = '{\"order\": 5}' WHERE number = 1")
    await nora.later(HOUR)
    state, reason = (await nora.messages())[NOTE]
    assert state == "waiting" and reason and "could not be written" in reason
    assert [mail["To"] for mail in nora.mails] == ["ben@home.example"]


async def test_an_address_with_a_line_break_in_it_fails_and_injects_nothing(nora: Stage) -> None:
    """A header that does not hold is refused before anything is sent."""
    evil = Buyer("90", "eve@x.example\r\nBcc: all@x.example", None, True, "Eve\r\nBcc: all@x.example")
    await nora.hears(
        nora.order(buyer=evil), nora.order("2", buyer=Buyer("91", first_name="A\r\nB", email="b@x.example"))
    )
    await nora.later(HOUR)
    assert (await nora.states())[NOTE] == "failed"
    (mail,) = nora.mails
    assert mail["Bcc"] is None and str(mail["Subject"]) == "Merci, A B"


async def test_elsa_is_greeted_by_name_and_written_to_in_her_language(nora: Stage) -> None:
    """A German customer of a French shop reads German, with German dates and money."""
    german = Buyer("70", ELSA.email, ELSA.email, True, "Elsa", "Berg", locale="de-DE")
    await nora.hears(nora.order(buyer=german))
    await nora.later(HOUR)
    (mail,) = nora.mails
    text = mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert "Guten Tag Elsa," in text and "60,00\xa0€" in text and "23. November 2026" in text
    assert mail["Content-Language"] == "de"


class DiesOnce:
    """A channel whose process dies right after the server has taken the first letter."""

    def __init__(self, channel: Any) -> None:
        self.channel = channel
        self.died = False

    async def send(self, letter: Letter) -> Receipt:
        receipt: Receipt = await self.channel.send(letter)
        if not self.died:
            self.died = True
            raise asyncio.CancelledError
        return receipt

    async def close(self) -> None:
        """Nothing to close."""


async def test_a_crash_after_the_250_sends_again_under_the_same_name(nora: Stage) -> None:
    """What the server took and we never recorded goes out once more after the lease, as the same message."""
    nora.context.channels["email"] = DiesOnce(nora.channel)  # type: ignore[index]
    await nora.hears(nora.order())
    await nora.later(HOUR)
    assert (await nora.states())[NOTE] == "sending"
    await nora.later(outbox.LEASE)
    assert (await nora.states())[NOTE] == "sending"  # the shop's clock is not what leases go by
    await nora.leases_end()
    await nora.later(0)
    assert (await nora.states())[NOTE] == "sent"
    first, second = nora.mails
    assert first["Message-ID"] == second["Message-ID"]
    await nora.later(DAY)
    assert len(nora.mails) == 2


# --- The database goes away while mails are on their way -------------------------------------------


class AwayAfterSending:
    """A database that is away for so many transactions once a letter has been taken."""

    def __init__(self, nora: Stage, times: int) -> None:
        self._run, self._nora, self.left = nora.context.database.run, nora, times

    async def __call__(self, make: Any) -> Any:
        if self._nora.mails and self.left:
            self.left -= 1
            raise Unavailable("PostgreSQL restarts")
        return await self._run(make)


async def test_a_mail_that_is_out_is_written_down_when_the_database_is_back(
    nora: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restart of a few seconds between the server's 250 and our commit sends nothing twice."""
    monkeypatch.setattr(sending, "RECORD_PAUSES", (0.0,) * 7)
    await nora.set({"thanks": {"delay_minutes": 0}})
    await nora.hears(nora.order())
    away = AwayAfterSending(nora, 5)
    monkeypatch.setattr(nora.context.database, "run", away)
    await send_due(nora.context)
    assert away.left == 0
    assert (await nora.messages())[NOTE] == ("sent", None)
    assert len(nora.mails) == 1


async def test_one_receipt_that_cannot_be_written_cuts_no_other_mail_off(
    nora: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left goes out again when its claim ends; the others are done with."""
    monkeypatch.setattr(sending, "RECORD_PAUSES", ())
    await nora.set({"thanks": {"delay_minutes": 0}})
    await nora.hears(*[nora.order(f"100{n}", buyer=Buyer(email=f"b{n}@x.example")) for n in range(4)])
    monkeypatch.setattr(nora.context.database, "run", AwayAfterSending(nora, 1))
    await send_due(nora.context)
    assert len(nora.mails) == 4
    states = sorted(state for state, _ in (await nora.messages()).values() if state in ("sent", "sending"))
    assert states == ["sending", "sent", "sent", "sent"]
