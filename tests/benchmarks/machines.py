"""Processes to measure: servers and the load generator, each on its core."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

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
    running = subprocess.Popen(
        command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        _await_port(running, port)
        yield running
    finally:
        running.send_signal(signal.SIGTERM)
        try:
            running.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def _await_port(running: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if running.poll() is not None:
            said = running.stderr.read().decode() if running.stderr else ""
            raise SystemExit(f"The server ended at once:\n{said}")
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
