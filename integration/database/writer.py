"""Writing to disk in company: SQLite's one writer thread, and the group commit the receiver stands on."""

import asyncio
import sqlite3
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from integration import meters
from integration.database.steps import Steps, drive_sqlite
from integration.errors import Unavailable

T = TypeVar("T")
Item = TypeVar("Item")
Verdict = TypeVar("Verdict")

MOST_IN_A_COMMIT = 500
LINGER_SECONDS = 0.001  # under load only
MOST_PENDING = 5_000
MOST_PENDING_BYTES = 64_000_000
COMMIT_DEADLINE_SECONDS = 4.0  # Shopify hangs up after five
# A commit that takes so long, and so many times as long as the one before it, stands still: who waits behind it is
# told at once to come again.
STANDSTILL_SECONDS = 0.7
STANDSTILL_TIMES = 2.0
LONGEST_STANDSTILL_SECONDS = 2.0
RETRY_AFTER_SECONDS = 2.0

_AWAY = {
    sqlite3.SQLITE_BUSY: "The database is locked by another process.",
    sqlite3.SQLITE_LOCKED: "The database is locked by another connection.",
    sqlite3.SQLITE_IOERR: "The disk under the database fails.",
    sqlite3.SQLITE_FULL: "The disk under the database is full.",
    sqlite3.SQLITE_CANTOPEN: "The database file cannot be opened.",
    sqlite3.SQLITE_READONLY: "The database file can only be read.",
}


class Closed(Unavailable):
    """The database has been closed; what was asked did not happen."""


def translate(error: Exception) -> Exception:
    """Return Unavailable for an sqlite3 error that will pass, the error itself for any other."""
    if isinstance(error, sqlite3.OperationalError):
        reason = _AWAY.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
        if reason is not None:
            meters.DATABASE_AWAY.inc()
            return Unavailable(reason, RETRY_AFTER_SECONDS)
    return error


@dataclass(slots=True)
class _Task:
    make: Callable[[], Steps[Any]]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]


class WriterThread:
    """One thread, one connection, one transaction at a time; urgent work (records) goes first.

    `opening` opens the connection inside the thread. `begin` is what starts a transaction: BEGIN IMMEDIATE
    takes the write lock before anything is read, so that a transaction never has to be given up half-way.
    """

    def __init__(self, opening: Callable[[], sqlite3.Connection], begin: str, name: str) -> None:
        self._opening = opening
        self._begin = begin
        self._urgent: deque[_Task] = deque()
        self._ordinary: deque[_Task] = deque()
        self._ready = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def submit(self, make: Callable[[], Steps[T]], urgent: bool = False) -> "asyncio.Future[T]":
        """Run the steps in one transaction on the thread; the future belongs to the calling loop."""
        loop = asyncio.get_running_loop()
        task = _Task(make, loop, loop.create_future())
        with self._ready:
            if self._closing:
                raise Closed("The database has been closed.")
            (self._urgent if urgent else self._ordinary).append(task)
            self._ready.notify()
        return task.future

    def close(self) -> None:
        """Finish what was submitted, then close the connection and end the thread."""
        with self._ready:
            self._closing = True
            self._ready.notify()
        self._thread.join()

    def _work(self) -> None:
        connection: sqlite3.Connection | None = None
        while (task := self._next()) is not None:
            result: Any = None
            error: Exception | None = None
            try:
                if connection is None:
                    connection = self._opening()
                result = _transaction(connection, self._begin, task.make)
            except Exception as failure:  # noqa: BLE001 - handed to whoever awaits the future
                error = translate(failure)
                if connection is not None and connection.in_transaction:
                    # A rollback that fails leaves a connection nobody can trust: open another.
                    connection.close()
                    connection = None
            _deliver(task, result, error)
        if connection is not None:
            connection.close()

    def _next(self) -> _Task | None:
        with self._ready:
            while not self._urgent and not self._ordinary:
                if self._closing:
                    return None
                self._ready.wait()
            return self._urgent.popleft() if self._urgent else self._ordinary.popleft()


def _transaction(connection: sqlite3.Connection, begin: str, make: Callable[[], Steps[T]]) -> T:
    cursor = connection.cursor()
    cursor.execute(begin)
    try:
        result = drive_sqlite(make(), cursor)
        cursor.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.rollback()
        raise
    finally:
        cursor.close()
    return result


def _deliver(task: _Task, result: Any, error: Exception | None) -> None:
    def settle() -> None:
        if task.future.done():
            return  # Whoever asked was cancelled; the transaction stands all the same.
        if error is not None:
            task.future.set_exception(error)
        else:
            task.future.set_result(result)

    try:
        task.loop.call_soon_threadsafe(settle)
    except RuntimeError:
        # The loop that asked has been closed meanwhile: nobody is left to tell.
        return


class _Verdicts(asyncio.Future[T]):
    """What all askers of a batch wait for: one that is cancelled does not cancel it for its neighbours.

    The cancelled one ends once the batch does, which has a deadline. A shield for each asker would say the
    same for a tenth of the receiver's time.
    """

    def cancel(self, msg: Any | None = None) -> bool:
        return False


@dataclass(slots=True, eq=False)
class _Batch(Generic[Item, Verdict]):
    future: _Verdicts[list[Verdict]]
    items: list[Item] = field(default_factory=list)
    bytes: int = 0
    deadline: asyncio.TimerHandle | None = None


