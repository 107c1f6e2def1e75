"""The queue as a merchant sees it: whom, what, when and why, page by page, and nobody else's."""

import dataclasses

import pytest

from handlers.merchants.books import shops
from handlers.messages import stopping, upcoming
from handlers.messages.outbox import claim
from handlers.messages.upcoming import Page, Upcoming, being_sent, count_overdue, count_upcoming, one_upcoming, why
from integration.clock import DAY, HOUR, from_iso
from integration.database.steps import Sql
from integration.facts import CustomersMerged
from tests.handlers.messages.stage import Buyer, Stage


async def queue(nora: Stage, **chosen: object) -> Page:
    """One page of Nora's queue."""
    words = {"after": None, **chosen}
    return await nora.database.read(lambda: upcoming.upcoming(1, **words))  # type: ignore[arg-type, no-any-return]


async def reason(nora: Stage, message: Upcoming, paused: bool = False) -> str:
    """Why a message has not gone out."""
    shop = (await nora.database.read(lambda: shops([1])))[1]
    return why(message, nora.context.kinds.get(message.kind), shop.current, paused=paused)


async def test_every_message_is_on_one_page_in_the_order_in_which_they_go(nora: Stage) -> None:
    """Pages of two, with messages of one instant among them, show each once."""
    await nora.hears(*(nora.order(str(n), buyer=Buyer(email=f"b{n}@x.example")) for n in range(1, 6)))
    await nora.hears(nora.parcel("1"), nora.parcel("2"))
    seen: list[Upcoming] = []
    page = await queue(nora, limit=2)
    while True:
        seen += page.messages
        if page.after is None:
            break
        page = await queue(nora, limit=2, after=page.after)
    assert sorted(message.key for message in seen) == sorted(await nora.states())
    assert [m.next_at for m in seen] == sorted(m.next_at for m in seen)
    assert await nora.database.read(lambda: count_upcoming(1)) == 7


async def test_a_page_says_who_and_what_it_is_about(nora: Stage) -> None:
    """By the name the person has now, under their own number, and the order's name."""
    other = Buyer("71", "e.berg@work.example", "e.berg@work.example", True, "Elsa", "Berg")
    await nora.hears(nora.order("1001"), nora.order("1002", buyer=other), CustomersMerged("71", "70"))
    messages = (await queue(nora)).messages
    assert {(m.name, m.email, m.order, m.kind, m.state) for m in messages} == {
        ("Elsa Berg", "e.berg@work.example", "#1001", "thank_you", "scheduled"),
        ("Elsa Berg", "e.berg@work.example", "#1002", "thank_you", "scheduled"),
    }
    assert len({m.customer for m in messages}) == 1


async def test_a_filter_finds_what_few_messages_are(nora: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many others stand before them, page by page of those looked through."""
    await nora.hears(*(nora.order(str(n), buyer=Buyer(email=f"b{n}@x.example")) for n in range(1, 6)))
    await nora.hears(nora.parcel("1"))
    found = await queue(nora, kind="review_request")
    assert [m.kind for m in found.messages] == ["review_request"] and found.after is None
    for statement in ("_FILTERED", "_SCANNED"):
        monkeypatch.setattr(upcoming, statement, scanning(getattr(upcoming, statement), 2))
    page, pages, kinds = await queue(nora, kind="review_request"), 1, []
    while page.after is not None:
        kinds += [m.kind for m in page.messages]
        page, pages = await queue(nora, kind="review_request", after=page.after), pages + 1
    assert pages == 4
    assert [*kinds, *(m.kind for m in page.messages)] == ["review_request"]
    assert (await queue(nora, state="waiting")).messages == []


def scanning(statement: Sql, most: int) -> Sql:
    """The same statement, which looks through fewer messages at once."""

    def less(sql: str) -> str:
        most_scanned = upcoming.MOST_SCANNED
        return sql.replace(f"LIMIT {most_scanned}", f"LIMIT {most}").replace(
            f"OFFSET {most_scanned - 1}", f"OFFSET {most - 1}"
        )

    return dataclasses.replace(statement, sqlite=less(statement.sqlite), postgres=less(statement.postgres))


async def test_the_time_shown_lies_in_the_send_window_of_the_reader(nora: Stage) -> None:
    """A note due at one in the night in Paris goes at ten there; one to Los Angeles at ten there."""
    await nora.set({"messages": {"window": "10:00-16:00"}, "thanks": {"delay_minutes": 13 * 60}})
    await nora.hears(nora.order("1"), nora.order("2", buyer=Buyer(email="b@x.example"), country="US", region="CA"))
    shop = (await nora.database.read(lambda: shops([1])))[1]
    now = nora.clock.now()
    at = {m.order: m.expected_at(shop.current, shop.timezone, now) for m in (await queue(nora)).messages}
    assert at == {"#1": from_iso("2026-11-24T09:00:00Z"), "#2": from_iso("2026-11-24T18:00:00Z")}


async def test_every_message_has_its_reason_in_words(nora: Stage) -> None:
    """Not yet, held back by a rule, paused, switched off, being sent."""
    await nora.set({"messages": {"window": "10:00-11:00"}})
    await nora.hears(nora.order())
    (message,) = (await queue(nora)).messages
    assert await reason(nora, message) == "Its time has not come yet."
    assert await reason(nora, message, paused=True) == "All messages are paused. It goes out after you resume."
    await nora.later(HOUR)
    (message,) = (await queue(nora, state="waiting")).messages
    assert await reason(nora, message) == "The send window is 10:00-11:00."
    await nora.set({"thanks": {"enabled": False}})
    assert await reason(nora, message) == "It will not go out: thank-you notes were switched off."
    nora.clock.instant += DAY
    now = nora.clock.now()
    await nora.database.run(lambda: claim("a sender", now, 10))
    assert (await queue(nora)).messages == []
    (message,) = await nora.database.read(lambda: being_sent(1))
    assert (await reason(nora, message)) == "It is being sent at this moment."
    assert await nora.database.read(lambda: being_sent(2)) == []


async def test_what_a_pause_holds_back_is_counted(nora: Stage) -> None:
    """What fell due, not what comes later."""
    await nora.hears(nora.order(), nora.parcel())
    await nora.database.run(lambda: stopping.pause(1, nora.clock.now()))
    await nora.later(HOUR)
    now = nora.clock.now()
    assert await nora.database.read(lambda: count_overdue(1, now)) == 1
    assert await nora.database.read(lambda: count_overdue(2, now)) == 0


async def test_one_message_is_its_own_merchants(nora: Stage) -> None:
    """By its key; under another merchant it does not exist."""
    await nora.hears(nora.order())
    found = await nora.database.read(lambda: one_upcoming(1, "thank_you:sale:1"))
    assert found is not None and found.email == "elsa@home.example"
    assert await nora.database.read(lambda: one_upcoming(2, "thank_you:sale:1")) is None
