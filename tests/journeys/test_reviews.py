"""Journeys of reviews: when somebody is asked, how they answer, and what calls the asking off."""

import re

import httpx

from tests.journeys.street import journey
from tests.journeys.town import Town
from tests.properties.shopify_stories import Line

REQUESTS = "How is"
REMINDERS = "Would you still"


@journey()
async def test_a_review_is_asked_for_ten_days_after_delivery_once(town: Town) -> None:
    """The carrier says it was delivered; ten days on Ana is asked, about her coffee, once."""
    order = town.order(town.ana)
    parcel = order.ship()
    await town.passes(days=3)
    order.arrive(parcel, status="in_transit")
    await town.passes(days=1)
    order.arrive(parcel)
    await town.passes(days=9, hours=23)
    assert town.letters(town.ana, REQUESTS) == []
    await town.passes(hours=2)
    order.becomes("paid")
    await town.passes(days=3)
    (letter,) = town.letters(town.ana, REQUESTS)
    assert letter["subject"] == "How is Coffee?"


@journey()
async def test_without_a_carriers_word_the_usual_time_counts_from_sending(town: Town) -> None:
    """Fourteen days at home, twenty-one abroad."""
    town.order(town.ana).ship()
    town.order(town.dan, country="CA").ship(country="CA")
    await town.passes(days=14, minutes=1)
    assert len(town.letters(town.ana, REQUESTS)) == 1
    assert town.letters(town.dan, REQUESTS) == []
    await town.passes(days=7)
    assert len(town.letters(town.dan, REQUESTS)) == 1


@journey()
async def test_what_was_bought_at_the_counter_is_asked_about_the_same_day(town: Town) -> None:
    """Nothing is sent, so nothing is waited for."""
    town.order(town.ana, source="pos")
    await town.passes(minutes=5)
    assert len(town.letters(town.ana, REQUESTS)) == 1


@journey()
async def test_a_parcel_sent_again_moves_the_asking(town: Town) -> None:
    """A second parcel of the same order leaves a week later."""
    order = town.order(town.ana, Line(1000), Line(2000))
    order.ship()
    await town.passes(days=7)
    order.ship()
    await town.passes(days=13)
    assert town.letters(town.ana, REQUESTS) == []
    await town.passes(days=1, minutes=1)
    assert len(town.letters(town.ana, REQUESTS)) == 1


@journey()
async def test_an_order_cancelled_before_it_arrived_is_not_asked_about(town: Town) -> None:
    """It never came; there is nothing to say."""
    order = town.order(town.ana)
    order.ship()
    await town.passes(days=1)
    order.cancel()
    await town.passes(days=40)
    assert town.letters(town.ana, REQUESTS) == []


@journey()
async def test_an_order_never_sent_is_not_asked_about(town: Town) -> None:
    """Nothing left the shop."""
    town.order(town.ana)
    await town.passes(days=60)
    assert town.letters(town.ana, REQUESTS) == []


@journey()
async def test_goods_returned_after_delivery_are_asked_about_all_the_same(town: Town) -> None:
    """Who sends things back has an opinion too: neutral rules only."""
    order = town.order(town.ana)
    parcel = order.ship()
    await town.passes(days=2)
    order.arrive(parcel)
    await town.passes(days=3)
    order.refund(pieces={0: 1})
    await town.passes(days=8)
    assert len(town.letters(town.ana, REQUESTS)) == 1


@journey()
async def test_in_germany_a_request_needs_consent_first(town: Town) -> None:
    """Ana has not opted in; Dan has."""
    consent = {"state": "subscribed", "opt_in_level": "single_opt_in", "consent_updated_at": None}
    body = {"customer_id": 5004, "email_address": town.dan.email, "email_marketing_consent": consent}
    town.tape.shopify("customers_email_marketing_consent/update", body, town.clock)
    for who in (town.ana, town.dan):
        town.order(who, country="DE").ship(country="DE")
    await town.passes(days=22)
    assert town.letters(town.ana, REQUESTS) == []
    assert len(town.letters(town.dan, REQUESTS)) == 1


@journey()
async def test_the_review_is_written_once_by_a_link_nobody_can_guess(town: Town) -> None:
    """Stars and words without JavaScript; the second try changes nothing, and no reminder follows."""
    link = await _asked(town)
    http = town.street.http
    form = await http.get(link)
    assert form.status_code == 200 and "Coffee" in form.text
    field = _field(form)
    answer = {field: "4", field.replace("stars", "words"): "Fine <b>coffee</b>", "name": "Ana D."}
    assert (await http.post(_path(link), data=answer)).status_code == 200
    again = await http.post(_path(link), data={**answer, field: "1"})
    assert again.status_code == 200 and "<form" not in again.text
    assert await _reviews(town) == [(4, "Fine <b>coffee</b>", None)]
    await town.passes(days=8)
    assert town.letters(town.ana, REMINDERS) == []
    wrong = await http.get(_path(link)[:-3] + "AAA")
    assert wrong.status_code == 404


@journey()
async def test_who_does_not_answer_is_reminded_once_after_a_week(town: Town) -> None:
    """Opened or not: the link was looked at, and nothing was written."""
    link = await _asked(town)
    assert (await town.street.http.get(link)).status_code == 200
    assert await _reviews(town) == []
    await town.passes(days=7, minutes=1)
    assert len(town.letters(town.ana, REMINDERS)) == 1
    await town.passes(days=30)
    assert len(town.letters(town.ana, REMINDERS)) == 1


@journey()
async def test_not_arrived_yet_puts_the_asking_off(town: Town) -> None:
    """The parcel is late: another week, then once more."""
    link = await _asked(town)
    assert (await town.street.http.post(_path(link) + "/later")).status_code == 200
    await town.passes(days=6)
    assert town.letters(town.ana, REMINDERS) == []
    await town.passes(days=2)
    assert len(town.letters(town.ana, "Coffee")) == 2


async def _asked(town: Town) -> str:
    """Ana bought, it was delivered, and she was asked; returns the letter's link to the form."""
    order = town.order(town.ana)
    order.arrive(order.ship())
    await town.passes(days=10, minutes=1)
    (letter,) = town.letters(town.ana, REQUESTS)
    body = letter.get_body(("plain",))
    assert body is not None
    found = re.search(r"http://[^\s<>]+/c/review/[^\s<>]+", body.get_content())
    assert found
    return found[0]


def _path(link: str) -> str:
    return httpx.URL(link).path


def _field(form: httpx.Response) -> str:
    found = re.search(r'name="(stars-[^"]+)"', form.text)
    assert found
    return found[1]


async def _reviews(town: Town) -> list[tuple[int, str, int | None]]:
    return [
        (stars, words, published)
        for stars, words, published in await town.rows("SELECT stars, words, published_at FROM reviews")
    ]
