"""Balances of another app are looked at first, brought in once, and can be taken back."""

import asyncio
import io
import tracemalloc
from typing import Any, ClassVar

import pytest

from handlers.customers.identify import Person, load, save
from handlers.exchange import jobs, personal, settle, store
from handlers.exchange.rules import FORGOTTEN, Unfit, places
from handlers.merchants.books import lock_books, save_books
from handlers.merchants.rules import Refused
from handlers.points.adjust import adjust
from integration import faults
from integration.clock import DAY
from integration.database.steps import Sql, ask
from integration.faults import Staged
from tests.handlers.exchange.conftest import ADA, Shop

GOOD = "Customer Email,Points Balance,First Name\nana@x.example,1200,Ana\nbo@x.example,50.5,Bo\n"


@pytest.fixture(autouse=True)
def disarmed() -> Any:
    """No fault outlives its test."""
    yield
    faults.arm("")


async def test_looking_at_a_file_brings_nothing_in(shop: Shop) -> None:
    """Rows, points and who is new are told; the books and the customers stay as they were."""
    one = await shop.reads(GOOD)
    assert (one.state, one.lines, one.good, one.known, one.micropoints) == ("checked", 2, 2, 0, 1_250_500_000)
    assert await shop.rows("SELECT count(*) FROM ledger_entries") == [(0,)]
    assert await shop.rows("SELECT count(*) FROM customers") == [(0,)]


async def test_a_file_is_brought_in_once_and_nobody_is_mailed(shop: Shop) -> None:
    """Known addresses get points, unknown ones a customer of their own; pressing the button again changes nothing."""
    one = await shop.brings_in((await shop.reads(GOOD)).number)
    again = await shop.brings_in(one.number)
    assert (one.state, one.moved, again) == ("done", 2, one)
    assert (await shop.points("ana@x.example"), await shop.points("bo@x.example")) == (1200, 50)
    assert await shop.rows("SELECT first_name, email FROM customers ORDER BY number") == [
        ("Ana", "ana@x.example"),
        ("Bo", "bo@x.example"),
    ]
    assert await shop.rows("SELECT reason, detail FROM ledger_entries") == [("import", None)] * 2
    await shop.is_sound()


