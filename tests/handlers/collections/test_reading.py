"""Collections are read from the shop whole or not at all, as often as a campaign needs it."""

from typing import Any

import pytest

from handlers.collections import feeds, personal, store
from handlers.collections.rules import Read, Unread
from integration.clock import from_iso
from integration.sandbox.shopify_api import PretendShopify
from tests.handlers.collections.shelf import Shelf

CUP, TEA = 48_000_000, 12_500_000  # micropoints: 24.00 at two points, 12.50 at one


async def test_what_lies_in_a_collection_earns_more_and_says_so(shelf: Shelf) -> None:
    """The cup does, the tea does not; the other way round where the campaign is for the tea's collection, too."""
    await shelf.campaign()
    assert await shelf.reads() == 1
    assert (await shelf.seen())[:2] == ("Winter goods", 1)
    assert await shelf.earned(await shelf.sells()) == CUP
    assert await shelf.earned(await shelf.sells(shelf.stall.tea)) == TEA
    await shelf.is_in_order()


async def test_what_was_sold_before_a_collection_was_known_is_settled_again_once_it_is(shelf: Shelf) -> None:
    """The shop was away for an hour when the campaign began: nothing more until then, all of it afterwards."""
    await shelf.campaign()
    shelf.market.pretend.fail_next = [503]
    await shelf.reads()
    assert (await shelf.seen()).problem == "away"
    early = await shelf.sells()
    assert await shelf.earned(early) == CUP // 2
    shelf.market.passes(hours=1)
    await shelf.reads()
    assert await shelf.earned(early) == CUP
    await shelf.is_in_order()


