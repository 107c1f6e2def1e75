"""Notices that points went down: only for a fall that lasts, of points that could be spent, told once."""

import msgspec

from handlers.messages.falls import points_fell
from integration.clock import DAY, HOUR, MINUTE, SECOND
from integration.facts import CustomersMerged, Dispute, DisputeSeen
from tests.handlers.messages.stage import ELSA, Buyer, Charge, ChargeSeen, Stage


async def quiet(nora: Stage) -> None:
    """Notes and requests off: only notices are left."""
    await nora.set({"thanks": {"enabled": False}, "reviews": {"enabled": False}})


async def test_a_refund_is_told_ten_minutes_after_the_balance_came_to_rest(nora: Stage) -> None:
    """Two refunds five minutes apart are one notice about both, ten minutes after the second."""
    await quiet(nora)
    first, second = nora.order("1"), nora.order("2")
    await nora.hears(first, second)
    nora.clock.instant += DAY
    await nora.hears(nora.refunded(first))
    await nora.later(5 * MINUTE)
    await nora.hears(nora.refunded(second, number="10", keep=1))
    await nora.later(10 * MINUTE - SECOND)
    assert not nora.mails
    await nora.later(SECOND)
    (mail,) = nora.mails
    text = mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert "102 points" in text and "18 points" in text
    await nora.later(DAY)
    assert len(nora.mails) == 1


async def test_a_fall_that_was_made_good_is_not_told(nora: Stage) -> None:
    """Points held for a dispute that is won within minutes: the notice is cancelled."""
    await quiet(nora)
    now = nora.clock.now()
    await nora.hears(ChargeSeen(Charge("ch_1", "EUR", 6_000, 6_000, 0, True, "succeeded", now, buyer=ELSA)))
    dispute = Dispute("dp_1", 6_000, "EUR", "needs_response", now, charge_id="ch_1")
    await nora.hears(DisputeSeen(dispute))
    await nora.later(5 * MINUTE)
    await nora.hears(DisputeSeen(msgspec.structs.replace(dispute, status="won", told_at=now + SECOND)))
    await nora.later(DAY)
    assert not nora.mails
    reasons = [reason for _, reason in (await nora.messages("points_down")).values()]
    assert reasons == ["the balance is no longer lower than it was"]


async def test_points_that_were_not_available_yet_are_not_told_about(nora: Stage) -> None:
    """In the hold nothing was owed yet: taking it back is no news."""
    await quiet(nora)
    await nora.set({"earning": {"hold_days": 30}})
    nora.clock.instant += SECOND
    order = nora.order()
    await nora.hears(order)
    await nora.hears(nora.refunded(order))
    await nora.later(DAY)
    assert await nora.states("points_down") == {}


async def test_a_second_fall_is_a_second_notice(nora: Stage) -> None:
    """Told once, the next fall starts from what was told."""
    await quiet(nora)
    first, second = nora.order("1"), nora.order("2")
    await nora.hears(first, second)
    nora.clock.instant += DAY
    await nora.hears(nora.refunded(first))
    await nora.later(HOUR)
    await nora.hears(nora.refunded(second, number="10"))
    await nora.later(HOUR)
    assert sorted(await nora.states("points_down")) == ["points_down:customer:1:1", "points_down:customer:1:2"]
    texts = [mail.get_body(("plain",)).get_content() for mail in nora.mails]  # type: ignore[union-attr]
    assert ["60 points" in text for text in texts] == [True, True] and "0 points" in texts[1]


async def test_a_merge_is_no_fall(nora: Stage) -> None:
    """Points that moved to the number a person goes on with were not lost."""
    await quiet(nora)
    await nora.hears(nora.order("1"), nora.order("2", buyer=Buyer("71", "e@work.example", "e@work.example", True)))
    nora.clock.instant += HOUR
    await nora.database.run(lambda: points_fell({(1, 1): None, (1, 2): None}, nora.clock.now()))
    await nora.hears(CustomersMerged("71", "70"))
    await nora.later(DAY)
    assert not nora.mails
    assert set((await nora.states("points_down")).values()) == {"cancelled"}


async def test_a_merchant_may_keep_silent(nora: Stage) -> None:
    """With notices switched off nothing goes out, and the reason says so."""
    await quiet(nora)
    order = nora.order()
    await nora.hears(order)
    nora.clock.instant += DAY
    await nora.hears(nora.refunded(order))
    await nora.set({"earning": {"notify_reductions": False}})
    await nora.later(HOUR)
    assert not nora.mails
    reasons = [reason for _, reason in (await nora.messages("points_down")).values()]
    assert reasons == ["notices about points going down are switched off"]


async def test_the_send_window_holds_for_notices_too(nora: Stage) -> None:
    """No mail at night, not even about what is owed."""
    await quiet(nora)
    await nora.set({"messages": {"window": "10:00-12:05"}})
    order = nora.order()
    await nora.hears(order)
    nora.clock.instant += SECOND
    await nora.hears(nora.refunded(order))
    await nora.later(10 * MINUTE)
    assert not nora.mails
    await nora.later(22 * HOUR)
    assert len(nora.mails) == 1
