"""Reads a file of balances without bringing anything in, then brings it in or takes it back, batch by batch."""

import asyncio
import codecs
import csv
import hashlib
import io
import secrets
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain
from typing import IO, NamedTuple

import structlog

from handlers.context import Context
from handlers.exchange import store
from handlers.exchange.rules import (
    MOST_BYTES,
    MOST_COLUMNS,
    MOST_LINES,
    Row,
    Unfit,
    counted,
    places,
    read_row,
    twice,
)
from handlers.exchange.settle import take, take_back
from handlers.exchange.store import Import, Lost
from handlers.holders import Name
from handlers.merchants.books import shops
from handlers.merchants.rules import Refused
from integration.database.steps import Steps
from integration.faults import point

CHUNK = 1 << 16  # bytes looked at at once
READ_AT_ONCE = 1_000  # lines of one transaction while a file is read
MOST_BATCHES = 10_000  # of one import, either way
MOST_CARRIED_ON = 20  # imports picked up in one run of the clock
PRUNED_AT_ONCE = 50  # imports of one run of the clock
MOST_PAGES = 10_000  # of an import's lines that are deleted or blanked
MOST_NAME = 100  # characters of a file's name that are kept
LONGEST_LINE = 1 << 17  # characters, line breaks within quotes among them: a quote that is never closed ends there
MOST_EMPTY = 2_000_000  # lines without anything in them

# In the order they are tried; what is not UTF-8 comes from an older spreadsheet of western Europe.
BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
FALLBACK = "cp1252"
SEPARATORS = ",;\t|"

log = structlog.get_logger()


class Upload(NamedTuple):
    """A file of balances: its bytes, what it is called, who brings it, and what to do with unknown addresses."""

    file: IO[bytes]
    name: str
    who: str
    newcomers: str = "add"  # add | leave


class _Look(NamedTuple):
    digest: str
    encoding: str


async def read(context: Context, merchant_id: int, upload: Upload) -> Import:
    """Read a file line by line and keep what was found; nothing is brought in.

    Raises Refused, in one sentence, for a file none of which can be used, or that was brought in already.
    """
    shop = (await context.database.read(lambda: shops([merchant_id])))[merchant_id]
    look = await asyncio.to_thread(_looked_at, upload.file)
    now, name = context.clock.now(), _shown_name(upload.name)
    number = await context.database.run(
        lambda: store.open_import(merchant_id, look.digest, name, look.encoding, upload.newcomers, upload.who, now)
    )
    try:
        await _kept(context, merchant_id, number, upload, look, shop.currency)
    except Unfit as error:
        await drop(context, merchant_id, number)
        raise Refused(str(error)) from error
    one = await context.database.read(lambda: store.find(merchant_id, number))
    assert one is not None
    log.info("import_read", merchant=merchant_id, number=number, lines=one.lines, good=one.good)
    return one


async def _kept(context: Context, merchant_id: int, number: int, upload: Upload, look: _Look, currency: str) -> None:
    lines = good = known = micropoints = 0
    problems: list[tuple[str, int]] = []
    batches = _batches(upload.file, look.encoding, currency)
    leave = upload.newcomers == "leave"

    def keep(rows: list[Row]) -> Steps[list[tuple[Row, bool]]]:
        names = {("email", row.email) for row in rows if row.email is not None}
        gone = (yield from context.privacy.gone(merchant_id, names)) if context.privacy is not None else ()
        return (yield from store.add_lines(merchant_id, number, rows, leave, {value for _, value in gone}))

    while batch := await asyncio.to_thread(next, batches, None):
        kept = await context.database.run(lambda rows=batch: keep(rows))  # type: ignore[misc]
        lines += len(kept)
        for one, is_known in kept:
            if one.problem is None:
                good, known, micropoints = good + 1, known + is_known, micropoints + one.micropoints
        problems.extend(counted((one.kind or "", 1) for one, _ in kept if one.problem is not None).items())
    if not lines:
        raise Unfit("The file has a heading and no lines.")
    sums, now = (lines, good, known, micropoints), context.clock.now()
    await context.database.run(
        lambda: store.close_reading(merchant_id, number, upload.who, sums, counted(problems), now)
    )


