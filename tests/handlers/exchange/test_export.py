"""What goes out is whole, says what its heading says, and is run by no spreadsheet."""

import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from handlers.exchange import feeds
from handlers.exchange.feeds import export
from handlers.exchange.rules import FILES, points_text
from integration.database.steps import ask, plain
from tests.handlers.exchange.conftest import Shop

EVIL = '=cmd|"/c calc"!A1'


async def taken(shop: Shop, name: str, merchant: int | None = None, **how: bool) -> list[dict[str, str]]:
    """A file as a spreadsheet would read it."""
    pieces = [piece async for piece in export(shop.context, merchant or shop.merchant, name, **how)]
    return list(csv.DictReader(io.StringIO(b"".join(pieces).decode("utf-8-sig"))))


async def sold(shop: Shop, merchant: int | None = None) -> None:
    """A customer with a name no spreadsheet should run, a sale, a message and a review."""
    whose = merchant or shop.merchant
    for sql, values in (
        ("INSERT INTO customers (merchant_id, number, email, first_name, last_name, phone, created_at)"
         " VALUES (?1, 1, 'eve@x.example', ?2, 'O''Neil, \"Eve\"', '+4912345', 1790000000000000)", (EVIL,)),
        ("INSERT INTO sales (merchant_id, number, facts, revision, customer, platform, platform_id, name, email,"
         " currency, total_minor, eligible_minor, sold_at, standing, created_at)"
         " VALUES (?1, 1, '{}', 1, 1, 'shopify', '77', '#1001',"
         " 'eve@x.example', 'JPY', 1200, 1000, 1790000000000000, 'counted', 1)", ()),
        ("INSERT INTO messages (merchant_id, key, kind, customer, sale, channel, state, due_at, next_attempt_at,"
         " created_at) VALUES (?1, 'thank_you:sale:1', 'thank_you', 1, 1, 'email', 'waiting', 1790000000000000,"
         " 1, 1)", ()),
        ("INSERT INTO reviews (merchant_id, sale, line, customer, product_title, stars, words, name, written_at)"
         " VALUES (?1, 1, '9', 1, 'Cup', 5, ?2, '@eve', 1790000000000000)", ("-2+3\nlovely, really",)),
    ):  # fmt: skip
        statement = plain(sql)
        await shop.context.database.run(lambda s=statement, v=values: ask(s, (whose, *v)))  # type: ignore[misc]


async def test_every_file_has_its_documented_columns(shop: Shop) -> None:
    """In that order, with one cell each."""
    await sold(shop)
    await shop.brings_in((await shop.reads("email,points\nbo@x.example,12.5\n")).number)
    for name, file in FILES.items():
        rows = await taken(shop, name)
        assert rows and list(rows[0]) == [column.name for column in file.columns], name
        assert all(None not in row and None not in row.values() for row in rows)


async def test_nothing_is_run_by_a_spreadsheet_and_nothing_is_lost(shop: Shop) -> None:
    """What begins like a formula gets an apostrophe; commas, quotes and line breaks stay in their cell."""
    await sold(shop)
    (eve,) = await taken(shop, "customers")
    assert (eve["first_name"], eve["last_name"], eve["phone"]) == (f"'{EVIL}", 'O\'Neil, "Eve"', "'+4912345")
    assert eve["since"] == "2026-09-21T14:13:20Z"
    (review,) = await taken(shop, "reviews")
    assert (review["words"], review["name"], review["stars"]) == ("'-2+3\nlovely, really", "'@eve", "5")
    (sale,) = await taken(shop, "sales")
    assert (sale["total"], sale["currency"], sale["name"]) == ("1200", "JPY", "#1001")
    assert (await taken(shop, "messages"))[0]["state"] == "waiting"


async def test_balances_that_went_out_come_in_again(shop: Shop) -> None:
    """An export of customers is a file of balances: from one shop to another."""
    await shop.brings_in((await shop.reads("email,points\nana@x.example,1200\nbo@x.example,12.5\n")).number)
    rows = await taken(shop, "customers")
    assert [(row["email"], row["points"]) for row in rows] == [("ana@x.example", "1200"), ("bo@x.example", "12")]
    (_, second) = await taken(shop, "entries")
    assert (second["points"], second["reason"], second["customer"], second["test"]) == ("12.5", "import", "2", "")
    pieces = b"".join([piece async for piece in export(shop.context, shop.merchant, "customers", bom=True)])
    assert pieces.startswith(b"\xef\xbb\xbf")
    one = await shop.reads(pieces, "customers.csv")
    assert (one.good, one.micropoints, one.encoding) == (2, 1_212_000_000, "utf-8-sig")


async def test_a_merchant_gets_their_own_rows_alone(shop: Shop) -> None:
    """Of every file."""
    await sold(shop, shop.other)
    for name in FILES:
        assert await taken(shop, name) == []
        assert name == "entries" or len(await taken(shop, name, shop.other)) == 1


async def test_pages_leave_no_row_out_and_repeat_none(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the last page is full, and where rows come while it is read."""
    monkeypatch.setattr(feeds, "PAGE", 3)
    await shop.brings_in((await shop.reads("email,points\n" + "".join(f"p{n}@x.example,1\n" for n in range(6)))).number)
    assert [row["customer"] for row in await taken(shop, "customers")] == [str(n) for n in range(1, 7)]
    seen = []
    async for piece in export(shop.context, shop.merchant, "entries"):
        seen += piece.decode().splitlines()
        if len(seen) == 1:
            await shop.brings_in((await shop.reads("email,points\nlate@x.example,1\n")).number)
    assert [line.split(",")[0] for line in seen[1:]] == [str(n) for n in range(1, 7)]


async def test_what_fails_in_the_middle_does_not_end_like_a_whole_file(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The failure is raised to whoever sends the pieces."""
    monkeypatch.setattr(feeds, "PAGE", 2)
    await shop.brings_in((await shop.reads("email,points\n" + "".join(f"p{n}@x.example,1\n" for n in range(6)))).number)
    pieces: list[bytes] = []
    with pytest.raises(RuntimeError, match="gone"):
        async for piece in export(shop.context, shop.merchant, "entries"):
            pieces.append(piece)
            if len(pieces) == 2:
                monkeypatch.setattr(feeds, "ask", _gone)
    assert len(pieces) == 2


def _gone(*_: Any) -> Any:
    raise RuntimeError("gone")
    yield


@given(some.integers(-(10**18), 10**18))
def test_points_are_written_exactly(micropoints: int) -> None:
    """Without floats."""
    from decimal import Decimal

    assert Decimal(points_text(micropoints)) * 1_000_000 == micropoints
    assert "e" not in points_text(micropoints).lower()
