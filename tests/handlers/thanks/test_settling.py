"""Thank-you notes as sales come, change, join and go: one a sale, and none for nothing."""

import msgspec

from handlers.messages import outbox
from handlers.thanks.settle import MOST_PLACES
from integration.clock import DAY, HOUR, MINUTE
from integration.facts import ChargeSeen, Order, OrderSeen
from tests.handlers.messages.stage import ELSA, Buyer, Charge, Stage

NOTE = "thank_you:sale:1"


def changed(seen: OrderSeen, by: int = 1, **changes: object) -> OrderSeen:
    """The same order as a later delivery shows it."""
    updated_at = seen.order.updated_at + by
    order: Order = msgspec.structs.replace(seen.order, updated_at=updated_at, **changes)
    return OrderSeen(order)


async def test_a_sale_thanks_once_an_hour_after_it_was_paid(nora: Stage) -> None:
    """However often the order is told, one note goes out, at its hour and not before."""
    order = nora.order()
    await nora.hears(order)
    assert await nora.due(NOTE) == order.order.processed_at + HOUR  # type: ignore[operator]
    await nora.hears(order, changed(order))
    await nora.later(59 * MINUTE)
    assert not nora.mails
    await nora.later(MINUTE)
    await nora.hears(changed(order, 2))
    await nora.later(DAY)
    assert [mail["To"] for mail in nora.mails] == ["elsa@home.example"]
    assert (await nora.states())[NOTE] == "sent"


async def test_a_cancelled_order_is_not_thanked_for(nora: Stage) -> None:
    """The unsent note is cancelled with its reason, and nothing goes out."""
    order = nora.order()
    await nora.hears(order)
    await nora.hears(changed(order, cancelled_at=nora.clock.now() + 1))
    await nora.later(DAY)
    assert (await nora.messages())[NOTE] == ("cancelled", "the order was cancelled")
    assert not nora.mails


async def test_a_refunded_order_is_not_thanked_for_but_half_of_one_is(nora: Stage) -> None:
    """All given back: no note. A part given back: still a sale."""
    whole, half = nora.order("1001"), nora.order("1002")
    await nora.hears(whole, half)
    await nora.hears(nora.refunded(whole), nora.refunded(half, number="10", keep=1))
    states = await nora.states("thank_you")
    assert states == {NOTE: "cancelled", "thank_you:sale:2": "scheduled"}


async def test_a_reopened_order_is_thanked_for_after_all(nora: Stage) -> None:
    """Cancelled and brought back before the hour was over: one note."""
    order = nora.order()
    await nora.hears(order)
    await nora.hears(changed(order, 1, cancelled_at=nora.clock.now() + 1))
    await nora.hears(changed(order, 2))
    await nora.later(2 * HOUR)
    assert len(nora.mails) == 1
    await nora.hears(changed(order, 3, cancelled_at=nora.clock.now()), changed(order, 4))
    await nora.later(DAY)
    assert len(nora.mails) == 1


async def test_nobody_is_thanked_until_somebody_is_known(nora: Stage) -> None:
    """An order without any buyer waits; when an edit names one, the note is due at its own time."""
    order = nora.order(buyer=Buyer())
    await nora.hears(order)
    assert await nora.states("thank_you") == {}
    await nora.hears(changed(order, buyer=ELSA))
    assert await nora.states("thank_you") == {NOTE: "scheduled"}


async def test_a_sale_from_before_the_programme_is_not_thanked_for(nora: Stage) -> None:
    """What was sold under a programme without notes stays without, whatever is switched on later."""
    await nora.set({"thanks": {"enabled": False}})
    nora.clock.instant += HOUR
    await nora.hears(nora.order())
    await nora.set({"thanks": {"enabled": True}})
    await nora.hears(nora.order())
    assert await nora.states("thank_you") == {}


async def test_a_test_order_writes_to_the_merchant_only(nora: Stage) -> None:
    """Test mail says so and goes to the shop's own address."""
    await nora.hears(nora.order(test=True))
    await nora.later(HOUR)
    (mail,) = nora.mails
    assert mail["To"] == "nora@tea.example"
    assert str(mail["Subject"]).startswith("[Test]")


async def test_one_purchase_told_by_both_platforms_thanks_once(nora: Stage) -> None:
    """Two sales that turn out to be one have one note, whichever was scheduled first."""
    now = nora.clock.now()
    charge = Charge("ch_1", "EUR", 6_000, 6_000, 0, True, "succeeded", now, payment_id="pi_1", buyer=ELSA)
    await nora.hears(ChargeSeen(charge))
    await nora.hears(nora.order("1001", payment_ids=("pi_1",)))
    await nora.later(2 * HOUR)
    assert len(nora.mails) == 1


async def test_a_suspected_pair_thanks_once_even_when_stripe_was_thanked_first(nora: Stage) -> None:
    """The order that comes after the charge's note has gone out gets none of its own."""
    await nora.set({"thanks": {"delay_minutes": 0}})
    buyer = Buyer(email="elsa@home.example")
    charge = Charge("ch_1", "EUR", 6_000, 6_000, 0, True, "succeeded", nora.clock.now(), buyer=buyer)
    await nora.hears(ChargeSeen(charge))
    await nora.sends()
    assert len(nora.mails) == 1
    await nora.hears(nora.order("1001"))
    await nora.settles()
    await nora.later(2 * HOUR)
    assert len(nora.mails) == 1