async def test_the_very_file_again_is_refused(shop: Shop) -> None:
    """Under another name, too, and also when it was looked at twice before it was brought in; undone, it may come."""
    first, second = await shop.reads(GOOD), await shop.reads(GOOD, "copy.csv")
    await shop.brings_in(first.number)
    with pytest.raises(Refused, match="already, as import 1"):
        await shop.reads(GOOD, "third.csv")
    with pytest.raises(Refused, match="already, as import 1"):
        await shop.brings_in(second.number)
    await shop.takes_back(first.number)
    await shop.brings_in(second.number)
    assert await shop.points("ana@x.example") == 1200
    await shop.is_sound()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (",5", "no e-mail"),
        ("nobody,5", "not an e-mail"),
        ("a@b,5", "not an e-mail"),
        ("ana@x.example", "1 columns"),
        ("ana@x.example,5,6", "3 columns"),
        ('"=HYPERLINK(""http://evil"")",5', "formula"),
        ("+ana@x.example,5", "formula"),
        ("@ana@x.example,5", "formula"),
        ("ana@x.example,=1+1", "formula"),
        ("ana@x.example,@SUM(A1)", "formula"),
        ("ana@x.example,", "no number"),
        ("ana@x.example,-5", "below zero"),
        ("ana@x.example,0", "nothing to bring"),
        ("ana@x.example,many", "without separators"),
        ('ana@x.example,"1,200"', "without separators"),
        ("ana@x.example,1e9", "without separators"),
        ("ana@x.example,NaN", "without separators"),
        ("ana@x.example,0.0000001", "without separators"),
        ("ana@x.example,10000001", "More than"),
        ("a" * 600 + "@x.example,5", "longer"),
        ("a" * 300 + "@x.example,5", "not an e-mail"),
        ("bo@x.example,7", "line 2 already"),
        ("BO@X.example,7", "line 2 already"),
    ],
)
async def test_a_wrong_line_is_left_out_with_its_reason(shop: Shop, line: str, said: str) -> None:
    """The others count; the control totals say how many and why."""
    one = await shop.reads(f"email,points\nbo@x.example,50\n{line}\n")
    assert (one.lines, one.good, one.micropoints, sum(one.problems.values())) == (2, 1, 50_000_000, 1)
    (problem,) = await shop.context.database.read(lambda: store.problems_of(shop.merchant, one.number, 10))
    assert problem[0] == 3 and said in problem[2]
    await shop.brings_in(one.number)
    assert await shop.rows("SELECT count(*) FROM ledger_entries") == [(1,)]


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ("email;points\r\nmüller@x.example;5\r\n".encode("utf-8-sig"), "utf-8-sig"),
        ("email\tpoints\r\nmüller@x.example\t5\r\n".encode("utf-16"), "utf-16"),
        ("email,points\nmüller@x.example,5\n".encode("cp1252"), "cp1252"),
        ("sep=;\nEmail;Punkte;Points\nmüller@x.example;x;5\n".encode(), "utf-8"),
        ('"email","points"\n"müller@x.example","5"\n\n\n'.encode(), "utf-8"),
        ("email,points\rmüller@x.example,5\r".encode(), "utf-8"),
        ("email,points\nmüller@x.example,'5\n".encode(), "utf-8"),
    ],
)
async def test_files_of_every_spreadsheet_are_read(shop: Shop, content: bytes, encoding: str) -> None:
    """With marks, separators and line ends as they come; what was taken for the encoding is told."""
    one = await shop.reads(content)
    if content.endswith(b"'5\n"):
        assert one.good == 0  # an apostrophe that keeps nothing from being a formula is no number
        return
    assert (one.encoding, one.good, one.problems) == (encoding, 1, {})
    assert await shop.rows("SELECT email FROM import_lines") == [("müller@x.example",)]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"email,points\n", "no lines"),
        (b"mail address,score\nana@x.example,5\n", "must name a column 'email'"),
        (b"email,email,points\na@x.example,b@x.example,5\n", "Two columns"),
        (b"PK\x03\x04rest", "spreadsheet"),
        (b"\xd0\xcf\x11\xe0rest", "spreadsheet"),
        (b"email,points\nana\x00@x.example,5\n", "no text file"),
        (b"\xff\xfee\x00m\x00\xd8\xd8\xd8\xd8x", "damaged"),
        (b"email,points\n" + b'"' + b"x" * 200_000, "Line 2 is too long"),
        (b"email,points\n" + b'"a\n",' * 30_000, "Line [0-9,]+ is too long"),
        (b"x" * 200_000, "Line 1 is too long"),
    ],
)
async def test_a_file_none_of_which_can_be_used_is_refused(shop: Shop, content: bytes, said: str) -> None:
    """In one sentence that says what to do, and nothing is kept of it."""
    with pytest.raises(Refused, match=said):
        await shop.reads(content)
    assert await shop.rows("SELECT count(*) FROM imports") == [(0,)]
    assert await shop.rows("SELECT count(*) FROM import_lines") == [(0,)]


class _Counted(io.TextIOWrapper):
    """A text that notes how much of it was asked for at once."""

    asked: ClassVar[set[int]] = set()

    def readline(self, size: int = -1, /) -> str:  # type: ignore[override]
        self.asked.add(size)
        return super().readline(size)

    def __next__(self) -> str:
        self.asked.add(-1)
        return super().__next__()