class GroupCommit(Generic[Item, Verdict]):
    """Commit many askers' items together: whoever arrives while a commit is in flight shares the next one.

    `commit(items)` writes all items in one durable transaction and returns one verdict an item, in order.
    `after` is called once a commit (the bell). An asker has its answer only once its item is durable. `abreast`
    commits may be in flight together, where the database can.
    """

    def __init__(
        self,
        commit: Callable[[list[Item]], Awaitable[list[Verdict]]],
        after: Callable[[], None],
        abreast: int = 1,
    ) -> None:
        self._commit = commit
        self._after = after
        self._abreast = abreast
        self._waiting: deque[_Batch[Item, Verdict]] = deque()
        self._in_flight: dict[asyncio.Task[None], int] = {}  # and how many items each holds
        self._pending = 0
        self._pending_bytes = 0
        self._stored = 0  # by the commit before, while there is no pause
        self._looks = False
        self._linger: asyncio.TimerHandle | None = None
        self._took = 0.0  # seconds, the last commit that ended well
        self._stands_still = False

    async def add(self, item: Item, size: int) -> Verdict:
        """Return the item's verdict once it is durable; `size` in bytes. Raises as `place` does."""
        verdicts, position = self.place(item, size)
        return (await verdicts)[position]

    def place(self, item: Item, size: int) -> tuple["asyncio.Future[list[Verdict]]", int]:
        """Put an item into the next commit; return what to await and the position of its verdict there.

        Raises Unavailable at once when too much waits already or the commit under way stands still, and the future
        after the deadline when the disk is slow.
        """
        if self._stands_still:
            raise Unavailable("Nothing can be stored at the moment.", RETRY_AFTER_SECONDS)
        if self._pending >= MOST_PENDING or self._pending_bytes + size > MOST_PENDING_BYTES:
            raise Unavailable("Too much waits to be stored.", RETRY_AFTER_SECONDS)
        batch = self._open_batch()
        batch.items.append(item)
        batch.bytes += size
        self._pending += 1
        self._pending_bytes += size
        if not self._looks:
            # Whoever else arrives in this turn of the loop comes along.
            self._looks = True
            batch.future.get_loop().call_soon(self._look)
        return batch.future, len(batch.items) - 1

    async def drained(self) -> None:
        """Wait until nothing is pending."""
        while self._pending:
            if self._in_flight:
                await asyncio.wait(self._in_flight)
            else:
                await asyncio.sleep(LINGER_SECONDS)

    def _open_batch(self) -> _Batch[Item, Verdict]:
        if self._waiting and len(self._waiting[-1].items) < MOST_IN_A_COMMIT:
            return self._waiting[-1]
        loop = asyncio.get_running_loop()
        batch: _Batch[Item, Verdict] = _Batch(_Verdicts(loop=loop))
        batch.deadline = loop.call_later(COMMIT_DEADLINE_SECONDS, _give_up, batch.future)
        self._waiting.append(batch)
        return batch

    def _look(self) -> None:
        """Start what commits it is time for."""
        self._looks = False
        while self._waiting and self._is_time(len(self._waiting[0].items)):
            self._start()

    def _is_time(self, items: int) -> bool:
        if self._in_flight:
            # A second commit costs nearly as much as the first, so it has to be worth it.
            return len(self._in_flight) < self._abreast and items >= min(self._in_flight.values()) / 2
        if self._abreast > 1 or items >= self._stored:
            return True
        if self._linger is None:
            # Those just answered send their next at once: worth waiting a moment for, in one commit.
            self._linger = self._waiting[0].future.get_loop().call_later(LINGER_SECONDS, self._start)
        return False

    def _start(self) -> None:
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        batch = self._waiting.popleft()
        self._in_flight[asyncio.create_task(self._store(batch))] = len(batch.items)

    async def _store(self, batch: _Batch[Item, Verdict]) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        patience = min(max(STANDSTILL_SECONDS, STANDSTILL_TIMES * self._took), LONGEST_STANDSTILL_SECONDS)
        watch = loop.call_later(patience, self._stand_still)
        try:
            verdicts = await self._commit(batch.items)
        except Exception as error:  # noqa: BLE001 - handed to every asker of the batch
            if not batch.future.done():
                batch.future.set_exception(error)
                batch.future.exception()  # Retrieved here, since every asker may have gone.
        else:
            self._took = loop.time() - began
            if not batch.future.done():
                batch.future.set_result(verdicts)
            self._after()
        finally:
            watch.cancel()
            self._stands_still = False
            self._ended(batch)

    def _stand_still(self) -> None:
        """Send everybody away who waits behind the commit under way, and whoever comes until it has ended."""
        self._stands_still = True
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        while self._waiting:
            batch = self._waiting.popleft()
            self._pending -= len(batch.items)
            self._pending_bytes -= batch.bytes
            _give_up(batch.future)
            if batch.deadline is not None:
                batch.deadline.cancel()

    def _ended(self, batch: _Batch[Item, Verdict]) -> None:
        if batch.deadline is not None:
            batch.deadline.cancel()
        task = asyncio.current_task()
        assert task is not None
        del self._in_flight[task]
        self._pending -= len(batch.items)
        self._pending_bytes -= batch.bytes
        self._stored = len(batch.items) if self._waiting or self._in_flight else 0
        self._look()


def _give_up(future: "asyncio.Future[Any]") -> None:
    if not future.done():
        future.set_exception(Unavailable("Storing takes too long.", RETRY_AFTER_SECONDS))
        future.exception()
