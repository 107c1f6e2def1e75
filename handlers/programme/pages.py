"""The programme page: settings with a live preview, a look at what a change means before it is saved, undo, what-if."""

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from handlers.context import Context
from handlers.inbox.work import BELL
from handlers.merchants.asking import GROUPS, SETTINGS, UNITS
from handlers.merchants.collections import LOOK
from handlers.merchants.door import Visit
from handlers.merchants.frame import moved, render, show
from handlers.merchants.journal import note
from handlers.merchants.naming import named
from handlers.merchants.programs import Overtaken, replace_program, versions_before
from handlers.merchants.rules import Program, Refused, Version
from handlers.merchants.wording import changes, hint, label, touches, unit, who_words
from handlers.points.forecast import earning_on, estimate
from handlers.programme import jobs, store
from handlers.programme.rules import CAMPAIGNS, LADDER, SWITCHES, first_switched_on, is_adding, is_field
from handlers.programme.store import Asked, Question
from handlers.programme.views import (
    LAST,
    LEAST_MONTHS,
    TOLD_OF,
    Desk,
    also_changed,
    bars,
    brings,
    channels,
    first_reward,
    form_fields,
    in_words,
    keep_chosen,
    keeps_of,
    look,
    planned,
    previews,
    read_reward,
    reader_of,
    reshapes,
    rewards_listed,
    shifted,
    told,
    wished,
)
from handlers.sales.books import stir_sold_since
from integration.clock import DAY
from integration.database.steps import Steps

TEMPLATES = Path(__file__).parent / "templates"
HERE = "/app/programme"
LOOK_BACK_DAYS = 90  # what a change would have meant is shown for these
YEAR_DAYS = 365
VERSIONS_PAGE = 20
MOST_DRAFT = 200_000  # characters of everything typed
PROOF = "preview of a programme"  # what the token in a review's form is signed for
_MESSAGES: Mapping[str, Any] = {"told_of": TOLD_OF, "named": named}  # how a forecast names what it counts
_OVERTAKEN = "Not saved: the programme was changed meanwhile. Look at both below, then save again."


# --- The settings -------------------------------------------------------------------------------


async def programme_page(request: Request, visit: Visit) -> Response:
    """Show the settings as they are, or as somebody typed them and has not saved."""
    context: Context = request.app.state.context
    number = _number(request.query_params.get("draft"))
    desk = await context.database.read(lambda: look(visit, number))
    if desk.draft is None:
        return _form(context, visit, desk, {}, desk.current.number)
    return _form(context, visit, desk, desk.draft.fields, desk.draft.base)


async def programme_posted(request: Request, visit: Visit) -> Response:
    """Take what was typed: to look at it again with its preview, to review it, or to give it up."""
    context: Context = request.app.state.context
    form = await _sent(request)
    now = context.clock.now()
    if form.get("do") == "discard":
        await context.database.run(lambda: store.drop_drafts(visit.merchant_id, visit.who, LAST))
        return moved(request, visit, HERE, "Your unsaved changes are gone; the programme is as it was.")
    desk = await context.database.read(lambda: look(visit, None))
    fields = {name: value for name, value in form.items() if is_field(name)}
    if len(json.dumps(fields)) > MOST_DRAFT:
        raise HTTPException(413)
    base = _number(form.get("base")) or desk.current.number
    wish = wished(desk, fields, base)
    if wish.errors:
        return _form(context, visit, desk, fields, base, status=422)
    is_preview = form.get("do") == "preview"
    if wish.program == desk.current.program and not is_preview:
        return moved(request, visit, HERE, "There is nothing to save: everything is as it was.")

    def keep() -> Steps[int]:
        if is_preview:
            yield from store.saw(visit.merchant_id, wish.program, tuple(SWITCHES.values()), visit.who, now)
        return (yield from store.keep_draft(visit.merchant_id, base, fields, visit.who, now))

    number = await context.database.run(keep)
    return moved(
        request, visit, f"{HERE}?draft={number}" if is_preview or wish.meanwhile else f"{HERE}/review/{number}"
    )


async def preview_part(request: Request, visit: Visit) -> Response:
    """Answer with the preview alone, of what is typed so far; nothing is kept."""
    context: Context = request.app.state.context
    form = await _sent(request)
    desk = await context.database.read(lambda: look(visit, None))
    wish = wished(desk, form, _number(form.get("base")) or desk.current.number)
    return render("preview.html", TEMPLATES, visit=visit, **previews(context, visit, desk, wish.program), brief=False)


