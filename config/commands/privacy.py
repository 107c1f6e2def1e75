"""`regulars privacy`: what people ask for by law, carried out and proven; and what stays forgotten after a restore."""

from pathlib import Path
from typing import Annotated, Any

import typer

from config.commands import Json, Refused, execute, show
from config.commands.customers import Email, MerchantName, whom
from handlers.context import Context
from handlers.merchants.connections import find_merchant
from handlers.privacy import jobs, kept, store
from handlers.privacy.rules import DATA, REDACT
from handlers.privacy.store import Request
from integration.clock import to_iso

MOST_RUNS = 10_000
ENDED = ("done", "void")

app = typer.Typer(help="What people ask for by law, and its receipts.", no_args_is_help=True)

Number = Annotated[int, typer.Argument(metavar="NUMBER", help="The request's number, as `privacy list` tells it.")]


@app.command("list")
def list_(
    merchant: Annotated[str | None, typer.Option(help="Only this merchant's requests.")] = None,
    only_open: Annotated[bool, typer.Option("--open", help="Only those still to be carried out.")] = False,
    as_json: Json = False,
) -> None:
    """List requests: who asked what and when, by when it is due, and what became of it."""

    async def work(context: Context) -> list[Request]:
        only = None if merchant is None else await context.database.read(lambda: find_merchant(merchant))
        return await context.database.read(lambda: store.requests(only, only_open=only_open, limit=store.MOST_LISTED))

    found = execute(work)
    lines = [_line(one) for one in found] or ["Nothing was asked for." if not only_open else "Nothing is open."]
    show([one.shown() for one in found], as_json, lines)


@app.command("show")
def show_(number: Number, as_json: Json = False) -> None:
    """Show one request's receipt."""

    async def work(context: Context) -> Request:
        return await _one(context, number)

    one = execute(work)
    show(one.shown(), as_json, [_line(one), *(f"  {holder}: {rows}" for holder, rows in sorted(one.removed.items()))])


@app.command()
def forget(email: Email, merchant: MerchantName, as_json: Json = False) -> None:
    """Forget a customer now: names, messages, reviews and deliveries go; points stay under a number of nobody's."""
    one = execute(lambda context: _asked(context, REDACT, email, merchant))
    _told(one, as_json, "They are forgotten.")


@app.command()
def export(
    email: Email,
    merchant: MerchantName,
    to: Annotated[Path, typer.Option("--to", help="Where to write the file (a zip).")],
    as_json: Json = False,
) -> None:
    """Write everything that is kept of a customer into one file."""

    async def work(context: Context) -> tuple[Request, bytes]:
        one = await _asked(context, DATA, email, merchant)
        return one, await _content(context, one)

    one, content = execute(work)
    size = to.write_bytes(content)
    written = one.shown() | {"file": str(to.absolute()), "bytes": size}
    show(written, as_json, [f"{size} bytes are in {to}. They are personal data: keep and send them safely."])


@app.command()
def fetch(
    number: Number,
    to: Annotated[Path, typer.Option("--to", help="Where to write the file (a zip).")],
    as_json: Json = False,
) -> None:
    """Write the file a data request has made ready."""

    async def work(context: Context) -> bytes:
        return await _content(context, await _one(context, number))

    size = to.write_bytes(execute(work))
    show({"request": number, "file": str(to.absolute()), "bytes": size}, as_json, [f"{size} bytes are in {to}."])


@app.command()
def run(as_json: Json = False) -> None:
    """Carry out now what is due, as the clock does each minute."""

    async def work(context: Context) -> int:
        ended = 0
        for _ in range(MOST_RUNS):
            ended += await jobs.carry_out(context)
            if not await context.database.read(lambda: store.due(context.clock.now(), 1)):
                break
        return ended

    ended = execute(work)
    show({"carried_out": ended}, as_json, [f"{ended} requests were carried out."])


@app.command()
def confirm(number: Number, as_json: Json = False) -> None:
    """Forget a shop although it seems to be connected still."""
    one = execute(lambda context: _decided(context, number, forgotten=True))
    _told(one, as_json, "It will be carried out within a minute.")


@app.command()
def void(number: Number, as_json: Json = False) -> None:
    """Do not forget a shop that is connected again."""
    one = execute(lambda context: _decided(context, number, forgotten=False))
    _told(one, as_json, "It will not be carried out.")


@app.command()
def tombstones(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write them.")], as_json: Json = False
) -> None:
    """Write down who was forgotten, in digests, for `regulars restore --tombstones` should the database be lost."""

    told = execute(lambda context: context.database.read(kept.read))
    file.write_bytes(kept.write(told))
    count = len(told.stones)
    show({"file": str(file.absolute()), "tombstones": count}, as_json, [f"{count} tombstones are in {file}."])


async def _asked(context: Context, kind: str, email: str, merchant: str) -> Request:
    """Ask for something about a customer, and carry it out before answering."""
    privacy = context.privacy
    assert privacy is not None
    merchant_id, number = await whom(context, merchant, email)
    now = context.clock.now()
    ask = privacy.forget if kind == REDACT else privacy.hand_over
    asked = await context.database.run(lambda: ask(merchant_id, number, "command", now))
    for _ in range(MOST_RUNS):
        await jobs.carry_out(context)
        one = await _one(context, asked)
        if one.stage in ENDED or one.attempts or one.next_at > context.clock.now():
            return one
    return one


async def _one(context: Context, number: int) -> Request:
    one = await context.database.read(lambda: store.request(number))
    if one is None:
        raise Refused(f"There is no request {number}.")
    return one


async def _content(context: Context, one: Request) -> bytes:
    now = context.clock.now()
    found = await context.database.run(lambda: store.fetch(one.merchant_id, one.id, now))
    if found is None:
        raise Refused(f"Request {one.id} has no file (any more); `regulars privacy show {one.id}` says why.")
    return found.content


async def _decided(context: Context, number: int, *, forgotten: bool) -> Request:
    one = await _one(context, number)
    if one.stage != "held":
        raise Refused(f"Request {number} does not wait for anybody's word.")
    now = context.clock.now()
    if forgotten:
        return await context.database.run(lambda: store.write(one._replace(stage="confirmed", reason=None)))
    return await context.database.run(lambda: store.finish(one, "void", now, "the shop is connected again"))


def _told(one: Request, as_json: bool, words: str) -> None:
    open_ = f"It is not done yet, and will go on by itself: {one.reason or 'more is left'}."
    done = one.stage in ENDED or one.stage == "confirmed"
    show(one.shown(), as_json, [words if done else open_])


def _line(one: Request) -> str:
    shown: dict[str, Any] = one.shown()
    state = f"{shown['state']} {shown['done_at']}" if one.done_at else f"{shown['state']}, due {to_iso(one.due_at)}"
    why = f" ({one.reason})" if one.reason else ""
    return f"{one.id}  {one.kind}  asked {shown['asked_at']} by {one.who}: {state}{why}"
