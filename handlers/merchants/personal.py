"""What is kept of merchants themselves: who they are and how they are reached; it goes with their shop."""

from handlers.holders import deleting, of_the_merchant
from handlers.merchants.books import parse_program
from handlers.merchants.rules import Messages
from integration.database.steps import Steps, ask, plain

# Words and addresses of a programme go; what points follow from stays.
_VERSIONS = plain("SELECT version, document, who FROM program_versions WHERE merchant_id = ?1 ORDER BY version")
_VERSION = plain("UPDATE program_versions SET document = ?3, who = NULL WHERE merchant_id = ?1 AND version = ?2")
_NAMELESS = plain(
    "UPDATE merchants SET name = 'Forgotten shop ' || id, email = NULL, shop_email = NULL, country = NULL,"
    " language = NULL, policies = NULL, closed_at = coalesce(closed_at, ?2)"
    " WHERE id = ?1 AND name <> 'Forgotten shop ' || id"
)
_connections = deleting("connections")


def clear(merchant_id: int, limit: int, now: int) -> Steps[int]:
    """Forget who the merchant was: name, addresses, own words, connections with their keys."""
    changed = 0
    for version, document, who in (yield from ask(_VERSIONS, (merchant_id,))):
        program = parse_program(document)
        if program.messages != Messages() or who is not None:
            plain_one = program.model_copy(update={"messages": Messages()})
            yield from ask(_VERSION, (merchant_id, version, plain_one.model_dump_json()))
            changed += 1
    changed += int((yield from ask(_NAMELESS, (merchant_id, now)))[0][0])
    return changed + (yield from _connections(merchant_id, limit, now))


HOLDER = of_the_merchant("merchants", "connections")._replace(clear=clear)
