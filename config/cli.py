"""The `regulars` command: its table of contents; each command lives in `config/commands/`."""

import sys
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from config import logs
from config.commands import Refused
from config.settings import SettingsError
from handlers.merchants import rules
from integration.errors import OutsideError

# Each command: where in config/commands/ it is. It is imported when it is asked for, or listed.
COMMANDS = {
    "serve": "run:serve",
    "web": "run:web",
    "worker": "run:worker",
    "migrate": "run:migrate",
    "doctor": "doctor:doctor",
    "idle": "idle:idle",
    "events": "events:app",
    "merchant": "merchants:app",
    "customer": "customers:app",
    "tier": "tiers:app",
    "message": "messages:app",
    "privacy": "privacy:app",
    "audit": "books:audit",
    "backup": "books:backup",
    "restore": "books:restore",
    "reconcile": "reconcile:command",
    "backfill": "backfill:backfill",
    "data": "data:app",
    "demo": "demo:demo",
}


class _Contents(TyperGroup):
    """The table of contents as a group of commands."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> TyperCommand | TyperGroup | None:
        module, _, name = COMMANDS.get(cmd_name, "").partition(":")
        if not module:
            return None
        found = getattr(import_module(f"config.commands.{module}"), name)
        if isinstance(found, typer.Typer):
            group = typer.main.get_group(found)
            group.name = cmd_name
            return group
        alone = typer.Typer(add_completion=False)
        alone.command(cmd_name)(found)
        command = typer.main.get_command(alone)
        assert isinstance(command, TyperCommand)
        return command


app = typer.Typer(
    name="regulars",
    cls=_Contents,
    help="Turn first-time buyers into regulars: points, thank-you notes and review requests.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _regulars() -> None:
    pass


def main() -> None:
    """Run the command line: one sentence on stderr and exit 1 for an error, exit 2 for wrong usage."""
    sys.excepthook = logs.crashed
    try:
        app()
    except (Refused, rules.Refused, SettingsError, OutsideError) as error:
        print(error, file=sys.stderr)
        sys.exit(1)
