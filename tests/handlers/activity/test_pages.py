"""The merchant's pages of what happened: fates, finding, replaying, changes and looks; and nobody else's."""

import re

import pytest

from handlers.activity import pages, store
from handlers.inbox.replay import show_event
from handlers.inbox.work import drain
from integration.clock import DAY
from integration.database.packing import unpack
from tests.handlers.activity.conftest import came, order
from tests.visits import NORA, OTTO, House, Visitor

ACTIVITY = "/app/activity"


def listed(page: str) -> list[int]:
    """Numbers of the events on a page, in order."""
    return [int(number) for number in re.findall(r'href="/app/activity/events/(\d+)"', page)]


async def numbers(house: House) -> dict[str, int]:
    """Events' numbers by delivery."""
    return {row[0]: row[1] for row in await house.rows("SELECT delivery_id, id FROM events")}


async def did(house: House) -> list[tuple[str, str]]:
    """What Nora did to what, signing in apart."""
    rows = await house.rows("SELECT did, about FROM journal WHERE merchant_id = 1 AND about <> 'session' ORDER BY at")
    return [(row[0], row[1]) for row in rows]


async def test_a_shop_nothing_came_to_is_told_the_next_step(nora: Visitor) -> None:
    """Every page says what it is for while it is empty."""
    assert "Place a test order" in (await nora.get(ACTIVITY)).text
    assert "Nothing was missed" in (await nora.get(f"{ACTIVITY}/recovered")).text
    assert "No duplicates" in (await nora.get(f"{ACTIVITY}/duplicates")).text
    assert "Nothing was given up" in (await nora.get(f"{ACTIVITY}/replay")).text
    assert "Nobody has looked" in (await nora.get(f"{ACTIVITY}/looks")).text


async def test_every_event_is_listed_with_its_fate_and_its_order(nora: Visitor, house: House) -> None:
    """Done, given up and not needed, the newest first; filters; and none of Nora's at Otto's."""
    await came(house, order())
    await came(house, b"{broken")
    await came(house, {}, topic="themes/update")
    done, failed, unneeded = sorted((await numbers(house)).values())
    page = (await nora.get(ACTIVITY)).text
    assert listed(page)[:3] == [unneeded, failed, done]
    for words in ("Order paid", "#1001", "Given up", "Not needed", "Done", "One event was given up", "unreadable"):
        assert words in page
    for state, expected in (("amiss", failed), ("failed", failed), ("applied", done), ("unhandled", unneeded)):
        assert listed((await nora.get(f"{ACTIVITY}?state={state}")).text) == [expected], state
    assert "There are none of these" in (await nora.get(f"{ACTIVITY}?state=suspect")).text
    otto = await house.signed_in(OTTO)
    assert "Nothing has come in yet" in (await otto.get(ACTIVITY)).text


async def test_pages_follow_each_other_and_nonsense_is_the_first(nora: Visitor, house: House) -> None:
    """Each event stands on one page; filters hold on to the next."""
    await came(house, *(b"{broken" for _ in range(70)))
    for query in ("", "?state=failed"):
        seen: list[int] = []
        address = f"{ACTIVITY}{query}"
        while address:
            page = (await nora.get(address)).text
            seen += listed(page)
            following = re.search(r'rel="next" href="([^"]+)"', page)
            address = following[1].replace("&amp;", "&") if following else ""
        assert seen == sorted((await numbers(house)).values(), reverse=True)
    for odd in ("before=x", "before=-1", "before=99999999999999999999", "state=%27"):
        assert len(listed((await nora.get(f"{ACTIVITY}?{odd}")).text)) == 30


async def test_an_order_leads_to_its_events_and_so_does_a_delivery(nora: Visitor, house: House) -> None:
    """By the order's number with or without its sign, its id, a delivery's id; and what failed before it got so far."""
    await came(house, order(), order(updated_at="2026-11-04T09:30:00Z"), order(id=5, name="#1002"))
    await came(house, b'{"name":"#1001","broken":')
    found = await numbers(house)
    first, second, other, broken = (found[f"delivery-{n}"] for n in range(4))
    for text in ("1001", "%231001"):
        assert listed((await nora.get(f"{ACTIVITY}?q={text}")).text) == [broken, second, first]
    assert listed((await nora.get(f"{ACTIVITY}?q=5001000000001")).text) == [second, first]
    assert listed((await nora.get(f"{ACTIVITY}?q=delivery-2")).text) == [other]
    for text in ("100", "%25", "_", "%27%20OR%201=1", "x" * 500, "[0-9]"):
        assert "Nothing found" in (await nora.get(f"{ACTIVITY}?q={text}")).text, text
    otto = await house.signed_in(OTTO)
    for text in ("1001", "delivery-2", "5001000000001"):
        assert "Nothing found" in (await otto.get(f"{ACTIVITY}?q={text}")).text


