"""What is said while a claim is being worked counts for every letter whose conversation has not begun."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from handlers.messages import lastlook, sending
from handlers.messages.holding import HELD, hold, let_go
from handlers.messages.permission import Named, unsubscribe
from integration.clock import HOUR
from tests.handlers.messages.stage import Stage
from tests.handlers.messages.test_stopping import SOON_S, Slow, notes


@dataclass
class Middle:
    """A batch in whose middle we are: some letters are on their way, the others are claimed."""

    nora: Stage
    slow: Slow
    batch: asyncio.Task[int]
    waiting: list[tuple[int, str, str]]  # number, address and message of those not begun

    async def ends(self) -> None:
        """Let every letter through, and send what became due again."""
        for _ in range(100):
            self.slow.go.release()
        await self.batch
        await self.nora.sends()

    async def outcome(self, key: str) -> tuple[str, str | None]:
        """State and reason of one message."""
        return (await self.nora.messages())[key]


@pytest.fixture
async def middle(database: Any) -> AsyncIterator[Middle]:
    """Twenty notes are claimed and eight of them under way."""
    slow = Slow()
    nora = await Stage(database, channel=slow).open()
    await notes(nora, 20)
    nora.clock.instant += HOUR
    batch = asyncio.create_task(nora.sends())
    async with asyncio.timeout(SOON_S):
        for _ in range(sending.SENDING_AT_ONCE):
            await slow.asked.acquire()
    rows = await nora.rows(
        "SELECT c.number, c.email, m.key FROM customers c JOIN messages m ON m.customer = c.number"
        " WHERE m.kind = 'thank_you' ORDER BY c.number"
    )
    waiting = [(number, email, key) for number, email, key in rows if email not in slow.begun]
    assert (len(rows), len(waiting)) == (20, 12)
    yield Middle(nora, slow, batch, waiting)
    await asyncio.gather(batch, return_exceptions=True)


async def test_who_is_held_meanwhile_gets_nothing_until_they_are_let_go(middle: Middle) -> None:
    """Also under a number that was merged into theirs; a letter that is under way goes out."""
    nora, (held, address, key) = middle.nora, middle.waiting[0]
    (other, elsewhere, other_key), now = middle.waiting[1], nora.clock.now()
    await nora.database.run(lambda: hold(1, held, now))
    await nora.does("UPDATE customers SET held_at = 1, merged_into = ?1 WHERE number = ?2", other, middle.waiting[2][0])
    await middle.ends()
    assert address not in middle.slow.taken and elsewhere not in middle.slow.taken
    assert await middle.outcome(key) == await middle.outcome(other_key) == ("waiting", HELD)
    assert set(middle.slow.begun[:8]) <= set(middle.slow.taken)
    await nora.database.run(lambda: let_go(1, held, now))
    await nora.sends()
    assert (await middle.outcome(key))[0] == "sent" and middle.slow.taken.count(address) == 1


async def test_who_unsubscribes_or_is_refused_meanwhile_gets_nothing(middle: Middle) -> None:
    """At once means at once."""
    nora, (number, address, key), (_, gone, gone_key) = middle.nora, *middle.waiting[:2]
    now = nora.clock.now()
    assert await nora.database.run(lambda: unsubscribe(Named(1, number, key), "link", now))
    await nora.does(
        "INSERT INTO suppressions (merchant_id, channel, address, reason, detail, at)"
        " VALUES (1, 'email', ?1, 'refused', '550', 1)",
        gone,
    )
    await middle.ends()
    assert not {address, gone} & set(middle.slow.taken)
    assert await middle.outcome(key) == ("cancelled", "they unsubscribed")
    assert (await middle.outcome(gone_key))[0] == "cancelled"


async def test_who_moves_or_is_forgotten_meanwhile_is_not_written_to_at_the_old_address(middle: Middle) -> None:
    """The new one gets it; of somebody who is not known any more there is nothing to send to."""
    nora, (number, address, key), (gone, nowhere, gone_key) = middle.nora, *middle.waiting[:2]
    await nora.does("UPDATE customers SET email = 'new@home.example' WHERE number = ?1", number)
    await nora.does("DELETE FROM customers WHERE number = ?1", gone)
    await middle.ends()
    assert "new@home.example" in middle.slow.taken and not {address, nowhere} & set(middle.slow.taken)
    assert (await middle.outcome(key))[0] == "sent"
    assert await middle.outcome(gone_key) == ("cancelled", "the person is not known any more")


async def test_a_shop_that_leaves_meanwhile_sends_nothing_more(middle: Middle) -> None:
    """What is under way goes out, the others never."""
    await middle.nora.does("UPDATE merchants SET closed_at = ?1", middle.nora.clock.now())
    await middle.ends()
    assert len(middle.slow.taken) == sending.SENDING_AT_ONCE
    assert {await middle.outcome(key) for _, _, key in middle.waiting} == {("cancelled", "the shop has left")}


async def test_letters_that_go_out_side_by_side_are_looked_at_together(
    database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each once, and the first eight of them in one read; what is wrong with one letter keeps none of the others."""
    looked: list[list[str]] = []
    whole = lastlook._said

    def said(items: Any, token: str) -> Any:
        looked.append([item.message.key for item in items])
        if "thank_you:sale:5" in looked[-1]:
            raise ValueError("this one cannot be said")
        return (yield from whole(items, token))

    monkeypatch.setattr(lastlook, "_said", said)
    nora = await Stage(database).open()
    await notes(nora, 20)
    nora.clock.instant += HOUR
    await nora.sends()
    outcomes = {key: state for key, (state, _) in (await nora.messages()).items()}
    assert outcomes.pop("thank_you:sale:5") == "waiting" and set(outcomes.values()) == {"sent"}
    assert len(looked[0]) == sending.SENDING_AT_ONCE and len(outcomes) == 19