# --- The file -------------------------------------------------------------------------------------


def _looked_at(file: IO[bytes]) -> _Look:
    """Measure and name a file, and find out how its letters are written; Refused for one that is no text."""
    file.seek(0)
    start = file.read(4)
    if start.startswith(b"PK\x03\x04") or start.startswith(b"\xd0\xcf\x11\xe0"):
        raise Refused("That is a spreadsheet. Save it as CSV first (File, Save as, CSV UTF-8), and upload that.")
    encoding = next((name for bom, name in BOMS if start.startswith(bom)), "utf-8")
    file.seek(0)
    digest, size, decoder = hashlib.sha256(), 0, codecs.getincrementaldecoder(encoding)("strict")
    while True:
        chunk = file.read(CHUNK)
        size += len(chunk)
        if size > MOST_BYTES:
            raise Refused(f"The file has more than {MOST_BYTES // 1_000_000} MB; split it into several.")
        digest.update(chunk)
        if encoding == "utf-8" and b"\0" in chunk:
            raise Refused("That is no text file. Save the balances as CSV (UTF-8), and upload that.")
        if encoding != FALLBACK:
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError:
                if encoding != "utf-8":
                    raise Refused(
                        "The file is damaged: its letters cannot be read. Save it anew as CSV UTF-8."
                    ) from None
                encoding = FALLBACK
        if not chunk:
            break
    if not size:
        raise Refused("The file is empty.")
    return _Look(digest.hexdigest(), encoding)


def _batches(file: IO[bytes], encoding: str, currency: str) -> Iterator[list[Row]]:
    """Read a file's lines in batches. Raises Unfit for a heading that names no balances, and for too much."""
    file.seek(0)
    text = io.TextIOWrapper(file, encoding=encoding, errors="replace", newline="")
    try:
        yield from _rows_in_batches(text, currency)
    finally:
        text.detach()


