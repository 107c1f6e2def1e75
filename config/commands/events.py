"""`regulars events`: what came in, what became of it, and having it worked again."""

import json
from typing import Annotated, Any

import typer

from config.commands import Json, Refused, execute, show
from handlers.context import Context
from handlers.inbox.replay import MOST_LISTED, STATES, Filter, failed_events, list_events, replay, show_event
from handlers.inbox.work import BELL
from handlers.merchants.connections import find_merchant

MOST_REPLAYED = 10_000
LARGEST_NUMBER = 2**63 - 1
"""Events are counted in 64 bits; the engines cannot even be asked for more."""

Number = typer.Argument(min=1, max=LARGEST_NUMBER, help="An event's number, as `events list` shows it.")

app = typer.Typer(help="What came in, what became of it, and having it worked again.", no_args_is_help=True)


@app.command("list")
def list_(
    state: Annotated[str | None, typer.Option(help=f"Only these: {', '.join(STATES)}.")] = None,
    merchant: Annotated[str | None, typer.Option(help="Only this merchant's.")] = None,
    topic: Annotated[str | None, typer.Option(help="Only this topic.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=MOST_LISTED, help="The newest so many.")] = 50,
    as_json: Json = False,
) -> None:
    """List events, the newest first."""
    if state is not None and state not in STATES:
        raise typer.BadParameter(f"choose one of {', '.join(STATES)}", param_hint="--state")
    chosen = Filter(state, merchant, topic)

    async def work(context: Context) -> list[dict[str, Any]]:
        if merchant is not None:
            await context.database.read(lambda: find_merchant(merchant))
        return await context.database.read(lambda: list_events(chosen, limit))

    events = execute(work)
    show(events, as_json, (_line(event) for event in events))


@app.command("show")
def show_(number: Annotated[int, Number], as_json: Json = False) -> None:
    """Show one event with its body."""

    async def work(context: Context) -> dict[str, Any] | None:
        return await context.database.read(lambda: show_event(number))

    event = execute(work)
    if event is None:
        raise Refused(f"There is no event {number}.")
    show(event, as_json, (f"{name}: {_plain(value)}" for name, value in event.items() if value is not None))


@app.command("replay")
def replay_(
    numbers: Annotated[list[int] | None, Number] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Every dead letter.")] = False,
    as_json: Json = False,
) -> None:
    """Have events worked again, as if they had just come."""
    if bool(numbers) == failed:
        raise typer.BadParameter("name events by number, or use --failed")

    named = numbers or []

    async def work(context: Context) -> tuple[list[int], list[int]]:
        now = context.clock.now()
        chosen = named or await context.database.read(lambda: failed_events(MOST_REPLAYED))
        replayed = await context.database.run(lambda: replay(chosen, now))
        context.queue.ring(BELL)
        return replayed, [number for number in chosen if number not in set(replayed)]

    replayed, left = execute(work)
    if left and not failed:
        raise Refused(f"Cannot be replayed, since it is unknown, still in hand, or its body is gone: {_numbers(left)}.")
    show({"replayed": replayed, "left": left}, as_json, [f"Replayed {len(replayed)} events."])


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _numbers(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))


def _line(event: dict[str, Any]) -> str:
    reason = f" ({event['reason']})" if event["reason"] else ""
    return (
        f"{event['id']}  {event['received_at']}  {event['source']} {event['topic']}"
        f"  {event['merchant'] or event['connection']}  {event['state']}{reason}"
    )