def _form(
    context: Context, visit: Visit, desk: Desk, typed: Mapping[str, str], base: int, status: int = 200
) -> Response:
    wish = wished(desk, typed, base)
    reader = reader_of(visit, desk)
    fields = form_fields(visit, desk, typed, wish)
    their = also_changed(desk, wish, reader)
    return show(
        visit,
        "programme.html",
        TEMPLATES,
        status,
        desk=desk,
        groups=GROUPS,
        units=tuple((name, name) for name, _ in UNITS),
        fields=fields,
        errors={**their, **wish.errors},
        base=desk.current.number,
        is_typed=bool(typed),
        brief=False,
        adding={table for table in (CAMPAIGNS, LADDER) if is_adding(table, fields)},
        unit=unit(reader),
        rewards_here=rewards_listed(desk.current.program, wish.program, reader),
        campaigns_here=planned(CAMPAIGNS, desk, typed, wish),
        tiers_here=planned(LADDER, desk, typed, wish),
        labels={key: label(key, reader) for key in SETTINGS},
        hints={key: hint(setting, reader) for key, setting in SETTINGS.items()},
        channels=channels(desk, fields),
        meanwhile=in_words(wish.meanwhile, reader),
        who=who_words(desk.written.who),
        **previews(context, visit, desk, wish.program),
    )


# --- What a change means, and saving it ---------------------------------------------------------


async def review_page(request: Request, visit: Visit) -> Response:
    """Show what a draft would change, for whom and from when; its form proves that the previews were on the page.

    Nothing is written down here: whoever is made to follow a link has previewed nothing.
    """
    context: Context = request.app.state.context
    number = _number(request.path_params["draft"])
    desk = await context.database.read(lambda: look(visit, number or 0))
    if desk.draft is None:
        raise HTTPException(404)  # saved or given up already, or never there
    wish = wished(desk, desk.draft.fields, desk.draft.base)
    if wish.errors or wish.meanwhile:
        return moved(request, visit, f"{HERE}?draft={number}")
    earlier = tuple(version.program for version in desk.shop.versions)
    first = first_switched_on(earlier, wish.program)
    action, back = f"{HERE}/review/{number}", f"{HERE}?draft={number}"
    return await _review(request, visit, desk, wish.program, first=first, action=action, back=back)


async def review_posted(request: Request, visit: Visit) -> Response:
    """Save a reviewed draft as a new version; refused where it was not previewed, or the programme moved on."""
    context: Context = request.app.state.context
    number = _number(request.path_params["draft"])
    desk = await context.database.read(lambda: look(visit, number or 0))
    if desk.draft is None:
        raise HTTPException(404)  # saved or given up already, or never there
    draft, wish = desk.draft, wished(desk, desk.draft.fields, desk.draft.base)
    if wish.errors or wish.meanwhile:
        return moved(request, visit, f"{HERE}?draft={number}", _OVERTAKEN if wish.meanwhile else "", "critical")
    first = first_switched_on(tuple(version.program for version in desk.shop.versions), wish.program)
    form = await _sent(request)
    proof = context.vault.check(PROOF, form.get("proof", ""))
    was_here = proof == _previewed(visit, wish.program, first)
    unseen = await context.database.read(lambda: store.unseen(visit.merchant_id, wish.program, first))
    if unseen and not was_here:
        words = "Not saved: look at the preview first. It is on this page; then save."
        return moved(request, visit, f"{HERE}/review/{number}", words, "critical")
    kept = keep_chosen(wish.program, form)
    if isinstance(kept, str):
        action, back = f"{HERE}/review/{number}", f"{HERE}?draft={number}"
        wrong = {"keep_until": kept}
        return await _review(
            request, visit, desk, wish.program,
            first=first, action=action, back=back, keeping=form, errors=wrong, status=422,
        )  # fmt: skip
    seen = first if was_here else ()
    return await _saved(request, visit, desk, kept, f"{HERE}?draft={number}", draft=draft.number, seen=seen)


def _previewed(visit: Visit, program: Program, first: Sequence[str]) -> tuple[str, ...]:
    """Say what a page showed: of which merchant, and each section as it was; the parts of the proof."""
    return (str(visit.merchant_id), *(f"{one}:{store.section_digest(program, one)}" for one in first))