async def test_no_line_is_read_whole_before_its_length_is_known(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is one line of 20 MB costs no more memory than any other; the line is named."""
    _Counted.asked.clear()
    monkeypatch.setattr(jobs.io, "TextIOWrapper", _Counted)
    long = b"email,points\nana@x.example,5\n" + b"x" * (jobs.MOST_BYTES - 100)
    tracemalloc.start()
    try:
        with pytest.raises(Refused, match="Line 3 is too long"):
            await shop.reads(long)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert _Counted.asked == {jobs.LONGEST_LINE}
    assert most < 2_000_000
    assert await shop.rows("SELECT count(*) FROM import_lines") == [(0,)]


async def test_cells_with_line_breaks_are_read_and_lines_counted_as_an_editor_does(shop: Shop) -> None:
    """Within quotes, in the heading too; the report names the line a row ends in."""
    one = await shop.reads('sep=,\n"Points\nbalance",email,note\n5,ana@x.example,"tall,\nfair"\n5,nobody,\n')
    assert one.problems == {"not an address": 1}
    assert await shop.rows("SELECT line, email FROM import_lines ORDER BY line") == [(5, "ana@x.example"), (6, None)]


async def test_too_much_is_refused(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many lines, and too many bytes."""
    monkeypatch.setattr(jobs, "MOST_LINES", 2)
    with pytest.raises(Refused, match="more than 2 lines"):
        await shop.reads(GOOD + "cleo@x.example,1,C\n")
    monkeypatch.setattr(jobs, "MOST_EMPTY", 1)
    with pytest.raises(Refused, match="more than 1 empty lines"):
        await shop.reads("email,points\n\n,\n")
    monkeypatch.setattr(jobs, "MOST_BYTES", 30)
    with pytest.raises(Refused, match="MB"):
        await shop.reads(GOOD)


def test_the_plainest_heading_is_meant_where_there_are_several() -> None:
    """Apps list several sums."""
    assert places(["Email", "Lifetime Points", "Balance", "points_balance"]) == {"email": 0, "points": 3}
    with pytest.raises(Unfit, match="points"):
        places(["email", "lifetime"])


async def test_addresses_nobody_has_can_be_left_out(shop: Shop) -> None:
    """And a customer who is known gets their points whatever the address's letters."""
    await shop.brings_in((await shop.reads("email,points\nana@x.example,10\n")).number)
    one = await shop.reads("email,points\nANA@x.example,5\nnew@x.example,7\n", newcomers="leave")
    assert (one.good, one.known, one.problems) == (1, 1, {"unknown": 1})
    await shop.brings_in(one.number)
    assert await shop.points("ana@x.example") == 15
    assert await shop.rows("SELECT count(*) FROM customers") == [(1,)]


async def test_another_currencys_balance_is_left_out(shop: Shop) -> None:
    """Where the file says which."""
    one = await shop.reads("email,points,currency\nana@x.example,5,EUR\nbo@x.example,7,usd\n")
    assert (one.good, one.problems) == (1, {"currency": 1})


async def test_a_shopify_customer_with_the_address_gets_the_points(shop: Shop) -> None:
    """The address's owner, not somebody new; their name is left as the platform told it."""
    await _knows(shop, Person(shopify_id="5001", emails=("ana@x.example",), email="ana@x.example",
                              first_name="Anastasia", told_at=shop.context.clock.now()))  # fmt: skip
    one = await shop.reads(GOOD)
    assert one.known == 1
    await shop.brings_in(one.number)
    assert await shop.rows("SELECT shopify_id, first_name FROM customers WHERE number = 1") == [("5001", "Anastasia")]
    assert await shop.points("shopify:5001") == 1200


async def _knows(shop: Shop, *people: Person) -> None:
    def join() -> Any:
        counters = yield from lock_books([shop.merchant])
        names = {("email", e) for p in people for e in p.emails} | {("shopify", str(p.shopify_id)) for p in people}
        found = yield from load({shop.merchant: names}, counters, shop.context.clock.now())
        for person in people:
            found[shop.merchant].claim(person)
        yield from save(found.values())
        yield from save_books(counters.values())

    await shop.context.database.run(join)


async def test_a_crash_between_batches_doubles_and_loses_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was committed stays, the clock goes on behind it; undoing survives a crash likewise."""
    monkeypatch.setattr(settle, "BATCH", 3)
    one = await shop.reads("email,points\n" + "".join(f"p{n}@x.example,{n + 1}\n" for n in range(10)))
    await jobs.begin(shop.context, shop.merchant, one.number, ADA)
    for nth in (1, 2):
        faults.arm(f"exchange.moved:raise:{nth}")
        with pytest.raises(Staged):
            await jobs.carry_out(shop.context, shop.merchant, one.number)
        faults.arm("")
        await jobs.carry_out(shop.context, shop.merchant, one.number)  # its lease is not over: nothing happens
        await _lease_over(shop)
    assert (await shop.stands(one.number)).moved == 9
    await jobs.carry_on(shop.context)
    assert (await shop.stands(one.number)).state == "done"
    assert await shop.rows("SELECT count(*), sum(micropoints) FROM ledger_entries") == [(10, 55_000_000)]
    await jobs.undo(shop.context, shop.merchant, one.number, ADA)
    faults.arm("exchange.moved:raise:1")
    with pytest.raises(Staged):
        await jobs.carry_out(shop.context, shop.merchant, one.number)
    faults.arm("")
    await _lease_over(shop)
    await jobs.carry_on(shop.context)
    one = await shop.stands(one.number)
    assert (one.state, one.taken_back) == ("undone", 55_000_000)
    assert await shop.rows("SELECT count(*) FROM accounts WHERE micropoints <> 0") == [(0,)]
    await shop.is_sound()


async def _lease_over(shop: Shop) -> None:
    from integration.database.steps import ask, plain

    await shop.context.database.run(lambda: ask(plain("UPDATE imports SET claimed_until = 0"), ()))


async def test_two_workers_at_one_import_bring_it_in_once(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """One has the lease; the other leaves it alone."""
    monkeypatch.setattr(settle, "BATCH", 2)
    one = await shop.reads("email,points\n" + "".join(f"p{n}@x.example,1\n" for n in range(20)))
    await jobs.begin(shop.context, shop.merchant, one.number, ADA)
    await asyncio.gather(*(jobs.carry_out(shop.context, shop.merchant, one.number) for _ in range(4)))
    assert await shop.rows("SELECT count(*) FROM ledger_entries") == [(20,)]
    await shop.is_sound()


async def test_undoing_takes_back_by_entries_what_is_still_there(shop: Shop) -> None:
    """Nobody ends in debt: what went elsewhere meanwhile stays gone, and the report says how much came back."""
    one = await shop.brings_in((await shop.reads(GOOD)).number)
    now = shop.context.clock.now()
    await shop.context.database.run(lambda: adjust(shop.merchant, 1, -1000, "spent elsewhere", None, now))
    undone = await shop.takes_back(one.number)
    assert (undone.state, undone.taken_back, undone.undone_at is not None) == ("undone", 250_500_000, True)
    assert (await shop.points("ana@x.example"), await shop.points("bo@x.example")) == (0, 0)
    assert await shop.takes_back(one.number) == undone
    with pytest.raises(Refused, match="upload it again"):
        await shop.brings_in(one.number)
    await shop.is_sound()


async def test_undoing_follows_a_person_who_was_merged(shop: Shop) -> None:
    """Points that hung on no sale moved along, and are taken from where they are."""
    one = await shop.brings_in((await shop.reads(GOOD)).number)

    def merge() -> Any:
        from handlers.customers.identify import Moved
        from handlers.points.settle import follow
        from integration.database.steps import ask, plain

        yield from ask(plain("UPDATE customers SET merged_into = 2 WHERE number = 1"), ())
        yield from follow([Moved(shop.merchant, 1, 2)], shop.context.clock.now())

    await shop.context.database.run(merge)
    assert await shop.points("bo@x.example") == 1250
    assert (await shop.takes_back(one.number)).taken_back == 1_250_500_000
    assert await shop.points("bo@x.example") == 0
    await shop.is_sound()


async def test_an_import_under_way_can_be_turned_round(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was brought in by then is taken back, the rest never comes."""
    monkeypatch.setattr(settle, "BATCH", 3)
    one = await shop.reads("email,points\n" + "".join(f"p{n}@x.example,1\n" for n in range(10)))
    await jobs.begin(shop.context, shop.merchant, one.number, ADA)
    faults.arm("exchange.moved:raise:1")
    with pytest.raises(Staged):
        await jobs.carry_out(shop.context, shop.merchant, one.number)
    faults.arm("")
    assert (await shop.takes_back(one.number)).taken_back == 3_000_000
    assert await shop.rows("SELECT count(*) FROM ledger_entries") == [(6,)]
    await shop.is_sound()


async def test_a_file_does_not_bring_back_who_was_forgotten(shop: Shop) -> None:
    """Their line is left out, and nothing of it kept; the others count."""
    from handlers.privacy.jobs import carry_out

    await shop.brings_in((await shop.reads(GOOD)).number)
    privacy, now = shop.context.privacy, shop.context.clock.now()
    assert privacy is not None
    await shop.context.database.run(lambda: privacy.forget(shop.merchant, 1, "link:ada", now))
    await carry_out(shop.context)
    one = await shop.reads("email,points\nANA@x.example,7\nbo@x.example,5\n")
    assert (one.good, one.problems) == (1, {"forgotten": 1})
    assert await shop.rows("SELECT count(*) FROM import_lines WHERE email = 'ana@x.example'") == [(0,)]


async def test_who_is_forgotten_between_the_look_and_the_import_comes_off_the_totals(shop: Shop) -> None:
    """What is shown as brought in is what was: the control totals, the reasons and the report agree with the books."""
    from handlers.privacy.jobs import carry_out

    privacy, now = shop.context.privacy, shop.context.clock.now()
    assert privacy is not None
    await shop.brings_in((await shop.reads("email,points\nana@x.example,10\n")).number)
    one = await shop.reads(GOOD)
    await shop.context.database.run(lambda: privacy.forget(shop.merchant, 1, ADA, now))
    await carry_out(shop.context)
    stands = await shop.brings_in(one.number)
    assert (stands.good, stands.moved, stands.micropoints, stands.problems) == (1, 1, 50_500_000, {"forgotten": 1})
    assert await shop.rows("SELECT problem FROM import_lines WHERE number = 2 ORDER BY line") == [(FORGOTTEN,), (None,)]
    # Brought in although: it was asked for while the lines were being looked at.
    late = await shop.reads("email,points\ncleo@x.example,7\nbo@x.example,5\n")
    assert late.good == 2
    gone = {("email", "cleo@x.example")}
    took = await shop.context.database.run(lambda: _taken(shop, late.number, gone))
    assert (took.good, took.moved, took.micropoints, took.problems) == (1, 1, 5_000_000, {"forgotten": 1})
    await shop.is_sound()


def _taken(shop: Shop, number: int, gone: set[tuple[str, str]]) -> Any:
    """Bring the first lines of an import in, some of whose people are forgotten by then."""

    def who(_: int, names: Any) -> Any:
        return frozenset(gone)
        yield

    yield from store.begin(shop.merchant, number, ADA, 1)
    one = yield from store.claim(shop.merchant, number, "here")
    return (yield from settle.take(one, "here", 1, gone=who))


async def test_what_a_file_is_called_stays_nowhere(shop: Shop) -> None:
    """It may be somebody's name: books and journal never learn it, and it goes with whoever stood in the file."""
    from handlers.privacy.jobs import carry_out

    one = await shop.reads(GOOD, "Ana Quaxington.csv")
    await shop.brings_in(one.number)
    await shop.takes_back(one.number)
    kept = await shop.rows("SELECT detail FROM ledger_entries") + await shop.rows("SELECT detail FROM journal")
    assert not any("Quaxington" in (row[0] or "") for row in kept)
    assert sorted(await shop.rows("SELECT did, who FROM journal")) == [
        ("brought balances in", ADA),
        ("took an import back", ADA),
        ("uploaded a file of balances", ADA),
    ]
    privacy, now = shop.context.privacy, shop.context.clock.now()
    assert privacy is not None
    await shop.context.database.run(lambda: privacy.forget(shop.merchant, 1, ADA, now))
    await carry_out(shop.context)
    assert (await shop.stands(one.number)).file == "import-1.csv"
    assert await shop.rows("SELECT email FROM import_lines ORDER BY line") == [(None,), ("bo@x.example",)]


async def test_an_address_on_every_line_is_forgotten_some_lines_at_a_time(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often a file repeats somebody, no transaction changes more lines than it may; nothing is left."""
    from handlers.privacy.jobs import carry_out

    one = await shop.reads("email,points\n" + "ana@x.example,5\n" * (2 * personal.MOST_AT_ONCE + 1))
    await shop.brings_in(one.number)
    privacy, now = shop.context.privacy, shop.context.clock.now()
    assert privacy is not None
    await shop.context.database.run(lambda: privacy.forget(shop.merchant, 1, ADA, now))
    touched: list[int] = []

    def counting(sql: Sql, rows: Any) -> Any:
        if sql is personal._FORGET and rows:
            touched.append(len(rows))
        return (yield from ask(sql, rows))

    monkeypatch.setattr(personal, "ask", counting)
    await carry_out(shop.context)
    assert touched == [personal.MOST_AT_ONCE, personal.MOST_AT_ONCE, 1]
    assert await shop.rows("SELECT count(*) FROM import_lines WHERE email IS NOT NULL") == [(0,)]


async def test_anothers_import_is_not_there(shop: Shop) -> None:
    """Its number is looked up with its merchant."""
    one = await shop.reads(GOOD)
    for act in (jobs.begin, jobs.undo):
        with pytest.raises(Refused):
            await act(shop.context, shop.other, one.number, ADA)
    assert await shop.context.database.read(lambda: store.find(shop.other, one.number)) is None


@pytest.mark.parametrize("lines", [2, 5_000])
async def test_what_need_not_be_kept_is_forgotten(shop: Shop, monkeypatch: pytest.MonkeyPatch, lines: int) -> None:
    """A file nobody brought in goes whole, the addresses and name of one brought in after a month, page by page.

    Undoing still works.
    """
    monkeypatch.setattr(store, "WIPED_AT_ONCE", lines)
    unused, used = await shop.reads(GOOD), await shop.reads(GOOD + "cleo@x.example,1,C\n")
    await shop.brings_in(used.number)
    shop.context.clock.offset += 31 * DAY
    await jobs.carry_on(shop.context)
    assert await shop.context.database.read(lambda: store.find(shop.merchant, unused.number)) is None
    assert await shop.rows("SELECT count(*) FROM import_lines WHERE email IS NOT NULL") == [(0,)]
    assert await shop.rows("SELECT count(*) FROM import_lines WHERE number = 1") == [(0,)]
    assert (await shop.stands(used.number)).file == "import-2.csv"
    now = shop.context.clock.now()
    assert await shop.context.database.read(lambda: store.outdated(now, 10)) == []
    assert (await shop.takes_back(used.number)).taken_back == 1_251_500_000


async def test_forgetting_a_file_that_is_cut_off_goes_on(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """No page shows the file any more; the clock deletes what is left, and the number is not given again before."""
    monkeypatch.setattr(store, "WIPED_AT_ONCE", 1)
    one = await shop.reads(GOOD)
    faults.arm("exchange.wiped:raise:1")
    with pytest.raises(Staged):
        await jobs.drop(shop.context, shop.merchant, one.number, ADA)
    faults.arm("")
    assert await shop.rows("SELECT line FROM import_lines") == [(3,)]
    with pytest.raises(Refused, match="There is no import"):
        await jobs.begin(shop.context, shop.merchant, one.number, ADA)
    assert (await shop.reads(GOOD)).number == one.number + 1
    await jobs.carry_on(shop.context)
    assert await shop.rows("SELECT DISTINCT number FROM import_lines") == [(one.number + 1,)]
    rows = await shop.rows("SELECT did FROM journal WHERE about = 'import:1'")
    assert sorted(rows) == [("forgot a file of balances",), ("uploaded a file of balances",)]
