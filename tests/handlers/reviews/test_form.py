"""The review form: by an unguessable link, on a phone, without a script, once."""

import asyncio
import re
from typing import Any

import pytest

from integration.clock import DAY, HOUR
from tests.handlers.messages.stage import ELSA, MONDAY_NOON, Buyer, Charge, ChargeSeen, Stage

REMINDER = "review_reminder:sale:1"
EVIL = '"><script>alert(1)</script>{{7*7}}\x00\x1b[31m'


async def link_of(nora: Stage, **order: Any) -> str:
    """The review link of the mail that Elsa gets two weeks after her order was sent."""
    await nora.set({"thanks": {"enabled": False}})
    await nora.hears(nora.order(**order), nora.parcel())
    await nora.later(15 * DAY)
    text = nora.mails[-1].get_body(("plain",)).get_content()  # type: ignore[union-attr]
    match = re.search(r"https://regulars\.example/c/review/[A-Za-z0-9_.-]+", text)
    assert match
    return match[0]


async def reviews(nora: Stage) -> list[tuple[Any, ...]]:
    return await nora.rows("SELECT line, stars, words, name, locale, published_at, customer FROM reviews ORDER BY line")


async def test_stars_and_words_are_kept_unpublished_and_the_reminder_is_off(nora: Stage) -> None:
    """One answer for two products; afterwards nobody is reminded."""
    link = await link_of(nora)
    form = {"stars-10011": "4", "words-10011": "Fine tea.\r\nA bit pricey.", "stars-10012": "1", "name": "Elsa B"}
    async with nora.browser() as browser:
        answer = await browser.post(link, data=form)
    assert answer.status_code == 200 and "Merci" in answer.text
    assert await reviews(nora) == [
        ("10011", 4, "Fine tea.\nA bit pricey.", "Elsa B", "fr", None, 1),
        ("10012", 1, "", "Elsa B", "fr", None, 1),
    ]
    state, reason = (await nora.messages())[REMINDER]
    assert (state, reason) == ("cancelled", "it was answered")
    await nora.later(30 * DAY)
    assert len(nora.mails) == 1


async def test_an_answer_is_taken_once(nora: Stage) -> None:
    """The second answer changes nothing, shows nothing of the first, and says that it is there."""
    link = await link_of(nora)
    async with nora.browser() as browser:
        await browser.post(link, data={"stars-10011": "5", "words-10011": "secret words"})
        for answer in (await browser.post(link, data={"stars-10012": "1"}), await browser.get(link)):
            assert answer.status_code == 200
            assert "secret words" not in answer.text and "<form" not in answer.text
    assert [row[1] for row in await reviews(nora)] == [5]


async def test_two_answers_at_the_same_moment_are_one(nora: Stage) -> None:
    """Two tabs, two products, one instant: one of them is kept."""
    link = await link_of(nora)
    async with nora.browser() as browser:
        await asyncio.gather(*(browser.post(link, data={f"stars-1001{line}": "3"}) for line in (1, 2, 1, 2)))
    assert len(await reviews(nora)) == 1


async def test_opening_the_form_stores_nothing(nora: Stage) -> None:
    """The stars of the letter are links: following one chooses it on the form and no more."""
    link = await link_of(nora)
    async with nora.browser() as browser:
        answer = await browser.get(f"{link}?line=10011&stars=4")
        odd = await browser.get(link, params={"line": EVIL, "stars": EVIL})
    assert re.findall(r'name="stars-10011" value="(\d)" checked', answer.text) == ["4"]
    assert odd.status_code == 200 and '" checked' not in odd.text and "<script" not in odd.text
    assert await reviews(nora) == []


async def test_without_stars_the_form_comes_back_with_its_words(nora: Stage) -> None:
    """Nothing chosen: a kind error, and what was typed is still there, as text."""
    link = await link_of(nora)
    async with nora.browser() as browser:
        answer = await browser.post(link, data={"words-10011": f"Typed long {EVIL}", "stars-10012": "6"})
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text and "Typed long" in answer.text
    assert "<script>alert" not in answer.text and "{{7*7}}" in answer.text
    assert await reviews(nora) == []


@pytest.mark.parametrize("body", [b"stars-10011=5&words-10011=" + b"x" * 70_000, b"a=1&" * 20_000])
async def test_a_body_beyond_any_review_is_refused(nora: Stage, body: bytes) -> None:
    """More than 64 KB is cut off with 413."""
    link = await link_of(nora)
    async with nora.browser() as browser:
        answer = await browser.post(link, content=body, headers={"content-type": "application/x-www-form-urlencoded"})
    assert answer.status_code == 413
    assert await reviews(nora) == []


@pytest.mark.parametrize("body", [b"\xff\xfe", b"[" * 5_000, b"&".join(b"f%d=1" % n for n in range(100)), b""])
async def test_what_is_no_form_is_an_empty_one(nora: Stage, body: bytes) -> None:
    """Bytes that are no form are answered like a form without stars."""
    link = await link_of(nora)
    async with nora.browser() as browser:
        assert (await browser.post(link, content=body)).status_code == 422


async def test_only_this_orders_products_can_be_reviewed(nora: Stage) -> None:
    """A line of another order in the form is not looked at; control characters are not kept."""
    link = await link_of(nora)
    async with nora.browser() as browser:
        await browser.post(link, data={"stars-99999": "5", "stars-10011": "2", "words-10011": EVIL})
    assert [(row[0], row[2]) for row in await reviews(nora)] == [("10011", '"><script>alert(1)</script>{{7*7}}[31m')]


