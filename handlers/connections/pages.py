"""The merchant's page of connections: the shop, the Stripe accounts, and the domain mail comes from."""

from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from handlers.connections import jobs
from handlers.connections.feeds import sending_domain
from handlers.connections.jobs import Lacking
from handlers.connections.rules import MAILBOXES, SCOPES, Check, domain_of, granted, unasked
from handlers.connections.store import connections
from handlers.context import Context
from handlers.merchants.door import Visit
from handlers.merchants.frame import moved, show
from handlers.merchants.programs import read_program
from handlers.merchants.rules import Refused
from handlers.merchants.stripe_accounts import StripeAccount, account_of
from integration.errors import Unavailable
from integration.shopify.scopes import OPTIONAL
from integration.stripe.accounts import PERMISSIONS

TEMPLATES = Path(__file__).parent / "templates"
HERE = "/app/connections"
MOST_NUMBER = 2**62


async def connections_page(request: Request, visit: Visit) -> Response:
    """Show what the shop is connected by, and how each does."""
    context: Context = request.app.state.context
    found = await context.database.read(lambda: connections(visit.merchant_id, context.clock.now()))
    held = found.shop.scopes if found.shop is not None else None
    return show(
        visit,
        "connections.html",
        TEMPLATES,
        shop=found.shop,
        accounts=found.accounts,
        # The optional ones can be asked for where they are listed; the others Shopify asks for by itself.
        scopes=[(one, held is not None and granted(one.name, held), one.name in OPTIONAL) for one in SCOPES],
        domain=domain_of(await _from_address(context, visit)),
        has_shopify=bool(context.shopify_secrets),
    )


# --- Stripe ---------------------------------------------------------------------------------------


async def stripe_page(request: Request, visit: Visit) -> Response:
    """Show how a restricted key is made, and the field it goes into."""
    return _stripe_form(visit)


async def stripe_connect(request: Request, visit: Visit) -> Response:
    """Connect the account behind a pasted key; what is wrong with it is said beside the field.

    The key itself is never shown again.
    """
    context: Context = request.app.state.context
    pasted = (await request.form()).get("key")
    try:
        found = await jobs.connect(context, visit.merchant_id, pasted if isinstance(pasted, str) else "", visit.who)
    except Refused as error:
        return _stripe_form(visit, 422, errors={"key": str(error)})
    except Unavailable:
        words = "Stripe does not answer right now. Nothing was kept; try again in a minute."
        return _stripe_form(visit, 503, errors={"key": words})
    if isinstance(found, Lacking):
        return _stripe_form(visit, 422, lacking=found)
    name = found.account.name or found.account.account
    if found.unfinished is not None:
        words = f"{name} is connected, but its webhook is not set up yet: {found.unfinished}."
        return moved(request, visit, HERE, words, "critical")
    words = f"{name} has a new key." if found.rotated else f"{name} is connected. Its payments count from now on."
    return moved(request, visit, HERE, words)


async def stripe_repair(request: Request, visit: Visit) -> Response:
    """Set an account's webhook up again."""
    context: Context = request.app.state.context
    connection = _number(request)
    try:
        why_not = await jobs.repair(context, visit.merchant_id, connection, visit.who)
    except Refused:
        raise HTTPException(404) from None
    if why_not is not None:
        return moved(request, visit, HERE, f"The webhook could not be set up: {why_not}.", "critical")
    return moved(request, visit, HERE, "The webhook is set up again.")


async def disconnect_page(request: Request, visit: Visit) -> Response:
    """Say what disconnecting an account does, and ask once more."""
    return show(visit, "disconnect.html", TEMPLATES, account=await _account(request, visit), away=None)


async def disconnect_now(request: Request, visit: Visit) -> Response:
    """Disconnect an account; where Stripe is away, ask whether to leave its webhook behind."""
    context: Context = request.app.state.context
    one = await _account(request, visit)
    anyway = (await request.form()).get("anyway") == "on"
    try:
        parted = await jobs.disconnect(context, visit.merchant_id, one.connection, visit.who, anyway=anyway)
    except Unavailable as error:
        return show(visit, "disconnect.html", TEMPLATES, 503, account=one, away=str(error))
    except Refused:
        raise HTTPException(404) from None
    name = one.name or one.account or "The Stripe account"
    if parted.left_behind is not None:
        which = f"the webhook endpoint {one.endpoint}" if one.endpoint else "the webhook endpoint"
        words = (
            f"{name} is disconnected, but {which} could not be deleted: {parted.left_behind}. Delete it in Stripe under"
            " Developers, Webhooks."
        )
        return moved(request, visit, HERE, words, "critical")
    return moved(request, visit, HERE, f"{name} is disconnected and its webhook deleted. What it earned stays.")


def _stripe_form(
    visit: Visit, status: int = 200, errors: dict[str, str] | None = None, lacking: Lacking | None = None
) -> Response:
    return show(visit, "stripe.html", TEMPLATES, status, permissions=PERMISSIONS, errors=errors or {}, lacking=lacking)


async def _account(request: Request, visit: Visit) -> StripeAccount:
    context: Context = request.app.state.context
    number = _number(request)
    found = await context.database.read(lambda: account_of(visit.merchant_id, number))
    if found is None:
        raise HTTPException(404)
    return found


def _number(request: Request) -> int:
    number = int(request.path_params["connection"])
    if not 0 < number < MOST_NUMBER:
        raise HTTPException(404)
    return number


# --- The domain mail comes from -------------------------------------------------------------------


async def domain_page(request: Request, visit: Visit) -> Response:
    """Show what the sending domain must publish; asked to, look whether it does."""
    context: Context = request.app.state.context
    address = await _from_address(context, visit)
    domain = domain_of(address)
    asked = request.query_params.get("check") == "now"
    checks: tuple[Check, ...] = ()
    if domain is not None and domain not in MAILBOXES:
        selectors = context.dkim_selectors
        if asked and context.dns is not None:
            checks = await sending_domain(context.dns, domain, context.mail_spf, selectors)
        else:
            checks = unasked(domain, context.mail_spf, selectors[0] if selectors else None)
    return show(
        visit,
        "domain.html",
        TEMPLATES,
        address=address,
        domain=domain,
        is_mailbox=domain in MAILBOXES,
        is_own=address is not None and address != context.mail_from,
        asked=asked,
        checks=checks,
    )


async def _from_address(context: Context, visit: Visit) -> str | None:
    try:
        version = await context.database.read(lambda: read_program(visit.merchant_id))
    except Refused:
        return context.mail_from
    return version.program.messages.from_address or context.mail_from
