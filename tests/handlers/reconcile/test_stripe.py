"""Stripe's side: events as far back as they are listed, and the objects themselves before that."""

import random

import pytest

from handlers.inbox.work import drain
from handlers.reconcile.ledger import Sum
from integration.clock import DAY, HOUR
from integration.stripe import listing
from tests.handlers.reconcile.market import Days, Market, Stall


@pytest.fixture
async def stall(market: Market) -> Stall:
    """A merchant whose Stripe account can be asked."""
    stall = await market.open_stall(stripe=True)
    assert stall.account is not None
    return stall


async def test_events_that_never_came_are_taken_in_under_their_own_ids(market: Market, stall: Stall) -> None:
    """A payment, its refund and a dispute; each once, also when its webhook comes after all."""
    assert stall.account is not None
    kept, told = stall.account.checkout(40_00, email="dan@market.example")
    await stall.tells(told)
    market.passes(hours=3)
    missed = stall.account.refund(kept, 10_00)[1]
    other, more = stall.account.checkout(15_00, email="eve@market.example")
    missed += more + stall.account.open_dispute(other)[1]
    await stall.loses(missed)
    report = (await market.reconcile())[1]
    assert (report.state, await market.sum(report)) == ("ok", Sum(2, 5_000_000))
    await stall.ends_as_if_nothing_was_lost()
    ids = {row[0] for row in await market.rows("SELECT delivery_id FROM events WHERE recovered = 1")}
    assert ids <= {delivery.id for delivery in missed}
    for delivery in missed:
        await market.post(delivery)
    await drain(market.context)
    await stall.ends_as_if_nothing_was_lost()
    assert await market.rows("SELECT delivery_id FROM events GROUP BY delivery_id HAVING count(*) > 1") == []


async def test_every_event_of_an_account_is_found(
    market: Market, stall: Stall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All webhooks of ten days lost: slice after slice, page after page, the books end right."""
    monkeypatch.setattr(listing, "A_PAGE", 5)
    monkeypatch.setattr(listing, "PAUSE_SECONDS", 0)
    days, dice = Days(stall, seed=3), random.Random(3)
    for _ in range(60):
        market.passes(hours=dice.randrange(8))
        await stall.loses(days.step())
    await market.reconcile()
    await stall.ends_as_if_nothing_was_lost()
    again = (await market.reconcile())[1]
    assert again.run is not None
    assert (again.run.recovered, again.run.compared < 30) == (0, True)


async def test_what_is_older_than_the_events_is_found_as_objects(
    market: Market, stall: Stall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six weeks without a webhook: charges, refunds and disputes of the time no event tells of any more."""
    monkeypatch.setattr(listing, "PAUSE_SECONDS", 0)
    assert stall.account is not None
    before, told = stall.account.pay(40_00, email="dan@market.example")
    await stall.tells(told)
    market.passes(days=1)
    missed = stall.account.refund(before, 10_00)[1]
    disputed, more = stall.account.pay(30_00, email="eve@market.example")
    missed += more + stall.account.open_dispute(disputed)[1]
    market.passes(days=40)
    missed += stall.account.pay(20_00, email="dan@market.example")[1]
    await stall.loses(missed)
    report = (await market.reconcile())[1]
    assert await market.sum(report) == Sum(3, 40_000_000)
    topics = {row[0] for row in await market.rows("SELECT topic FROM events WHERE recovered = 1")}
    assert topics >= {"charge.recovered", "refund.recovered", "dispute.recovered", "charge.succeeded"}
    await stall.ends_as_if_nothing_was_lost()
    long_ago = market.clock.now() - 60 * DAY
    again = (await market.reconcile(since=long_ago))[1]
    assert again.run is not None and again.run.recovered == 0


async def test_a_look_goes_on_a_little_before_where_the_last_one_came_to(market: Market, stall: Stall) -> None:
    """Two hours before the newest event seen, by Stripe's clock."""
    assert stall.account is not None
    for _ in range(5):
        market.passes(hours=1)
        await stall.tells(stall.account.pay(10_00, email="dan@market.example")[1])
    newest = market.clock.now()
    await market.reconcile()
    market.passes(hours=9)
    report = (await market.reconcile())[1]
    assert report.run is not None
    assert report.run.since == newest - newest % 1_000_000 - 2 * HOUR
    assert report.run.compared == 6  # two events a payment, three payments


async def test_a_key_that_may_not_read_events_is_said_and_stays_in_use(market: Market, stall: Stall) -> None:
    """It may be good for looking at charges: access was not taken away."""
    assert market.stripe_api is not None
    market.stripe_api.fail_next = [403]
    report = (await market.reconcile())[1]
    assert report.state == "refused"
    assert report.reason is not None and "permission" in report.reason
    assert await market.rows("SELECT revoked_at FROM connections WHERE platform = 'stripe'") == [(None,)]