async def test_not_arrived_yet_asks_again_in_a_week_a_few_times(nora: Stage) -> None:
    """Pressed twice is once; after three times the question is let go."""
    link = await link_of(nora)
    mails = len(nora.mails)
    async with nora.browser() as browser:
        for time in range(1, 4):
            for _ in range(2):
                answer = await browser.post(link + "/later")
                assert "semaine" in answer.text
            await nora.later(6 * DAY)
            assert len(nora.mails) == mails + time - 1
            await nora.later(DAY + HOUR)
            assert len(nora.mails) == mails + time
        await browser.post(link + "/later")
        assert (await browser.get(link)).status_code == 200
    await nora.later(60 * DAY)
    assert len(nora.mails) == mails + 3


async def test_an_order_given_back_while_put_off_is_not_asked_about(nora: Stage) -> None:
    """The lost parcel is refunded: the question that was put off is taken back too."""
    await nora.set({"reviews": {"ask_about_returns": False}})
    link = await link_of(nora)
    async with nora.browser() as browser:
        await browser.post(link + "/later")
    order = nora.order(processed_at=nora.clock.now() - 15 * DAY)
    await nora.hears(nora.refunded(order))
    await nora.later(30 * DAY)
    assert set((await nora.states("review_reminder")).values()) == {"cancelled"}


async def test_wrong_and_outdated_links_look_alike(nora: Stage) -> None:
    """404 and the same page: guessing learns nothing."""
    link = await link_of(nora)
    path, token = link.rsplit("/", 1)
    sign = nora.context.vault.sign
    today = nora.clock.now() // DAY
    bad = [
        token[:-1],
        sign("unsubscribe", 1, 1, today),
        sign("review", 1, 999, today),
        sign("review", 2, 1, today),
        sign("review", 1, 1, today - 182),
        "x",
    ]
    pages = set()
    async with nora.browser() as browser:
        for one in bad:
            for answer in (
                await browser.get(f"{path}/{one}"),
                await browser.post(f"{path}/{one}", data={"stars-10011": "5"}),
                await browser.post(f"{path}/{one}/later"),
            ):
                assert answer.status_code == 404, one
                pages.add(answer.text)
        assert (await browser.get(f"{path}/{sign('review', 1, 1, today - 179)}")).status_code == 200
    assert len(pages) == 1
    assert await reviews(nora) == []


@pytest.mark.parametrize(
    ("locale", "country", "title"),
    [("de-DE", "DE", "Wie war es?"), ("en-GB", "FR", "How was it?"), ("es", "ES", "¿Qué le ha parecido?")],
)
async def test_the_form_speaks_the_customers_language(nora: Stage, locale: str, country: str, title: str) -> None:
    """The language of the mail is that of the page."""
    await nora.set({"messages": {"opt_in_countries": ()}})
    buyer = Buyer("70", ELSA.email, ELSA.email, True, "Elsa", locale=locale)
    link = await link_of(nora, buyer=buyer, country=country)
    async with nora.browser(**{"accept-language": "fr"}) as browser:
        assert f"<h1>{title}</h1>" in (await browser.get(link)).text


async def test_the_form_can_be_used_without_eyes_or_mouse(nora: Stage) -> None:
    """Each product is a named group of radio buttons with words for labels; every field has a label."""
    link = await link_of(nora)
    async with nora.browser(**{"accept-language": "en"}) as browser:
        page = (await browser.get(link)).text
    assert page.count("<fieldset>") == 3 and page.count("<legend>") == 2
    assert page.count('type="radio"') == 10
    assert "5 stars: great" in page
    for field in re.findall(r'<(?:textarea|input type="text") id="([^"]+)"', page):
        assert f'for="{field}"' in page
    assert 'name="viewport"' in page and "<script" not in page


async def joined(nora: Stage) -> None:
    """Elsa's order turns out to be what an older payment of hers was for: the payment's sale survives."""
    assert await nora.rows("SELECT number FROM sales WHERE merged_into IS NULL ORDER BY number") == [(1,), (2,)]
    paid = Charge("ch_1", "EUR", 6_000, 6_000, 0, True, "succeeded", MONDAY_NOON, order_ids=("1001",), buyer=ELSA)
    await nora.hears(ChargeSeen(paid))
    assert await nora.rows("SELECT number, merged_into FROM sales ORDER BY number") == [(1, None), (2, 1)]


async def paid_before(nora: Stage) -> None:
    """A payment nobody can tell the order of."""
    await nora.hears(ChargeSeen(Charge("ch_1", "EUR", 6_000, 6_000, 0, True, "succeeded", MONDAY_NOON)))


async def test_an_order_answered_before_it_was_joined_is_not_answered_again(nora: Stage) -> None:
    """The review stands under the number the order had; its link leads to the sale that is left."""
    await paid_before(nora)
    link = await link_of(nora)
    async with nora.browser() as browser:
        await browser.post(link, data={"stars-10011": "5"})
        await joined(nora)
        for answer in (await browser.get(link), await browser.post(link, data={"stars-10012": "1"})):
            assert answer.status_code == 200 and "<form" not in answer.text
    await nora.later(30 * DAY)
    assert [row[1] for row in await reviews(nora)] == [5]
    assert len(nora.mails) == 1


async def test_an_order_put_off_before_it_was_joined_is_asked_about_once_more(nora: Stage) -> None:
    """What was asked and answered under the old number counts, and stops what is still to come."""
    await paid_before(nora)
    link = await link_of(nora)
    async with nora.browser() as browser:
        await browser.post(link + "/later")
        await joined(nora)
        await browser.post(link + "/later")
        await nora.later(8 * DAY)
        assert len(nora.mails) == 2
        await browser.post(link, data={"stars-10011": "4"})
    await nora.later(60 * DAY)
    assert len(nora.mails) == 2
