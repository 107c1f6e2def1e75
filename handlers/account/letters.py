"""The mail with a fresh link, with which customers may act on their page."""

import secrets

from handlers.account.rules import Reader
from handlers.account.views import Seen
from handlers.context import Context
from handlers.messages.kinds import Content
from handlers.messages.letters import set_letter
from handlers.messages.sending import addressed
from integration.channels import Letter

OPEN = "/c/open"


def fresh_link(context: Context, seen: Seen, reader: Reader, token: str) -> Letter | None:
    """Write the mail to the address that is kept of a person; None where there is none that takes mail."""
    person = seen.person
    if person is None or not person.email or person.suppressed.get(person.email) == "refused":
        return None
    words = {"name": person.first_name or person.email.partition("@")[0]}
    content = Content(
        subject=reader.say("letter_subject"),
        body=reader.say("letter_body", **words),
        button=(reader.say("letter_button"), f"{context.public_url.rstrip('/')}{OPEN}/{token}"),
    )
    letter = set_letter(content, shop_name=seen.shop.name, language=reader.language, unsubscribe_url=None)
    name = f"account-{secrets.token_hex(12)}"
    headers = {"Content-Language": reader.language, "Auto-Submitted": "auto-generated"}
    return addressed(context, seen.shop.name, seen.shop.current.messages, person.email, letter, name, headers)
