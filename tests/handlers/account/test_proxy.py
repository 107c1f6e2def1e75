"""The same page at the shop's own address: who is there is Shopify's signed word, and nobody else's."""

import asyncio

import pytest

from integration.clock import SECOND
from integration.sandbox.storefront import forwarded
from tests.handlers.account.guests import Guest, key_in
from tests.handlers.reconcile.market import APP_SECRET


async def test_who_is_signed_in_to_the_shop_sees_their_points_there(ana: Guest) -> None:
    """Every link stays at the shop's address, under the prefix it was reached by, and nothing signed is shown."""
    page = await ana.at_shop()
    assert page.status_code == 200 and page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "private, no-store" and "set-cookie" not in page.headers
    assert "Hello Ana" in page.text and "1,0" in page.text
    assert 'href="/apps/regulars/redeem?reward=five"' in page.text
    assert "signature" not in page.text and "/proxy" not in page.text and "localhost" not in page.text


async def test_a_guest_is_told_how_to_sign_in_and_sees_what_there_is(ana: Guest) -> None:
    """Nobody's points, nobody's history; rewards and rules."""
    page = await ana.at_shop(who="")
    assert page.status_code == 200 and "Sign in to the shop" in page.text and "5 off" in page.text
    assert "/account/login?return_url=%2Fapps%2Fregulars" in page.text and "Ana" not in page.text
    stranger = await ana.at_shop(who="999999")
    assert stranger.status_code == 200 and "You have no points yet" in stranger.text
    for who in ("", "999999"):
        for path in ("/redeem", "/reward", "/return", "/history"):
            assert (await ana.at_shop(path, who, reward="five")).status_code == 404
        for path in ("/redeem", "/return", "/mails", "/language"):
            assert (await ana.posts_at_shop(path, {"reward": "five", "steps": "1"}, who)).status_code == 404


