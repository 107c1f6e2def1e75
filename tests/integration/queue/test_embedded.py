"""The embedded Valkey starts when needed, is shared within one data directory, and leaves with its parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from redis import Redis

from integration.errors import Unavailable
from integration.queue import embedded
from integration.queue.embedded import EmbeddedValkey, find, socket_path

PARENT = """
import asyncio, sys
from pathlib import Path
from integration.queue.embedded import EmbeddedValkey

async def main():
    await EmbeddedValkey(Path(sys.argv[1])).start()
    print("up", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def pid_in(data_dir: Path) -> int:
    return int((data_dir / "valkey.pid").read_text())


def alive(pid: int) -> bool:
    """Tell whether a process runs; one that has ended but was not yet collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_it_starts_answers_and_stops(data_dir: Path) -> None:
    """Its files stay inside DATA_DIR, and none is left behind."""
    server = EmbeddedValkey(data_dir)
    await server.start()
    assert find(data_dir) == server.url == f"unix://{data_dir / 'valkey.sock'}"
    await server.stop()
    assert find(data_dir) is None
    assert not (data_dir / "valkey.sock").exists() and not (data_dir / "valkey.pid").exists()


async def test_a_second_process_of_the_same_data_dir_uses_the_same_server(data_dir: Path) -> None:
    """Web and worker on one machine share it, and the second leaves it running."""
    first, second = EmbeddedValkey(data_dir), EmbeddedValkey(data_dir)
    await first.start()
    pid = pid_in(data_dir)
    await second.start()
    await second.stop()
    assert pid_in(data_dir) == pid and find(data_dir) is not None
    await first.stop()


async def test_a_stale_socket_is_replaced(data_dir: Path) -> None:
    """A crash may leave the file; nobody answers there."""
    import socket

    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(data_dir / "valkey.sock"))
    assert find(data_dir) is None
    server = EmbeddedValkey(data_dir)
    await server.start()
    assert find(data_dir) is not None
    await server.stop()


async def test_a_server_that_ends_is_started_again(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Out of memory or killed by hand: the queue comes back by itself."""
    import asyncio

    monkeypatch.setattr(embedded, "WATCH_SECONDS", 0.02)
    server = EmbeddedValkey(data_dir)
    await server.start()
    first = pid_in(data_dir)
    os.kill(first, signal.SIGKILL)
    async with asyncio.timeout(60):
        while (data_dir / "valkey.pid").read_text() in ("", str(first)) or find(data_dir) is None:
            await asyncio.sleep(0.02)
    await server.stop()


async def test_a_long_data_dir_gets_a_short_socket(tmp_path: Path) -> None:
    """The kernel takes 108 bytes for a socket's path."""
    data_dir = tmp_path / ("long" * 30)
    server = EmbeddedValkey(data_dir)
    await server.start()
    try:
        path = socket_path(data_dir)
        assert path.parent != data_dir and len(str(path)) <= 100
        assert path.parent.stat().st_mode & 0o077 == 0
        with Redis(unix_socket_path=str(path)) as client:
            assert client.config_get("dir")["dir"] == str(data_dir)
    finally:
        await server.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a child die with its parent")
def test_a_killed_parent_takes_the_server_along(data_dir: Path) -> None:
    """SIGKILL leaves no time to tidy up, so the kernel does it."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(data_dir)], stdout=subprocess.PIPE)
    assert parent.stdout is not None and parent.stdout.readline() == b"up\n"
    pid = pid_in(data_dir)
    assert alive(pid)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 60
    while alive(pid):
        assert time.monotonic() < deadline, "the server outlives its parent"
        time.sleep(0.01)


async def test_a_machine_without_the_program_is_told_what_to_set(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are no wheels for some platforms."""
    monkeypatch.setattr("platform.system", lambda: "Windows")
    with pytest.raises(Unavailable, match="REDIS_URL"):
        await EmbeddedValkey(data_dir).start()
