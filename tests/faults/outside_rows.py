"""Faults from outside: deliveries over and over or out of order, broken connections, mail servers that refuse."""

import asyncio
import socket
import struct

from integration.sandbox.mailbox import DROP, KEEP_AND_DROP
from tests.faults.runs import Run
from tests.faults.wire import written

COPIES = (2, 64)
MOST_REFUSALS = 40


async def duplicated(run: Run) -> None:
    """Row 13: some deliveries in two to sixty-four copies at once, and once more when all is over."""
    await run.until(0.05, 0.2)
    chosen = run.dice.sample(list(run.traffic.deliveries), 6)
    await run.send([copy for each in chosen for copy in [each] * run.dice.randint(*COPIES)])
    await run.until(1, 1)
    await run.send(chosen)
    run.over()


async def disordered(run: Run) -> None:
    """Row 14: nothing comes in the order it happened (the row shuffles the whole traffic)."""
    await run.until(1, 1)


async def mail_fails(run: Run) -> None:
    """Row 20: the mail server is away, puts off, refuses for good, or hangs up before or after it took a mail."""
    mailbox, dice = run.world.mailbox, run.dice
    await run.until(0.0, 0.1)
    what = dice.choice(("away", "421", "450", "451", "550", "drop", "keep and drop"))
    count = dice.randint(5, MOST_REFUSALS)
    if what == "away":
        await mailbox.close()
        await run.for_a_while(1, 4)
        await mailbox.open()
    elif what in ("421", "450", "550"):
        mailbox.answer_recipients(*[f"{what} {what[0]}.2.0 Not now"] * count)
    else:
        answers = {"451": "451 4.3.0 Later", "drop": DROP, "keep and drop": KEEP_AND_DROP}
        mailbox.answer_messages(*[answers[what]] * count)
    run.over()


async def broken_connections(run: Run) -> None:
    """Row 30: senders that stay silent half-way, that reset after the body, and that come again."""
    await run.until(0.05, 0.2)
    chosen = run.dice.sample(list(run.traffic.deliveries), 12)
    silent = []
    for number, delivery in enumerate(chosen):
        port = run.dice.choice(run.world.ports)
        request = written(delivery, run.world.stage.clock.now())
        half = number % 3 == 0
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            continue
        writer.write(request[: len(request) // 2] if half else request)
        await writer.drain()
        if half:
            silent.append(writer)
            continue
        if number % 3 == 1:
            await asyncio.sleep(run.dice.uniform(0, 0.01))
        raw = writer.get_extra_info("socket")
        # Closing with no time to linger resets the connection.
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        del reader
    await run.send(chosen)
    for writer in silent:
        writer.close()
    run.over()
