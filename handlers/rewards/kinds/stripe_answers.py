"""What Stripe's two kinds of rewards have in common: its answers as plain data, and its refusals in our words."""

from collections.abc import Awaitable, Mapping
from typing import Any

import msgspec
import stripe

from integration.errors import Rejected, Unavailable
from integration.stripe.api import body_of, translated

MOST_WORDS = 300


class NotThere(Rejected):
    """Stripe knows no such thing."""


async def plainly(answer: Awaitable[Any], what: str) -> Mapping[str, Any]:
    """Wait for an answer about `what` and return it as plain data.

    Raises NotThere, stripe.InvalidRequestError for what Stripe will never do as asked, and Unavailable, Rejected or
    Revoked as our adapter does; a key that lacks a permission is Rejected, saying which.
    """
    try:
        found = await answer
    except stripe.PermissionError as error:
        words = f"the key may not make {what}: give it Customers, Coupons and Promotion Codes, Write"
        raise Rejected(words) from error
    except stripe.IdempotencyError as error:
        # Asked for with other words before: what it came to shows by looking.
        raise Unavailable(f"Stripe was asked for {what} in other words before") from error
    except stripe.InvalidRequestError as error:
        if error.http_status == 404:
            raise NotThere(f"Stripe knows no {what}: {refused(error)}") from error
        raise
    except stripe.StripeError as error:
        if error.http_status == 409:
            # The same question is under way there: it may yet be done.
            raise Unavailable(f"Stripe is still busy with {what}") from error
        raise translated(error, what) from error
    try:
        plain: dict[str, Any] = msgspec.json.decode(body_of(found), type=dict[str, Any])
    except (ValueError, RecursionError):
        raise Unavailable("Stripe answered something that is no JSON object") from None
    return plain


def refused(error: stripe.StripeError) -> str:
    """Put what Stripe found wrong into one sentence."""
    return f"Stripe says: {str(error.user_message or 'no reason')[:MOST_WORDS].rstrip('.')}."
