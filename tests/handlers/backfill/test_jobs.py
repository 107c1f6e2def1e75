"""A backfill from the first question to the last posting: the same end as by webhooks, and nothing twice."""

from pathlib import Path
from typing import Any

import pytest

from handlers.backfill import jobs
from handlers.merchants.rules import Refused
from handlers.points.audit import audit_books
from handlers.sales.history import withdraw
from integration.clock import DAY
from integration.errors import Rejected, Unavailable
from tests.handlers.backfill.past import LIVED, Past


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "BATCH", 5)


async def test_history_earns_as_if_every_order_had_come_by_webhook(past: Past) -> None:
    """Under the programme the run was carried out under; holds that are over are over. Nobody is mailed."""
    await past.joins()
    done = await past.commits()
    assert (done.run.state, done.run.totals.orders, done.run.totals.skipped) == ("done", 24, {})
    assert done.run.totals.by_sums == 0
    await past.agrees()
    await past.agrees(later=100 * DAY)
    assert await past.messages() == []
    assert not list(past.folder.glob("*.lines*"))


async def test_what_was_sold_under_a_programme_earns_under_that(past: Past) -> None:
    """Webhooks that were missed since the shop joined bring what they would have brought."""
    await past.joins(ago=LIVED + DAY, points_per_unit="3")
    await past.sets(past.tea.hands.at - DAY, points_per_unit="50")
    await past.commits()
    await past.agrees(since=past.tea.hands.at - LIVED - 2 * DAY, points_per_unit="3")
    assert await past.messages() == []


async def test_a_foreign_currency_counts_by_the_merchants_rate(database_url: str, data_dir: Path) -> None:
    """Shop money in euros, a programme in dollars: by the rate, and without one nothing, as by webhook."""
    async with Past.opened(database_url, data_dir, currency="EUR") as past:
        past.lives()
        await past.joins(rates={})
        foreseen = await past.foresees()
        assert foreseen.totals.micropoints == 0
        assert foreseen.totals.earning_nothing["no rate from EUR to USD"] > 10
        await past.commits()
        await past.agrees(rates={})


async def test_the_same_run_twice_posts_nothing_twice(past: Past) -> None:
    """A second run covers the same sales and finds them as they should be."""
    await past.joins()
    await past.commits()
    entries = await past.rows("SELECT number, key, micropoints FROM ledger_entries ORDER BY number")
    again = await past.commits()
    assert (again.run.number, again.run.totals.sales, again.run.totals.micropoints) == (2, 0, 0)
    assert await past.rows("SELECT number, key, micropoints FROM ledger_entries ORDER BY number") == entries
    await past.agrees()


