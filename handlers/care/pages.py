"""The merchant's pages about customers: the list and the search, one page a person, and letters as they looked."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from handlers.care.rules import LANGUAGES, MOST_QUERY, Place, Sought, is_number, place_of, understand
from handlers.care.store import Known, Listed, latest, look_up, search
from handlers.context import Context
from handlers.customers.timeline import Page, Whose, gather
from handlers.ladder import Place as Rank
from handlers.merchants import addresses
from handlers.merchants.addresses import Address
from handlers.merchants.books import shops
from handlers.merchants.door import Visit
from handlers.merchants.frame import guard, letter, show, told
from handlers.merchants.journal import is_looking, looked
from handlers.merchants.rules import Shop
from handlers.messages import looks
from handlers.messages.lastlook import BLOCKING
from handlers.messages.letters import day, money
from handlers.messages.people import Person, load, person_address
from handlers.points.statement import balances
from handlers.points.timeline import whys
from integration.clock import MINUTE, from_iso
from integration.database.steps import Steps
from integration.vault import Vault

TEMPLATES = Path(__file__).parent / "templates"
CUSTOMERS = "/app/customers"
LETTER, LETTER_LIFE = "customer letter", addresses.MOST_LIFE  # of the signed address of a letter
FILE, FILE_LIFE = "customer file", 15 * MINUTE  # of the signed address of somebody's data
MOST_RECEIPTS = 5  # shown of one person
LETTER_GRAIN = 5 * MINUTE  # so that the same page names the same address for a while


class Standing(NamedTuple):
    """How a person stands, as the page shows it."""

    points: Mapping[str, int]
    debt: int
    test: Mapping[str, int] | None  # of test orders, where there were any
    rank: Rank | None = None  # on the ladder of tiers; None = there is none


class OnePage(NamedTuple):
    """All that one person's page shows."""

    shop: Shop
    person: Person
    known: Known
    standing: Standing
    page: Page
    receipts: Sequence[Mapping[str, Any]]  # of what was asked for by law, the newest first
    whys: Mapping[int, tuple[str, ...]]


async def customers_page(request: Request, visit: Visit) -> Response:
    """List who was searched for, or who bought last; a look at them is written down, once an hour."""
    context: Context = request.app.state.context
    query = request.query_params.get("q", "")[: 2 * MOST_QUERY]
    sought = understand(query)
    place = place_of(request.query_params.get("from"), len(sought.ranges) if sought is not None else 1)
    listed = await context.database.read(lambda: _listed(visit.merchant_id, sought, place))
    if listed.people:
        await write_down(context, visit, "customer search" if sought is not None else "list of customers", None)
    return show(
        visit,
        "customers.html",
        TEMPLATES,
        query=sought.query if sought is not None else "",
        people=listed.people,
        first=_address(q=query) if place is not None else "",
        more=_address(q=query, **{"from": _written(listed.after)}) if listed.after is not None else "",
    )


async def customer_page(request: Request, visit: Visit) -> Response:
    """Show one person: how they stand, and everything that is known of them as one timeline."""
    context: Context = request.app.state.context
    number, now = number_in(request), context.clock.now()
    after = request.query_params.get("before")
    found = await context.database.read(lambda: _one(context, visit, number, after, now))
    if found is None:
        raise HTTPException(404)
    if found.person.number != number:
        return RedirectResponse(f"{CUSTOMERS}/{found.person.number}", 302)
    await write_down(context, visit, "customer", number)
    items = [
        {
            "item": item,
            "why": found.whys.get(item.sale, ()) if item.sale is not None and item.what in ("order", "points") else (),
            "letter": letter_address(context.vault, visit, item.letter, now) if item.letter is not None else "",
        }
        for item in found.page.items
    ]
    here = f"{CUSTOMERS}/{number}"
    return show(
        visit,
        "customer.html",
        TEMPLATES,
        person=found.person,
        known=found.known,
        standing=found.standing,
        mail=mail_words(found.person),
        language=spoken_words(found),
        items=items,
        receipts=[_receipt(context.vault, visit, number, one, now) for one in found.receipts[:MOST_RECEIPTS]],
        now=now,
        here=here,
        newest=here if after else "",
        older=f"{here}?{urlencode({'before': found.page.after})}" if found.page.after is not None else "",
    )


async def letter_itself(request: Request) -> Response:
    """Show a letter for the frames of one person's page: a frame's document carries no token, so its address is signed.

    Its links lead nowhere, and nothing in it runs.
    """
    context: Context = request.app.state.context
    token, now = request.path_params["token"], context.clock.now()
    addresses.keep_to(context.vault, LETTER, token)

    def look() -> Steps[tuple[Address | None, looks.Look | None]]:
        one = yield from addresses.look_up(context.vault, LETTER, token, 1, now)
        if one is None or not one.stands:
            return one, None
        return one, (yield from looks.look(context.kinds, one.merchant_id, one.parts[0], now))

    one, found = await context.database.read(look)
    if one is None:
        return guard(told(404))
    if found is None:
        return guard(letter("<p>Please load the page again to see this letter.</p>", one.shop), one.shop)
    html = found.letter.html if found.letter is not None else f"<p>{found.why_not}</p>"
    return guard(letter(html, one.shop), one.shop)


