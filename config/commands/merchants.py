"""`regulars merchant`: who uses the program, what connects them, and how their programme is set."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from config import settings
from config.commands import Json, Refused, execute, show
from handlers.connections.jobs import Connected, Lacking, Parted, connect, disconnect
from handlers.context import Context
from handlers.inbox.work import BELL
from handlers.merchants.books import shops
from handlers.merchants.connections import (
    MOST_NAME,
    Merchant,
    Wish,
    add_merchant,
    connect_stripe,
    find_merchant,
    left_at,
    merchants_after,
    renew_token,
)
from handlers.merchants.pages import link_address
from handlers.merchants.programs import (
    MOST_DOCUMENT,
    assignments,
    change_program,
    from_file,
    read_program,
    readable,
)
from handlers.merchants.rules import Program
from handlers.merchants.sessions import LINK_LIFE, end_sessions, new_link
from handlers.merchants.stripe_accounts import StripeAccount, accounts_of
from handlers.sales.books import stir_sold_since
from integration.clock import MINUTE, to_iso
from integration.database.engine import FILE_NAME, address
from integration.database.steps import Steps

PAGE = 500
MOST_LISTED = 100_000
BY_COMMAND = "command"  # who it is, in the journal

app = typer.Typer(
    help="Who uses the program, what connects them, and how their programme is set.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(help="The merchant's name.", metavar="NAME")]


@app.command("add")
def add(
    name: Name,
    currency: Annotated[str, typer.Option(help="What the programme counts in, such as USD.")],
    timezone: Annotated[str, typer.Option(help="Where the shop's days are, such as Europe/Paris.")],
    shopify: Annotated[str | None, typer.Option(help="The shop's myshopify.com domain.")] = None,
    shopify_token: Annotated[str | None, typer.Option(help="An Admin API access token; not needed.")] = None,
    country: Annotated[str | None, typer.Option(help="Where the shop is, such as FR.")] = None,
    email: Annotated[str | None, typer.Option(help="Where mail for the merchant goes.")] = None,
    as_json: Json = False,
) -> None:
    """Add a merchant, with everything off until the programme says otherwise."""
    wish = Wish(name, shopify, currency, timezone, country, email, shopify_token)
    _set_up()

    async def work(context: Context) -> Merchant:
        now = context.clock.now()

        def join() -> Steps[Merchant]:
            left = yield from left_at(wish.name)
            merchant = yield from add_merchant(wish, context.vault, now)
            if left is not None:
                for follow in context.on_return:
                    yield from follow(merchant.id, left, now)
            return merchant

        merchant = await context.database.run(join)
        context.queue.ring(BELL)
        return merchant

    merchant = execute(work)
    show(_shown(merchant), as_json, [f"Added {_line(merchant)}"])


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the merchants in the order they joined."""

    async def work(context: Context) -> list[Merchant]:
        found: list[Merchant] = []
        while len(found) < MOST_LISTED:
            last = found[-1].id if found else 0
            page = await context.database.read(lambda after=last: merchants_after(after, PAGE))  # type: ignore[misc]
            found += page
            if len(page) < PAGE:
                break
        return found

    merchants = execute(work)
    lines = [_line(one) for one in merchants] or ["There is no merchant yet; see `regulars merchant add`."]
    show([_shown(one) for one in merchants], as_json, lines)


@app.command("shopify")
def shopify(
    name: Name,
    token: Annotated[str, typer.Option(help="An Admin API access token of the shop, shpat_….")],
    as_json: Json = False,
) -> None:
    """Set the token we ask a merchant's shop with, for what its webhooks do not carry or did not bring."""

    async def work(context: Context) -> str:
        merchant_id = await context.database.read(lambda: find_merchant(name))
        return await context.database.run(lambda: renew_token(merchant_id, token, context.vault))

    shop = execute(work)
    show({"shopify": shop}, as_json, [f"{shop} is asked with this token from now on."])


