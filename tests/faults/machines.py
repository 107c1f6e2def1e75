"""The machines of a fault run: the program's processes, restarted when they end, their database, queue and mail."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from redis import Redis
from sqlalchemy import text

from config.migrate import upgrade
from integration.clock import SECOND
from integration.queue.embedded import PID_NAME, socket_path
from integration.sandbox.mailbox import Mailbox
from tests.faults.platform import Platform
from tests.properties.plays import SHOPIFY_SECRET, Stage
from tests.servers import Postgres, dies_with_parent, free_port, postgres_binaries

Engine = Literal["sqlite", "postgres"]
ENGINES: tuple[Engine, ...] = ("sqlite", "postgres")

SECRET_KEY = "the-secret-key-of-the-property-tests"
LOOK_SECONDS = 0.02
RESTART_SECONDS = 0.3  # what a platform takes at least before it starts a process again
START_SECONDS = 60
STOP_SECONDS = 15

# Half a minute's lease, minutes between attempts: shortened in the same proportion, so that a run takes seconds.
Replaced = tuple[tuple[str, str, Any], ...]
LEASE_SECONDS = 4
HASTE: Replaced = (
    ("handlers.inbox.claim", "LEASE", LEASE_SECONDS * SECOND),
    ("handlers.inbox.claim", "MAX_CLAIMS", 5),
    ("handlers.inbox.claim", "RETRY_AFTER", [SECOND // 2, SECOND, SECOND, SECOND, SECOND, SECOND, SECOND]),
    ("handlers.inbox.look", "LOOK_SECONDS", 2),
    ("handlers.inbox.look", "TURN_SECONDS", 1),
    ("config.worker", "STUCK_SECONDS", 3),
    ("handlers.sales.settle", "RETRY_AFTER", [SECOND] * 7),
    ("handlers.messages.outbox", "LEASE", 6 * SECOND),
    ("handlers.messages.sending", "SPARE", SECOND),
    ("handlers.messages.rules", "FIRST_PAUSE", SECOND // 2),
    ("handlers.messages.rules", "LONGEST_PAUSE", 2 * SECOND),
)
LOGS = Path(tempfile.gettempdir()) / "regulars-faults-logs"  # of runs that did not pass


class Machine:
    """One process of the program under the eyes of whoever starts it again."""

    def __init__(
        self, name: str, words: Sequence[str], environment: Mapping[str, str], folder: Path, before: Sequence[str]
    ) -> None:
        self.name, self._words, self._before = name, words, before
        self._fault_file = folder / f"{name}.fault"
        self._log = folder / f"{name}.log"
        self._environment = {**os.environ, **environment, "FAULT_FILE": str(self._fault_file)}
        self.process: subprocess.Popen[bytes] | None = None
        self.wanted = False
        self.deaths = 0

    def start(self) -> None:
        """Start it, and from now on again whenever it ends."""
        self.wanted = True
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self._before, sys.executable, "-m", "tests.faults.program", *self._words],
                env=self._environment,
                stdout=log,
                stderr=log,
                preexec_fn=_prepared,
            )

    def arm(self, fault: str) -> None:
        """Have a running process fail as `point:action:nth` says; "" disarms."""
        self._fault_file.write_text(fault)
        self.send(signal.SIGUSR1)

    def send(self, number: signal.Signals) -> None:
        """Send a signal if the process lives."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    async def stopped(self, within: float) -> None:
        """Wait until the process has been stopped (SIGSTOP). TimeoutError after `within` seconds."""
        assert self.process is not None
        async with asyncio.timeout(within):
            while b"\nState:\tT" not in Path(f"/proc/{self.process.pid}/status").read_bytes():
                await asyncio.sleep(LOOK_SECONDS)

    @property
    def is_up(self) -> bool:
        return self.process is not None and self.process.poll() is None

    async def ended(self, within: float = STOP_SECONDS) -> float:
        """Wait until the process has ended; returns how many seconds that took. TimeoutError after `within`."""
        begun = time.monotonic()
        while self.is_up:
            if time.monotonic() - begun > within:
                raise TimeoutError(f"{self.name} has not ended after {within} s")
            await asyncio.sleep(LOOK_SECONDS)
        return time.monotonic() - begun

    async def stop(self) -> float:
        """End it in order for good; returns how long that took."""
        self.wanted = False
        self.send(signal.SIGCONT)
        self.send(signal.SIGTERM)
        return await self.ended()


