"""The merchant's pages of messages: the queue, stopping one, pausing all, going on; each change written down."""

import pytest

from integration.clock import HOUR
from tests.handlers.messages.stage import PROGRAM, Buyer, Stage
from tests.visits import NORA, OTTO, House, Visitor

STOP = "/app/messages/stop/thank_you:sale:1"


@pytest.fixture
async def stage(house: House) -> Stage:
    """Nora's shop with everything on, and a way to have things happen in it."""
    stage = Stage(house.database, channel=house.mail, clock=house.clock)  # type: ignore[arg-type]
    stage.context, stage.versions = house.context, 1
    await stage.set(PROGRAM, at=0)
    return stage


@pytest.fixture
async def nora(house: House) -> Visitor:
    """Nora's browser."""
    return await house.signed_in(NORA)


async def journal(house: House, merchant: int = NORA) -> list[tuple[str, str, str]]:
    """Who did what to what, in order."""
    return [
        (row[0], row[1], row[2])
        for row in await house.rows(
            "SELECT who, did, about FROM journal WHERE merchant_id = ?1 AND about <> 'session' ORDER BY at", merchant
        )
    ]


async def test_empty_pages_say_what_comes(nora: Visitor) -> None:
    """Before the first purchase there is nothing to see, and it is said what will be."""
    assert "Nothing waits at the moment" in (await nora.get("/app/messages")).text
    assert "Nothing waits to go out" in (await nora.get("/app/messages/queue")).text
    assert "No such messages wait" in (await nora.get("/app/messages/queue?kind=thank_you")).text


async def test_the_queue_shows_whom_what_when_and_why(stage: Stage, nora: Visitor, house: House) -> None:
    """In the shop's own time; and that Nora saw people's names is written down."""
    await stage.hears(stage.order())
    page = (await nora.get("/app/messages/queue")).text
    for words in ("Elsa Berg", "elsa@home.example", "Thank-you note", "Order #1001", "Nov 23, 2026, 1:00"):
        assert words in page
    assert "Its time has not come yet." in page and STOP in page
    assert await house.rows("SELECT who, what, customer FROM looks") == [("link:nora", "the queue of messages", None)]
    otto = await house.signed_in(OTTO)
    assert "Elsa" not in (await otto.get("/app/messages/queue")).text


async def test_pages_of_the_queue_follow_each_other(stage: Stage, nora: Visitor) -> None:
    """Thirty messages are two pages; filters hold on to it; nonsense in the address shows the first page."""
    await stage.hears(*(stage.order(str(n), buyer=Buyer(email=f"b{n}@x.example")) for n in range(1, 31)))
    first = (await nora.get("/app/messages/queue?kind=thank_you")).text
    assert first.count("Stop<span") == 25
    older = first.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")
    assert "kind=thank_you" in older
    second = (await nora.get(older)).text
    assert second.count("Stop<span") == 5 and "From the start" in second
    for odd in ("after=x~y", "after=99999999999999999999~k", "kind=nonsense&state=%27", "after=~"):
        assert (await nora.get(f"/app/messages/queue?{odd}")).text.count("Stop<span") == 25


async def test_what_was_not_delivered_is_shown_with_its_reason(stage: Stage, nora: Visitor, house: House) -> None:
    """The newest first, page by page; that Nora saw people's names is written down, and nobody else sees them."""
    assert "Everything could be delivered" in (await nora.get("/app/messages/undelivered")).text
    await stage.hears(*(stage.order(str(n), buyer=Buyer(email=f"b{n}@x.example")) for n in range(1, 29)))
    await house.does(
        "UPDATE messages SET state = 'failed', closed_at = 1000 - sale, reason = 'the mailbox refused it for good: 550'"
    )
    first = (await nora.get("/app/messages/undelivered")).text
    assert "b1@x.example" in first and "b26@x.example" not in first
    assert first.count("The mailbox refused it for good: 550.") == 25
    older = first.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")
    second = (await nora.get(older)).text
    assert [f"b{n}@x.example" in second for n in (25, 26, 27, 28)] == [False, True, True, True]
    assert "Newest" in second and 'rel="next"' not in second
    assert (await house.rows("SELECT who, what FROM looks")) == [("link:nora", "messages not delivered")] * 2
    for odd in ("x~y", "99999999999999999999~k", "~"):
        assert "b1@x.example" in (await nora.get(f"/app/messages/undelivered?before={odd}")).text
    otto = await house.signed_in(OTTO)
    assert "b1@" not in (await otto.get("/app/messages/undelivered")).text


