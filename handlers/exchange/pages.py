"""The merchant's page of data: files out by a link that lives for minutes, balances in after a look at them."""

from collections.abc import AsyncIterator
from pathlib import Path

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from handlers.context import Context
from handlers.exchange import jobs, store
from handlers.exchange.feeds import export, report
from handlers.exchange.jobs import Upload
from handlers.exchange.rules import FILES, MOST_BYTES, MOST_LINES
from handlers.exchange.store import Import
from handlers.merchants import addresses
from handlers.merchants.door import Visit
from handlers.merchants.frame import guard, moved, show, told
from handlers.merchants.journal import is_looking, looked
from handlers.merchants.rules import Refused
from integration.clock import MINUTE
from integration.database.steps import Steps
from integration.errors import Unavailable

TEMPLATES = Path(__file__).parent / "templates"
HERE = "/app/connections/data"
LINK_LIFE = 15 * MINUTE
PURPOSE = "file of all people or points"
FORM_BYTES = MOST_BYTES + 64 * 1024  # a file, and what a form says around it
MOST_NUMBER = 2**62
SHOWN_PROBLEMS = 50
REPORT = "import-"  # and its number: the report line by line

# What a line is left out for, in a merchant's words.
KINDS = {
    "columns": "Not as many columns as the first line",
    "too long": "A cell too long for an address or a name",
    "no address": "No e-mail address",
    "not an address": "Something else where the e-mail address should be",
    "formula": "Begins like a spreadsheet formula",
    "no points": "No number of points",
    "not a number": "Points that are not a plain number",
    "below zero": "Points below zero",
    "too many points": "More points than can be right",
    "zero": "No points to bring",
    "currency": "In another currency",
    "twice": "Repeats an address of an earlier line",
    "unknown": "Somebody you do not know here",
    "forgotten": "Somebody who was forgotten",
}


async def data_page(request: Request, visit: Visit) -> Response:
    """Show which files can be taken out, what was brought in, and the form for a file of balances."""
    return await _data(request, visit)


async def data_upload(request: Request, visit: Visit) -> Response:
    """Read a file of balances; nothing is brought in before its merchant has seen what it would bring."""
    context: Context = request.app.state.context
    form = await request.form()
    file, newcomers = form.get("file"), "leave" if form.get("newcomers") == "leave" else "add"
    if not isinstance(file, UploadFile) or not file.filename:
        return await _data(request, visit, 422, {"file": "Choose a file first."}, newcomers)
    upload = Upload(file.file, file.filename, visit.who, newcomers)
    try:
        one = await jobs.read(context, visit.merchant_id, upload)
    except Refused as error:
        return await _data(request, visit, 422, {"file": str(error)}, newcomers)
    return moved(request, visit, f"{HERE}/{one.number}")


async def import_page(request: Request, visit: Visit) -> Response:
    """Show what a file would bring, how far it is, or what it brought; line by line what is wrong."""
    context: Context = request.app.state.context
    one = await _import(request, visit)
    now = context.clock.now()

    what = (visit.merchant_id, visit.who, "lines of an import", None, now)

    def look() -> Steps[tuple[list[tuple[object, ...]], bool]]:
        problems = yield from store.problems_of(one.merchant_id, one.number, SHOWN_PROBLEMS)
        # The page loads itself anew while an import is under way.
        return problems, bool(problems) and not (yield from is_looking(*what))

    problems, is_new = await context.database.read(look)
    if is_new:
        await context.database.run(lambda: looked(*what))
    return show(
        visit,
        "import.html",
        TEMPLATES,
        one=one,
        kinds=KINDS,
        problems=problems,
        report=_link(context, visit, f"{REPORT}{one.number}", bom=True),
    )


async def import_act(request: Request, visit: Visit) -> Response:
    """Bring an import in, take it back, or forget the file."""
    context: Context = request.app.state.context
    one = await _import(request, visit)
    act = (await request.form()).get("act")
    here = f"{HERE}/{one.number}"
    try:
        if act == "begin":
            await jobs.begin(context, one.merchant_id, one.number, visit.who)
        elif act == "undo":
            await jobs.undo(context, one.merchant_id, one.number, visit.who)
        elif act == "drop":
            if await jobs.drop(context, one.merchant_id, one.number, visit.who):
                return moved(request, visit, HERE, "The file is forgotten. Nothing was brought in.")
            said = "This file was brought in meanwhile, so it is not forgotten. You can still take it back."
            return moved(request, visit, here, said, "critical")
        else:
            raise HTTPException(400)
    except Refused as error:
        return moved(request, visit, here, str(error), "critical")
    return moved(request, visit, here)


async def undo_page(request: Request, visit: Visit) -> Response:
    """Say what taking an import back does, and ask once more."""
    return show(visit, "undo_import.html", TEMPLATES, one=await _import(request, visit))


async def data_file(request: Request) -> Response:
    """Send a file to whoever holds a link that a page made within the last minutes.

    In the shop's admin a download carries no token, so the link itself says whose it is. The first piece is made
    before anything is answered; a failure after that cuts the connection off, which no browser takes for the end.
    """
    context: Context = request.app.state.context
    token, now = request.path_params["token"], context.clock.now()
    addresses.keep_to(context.vault, PURPOSE, token)
    one = await context.database.read(lambda: addresses.look_up(context.vault, PURPOSE, token, 2, now))
    if one is None or not one.stands:
        return guard(told(404), one.shop if one is not None else None)
    merchant_id, who, (name, bom) = one.merchant_id, one.who, one.parts
    shown = FILES[name].title if name in FILES else "lines of an import"
    pieces = (
        export(context, merchant_id, name, bom=bom == "1")
        if name in FILES
        else report(context, merchant_id, int(name.removeprefix(REPORT)), bom=bom == "1")
    )
    try:
        await context.database.run(lambda: looked(merchant_id, who, f"file: {shown}", None, now))
        first = await anext(pieces)
    except Unavailable:
        return guard(told(503), one.shop)
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    return guard(StreamingResponse(_after(first, pieces), media_type="text/csv; charset=utf-8", headers=headers))


async def _after(first: bytes, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in pieces:
        yield piece


async def _data(
    request: Request, visit: Visit, status: int = 200, errors: dict[str, str] | None = None, newcomers: str = "add"
) -> Response:
    context: Context = request.app.state.context
    imports = await context.database.read(lambda: store.newest(visit.merchant_id))
    files = [
        (file, _link(context, visit, file.name, bom=False), _link(context, visit, file.name, bom=True))
        for file in FILES.values()
    ]
    return show(
        visit,
        "data.html",
        TEMPLATES,
        status,
        files=files,
        imports=[one for one in imports if one.state not in store.UNSEEN],
        errors=errors or {},
        newcomers=newcomers,
        most_megabytes=MOST_BYTES // 1_000_000,
        most_lines=MOST_LINES,
    )


def _link(context: Context, visit: Visit, name: str, *, bom: bool) -> str:
    token = addresses.sign(context.vault, visit, PURPOSE, context.clock.now() + LINK_LIFE, name, int(bom))
    return f"/app/connections/files/{token}"


async def _import(request: Request, visit: Visit) -> Import:
    context: Context = request.app.state.context
    number = int(request.path_params["number"])
    if not 0 < number < MOST_NUMBER:
        raise HTTPException(404)
    found = await context.database.read(lambda: store.find(visit.merchant_id, number))
    if found is None or found.state in store.UNSEEN:
        raise HTTPException(404)
    return found