async def write_down(context: Context, visit: Visit, what: str, customer: int | None) -> None:
    """Write down that somebody looks at personal data, once for each hour of looking at the same."""
    look, now = (visit.merchant_id, visit.who, what, customer), context.clock.now()
    if not await context.database.read(lambda: is_looking(*look, now)):
        await context.database.run(lambda: looked(*look, now))


def letter_address(vault: Vault, visit: Visit, key: str, now: int) -> str:
    """Sign the address of a message's letter for a frame on a page of this visit."""
    until = now - now % LETTER_GRAIN + LETTER_LIFE
    return f"{CUSTOMERS}/letter/{addresses.sign(vault, visit, LETTER, until, key)}"


def _receipt(vault: Vault, visit: Visit, customer: int, one: Mapping[str, Any], now: int) -> dict[str, Any]:
    """Say what became of a request, with a link to the file of a data request that is ready."""
    is_file = one["kind"] == "customers/data_request"
    file = addresses.sign(vault, visit, FILE, now + FILE_LIFE, customer, one["request"])
    return {
        "what": "A file of all data" if is_file else "To be forgotten",
        "asked_at": from_iso(one["asked_at"]),
        "state": one["state"],
        "reason": one["reason"],
        "file": f"{CUSTOMERS}/file/{file}" if one["file"] else "",
    }


def number_in(request: Request) -> int:
    """Return the customer's number in an address. Raises HTTPException 404 where it is none."""
    text = request.path_params["number"]
    if not is_number(text):
        raise HTTPException(404)
    return int(text)


def mail_words(person: Person) -> tuple[str, str]:
    """Say whether a person gets mail, and why not, with the tone it is said in."""
    if person.held_at is not None:
        return "warning", "Held back: nothing goes out to them until you let it."
    if not person.email:
        return "warning", "No e-mail address is known, so nothing can be sent."
    if person.suppressed.get(person.email) == "refused":
        return "critical", "Their mailbox refused our mail for good: nothing is sent any more."
    if "unsubscribed" in person.suppressed.values() or BLOCKING & person.consents:
        return "info", "They want no thank-you notes or review requests. Notices about points still go out."
    return "success", "Mail goes out as usual."


def spoken_words(found: OnePage) -> str:
    """Say which language a person is written to in, and who says so."""
    locale = found.person.locale
    if not locale:
        return "Their country's language"
    name = LANGUAGES.get(locale.replace("_", "-").partition("-")[0].lower(), f"English (they read {locale})")
    return f"{name}, set by hand" if found.known.language_by_hand else name


def _listed(merchant_id: int, sought: Sought | None, place: Place | None) -> Steps[Listed]:
    if sought is None:
        return (yield from latest(merchant_id, place))
    return (yield from search(merchant_id, sought, place))


def _one(context: Context, visit: Visit, number: int, after: str | None, now: int) -> Steps[OnePage | None]:
    people = yield from load([(visit.merchant_id, number)], now)
    person = people.get((visit.merchant_id, number))
    known = None if person is None else (yield from look_up(visit.merchant_id, person.numbers))
    if person is None or known is None:
        return None
    shop = (yield from shops([visit.merchant_id]))[visit.merchant_id]
    page = yield from gather(context.timeline, _whose(shop, person, known, visit, now), after)
    sales = {item.sale for item in page.items if item.sale is not None and item.what in ("order", "points")}
    explained = yield from whys(shop, sales, now)
    standing = yield from _standing(context, shop, person.number, now)
    receipts: Sequence[Mapping[str, Any]] = ()
    if context.privacy is not None:
        receipts = yield from context.privacy.receipts(visit.merchant_id, person.number)
    return OnePage(shop, person, known, standing, page, receipts, explained)


def _standing(context: Context, shop: Shop, number: int, now: int) -> Steps[Standing]:
    points = (yield from balances(shop.id, [number]))[number]
    test = (yield from balances(shop.id, [number], test=True))[number]
    rank = (yield from context.ladder.place(shop, number, now)) if context.ladder is not None else None
    debt = max(0, -points["available"])
    return Standing(
        {**points, "available": max(0, points["available"])},
        debt,
        test if any(test.values()) else None,
        rank,
    )


def _whose(shop: Shop, person: Person, known: Known, visit: Visit, now: int) -> Whose:
    addresses = dict.fromkeys(
        [
            *known.emails,
            *([person.email] if person.email else []),
            *([known.phone] if known.phone else []),
            *(f"shopify:{value}" for value in person.shopify_ids),
            *(person_address(number) for number in person.numbers),
        ]
    )
    return Whose(
        shop,
        person.number,
        tuple(person.numbers),
        tuple(addresses),
        now,
        lambda minor, currency: money(minor, currency, visit.locale),
        lambda at: day(at, visit.timezone, visit.locale),
    )


def _address(**query: Any) -> str:
    kept = {name: value for name, value in query.items() if value}
    return f"{CUSTOMERS}?{urlencode(kept)}" if kept else CUSTOMERS


def _written(place: Place) -> str:
    return f"{place.range}.{place.number}.{place.text}"
