"""Bulk operations: the same orders a webhook tells, from a file of lines that may break off anywhere."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import pytest
import uvicorn

from integration.errors import Rejected, Unavailable, Unreadable
from integration.facts import Order
from integration.sandbox.shopify_api import PretendShopify
from integration.sandbox.shopify_records import Order as PretendOrder
from integration.shopify import bulk_shelf
from integration.shopify.admin import Admin
from integration.shopify.bulk import Bulk, why_it_ended
from integration.shopify.bulk_order import Assembled, assemble
from integration.shopify.bulk_shelf import Shelf
from tests.integration.sandbox.conftest import Tea, open_shop

ORDER = b'{"id":"gid://shopify/Order/%d"}'
LINE = b'{"id":"gid://shopify/LineItem/%d","__parentId":"gid://shopify/Order/%d"}'


def begun(path: Path, source: str) -> Shelf:
    """A shelf that holds one result."""
    shelf = Shelf(path)
    shelf.begin(source)
    return shelf


class Exported:
    """The tea shop behind a real server, and our client for its exports."""

    def __init__(self, tea: Tea, pretend: PretendShopify, address: str) -> None:
        self.tea, self.pretend = tea, pretend
        self.exports = pretend.exports[tea.shop.domain]
        self.token = pretend.grant(tea.shop.domain)["access_token"]
        self.admin = Admin(httpx.AsyncClient(), base=address + "/{shop}")
        self.bulk = Bulk(self.admin, tea.shop.domain, self.token)

    async def whole(self, since: int | None = None) -> bytes:
        """Have everything written and read it, however often it breaks off."""
        operation = await self.bulk.start(since)
        while (found := await self.bulk.look(operation)).is_running:
            pass
        assert found.url is not None, why_it_ended(found)
        body = b""
        while len(body) < (found.size or 0):
            try:
                async for piece in self.bulk.read(found.url, len(body)):
                    body += piece
            except Unavailable:
                continue
        return body

    async def orders(self, folder: Path) -> dict[int, Assembled]:
        """Read everything by way of the shelf."""
        shelf = begun(folder / "shelf", "test")
        shelf.take(await self.whole())
        shelf.finish()
        found = {s.number: assemble(s.head, s.children) for s in shelf.after(0, 1000) if s.head is not None}
        shelf.close()
        return found

    async def asked(self, order: PretendOrder) -> Order:
        """The same order as the Admin API tells it when asked for it alone."""
        return await self.admin.order(self.tea.shop.domain, self.token, str(order.id))


@pytest.fixture
async def exported() -> AsyncIterator[Exported]:
    tea = open_shop()
    pretend = PretendShopify.of([tea.shop], "the-key", "the-secret")
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(pretend.app, log_level="critical", lifespan="off"))
    serving = asyncio.create_task(server.serve([listener]))
    exported = Exported(tea, pretend, f"http://127.0.0.1:{listener.getsockname()[1]}")
    yield exported
    await exported.admin.aclose()
    server.should_exit = True
    await serving


def money(order: Order) -> Order:
    """An order without what only its refunds' own records tell."""
    refunds = tuple(
        msgspec.structs.replace(
            one, stamp=0, lines=tuple(msgspec.structs.replace(x, subtotal_minor=0, tax_minor=0) for x in one.lines)
        )
        for one in order.refunds
    )
    lines = tuple(sorted(order.lines, key=lambda line: int(line.id)))
    return msgspec.structs.replace(order, digest="", refunds=refunds, lines=lines)


async def test_an_export_tells_the_same_order_as_the_api(exported: Exported, tmp_path: Path) -> None:
    """Lines, discounts, taxes, shipping, parcels and a plain refund come out alike."""
    tea = exported.tea
    plain, _ = tea.shop.place(
        tea.ana, [(tea.earl_grey, 3), (tea.gift_card, 1)], discount_minor=5_00, shipping_minor=7_00
    )
    tea.shop.pay(plain)
    tea.shop.ship(plain)
    tea.shop.deliver(plain)
    returned, _ = tea.shop.place(tea.ana, [(tea.earl_grey, 3), (tea.cup, 2)], discount_minor=3_00, tip_minor=1_00)
    tea.shop.pay(returned)
    tea.hands.pass_seconds(60)
    tea.shop.refund(returned, {returned.lines[0].id: 1})
    cancelled, _ = tea.shop.place(tea.ana, [(tea.cup, 1)])
    tea.shop.pay(cancelled)
    tea.shop.cancel(cancelled)
    found = await exported.orders(tmp_path)
    for order in (plain, returned, cancelled):
        assert money(found[order.id].order) == money(await exported.asked(order))
        assert found[order.id].is_sure
    assert (found[plain.id].shop_id, found[plain.id].host) == (str(tea.shop.id), tea.shop.domain)


async def test_refunds_that_sums_do_not_explain_are_not_sure(exported: Exported, tmp_path: Path) -> None:
    """Several refunds, or money beyond the units: the order has to be asked for alone."""
    tea = exported.tea
    unsure = []
    for amounts in ([5_00], [1_00, 1_00]):
        order, _ = tea.shop.place(tea.ana, [(tea.earl_grey, 3)])
        tea.shop.pay(order)
        for amount in amounts:
            tea.shop.refund(order, {}, amount_minor=amount)
        unsure.append(order)
    found = await exported.orders(tmp_path)
    assert [found[order.id].is_sure for order in unsure] == [False, False]
    assert sum(one.discrepancy_minor for one in found[unsure[1].id].order.refunds) == 2_00


