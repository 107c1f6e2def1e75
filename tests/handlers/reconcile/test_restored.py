"""A backup taken under load, put back an hour later and reconciled: the books end right, and nobody is mailed twice."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from config.migrate import declared
from handlers.inbox.work import drain
from handlers.messages.restored import note_restore
from handlers.messages.sending import send_due
from handlers.points.audit import audit_books
from integration.channels.console import ConsoleChannel
from integration.database.backup import back_up
from integration.database.restore import restore
from tests.handlers.reconcile.market import Days, Market, Stall


async def mails(market: Market) -> list[str]:
    """Send what is due; return the addresses of all mails that ever went out."""
    while await send_due(market.context):
        pass
    channel = market.context.channels["email"]
    assert isinstance(channel, ConsoleChannel)
    return [str(message["to"]) for message in channel.mailbox]


async def put_back(market: Market, url: str, file: Path, **how: Any) -> None:
    """Restore as the command does, while the program is open."""
    now = market.clock.now()
    await restore(url, file, declared(), replace=True, progress=lambda *_: None, then=lambda: note_restore(now), **how)


async def test_an_hour_lost_to_a_restore_is_asked_for_again(market: Market, database_url: str, tmp_path: Path) -> None:
    """Half a day of sales, a backup while they come in, an hour more; the backup put back; one look at each shop."""
    stalls = [await market.open_stall(), await market.open_stall(stripe=True)]
    days = [Days(stall, seed=number) for number, stall in enumerate(stalls)]
    for _ in range(20):
        for stall, day in zip(stalls, days, strict=True):
            await stall.tells(day.step())
    await market.reconcile()
    file = tmp_path / "an.hour.ago"
    copying = asyncio.create_task(back_up(database_url, file, declared(), lambda *_: None))
    for _ in range(5):
        for stall, day in zip(stalls, days, strict=True):
            await stall.tells(day.step())
    await copying
    for _ in range(12):
        for stall, day in zip(stalls, days, strict=True):
            await stall.tells(day.step())
    for stall in stalls:
        await stall.ends_as_if_nothing_was_lost()
    before = await market.rows("SELECT count(*) FROM ledger_entries")
    await put_back(market, database_url, file)
    assert (await market.rows("SELECT count(*) FROM ledger_entries"))[0] < before[0]
    # Whoever was working on events when the backup was made holds them no longer than a lease.
    async with market.context.database.begin() as connection:
        await connection.execute(
            text("UPDATE events SET claimed_until = 1, next_attempt_at = 1 WHERE worked_at IS NULL")
        )
    reports = await market.reconcile()
    assert [report.mark.quiet_since for report in reports if report.mark] == [None, None, None]
    for stall in stalls:
        await stall.ends_as_if_nothing_was_lost()
        merchant, now = stall.merchant, market.clock.now()
        findings = await market.context.database.read(lambda m=merchant, at=now: audit_books(m, at))  # type: ignore[misc]
        assert not findings.drifts


async def test_nobody_is_thanked_twice_after_a_restore(
    market: Market, stall: Stall, database_url: str, tmp_path: Path
) -> None:
    """Notes that went out in the lost time are not repeated, whether the backup knew of their sales or not."""
    known = stall.sells(stall.people[0])[1]
    await stall.tells(known)
    file = tmp_path / "backup"
    await back_up(database_url, file, declared(), lambda *_: None)
    lost = stall.sells(stall.people[1])[1]
    await stall.tells(lost)
    market.passes(minutes=90)
    assert len(await mails(market)) == 2
    late = stall.sells(stall.people[2])[1]
    await stall.tells(late)
    await put_back(market, database_url, file)
    await market.reconcile()
    assert len(await mails(market)) == 2
    market.passes(minutes=90)
    # What was not due before the restore goes out as always, though its sale had been lost too.
    sent = await mails(market)
    assert len(sent) == 3
    assert sent[2] == stall.people[2].email
    kept = await market.rows("SELECT state, reason FROM messages WHERE kind = 'thank_you' ORDER BY state, sale")
    assert [state for state, _ in kept] == ["cancelled", "cancelled", "sent"]
    assert {reason for state, reason in kept if state == "cancelled"} == {
        "it may have gone out before the backup was put back"
    }
    await stall.ends_as_if_nothing_was_lost()
    for delivery in (*known, *lost):
        await market.post(delivery)
    await drain(market.context)
    assert len(await mails(market)) == 3


async def test_what_waited_for_a_later_hour_still_goes_out(
    market: Market, stall: Stall, database_url: str, tmp_path: Path
) -> None:
    """A note that could not have been sent before the restore is no second one."""
    await stall.tells(stall.sells()[1])
    file = tmp_path / "backup"
    await back_up(database_url, file, declared(), lambda *_: None)
    market.passes(minutes=30)
    await put_back(market, database_url, file)
    assert await mails(market) == []
    market.passes(minutes=90)
    assert len(await mails(market)) == 1


async def test_a_restore_that_fails_closes_no_message(
    market: Market, stall: Stall, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it is one transaction."""
    await stall.tells(stall.sells()[1])
    file = tmp_path / "backup"
    await back_up(database_url, file, declared(), lambda *_: None)
    market.passes(minutes=90)

    def broken() -> Any:
        yield from note_restore(market.clock.now())
        raise RuntimeError("the plug was pulled")

    with pytest.raises(RuntimeError):
        await restore(database_url, file, declared(), replace=True, progress=lambda *_: None, then=broken)
    assert await market.rows("SELECT * FROM restores") == []
    assert len(await mails(market)) == 1
