"""What the merchant knows of a person better than the platforms: the language they read."""

from integration.database.steps import Steps, ask, plain

# Later than any word of a platform: what a person at the shop has put right stays so.
BY_HAND = 2**61

_SPEAKS = plain("SELECT locale, locale_at FROM customers WHERE merchant_id = ?1 AND number = ?2")
_SET = plain("UPDATE customers SET locale = ?3, locale_at = ?4 WHERE merchant_id = ?1 AND number = ?2")


def spoken(merchant_id: int, customer: int) -> Steps[tuple[str | None, bool]]:
    """Return the locale that is kept of a person, and whether it was set by hand."""
    rows = yield from ask(_SPEAKS, (merchant_id, customer))
    return (rows[0][0], rows[0][1] >= BY_HAND) if rows else (None, False)


def correct_language(merchant_id: int, customer: int, language: str | None) -> Steps[None]:
    """Write to a person in a language from now on, whatever platforms say; None = as the platforms say again.

    Until a platform tells their language the next time, they are then written to in their country's.
    """
    yield from ask(_SET, (merchant_id, customer, language, BY_HAND if language is not None else 0))
