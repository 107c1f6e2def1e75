"""How a message looked when it went out, or would look if it went out now: for the merchant's eyes."""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from handlers.merchants.books import shops
from handlers.messages.kinds import Content, Kept, Kind
from handlers.messages.letters import Set, set_letter
from handlers.messages.outbox import Due
from handlers.messages.people import load
from handlers.messages.sending import occasion_of
from integration.database.steps import Steps, ask, plain

NOWHERE = "#"  # where the links of a letter lead that is only looked at

_MESSAGE = plain(
    "SELECT merchant_id, key, kind, customer, sale, channel, due_at, attempts, test, details, created_at, trace,"
    " state, content FROM messages WHERE merchant_id = ?1 AND key = ?2"
)
_kept = msgspec.json.Decoder(Kept)


class Look(NamedTuple):
    """One message for looking at: the letter, and where there is none why."""

    letter: Set | None
    why_not: str = ""


def look(kinds: Mapping[str, Kind], merchant_id: int, key: str, now: int) -> Steps[Look | None]:
    """Set a message's letter with links that lead nowhere; None where there is no such message."""
    rows = yield from ask(_MESSAGE, (merchant_id, key))
    if not rows:
        return None
    *fields, state, content = rows[0]
    message = Due(*fields)
    shop = (yield from shops([merchant_id])).get(merchant_id)
    kind = kinds.get(message.kind)
    version = shop.version_at(now) if shop is not None else None
    if shop is None or kind is None or version is None:
        return Look(None, "This kind of message does not exist any more.")
    if content is not None:
        said = _kept.decode(content)
        return Look(_set(kind, said.content, shop.name, said.language, message))
    if state == "sent":
        return Look(None, "It went out before the words of letters were kept, or its words were erased.")
    people = yield from load([(merchant_id, message.customer or 0)], now)
    person = people.get((merchant_id, message.customer or 0))
    if person is None:
        return Look(None, "The person is not known any more.")
    occasion = occasion_of(lambda *_: NOWHERE, message, shop, version.program, person, now)
    composed = yield from kind.compose(occasion)
    if not isinstance(composed, Content):
        return Look(None, f"{composed.reason[0].upper()}{composed.reason[1:]}.")
    return Look(_set(kind, composed, shop.name, occasion.language, message))


def _set(kind: Kind, content: Content, shop_name: str, language: str, message: Due) -> Set:
    return set_letter(
        content,
        shop_name=shop_name,
        language=language,
        unsubscribe_url=None if kind.transactional else NOWHERE,
        test=bool(message.test),
    )
