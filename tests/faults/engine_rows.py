"""Faults of what the program stands on: the queue and the database gone, full, slow, locked, or only to be read."""

import asyncio
import os
import shutil
import signal
import sqlite3
import time
from contextlib import suppress
from pathlib import Path

import asyncpg
from redis import RedisError

from tests.faults.machines import World
from tests.faults.runs import Run

CHUNK = bytes(1 << 16)
PATIENCE_SECONDS = 30.0
SMALL_DISK, SMALL_DISK_OF_POSTGRES = 160, 400  # megabytes


async def redis_killed(run: Run) -> None:
    """Row 4: Redis gone for a while; now and then a process starts meanwhile."""
    await run.until(0.05, 0.3)
    run.world.kill_redis()
    if run.dice.random() < 0.5:
        run.dice.choice(list(run.world.machines.values())).send(signal.SIGTERM)
    await run.for_a_while(1, 5)
    if run.world.postgres is not None:
        run.world.start_redis()
    run.over()


async def redis_flushed(run: Run) -> None:
    """Row 5: everything in Redis forgotten, again and again."""
    await run.until(0.05, 0.2)
    for _ in range(5):
        with suppress(RedisError), run.world.redis() as redis:
            redis.flushall()
        await run.for_a_while(0.05, 0.4)
    run.over()


async def redis_full_or_slow(run: Run) -> None:
    """Row 6: Redis takes nothing more, or answers nobody for some seconds."""
    await run.until(0.05, 0.3)
    if run.dice.random() < 0.5:
        with run.world.redis() as redis:
            redis.config_set("maxmemory-policy", "noeviction")
            redis.config_set("maxmemory", 1)
        await run.for_a_while(1, 3)
        with run.world.redis() as redis:
            redis.config_set("maxmemory", 0)
    else:
        os.kill(run.world.redis_pid, signal.SIGSTOP)
        await run.for_a_while(3, 11)
        os.kill(run.world.redis_pid, signal.SIGCONT)
    run.over()


async def database_restarted(run: Run) -> None:
    """Row 7: PostgreSQL stopped fast, at once, or its main process killed; back after a while."""
    await run.until(0.05, 0.4)
    assert run.world.postgres is not None and run.world.postgres.server is not None
    server = run.world.postgres.server
    server.send_signal(run.dice.choice((signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)))
    while server.poll() is None:
        await asyncio.sleep(0.02)
    await run.for_a_while(0, 4)
    await started_again(run.world)
    run.over()


async def started_again(world: World) -> None:
    """Start PostgreSQL on its data; what a killed one left behind may have to end first."""
    assert world.postgres is not None
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        world.postgres.launch()
        try:
            await asyncio.to_thread(world.postgres.wait)
            return
        except RuntimeError:
            if time.monotonic() > end:
                raise
            await asyncio.sleep(0.2)


async def database_read_only(run: Run) -> None:
    """Row 8: every new transaction may only read, as on a standby."""
    await run.until(0.05, 0.4)
    await _altered(run.world, "on")
    await run.for_a_while(1, 3)
    await _altered(run.world, "off")
    run.over()


async def _altered(world: World, value: str) -> None:
    connection = await asyncpg.connect(world.database_url, server_settings={"default_transaction_read_only": "off"})
    try:
        await connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
        await connection.execute("SELECT pg_reload_conf()")
    finally:
        await connection.close()


# --- the disk ---


def disk_cannot() -> str:
    """Say why no small disk can be made here."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return "only root may make a small disk (mount -t tmpfs)."
    return ""


async def disk_full(run: Run) -> None:
    """Row 9: not a byte left on the database's disk, and space again after a while."""
    await run.until(0.05, 0.4)
    balloon = run.world.disk / "balloon"
    _fill(balloon)
    for _ in range(run.dice.randint(10, 25)):
        await asyncio.sleep(0.1)
        _fill(balloon)  # what was let go meanwhile
    balloon.unlink()
    postgres = run.world.postgres
    if postgres is not None and postgres.server is not None and postgres.server.poll() is not None:
        await started_again(run.world)
    run.over()
    if postgres is None:
        with sqlite3.connect(run.world.data_dir / "regulars.db") as connection:
            said = connection.execute("PRAGMA integrity_check").fetchone()[0]
            if said != "ok":
                run.broken.append(said)


def _fill(path: Path) -> None:
    with suppress(OSError), path.open("ab", buffering=0) as file:
        while file.write(CHUNK) == len(CHUNK):
            pass


async def power_cut(run: Run) -> None:
    """Row 10: what was acknowledged is in a copy of the files taken at any moment; each answer waited for a sync.

    The program stands still while its files are copied, which is what a snapshot of the disk would hold after the
    syncs that the other half of the row counts.
    """
    await run.until(0.2, 0.6)
    machine = run.world.machines["serve"]
    machine.send(signal.SIGSTOP)
    await machine.stopped(PATIENCE_SECONDS)
    acknowledged = set(run.traffic.acknowledged)
    copy = run.world.folder / f"cut-{time.monotonic_ns()}"
    copy.mkdir()
    for path in run.world.data_dir.glob("regulars.db*"):
        shutil.copy(path, copy)
    machine.send(signal.SIGCONT)
    run.over()
    with sqlite3.connect(copy / "regulars.db") as connection:
        stored = {" ".join(row) for row in connection.execute("SELECT source, connection, delivery_id FROM events")}
        said = connection.execute("PRAGMA integrity_check").fetchone()[0]
    if said != "ok" or acknowledged - stored:
        run.broken.append(f"{len(acknowledged - stored)} acknowledged are not in the copy; {said}")
    run.told["acknowledged before the cut"] = len(acknowledged)
    shutil.rmtree(copy)


# --- slowness ---


async def database_slow(run: Run) -> None:
    """Row 11: a lock held for a while, or every statement that stores a delivery slow."""
    await run.until(0.05, 0.3)
    if run.world.postgres is None:
        await asyncio.to_thread(_lock_sqlite, run.world.data_dir / "regulars.db", run.dice.uniform(1, 6))
    elif run.dice.random() < 0.5:
        connection = await asyncpg.connect(run.world.database_url)
        async with connection.transaction():
            await connection.execute("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
            await run.for_a_while(1, 6)
        await connection.close()
    else:
        await _slowed(run)
    run.over()


def _lock_sqlite(path: Path, seconds: float) -> None:
    with sqlite3.connect(path, timeout=20, isolation_level=None) as connection:
        connection.execute("BEGIN IMMEDIATE")
        time.sleep(seconds)
        connection.execute("COMMIT")


async def _slowed(run: Run) -> None:
    """Have each statement that stores events take 50, 500 or 5,000 ms, for a while."""
    seconds = run.dice.choice((0.05, 0.5, 5.0))
    connection = await asyncpg.connect(run.world.database_url)
    await connection.execute(
        "CREATE OR REPLACE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$BEGIN PERFORM pg_sleep({seconds}); RETURN NULL; END$$"
    )
    await connection.execute("CREATE TRIGGER slow AFTER INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION slow()")
    await run.for_a_while(2, 6)
    await connection.execute("DROP TRIGGER slow ON events")
    await connection.close()
