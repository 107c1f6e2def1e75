"""Journeys of letters: who is thanked, when it goes out, and what keeps it back."""

import re
from datetime import timedelta

from tests.journeys.street import journey
from tests.journeys.town import Town
from tests.properties.shopify_stories import Line


@journey()
async def test_a_purchase_is_thanked_for_once_an_hour_later(town: Town) -> None:
    """One letter, to the buyer, from the shop, with a way out."""
    order = town.order(town.ana)
    await town.passes(minutes=59)
    assert town.letters(town.ana) == []
    await town.passes(minutes=2)
    order.becomes("paid")
    await town.passes(days=2)
    (letter,) = town.letters(town.ana)
    assert letter["subject"] == "Thank you, Ana"
    assert letter["list-unsubscribe-post"] == "List-Unsubscribe=One-Click"
    assert town.name in letter["from"]
    assert {part.get_content_type() for part in letter.walk()} >= {"text/plain", "text/html"}
    (note,) = await town.messages(town.ana, "thank_you")
    assert note["state"] == "sent"


@journey()
async def test_a_purchase_called_off_or_given_back_within_the_hour_is_not_thanked_for(town: Town) -> None:
    """Ana cancels, Dan returns everything, Bo gets his money back."""
    cancelled, returned = town.order(town.ana), town.order(town.dan)
    payment = town.payment(town.bo, 4000).pay()
    await town.passes(minutes=30)
    cancelled.cancel()
    returned.refund(pieces={0: 1})
    payment.refund(timedelta(seconds=1), 4000)
    await town.passes(days=2)
    for who in (town.ana, town.dan, town.bo):
        assert town.letters(who) == []


@journey()
async def test_a_purchase_opened_again_within_the_hour_is_thanked_for(town: Town) -> None:
    """The note that was called off comes back."""
    order = town.order(town.ana)
    await town.passes(minutes=10)
    order.cancel()
    await town.passes(minutes=10)
    order.reopen()
    await town.passes(hours=1)
    assert len(town.letters(town.ana)) == 1


@journey()
async def test_by_milestones_the_first_and_the_third_purchase_are_thanked_for(town: Town) -> None:
    """Five purchases, two letters; a year after the first comes another."""
    await town.programme(thanks__when="milestones")
    for _ in range(5):
        town.order(town.ana)
        await town.passes(days=1)
    assert len(town.letters(town.ana)) == 2
    await town.passes(days=360)
    assert len(town.letters(town.ana)) == 3


@journey()
async def test_a_letter_waits_for_the_send_window_of_the_buyers_own_clock(town: Town) -> None:
    """It is 17:30 in Berlin when the note is due: it goes out at ten the next morning there."""
    await town.programme(messages__window="10:00-16:00")
    town.order(town.ana, country="DE")
    await town.passes(minutes=61)
    assert town.letters(town.ana) == []
    (note,) = await town.messages(town.ana, "thank_you")
    assert note["state"] == "waiting" and "10:00-16:00" in note["reason"] and "Europe/Berlin" in note["reason"]
    await town.passes(hours=15)
    assert town.letters(town.ana) == []  # 08:01 in Berlin
    await town.passes(hours=2)
    assert len(town.letters(town.ana)) == 1


@journey()
async def test_letters_to_one_person_keep_their_distance(town: Town) -> None:
    """Two purchases in one hour: the second note waits sixteen hours, and says why."""
    await town.programme(messages__cap_hours=16)
    town.order(town.ana)
    await town.passes(minutes=20)
    town.order(town.ana)
    await town.passes(hours=2)
    assert len(town.letters(town.ana)) == 1
    waiting = [m for m in await town.messages(town.ana, "thank_you") if m["state"] == "waiting"]
    assert len(waiting) == 1 and "written to recently" in waiting[0]["reason"]
    await town.passes(hours=16, minutes=1)
    assert len(town.letters(town.ana)) == 2


@journey()
async def test_one_click_stops_letters_at_once_and_a_scanners_look_changes_nothing(town: Town) -> None:
    """Following the link only shows a page; posting to it stops what has not gone out yet."""
    town.order(town.ana)
    await town.passes(hours=2)
    (letter,) = town.letters(town.ana)
    link = re.fullmatch(r"<(.*)>", letter["list-unsubscribe"])
    assert link
    page = await town.street.http.get(link[1])
    assert page.status_code == 200
    town.order(town.ana)
    await town.passes(hours=2)
    assert len(town.letters(town.ana)) == 2
    for _ in range(2):
        gone = await town.street.http.post(link[1], content="List-Unsubscribe=One-Click")
        assert gone.status_code == 200
    town.order(town.ana)
    await town.passes(hours=2)
    assert len(town.letters(town.ana)) == 2
    assert await town.points(town.ana) == {"pending": 120}


