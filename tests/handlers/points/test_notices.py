"""People are told before their points lapse, once each time, and not where there is nothing to tell any more."""

from typing import Any

import pytest

from handlers.points.jobs import enrol_holders, expire_due
from integration.clock import DAY, HOUR
from integration.facts import Buyer, CustomerSeen, CustomersMerged
from tests.handlers.messages.stage import Stage
from tests.handlers.points.test_expiry import YEAR, clock_strikes

REMIND = {"enabled": True, "remind": True}


@pytest.fixture
async def nora(database: Any) -> Stage:
    """Nora's shop, where points lapse after a year without a purchase, and people are told 45 and 7 days before."""
    stage = await Stage(database).open()
    await stage.set({"expiry": REMIND, "thanks": {"enabled": False}, "reviews": {"enabled": False}}, at=0)
    await stage.hears(stage.order(country="FR"))
    await clock_strikes(stage)
    return stage


async def days_pass(nora: Stage, days: int) -> list[str]:
    """Day after day the clock strikes and mail goes out; returns the subjects of what came."""
    before = len(nora.mails)
    for _ in range(days):
        nora.clock.instant += DAY
        await expire_due(nora.context)
        await nora.sends()
    return [str(mail["subject"]) for mail in nora.mails[before:]]


async def test_two_notices_go_out_on_their_days_and_then_the_points_lapse(nora: Stage) -> None:
    """In her language, with the day, how many, and what keeps them."""
    assert await days_pass(nora, 319) == []
    assert await days_pass(nora, 1) == ["60 de vos points chez Nora's Tea expirent à partir du 23 novembre 2027"]
    text = nora.mails[-1].get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert "Tout achat avant ce jour prolonge" in text
    assert nora.mails[-1]["List-Unsubscribe"]
    assert await days_pass(nora, 37) == []
    assert len(await days_pass(nora, 1)) == 1
    assert await days_pass(nora, 10) == []
    assert sorted(await nora.states("points_expiring")) == [
        "points_expiring:customer:1:2027-11:45",
        "points_expiring:customer:1:2027-11:7",
    ]
    assert await nora.rows("SELECT expired FROM expiries") == [(60_000_000,)]


async def test_nobody_is_told_unless_the_merchant_has_switched_that_on(nora: Stage) -> None:
    """The points lapse all the same."""
    await nora.set({"expiry": {"remind": False}})
    assert await days_pass(nora, 370) == []
    assert await nora.messages("points_expiring") == {}


async def test_a_notice_that_waits_is_called_off_by_a_purchase(nora: Stage) -> None:
    """It waited for the send window; when it may go out there is nothing to tell."""
    await nora.set({"messages": {"window": "10:00-11:00"}})
    await days_pass(nora, 320)
    assert list((await nora.states("points_expiring")).values()) == ["waiting"]
    await nora.hears(nora.order("1002"))
    await nora.later(21 * HOUR + HOUR // 2)
    ((state, reason),) = (await nora.messages("points_expiring")).values()
    assert (state, reason) == ("cancelled", "their points are good for longer by now, or spent")
    assert nora.mails == []


async def test_who_has_unsubscribed_is_not_written_to(nora: Stage) -> None:
    """A reminder is no statement of account: consent is asked when it would go out."""
    await nora.does(
        "INSERT INTO suppressions (merchant_id, channel, address, reason, at)"
        " VALUES (1, 'email', 'customer:1', 'unsubscribed', 0)"
    )
    assert await days_pass(nora, 370) == []
    assert {reason for _, reason in (await nora.messages("points_expiring")).values()} == {"they unsubscribed"}


async def test_switched_off_meanwhile_what_waits_is_called_off(nora: Stage) -> None:
    """The notice says why it did not go out."""
    await nora.set({"messages": {"window": "10:00-11:00"}})
    await days_pass(nora, 320)
    await nora.set({"expiry": {"remind": False}})
    await nora.later(DAY)
    ((state, reason),) = (await nora.messages("points_expiring")).values()
    assert (state, reason) == ("cancelled", "notices about points that expire are switched off")


async def test_by_age_what_lapses_within_a_month_is_told_of_in_one_notice(nora: Stage) -> None:
    """Three purchases in a week are one letter each time, not three."""
    await nora.set({"expiry": {"after": "age"}}, at=0)
    for n in range(2):
        nora.clock.instant += DAY
        await nora.hears(nora.order(f"20{n}"))
    subjects = await days_pass(nora, 370)
    assert [subject.split()[0] for subject in subjects] == ["180", "180"]


EVE = Buyer(platform_id="71", email="eve@x.example", customer_email="eve@x.example")


async def merge(nora: Stage, kept: str, gone: str) -> None:
    """Two customers turn out to be one."""
    await nora.hears(CustomersMerged(kept, gone))
    await nora.settles()


@pytest.mark.parametrize(("kept", "gone"), [("70", "71"), ("71", "70")])
async def test_who_was_told_is_not_told_again_as_another_customer(nora: Stage, kept: str, gone: str) -> None:
    """Elsa was told of November; then she turns out to be Eve, whichever number she goes under from then on."""
    await nora.set({"expiry": {"after": "age"}}, at=0)
    assert len(await days_pass(nora, 320)) == 1
    await nora.hears(CustomerSeen("shopify", EVE, nora.clock.now()), nora.order("1002", buyer=EVE))
    await merge(nora, kept, gone)
    assert await days_pass(nora, 10) == []
    assert len(await days_pass(nora, 30)) == 1  # the second notice, a week before


async def test_two_notices_that_wait_are_one_mail_once_two_customers_are_one(nora: Stage) -> None:
    """Both had been told they would be; the send window opens after the merge."""
    await nora.set({"messages": {"window": "10:00-11:00"}, "expiry": {"after": "age"}}, at=0)
    await nora.hears(nora.order("1002", buyer=EVE))
    await clock_strikes(nora)
    await days_pass(nora, 320)
    assert list((await nora.states("points_expiring")).values()) == ["waiting", "waiting"]
    await merge(nora, "71", "70")
    await nora.later(21 * HOUR + HOUR // 2)
    states = await nora.messages("points_expiring")
    assert sorted(state for state, _ in states.values()) == ["cancelled", "sent"]
    assert [reason for state, reason in states.values() if state == "cancelled"] == [
        "they are told of this already, under a number they had before"
    ]
    assert len(nora.mails) == 1


async def test_a_notice_is_worked_out_late_where_the_program_stood_still(nora: Stage) -> None:
    """Both days went by unseen: one letter, the nearer; after the day none at all."""
    nora.clock.instant += YEAR - 3 * DAY
    await enrol_holders(nora.context)
    await expire_due(nora.context)
    await nora.later(HOUR)
    assert list(await nora.states("points_expiring")) == ["points_expiring:customer:1:2027-11:7"]
    assert len(nora.mails) == 1