async def test_webhooks_before_during_and_after_change_nothing_of_the_end(
    past: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A third of what happened is told before, a third while the run is half done, all of it afterwards."""
    await past.joins()
    third = len(past.sent) // 3
    await past.hears(past.sent[:third])
    await _breaks_off(past, monkeypatch, after=2)
    await past.hears(past.sent[third : 2 * third])
    await past.commits()
    await past.hears(past.sent)
    await past.agrees()


async def test_a_run_that_broke_off_goes_on_where_it_was(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither asked for again nor counted again."""
    await past.joins()
    await _breaks_off(past, monkeypatch, after=3)
    assert (await past.rows("SELECT count(*) FROM sales"))[0][0] == 15
    with pytest.raises(Refused, match="unfinished"):
        await past.commits(since=1)
    done = await past.commits()
    assert (done.run.number, done.run.totals.orders, len(past.exports.exports)) == (1, 24, 1)
    await past.agrees()


async def test_two_processes_do_not_carry_out_one_run(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second finds the cursor moved, and leaves it alone."""
    await past.joins()
    taken = jobs.take

    def moved(run: Any, *rest: Any) -> Any:
        return taken(run._replace(orders_after="7"), *rest)

    monkeypatch.setattr(jobs, "take", moved)
    with pytest.raises(Refused, match="another process"):
        await past.commits()
    assert await past.rows("SELECT count(*) FROM sales") == [(0,)]


async def test_an_undone_run_leaves_what_webhooks_told(past: Past) -> None:
    """Points of what only the run told go back, as entries; repeated, the run awards them after all."""
    await past.joins()
    await past.hears(past.sent[: len(past.sent) // 2])
    assert await past.points() == {}
    await past.commits()
    awarded = await past.points()
    undone = await past.undoes()
    assert await past.points() == {}
    assert undone.totals.taken_back == (awarded["available"] + awarded["pending"]) * 1_000_000
    assert await past.messages() == []
    with pytest.raises(Refused, match="undone already"):
        await past.undoes()
    with pytest.raises(Refused, match="no backfill 9"):
        await past.undoes(9)
    await past.commits()
    assert await past.points() == awarded
    await past.agrees()


async def test_an_unfinished_run_can_be_taken_back(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it is not gone on with: the next one begins anew."""
    await past.joins()
    await _breaks_off(past, monkeypatch, after=2)
    assert [path.stat().st_mode & 0o077 for path in past.folder.glob("*.lines")] == [0]
    await past.undoes()
    assert await past.points() == {}
    assert not list(past.folder.glob("*.lines*"))
    assert (await past.commits()).run.number == 2
    await past.agrees()


async def test_a_dry_run_foresees_what_the_run_brings_and_keeps_nothing(past: Past) -> None:
    """Orders, buyers and points to the last micropoint, and how long it would take."""
    await past.joins()
    foreseen = await past.foresees()
    for table in ("sales", "customers", "ledger_entries", "backfills", "messages"):
        assert await past.rows(f"SELECT count(*) FROM {table}") == [(0,)], table
    assert foreseen.seconds is not None
    assert foreseen.seconds > 0
    assert not foreseen.is_off
    assert "60 days" in foreseen.notes[0]
    assert foreseen.totals.earning_nothing["unpaid"] == 2
    done = (await past.commits()).run.totals
    seen = foreseen.totals
    assert (seen.orders, seen.sales, seen.customers) == (done.orders, done.sales, done.customers)
    unsure = seen.by_sums
    assert unsure > 0
    assert done.by_sums == 0
    assert seen.micropoints == done.micropoints
    assert (await past.foresees()).totals.micropoints == 0


async def test_a_shop_that_does_not_award_yet_sees_what_it_would(past: Past) -> None:
    """Looking comes before switching on; nothing is carried out before that."""
    await past.joins(enabled=False)
    foreseen = await past.foresees()
    assert foreseen.is_off
    assert foreseen.totals.micropoints > 0
    with pytest.raises(Refused, match=r"earning\.enabled=true"):
        await past.commits()


async def test_exports_that_fail_are_begun_again(past: Past) -> None:
    """A part of the orders is not taken for all of them; a broken download goes on; an expired one is written anew."""
    await past.joins()
    past.exports.end_next = ["FAILED", "PARTIAL", "COMPLETED"]
    past.exports.break_after = [3_000, 20_000]
    assert (await past.commits()).run.totals.orders == 24
    assert len(past.exports.exports) == 3
    await past.agrees()


async def test_an_export_that_never_succeeds_says_why(past: Past) -> None:
    """The run stays unfinished, and the same command begins another export."""
    await past.joins()
    past.exports.end_next = ["FAILED", "FAILED", "EXPIRED"]
    with pytest.raises(Rejected, match="expired"):
        await past.commits()
    past.exports.end_next = ["CANCELED"]
    with pytest.raises(Rejected, match="cancelled in the shop"):
        await past.commits()
    assert (await past.commits()).run.number == 1
    await past.agrees()


async def test_lines_that_cannot_be_read_are_left_out_and_named(past: Past) -> None:
    """Garbage, an order of another shape, and a part of an order that is not there."""
    await past.joins()
    past.exports.extra = [
        b"{broken",
        b'{"id":"gid://shopify/Order/4711","currencyCode":"USD"}',
        b'{"id":"gid://shopify/LineItem/5","__parentId":"gid://shopify/Order/4712"}',
    ]
    totals = (await past.commits()).run.totals
    assert (totals.orders, sum(totals.skipped.values())) == (24, 3)
    assert any("order 4712" in example for example in totals.examples)
    await past.agrees()


async def test_a_shop_nobody_can_ask_is_refused_and_takes_a_file(past: Past, tmp_path: Path) -> None:
    """Without a token there is a bulk result to be had elsewhere; refunds then count by their sums."""
    await past.joins(token=False)
    with pytest.raises(Refused, match="--file"):
        await past.foresees()
    result = await _exported(past)
    (tmp_path / "orders.jsonl").write_bytes(result)
    done = await past.commits(file=tmp_path / "orders.jsonl")
    assert done.run.totals.orders == 24
    assert done.run.totals.by_sums > 0
    await past.agrees()


async def test_another_shops_file_is_not_taken_in(past: Past, tmp_path: Path) -> None:
    """The orders name their shop themselves."""
    await past.joins()
    result = (await _exported(past)).replace(past.shop.domain.encode(), b"other-shop.myshopify.com")
    (tmp_path / "orders.jsonl").write_bytes(result)
    done = await past.commits(file=tmp_path / "orders.jsonl")
    assert (done.run.totals.orders, done.run.totals.skipped) == (0, {"it is another shop's": 24})


async def test_only_what_was_sold_since_a_day_comes(past: Past) -> None:
    """By the export's own search, or by the orders' dates in a file."""
    await past.joins()
    late = past.tea.hands.at - LIVED // 2
    assert 0 < (await past.commits(since=late)).run.totals.orders < 24


async def test_stripes_charges_and_disputes_come_too(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    """Newest first, refunded and disputed ones by what is left of them; broken off, it goes on."""
    account, hands = past.account, past.tea.hands
    past.sent.clear()
    past.shop.orders.clear()
    hands.at -= LIVED
    for number in range(30):
        payment, told = account.pay(1_000 + number, email=f"buyer{number % 4}@example.com")
        past.sent += told
        hands.pass_seconds(86_400)
        if number % 5 == 1:
            past.sent += account.refund(payment, 300)[1]
        if number % 10 == 2:
            dispute, told = account.open_dispute(payment)
            past.sent += told
            past.sent += account.move_dispute(dispute, "lost")
        hands.pass_seconds(86_400)
    await past.joins(stripe_key=True)
    foreseen = await past.foresees()
    assert (foreseen.totals.charges, foreseen.totals.disputes) == (30, 3)
    await _breaks_off(past, monkeypatch, after=2)
    done = await past.commits()
    assert (done.run.totals.charges, done.run.totals.disputes) == (30, 3)
    await past.agrees()
    assert await past.messages() == []


async def test_an_order_and_its_like_payment_are_one_award(past: Past) -> None:
    """The payment came by webhook, the order by backfill: the award moves to it, and back when the run is undone."""
    hands, shop = past.tea.hands, past.shop
    await past.joins(stripe_key=True, ago=DAY)
    order, told = shop.place(None, [(past.tea.cup, 2)], email="gil@example.com")
    past.sent += told
    hands.pass_seconds(60)
    past.sent += shop.pay(order)
    _, told = past.account.pay(order.total_minor, email="gil@example.com")
    past.sent += told
    await past.hears(told)
    by_itself = await past.points()
    assert by_itself
    hands.pass_seconds(40 * 86_400)
    await past.commits()
    await past.agrees()
    assert await past.rows("SELECT count(*) FROM sales WHERE standing = 'elsewhere'") == [(1,)]
    await past.undoes()
    past.sent = told
    await past.agrees(since=past.tea.hands.at - 50 * DAY)


async def test_the_books_agree_while_a_run_is_being_taken_back(past: Past) -> None:
    """Killed between taking back and settling: the audit finds no drift, and the worker settles the rest."""
    await past.joins()
    await past.commits()
    now = past.tea.hands.at
    await past.context.database.run(lambda: withdraw(past.merchant, 1, 7, now))
    findings = await past.context.database.read(lambda: audit_books(past.merchant, now, past.context.auditors))
    assert (findings.drifts, findings.behind > 0) == ([], True)
    await past.undoes()
    assert await past.points() == {}


async def _breaks_off(past: Past, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Carry a run out until so many batches are in, then lose the database."""
    taken, left = jobs.take, [after]

    def until_then(*arguments: Any) -> Any:
        if not left[0]:
            raise Unavailable("the database went away")
        left[0] -= 1
        return taken(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(jobs, "take", until_then)
        with pytest.raises(Unavailable):
            await past.commits()


async def _exported(past: Past) -> bytes:
    """The result of a bulk operation that somebody else had written."""
    export = past.exports.fields("http://x")["bulkOperationRunQuery"]
    from integration.shopify.admin import document

    operation = export(query=document("bulk_orders"))["bulkOperation"]["id"]
    made = past.exports.exports[operation]
    made.looks_left = 0
    past.exports.fields("http://x")["bulkOperation"](id=operation)
    assert made.result is not None
    return made.result
