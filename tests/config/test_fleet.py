"""Several webs and workers on one PostgreSQL and one Valkey: engines stand still, leave and change under them."""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.config.fleet import Fleet, fleet, ports, set_up
from tests.conftest import missing
from tests.servers import postgres_binaries, private_valkey


@pytest.fixture
def valkey_of_its_own() -> Iterator[str]:
    with private_valkey() as url:
        yield url


@pytest.fixture(scope="module")
def binaries() -> Path:
    found = postgres_binaries()
    if found is None:
        missing("PostgreSQL's server binaries (Debian: apt-get install postgresql)")
    assert found is not None
    return found


@pytest.fixture(scope="module")
def made(binaries: Path) -> Iterator[Path]:
    """The data every fleet's PostgreSQL begins with."""
    folder = Path(tempfile.mkdtemp(prefix="regulars-fleet-"))
    with ThreadPoolExecutor(1) as thread:
        yield thread.submit(set_up, binaries, folder).result()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def machines(binaries: Path, made: Path, valkey_of_its_own: str) -> Iterator[Fleet]:
    folder = Path(tempfile.mkdtemp(prefix="regulars-fleet-"))
    try:
        with fleet(binaries, valkey_of_its_own, folder, made) as one:
            yield one
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _children(server: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(server)], capture_output=True, text=True).stdout
    return [server, *(int(word) for word in found.split())]


async def test_while_the_database_stands_still_it_is_said_at_once(machines: Fleet) -> None:
    """A platform that waits for five seconds and hangs up learns nothing; a 503 within a second asks it to come again.

    Only what was under way when it stopped may take until the deadline.
    """
    (port,) = ports(1)
    await machines.web(port)
    machines.start("worker")
    assert {answer.status for answer in await machines.send([port], range(50), 50)} == {200}
    # By a worker that has started: one that finds no database then is its platform's to restart.
    await machines.worked()
    assert machines.postgres.server is not None
    server = _children(machines.postgres.server.pid)
    for process in server:
        os.kill(process, signal.SIGSTOP)
    try:
        answers = await machines.send([port], range(50, 450), 50)
    finally:
        for process in server:
            os.kill(process, signal.SIGCONT)
    assert {answer.status for answer in answers} <= {200, 503}
    refused = sorted(answer.seconds for answer in answers if answer.status == 503)
    assert len(refused) > 200
    # Who waited for the deadline would have waited for four seconds: a machine may be busy for one or two.
    assert refused[len(refused) // 2] < 1 and refused[int(len(refused) * 0.95)] < 3
    async with asyncio.timeout(60):
        while {answer.status for answer in await machines.send([port], range(450, 460), 50)} != {200}:
            await asyncio.sleep(0.1)
    acknowledged = {f"w{answer.number}" for answer in answers if answer.status == 200}
    assert acknowledged <= {row[0] for row in await machines.rows("SELECT delivery_id FROM events")}
    await machines.worked()


async def test_who_starts_before_the_database_waits_for_it(machines: Fleet) -> None:
    """After a power cut everything starts at once, and the database is the slowest."""
    machines.postgres.stop()
    (port,) = ports(1)
    worker = machines.start("worker")
    web = machines.start("web", PORT=str(port))
    async with asyncio.timeout(60):
        while (machines.folder / "log").read_text().count("start_waits") < 2:
            await asyncio.sleep(0.1)
    assert worker.poll() is None and web.poll() is None
    machines.postgres.start()
    async with asyncio.timeout(60):
        answers = await machines.send([port], range(1), per_second=1)
        while answers[0].status != 200:
            await asyncio.sleep(0.2)
            answers = await machines.send([port], range(1), per_second=1)
    await machines.worked()


async def test_events_are_worked_without_redis_within_the_sweeps_period(machines: Fleet) -> None:
    """The queue is a doorbell: without it the worker looks by itself, once a second."""
    machines.environment["REDIS_URL"] = "redis://127.0.0.1:1"
    (port,) = ports(1)
    await machines.web(port)
    machines.start("worker")
    await machines.send([port], range(1), 50)
    await machines.worked()
    answers = await machines.send([port], range(1, 101), 50)
    assert {answer.status for answer in answers} == {200}
    await machines.worked()
    ((median,),) = await machines.rows(
        "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY worked_at - received_at) FROM events WHERE id > 1"
    )
    assert median < 2_000_000


async def test_a_rolling_restart_under_load_refuses_nothing_it_took(machines: Fleet) -> None:
    """Each process in turn is told to end; a platform sees 200 or no answer, never a refusal, and all is worked."""
    first, second = ports(2)
    webs = {port: await machines.web(port) for port in (first, second)}
    workers = [machines.start("worker") for _ in range(2)]
    sending = asyncio.create_task(machines.send([first, second], range(1_000), 100))
    drains = []
    for port, web in webs.items():
        await asyncio.sleep(0.5)
        drains.append(await _ended(web))
        webs[port] = await machines.web(port)
    for worker in workers:
        drains.append(await _ended(worker))
        machines.start("worker")
    answers = await sending
    assert {answer.status for answer in answers} <= {200, 0}
    taken = {f"w{answer.number}" for answer in answers if answer.status == 200}
    assert len(taken) > 100
    assert max(drains) < 10
    assert taken <= {row[0] for row in await machines.rows("SELECT delivery_id FROM events")}
    await machines.worked()
    assert (await machines.rows("SELECT max(claims) FROM events"))[0][0] == 1  # nobody had to wait for a lease to end


async def _ended(process: "subprocess.Popen[bytes]") -> float:
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(process.wait, 60) == 0
    return time.monotonic() - begun


async def test_a_worker_stopped_past_its_lease_does_no_harm(machines: Fleet) -> None:
    """Two real processes: what the stopped one holds is done by the other, and its own late write has no effect."""
    (port,) = ports(1)
    await machines.web(port)
    stopped = machines.start("worker")
    sending = asyncio.create_task(machines.send([port], range(300), 300))
    async with asyncio.timeout(30):
        while not await machines.rows("SELECT 1 FROM events WHERE claim IS NOT NULL OR worked_at IS NOT NULL LIMIT 1"):
            await asyncio.sleep(0.005)
    stopped.send_signal(signal.SIGSTOP)
    await sending
    # Stopped between two messages of one statement it is not idle to PostgreSQL, which then lets go of nothing itself.
    await machines.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'regulars' AND state = 'active' AND wait_event = 'ClientRead'"
    )
    # As the lease's end would; what it holds in a transaction it has stopped in is let go by the database.
    await machines.rows("UPDATE events SET claimed_until = 0 WHERE claim IS NOT NULL")
    machines.start("worker")
    await machines.worked()
    stopped.send_signal(signal.SIGCONT)
    await machines.send([port], range(300, 310), 300)
    await machines.worked()
    assert (await machines.rows("SELECT count(*) FROM events WHERE outcome = 'unhandled'"))[0][0] == 310


