"""Makes the session tokens that Shopify's admin would: the real thing, signed with the app's secret."""

import secrets
from typing import Any

import jwt

from integration.clock import SECOND

LIFE_SECONDS = 60
OWNER = "548380009"  # the number of the shop's owner, where a test names nobody else


def session_token(shop: str, client_id: str, secret: str, now: int, user_id: str = OWNER, **changes: Any) -> str:
    """Sign a token for a person in a shop's admin, good for a minute from `now` (an instant).

    `changes` replace claims, and None leaves one out, as whoever forges one would try.
    """
    second = now // SECOND
    claims = {
        "iss": f"https://{shop}/admin",
        "dest": f"https://{shop}",
        "aud": client_id,
        "sub": user_id,
        "exp": second + LIFE_SECONDS,
        "nbf": second,
        "iat": second,
        "jti": secrets.token_hex(16),
        "sid": secrets.token_hex(32),
        **changes,
    }
    return jwt.encode({name: value for name, value in claims.items() if value is not None}, secret, algorithm="HS256")
