"""The sender resends like the platforms and keeps what each attempt came to."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from integration.sandbox.delivery import Delivery
from integration.sandbox.sender import SHOPIFY_ATTEMPTS, Sender
from tests.integration.sandbox.conftest import Tea

NO_ANSWER = 0


class Receiver:
    """A bare HTTP server that answers with programmed statuses, then 200; 0 closes without an answer."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.seen: list[bytes] = []
        self.connections = 0

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
                length = int({name.lower(): value for name, value in fields.items()}[b"content-length"])
                self.seen.append(await reader.readexactly(length))
                status = self.statuses.pop(0) if self.statuses else 200
                if status == NO_ANSWER:
                    break
                writer.write(b"HTTP/1.1 %d Said\r\nContent-Length: 2\r\n\r\nok" % status)
                await writer.drain()
        except asyncio.IncompleteReadError:
            pass  # The sender closed its kept connection.
        finally:
            writer.close()


@asynccontextmanager
async def listening(receiver: Receiver) -> AsyncIterator[str]:
    server = await asyncio.start_server(receiver.converse, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        server.close()


def orders(tea: Tea, count: int) -> list[Delivery]:
    return [tea.shop.place(tea.ana, [(tea.cup, 1)])[1][0] for _ in range(count)]


async def test_it_resends_the_same_bytes_until_answered_with_2xx(tea: Tea) -> None:
    """A failure, silence, then success: three attempts of one delivery, the last of them ok."""
    receiver = Receiver(503, NO_ANSWER)
    (delivery,) = orders(tea, 1)
    async with listening(receiver) as url, Sender(url, pace=0.0) as sender:
        last = await sender.send(delivery)
        assert [each.outcome for each in sender.history] == ["fail", "unknown", "ok"]
        assert [each.status for each in sender.history] == [503, None, 200]
    assert (last.number, set(receiver.seen)) == (3, {delivery.body})
    assert sender.outcomes() == {delivery.id: "ok"}
    assert not sender.unanswered()


async def test_it_gives_up_when_the_platform_would(tea: Tea) -> None:
    """Shopify tries nine times in all, and no redirect counts as success."""
    receiver = Receiver(*[301] * 20)
    (delivery,) = orders(tea, 1)
    async with listening(receiver) as url, Sender(url, pace=0.0) as sender:
        assert (await sender.send(delivery)).outcome == "fail"
    assert len(receiver.seen) == SHOPIFY_ATTEMPTS
    assert sender.unanswered() == [delivery.id]


async def test_nobody_there_is_unknown(tea: Tea) -> None:
    """A refused connection is no answer: the receiver may or may not have it."""
    (delivery,) = orders(tea, 1)
    async with listening(Receiver()) as url:
        pass
    async with Sender(url, pace=0.0) as sender:
        attempt = await sender.attempt(delivery)
    assert (attempt.outcome, attempt.status) == ("unknown", None)
    assert "Connect" in attempt.answer


async def test_duplicates_and_shuffling_lose_nothing_and_follow_the_seed(tea: Tea) -> None:
    """Every delivery still comes, some twice, in an order that the seed alone decides."""
    told = orders(tea, 60)
    one, two, three = (
        Sender("http://unused", seed=seed).arrange(told, duplicates=0.2, shuffled=0.5) for seed in (1, 1, 2)
    )
    assert one == two != three
    assert {each.id for each in one} == {each.id for each in told}
    counts = Counter(each.id for each in one)
    assert 1 in counts.values() and 2 in counts.values()
    assert [each.id for each in one] != [each.id for each in told]


async def test_connections_are_kept(tea: Tea) -> None:
    """Sixty deliveries, four at once, need four connections at most."""
    receiver = Receiver()
    async with listening(receiver) as url, Sender(url, connections=4) as sender:
        results = await sender.deliver(orders(tea, 60), at_once=4)
    assert [each.outcome for each in results] == ["ok"] * 60
    assert receiver.connections <= 4
