"""Money as integer minor units: how many digits each currency has, and how each platform writes it."""

from decimal import Decimal

# ISO 4217 currencies whose minor unit is not a hundredth.
_NO_DECIMALS = frozenset((
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF",
    "XPF",
))  # fmt: skip
_THREE_DECIMALS = frozenset(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"))
# Stripe sends these two with two digits although they have none (reference: Stripe's currency page).
_STRIPE_HUNDREDFOLD = frozenset({"ISK", "UGX"})

MOST_DIGITS = 30


def exponent(currency: str) -> int:
    """Return how many digits the minor unit of an upper-case ISO currency has (0, 2 or 3)."""
    if currency in _NO_DECIMALS:
        return 0
    return 3 if currency in _THREE_DECIMALS else 2


def from_decimal_text(text: str, currency: str) -> int:
    """Read a platform's decimal string (`"10.00"`, `"-3.5"`) as minor units; excess digits round half up.

    Raises ValueError for anything that is not a plain decimal number of at most 30 characters.
    """
    if len(text) > MOST_DIGITS or not text.isascii():
        raise ValueError(f"not an amount of money: {text[:40]!r}")
    digits = exponent(currency)
    sign = -1 if text.startswith("-") else 1
    whole, _, fraction = text.lstrip("+-").partition(".")
    if not (whole or fraction) or not (whole or "0").isdigit() or not (fraction or "0").isdigit():
        raise ValueError(f"not an amount of money: {text[:40]!r}")
    minor = int(whole or 0) * int(10**digits)
    if fraction:
        minor += int((fraction + "000")[:digits] or 0)
        if len(fraction) > digits and fraction[digits] >= "5":
            minor += 1
    return sign * minor


def from_stripe(amount: int, currency: str) -> int:
    """Turn Stripe's integer amount into our minor units of the upper-case currency."""
    return (amount + 50) // 100 if currency in _STRIPE_HUNDREDFOLD else amount


def to_stripe(minor: int, currency: str) -> int:
    """Turn our minor units into Stripe's integer amount, in which two currencies without digits have two."""
    return minor * 100 if currency in _STRIPE_HUNDREDFOLD else minor


def to_decimal(minor: int, currency: str) -> Decimal:
    """Return minor units as an exact decimal of major units."""
    return Decimal(minor).scaleb(-exponent(currency))