async def test_what_comes_and_goes_later_changes_nothing_that_was_sold_before(shelf: Shelf) -> None:
    """The cup leaves and the tea comes; refunds and settling anew go by where things lay when they were sold."""
    await shelf.campaign()
    await shelf.reads()
    cup, tea = await shelf.sells(), await shelf.sells(shelf.stall.tea)
    shelf.market.passes(minutes=10)
    shelf.shop.change(shelf.winter, put=[shelf.stall.tea], take=[shelf.stall.cup])
    await shelf.reads()
    later_cup, later_tea = await shelf.sells(), await shelf.sells(shelf.stall.tea)
    await shelf.settles_all_again()
    assert [await shelf.earned(one) for one in (cup, tea, later_cup, later_tea)] == [CUP, TEA, CUP // 2, TEA * 2]
    await shelf.stall.tells(shelf.stall.shop.refund(cup, {cup.goods[0].id: 1}))
    await shelf.stall.tells(shelf.stall.shop.refund(later_tea, {later_tea.goods[0].id: 1}))
    assert await shelf.earned(cup) == await shelf.earned(later_tea) == 0
    # It comes back: a second stretch beside the first.
    shelf.market.passes(minutes=10)
    shelf.shop.change(shelf.winter, put=[shelf.stall.cup])
    await shelf.reads()
    assert await shelf.earned(await shelf.sells()) == CUP
    await shelf.settles_all_again()
    assert await shelf.earned(later_cup) == CUP // 2
    await shelf.is_in_order()


async def test_a_collection_of_many_pages_is_written_only_once_all_of_them_came(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shop breaks off at the second page, then throttles: half a collection is never known."""
    shelf.shop.change(shelf.winter, put=range(1, 601))
    await shelf.campaign()
    answer, asked = PretendShopify._answer, 0

    def cut(*args: Any) -> dict[str, Any]:
        nonlocal asked
        asked += 1
        if asked == 2:
            return {"data": None, "errors": [{"message": "x", "extensions": {"code": "INTERNAL_SERVER_ERROR"}}]}
        return answer(*args)

    monkeypatch.setattr(PretendShopify, "_answer", cut)
    await shelf.reads()
    assert asked == 2 and await shelf.inside() == set()
    shelf.market.passes(minutes=3)
    shelf.market.pretend.throttle_next = 2
    await shelf.reads()
    assert len(await shelf.inside()) == 601
    assert (await shelf.seen()).products == 601


async def test_a_collection_that_changes_while_it_is_read_is_read_anew(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What moves between two pages might be missed: the whole reading is put off."""
    shelf.shop.change(shelf.winter, put=range(1, 401))
    await shelf.campaign()
    answer = PretendShopify._answer

    def changing(*args: Any) -> dict[str, Any]:
        told = answer(*args)
        shelf.market.passes(seconds=1)
        shelf.shop.change(shelf.winter, take=[1])
        return told

    monkeypatch.setattr(PretendShopify, "_answer", changing)
    await shelf.reads()
    assert await shelf.inside() == set() and (await shelf.seen()).problem == "away"
    monkeypatch.undo()
    shelf.market.passes(minutes=3)
    await shelf.reads()
    assert len(await shelf.inside()) == 400


@pytest.mark.parametrize(
    ("what", "problem", "minutes"),
    [("deleted", "gone", None), ("too big", "too_big", 360), ("no scope", "refused", 60), ("left", "unconnected", 60)],
)
async def test_what_cannot_be_read_keeps_what_is_known_and_says_why(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, what: str, problem: str, minutes: int | None
) -> None:
    """The cup goes on to earn as it did, whatever became of the collection or of our access to it."""
    await shelf.campaign()
    await shelf.reads()
    shelf.market.passes(minutes=10)
    match what:
        case "deleted":
            shelf.shop.delete(shelf.winter)
        case "too big":
            monkeypatch.setattr(feeds, "MOST_IN_A_COLLECTION", 2)
            shelf.shop.change(shelf.winter, put=[1, 2, 3], take=[shelf.stall.cup])
        case "no scope":
            shelf.stall.shop.scopes = ("read_orders",)
        case "left":
            shelf.stall.shop.installs += 1
    await shelf.reads()
    seen = await shelf.seen()
    assert (seen.problem, seen.title) == (problem, "Winter goods")
    due = await shelf.due_in()
    assert due is None if minutes is None else due == pytest.approx(minutes, abs=0.1)
    assert seen.products == (3 if what == "too big" else 1)
    assert await shelf.inside() == {str(shelf.stall.cup.id)}
    if what != "left":
        assert await shelf.earned(await shelf.sells()) == CUP


async def test_a_number_no_collection_has_gives_nothing(shelf: Shelf) -> None:
    """It is said, and not asked for again."""
    await shelf.campaign(4711)
    await shelf.reads()
    assert await shelf.earned(await shelf.sells()) == CUP // 2
    rows = await shelf.market.rows("SELECT collection, problem, known_at, due_at FROM collections")
    assert rows == [("4711", "gone", None, None)]


async def test_a_collection_is_read_as_often_as_a_campaign_needs_it(shelf: Shelf) -> None:
    """At once when it is named, each hour before it begins, every ten minutes while it runs, and no more after."""
    await shelf.campaign(starts="2026-10-20", ends="2026-10-20")
    assert await shelf.due_in() == pytest.approx(0, abs=0.1)
    await shelf.reads()
    assert await shelf.due_in() == pytest.approx(60, abs=0.1)
    assert await shelf.reads() == 0
    shelf.market.clock.at = from_iso("2026-10-19T23:30:00Z")
    await shelf.reads()
    assert await shelf.due_in() == pytest.approx(30, abs=0.1)
    shelf.market.passes(hours=1)
    await shelf.reads()
    assert await shelf.due_in() == pytest.approx(10, abs=0.1)
    shelf.market.passes(days=1)
    await shelf.reads()
    assert await shelf.due_in() is None
    # Named again, it is read again, and what changed meanwhile counts from now on.
    await shelf.campaign()
    assert await shelf.reads() == 1


async def test_of_two_who_read_at_once_only_the_last_to_take_it_writes(shelf: Shelf) -> None:
    """A reading that took longer than its lease comes to nothing."""
    await shelf.campaign()
    run, merchant, number = shelf.context.database.run, shelf.stall.merchant, str(shelf.winter.id)
    now = shelf.market.clock.now()
    assert await run(lambda: store.claim(merchant, number, "slow", now, now + 1))
    assert not await run(lambda: store.claim(merchant, number, "early", now, now + 1))
    assert await run(lambda: store.claim(merchant, number, "quick", now + 1, now + 2))
    assert not await run(lambda: store.keep(merchant, number, "slow", Read("Old", frozenset({"1"})), now + 2))
    assert await run(lambda: store.keep(merchant, number, "quick", Read("New", frozenset({"2"})), now + 2))
    assert not await run(lambda: store.keep(merchant, number, "quick", Unread("gone"), now + 3))
    assert await shelf.inside() == {"2"} and (await shelf.seen()).title == "New"


async def test_many_sales_are_settled_again_page_by_page_and_none_is_left_out(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five orders, two in a page; the second page was never reached when the process ended."""
    monkeypatch.setattr("handlers.collections.jobs.STIR_PAGE", 2)
    await shelf.campaign()
    orders = [await shelf.sells() for _ in range(5)]
    pages = []

    def ends(*args: object) -> object:
        pages.append(args)
        raise RuntimeError("the process ends here")

    monkeypatch.setattr("handlers.collections.jobs._stir_some", ends)
    with pytest.raises(RuntimeError):
        await shelf.reads()
    assert pages and [await shelf.earned(one) for one in orders] == [CUP // 2] * 5
    monkeypatch.undo()
    monkeypatch.setattr("handlers.collections.jobs.STIR_PAGE", 2)
    shelf.market.passes(minutes=10)
    await shelf.reads()
    assert [await shelf.earned(one) for one in orders] == [CUP] * 5
    await shelf.is_in_order()


async def test_a_shop_that_is_forgotten_keeps_what_its_points_follow_from(shelf: Shelf) -> None:
    """Titles go and nothing is read any more; a sale settled again afterwards is worth what it was."""
    await shelf.campaign()
    await shelf.reads()
    order = await shelf.sells()
    run, merchant, now = shelf.context.database.run, shelf.stall.merchant, shelf.market.clock.now()
    assert await run(lambda: personal.HOLDER.clear(merchant, 100, now)) == 1
    assert await run(lambda: personal.HOLDER.clear(merchant, 100, now)) == 0
    assert (await shelf.seen()).title is None and await shelf.due_in() is None
    await shelf.settles_all_again()
    assert await shelf.earned(order) == CUP