async def test_a_pairs_first_note_that_fails_on_its_way_out_leaves_the_others(nora: Stage) -> None:
    """The order counts on the charge's note while that is under way, and thanks itself when it comes back."""
    buyer = Buyer(email="elsa@home.example")
    charge = Charge("ch_1", "EUR", 6_000, 6_000, 0, True, "succeeded", nora.clock.now(), buyer=buyer)
    await nora.hears(ChargeSeen(charge))
    nora.clock.instant += HOUR
    (note,), _ = await nora.database.run(lambda: outbox.claim("mine", nora.clock.now(), 10))
    await nora.hears(nora.order("1001", processed_at=charge.created_at))
    await nora.settles()
    later = outbox.Later(nora.clock.now() + MINUTE, "the server is away", True)
    await nora.database.run(lambda: outbox.settle([(note, later)], "mine", nora.clock.now()))
    nora.clock.instant += outbox.LOOK_AGAIN
    await nora.settles()
    assert await nora.states("thank_you") == {NOTE: "cancelled", "thank_you:sale:2": "scheduled"}


async def test_milestones_thank_for_the_first_third_and_tenth(nora: Stage) -> None:
    """Of ten orders three are thanked for."""
    await nora.set({"thanks": {"when": "milestones"}})
    for number in range(1, 11):
        nora.clock.instant += HOUR
        await nora.hears(nora.order(str(1000 + number)))
    thanked = [key for key, state in (await nora.states("thank_you")).items() if state != "cancelled"]
    assert sorted(thanked) == [NOTE, "thank_you:sale:10", "thank_you:sale:3"]


async def test_milestones_do_not_depend_on_the_order_of_arrival(nora: Stage) -> None:
    """Told backwards, in one batch or later, the same purchases are thanked for as when told in order."""
    await nora.set({"thanks": {"when": "milestones"}})
    start = nora.clock.now()
    orders = [nora.order(str(n), processed_at=start + n * MINUTE) for n in range(1, 5)]
    nora.clock.instant += 10 * MINUTE
    await nora.hears(orders[3], orders[2])
    await nora.hears(orders[1])
    await nora.hears(orders[0])
    for _ in range(3):
        await nora.settles()
    # Sales got their numbers as they came: 1 is the fourth purchase, 2 the third, 3 the second, 4 the first.
    states = await nora.states("thank_you")
    live = {key for key, state in states.items() if state == "scheduled"}
    assert live == {"thank_you:sale:2", "thank_you:sale:4"}


async def test_when_the_first_order_falls_away_the_next_one_is_the_first(nora: Stage) -> None:
    """A cancelled first order gives its place to the second; looking again comes to an end."""
    await nora.set({"thanks": {"when": "milestones"}})
    first = nora.order("1")
    nora.clock.instant += MINUTE
    second = nora.order("2")
    await nora.hears(first, second)
    await nora.hears(changed(first, MINUTE, cancelled_at=nora.clock.now()))
    assert await nora.settles() == 1
    assert await nora.settles() == 0
    assert await nora.states("thank_you") == {NOTE: "cancelled", "thank_you:sale:2": "scheduled"}


async def test_the_anniversary_of_the_first_purchase_is_kept(nora: Stage) -> None:
    """A year later a note is due; two years after the last purchase there is none any more."""
    await nora.set({"thanks": {"when": "milestones"}})
    await nora.hears(nora.order())
    await nora.later(HOUR)
    mails = []
    for _ in range(3):
        nora.clock.instant += 366 * DAY
        await nora.settles()
        await nora.sends()
        mails.append(len(nora.mails))
    assert mails == [2, 2, 2]


async def test_nobody_is_thanked_for_what_was_sold_after_the_platform_left(nora: Stage) -> None:
    """Stripe is still connected: its payments are thanked for, and an order sold too late takes no milestone."""
    await nora.set({"thanks": {"when": "milestones"}}, at=0)
    await nora.does("UPDATE connections SET closed_at = ?1 WHERE platform = 'shopify'", nora.clock.now() - 1)
    payment = Charge("ch_1", "EUR", 900, 900, 0, True, "succeeded", nora.clock.now() + MINUTE, buyer=ELSA)
    await nora.hears(nora.order(), ChargeSeen(msgspec.structs.replace(payment, buyer=Buyer(email=ELSA.email))))
    assert await nora.states("thank_you") == {"thank_you:sale:2": "scheduled"}


async def test_of_two_purchases_of_one_second_the_lower_order_number_is_the_first(nora: Stage) -> None:
    """However they arrive: which of them is the third must not depend on the order of arrival."""
    await nora.set({"thanks": {"when": "milestones"}}, at=0)
    await nora.hears(*(nora.order(number) for number in ("1004", "1002")))
    await nora.hears(*(nora.order(number) for number in ("1003", "1001")))
    await nora.settles()
    assert await nora.states("thank_you") == {
        "thank_you:sale:2": "cancelled",  # 1002: the first until 1001 came
        "thank_you:sale:3": "scheduled",
        "thank_you:sale:4": "scheduled",
    }


async def test_places_are_right_for_somebody_who_bought_hundreds_of_times(nora: Stage) -> None:
    """Only so many sales of a person are read; when the first falls away the milestones move on all the same."""
    await nora.set({"thanks": {"when": "milestones"}}, at=0)
    now = nora.clock.now()
    orders = [nora.order(str(1000 + n), processed_at=now + n) for n in range(MOST_PLACES + 20)]
    await nora.hears(*orders)
    await nora.hears(changed(orders[0], cancelled_at=now))
    await nora.settles()
    wanted = {
        int(key.rpartition(":")[2]) for key, state in (await nora.states("thank_you")).items() if state != "cancelled"
    }
    assert wanted == {2, 4, 11}
