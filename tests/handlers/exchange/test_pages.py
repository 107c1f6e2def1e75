"""The page of data: a file is looked at, brought in and taken back; files go out by links that live for minutes."""

import csv
import io
import re
from typing import Any

import httpx
import pytest

from handlers.exchange import feeds, jobs, store
from integration.clock import MINUTE
from integration.errors import Unavailable
from tests.visits import NORA, OTTO, House, Visitor

BALANCES = "email,points\nana@x.example,1200\nbo@x.example,50\n=evil(),5\n"
DATA = "/app/connections/data"


class Desk:
    """Nora at her desk."""

    def __init__(self, house: House, nora: Visitor) -> None:
        self.house, self.nora = house, nora

    async def uploads(self, content: str | bytes = BALANCES, **fields: str) -> httpx.Response:
        """Send a file as the form does."""
        return await self.nora.post(DATA, fields, files={"file": ("smile.csv", content)})

    async def shown(self, path: str) -> str:
        answer = await self.nora.get(path)
        assert answer.status_code == 200, answer.text
        return " ".join(answer.text.split())

    async def link(self, path: str, nth: int = 0) -> str:
        """The address of a file a page offers."""
        return re.findall(r'href="(/app/connections/files/[^"]+)"', await self.shown(path))[nth]


@pytest.fixture
async def desk(database: Any) -> Desk:
    """Signed in."""
    house = await House(database).open()
    return Desk(house, await house.signed_in(NORA))


async def test_a_file_is_looked_at_brought_in_and_taken_back(desk: Desk) -> None:
    """Each page says where it stands; the journal says who did it."""
    answer = await desk.uploads()
    assert (answer.status_code, answer.headers["location"]) == (303, f"{DATA}/1")
    page = await desk.shown(f"{DATA}/1")
    assert "Nothing has been brought in yet" in page and "Bring in 2 balances" in page
    assert "Begins like a spreadsheet formula: 1" in page and "ana@x" not in page
    await desk.nora.post(f"{DATA}/1", {"act": "begin"})
    page = await desk.shown(f"{DATA}/1")
    assert "0 of 2 lines" in page and "data-under-way" in page
    await jobs.carry_out(desk.house.context, NORA, 1)
    page = await desk.shown(f"{DATA}/1")
    assert "2 balances with 1,250 points" in page and "data-under-way" not in page
    assert "nobody ends below zero" in await desk.shown(f"{DATA}/1/undo")
    for _ in range(2):
        assert (await desk.nora.post(f"{DATA}/1", {"act": "undo"})).status_code == 303
    await jobs.carry_out(desk.house.context, NORA, 1)
    assert "1,250 of 1,250 points came back" in await desk.shown(f"{DATA}/1")
    rows = await desk.house.rows("SELECT did, about FROM journal WHERE about = 'import:1' ORDER BY at, did")
    did = ("brought balances in", "took an import back", "uploaded a file of balances")
    assert sorted(rows) == [(one, "import:1") for one in did]
    looks = await desk.house.rows("SELECT count(*) FROM looks WHERE what = 'lines of an import'")
    assert looks == [(1,)]  # one look, however often the page was loaded within the hour
    assert await desk.house.rows("SELECT count(*) FROM messages") == [(0,)]


async def test_a_file_that_cannot_be_used_is_said_beside_the_field(desk: Desk) -> None:
    """What was chosen beside it stays chosen."""
    for content, said in (("a,b\n1,2\n", "must name a column"), ("", "empty"), (b"PK\x03\x04x", "spreadsheet")):
        answer = await desk.uploads(content, newcomers="leave")
        assert answer.status_code == 422 and said in answer.text, answer.text
        assert 'value="leave" checked' in answer.text
    answer = await desk.nora.post(DATA, {"newcomers": "add"})
    assert answer.status_code == 422 and "Choose a file first" in answer.text
    await desk.uploads()
    await desk.nora.post(f"{DATA}/1", {"act": "begin"})
    assert "already, as import 1" in (await desk.uploads()).text
    assert (await desk.nora.post(f"{DATA}/1", {"act": "dance"})).status_code == 400


async def test_a_file_nobody_wants_is_forgotten(desk: Desk) -> None:
    """With its lines."""
    await desk.uploads()
    done = await desk.nora.post(f"{DATA}/1", {"act": "drop"})
    assert "is forgotten" in await desk.shown(done.headers["location"])
    assert await desk.house.rows("SELECT count(*) FROM import_lines") == [(0,)]


async def test_a_file_that_was_brought_in_meanwhile_is_not_called_forgotten(desk: Desk) -> None:
    """Two people at once: whoever comes late is told what became of it, and what can still be done."""
    await desk.uploads()
    await desk.nora.post(f"{DATA}/1", {"act": "begin"})
    answer = await desk.nora.post(f"{DATA}/1", {"act": "drop"})
    page = await desk.shown(answer.headers["location"])
    assert "so it is not forgotten" in page and "0 of 2 lines" in page
    rows = await desk.house.rows("SELECT did FROM journal WHERE about = 'import:1'")
    assert sorted(rows) == [("brought balances in",), ("uploaded a file of balances",)]


