"""Commands of `regulars`: what they share is here, each group has its own module."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterable
from typing import Annotated, Any, TypeVar

import typer

from config import logs, settings
from handlers.context import Context
from integration.database.engine import lacks_tables

T = TypeVar("T")

NOT_SET_UP = "The database is not set up yet, or not up to date: run `regulars migrate` first."

Json = Annotated[bool, typer.Option("--json", help="Write JSON for programs instead of text for people.")]
"""The option every command takes."""


class Refused(Exception):
    """A command cannot do what was asked; the message is one sentence for who asked."""


def execute(work: Callable[[Context], Awaitable[T]]) -> T:
    """Open the program's context, run `work` on it, close it; for commands beside running processes."""
    loaded = settings.load()
    logs.configure("error" if loaded.log_level == "info" else loaded.log_level, loaded.log_format)

    # Only here: help and wrong usage need nothing of it.
    from config.wiring import opened

    async def opened_run() -> T:
        async with opened(loaded) as context:
            return await work(context)

    try:
        return asyncio.run(opened_run())
    except Exception as error:
        if not lacks_tables(error):
            raise
        raise Refused(NOT_SET_UP) from error


def show(value: Any, as_json: bool, lines: Iterable[str]) -> None:
    """Print `value` as one JSON document, or else the lines."""
    if as_json:
        json.dump(value, sys.stdout, ensure_ascii=False)
        sys.stdout.write("\n")
    else:
        for line in lines:
            print(line)
