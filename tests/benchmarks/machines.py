"""What is measured: processes, each on its core, and empty databases."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from config.migrate import upgrade
from tests.servers import postgres_binaries, private_postgres

SERVER_CORE, LOAD_CORE = 0, 1
START_SECONDS = 60
STOP_SECONDS = 20


def on_core(core: int, command: Sequence[str]) -> list[str]:
    """Pin a command to one core where the machine has two and can."""
    pins = shutil.which("taskset") and (os.cpu_count() or 1) > 1
    return ["taskset", "-c", str(core), *command] if pins else list(command)


@contextmanager
def process(command: Sequence[str], environment: Mapping[str, str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until it listens on `port`, and stop it in the end."""
    # A file, for a pipe that nobody reads would stop the server once it is full.
    with tempfile.TemporaryFile() as said:
        running = subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=said)
        try:
            _await_port(running, port, said)
            yield running
        finally:
            running.send_signal(signal.SIGTERM)
            try:
                running.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()


def _await_port(running: subprocess.Popen[bytes], port: int, said: IO[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if running.poll() is not None:
            said.seek(0)
            raise SystemExit(f"The server ended at once:\n{said.read().decode()}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"Nothing listens on port {port} after {START_SECONDS} seconds.")


def regulars(*words: str) -> list[str]:
    """Name the product's own command in this environment."""
    return [str(Path(sys.executable).with_name("regulars")), *words]


def resident_megabytes(pid: int) -> float:
    """Read how much memory a process holds."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def cpu_seconds(pid: int) -> float:
    """Read how long a process has kept a core busy so far."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cpu_seconds_below(pid: int) -> float:
    """Read the same of all processes it has started, and of those that they have."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):  # It ended meanwhile, and its time is its parent's.
                fields = _stat(int(entry.name))
                parents[int(entry.name)] = (int(fields[1]), sum(map(int, fields[11:15])))
    family, ticks = {pid}, 0
    while found := {child for child, (parent, _) in parents.items() if parent in family} - family:
        family |= found
        ticks += sum(parents[child][1] for child in found)
    return ticks / os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str]:
    """Read what the system counts of a process, from its state on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def machine_busy_seconds() -> tuple[float, float]:
    """Read how long all cores together have been busy, and idle, since the machine started."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle = fields[3] + fields[4]
    return (sum(fields) - idle) / os.sysconf("SC_CLK_TCK"), idle / os.sysconf("SC_CLK_TCK")


@contextmanager
def new_database(engine: str) -> Iterator[tuple[str, Path]]:
    """Make an empty database of SQLite or PostgreSQL with all its tables; yields its address and a folder."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="regulars-bench-")))
        url = f"sqlite:///{folder / 'regulars.db'}"
        if engine == "PostgreSQL":
            binaries = postgres_binaries()
            if binaries is None:
                raise SystemExit("This benchmark needs PostgreSQL (Debian: apt-get install postgresql).")
            url = stack.enter_context(private_postgres(binaries))
        upgrade(url)
        yield url, folder
