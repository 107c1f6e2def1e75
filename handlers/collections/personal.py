"""What is kept of the shop's collections: their titles are the merchant's words; what points follow from stays."""

from handlers.holders import of_the_merchant
from integration.database.steps import Steps, ask, plain

_NAMELESS = plain(
    "UPDATE collections SET title = NULL, due_at = NULL"
    " WHERE merchant_id = ?1 AND (title IS NOT NULL OR due_at IS NOT NULL)"
)


def clear(merchant_id: int, limit: int, now: int) -> Steps[int]:
    """Forget what the shop called its collections, and read them no more."""
    return int((yield from ask(_NAMELESS, (merchant_id,)))[0][0])


HOLDER = of_the_merchant("collections")._replace(clear=clear)