async def test_only_what_was_sold_since_a_day_is_asked_for(exported: Exported) -> None:
    """The date is put into the query itself, which takes no variables."""
    tea = exported.tea
    tea.shop.place(tea.ana, [(tea.cup, 1)])
    tea.hands.pass_seconds(3600)
    late, _ = tea.shop.place(tea.ana, [(tea.cup, 1)])
    lines = (await exported.whole(since=late.processed_at)).splitlines()
    assert sum(b"__parentId" not in line for line in lines) == 1


async def test_a_download_that_breaks_off_goes_on_where_it_was(exported: Exported) -> None:
    """Not a byte is missing or doubled."""
    tea = exported.tea
    for _ in range(30):
        tea.shop.place(tea.ana, [(tea.cup, 1), (tea.earl_grey, 2)])
    exported.exports.break_after = [100, 5_000, 1]
    body = await exported.whole()
    operation = next(iter(exported.exports.exports.values()))
    assert body == operation.result
    assert not exported.exports.break_after


async def test_a_shop_that_writes_enough_exports_already_has_to_be_waited_for(exported: Exported) -> None:
    """Five of one app at a time, whoever started them."""
    exported.exports.others_running = 5
    with pytest.raises(Unavailable, match="wait until one has ended"):
        await exported.bulk.start(None)


@pytest.mark.parametrize(
    ("end", "words"), [("FAILED", "failed inside"), ("CANCELED", "cancelled"), ("EXPIRED", "expired")]
)
async def test_an_export_that_ends_otherwise_says_why(exported: Exported, end: str, words: str) -> None:
    """One sentence, and no address to read from."""
    exported.exports.end_next = [end]
    operation = await exported.bulk.start(None)
    while (found := await exported.bulk.look(operation)).is_running:
        pass
    assert found.url is None
    assert words in why_it_ended(found)


async def test_an_address_that_has_expired_is_rejected(exported: Exported) -> None:
    """Seven days later the export has to be written again."""
    exported.tea.shop.place(exported.tea.ana, [(exported.tea.cup, 1)])
    await exported.whole()
    export = next(iter(exported.exports.exports.values()))
    export.expired = True
    url = (await exported.bulk.look(export.id)).url
    with pytest.raises(Rejected, match="expired"):
        async for _ in exported.bulk.read(url or "", 0):
            pass


async def test_a_result_is_read_over_https_only() -> None:
    """Shopify's addresses always are; anything else is somebody else's."""
    admin = Admin()
    with pytest.raises(Rejected, match="HTTPS"):
        async for _ in Bulk(admin, "hats.myshopify.com", "t").read("http://169.254.169.254/", 0):
            pass
    await admin.aclose()


def test_children_find_their_order_wherever_they_stand(tmp_path: Path) -> None:
    """Before it, long after it, in another piece, and twice."""
    shelf = begun(tmp_path / "shelf", "a")
    whole = b"\n".join([LINE % (1, 7), ORDER % 9, ORDER % 7, LINE % (2, 9), LINE % (3, 7)])
    for at in range(0, len(whole), 50):
        shelf.take(whole[at : at + 50])
    shelf.finish()
    assert [(one.number, one.head, sorted(one.children)) for one in shelf.after(0, 10)] == [
        (7, ORDER % 7, [LINE % (1, 7), LINE % (3, 7)]),
        (9, ORDER % 9, [LINE % (2, 9)]),
    ]
    assert shelf.orders == 2
    assert [one.number for one in shelf.after(7, 1)] == [9]
    assert shelf.after(9, 5) == []


def test_a_shelf_goes_on_after_its_process_died(tmp_path: Path) -> None:
    """What was taken is on disk; the rest comes from the byte it names. Another result starts anew."""
    whole = b"".join(ORDER % number + b"\n" for number in range(1, 50))
    first = begun(tmp_path / "shelf", "a")
    first.take(whole[:333])
    first.close()
    second = begun(tmp_path / "shelf", "a")
    assert 0 < second.taken <= 333
    second.take(whole[second.taken :])
    second.finish()
    assert (second.orders, second.lines, second.taken) == (49, 49, len(whole))
    second.close()
    third = begun(tmp_path / "shelf", "b")
    assert (third.taken, third.is_whole) == (0, False)
    third.discard()
    assert not list(tmp_path.iterdir())


def test_lines_that_cannot_be_read_are_told_by_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Garbage, something else's line, and a line without an end; the others are there."""
    monkeypatch.setattr(bulk_shelf, "MOST_LINE_BYTES", 200)
    lines = [b"{broken", ORDER % 1, b'{"id":"gid://shopify/Product/5"}', b"x" * 1000, b"", ORDER % (2**63), ORDER % 2]
    whole = b"\n".join(lines) + b"\n"
    shelf = begun(tmp_path / "shelf", "a")
    for at in range(0, len(whole), 90):
        shelf.take(whole[at : at + 90])
    shelf.finish()
    assert [line for line, _ in shelf.unread()[1]] == [1, 3, 4, 6]
    assert shelf.orders == 2
    assert shelf.taken == len(whole)


@pytest.mark.parametrize(
    "body", [b'{"id":"gid://shopify/Order/1"}', b'{"id":1}', b"[]", b'{"id":"gid://shopify/Order/1","updatedAt":"x"}']
)
def test_an_order_of_another_shape_is_unreadable(body: bytes) -> None:
    """It is left out and told, and stops nothing."""
    with pytest.raises(Unreadable):
        assemble(body, [])