@app.command("stripe")
def stripe(
    name: Name,
    webhook_secret: Annotated[
        str | None, typer.Option(help="whsec_…, where the endpoint was made by hand in Stripe.")
    ] = None,
    api_key: Annotated[str | None, typer.Option(help="A restricted key, rk_…; alone it sets everything up.")] = None,
    disconnect_: Annotated[
        str | None, typer.Option("--disconnect", metavar="ACCOUNT", help="Part from this account, acct_….")
    ] = None,
    as_json: Json = False,
) -> None:
    """Connect a Stripe account by its restricted key, let in one set up by hand, or part from one."""
    if disconnect_ is not None and (webhook_secret or api_key):
        raise typer.BadParameter("--disconnect goes with no other option but --json.")
    if disconnect_ is not None:
        _part(name, disconnect_, as_json)
    elif webhook_secret is not None:
        _let_in(name, webhook_secret, api_key, as_json)
    elif api_key is not None:
        _connect(name, api_key, as_json)
    else:
        raise typer.BadParameter(
            "give --api-key rk_…, or --webhook-secret whsec_… where the endpoint was made by hand."
        )


def _let_in(name: str, webhook_secret: str, api_key: str | None, as_json: bool) -> None:
    """Take the secret of an endpoint that was made by hand; a further one is taken beside the last few."""

    async def work(context: Context) -> str:
        now = context.clock.now()
        merchant_id = await context.database.read(lambda: find_merchant(name))

        def connect() -> Steps[str]:
            left = (yield from shops([merchant_id]))[merchant_id].closed.get("stripe")
            path = yield from connect_stripe(merchant_id, webhook_secret, api_key, context.vault, now)
            if left is not None:
                for follow in context.on_return:
                    yield from follow(merchant_id, left, now)
            return path

        path = await context.database.run(connect)
        context.queue.ring(BELL)
        return path

    path = execute(work)
    show({"webhook_path": path}, as_json, [f"Have Stripe send its events to PUBLIC_URL{path}"])


def _connect(name: str, api_key: str, as_json: bool) -> None:
    """Connect the account behind a restricted key, webhook and all."""

    async def work(context: Context) -> Connected | Lacking:
        merchant_id = await context.database.read(lambda: find_merchant(name))
        return await connect(context, merchant_id, api_key, BY_COMMAND)

    found = execute(work)
    if isinstance(found, Lacking):
        lines = [f"{one.permission.group}: {one.permission.name}, {one.permission.level}" for one in found.missing]
        raise Refused("The key lacks permissions, and nothing was kept. Add to it: " + "; ".join(lines) + ".")
    one = found.account
    state = f" Its webhook is not set up yet: {found.unfinished}." if found.unfinished else ""
    what = "has a new key" if found.rotated else "is connected"
    shown = {"webhook_path": one.path, "account": one.account, "livemode": one.livemode, "state": one.state}
    show(shown | {"reason": found.unfinished}, as_json, [f"{one.account} {what}.{state}"])


def _part(name: str, account: str, as_json: bool) -> None:
    """Disconnect the account of an id."""

    async def work(context: Context) -> Parted:
        merchant_id = await context.database.read(lambda: find_merchant(name))
        known = await context.database.read(lambda: accounts_of(merchant_id))
        found: StripeAccount | None = next((one for one in known if account in (one.account, one.path)), None)
        if found is None:
            there = ", ".join(str(one.account or one.path) for one in known) or "none"
            raise Refused(f"{name} has no such Stripe account; connected: {there}.")
        return await disconnect(context, merchant_id, found.connection, BY_COMMAND, anyway=True)

    parted = execute(work)
    rest = f" Delete its webhook endpoint in Stripe by hand: {parted.left_behind}." if parted.left_behind else ""
    shown = {"account": parted.account.account, "left_behind": parted.left_behind}
    show(shown, as_json, [f"{account} is disconnected; its books stay.{rest}"])