async def restore_page(request: Request, visit: Visit) -> Response:
    """Show what putting an earlier version's content back would change."""
    context: Context = request.app.state.context
    desk = await context.database.read(lambda: look(visit, 0))
    version = desk.shop.version(_number(request.path_params["version"]))
    if version is None:
        raise HTTPException(404)
    if version.program == desk.current.program:
        return moved(request, visit, f"{HERE}/history", f"Version {version.number} is what is in force already.")
    action = f"{HERE}/restore/{version.number}"
    return await _review(request, visit, desk, version.program, action=action, back=f"{HERE}/history", restores=version)


async def restore_posted(request: Request, visit: Visit) -> Response:
    """Put an earlier version's content back, as a new version."""
    context: Context = request.app.state.context
    form = await _sent(request)
    desk = await context.database.read(lambda: look(visit, 0))
    version = desk.shop.version(_number(request.path_params["version"]))
    if version is None:
        raise HTTPException(404)
    back = f"{HERE}/restore/{version.number}"
    if form.get("base") != str(desk.current.number):
        return moved(
            request, visit, back, "Nothing was changed: the programme moved on meanwhile. Look again.", "critical"
        )
    return await _saved(request, visit, desk, version.program, back, restores=version.number)


async def _review(
    request: Request,
    visit: Visit,
    desk: Desk,
    program: Program,
    *,
    action: str,
    back: str,
    first: Sequence[str] = (),
    restores: Version | None = None,
    keeping: Mapping[str, str] | None = None,
    errors: Mapping[str, str] | None = None,
    status: int = 200,
) -> Response:
    context: Context = request.app.state.context
    listed = changes(desk.current.program, program)
    asked = await _asked(context, visit, desk, (desk.current.program, program), LOOK_BACK_DAYS)
    values: dict[str, Any] = {"asked": asked, "look_back": LOOK_BACK_DAYS, "now": context.clock.now(), **_MESSAGES}
    tiers = (desk.current.program.tiers, program.tiers)
    moving, shifts = None, reshapes(*tiers) and context.ladder is not None
    counted = shifts or (brings(*tiers) and context.ladder is not None)
    if counted:
        moving = await _moving(context, visit, desk, program)
    values |= {
        "moving": moving,
        "shifts": shifts,
        "counted": counted,
        "shifted": shifted(desk.current.program, program, moving),
    }
    if request.query_params.get("part") == "moves":
        return render("moves.html", TEMPLATES, visit=visit, here=request.url.path, **values)
    if "part" in request.query_params:
        return render("difference.html", TEMPLATES, visit=visit, part=True, here=request.url.path, **values)
    return show(
        visit,
        "review.html",
        TEMPLATES,
        status,
        desk=desk,
        action=action,
        back=back,
        first=first,
        proof=context.vault.sign(PROOF, *_previewed(visit, program, first)) if first else "",
        restores=restores,
        listed=in_words(listed, reader_of(visit, desk)),
        touched=touches(listed),
        here=request.url.path,
        part=False,
        brief=True,
        may_keep=restores is None and shifts and desk.current.program.tiers.enabled and program.tiers.enabled,
        keeping=keeping or keeps_of(program.tiers),
        errors=errors or {},
        **values,
        **previews(context, visit, desk, program),
    )


async def _saved(
    request: Request,
    visit: Visit,
    desk: Desk,
    program: Program,
    back: str,
    *,
    draft: int | None = None,
    seen: Sequence[str] = (),
    restores: int | None = None,
) -> Response:
    context: Context = request.app.state.context
    now = context.clock.now()
    before, base = desk.current.program, desk.current.number

    def save() -> Steps[Version]:
        yield from store.saw(visit.merchant_id, program, tuple(seen), visit.who, now)
        version = yield from replace_program(visit.merchant_id, base, program, now, visit.who, restores)
        # A platform's clock may run ahead of ours: what was sold under this version may have been told already.
        yield from stir_sold_since(visit.merchant_id, version.in_force_at, now)
        detail = {"version": version.number, "restores": restores, **told(changes(before, program))}
        did = "changed the programme" if restores is None else f"put version {restores} of the programme back"
        yield from note(visit.merchant_id, visit.who, did, "programme", detail, now)
        yield from store.drop_drafts(visit.merchant_id, visit.who, LAST if draft is not None else 0)
        return version

    try:
        version = await context.database.run(save)
    except Overtaken:
        return moved(request, visit, back, _OVERTAKEN, "critical")
    except Refused as refused:
        return moved(request, visit, back, str(refused), "critical")
    context.queue.ring(BELL)
    if program.earning.collections:
        await context.queue.enqueue(LOOK)
    return moved(request, visit, HERE, f"Saved as version {version.number}, in force from now on.")


