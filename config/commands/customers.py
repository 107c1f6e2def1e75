"""`regulars customer`: what somebody has, how it came about, and putting it right by hand."""

import json
import sys
from typing import Annotated, Any

import typer

from config.commands import Json, execute, show
from handlers.context import Context
from handlers.customers.persons import persons
from handlers.merchants.connections import find_merchant
from handlers.points.adjust import adjust, forgive, present
from handlers.points.statement import customers_after, find_customer, statement

PAGE = 500
MOST_PAGES = 1_000_000

app = typer.Typer(help="What customers have, how it came about, and putting it right.", no_args_is_help=True)

Email = Annotated[str, typer.Argument(metavar="EMAIL", help="An address; also shopify:<id> or stripe:<cus_…>.")]
MerchantName = Annotated[str, typer.Option("--merchant", help="The merchant's name.")]
Reason = Annotated[str, typer.Option(help="Why, in words the customer may read.")]
Key = Annotated[str | None, typer.Option(help="A name of your own: the same one again changes nothing.")]


async def whom(context: Context, merchant: str, email: str) -> tuple[int, int]:
    """Find a merchant by name and a customer of theirs as a command is given them; returns both numbers."""
    merchant_id = await context.database.read(lambda: find_merchant(merchant))
    return merchant_id, await context.database.read(lambda: find_customer(merchant_id, email))


@app.command("show")
def show_(email: Email, merchant: MerchantName, as_json: Json = False) -> None:
    """Show a customer's points, entries, messages and sales, and why each sale earned what it did."""

    async def work(context: Context) -> dict[str, Any]:
        now = context.clock.now()
        merchant_id, number = await whom(context, merchant, email)
        return await context.database.read(lambda: statement(merchant_id, number, now))

    shown = execute(work)
    show(shown, as_json, _account(shown))


@app.command("list")
def list_(merchant: MerchantName, as_json: Json = False) -> None:
    """List a merchant's customers, one a line."""

    async def work(context: Context) -> None:
        merchant_id = await context.database.read(lambda: find_merchant(merchant))
        last = 0
        for _ in range(MOST_PAGES):
            page = await context.database.read(
                lambda after=last: customers_after(merchant_id, after, PAGE)  # type: ignore[misc]
            )
            for number, customer in page:
                line = json.dumps(customer, ensure_ascii=False) if as_json else _one(number, customer)
                sys.stdout.write(line + "\n")
            if len(page) < PAGE:
                return
            last = page[-1][0]

    execute(work)


@app.command("adjust")
def adjust_(
    email: Email,
    merchant: MerchantName,
    points: Annotated[int, typer.Option(help="How many to give; below zero takes them away.")],
    reason: Reason,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Give a customer points or take some away, never below nothing."""

    async def work(context: Context) -> dict[str, Any]:
        now = context.clock.now()
        merchant_id, number = await whom(context, merchant, email)
        return await context.database.run(lambda: adjust(merchant_id, number, points, reason, key, now))

    balance = execute(work)
    show({"points": balance}, as_json, [_balance(balance)])


@app.command("present")
def present_(
    email: Email,
    merchant: MerchantName,
    points: Annotated[int, typer.Option(help="How many to give, within the programme's limits.")],
    reason: Reason,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Give a customer points as a present, up to what the programme allows at once and within twelve months."""

    async def work(context: Context) -> dict[str, Any]:
        now = context.clock.now()
        merchant_id, number = await whom(context, merchant, email)
        found = await context.database.read(lambda: persons([(merchant_id, number)]))
        numbers = next(iter(found.values()))
        return await context.database.run(lambda: present(merchant_id, numbers, points, reason, key, now))

    balance = execute(work)
    show({"points": balance}, as_json, [_balance(balance)])


@app.command("forgive")
def forgive_(email: Email, merchant: MerchantName, as_json: Json = False) -> None:
    """Forgive a customer the points they owe after a refund of spent ones."""

    async def work(context: Context) -> dict[str, Any]:
        now = context.clock.now()
        merchant_id, number = await whom(context, merchant, email)
        return await context.database.run(lambda: forgive(merchant_id, number, now))

    balance = execute(work)
    show({"points": balance}, as_json, [_balance(balance)])


def _account(shown: dict[str, Any]) -> list[str]:
    person = shown["customer"]
    name = " ".join(part for part in (person["first_name"], person["last_name"]) if part)
    lines = [f"{name or person['email'] or 'Customer'} (customer {person['number']})"]
    lines += [f"  known as {', '.join(person['known_as'])}", _balance(shown["points"])]
    if shown["tier"]:
        lines.append(_tier(shown["tier"], shown["standing"]))
    if shown["expires"]:
        lines.append(f"{shown['expires']['points']} of them expire at {shown['expires']['at']}, as things are")
    lines.append("")
    for entry in shown["entries"]:
        sale = f"  sale {entry['sale']}" if entry["sale"] is not None else ""
        lines.append(
            f"{entry['at']}  {entry['points']:+7d}  {entry['reason']:<16}{entry['from']} → {entry['to']}{sale}"
        )
    for sale in shown["sales"]:
        test = ", a test" if sale["test"] else ""
        money = f", {sale['total']} {sale['currency']}" if sale["currency"] else ""
        name = f" ({sale['name']})" if sale["name"] else ""
        lines += ["", f"Sale {sale['number']}{name}{money}, {sale['sold_at'] or 'not sold yet'}{test}"]
        lines += [f"  {sentence}" for sentence in sale["why"]]
    for message in shown["messages"]:
        when = f"sent {message['sent_at']}" if message["sent_at"] else f"due {message['due_at']}"
        why = f" ({message['reason']})" if message["reason"] else ""
        lines += ["", f"{message['kind']} by {message['channel']}: {message['state']}, {when}{why}"]
    if "test" in shown:
        lines += ["", f"Of test sales, never real: {_balance(shown['test']['points'])}"]
    return lines


def _tier(name: str, standing: dict[str, str | None]) -> str:
    kept = f", kept until {standing['kept_until']}" if standing["kept_until"] else ""
    lost = f" and lost at {standing['lost_at']} as things are" if standing["lost_at"] else ""
    return f"Tier {name} since {standing['since']}{kept}{lost}"


def _balance(points: dict[str, int]) -> str:
    return (
        f"{points['available']} points available, {points['pending']} pending, {points['held']} held;"
        f" {points['lifetime']} in all so far"
    )


def _one(number: int, customer: dict[str, Any]) -> str:
    sales = customer["sales"]
    who = customer["email"] or f"customer {number}"
    return f"{who}: {_balance(customer['points'])}, {sales} {'sale' if sales == 1 else 'sales'}"