async def test_points_are_spent_at_the_shop_once_for_each_form(ana: Guest) -> None:
    """Five times the same form at once and once more later: one reward."""
    asked = await ana.at_shop("/redeem", reward="five")
    fields = {"reward": "five", "steps": "1", "key": key_in(asked)}
    answers = await asyncio.gather(*(ana.posts_at_shop("/redeem", fields) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {200}
    await ana.counter.asks()
    again = await ana.posts_at_shop("/redeem", fields)
    (discount,) = ana.counter.discounts()
    assert discount.codes[0].text in again.text
    assert await ana.counter.points() == (500, 0, 500)
    ana.counter.market.passes(minutes=31)
    assert (await ana.posts_at_shop("/redeem", fields)).status_code == 422
    asked = await ana.at_shop("/return", number="1")
    await ana.posts_at_shop("/return", {"number": "1", "key": key_in(asked)})
    await ana.counter.asks()
    assert await ana.counter.points() == (1_000, 0, 0)


async def test_looking_never_spends(ana: Guest) -> None:
    """Whatever a page of the storefront fetches in a shopper's name."""
    for path, asked in (("/redeem", {"reward": "five", "steps": "1"}), ("", {}), ("/mail", {}), ("/return", {})):
        await ana.at_shop(path, **asked)
    assert await ana.counter.points() == (1_000, 0, 0) and ana.mails == []


ATTACKS = {
    "no signature": lambda url, ana: url.partition("&signature=")[0],
    "another customer": lambda url, ana: url.replace(f"customer_id={ana.ana_there}", "customer_id=2"),
    "a guest made a customer": lambda url, ana: ana.shops(who="").replace(
        "customer_id=", f"customer_id={ana.ana_there}"
    ),
    "another shop": lambda url, ana: url.replace("stall-1", "stall-2"),
    "a parameter more": lambda url, ana: url + "&number=1",
    "the customer twice": lambda url, ana: url + "&logged_in_customer_id=2",
    # Pairs are signed without anything between them, so the first has the signature of what it was made from.
    "two pairs made one": lambda url, ana: url.replace("&path_prefix=", "path_prefix%3D"),
    "a customer within what a guest asks for": lambda url, ana: ana.shops(
        who="", reward=f"fivelogged_in_customer_id={ana.ana_there}"
    ),
    "signed in the future": lambda url, ana: later(ana, 91),
    "signed long ago": lambda url, ana: later(ana, -91),
    "unknown though signed": lambda url, ana: ana.shops(who=ana.ana_there, debug="1"),
    "another app's secret": lambda url, ana: ana.shops(who=ana.ana_there, secret="another"),
    "nothing": lambda url, ana: "/proxy",
}


def later(ana: Guest, seconds: int) -> str:
    """An address as a Shopify with another clock forwards it."""
    now = ana.context.clock.now() + seconds * SECOND
    return f"/proxy?{forwarded(ana.counter.stall.shop.domain, ana.ana_there, now, APP_SECRET)}"


@pytest.mark.parametrize("name", ATTACKS)
async def test_what_shopify_did_not_sign_is_refused(ana: Guest, name: str) -> None:
    """400, alike for all, and nothing of anybody's in it."""
    url = ATTACKS[name](ana.shops(who=ana.ana_there), ana)
    answer = await ana.http.get(url)
    assert answer.status_code == 400 and "Ana" not in answer.text and "signature" not in answer.text


async def test_a_signed_request_is_good_for_a_minute_and_a_half(ana: Guest) -> None:
    """What was overheard is of no use later."""
    url = ana.shops(who=ana.ana_there)
    ana.counter.market.passes(seconds=89)
    assert (await ana.http.get(url)).status_code == 200
    ana.counter.market.passes(seconds=3)
    assert (await ana.http.get(url)).status_code == 400


async def test_a_customer_named_in_a_form_is_not_believed(ana: Guest) -> None:
    """Who acts is who signed in; Bo's form sent as Ana, and Ana's number in Bo's form, spend nothing."""
    await ana.second()
    bo = str(ana.counter.stall.people[1].id)
    asked = await ana.at_shop("/redeem", reward="five")
    fields = {"reward": "five", "steps": "1", "key": key_in(asked), "logged_in_customer_id": ana.ana_there}
    assert (await ana.posts_at_shop("/redeem", fields, bo)).status_code == 422
    assert (await ana.posts_at_shop("/redeem", fields, "")).status_code == 404
    assert await ana.counter.points() == (1_000, 0, 0)


async def test_a_customer_of_another_shop_is_nobody_here(ana: Guest) -> None:
    """The same number in two shops is two people; forms of one are none of the other's."""
    asked = await ana.at_shop("/redeem", reward="five")
    other = await ana.counter.market.open_stall()
    first, ana.counter.stall = ana.counter.stall, other
    page = await ana.at_shop(who=str(first.ana.id))
    assert page.status_code == 200 and "You have no points yet" in page.text and "Stall 2" in page.text
    fields = {"reward": "five", "steps": "1", "key": key_in(asked)}
    assert (await ana.posts_at_shop("/redeem", fields, str(first.ana.id))).status_code == 404
    assert (await ana.http.get(ana.link(ana.counter.ana, merchant=other.merchant))).status_code == 404
    ana.counter.stall = first
    assert await ana.counter.points() == (1_000, 0, 0)


async def test_mail_and_language_are_set_at_the_shop_data_needs_a_mail(ana: Guest) -> None:
    """Signed in to the shop is enough for what can be taken back; one's data and being forgotten are not there."""
    page = await ana.at_shop()
    done = await ana.posts_at_shop("/mails", {"wanted": "stop", "key": key_in(page, "mails")})
    assert "sends you no thank-you notes" in done.text
    assert not (await ana.seen()).wants_mail
    page = await ana.at_shop()
    await ana.posts_at_shop("/mails", {"wanted": "start", "key": key_in(page, "mails")})
    assert (await ana.seen()).wants_mail
    done = await ana.posts_at_shop("/language", {"wanted": "de", "key": key_in(page, "language")})
    assert "schreibt Ihnen ab jetzt in dieser Sprache" in done.text
    assert "Ihre Punkte" in (await ana.at_shop()).text
    assert "Your points" in (await ana.at_shop(language="en")).text
    for path in ("/export", "/forget", "/file"):
        assert (await ana.at_shop(path)).status_code == 404
    await ana.posts_at_shop("/mail", {"key": key_in(page, "mail")})
    assert len(ana.mails) == 1
    await ana.posts_at_shop("/mail", {})
    assert len(ana.mails) == 1
