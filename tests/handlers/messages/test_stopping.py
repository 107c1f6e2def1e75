"""A merchant's hand on the brake: one message stopped, all paused, and everything that goes on at the same time."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from handlers.messages import outbox, sending, stopping
from handlers.messages.jobs import send_for_ever
from handlers.messages.outbox import claim
from handlers.messages.stopping import PAUSED, PAUSED_LOOK
from integration.channels import Letter, Receipt
from integration.channels.smtp import SmtpChannel
from integration.clock import DAY, HOUR, MINUTE
from integration.queue import Queue
from tests.handlers.messages.stage import Buyer, Stage
from tests.mailbox import Mailbox

NOTE = "thank_you:sale:1"
SOON_S = 60


async def stops(nora: Stage, key: str = NOTE) -> str:
    """Nora stops one message now."""
    return str(await nora.database.run(lambda: stopping.stop(1, key, nora.clock.now())))


async def pauses(nora: Stage) -> bool:
    """Nora pauses everything now."""
    return bool(await nora.database.run(lambda: stopping.pause(1, nora.clock.now())))


async def resumes(nora: Stage) -> None:
    """Nora lets everything go on."""
    assert await nora.database.run(lambda: stopping.resume(1))
    while await nora.database.run(lambda: stopping.wake(1, nora.clock.now(), 2)):
        pass


async def notes(nora: Stage, count: int) -> None:
    """So many people buy something; a note to each is due in an hour."""
    await nora.hears(*(nora.order(str(n), buyer=Buyer(email=f"b{n}@x.example")) for n in range(1, count + 1)))


# --- Stopping one -------------------------------------------------------------------------------


async def test_a_stopped_message_never_goes_out_and_nothing_brings_it_back(nora: Stage) -> None:
    """Whatever is told of the sale later; and the others go."""
    await nora.set({"earning": {"notify_reductions": False}})
    order = nora.order()
    await nora.hears(order, nora.order("1002", buyer=Buyer(email="b@x.example")))
    assert await stops(nora) == "stopped"
    await nora.later(HOUR)
    assert [mail["To"] for mail in nora.mails] == ["b@x.example"]
    await nora.hears(nora.refunded(order, keep=1))
    await nora.later(DAY)
    assert (await nora.messages())[NOTE] == ("cancelled", stopping.STOPPED)
    assert len(nora.mails) == 1


async def test_what_is_being_sent_or_is_over_cannot_be_stopped(nora: Stage) -> None:
    """The answer says which; a message of another merchant does not exist."""
    await nora.hears(nora.order())
    nora.clock.instant += HOUR
    now = nora.clock.now()
    held = await nora.database.run(lambda: claim("a sender", now, 10))
    assert await stops(nora) == "sending"
    assert (await nora.states())[NOTE] == "sending"
    message = held.due[0]
    await nora.database.run(lambda: outbox.sent(message, "elsa@home.example", "250", now))
    assert await stops(nora) == "over"
    assert await stops(nora, "thank_you:sale:99") == "unknown"
    assert await nora.database.run(lambda: stopping.stop(2, NOTE, now)) == "unknown"


async def test_what_a_dead_sender_left_behind_can_be_stopped(nora: Stage) -> None:
    """When its claim has run out nobody is sending it; a late receipt is still written down."""
    await nora.hears(nora.order())
    nora.clock.instant += HOUR
    now = nora.clock.now()
    held = await nora.database.run(lambda: claim("a sender", now, 10))
    await nora.leases_end()
    assert await stops(nora) == "stopped"
    await nora.sends()
    assert not nora.mails
    await nora.database.run(lambda: outbox.sent(held.due[0], "elsa@home.example", "250", now))
    assert (await nora.states())[NOTE] == "sent"


async def test_stopping_and_sending_at_once_ends_in_one_of_the_two(nora: Stage) -> None:
    """Of many messages that are due and being stopped, each is either sent or stopped, and the answer is true."""
    await notes(nora, 12)
    nora.clock.instant += HOUR
    keys = [f"thank_you:sale:{n}" for n in range(1, 13)]

    async def stop_all() -> dict[str, str]:
        return {key: await stops(nora, key) for key in keys}

    _, _, answers = await asyncio.gather(send_one_by_one(nora), send_one_by_one(nora), stop_all())
    await nora.sends()
    states = await nora.states()
    assert {key: states[key] for key in keys} == {
        key: "cancelled" if answer == "stopped" else "sent" for key, answer in answers.items()
    }
    assert len(nora.mails) == list(states.values()).count("sent")


async def send_one_by_one(nora: Stage) -> None:
    """Send in claims of one, so that a stop finds room between them."""
    while await sending.send_due(nora.context, limit=1):
        pass


# --- Pausing all --------------------------------------------------------------------------------


async def test_a_pause_holds_everything_back_and_drops_nothing(nora: Stage) -> None:
    """What falls due waits, says why, costs no attempt, is nobody's work meanwhile, and goes after resuming."""
    await notes(nora, 5)
    assert await pauses(nora)
    assert not await pauses(nora)
    await nora.later(HOUR)
    assert not nora.mails
    assert set((await nora.messages("thank_you")).values()) == {("waiting", PAUSED)}
    assert await nora.rows("SELECT DISTINCT attempts FROM messages") == [(0,)]
    assert await nora.database.read(lambda: outbox.claimable(nora.clock.now())) == 0
    await nora.later(3 * DAY)
    assert not nora.mails
    await resumes(nora)
    await nora.sends()
    assert len(nora.mails) == 5


