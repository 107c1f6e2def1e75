"""Stopping mail by link: a POST acts, a GET never does, and nothing tells a stranger anything."""

import re

import pytest

from integration.clock import DAY, HOUR
from integration.facts import ConsentSeen
from tests.handlers.messages.stage import Buyer, Stage

ONE_CLICK = {"List-Unsubscribe": "One-Click"}


async def link_of(nora: Stage) -> str:
    """The unsubscribe link of the mail that Elsa got for her first order."""
    await nora.hears(nora.order("1"))
    await nora.later(HOUR)
    header = str(nora.mails[-1]["List-Unsubscribe"])
    assert nora.mails[-1]["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    match = re.fullmatch(r"<(https://regulars\.example/c/unsubscribe/[A-Za-z0-9_.-]+)>", header)
    assert match
    return match[1]


async def test_looking_at_the_page_changes_nothing(nora: Stage) -> None:
    """A link scanner follows every link: GET and HEAD show a page and write nothing."""
    link = await link_of(nora)
    async with nora.browser() as browser:
        for _ in range(3):
            assert (await browser.get(link)).status_code == 200
            assert (await browser.head(link)).status_code == 200
        assert (await browser.get(link + "/undo")).status_code == 405
    assert await nora.rows("SELECT address FROM suppressions") == []
    await nora.hears(nora.order("2"))
    await nora.later(HOUR)
    assert len(nora.mails) == 2


@pytest.mark.parametrize("multipart", [False, True])
async def test_one_click_stops_mail_at_once_and_again_is_fine(nora: Stage, multipart: bool) -> None:
    """A mail program's POST, without cookie or context, in either encoding: 200, no redirect, in force at once."""
    link = await link_of(nora)
    await nora.hears(nora.order("2"))
    async with nora.browser() as browser:
        for _ in range(2):
            files = {name: (None, value) for name, value in ONE_CLICK.items()}
            answer = await (browser.post(link, files=files) if multipart else browser.post(link, data=ONE_CLICK))
            assert answer.status_code == 200
            assert not answer.history and "set-cookie" not in answer.headers
    await nora.later(HOUR)
    assert len(nora.mails) == 1
    assert (await nora.messages())["thank_you:sale:2"] == ("cancelled", "they unsubscribed")
    consents = await nora.rows("SELECT address, state, source FROM consents")
    assert consents == [("elsa@home.example", "unsubscribed", "link")]


async def test_unsubscribing_follows_a_person_to_a_new_address(nora: Stage) -> None:
    """Elsa changes her address in the shop: she stays unsubscribed."""
    link = await link_of(nora)
    async with nora.browser() as browser:
        await browser.post(link)
    nora.clock.instant += HOUR
    moved = Buyer("70", "elsa@new.example", "elsa@new.example", True, "Elsa")
    await nora.hears(nora.order("2", buyer=moved))
    await nora.later(2 * HOUR)
    assert len(nora.mails) == 1


async def test_a_mistake_can_be_taken_back(nora: Stage) -> None:
    """The page offers the way back, which is a POST too; afterwards mail goes out again."""
    link = await link_of(nora)
    async with nora.browser() as browser:
        done = await browser.post(link)
        undo = re.search(r'action="([^"]+/undo)"', done.text)
        assert undo
        assert (await browser.post(undo[1])).status_code == 200
    await nora.hears(nora.order("2"))
    await nora.later(HOUR)
    assert len(nora.mails) == 2


@pytest.mark.parametrize(
    ("said", "again"),
    [
        ((), "not_subscribed"),
        (("not_subscribed",), "not_subscribed"),
        (("subscribed",), "subscribed"),
        (("pending",), "pending"),
        (("subscribed", "unsubscribed"), "not_subscribed"),
    ],
)
async def test_taking_a_stop_back_agrees_to_nothing_new(nora: Stage, said: tuple[str, ...], again: str) -> None:
    """Who never agreed to marketing mail has not agreed to it by a stop and its undoing, however often."""
    link = await link_of(nora)
    for state in said:
        nora.clock.instant += HOUR
        await nora.hears(ConsentSeen("shopify", "email", state, nora.clock.now(), "70", "elsa@home.example"))
    async with nora.browser() as browser:
        for _ in range(2):
            for path in (link, link, f"{link}/undo", f"{link}/undo"):
                nora.clock.instant += HOUR
                assert (await browser.post(path)).status_code == 200
    assert await nora.rows("SELECT state FROM consents") == [(again,)]
    await nora.hears(nora.order("2"))
    await nora.later(HOUR)
    assert (await nora.states())["thank_you:sale:2"] == "sent"


async def test_points_are_still_told_to_who_unsubscribed(nora: Stage) -> None:
    """A notice about what is owed goes out all the same."""
    order = nora.order("1")
    link = await link_of(nora)
    async with nora.browser() as browser:
        await browser.post(link)
    await nora.hears(nora.refunded(order))
    await nora.later(HOUR)
    assert len(nora.mails) == 2


async def test_a_merchant_trying_out_a_test_order_unsubscribes_nobody(nora: Stage) -> None:
    """The link in test mail names no customer."""
    await nora.hears(nora.order("1", test=True))
    await nora.later(HOUR)
    link = str(nora.mails[0]["List-Unsubscribe"]).strip("<>")
    async with nora.browser() as browser:
        assert (await browser.post(link)).status_code == 200
    assert await nora.rows("SELECT address FROM suppressions") == []


async def test_wrong_links_are_400_and_all_alike(nora: Stage) -> None:
    """Changed, cut off, of another purpose or another secret: one answer, and nothing is written."""
    link = await link_of(nora)
    path, token = link.rsplit("/", 1)
    payload, _, seal = token.partition(".")
    other = nora.context.vault.sign("unsubscribe", 1, 2, "thank_you:sale:1").partition(".")
    wrong = [
        token[:-1],
        token + "A",
        payload,
        f"{other[0]}.{seal}",
        nora.context.vault.sign("review", 1, 1, "thank_you:sale:1"),
        nora.context.vault.sign("unsubscribe", 1),
        "x" * 3000,
        "%00",
        "é",
    ]
    answers = set()
    async with nora.browser() as browser:
        for bad in wrong:
            for answer in (await browser.get(f"{path}/{bad}"), await browser.post(f"{path}/{bad}", data=ONE_CLICK)):
                assert answer.status_code == 400, bad
                answers.add(answer.text)
    assert len(answers) == 1
    assert await nora.rows("SELECT address FROM suppressions") == []


async def test_pages_are_kept_by_nobody_and_framed_by_nobody(nora: Stage) -> None:
    """No store, no sniffing, no frame, no script, nothing from elsewhere; the style sheet fits its digest."""
    link = await link_of(nora)
    async with nora.browser(**{"accept-language": "de-DE,de;q=0.9"}) as browser:
        answer = await browser.get(link)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    assert "<script" not in answer.text and "http" not in answer.text.replace("https://regulars.example", "")
    assert '<html lang="de">' in answer.text and "Nora&#39;s Tea" in answer.text


async def test_old_mails_links_hold(nora: Stage) -> None:
    """Whoever finds a mail of two years ago can still stop what comes."""
    link = await link_of(nora)
    nora.clock.instant += 700 * DAY
    async with nora.browser() as browser:
        assert (await browser.post(link)).status_code == 200
    assert len(await nora.rows("SELECT address FROM suppressions")) == 2
