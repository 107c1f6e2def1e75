"""Files of balances that are made to hurt: endless, packed, of a million columns, in no letters anybody can read."""

import gzip
import io
import time
import tracemalloc
import zipfile
from collections.abc import AsyncIterator
from typing import Any

import pytest

from handlers.exchange.pages import FORM_BYTES
from handlers.exchange.rules import MOST_BYTES
from handlers.merchants.door import FORM_FIELD
from tests.visits import NORA, House, Visitor

DATA = "/app/connections/data"
GOOD = "email,points\nana@x.example,5\nbo@x.example,7\n"
GIGABYTE = 1_000_000_000
CHUNK = 64 * 1024
BOUNDARY = "x-boundary-x"


@pytest.fixture
async def nora(house: House) -> Visitor:
    """Nora's browser."""
    return await house.signed_in(NORA)


async def uploads(nora: Visitor, raw: bytes, name: str = "smile.csv", **headers: str) -> Any:
    """Send a file as the page's form does."""
    return await nora.post(DATA, {}, files={"file": (name, raw, "text/csv")}, **headers)


async def kept(house: House) -> list[Any]:
    """What is left of files in the database."""
    return await house.rows("SELECT (SELECT count(*) FROM import_lines), (SELECT count(*) FROM imports)")


class Flood:
    """A form with a file that never ends, as it is sent; counts what was asked for."""

    def __init__(self, token: str) -> None:
        self.sent = 0
        self._head = (
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{FORM_FIELD}"\r\n\r\n{token}\r\n'
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\nemail,points\n'
        ).encode()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._head
        line = b"ana@x.example,5\n" * (CHUNK // 16)
        while self.sent < GIGABYTE:
            self.sent += len(line)
            yield line


async def test_a_gigabyte_is_refused_while_it_comes_in(house: House, nora: Visitor) -> None:
    """Not announced, it is read to the limit and no further, and costs no more memory than any other upload."""
    flood = Flood(await nora.token())
    kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    tracemalloc.start()
    try:
        answer = await nora.client.post(DATA, content=flood, headers=kind)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert answer.status_code == 413
    assert MOST_BYTES <= flood.sent <= FORM_BYTES + 2 * CHUNK
    assert most < 4_000_000
    assert await kept(house) == [(0, 0)]


@pytest.mark.parametrize("length", [str(GIGABYTE), "9" * 40])
async def test_a_gigabyte_that_is_announced_is_refused_unread(nora: Visitor, length: str) -> None:
    """Before its first byte."""
    flood = Flood(await nora.token())
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}", "Content-Length": length}
    assert (await nora.client.post(DATA, content=flood, headers=headers)).status_code == 413
    assert flood.sent <= CHUNK


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "zstd", "gzip, gzip", "GZIP"])
async def test_a_packed_form_is_not_unpacked(house: House, nora: Visitor, encoding: str) -> None:
    """A bomb in the encoding of the body: 415, of any form."""
    bomb = gzip.compress(b"0" * 10_000_000)
    form, upload = "application/x-www-form-urlencoded", f"multipart/form-data; boundary={BOUNDARY}"
    for path, kind in ((DATA, upload), ("/app/programme", form)):
        headers = {"Content-Type": kind, "Content-Encoding": encoding}
        answer = await nora.client.post(path, content=bomb, headers=headers)
        assert answer.status_code == 415
    assert await kept(house) == [(0, 0)]


def packed(name: str) -> bytes:
    """A bomb of a hundred megabytes in some ten thousand bytes, by its name's ending."""
    plain = b"0" * 100_000_000
    if name.endswith(".gz"):
        return gzip.compress(plain)
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("xl/worksheets/sheet1.xml" if name.endswith(".xlsx") else "balances.csv", plain)
    return into.getvalue()


@pytest.mark.parametrize(
    ("name", "said"),
    [("balances.zip", "spreadsheet"), ("balances.xlsx", "spreadsheet"), ("balances.csv.gz", "no text file")],
)
async def test_a_packed_file_is_refused_as_it_is(house: House, nora: Visitor, name: str, said: str) -> None:
    """Nothing in it is opened; the page says what to upload in its place."""
    bomb = packed(name)
    assert len(bomb) < 200_000
    tracemalloc.start()
    try:
        answer = await uploads(nora, bomb, name)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert answer.status_code == 422 and said in answer.text and "CSV" in answer.text
    assert most < 4_000_000
    assert await kept(house) == [(0, 0)]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
async def test_a_million_columns_are_refused_by_their_heading(house: House, nora: Visitor, separator: str) -> None:
    """Whether in the heading or in a line further down, in a moment, with the line named."""
    wide = separator.join(["email", "points", *("c" for _ in range(999_998))])
    below = f"email{separator}points\n" + separator.join("1" for _ in range(1_000_000)) + "\n"
    for content in (wide + "\n" + wide, below):
        begun = time.process_time()
        answer = await uploads(nora, content.encode())
        assert answer.status_code == 422 and "too long to be read" in answer.text
        assert time.process_time() - begun < 5
    narrow = "email,points" + ",c" * 99 + "\n"
    answer = await uploads(nora, narrow.encode())
    assert answer.status_code == 422 and "columns" in answer.text
    assert await kept(house) == [(0, 0)]


@pytest.mark.parametrize(
    "raw",
    [
        b"\xff\xfe" + GOOD.encode("utf-16-le")[:-1],
        b"\xfe\xff" + b"\xd8\x00" * 50,
        GOOD.encode("utf-16-le"),
        GOOD.encode("utf-32"),
        b"\x00" * 5_000,
        b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20,
        b"%PDF-1.7\n" + bytes(range(256)) * 20,
    ],
    ids=["torn UTF-16", "half letters", "UTF-16 unsaid", "UTF-32", "nothing but NUL", "a picture", "a PDF"],
)
async def test_what_is_in_no_letters_anybody_can_read_is_refused(house: House, nora: Visitor, raw: bytes) -> None:
    """With a sentence beside the field, and never as a fault of ours."""
    answer = await uploads(nora, raw)
    assert answer.status_code == 422, answer.text
    assert 'aria-invalid="true"' in answer.text
    assert await kept(house) == [(0, 0)]


async def test_letters_of_an_old_spreadsheet_are_read_line_by_line(house: House, nora: Visitor) -> None:
    """A single byte that is no UTF-8 makes it Windows-1252; every line that cannot be used is reported."""
    raw = "email,points,first name\nana@x.example,5,Zoë\n\x81\x8d,5,x\nbo@x.example,7,Bo\n".encode("latin-1")
    answer = await uploads(nora, raw)
    assert answer.status_code == 303
    assert await house.rows("SELECT line, email, problem IS NULL FROM import_lines ORDER BY line") in (
        [(2, "ana@x.example", True), (3, None, False), (4, "bo@x.example", True)],
        [(2, "ana@x.example", 1), (3, None, 0), (4, "bo@x.example", 1)],
    )