async def test_what_cannot_be_written_down_is_not_done(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change and its line in the journal are one transaction."""
    await desk.uploads()

    def torn(*_: Any) -> Any:
        raise RuntimeError("the journal is away")
        yield

    monkeypatch.setattr(store, "note", torn)
    for act in ("begin", "drop"):
        assert (await desk.nora.post(f"{DATA}/1", {"act": act})).status_code == 500
    assert await desk.house.rows("SELECT state FROM imports") == [("checked",)]


async def test_a_file_of_more_than_a_form_is_taken_and_of_too_much_is_not(desk: Desk) -> None:
    """The page takes uploads where others take forms."""
    lines = "email,points\n" + "".join(f"p{n}@x.example,1\n" for n in range(30_000))
    assert len(lines) > 512 * 1024
    assert (await desk.uploads(lines)).status_code == 303
    assert (await desk.uploads("x" * 21_000_000)).status_code == 413


async def test_files_go_out_by_a_link_and_the_access_log_says_so(desk: Desk) -> None:
    """Whole, as an attachment, kept by nobody in between."""
    await desk.uploads()
    await desk.nora.post(f"{DATA}/1", {"act": "begin"})
    await jobs.carry_out(desk.house.context, NORA, 1)
    stranger = desk.house.stranger()
    answer = await stranger.get(await desk.link(DATA, 1))
    assert answer.content.startswith(b"\xef\xbb\xbf") and answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-disposition"] == 'attachment; filename="customers.csv"'
    assert [row["email"] for row in csv.DictReader(io.StringIO(answer.text.lstrip("\ufeff")))] == [
        "ana@x.example",
        "bo@x.example",
    ]
    report = (await stranger.get(await desk.link(f"{DATA}/1"))).content.decode("utf-8-sig").splitlines()
    assert report[1:] == [
        '2,ana@x.example,1200,"brought in, as a new customer",1',
        '3,bo@x.example,50,"brought in, as a new customer",2',
        "4,,,left out: The address begins like a spreadsheet formula.,",
    ]
    looks = {row[0] for row in await desk.house.rows("SELECT what FROM looks WHERE who = 'link:nora'")}
    assert {"file: Customers and their balances", "file: lines of an import"} <= looks


async def test_a_link_ends_and_cannot_be_made_up(desk: Desk) -> None:
    """After a quarter of an hour, with one letter changed, or signed for something else."""
    link = await desk.link(DATA)
    stranger = desk.house.stranger()
    other = desk.house.context.vault.sign("unsubscribe", NORA, "customers", 0, "x", desk.house.clock.now())
    for path in (link[:-1] + ("a" if link[-1] != "a" else "b"), f"/app/connections/files/{other}"):
        assert (await stranger.get(path)).status_code == 404
    assert (await stranger.get(link)).status_code == 200
    desk.house.clock.offset += 15 * MINUTE
    assert (await stranger.get(link)).status_code == 404


async def test_a_download_that_fails_in_the_middle_does_not_look_whole(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer breaks off; one that fails at once is no file at all."""
    monkeypatch.setattr(feeds, "PAGE", 1)
    await desk.uploads()
    await desk.nora.post(f"{DATA}/1", {"act": "begin"})
    await jobs.carry_out(desk.house.context, NORA, 1)
    link = await desk.link(DATA)
    pages = 0

    def breaking(*arguments: Any) -> Any:
        nonlocal pages
        pages += 1
        if pages > 3:
            raise RuntimeError("the database went away")
        return (yield from asked(*arguments))

    asked = feeds.ask
    monkeypatch.setattr(feeds, "ask", breaking)
    with pytest.raises(RuntimeError, match="went away"):
        await desk.house.stranger().get(link)


async def test_a_file_waits_for_a_database_that_is_away(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks is told to come again, on a page of the house."""
    link = await desk.link(DATA)

    async def away(*_: Any) -> Any:
        raise Unavailable("PostgreSQL cannot be used now")

    monkeypatch.setattr(desk.house.database, "run", away)
    answer = await desk.house.stranger().get(link)
    assert answer.status_code == 503 and "try again in a minute" in answer.text


async def test_otto_sees_nothing_of_it(desk: Desk) -> None:
    """Neither the import nor its report."""
    await desk.uploads()
    otto = await desk.house.signed_in(OTTO)
    for path in (f"{DATA}/1", f"{DATA}/1/undo"):
        assert (await otto.get(path)).status_code == 404
    assert "smile.csv" not in (await otto.get(DATA)).text