class _Lines:
    """A file's lines for `csv.reader`, of which no more is ever read at once than LONGEST_LINE."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self.number = 0  # of the last line that was read
        self._row = 0  # characters of the row that is being read

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._text.readline(LONGEST_LINE)
        if not line:
            raise StopIteration
        self.number += 1
        self._row += len(line)
        if self._row >= LONGEST_LINE:
            raise Unfit(
                f"Line {self.number:,} is too long to be read: it, or what a quotation mark before it opens, has more"
                f" than {LONGEST_LINE:,} characters. Mend that line and upload the file again."
            )
        return line

    def rows(self, first: str, separator: str) -> Iterator[list[str]]:
        """Read rows, the heading first, whose first line was read already. Raises Unfit for what is no CSV."""
        try:
            for cells in csv.reader(chain([first], self), delimiter=separator):
                self._row = 0
                yield cells
        except csv.Error as error:
            raise Unfit(f"The file is not CSV from line {self.number:,} on: {error}.") from error


def _rows_in_batches(text: io.TextIOWrapper, currency: str) -> Iterator[list[Row]]:
    lines = _Lines(text)
    first = next(lines, "")
    if first.startswith("sep="):  # how spreadsheets of some countries are told the separator
        first = next(lines, "")
    rows = lines.rows(first, max(SEPARATORS, key=first.count))
    heading = next(rows, [])
    if len(heading) > MOST_COLUMNS:
        raise Unfit(f"The file has more than {MOST_COLUMNS} columns.")
    at = places(heading)
    seen: dict[bytes, int] = {}
    batch: list[Row] = []
    count = empty = 0
    for cells in rows:
        if not any(cell.strip() for cell in cells):
            empty += 1
            if empty > MOST_EMPTY:
                raise Unfit(f"The file has more than {MOST_EMPTY:,} empty lines; delete them, and upload it again.")
            continue
        row = read_row(lines.number, cells, at, len(heading), currency)
        batch.append(_once(row, seen))
        count += 1
        if count > MOST_LINES:
            raise Unfit(f"The file has more than {MOST_LINES:,} lines; split it into several.")
        if len(batch) == READ_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def _once(row: Row, seen: dict[bytes, int]) -> Row:
    if row.email is None or row.problem is not None:
        return row
    mark = hashlib.blake2b(row.email.encode(), digest_size=12).digest()
    first = seen.setdefault(mark, row.line)
    return row if first == row.line else twice(row, first)


def _shown_name(name: str) -> str:
    shown = "".join(letter for letter in name.replace("\\", "/").rpartition("/")[2] if letter.isprintable())
    return " ".join(shown.split())[:MOST_NAME] or "balances.csv"


# --- Bringing in, and taking back -----------------------------------------------------------------


async def begin(context: Context, merchant_id: int, number: int, who: str) -> Import:
    """Have an import that was looked at brought in, by whichever worker; again is the same."""
    now = context.clock.now()
    one = await context.database.run(lambda: store.begin(merchant_id, number, who, now))
    await _asked_for(context, one)
    return one


async def undo(context: Context, merchant_id: int, number: int, who: str) -> Import:
    """Have what an import brought taken back, by whichever worker; again is the same."""
    now = context.clock.now()
    one = await context.database.run(lambda: store.begin_undoing(merchant_id, number, who, now))
    await _asked_for(context, one)
    return one


async def _asked_for(context: Context, one: Import) -> None:
    if one.state in ("importing", "undoing"):
        job = f"exchange:{one.merchant_id}:{one.number}:{one.state}"
        await context.queue.enqueue("exchange.carry_out", one.merchant_id, one.number, job_id=job)


async def carry_out(context: Context, merchant_id: int, number: int) -> None:
    """Go on with an import from where it is, to its end; where another process is at it, do nothing.

    Each batch is one transaction with its own cursor: a crash costs what was not yet committed and doubles nothing.
    """
    token = secrets.token_hex(8)
    one = await context.database.run(lambda: store.claim(merchant_id, number, token))
    if one is None:
        return
    gone = context.privacy.gone if context.privacy is not None else _nobody
    step = partial(take, gone=gone) if one.state == "importing" else take_back
    try:
        for _ in range(MOST_BATCHES):
            now = context.clock.now()
            went = await context.database.run(lambda at=one, by=now: step(at, token, by))  # type: ignore[misc]
            if went is None:
                break
            one = went
            point("exchange.moved")
        ended, now = one, context.clock.now()
        await context.database.run(lambda: store.finish(ended, token, now))
    except Lost as lost:
        log.info("import_left", merchant=merchant_id, number=number, reason=str(lost))
        return
    log.info("import_carried_out", merchant=merchant_id, number=number, state=one.state, lines=one.moved)


def _nobody(_merchant_id: int, _names: Iterable[Name]) -> Steps[frozenset[Name]]:
    return frozenset()
    yield  # A step function, though it asks for nothing.


async def carry_on(context: Context) -> None:
    """Pick up imports that were cut off, and forget what need not be kept any more."""
    for merchant_id, number in await context.database.read(lambda: store.under_way(MOST_CARRIED_ON)):
        await carry_out(context, merchant_id, number)
    now = context.clock.now()
    for merchant_id, number in await context.database.read(lambda: store.unwanted(now, PRUNED_AT_ONCE)):
        await drop(context, merchant_id, number)
    for merchant_id, number in await context.database.read(lambda: store.outdated(now, PRUNED_AT_ONCE)):
        await _blank(context, merchant_id, number, now)


async def drop(context: Context, merchant_id: int, number: int, who: str | None = None) -> bool:
    """Forget a file that was only looked at, some of its lines at a time; False where it has been brought in.

    Cut off, it is gone for every page, and the clock deletes what is left.
    """
    now = context.clock.now()

    def give_up() -> Steps[bool]:
        dropped = yield from store.drop(merchant_id, number, who, now)
        one = yield from store.find(merchant_id, number)
        return dropped or (one is not None and one.state == "dropped")

    if not await context.database.run(give_up):
        return False
    for _ in range(MOST_PAGES):
        if not await context.database.run(lambda: store.wipe(merchant_id, number)):
            break
        point("exchange.wiped")
    return True


async def _blank(context: Context, merchant_id: int, number: int, now: int) -> None:
    after: int | None = 0
    for _ in range(MOST_PAGES):
        after = await context.database.run(
            lambda behind=after: store.blank(merchant_id, number, behind, now)  # type: ignore[misc]
        )
        if after is None:
            break
