"""When a sale is asked about: by parcels and other neutral facts, as they come, change and are taken back."""

from typing import Any

import msgspec
import pytest

from integration.clock import DAY, HOUR
from integration.facts import ChargeSeen, Fulfilment, FulfilmentSeen, OrderLine, OrderSeen
from tests.handlers.messages.stage import ELSA, MONDAY_NOON, OOLONG, Charge, Stage

REQUEST = "review_request:sale:1"
REMINDER = "review_reminder:sale:1"


def delivered(at: int, number: str = "5", **changes: Any) -> FulfilmentSeen:
    """The carrier's word that a parcel has arrived."""
    return FulfilmentSeen("1001", Fulfilment(number, at, delivered_at=at, **changes))


def changed(seen: OrderSeen, by: int = 1, **changes: object) -> OrderSeen:
    """The same order as a later delivery shows it."""
    return OrderSeen(msgspec.structs.replace(seen.order, updated_at=seen.order.updated_at + by, **changes))


async def asked(nora: Stage) -> tuple[str | None, int | None, str | None]:
    """State of the one request, days from now until it is due, and why not."""
    rows = await nora.rows("SELECT state, due_at, reason FROM messages WHERE key = ?1", REQUEST)
    if not rows:
        return None, None, None
    state, due_at, reason = rows[0]
    return state, (due_at - nora.clock.now()) // DAY, reason


async def test_nothing_is_asked_before_anything_was_sent(nora: Stage) -> None:
    """A paid order alone is nothing to review yet."""
    await nora.hears(nora.order())
    assert await asked(nora) == (None, None, None)


@pytest.mark.parametrize(("country", "days"), [("FR", 14), ("DE", 21), (None, 14)])
async def test_without_a_carriers_word_the_usual_time_counts(nora: Stage, country: str | None, days: int) -> None:
    """Fourteen days after it was sent at home, twenty-one abroad; unknown counts as home."""
    await nora.hears(nora.order(country=country), nora.parcel(country=country))
    assert await asked(nora) == ("scheduled", days, None)


async def test_delivery_counts_from_the_carriers_word(nora: Stage) -> None:
    """Ten days after it arrived, whether the word comes before or after the parcel itself is told."""
    await nora.hears(nora.order(), nora.parcel())
    nora.clock.instant += 2 * DAY
    await nora.hears(delivered(nora.clock.now()))
    assert await asked(nora) == ("scheduled", 10, None)


async def test_the_last_parcel_counts(nora: Stage) -> None:
    """Two parcels: the one that arrives later decides, and one that is cancelled does not count."""
    await nora.hears(nora.order(), nora.parcel(number="5"), nora.parcel(number="6"), nora.parcel(number="7"))
    now = nora.clock.now()
    await nora.hears(delivered(now + DAY, "5"), delivered(now + 3 * DAY, "6"))
    assert await asked(nora) == ("scheduled", 14, None)
    await nora.hears(nora.parcel(number="7", status="cancelled", updated_at=now + DAY))
    assert await asked(nora) == ("scheduled", 13, None)


async def test_sending_again_moves_the_question(nora: Stage) -> None:
    """A cancelled fulfilment and a new one five days later: the date is that of the new one."""
    await nora.hears(nora.order(), nora.parcel())
    nora.clock.instant += 5 * DAY
    await nora.hears(nora.parcel(status="cancelled"))
    assert (await asked(nora))[0] == "cancelled"
    await nora.hears(nora.parcel(number="6"))
    assert await asked(nora) == ("scheduled", 14, None)


async def test_an_order_sent_in_part_is_waited_for(nora: Stage) -> None:
    """One mail an order: not before the rest has been sent."""
    order = nora.order(fulfillment_status="partial")
    await nora.hears(order, nora.parcel())
    assert (await asked(nora))[0] is None
    await nora.hears(changed(order, fulfillment_status="fulfilled"))
    assert (await asked(nora))[0] == "scheduled"


@pytest.mark.parametrize(
    ("changes", "days"),
    [
        ({"source_name": "pos"}, 0),
        ({"lines": (OrderLine("1", 1, 1, 900, title="E-book", requires_shipping=False),)}, 3),
        ({"lines": (OrderLine("1", 1, 1, 900, title="Gift card", gift_card=True, requires_shipping=False),)}, None),
        ({"lines": (OrderLine("1", 1, 1, 900, title="Tip", gratuity=True, requires_shipping=False),)}, None),
        ({"lines": ()}, None),
        ({"financial_status": "pending"}, None),
        ({"financial_status": "authorized"}, None),
    ],
)
async def test_what_is_not_shipped_has_times_of_its_own(nora: Stage, changes: dict[str, Any], days: int | None) -> None:
    """Over the counter the same day, digital after three, and nothing where there is nothing to review."""
    await nora.hears(nora.order(**changes))
    assert await asked(nora) == (("scheduled", days, None) if days is not None else (None, None, None))


async def test_a_payment_without_an_order_is_not_asked_about(nora: Stage) -> None:
    """Stripe tells neither products nor parcels."""
    now = nora.clock.now()
    charge = Charge("ch_1", "EUR", 6_000, 6_000, 0, True, "succeeded", now, payment_id="pi_1", buyer=ELSA)
    await nora.hears(ChargeSeen(charge))
    assert await nora.states("review_request") == {}