def _prepared() -> None:
    # Told to fail before it listens, it reads its orders when it does.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    if (arrange := dies_with_parent(signal.SIGKILL)) is not None:
        arrange()


class World:
    """One installation of the program on an engine, with everything a fault can be done to."""

    def __init__(
        self, engine: Engine, folder: Path, environment: Mapping[str, str], replaced: Replaced, before: Sequence[str]
    ) -> None:
        self.engine, self.folder = engine, folder
        self.mailbox = Mailbox()
        self.platform = Platform()
        self.postgres: Postgres | None = None
        self.redis_port = free_port()
        self.redis_server: subprocess.Popen[bytes] | None = None
        self.machines: dict[str, Machine] = {}
        self.ports: list[int] = []
        self.stage: Stage
        self._more = environment
        self._replaced, self._before = replaced, before

    @property
    def disk(self) -> Path:
        """Where the database is, whichever it is."""
        return self.folder / "disk"

    @property
    def data_dir(self) -> Path:
        return self.disk / "data"

    @property
    def webs(self) -> list[Machine]:
        return [machine for name, machine in self.machines.items() if name.startswith(("web", "serve"))]

    @property
    def workers(self) -> list[Machine]:
        return [machine for name, machine in self.machines.items() if name.startswith(("worker", "serve"))]

    @property
    def deaths(self) -> int:
        return sum(machine.deaths for machine in self.machines.values())

    @classmethod
    @asynccontextmanager
    async def opened(
        cls,
        engine: Engine,
        environment: Callable[[Path], Mapping[str, str]] | None = None,
        *,
        replaced: Replaced = HASTE,
        disk: int = 0,
        before: Sequence[str] = (),
    ) -> AsyncIterator["World"]:
        """Start database, queue, mail and the program's processes.

        `environment` makes what is added to theirs, `replaced` are constants with other values, `disk` gives the
        database a disk of its own of so many megabytes, `before` is a command that starts them.
        """
        folder = Path(tempfile.mkdtemp(prefix="regulars-faults-"))
        folder.chmod(0o755)
        world = cls(engine, folder, environment(folder) if environment else {}, replaced, before)
        world.disk.mkdir()
        if disk:
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={disk}m", "tmpfs", world.disk], check=True)
        try:
            async with world.mailbox, world.platform:
                await world._open()
                async with Stage.opened(world.database_url, folder / "stage") as world.stage:
                    world.stage.clock.offset = 0
                    for machine in world.machines.values():
                        machine.start()
                    await world.answers()
                    keeper = asyncio.create_task(world._keep())
                    try:
                        yield world
                    finally:
                        keeper.cancel()
                        await world._stop_machines()
        finally:
            world._stop_engines()
            if disk:
                subprocess.run(["umount", "--lazy", world.disk], check=True)
            shutil.rmtree(folder, ignore_errors=True)

    async def _open(self) -> None:
        self.data_dir.mkdir()
        if self.engine == "postgres":
            binaries = postgres_binaries()
            if binaries is None:
                raise SystemExit("These runs need PostgreSQL (Debian: apt-get install postgresql).")
            home = self.disk / "postgres"
            home.mkdir()
            self.postgres = Postgres(binaries, home, fsync=True)
            self.postgres.start()
            self.start_redis()
            self.database_url = self.postgres.url
        else:
            self.database_url = f"sqlite:///{self.data_dir / 'regulars.db'}"
        await asyncio.to_thread(upgrade, self.database_url)
        names = ("web-1", "web-2", "worker-1", "worker-2") if self.engine == "postgres" else ("serve",)
        for name in names:
            self._add(name)

    def _add(self, name: str) -> None:
        words = [name.partition("-")[0]]
        environment = {
            "DATABASE_URL": self.database_url,
            "DATA_DIR": str(self.data_dir),
            "SECRET_KEY": SECRET_KEY,
            "SHOPIFY_API_SECRET": SHOPIFY_SECRET,
            "SMTP_URL": self.mailbox.url,
            "MAIL_FROM": "hello@regulars.example",
            "PUBLIC_URL": "https://regulars.example",
            "HOST": "127.0.0.1",
            "LOG_LEVEL": "info",
            "LOG_FORMAT": "json",
            "FAULT_SHOPIFY": self.platform.address,
            "FAULT_SET": json.dumps(self._replaced),
            **self._more,
        }
        if words[0] != "worker":
            self.ports.append(free_port())
            words += ["--port", str(self.ports[-1])]
        if self.engine == "postgres":
            environment["REDIS_URL"] = f"redis://127.0.0.1:{self.redis_port}/0"
        self.machines[name] = Machine(name, words, environment, self.folder, self._before)
        self._environment = environment

    # --- the queue ---

    def start_redis(self) -> None:
        """Start the Redis of many machines; on one machine the program starts its own."""
        self.redis_server = subprocess.Popen(
            ["redis-server", "--port", str(self.redis_port), "--bind", "127.0.0.1", "--save", "",
             "--dir", str(self.folder), "--enable-debug-command", "yes"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=dies_with_parent(signal.SIGKILL),
        )  # fmt: skip

    def redis(self) -> "Redis":
        """Return a client of whichever Redis the program uses now."""
        if self.engine == "postgres":
            return Redis(port=self.redis_port, socket_timeout=20)
        return Redis(unix_socket_path=str(socket_path(self.data_dir)), socket_timeout=20)

    @property
    def redis_pid(self) -> int:
        if self.redis_server is not None:
            return self.redis_server.pid
        return int((self.data_dir / PID_NAME).read_text())

    def kill_redis(self) -> None:
        """End Redis without a word; the embedded one is started again by the program itself."""
        os.kill(self.redis_pid, signal.SIGKILL)
        if self.redis_server is not None:
            self.redis_server.wait()

    # --- keeping up, waiting, ending ---

    async def _keep(self) -> None:
        """Start again what ended, as a platform does."""
        while True:
            for machine in self.machines.values():
                if machine.wanted and not machine.is_up:
                    machine.deaths += 1
                    await asyncio.sleep(RESTART_SECONDS)
                    if machine.wanted:
                        machine.start()
            await asyncio.sleep(LOOK_SECONDS)

    async def command(self, *words: str) -> dict[str, Any]:
        """Run one of the program's commands beside it; returns what it shows. RuntimeError when it fails."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.faults.program", *words, "--json"),
            env={**os.environ, **self._environment, "FAULT_FILE": str(self.folder / "command.fault")},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        said, complaint = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"{words[0]} ended with {process.returncode}: {complaint.decode()[-500:]}")
        shown: dict[str, Any] = json.loads(said)
        return shown

    async def pause(self) -> None:
        """End every process in order, until `resume`."""
        for machine in self.machines.values():
            await machine.stop()

    async def resume(self) -> None:
        """Start every process again."""
        for machine in self.machines.values():
            machine.start()
        await self.answers()

    async def answers(self) -> None:
        """Wait until every web process takes connections. TimeoutError when one does not."""
        async with asyncio.timeout(START_SECONDS):
            for port in self.ports:
                while True:
                    with suppress(OSError):
                        _, writer = await asyncio.open_connection("127.0.0.1", port)
                        writer.close()
                        break
                    await asyncio.sleep(LOOK_SECONDS)

    async def waits(self, domains: Sequence[str]) -> list[float]:
        """Return how long events of some shops waited to be worked, in seconds, once all have been."""
        names = ", ".join(f"'{domain}'" for domain in domains)
        select = f"SELECT received_at, worked_at FROM events WHERE connection IN ({names}) AND failed_at IS NULL"
        while True:
            async with self.stage.context.engine.connect() as connection:
                rows = [tuple(row) for row in await connection.execute(text(select))]
            if all(worked is not None for _, worked in rows):
                return sorted((worked - received) / SECOND for received, worked in rows)
            await asyncio.sleep(LOOK_SECONDS)

    def keep_logs(self, name: str) -> None:
        """Copy what the processes logged to where it can be read afterwards."""
        for path in self.folder.glob("*.log"):
            (LOGS / name).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, LOGS / name)

    def heal(self) -> None:
        """Let every process go on, unharmed from now on."""
        for machine in self.machines.values():
            machine.arm("")
            machine.send(signal.SIGCONT)

    async def _stop_machines(self) -> None:
        for machine in self.machines.values():
            try:
                await machine.stop()
            except TimeoutError:
                machine.send(signal.SIGKILL)

    def _stop_engines(self) -> None:
        if self.redis_server is not None:
            self.redis_server.kill()
            self.redis_server.wait()
        if self.postgres is not None:
            self.postgres.stop(signal.SIGQUIT)
