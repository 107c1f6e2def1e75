"""The one mail merchants get of signing in: a link to their pages."""

import secrets
from functools import lru_cache
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, Template

from handlers.context import Context
from handlers.merchants.frame import TEMPLATES
from integration.channels import Letter


def sign_in_letter(context: Context, name: str, address: str, link: str) -> Letter:
    """Write the mail with a one-time link to the pages of the merchant `name`."""
    host = urlsplit(context.public_url).hostname or "localhost"
    text = (
        f"Somebody, hopefully you, asked for a link to the pages of {name} in Regulars:\n\n{link}\n\n"
        "It works once, within a quarter of an hour. Was it not you? Then do nothing: without this mail nobody gets"
        " in.\n"
    )
    return Letter(
        sender=str(context.mail_from or f"no-reply@{host}"),
        sender_name="Regulars",
        recipient=address,
        subject=f"Your link to {name}",
        text=text,
        html=_letter().render(name=name, link=link),
        message_id=f"sign-in-{secrets.token_hex(12)}@{host}",
        headers={"Content-Language": "en", "Auto-Submitted": "auto-generated"},
    )


@lru_cache(maxsize=1)
def _letter() -> Template:
    return Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True).get_template("sign_in_letter.html")
