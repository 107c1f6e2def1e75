"""Running the program: serve, web, worker, migrate."""

import asyncio
import contextlib
import gc
import os
import resource
import signal
import socket
import sys
import time
from typing import Annotated, Any

import structlog
import typer
import uvicorn
import uvloop

from config import logs, settings
from config import migrate as migrating
from config.asgi import build, build_aside
from config.commands import NOT_SET_UP, Json, Refused, show
from config.connections import PatientProtocol
from config.settings import Settings
from config.wiring import opened
from config.worker import watched, work
from handlers.context import Context
from integration.database.engine import address
from integration.errors import Unavailable

START_SECONDS = 120  # for engines that are not there yet
START_PAUSE_SECONDS = 1
GRACEFUL_SECONDS = 4
KEEP_ALIVE_SECONDS = 30  # platforms keep their connections
MOST_CONNECTIONS = 4_000
LEAST_CONNECTIONS = 16
OWN_FILES = 40  # what a process has open beside the connections it takes: database, queue, mail
COLLECT_AFTER = (10_000, 10, 10)  # objects made, young and middle collections before the next older one
BACKLOG = 2_048

Port = Annotated[int | None, typer.Option("--port", help="Listen here instead of PORT.")]

log = structlog.get_logger()


def serve(port: Port = None, as_json: Json = False) -> None:
    """Run web and worker in one process, after bringing the database up to date."""
    _run(port, as_json, web=True, worker=True, migrated=True)


def web(port: Port = None, as_json: Json = False) -> None:
    """Run the web process alone: webhooks and pages."""
    _run(port, as_json, web=True, worker=False, migrated=False)


def worker(as_json: Json = False) -> None:
    """Run the worker process alone: events, messages and the clock's jobs."""
    _run(None, as_json, web=False, worker=True, migrated=False)


def migrate(as_json: Json = False) -> None:
    """Bring the database up to date, one process at a time."""
    _migrate(settings.load())
    show({"migrated": True}, as_json, ["The database is up to date."])


def _run(port: int | None, as_json: bool, *, web: bool, worker: bool, migrated: bool) -> None:
    loaded = settings.load()
    logs.configure(loaded.log_level, loaded.log_format)
    logs.catch_all()
    if port is not None:
        loaded = loaded.model_copy(update={"port": port})
    if migrated:
        _migrate(loaded)
    else:
        _look_at_schema(loaded)
    # What is loaded by now lives as long as the process. Left to the collector it would be looked through again
    # and again, for a tenth of a second each time, while deliveries wait.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    uvloop.run(_serve(loaded, as_json, web=web, worker=worker))


def _migrate(loaded: Settings) -> None:
    try:
        url = address(loaded.database_url, loaded.data_dir)
    except ValueError as error:
        raise Refused(str(error)) from None
    try:
        migrating.upgrade(url)
    except Exception as error:
        # The driver's own words may hold the address with its password.
        log.debug("migration_failed", exc_info=True)
        words = f"{error.strerror}: {error.filename}" if isinstance(error, OSError) and error.filename else ""
        raise Refused(f"The database cannot be brought up to date ({words or type(error).__name__}).") from None


def _look_at_schema(loaded: Settings) -> None:
    """Refuse to run on a database that was never set up, rather than fail at the first delivery."""
    try:
        is_behind = migrating.is_behind(address(loaded.database_url, loaded.data_dir))
    except ValueError as error:
        raise Refused(str(error)) from None
    except Exception:
        log.debug("schema_not_seen", exc_info=True)
        return
    if is_behind:
        raise Refused(NOT_SET_UP)