@app.command("program")
def program(
    name: Name,
    file: Annotated[Path | None, typer.Option(help="JSON of a programme, or of a part of one.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="One setting; may be repeated.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show a merchant's programme as JSON, changed first where a file or settings are given.

    A change is in force from the next whole second, all of it or nothing.
    """
    changes: dict[str, object] = {}
    if file is not None:
        changes |= from_file(_text(file))
    changes |= assignments(set_ or [])

    async def work(context: Context) -> Program:
        now = context.clock.now()
        merchant_id = await context.database.read(lambda: find_merchant(name))
        if not changes:
            return (await context.database.read(lambda: read_program(merchant_id))).program

        def change() -> Steps[Program]:
            version = yield from change_program(merchant_id, changes, now)
            # A platform's clock may run ahead of ours: what was sold under this version may have been told already.
            yield from stir_sold_since(merchant_id, version.in_force_at, now)
            return version.program

        changed = await context.database.run(change)
        context.queue.ring(BELL)
        return changed

    shown = readable(execute(work))
    # It is JSON for people as well, since it is what --file takes.
    show(shown, as_json, [json.dumps(shown, indent=2, ensure_ascii=False)])


@app.command("login-link")
def login_link(
    name: Name,
    who: Annotated[str, typer.Option("--for", help="Who will use it, as the journal shows them.")] = "",
    as_json: Json = False,
) -> None:
    """Print a link that signs one person in to a merchant's pages: it works once, within a quarter of an hour."""

    async def work(context: Context) -> str:
        merchant_id = await context.database.read(lambda: find_merchant(name))
        whom = f"link:{' '.join(who.split())[:MOST_NAME] or name}"
        token = await context.database.run(lambda: new_link(merchant_id, whom, context.vault, context.clock.now()))
        assert token is not None  # only mailed ones are counted
        return link_address(context, token)

    url = execute(work)
    show({"url": url, "minutes": LINK_LIFE // MINUTE}, as_json, [url])


@app.command("sign-out")
def sign_out(name: Name, as_json: Json = False) -> None:
    """End every session of a merchant's pages and drop every link that was not used yet."""

    async def work(context: Context) -> int:
        merchant_id = await context.database.read(lambda: find_merchant(name))
        return await context.database.run(lambda: end_sessions(merchant_id, context.clock.now()))

    ended = execute(work)
    show({"ended": ended}, as_json, [f"{ended} sessions were ended."])


def _set_up() -> None:
    """On a fresh machine the first merchant is often added before anything runs: make the database file."""
    loaded = settings.load()
    url = None if loaded.database_url else address(None, loaded.data_dir)
    if url is not None and not (loaded.data_dir / FILE_NAME).exists():
        # Only here: no other command on merchants needs what migrations do.
        from config import migrate

        migrate.upgrade(url)


def _text(file: Path) -> str:
    try:
        with file.open(encoding="utf-8") as opened:
            return opened.read(MOST_DOCUMENT + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"{file} cannot be read ({type(error).__name__}).") from error


def _shown(merchant: Merchant) -> dict[str, Any]:
    return {
        "id": merchant.id,
        "name": merchant.name,
        "currency": merchant.currency,
        "timezone": merchant.timezone,
        "country": merchant.country,
        "email": merchant.email,
        "shopify": merchant.shopify,
        "webhook_path": merchant.stripe,
        "created_at": to_iso(merchant.created_at),
        "closed_at": to_iso(merchant.closed_at),
    }


def _line(merchant: Merchant) -> str:
    ways = [merchant.shopify or "", f"Stripe at {merchant.stripe}" if merchant.stripe else ""]
    ended = f", left {to_iso(merchant.closed_at)}" if merchant.closed_at is not None else ""
    connected = ", ".join(way for way in ways if way) or "not connected yet"
    return f"{merchant.name}: {connected}, {merchant.currency}, {merchant.timezone}{ended}"