# --- History ------------------------------------------------------------------------------------


async def history_page(request: Request, visit: Visit) -> Response:
    """List the versions, the newest first, each with who wrote it, when, and what it changed."""
    context: Context = request.app.state.context
    before = _number(request.query_params.get("before")) or LAST
    desk = await context.database.read(lambda: look(visit, 0))
    page = await context.database.read(lambda: versions_before(visit.merchant_id, before, VERSIONS_PAGE + 1))
    reader = reader_of(visit, desk)
    versions = [
        (one, who_words(one.who), in_words(changes(older.version.program, one.version.program), reader))
        for one, older in pairwise(page)
    ]
    if page and len(page) <= VERSIONS_PAGE:
        versions.append((page[-1], who_words(page[-1].who), []))
    older = f"{HERE}/history?before={versions[-1][0].version.number}" if len(page) > VERSIONS_PAGE else ""
    return show(visit, "history.html", TEMPLATES, desk=desk, versions=versions, older=older)


# --- What if ------------------------------------------------------------------------------------


async def what_if_page(request: Request, visit: Visit) -> Response:
    """Show what a programme would have meant for the shop's own sales of twelve months."""
    context: Context = request.app.state.context
    query = request.query_params
    number = _number(query.get("draft"))
    desk = await context.database.read(lambda: look(visit, number or 0))
    program = desk.current.program
    if desk.draft is not None:
        program = wished(desk, desk.draft.fields, desk.draft.base).program
    asked = await _asked(context, visit, desk, (earning_on(program),), YEAR_DAYS)
    # Until somebody types another one, the merchant's own first reward is what people save up for.
    points, worth = first_reward(program) or (None, None)
    fields, reward, errors = read_reward(query.get("points", points), query.get("worth", worth), visit)
    found = asked.answer[0] if asked is not None and asked.answer else None
    values: dict[str, Any] = {
        **_MESSAGES,
        "asked": asked,
        "found": found,
        "estimate": estimate(found, reward) if found is not None and reward is not None else None,
        "reward": reward,
        "expires": program.expiry.enabled,
        "bars": bars(found, visit) if found is not None else (),
        "least_months": LEAST_MONTHS,
        "since": context.clock.now() - YEAR_DAYS * DAY,
        "month": 30 * DAY,
        "here": f"{HERE}/what-if",
        "query": {name: query[name] for name in ("draft", "points", "worth") if name in query},
        "part": "part" in query,
    }
    if values["part"]:
        return render("forecast.html", TEMPLATES, visit=visit, **values)
    draft = desk.draft.number if desk.draft is not None else None
    is_on = desk.current.program.earning.enabled
    status = 422 if errors else 200
    return show(
        visit, "what_if.html", TEMPLATES, status, fields=fields, errors=errors, draft=draft, is_on=is_on, **values
    )


async def _asked(context: Context, visit: Visit, desk: Desk, programs: tuple[Program, ...], days: int) -> Asked | None:
    """Have programmes compared over the last days; None where too much is being worked out for this shop already."""
    now = context.clock.now()
    name = store.name_of(programs, days, desk.current.number)
    question = Question(
        tuple(program.model_dump_json() for program in programs), now - days * DAY, now, desk.current.number
    )
    return await jobs.ask_for(context, visit.merchant_id, name, question)


async def _moving(context: Context, visit: Visit, desk: Desk, program: Program) -> Asked | None:
    """Have counted who would have which tier if nobody kept theirs; None where too much is under way already."""
    now = context.clock.now()
    tiers = program.tiers.model_copy(update={"grandfather": False, "keep_until": None})
    bare = Program(tiers=tiers)
    name = store.name_of((bare,), 0, desk.current.number, "tiers")
    question = Question((bare.model_dump_json(),), 0, now, desk.current.number, "tiers")
    return await jobs.ask_for(context, visit.merchant_id, name, question)


# --- Small things -------------------------------------------------------------------------------


async def _sent(request: Request) -> dict[str, str]:
    """Return what a form sent, without files; of fields that repeat the last counts."""
    return {name: value for name, value in (await request.form()).items() if isinstance(value, str)}


def _number(text: object) -> int | None:
    """Read a number out of an address or a form; None for anything else."""
    return int(str(text)) if str(text).isascii() and str(text).isdigit() and len(str(text)) < 18 else None