async def test_after_a_pause_the_window_and_the_caps_hold(nora: Stage) -> None:
    """Resuming at night sends nothing; in the morning one message a person goes, the second keeps its distance."""
    await nora.set({"messages": {"window": "10:00-16:00", "cap_hours": 16}, "thanks": {"delay_minutes": 0}})
    await pauses(nora)
    await nora.hears(nora.order("1"), nora.order("2"), nora.order("3", buyer=Buyer(email="b@x.example")))
    await nora.sends()
    nora.clock.instant += 12 * HOUR
    await resumes(nora)
    await nora.sends()
    assert not nora.mails
    await nora.later(10 * HOUR)
    assert sorted(mail["To"] for mail in nora.mails) == ["b@x.example", "elsa@home.example"]
    await nora.later(DAY)
    assert len(nora.mails) == 3


async def test_what_a_killed_resuming_left_is_found(nora: Stage) -> None:
    """Resumed, and the process died before it woke anything: it goes out a few hours later all the same."""
    await nora.hears(nora.order())
    await pauses(nora)
    await nora.later(HOUR)
    assert await nora.database.run(lambda: stopping.resume(1))
    await nora.later(PAUSED_LOOK - MINUTE)
    assert not nora.mails
    await nora.later(MINUTE)
    assert len(nora.mails) == 1


async def test_a_pause_is_one_merchants_alone(nora: Stage) -> None:
    """Another merchant's mail goes on, in the same claim."""
    await nora.does(
        "INSERT INTO merchants (id, name, currency, timezone, created_at, messages_paused_at)"
        " VALUES (2, 'Ben''s Beans', 'EUR', 'Europe/Paris', 0, 1)"
    )
    await nora.hears(nora.order())
    await nora.later(HOUR)
    assert len(nora.mails) == 1


async def test_a_shop_that_left_while_paused_keeps_nothing_waiting(nora: Stage) -> None:
    """Nobody will ever resume there."""
    await nora.hears(nora.order())
    await pauses(nora)
    await nora.does("UPDATE merchants SET closed_at = ?1", nora.clock.now())
    await nora.later(HOUR)
    assert (await nora.states())[NOTE] == "cancelled"


class Slow:
    """A mail server that takes a letter only when told to."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.taken: list[str] = []
        self.asked = asyncio.Semaphore(0)
        self.go = asyncio.Semaphore(0)

    async def send(self, letter: Letter) -> Receipt:
        """Take a letter when told to."""
        self.begun.append(letter.recipient)
        self.asked.release()
        await self.go.acquire()
        self.taken.append(letter.recipient)
        return Receipt("250 taken")

    async def greet(self) -> None:
        """Nothing to greet."""

    async def close(self) -> None:
        """Nothing to close."""


async def test_a_pause_in_the_middle_of_a_batch_lets_only_letters_under_way_out(database: Any) -> None:
    """Twenty are claimed and eight on their way when Nora pauses: eight go, twelve wait, none is lost."""
    slow = Slow()
    nora = await Stage(database, channel=slow).open()
    await notes(nora, 20)
    nora.clock.instant += HOUR
    batch = asyncio.create_task(nora.sends())
    async with asyncio.timeout(SOON_S):
        for _ in range(sending.SENDING_AT_ONCE):
            await slow.asked.acquire()
    await pauses(nora)
    for _ in range(20):
        slow.go.release()
    await batch
    await nora.sends()
    assert len(slow.taken) == sending.SENDING_AT_ONCE
    states = list((await nora.states("thank_you")).values())
    assert (states.count("sent"), states.count("waiting")) == (8, 12)
    assert await nora.rows("SELECT DISTINCT reason FROM messages WHERE state = 'waiting'") == [(PAUSED,)]
    await resumes(nora)
    await nora.sends()
    assert len(set(slow.taken)) == len(slow.taken) == 20


@pytest.fixture
async def busy(database: Any, mailbox: Mailbox) -> AsyncIterator[Stage]:
    """Nora's shop with a real mail server and two senders that run."""
    channel = SmtpChannel(mailbox.url)
    nora = await Stage(database, channel=channel).open()
    cast(Any, nora.context.queue).wait = Queue().wait
    stop = asyncio.Event()
    senders = [asyncio.create_task(send_for_ever(nora.context, stop)) for _ in range(2)]
    try:
        yield nora
    finally:
        stop.set()
        await asyncio.gather(*senders)
        await channel.close()


async def test_running_senders_honour_a_pause_at_once_and_go_on_after_it(busy: Stage, mailbox: Mailbox) -> None:
    """Paused before anything falls due nothing goes; paused, resumed and paused again nothing goes twice."""
    await notes(busy, 30)
    await pauses(busy)
    busy.clock.instant += HOUR
    await parked(busy, 30)
    assert not mailbox.letters
    for _ in range(3):
        await resumes(busy)
        await pauses(busy)
    await parked(busy, 30)
    await resumes(busy)
    await mailbox.holds(30, SOON_S)
    await parked(busy, 30)
    assert len(mailbox.letters) == 30
    assert len({str(letter["To"]) for letter in mailbox.letters}) == 30


async def parked(nora: Stage, count: int) -> None:
    """Wait until so many messages are either sent, or wait for the end of the pause."""
    async with asyncio.timeout(SOON_S):
        while True:
            rows = await nora.rows(
                "SELECT count(*) FROM messages WHERE state = 'sent' OR (state = 'waiting' AND reason = ?1)", PAUSED
            )
            if rows[0][0] == count:
                return
            await asyncio.sleep(0.02)
