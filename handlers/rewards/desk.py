"""The merchant's page of rewards that customers have taken: found by code, handed over, taken back."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from handlers.context import Context
from handlers.customers.persons import numbers_of, root_of, shown_names
from handlers.merchants.books import lock_books
from handlers.merchants.door import Visit
from handlers.merchants.frame import SHOPIFY_ADMIN, moved, show
from handlers.merchants.journal import is_looking, looked, note
from handlers.merchants.offers import BIT_BY_BIT
from handlers.merchants.rules import Refused
from handlers.rewards import changes, feeds, store
from handlers.rewards.jobs import BELL
from handlers.rewards.kinds import discounts_off
from handlers.rewards.rules import State
from handlers.rewards.store import Redemption
from integration.database.steps import Steps

TEMPLATES = Path(__file__).parent / "templates"
HERE = "/app/rewards"
PAGE = 50
MOST_COUNTED = 1_000  # codes that are counted one by one; more are "more than"
MOST_TYPED = 255  # characters of a code or an address
LAST = 2**62
# State -> words for the merchant, and the tone of its badge.
STATES = {
    "asked": ("Being made", "info"),
    "issued": ("Not used yet", "info"),
    "returning": ("Being taken back", "info"),
    "used": ("Used", "success"),
    "expired": ("Lapsed", ""),
    "voided": ("Taken back", ""),
    "refused": ("Could not be made", "warning"),
}
# What may be listed apart -> its words, and the states it means.
LISTS: Mapping[str, tuple[str, tuple[State, ...]]] = {
    "": ("All", ()),
    "open": ("Being made or taken back", ("asked", "returning")),
    "issued": ("Not used yet", ("issued",)),
    "used": ("Used", ("used",)),
    "expired": ("Lapsed", ("expired",)),
    "voided": ("Taken back", ("voided",)),
    "refused": ("Could not be made", ("refused",)),
}


async def rewards_page(request: Request, visit: Visit) -> Response:
    """List what customers have taken, the newest first: all, those in a state, or what a code or a customer names."""
    context: Context = request.app.state.context
    sought = request.query_params.get("q", "").strip()[:MOST_TYPED]
    before = _number(request.query_params.get("before")) or LAST
    chosen = request.query_params.get("state", "")
    chosen = chosen if chosen in LISTS else ""
    states = LISTS[chosen][1]

    def rows() -> Steps[tuple[list[Redemption], dict[int, str]]]:
        if sought:
            named = yield from _named(visit.merchant_id, sought)
            found = [each for each in named if each.number < before and (not states or each.state in states)]
        else:
            found = yield from store.page(visit.merchant_id, before, PAGE + 1, states)
        return found, (yield from shown_names(visit.merchant_id, {each.customer for each in found[:PAGE]}))

    found, names = await context.database.read(rows)
    off = [] if sought or before < LAST else await _switched_off(context, visit)
    await _note_look(context, visit, found[:PAGE])
    asked = {"q": sought, "state": chosen, "before": str(found[PAGE - 1].number)} if len(found) > PAGE else {}
    older = f"{HERE}?{urlencode({name: value for name, value in asked.items() if value})}" if asked else ""
    return show(
        visit,
        "taken.html",
        TEMPLATES,
        rows=found[:PAGE],
        names=names,
        off=off,
        most_counted=MOST_COUNTED,
        older=older,
        states=STATES,
        sought=sought,
        chosen=chosen,
        lists=[(name, said) for name, (said, _) in LISTS.items()],
    )


class _Off(NamedTuple):
    """A shared discount that is switched off in Shopify, as the page shows it."""

    name: str
    since_at: int
    unused: int  # codes of it that customers have; at most one more than are counted
    platform_id: str
    href: str  # in Shopify's admin; empty = not known


async def _switched_off(context: Context, visit: Visit) -> list[_Off]:
    store_name = (visit.shop or "").removesuffix(".myshopify.com")

    def steps() -> Steps[list[_Off]]:
        found = []
        for one in (yield from discounts_off.known(visit.merchant_id)):
            unused = yield from store.unused_of(visit.merchant_id, one.platform_id, MOST_COUNTED + 1)
            number = one.platform_id.rpartition("/")[2]
            href = f"{SHOPIFY_ADMIN}/store/{store_name}/discounts/{number}" if store_name else ""
            name = store.read_terms(one.terms).name
            found.append(_Off(name, one.since_at, len(unused), one.platform_id, href))
        return found

    return await context.database.read(steps)


async def look_again(request: Request, visit: Visit) -> Response:
    """Look now whether discounts that were switched off in Shopify are on again."""
    context: Context = request.app.state.context
    if not await feeds.look_again(context, visit.merchant_id):
        return moved(request, visit, HERE, "Shopify could not be asked. Try again in a minute.", "critical")
    off = await _switched_off(context, visit)
    said = "It is still switched off in Shopify." if off else "Nothing of yours is switched off in Shopify any more."
    return moved(request, visit, HERE, said)


async def give_back_page(request: Request, visit: Visit) -> Response:
    """Ask once more before the points of all unused codes of a discount that is off come back."""
    context: Context = request.app.state.context
    each = await _off(request, visit, context)
    return show(visit, "give_back.html", TEMPLATES, each=each, most=MOST_COUNTED)


async def give_back(request: Request, visit: Visit) -> Response:
    """Take all unused codes of a discount that is off back; their points follow. Journaled in the same transaction."""
    context: Context = request.app.state.context
    each, now = await _off(request, visit, context), context.clock.now()

    def act() -> Steps[int]:
        count = yield from changes.give_back_all(visit.merchant_id, each.platform_id, now)
        detail = {"discount": each.platform_id, "rewards": count}
        yield from note(visit.merchant_id, visit.who, "gave back what was switched off", "rewards", detail, now)
        return count

    count = await context.database.run(act)
    context.queue.ring(BELL)
    return moved(
        request, visit, HERE, f"{count} {'is' if count == 1 else 'are'} being taken back. Their points follow."
    )


async def _off(request: Request, visit: Visit, context: Context) -> _Off:
    number = request.path_params["discount"]
    for each in await _switched_off(context, visit):
        if each.platform_id.rpartition("/")[2] == number:
            return each
    raise HTTPException(404)


def _named(merchant_id: int, sought: str) -> Steps[list[Redemption]]:
    """Find rewards by their code, else by whoever has them: an address, or a customer's number."""
    found = yield from store.by_codes([(merchant_id, sought)])
    if found:
        return found
    number = _number(sought.removeprefix("#"))
    roots = [] if number is None else [(yield from root_of(merchant_id, number))]
    if "@" in sought:
        roots += yield from store.with_address(merchant_id, sought)
    numbers: set[int] = set()
    for root in roots:
        if root is not None:
            numbers |= {*(yield from numbers_of(merchant_id, root))}
    return (yield from store.of_people(merchant_id, sorted(numbers)))