async def _serve(loaded: Settings, as_json: bool, *, web: bool, worker: bool) -> None:
    """Serve until SIGTERM or SIGINT: first no more requests, then what was taken is stored, then the work ends."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        context = await _entered(stack, loaded, stop)
        if context is None:
            return
        worker_stop = asyncio.Event()
        tasks = []
        watching = asyncio.create_task(watched(), name="watch") if worker else None
        if worker:
            tasks.append(asyncio.create_task(work(context, worker_stop), name="worker"))
        if loaded.metrics_port is not None:
            tasks.append(asyncio.create_task(_listen_aside(context, loaded, stop), name="metrics"))
        if web:
            tasks.append(asyncio.create_task(_listen(context, loaded, as_json, stop), name="web"))
        stopping = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait((stopping, *tasks), return_when=asyncio.FIRST_COMPLETED)
        stop.set()
        if web:
            done |= (await asyncio.wait(tasks[-1:]))[0]
        worker_stop.set()
        if tasks:
            done |= (await asyncio.wait(tasks))[0]
        if watching is not None:
            watching.cancel()
        for task in done:
            task.result()


async def _entered(stack: contextlib.AsyncExitStack, loaded: Settings, stop: asyncio.Event) -> Context | None:
    """Open everything as soon as the engines answer; None where we were told to stop before.

    A machine and its database may start together, or after the same power cut. Raises Unavailable where the wait is
    too long: then it is no start that somebody waits for.
    """
    end = time.monotonic() + START_SECONDS
    while not stop.is_set():
        try:
            return await stack.enter_async_context(opened(loaded, serving=True))
        except Unavailable as error:
            if time.monotonic() > end:
                raise
            log.warning("start_waits", reason=str(error))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), START_PAUSE_SECONDS)
    return None


async def _listen(context: Context, loaded: Settings, as_json: bool, stop: asyncio.Event) -> None:
    application = build(context, loaded.metrics_token)
    with _bound(loaded.host, loaded.port) as own_socket:
        _announce(own_socket.getsockname()[1], as_json)
        await _until(stop, _server(application), own_socket)
    await application.drained()


async def _listen_aside(context: Context, loaded: Settings, stop: asyncio.Event) -> None:
    with _bound(loaded.host, loaded.metrics_port or 0) as own_socket:
        log.info("metrics_listen", port=own_socket.getsockname()[1])
        await _until(stop, _server(build_aside(context)), own_socket)


def _room_for_connections() -> int:
    """Take as many open files as the system gives; return how many connections fit in beside our own.

    Were all of them taken, not even the database could be opened. What is beyond is answered 503 and closed.
    """
    wanted = MOST_CONNECTIONS + OWN_FILES
    given, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if given != resource.RLIM_INFINITY and given < wanted:
        asked = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
        # A system may give less than it says.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (asked, most))
            given = asked
    room = wanted if given == resource.RLIM_INFINITY else given
    return max(LEAST_CONNECTIONS, min(room - OWN_FILES, MOST_CONNECTIONS))


def _server(application: Any) -> uvicorn.Server:
    server = uvicorn.Server(
        uvicorn.Config(
            application,
            http=PatientProtocol,
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            # Links are made from PUBLIC_URL, and whoever says they come from elsewhere is not believed.
            proxy_headers=False,
            limit_concurrency=_room_for_connections(),
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACEFUL_SECONDS,
        )
    )
    # Signals are ours: the worker has to finish after the web.
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
    return server


async def _until(stop: asyncio.Event, server: uvicorn.Server, own_socket: socket.socket) -> None:
    """Serve on a socket that listens already, until told to stop; then what is under way is answered."""
    serving = asyncio.create_task(server.serve(sockets=[own_socket]))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    server.should_exit = True
    await serving


def _bound(host: str, port: int) -> socket.socket:
    """Listen, so that whoever reads our first line can connect at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError:
        raise Refused(f"Port {port} of HOST {host} cannot be listened on.") from None


def _announce(port: int, as_json: bool) -> None:
    url = f"http://localhost:{port}"
    show({"url": url, "pid": os.getpid()}, as_json, [f"Regulars listens on {url}"])
    sys.stdout.flush()
