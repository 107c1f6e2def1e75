"""`regulars demo`: the whole story on this machine, without accounts or services."""

from pathlib import Path
from typing import Annotated

import typer

from config.commands import Json

DEFAULT_PORT = 8484

Once = Annotated[bool, typer.Option("--once", help="Play the story without a person, check it, and end.")]
Port = Annotated[int, typer.Option("--port", help="Show the page here; any free port where it is taken.")]
Data = Annotated[
    Path | None, typer.Option("--data-dir", help="Keep the files here instead of in a folder that is deleted.")
]
NoBrowser = Annotated[bool, typer.Option("--no-browser", help="Only print the page's address.")]


def demo(
    once: Once = False,
    port: Port = DEFAULT_PORT,
    data_dir: Data = None,
    no_browser: NoBrowser = False,
    as_json: Json = False,
) -> None:
    """Open a pretend shop on this machine and see what Regulars makes of each thing that happens in it."""
    # The pretend platforms take longer to import than most commands take to run; only the demo needs them.
    from config.demo.stage import show_demo

    show_demo(once=once, port=port, data_dir=data_dir, browser=not no_browser, as_json=as_json)