async def test_a_search_unpacks_little_however_large_the_bodies(
    nora: Visitor, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bodies that are large once unpacked are passed over, and of the others the newest are looked into."""
    monkeypatch.setattr(store, "MOST_READ", 3)
    monkeypatch.setattr(store, "MOST_READ_BYTES", 2_000)
    unpacked: list[int] = []

    def counted(stored: bytes, size: int | None) -> bytes:
        body = unpack(stored, size)
        unpacked.append(len(body))
        return body

    monkeypatch.setattr(store, "unpack", counted)
    small, bomb = b'{"name":"#77",' + b" " * 1_000, b'{"name":"#77",' + b" " * 100_000
    await came(house, *(small for _ in range(5)), bomb, bomb)
    ((kept, size),) = await house.rows("SELECT max(length(body)), max(size) FROM event_bodies WHERE size > 2000")
    assert kept < 2_000 < size
    found = await numbers(house)
    assert listed((await nora.get(f"{ACTIVITY}?q=77")).text) == [found[f"delivery-{n}"] for n in (4, 3, 2)]
    assert unpacked == [len(small)] * 3


async def test_a_damaged_body_spoils_neither_a_search_nor_a_page(nora: Visitor, house: House) -> None:
    """What lies damaged on the disk is passed over; its own page says so, and an export of it does, too."""
    whole = b'{"name":"#77",' + b" " * 1_000
    await came(house, whole, whole, whole)
    found = await numbers(house)
    spoilt, shorter = found["delivery-1"], found["delivery-2"]
    await house.does("UPDATE event_bodies SET body = ?2 WHERE event_id = ?1", spoilt, b"\xff" * 40)
    await house.does("UPDATE event_bodies SET size = size + 1 WHERE event_id = ?1", shorter)
    assert listed((await nora.get(f"{ACTIVITY}?q=77")).text) == [found["delivery-0"]]
    for number in (spoilt, shorter):
        page = await nora.get(f"{ACTIVITY}/events/{number}/body")
        assert page.status_code == 200 and "is damaged" in page.text
        shown = await house.database.read(lambda n=number: show_event(n))
        assert set(shown["body"]) == {"damaged"}


async def test_what_an_event_said_is_shown_on_demand_and_the_look_is_written_down(nora: Visitor, house: House) -> None:
    """The page of an event shows no body; asked for, it is text, whatever is in it; the look names the customer."""
    await came(house, order(note='<script>alert("x")</script>'))
    (number,) = (await numbers(house)).values()
    page = (await nora.get(f"{ACTIVITY}/events/{number}")).text
    assert "ana.diaz@example.com" not in page
    assert await house.rows("SELECT count(*) FROM looks") == [(0,)]
    page = (await nora.get(f"{ACTIVITY}/events/{number}/body")).text
    assert "ana.diaz@example.com" in page
    assert "<script>alert" not in page and "&lt;script&gt;alert" in page
    assert await house.rows("SELECT who, what, customer FROM looks") == [("link:nora", f"what event {number} said", 1)]
    assert f"What event {number} said" in (await nora.get(f"{ACTIVITY}/looks")).text


async def test_an_event_whose_body_is_gone_says_so(nora: Visitor, house: House) -> None:
    """And it cannot be replayed."""
    await came(house, b"{broken")
    await house.does("DELETE FROM event_bodies")
    (number,) = (await numbers(house)).values()
    assert "deleted by now" in (await nora.get(f"{ACTIVITY}/events/{number}/body")).text
    answer = await nora.post(f"{ACTIVITY}/events/{number}/replay")
    assert "cannot be replayed" in (await nora.get(answer.headers["location"])).text
    assert await did(house) == []


async def test_an_event_is_replayed_after_a_second_look(nora: Visitor, house: House) -> None:
    """What was mended meanwhile now has its effect; who replayed it stands under Changes."""
    await came(house, order())
    (number,) = (await numbers(house)).values()
    await house.does("UPDATE events SET worked_at = NULL, outcome = NULL, failed_at = 5, reason = 'a fault of ours'")
    await house.does("DELETE FROM sales")
    await house.does("DELETE FROM sale_identities")
    assert "as if it had just come" in (await nora.get(f"{ACTIVITY}/events/{number}/replay")).text
    assert await house.rows("SELECT count(*) FROM events WHERE failed_at IS NOT NULL") == [(1,)]
    answer = await nora.post(f"{ACTIVITY}/events/{number}/replay")
    assert "In hand" in (await nora.get(answer.headers["location"])).text
    await drain(house.context)
    assert await house.rows("SELECT name FROM sales") == [("#1001",)]
    assert await did(house) == [("replayed an event", f"event:{number}")]
    assert "Replayed an event" in (await nora.get(f"{ACTIVITY}/changes")).text


async def test_all_that_was_given_up_is_replayed_and_only_ones_own(nora: Visitor, house: House) -> None:
    """More than one step's worth; the others' dead letters stay."""
    await came(house, *(b"{broken" for _ in range(5)))
    await came(house, b"{broken", shop="otto")
    step = store.REPLAYED_AT_ONCE
    store.REPLAYED_AT_ONCE = 2
    try:
        assert "All 5 events" in (await nora.get(f"{ACTIVITY}/replay")).text
        answer = await nora.post(f"{ACTIVITY}/replay")
    finally:
        store.REPLAYED_AT_ONCE = step
    assert "5 events are being worked again" in (await nora.get(answer.headers["location"])).text
    rows = await house.rows("SELECT merchant_id, count(*) FROM events WHERE failed_at IS NOT NULL GROUP BY merchant_id")
    assert rows == [(OTTO, 1)]
    assert [what for what, _ in await did(house)] == ["replayed what was given up"] * 3
    again = await nora.post(f"{ACTIVITY}/replay")
    assert "nothing that could be replayed" in (await nora.get(again.headers["location"])).text


async def test_what_reconciling_recovered_is_told_in_orders_and_points(nora: Visitor, house: House) -> None:
    """Three orders, forty-one points; what is still being worked says so; empty looks are left out."""
    ((connection,),) = await house.rows("SELECT id FROM connections WHERE merchant_id = ?1", NORA)
    for at, recovered, sales, micro in ((9, 3, 3, 41_900_000), (8, 0, 0, 0), (7, 2, None, None)):
        await house.does(
            "INSERT INTO reconciliations (merchant_id, connection, started_at, since_at, recovered, sales, micropoints)"
            " VALUES (?1, ?2, ?3, 0, ?4, ?5, ?6)",
            NORA, connection, at * DAY, recovered, sales, micro,
        )  # fmt: skip
    page = (await nora.get(f"{ACTIVITY}/recovered")).text
    assert "3 orders recovered, 41 points" in page
    assert "2 events taken in; being worked" in page
    assert page.count("Shopify</td>") == 2
    otto = await house.signed_in(OTTO)
    assert "Nothing was missed" in (await otto.get(f"{ACTIVITY}/recovered")).text


async def test_a_payment_held_to_be_an_order_is_shown_with_what_to_do(nora: Visitor, house: House) -> None:
    """The order, the payment that earned nothing, and the way to the customer."""
    await came(house, order())
    await house.does(
        "INSERT INTO sales (merchant_id, number, facts, revision, platform, platform_id, currency, total_minor,"
        " sold_at, standing, paired_with, created_at)"
        " VALUES (1, 2, '{}', 1, 'stripe', 'pi_7', 'EUR', 3000, 5, 'elsewhere', 1, 5)"
    )
    page = (await nora.get(f"{ACTIVITY}/duplicates")).text
    assert "pi_7" in page and "#1001" in page and "€30.00" in page and "/app/customers/1" in page
    otto = await house.signed_in(OTTO)
    assert "No duplicates" in (await otto.get(f"{ACTIVITY}/duplicates")).text


async def test_changes_and_looks_are_pages_too(nora: Visitor, house: House) -> None:
    """More than one page of each is shown once, the newest first, with what was before."""
    for number in range(pages.PAGE + 5):
        await house.does(
            "INSERT INTO journal (merchant_id, at, mark, who, did, about, detail) VALUES (1, ?1, ?2, 'shopify:7',"
            " 'adjusted points', 'customer:3', ?3)",
            number // 2, f"m{number}", f'{{"before": {number}}}',
        )  # fmt: skip
        await house.does(
            "INSERT INTO looks (merchant_id, at, mark, who, what, customer) VALUES (1, ?1, ?2, 'link:ben', 'page', 3)",
            number // 2, f"m{number}",
        )  # fmt: skip
    for path, words in (("changes", "Shopify user 7"), ("looks", "ben (by sign-in link)")):
        first = (await nora.get(f"{ACTIVITY}/{path}")).text
        following = re.search(r'rel="next" href="([^"]+)"', first)
        assert following is not None
        second = (await nora.get(following[1].replace("&amp;", "&"))).text
        assert first.count(words) + second.count(words) == pages.PAGE + 5
        assert 'href="/app/customers/3"' in second
        assert (await nora.get(f"{ACTIVITY}/{path}?before=x~'")).status_code == 200
    assert "&#34;before&#34;: 0" in second or '"before": 0' in (await nora.get(f"{ACTIVITY}/changes?before=1~m0")).text
