"""One person's timeline tells everything that is known of them, newest first, each thing once."""

from config.wiring import TIMELINE
from handlers.customers.timeline import PAGE, Item, Page, Whose, gather
from handlers.merchants.books import shops
from handlers.messages.letters import day, money
from handlers.points.adjust import adjust
from handlers.points.timeline import whys
from integration.clock import HOUR, MINUTE
from integration.facts import ConsentSeen, CustomersMerged, Dispute, DisputeSeen
from tests.handlers.care.test_search import buyer, buys
from tests.handlers.messages.stage import ELSA, Stage

SHOP = 1
ADDRESSES = ("elsa@home.example", "shopify:70", "customer:1")


async def timeline(nora: Stage, after: str | None = None, numbers: tuple[int, ...] = (1,)) -> Page:
    now = nora.clock.now()
    shop = (await nora.database.read(lambda: shops([SHOP])))[SHOP]
    whose = Whose(
        shop, 1, numbers, ADDRESSES, now, lambda minor, of: money(minor, of, "en"), lambda at: day(at, "UTC", "en")
    )
    return await nora.database.read(lambda: gather(TIMELINE, whose, after))


def told(items: tuple[Item, ...]) -> list[tuple[str, str, str | None, int | None]]:
    return [(item.what, item.title, item.badge.words if item.badge else None, item.points) for item in items]


async def test_a_purchase_its_points_its_letters_and_what_became_of_it_are_told_in_order(nora: Stage) -> None:
    """Bought, thanked, one of two things given back, points adjusted: the newest stands on top."""
    order = nora.order()
    await nora.hears(order)
    await nora.later(2 * HOUR)
    nora.clock.instant += HOUR
    await nora.hears(nora.refunded(order, keep=1))
    await nora.later(20 * MINUTE)
    nora.clock.instant += MINUTE
    now = nora.clock.now()
    await nora.database.run(lambda: adjust(SHOP, 1, 50, "a late parcel", None, now))
    items = (await timeline(nora)).items
    assert told(items) == [
        ("points", "50 points given by hand", "Available", 50),
        ("message", "Notice: points went down", "Sent", None),
        ("points", "42 points taken back for order #1001", "Available", -42),
        ("refund", "€42.00 given back for order #1001", None, None),
        ("message", "Thank-you note", "Sent", None),
        ("points", "60 points for order #1001", "Available", 60),
        ("order", "Order #1001: €60.00", "Partly refunded", None),
    ]
    assert items[0].details == ("a late parcel",)
    assert items[-1].details == ("High Mountain Oolong, Cast-iron teapot", "€42.00 given back so far")
    explained = await nora.database.read(lambda: _explained(nora, 1))
    assert any("18.00 EUR × 1 point = 18 points" in sentence for sentence in explained[1])


def _explained(nora: Stage, *sales: int):  # type: ignore[no-untyped-def]
    shop = (yield from shops([SHOP]))[SHOP]
    return (yield from whys(shop, sales, nora.clock.now()))


async def test_consent_reviews_disputes_and_letters_to_come_are_told_too(nora: Stage) -> None:
    """What waits for its time stands above what has happened."""
    await nora.hears(nora.order(), nora.parcel(created_at=nora.clock.now() + HOUR))
    nora.clock.instant += 2 * HOUR
    now = nora.clock.now()
    await nora.hears(
        ConsentSeen("shopify", "email", "subscribed", now - 1, "70", "elsa@home.example"),
        DisputeSeen(Dispute("d1", 6_000, "EUR", "needs_response", now + 1, order_id="1001")),
    )
    await nora.does(
        "INSERT INTO reviews (merchant_id, sale, line, customer, product_title, stars, words, written_at)"
        " VALUES (1, 1, '10011', 1, 'Oolong', 4, 'Lovely <b>tea</b>', ?1)",
        now + 2,
    )
    stopped = "INSERT INTO suppressions VALUES (1, 'email', 'customer:1', 'unsubscribed', 'link', ?1, ?2)"
    await nora.does(stopped, now + 3, now + 4)
    titles = [line[:3] for line in told((await timeline(nora)).items)]
    assert titles[:7] == [
        ("message", "Review request", "Scheduled"),
        ("message", "Notice: points went down", "Scheduled"),
        ("consent", "Wants our e-mails again", None),
        ("consent", "Stopped our e-mails", "Stopped"),
        ("review", "4 of 5 stars for Oolong", "Not published"),
        ("dispute", "The payment of €60.00 for order #1001 was disputed", "Waiting for your answer"),
        ("points", "60 points held while order #1001 is disputed", "Held"),
    ]
    assert ("consent", "E-mail marketing to elsa@home.example", "Subscribed") in titles


async def test_every_page_goes_on_where_the_last_one_ended(nora: Stage) -> None:
    """Forty orders of one instant, their points and their letters: nothing twice, nothing left out."""
    await nora.hears(*(nora.order(str(2000 + n)) for n in range(40)))
    seen, after = [], None
    for _ in range(9):
        page = await timeline(nora, after)
        seen += page.items
        after = page.after
        if after is None:
            break
        assert len(page.items) == PAGE
    assert len(seen) == len({(item.what, item.key) for item in seen}) == 120
    assert [item.at for item in seen] == sorted((item.at for item in seen), reverse=True)
    assert {(item.what, item.points) for item in seen} == {("order", None), ("points", 60), ("message", None)}


async def test_points_shown_add_up_to_the_balance_although_halves_are_rounded(nora: Stage) -> None:
    """30.50 and 19.50 are 30 and 20, on whichever page they stand."""
    await nora.set({"earning": {"points_per_unit": "0.508333"}})
    for n in range(PAGE):
        await buys(nora, 3000 + n, ELSA)
    first = await timeline(nora)
    second = await timeline(nora, first.after)
    third = await timeline(nora, second.after)
    points = [item.points for page in (first, second, third) for item in page.items if item.points]
    rows = await nora.rows("SELECT micropoints FROM accounts WHERE account = 'customer:1:available'")
    assert sum(points) == rows[0][0] // 1_000_000
    assert set(points) == {30, 31}


async def test_the_timeline_of_merged_people_is_one(nora: Stage) -> None:
    """What either of them did is told, and points that came along are not counted twice."""
    await buys(nora, 1001, ELSA, days_ago=3)
    await buys(nora, 1002, buyer(71, "Lisa", "Berg", "lisa@home.example"))
    now = nora.clock.now()
    await nora.database.run(lambda: adjust(SHOP, 2, 7, "sorry", None, now))
    await nora.hears(CustomersMerged(kept_id="70", gone_id="71"))
    items = (await timeline(nora, numbers=(1, 2))).items
    assert {item.title for item in items if item.what == "order"} == {"Order #1001: €60.00", "Order #1002: €60.00"}
    assert sum(item.points or 0 for item in items) == 127
    assert "7 points came along from another customer record" in {item.title for item in items}


async def test_a_cursor_that_makes_no_sense_begins_at_the_newest(nora: Stage) -> None:
    """An address somebody has changed shows the first page, not an error."""
    await nora.hears(nora.order())
    newest = await timeline(nora)
    for cursor in (
        "",
        "x",
        "1.",
        "1.orders",
        "a.orders.1",
        "9" * 40 + ".orders.1",
        "1.orders.\x00",
        "1.nowhere.0",
        "." * 600,
    ):
        page = await timeline(nora, cursor)
        assert page.items == newest.items, cursor