async def reward_page(request: Request, visit: Visit) -> Response:
    """Show one reward that was taken, and what can be done about it."""
    context: Context = request.app.state.context
    found = await _found(request, visit, context)
    await _note_look(context, visit, [found])
    return show(visit, "one.html", TEMPLATES, each=found, offer=found.offer, states=STATES)


async def reward_act(request: Request, visit: Visit) -> Response:
    """Hand a reward over, or have it taken back; who did it is journaled in the same transaction."""
    context: Context = request.app.state.context
    found = await _found(request, visit, context)
    do = (await request.form()).get("do")
    now = context.clock.now()

    def act() -> Steps[str]:
        yield from lock_books([visit.merchant_id])
        present = yield from store.one(visit.merchant_id, found.number)
        if present is None or present.state != "issued":
            # Somebody was quicker: at a counter that may be another customer's reward handed over twice.
            words = STATES[present.state][0].lower() if present is not None else "gone"
            raise Refused(f"Nothing was done: this reward is {words} already.")
        if do == "handed-over":
            yield from changes.handed_over(visit.merchant_id, found.number, now)
            did, said = "handed a reward over", "Noted: it was handed over."
        elif do == "take-back":
            yield from changes.cancel(visit.merchant_id, found.number, None, now)
            did, said = "took a reward back", "It is being taken back. The points come back once its code is off."
        else:
            raise Refused("Choose what is to be done.")
        about = f"customer:{found.customer}"
        yield from note(visit.merchant_id, visit.who, did, about, {"reward": found.number}, now)
        return said

    try:
        said = await context.database.run(act)
    except Refused as refused:
        return moved(request, visit, f"{HERE}/{found.number}", str(refused), "critical")
    context.queue.ring(BELL)
    return moved(request, visit, f"{HERE}/{found.number}", said)


async def take_back_page(request: Request, visit: Visit) -> Response:
    """Ask once more before a reward is taken back, and say what that does."""
    context: Context = request.app.state.context
    found = await _found(request, visit, context)
    return show(visit, "take_back.html", TEMPLATES, each=found, offer=found.offer, bit_by_bit=BIT_BY_BIT)


async def _found(request: Request, visit: Visit, context: Context) -> Redemption:
    number = _number(request.path_params["number"])
    found = await context.database.read(lambda: store.one(visit.merchant_id, number or 0))
    if found is None:
        raise HTTPException(404)
    return found


async def _note_look(context: Context, visit: Visit, seen: Sequence[Redemption]) -> None:
    """Note that somebody saw who has which reward and code: of one customer, or of a list."""
    now = context.clock.now()
    of = (visit.merchant_id, visit.who, "rewards and codes", seen[0].customer if len(seen) == 1 else None)

    def steps() -> Steps[None]:
        if not (yield from is_looking(*of, now)):
            yield from looked(*of, now)

    if seen:
        await context.database.run(steps)


def _number(text: str | None) -> int | None:
    is_one = text is not None and text.isascii() and text.isdigit() and len(text) < 18
    return int(text) if is_one and text else None
