"""The `regulars` command: its table of contents; each command lives in `config/commands/`."""

import sys

import typer

from config import logs
from config.commands import (
    Refused,
    backfill,
    books,
    customers,
    demo,
    doctor,
    events,
    merchants,
    messages,
    reconcile,
    run,
)
from config.settings import SettingsError
from handlers.merchants import rules
from integration.errors import OutsideError

app = typer.Typer(
    name="regulars",
    help="Turn first-time buyers into regulars: points, thank-you notes and review requests.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.command("serve")(run.serve)
app.command("web")(run.web)
app.command("worker")(run.worker)
app.command("migrate")(run.migrate)
app.command("doctor")(doctor.doctor)
app.command("idle")(run.idle)
app.add_typer(events.app, name="events")
app.add_typer(merchants.app, name="merchant")
app.add_typer(customers.app, name="customer")
app.add_typer(messages.app, name="message")
app.command("audit")(books.audit)
app.command("backup")(books.backup)
app.command("restore")(books.restore)
app.command("reconcile")(reconcile.command)
app.command("backfill")(backfill.backfill)
app.command("demo")(demo.demo)


def main() -> None:
    """Run the command line: one sentence on stderr and exit 1 for an error, exit 2 for wrong usage."""
    sys.excepthook = logs.crashed
    try:
        app()
    except (Refused, rules.Refused, SettingsError, OutsideError) as error:
        print(error, file=sys.stderr)
        sys.exit(1)
