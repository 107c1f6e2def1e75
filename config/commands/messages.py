"""`regulars message`: what a merchant's mail looks like, before anybody gets any."""

from pathlib import Path
from typing import Annotated

import typer

from config.commands import Json, Refused, execute, show
from handlers.context import Context
from handlers.merchants.books import shops
from handlers.merchants.connections import find_merchant
from handlers.messages.letters import Set, choose_words, preview
from handlers.messages.rules import language

app = typer.Typer(help="What a merchant's mail looks like, before anybody gets any.", no_args_is_help=True)


@app.command("preview")
def preview_(
    name: Annotated[str, typer.Argument(help="The merchant's name.", metavar="NAME")],
    kind: Annotated[str, typer.Option(help="What the mail is about, such as thank_you.")] = "thank_you",
    locale: Annotated[str | None, typer.Option(help="Whose language, such as fr or de-AT; else the shop's.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the HTML here, to open it in a browser.")] = None,
    as_json: Json = False,
) -> None:
    """Show a mail as a customer would get it, with made-up facts and the merchant's newest words; nothing is sent."""

    async def work(context: Context) -> Set:
        merchant_id = await context.database.read(lambda: find_merchant(name))
        shop = (await context.database.read(lambda: shops([merchant_id])))[merchant_id]
        chosen = context.kinds.get(kind)
        if chosen is None:
            raise Refused(f"There is no mail of the kind {kind}; there are {', '.join(context.kinds)}.")
        spoken = language(locale, shop.country)
        return preview(
            chosen,
            choose_words(shop.current, kind, spoken, chosen.words),
            spoken,
            shop_name=shop.name,
            timezone=shop.timezone,
            currency=shop.currency,
            now=context.clock.now(),
        )

    letter = execute(work)
    lines = [f"Subject: {letter.subject}", "", letter.text.rstrip()]
    if html is not None:
        try:
            html.write_text(letter.html, encoding="utf-8")
        except OSError as error:
            raise Refused(f"{html} cannot be written ({error.strerror}).") from error
        lines += ["", f"As HTML: {html.absolute()}"]
    show(letter._asdict(), as_json, lines)