async def test_a_message_is_stopped_after_a_second_look(stage: Stage, nora: Visitor, house: House) -> None:
    """The page names whom and what; the stop and the look stand in the journal by number only; it never goes out."""
    await stage.hears(stage.order())
    page = await nora.get(STOP)
    assert "Elsa Berg" in page.text and "Thank-you note" in page.text
    answer = await nora.post(STOP)
    assert answer.status_code == 303
    assert "will not go out" in (await nora.get(answer.headers["location"])).text
    assert await journal(house) == [("link:nora", "stopped a message", "message:thank_you:sale:1")]
    assert "elsa" not in str(await house.rows("SELECT detail FROM journal")).lower()
    await stage.later(HOUR)
    assert not house.mail.mailbox
    again = await nora.post(STOP)
    assert "nothing left to stop" in (await nora.get(again.headers["location"])).text
    assert len(await journal(house)) == 1


async def test_a_message_on_its_way_is_not_stopped(stage: Stage, nora: Visitor, house: House) -> None:
    """Nora pressed the button a moment too late; she is told so, and nothing is written down."""
    await stage.hears(stage.order())
    await house.does("UPDATE messages SET state = 'sending', claim = 'x', claimed_until = 9000000000000000")
    answer = await nora.post(STOP)
    assert "being sent at this moment" in (await nora.get(answer.headers["location"])).text
    assert await stage.states() == {"thank_you:sale:1": "sending"}
    assert await journal(house) == []


async def test_nobody_stops_another_shops_message(stage: Stage, house: House) -> None:
    """To Otto it does not exist; nor does one with a key nobody has."""
    await stage.hears(stage.order())
    otto = await house.signed_in(OTTO)
    assert (await otto.get(STOP)).status_code == (await otto.post(STOP)).status_code == 404
    assert (await otto.post(f"/app/messages/stop/{'k' * 400}")).status_code == 404
    assert await stage.states() == {"thank_you:sale:1": "scheduled"}


async def test_a_pause_is_shown_on_every_page_until_it_ends(stage: Stage, nora: Visitor, house: House) -> None:
    """Paused, nothing goes out and every page says so; resumed, it goes; both stand in the journal, once each."""
    await stage.hears(stage.order())
    assert "(1)" in (await nora.get("/app/messages/pause")).text
    for _ in range(2):
        assert (await nora.post("/app/messages/pause")).status_code == 303
    for path in ("/app", "/app/messages", "/app/messages/queue"):
        assert "All messages are paused" in (await nora.get(path)).text
    await stage.later(HOUR)
    assert not house.mail.mailbox
    assert "One message has fallen due" in (await nora.get("/app/messages/resume")).text
    for _ in range(2):
        assert (await nora.post("/app/messages/resume")).status_code == 303
    await stage.sends()
    assert [str(mail["To"]) for mail in house.mail.mailbox] == ["elsa@home.example"]
    assert "All messages are paused" not in (await nora.get("/app")).text
    assert [did for _, did, _ in await journal(house)] == ["paused all messages", "resumed all messages"]
    otto = await house.signed_in(OTTO)
    assert "All messages are paused" not in (await otto.get("/app")).text


async def test_asking_to_pause_or_resume_changes_nothing(stage: Stage, nora: Visitor, house: House) -> None:
    """Only the button does."""
    await nora.get("/app/messages/pause")
    assert await house.rows("SELECT messages_paused_at FROM merchants WHERE id = 1") == [(None,)]
    assert "Messages are not paused" in (await nora.get("/app/messages/resume")).text
    await nora.post("/app/messages/pause")
    await nora.get("/app/messages/resume")
    assert await house.rows("SELECT count(*) FROM merchants WHERE messages_paused_at IS NOT NULL") == [(1,)]


async def test_the_pages_work_in_the_admin(stage: Stage, house: House) -> None:
    """By session token: the same pages, the same acts, in the name of the Shopify user."""
    await stage.hears(stage.order())
    admin = house.embedded()
    assert "Thank-you note" in (await admin.get("/app/messages")).text
    assert "Elsa Berg" in (await admin.get("/app/messages/queue")).text
    await admin.post(STOP)
    ((who, did, _),) = await journal(house)
    assert who.startswith("shopify:") and did == "stopped a message"