NEWER = (
    "ALTER TABLE events ADD COLUMN newer TEXT",
    "ALTER TABLE sales ADD COLUMN newer BIGINT NOT NULL DEFAULT 0",
    "CREATE TABLE newer (id BIGINT PRIMARY KEY)",
)


@pytest.fixture
async def newer_release(tmp_path: Path) -> AsyncIterator[Path]:
    """A copy of the program whose newest revision adds a column, a table and an index."""
    from tests.conftest import REPOSITORY

    for package in ("config", "handlers", "integration"):
        shutil.copytree(REPOSITORY / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    versions = tmp_path / "config/migrations/versions"
    newest = max(path.name for path in versions.glob("[0-9]*.py")).partition("_")[0]
    statements = "\n".join(f"    op.execute({statement!r})" for statement in NEWER)
    (versions / "9999_newer.py").write_text(
        f'"""Newer."""\n\nfrom alembic import op\n\nrevision = "9999"\ndown_revision = "{newest}"\n'
        f"branch_labels = None\ndepends_on = None\n\n\ndef upgrade():\n{statements}\n"
        '    op.create_index("ix_newer", "events", ["topic", "id"])\n'
    )
    store = tmp_path / "handlers/inbox/store.py"
    store.write_text(store.read_text() + '\nIndex("ix_newer", events.c.topic, events.c.id)\n')
    yield tmp_path


async def test_an_older_release_goes_on_while_and_after_the_newer_one_migrates(
    machines: Fleet, newer_release: Path
) -> None:
    """A new column, table and index under load: nothing is refused, nobody waits for long, all is worked."""
    first, second = ports(2)
    for port in (first, second):
        await machines.web(port)
    machines.start("worker")
    sending = asyncio.create_task(machines.send([first, second], range(1_000), 100))
    while len(await machines.rows("SELECT 1 FROM events LIMIT 100")) < 100:
        await asyncio.sleep(0.02)
    migrating = machines.start("migrate", PYTHONPATH=str(newer_release))
    assert await asyncio.to_thread(migrating.wait, 60) == 0, (machines.folder / "log").read_text()[-2000:]
    answers = await sending
    assert {answer.status for answer in answers} == {200}
    assert max(answer.seconds for answer in answers) < 5, "a platform hangs up after five seconds"
    await machines.worked()
    valid = await machines.rows("SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix_newer'::regclass")
    assert [tuple(row) for row in valid] == [(True,)]
    await machines.web(ports(1)[0])  # an older release may also start on it
