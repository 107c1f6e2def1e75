"""`regulars tier`: who would move if the ladder changed, and tiers given by hand."""

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from config.commands import Json, execute, show
from config.commands.customers import Email, MerchantName, whom
from handlers.context import Context
from handlers.ladder import NOBODY, Shift
from handlers.merchants.connections import find_merchant
from handlers.merchants.fields import instant_of
from handlers.merchants.programs import assignments, changed, read_program
from handlers.merchants.rules import Refused
from handlers.tiers.changes import give, leave
from handlers.tiers.jobs import all_ahead
from handlers.tiers.views import moves

PAGE = 200
MOST_PAGES = 1_000_000
WHO = "command:the command line"

app = typer.Typer(help="Tiers: who would move if they changed, and tiers given by hand.", no_args_is_help=True)


@app.command("try")
def try_(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The merchant's name.")],
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting to try.")] = None,
    as_json: Json = False,
) -> None:
    """Count who would move to which tier under other settings; nothing is changed."""

    async def work(context: Context) -> Shift:
        merchant_id = await context.database.read(lambda: find_merchant(name))
        program = (await context.database.read(lambda: read_program(merchant_id))).program
        tiers, now = changed(program, assignments(set_ or [])).tiers, context.clock.now()
        found = NOBODY
        after: int | None = 0
        with Progress(console=Console(stderr=True), transient=True) as bar:
            bar.add_task("Placing everybody", total=None)
            for _ in range(MOST_PAGES):
                part, after = await context.database.read(
                    lambda after=after: moves(merchant_id, tiers, after, PAGE, now)  # type: ignore[misc]
                )
                found = found.plus(part)
                if after is None:
                    break
        return found

    found = execute(work)
    rows = [
        {"from": before, "to": then, "people": people}
        for (before, then), people in sorted(found.moves.items(), key=lambda pair: (-pair[1], str(pair[0])))
    ]
    gifts = [f"{_people(many)} would get the points for reaching {tier}" for tier, many in sorted(found.given.items())]
    gifts += [f"{_people(many)} would get the tag {tag} at Shopify" for tag, many in sorted(found.tagged.items())]
    gifts += [f"{_people(many)} would lose the tag {tag} at Shopify" for tag, many in sorted(found.untagged.items())]
    show(
        {"moves": rows, "given": dict(found.given), "tagged": dict(found.tagged), "untagged": dict(found.untagged)},
        as_json,
        [*map(_move, rows), *gifts] if rows else ["There are no customers yet."],
    )


@app.command("give")
def give_(
    email: Email,
    merchant: MerchantName,
    tier: Annotated[str, typer.Option(help="Its id in the programme, or none.")],
    reason: Annotated[str, typer.Option(help="Why, in words the customer may read.")],
    until: Annotated[str | None, typer.Option(help="The last day of it: 2027-06-30. Without one, for good.")] = None,
    as_json: Json = False,
) -> None:
    """Give a customer a tier by hand: what is higher than earned is the least they have, what is lower the most."""
    try:
        ends = instant_of(until, "UTC", end=True) if until is not None else None
    except ValueError:
        raise Refused("Write the last day as 2027-06-30.") from None

    async def work(context: Context) -> str | None:
        merchant_id, number = await whom(context, merchant, email)
        wanted, now = None if tier == "none" else tier, context.clock.now()
        ahead = await all_ahead(context, merchant_id, number)
        return await context.database.run(
            lambda: give(merchant_id, number, wanted, ends, reason, WHO, now, context.rises, ahead)
        )

    _tell(execute(work), as_json)


@app.command("leave")
def leave_(email: Email, merchant: MerchantName, as_json: Json = False) -> None:
    """Leave a customer's tier to what they buy again."""

    async def work(context: Context) -> str | None:
        merchant_id, number = await whom(context, merchant, email)
        now, ahead = context.clock.now(), await all_ahead(context, merchant_id, number)
        return await context.database.run(lambda: leave(merchant_id, number, WHO, now, context.rises, ahead))

    _tell(execute(work), as_json)


def _tell(tier: str | None, as_json: bool) -> None:
    show({"tier": tier}, as_json, [f"Their tier is {tier}." if tier else "They have no tier."])


def _move(row: dict[str, Any]) -> str:
    before, then, people = row["from"] or "no tier", row["to"] or "no tier", row["people"]
    return f"{_people(people)}: {before}, as now" if before == then else f"{_people(people)}: {before} → {then}"


def _people(many: int) -> str:
    return f"{many} customer{'s' if many != 1 else ''}"