@journey()
async def test_consent_withdrawn_in_the_shop_stops_letters_that_were_waiting(town: Town) -> None:
    """Consent is looked at when a letter goes out, not when it was planned."""
    town.order(town.ana)
    await town.passes(minutes=30)
    consent = {"state": "unsubscribed", "opt_in_level": None, "consent_updated_at": None}
    body = {"customer_id": 5001, "email_address": town.ana.email, "email_marketing_consent": consent}
    town.tape.shopify("customers_email_marketing_consent/update", body, town.clock)
    await town.passes(hours=2)
    assert town.letters(town.ana) == []


@journey("once", "twice")
async def test_a_mail_server_that_is_busy_is_asked_again_later(town: Town) -> None:
    """451 means later, not never."""
    town.order(town.ana)
    await town.told()
    town.street.mailbox.answers.append("451 4.3.0 later")
    await town.passes(minutes=61)
    assert town.letters(town.ana) == []
    await town.passes(minutes=10)
    assert len(town.letters(town.ana)) == 1


@journey("once", "twice")
async def test_an_address_that_refuses_for_good_is_not_written_to_again(town: Town) -> None:
    """550 for one note; the next is not even tried, and the points do not mind."""
    assert town.ana.email
    town.street.mailbox.refused.add(town.ana.email)
    town.order(town.ana)
    await town.passes(hours=2)
    town.street.mailbox.refused.discard(town.ana.email)
    town.order(town.ana)
    await town.passes(hours=2)
    assert town.letters(town.ana) == []
    assert await town.points(town.ana) == {"pending": 80}


@journey()
async def test_a_letter_speaks_the_buyers_language(town: Town) -> None:
    """Ana reads French, Dan German."""
    for who, locale in ((town.ana, "fr-CA"), (town.dan, "de")):
        order = town.order(who)
        for delivery in town.tape.deliveries:
            if delivery.body["id"] == order.id:
                delivery.body["customer_locale"] = locale
    await town.passes(hours=2)
    assert town.letters(town.ana)[0]["subject"] == "Merci, Ana"
    assert town.letters(town.dan)[0]["subject"] == "Vielen Dank, Ana"


@journey()
async def test_a_buyer_is_told_when_available_points_went_down_once_they_are_still(town: Town) -> None:
    """Thirty-one days later the order is called off; ten minutes after that the notice goes out, once."""
    order = town.order(town.ana)
    await town.passes(days=31)
    before = len(town.letters(town.ana))
    order.refund(pieces={0: 1})
    await town.passes(minutes=5)
    assert len(town.letters(town.ana)) == before
    await town.passes(minutes=6)
    notices = town.letters(town.ana, "points")
    assert len(notices) == 1
    assert "40" in notices[0].get_body(("plain",)).get_content()  # type: ignore[union-attr]


@journey()
async def test_a_sale_that_is_known_late_is_thanked_for_once_though_told_by_both_platforms(town: Town) -> None:
    """The note of the Stripe half was sent; the Shopify half does not thank again."""
    town.payment(town.ana, 4000).pay()
    await town.passes(minutes=61)
    order = town.order(town.ana)
    order.sold_at = town.clock - timedelta(minutes=60)
    town.tape.deliveries[-3:] = []
    order.place()
    await town.passes(hours=3)
    assert len(town.letters(town.ana)) == 1


@journey()
async def test_nothing_goes_out_to_somebody_without_an_address(town: Town) -> None:
    """The points are theirs all the same."""
    nameless = town.ana.__class__("Nameless", None, shopify=5055)
    town.order(nameless)
    await town.passes(hours=2)
    assert await town.points(nameless) == {"pending": 40}


@journey()
async def test_a_sale_that_turns_out_to_be_later_moves_the_milestones_it_stood_before(town: Town) -> None:
    """A payment seems to be Bo's first purchase; its order shows that it was his second."""
    await town.programme(thanks__when="milestones")
    moved = town.payment(town.bo, 9900)
    moved.metadata = {"shopify_order_id": "5100000999999"}
    moved.pay(told=("charge",))
    await town.told()
    await town.passes(minutes=1)
    first = town.payment(town.bo, 1000).pay(told=("charge",))
    await town.told()
    assert [note["sale"] for note in await town.messages(town.bo, "thank_you")] == [1]
    await town.passes(minutes=1)
    order = town.order(town.bo, Line(9900))
    for delivery in town.tape.deliveries[-3:]:
        delivery.body["id"] = 5100000999999
    third = town.payment(town.bo, 1000).pay(told=("charge",))
    await town.told()
    sales = {sale["number"]: sale for sale in await town.sales(town.bo)}
    thanked = {sales[note["sale"]]["ids"][0] for note in await town.messages(town.bo, "thank_you")}
    assert thanked == {f"stripe:charge:{first.charge_id}", f"stripe:charge:{third.charge_id}"}
    assert order.id