async def test_cancelled_before_it_was_sent_is_not_asked_about(nora: Stage) -> None:
    """A parcel that is called off with its order is no reason to ask."""
    order = nora.order()
    await nora.hears(order, nora.parcel())
    nora.clock.instant += DAY
    await nora.hears(changed(order, DAY, cancelled_at=nora.clock.now()), nora.parcel(status="cancelled"))
    assert await asked(nora) == ("cancelled", 13, "it was cancelled")


async def test_given_back_before_it_arrived_is_not_asked_about(nora: Stage) -> None:
    """All the money back before delivery: there was nothing to judge."""
    order = nora.order()
    await nora.hears(order, nora.parcel())
    nora.clock.instant += DAY
    await nora.hears(nora.refunded(order))
    state, _, reason = await asked(nora)
    assert (state, reason) == ("cancelled", "everything was given back before it arrived")


async def test_returned_after_delivery_is_asked_about_like_everything_else(nora: Stage) -> None:
    """Who sends back is asked as well: never chosen by who is likely to be pleased."""
    order = nora.order()
    await nora.hears(order, nora.parcel(), delivered(nora.clock.now() + DAY))
    nora.clock.instant += 3 * DAY
    await nora.hears(nora.refunded(order))
    assert await asked(nora) == ("scheduled", 8, None)
    await nora.later(9 * DAY)
    assert (await asked(nora))[0] == "sent"


async def test_a_return_after_the_date_is_asked_about_once_the_refund_is_done(nora: Stage) -> None:
    """Told late: the question is not due before the refund was."""
    await nora.set({"messages": {"window": "10:00-10:01"}})
    order = nora.order()
    await nora.hears(order, nora.parcel(), delivered(nora.clock.now()))
    nora.clock.instant += 12 * DAY
    await nora.hears(nora.refunded(order))
    assert await asked(nora) == ("scheduled", 0, None)


async def test_a_shop_may_leave_returns_out_whatever_their_reason(nora: Stage) -> None:
    """With the option off, returned products are not asked about and kept ones are."""
    await nora.set({"reviews": {"ask_about_returns": False}})
    whole, half = nora.order("1001"), nora.order("1002")
    await nora.hears(whole, half, nora.parcel("1001"), nora.parcel("1002", "6"), delivered(nora.clock.now()))
    await nora.hears(FulfilmentSeen("1002", Fulfilment("6", nora.clock.now(), delivered_at=nora.clock.now())))
    nora.clock.instant += DAY
    await nora.hears(nora.refunded(whole), nora.refunded(half, number="10", keep=1))
    assert await nora.states("review_request") == {REQUEST: "cancelled", "review_request:sale:2": "scheduled"}
    await nora.later(10 * DAY)
    assert [m for m in nora.mails if "Cast-iron" in str(m)] == []


async def test_a_parcel_the_carrier_could_not_deliver_is_not_asked_about(nora: Stage) -> None:
    """Failed delivery holds the question; arriving after all brings it back."""
    await nora.hears(nora.order(), nora.parcel())
    await nora.hears(nora.parcel(shipment_status="failure", updated_at=nora.clock.now() + 1))
    assert (await asked(nora))[0] == "cancelled"
    await nora.hears(delivered(nora.clock.now() + 2 * DAY))
    assert await asked(nora) == ("scheduled", 12, None)


async def test_one_request_and_one_reminder_and_then_silence(nora: Stage) -> None:
    """Seven days after an unanswered request one reminder follows, and nothing after it."""
    await nora.hears(nora.order(), nora.parcel())
    for _ in range(60):
        await nora.later(DAY)
        await nora.hears(nora.order(updated_at=nora.clock.now(), processed_at=MONDAY_NOON))
    assert await nora.states("review_request") == {REQUEST: "sent"}
    assert await nora.states("review_reminder") == {REMINDER: "sent"}
    assert len(nora.mails) == 3


async def test_no_reminder_where_the_merchant_wants_none(nora: Stage) -> None:
    """Zero days means no reminder."""
    await nora.set({"reviews": {"remind_after_days": 0}})
    await nora.hears(nora.order(), nora.parcel())
    await nora.later(15 * DAY)
    assert await nora.states("review_reminder") == {}


async def test_a_request_names_at_most_three_products(nora: Stage) -> None:
    """One mail an order, about up to three products."""
    lines = tuple(msgspec.structs.replace(OOLONG, id=str(n), title=f"Tea {n}") for n in range(1, 6))
    await nora.hears(nora.order(lines=lines), nora.parcel())
    nora.clock.instant += HOUR
    await nora.sends()
    await nora.later(15 * DAY)
    html = nora.mails[-1].get_body(("html",)).get_content()  # type: ignore[union-attr]
    assert [f"Tea {n}" in html for n in range(1, 6)] == [True, True, True, False, False]


async def test_nobody_is_asked_about_what_was_sold_after_the_shop_left(nora: Stage) -> None:
    """Stripe is still connected, so the merchant is; the order is nobody's purchase."""
    await nora.does("UPDATE connections SET closed_at = ?1 WHERE platform = 'shopify'", nora.clock.now() - 1)
    await nora.hears(nora.order(), nora.parcel())
    assert await nora.states("review_request") == {}
