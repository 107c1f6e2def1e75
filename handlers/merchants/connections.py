"""How a merchant joins: their name, money and hours, and the Shopify and Stripe connections we trust."""

import json
import re
import secrets
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from babel.core import get_global
from pydantic import EmailStr, TypeAdapter, ValidationError

from handlers.inbox.record import adopt
from handlers.merchants.programs import first_version
from handlers.merchants.rules import Refused
from handlers.merchants.sessions import end_sessions
from integration.clock import timezones
from integration.database.steps import BIG, Steps, ask, insert, plain
from integration.vault import Vault

MOST_NAME = 100
MOST_SECRETS = 4  # webhook secrets kept for one endpoint: Stripe signs with every active one while rolling
TOKEN_BYTES = 24  # of a webhook path's token
_PATH = "/webhooks/stripe/"
_SHOP = re.compile(r"[a-z0-9][a-z0-9-]{0,59}")
_SHOP_URL = re.compile(r"(?:https?://)?(?:admin\.shopify\.com/store/(?P<store>[^/?#]+)|(?P<host>[^/?#]+))(?:[/?#].*)?")
_WEBHOOK_SECRET = re.compile(r"whsec_[\x21-\x7e]{1,250}")
_RESTRICTED_KEY = re.compile(r"rk_(live|test)_[A-Za-z0-9_]{3,250}")
_SHOPIFY_TOKEN = re.compile(r"[\x21-\x7e]{4,500}")


class Wish(NamedTuple):
    """A merchant as asked for; see `checked` for what each part may be."""

    name: str
    shop: str | None
    currency: str
    timezone: str
    country: str | None = None
    email: str | None = None
    token: str | None = None  # Shopify Admin API access token


@dataclass(frozen=True, slots=True)
class Merchant:
    """A merchant as the commands show one."""

    id: int
    name: str
    currency: str
    timezone: str
    country: str | None
    email: str | None
    created_at: int
    closed_at: int | None
    shopify: str | None  # domain of the open connection
    stripe: str | None  # webhook path of the open connection


_ADD = plain(
    "INSERT INTO merchants (name, currency, timezone, country, email, created_at)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (name) DO NOTHING RETURNING id"
)
_BOOKS = insert("books", merchant_id=BIG)
_CONNECT = plain(
    "INSERT INTO connections (merchant_id, platform, account, mode, token, secrets, created_at, connected_at)"
    " VALUES (?1, ?2, ?3, 'live', ?4, ?5, ?6, ?6)"
    " ON CONFLICT (platform, account, mode) DO NOTHING RETURNING id"
)
# A token that is given by hand neither expires nor is renewed.
_FRESH = (
    "revoked_at = NULL, revoked_why = NULL, token_expires_at = NULL, refresh_token = NULL, refresh_expires_at = NULL,"
    " refreshed_at = NULL, refresh_claim = NULL, refresh_after = NULL, refresh_problem = NULL"
)
# Only its own merchant's, and only once it had left: a reinstall finds the books as they were.
_RECONNECT = plain(
    f"UPDATE connections SET closed_at = NULL, {_FRESH}, connected_at = ?3, token = ?4"
    " WHERE merchant_id = ?1 AND platform = 'shopify' AND account = ?2 AND closed_at IS NOT NULL"
)
_RENEW = plain(
    f"UPDATE connections SET token = ?2, {_FRESH}"
    " WHERE merchant_id = ?1 AND platform = 'shopify' AND closed_at IS NULL RETURNING account"
)
_LEFT_AT = plain(
    "SELECT max(c.closed_at) FROM connections c JOIN merchants m ON m.id = c.merchant_id"
    " WHERE m.name = ?1 AND c.platform = 'shopify'"
)
_OWNER = plain(
    "SELECT m.name FROM connections c JOIN merchants m ON m.id = c.merchant_id"
    " WHERE c.platform = ?1 AND c.account = ?2 AND c.mode = 'live'"
)
_LIST = plain(
    "SELECT m.id, m.name, m.currency, m.timezone, m.country, m.email, m.created_at, m.closed_at,"
    " (SELECT min(c.account) FROM connections c"
    "  WHERE c.merchant_id = m.id AND c.platform = 'shopify' AND c.closed_at IS NULL),"
    f" '{_PATH}' || (SELECT min(c.account) FROM connections c"
    "  WHERE c.merchant_id = m.id AND c.platform = 'stripe' AND c.closed_at IS NULL)"
    " FROM merchants m WHERE m.id > ?1 ORDER BY m.id LIMIT ?2"
)
_FIND = plain("SELECT id FROM merchants WHERE name = ?1")
_SHOP_OF = plain(
    "SELECT account FROM connections WHERE merchant_id = ?1 AND platform = 'shopify' AND mode = 'live'"
    " AND closed_at IS NULL ORDER BY id LIMIT 1"
)
# Only one that was set up by hand: the secrets of an endpoint that we made are none of anybody else's business.
_STRIPE = plain(
    "SELECT c.id, c.account, c.secrets, c.token FROM connections c"
    " WHERE c.merchant_id = ?1 AND c.platform = 'stripe' AND c.closed_at IS NULL AND NOT EXISTS (SELECT 1 FROM"
    " stripe_accounts s WHERE s.merchant_id = c.merchant_id AND s.connection = c.id AND s.state <> 'by_hand'"
    " AND s.closed_at IS NULL) ORDER BY c.id LIMIT 1"
)
_LOCK = plain(
    "SELECT merchant_id FROM books WHERE merchant_id = ?1",
    postgres="SELECT merchant_id FROM books WHERE merchant_id = ?1 FOR UPDATE",
)
_REOPEN = plain("UPDATE merchants SET closed_at = NULL WHERE id = ?1 AND closed_at IS NOT NULL")
_RESEAL = plain("UPDATE connections SET secrets = ?2, token = ?3, revoked_at = NULL WHERE id = ?1")


def checked(wish: Wish) -> Wish:
    """Normalise a wish: shop to its myshopify domain, currency and country to upper case, texts trimmed.

    Raises Refused, in one sentence, for a blank or long name, a domain that is no Shopify shop's, a currency
    nobody pays in today, or a time zone IANA does not list.
    """
    name = " ".join(wish.name.split())
    if not name or len(name) > MOST_NAME or not name.isprintable():
        raise Refused(f"A merchant's name has 1 to {MOST_NAME} printable characters.")
    currency = wish.currency.strip().upper()
    if currency not in _currencies():
        raise Refused(f"{wish.currency!r} is not a currency in use; write its ISO 4217 code, such as USD.")
    if wish.timezone not in timezones():
        raise Refused(f"{wish.timezone!r} is not an IANA time zone; write one such as Europe/Paris.")
    country = wish.country.strip().upper() if wish.country else None
    if country is not None and country not in get_global("territory_currencies"):
        raise Refused(f"{wish.country!r} is not a country; write its ISO 3166 code, such as FR.")
    token = _token(wish.token) if wish.token is not None else None
    return Wish(
        name=name,
        shop=shop_domain(wish.shop) if wish.shop is not None else None,
        currency=currency,
        timezone=wish.timezone,
        country=country,
        email=_address(wish.email) if wish.email else None,
        token=token,
    )


def shop_domain(text: str) -> str:
    """Turn `hats`, `hats.myshopify.com`, its URL or its admin URL into `hats.myshopify.com`; else Refused."""
    match = _SHOP_URL.fullmatch(text.strip().lower())
    shop = ((match["store"] or match["host"]) if match else "").removesuffix(".myshopify.com")
    if not _SHOP.fullmatch(shop):
        raise Refused(f"{text!r} is not a Shopify shop; write its myshopify.com domain, such as hats.myshopify.com.")
    return f"{shop}.myshopify.com"


def add_merchant(wish: Wish, vault: Vault, now: int) -> Steps[Merchant]:
    """Add a merchant with empty books, everything off, and a trusted Shopify connection where one is named.

    Events its shop sent before are handed over to it. A merchant whose shop had left is connected again and finds
    everything as it was. Raises Refused where the name or the shop is taken.
    """
    wish = checked(wish)
    rows = yield from ask(_ADD, (wish.name, wish.currency, wish.timezone, wish.country, wish.email, now))
    if not rows:
        return (yield from _reconnected(wish, vault, now))
    merchant_id: int = rows[0][0]
    yield from ask(_BOOKS, [(merchant_id,)])
    yield from first_version(merchant_id, now)
    if wish.shop is not None:
        token = wish.token and vault.seal(wish.token, **place(merchant_id, "token"))
        yield from _connect(merchant_id, "shopify", wish.shop, token, "[]", now)
    return Merchant(
        merchant_id,
        wish.name,
        wish.currency,
        wish.timezone,
        wish.country,
        wish.email,
        now,
        None,
        wish.shop,
        None,
    )


def _reconnected(wish: Wish, vault: Vault, now: int) -> Steps[Merchant]:
    """Connect a merchant's own shop again; Refused for any other merchant of this name."""
    merchant_id = yield from find_merchant(wish.name)
    token = wish.token and vault.seal(wish.token, **place(merchant_id, "token"))
    again = yield from ask(_RECONNECT, (merchant_id, wish.shop, now, token))
    if wish.shop is None or not again[0][0]:
        raise Refused(f"There is already a merchant named {wish.name}.")
    yield from ask(_REOPEN, (merchant_id,))
    yield from end_sessions(merchant_id, now)
    yield from adopt("shopify", wish.shop, merchant_id, now)
    return (yield from merchants_after(merchant_id - 1, 1))[0]


def left_at(name: str) -> Steps[int | None]:
    """Say since when a merchant's Shopify shop has been gone; None where it has not, or there is no such merchant."""
    rows = yield from ask(_LEFT_AT, (" ".join(name.split()),))
    return rows[0][0] if rows else None


def connect_stripe(merchant_id: int, secret: str, key: str | None, vault: Vault, now: int) -> Steps[str]:
    """Let a merchant's Stripe endpoint in and return its webhook path, the same one each time.

    A further secret is added in front (an endpoint's secrets overlap while they are rolled); the last few are
    kept. `key` is a restricted API key and replaces the one before. Raises Refused for anything else.
    """
    secret, key = _stripe_credentials(secret, key)
    # Two commands at once would each write the list they read: the books row makes them take turns.
    yield from ask(_LOCK, (merchant_id,))
    rows = yield from ask(_STRIPE, (merchant_id,))
    kept: list[str] = []
    if rows:
        kept = [vault.open(one, **place(merchant_id, "secrets")) for one in json.loads(rows[0][2])]
    kept = [secret, *(one for one in kept if one != secret)][:MOST_SECRETS]
    sealed = json.dumps([vault.seal(one, **place(merchant_id, "secrets")) for one in kept])
    token = key and vault.seal(key, **place(merchant_id, "token"))
    if rows:
        connection_id, account, _, former = rows[0]
        yield from ask(_RESEAL, (connection_id, sealed, token or former))
    else:
        account = secrets.token_urlsafe(TOKEN_BYTES)
        yield from _connect(merchant_id, "stripe", account, token, sealed, now)
    return webhook_path(account)


def renew_token(merchant_id: int, token: str, vault: Vault) -> Steps[str]:
    """Set the token a merchant's shop is asked with, also after access was lost; return the shop's domain.

    Raises Refused where there is no connected shop, or the token is none.
    """
    token = _token(token)
    rows = yield from ask(_RENEW, (merchant_id, vault.seal(token, **place(merchant_id, "token"))))
    if not rows:
        raise Refused("No shop of this merchant is connected; see `regulars merchant add --shopify`.")
    return str(rows[0][0])


def webhook_path(account: str) -> str:
    """The path of a Stripe connection's webhook endpoint."""
    return _PATH + account


def find_merchant(name: str) -> Steps[int]:
    """Return the id of the merchant of this name. Raises Refused where there is none."""
    rows = yield from ask(_FIND, (" ".join(name.split()),))
    if not rows:
        raise Refused(f"There is no merchant named {name}.")
    return int(rows[0][0])


def shop_of(merchant_id: int) -> Steps[str | None]:
    """Return the domain of a merchant's Shopify shop; None where none is connected."""
    rows = yield from ask(_SHOP_OF, (merchant_id,))
    return rows[0][0] if rows else None


def merchants_after(merchant_id: int, limit: int) -> Steps[list[Merchant]]:
    """One page of merchants in the order they joined, those after the given id."""
    rows = yield from ask(_LIST, (merchant_id, limit))
    return [Merchant(*row) for row in rows]


def _connect(merchant_id: int, platform: str, account: str, token: str | None, sealed: str, now: int) -> Steps[None]:
    rows = yield from ask(_CONNECT, (merchant_id, platform, account, token, sealed, now))
    if not rows:
        owner = yield from ask(_OWNER, (platform, account))
        raise Refused(f"{account} already belongs to the merchant {owner[0][0]}.")
    # Who had left everywhere is back.
    yield from ask(_REOPEN, (merchant_id,))
    yield from adopt(platform, account, merchant_id, now)


def _token(text: str) -> str:
    token = text.strip()
    if not _SHOPIFY_TOKEN.fullmatch(token):
        raise Refused("The Shopify token is blank or has spaces in it; leave it out where there is none.")
    return token


def _stripe_credentials(secret: str, key: str | None) -> tuple[str, str | None]:
    secret, key = secret.strip(), key.strip() if key is not None else None
    if not _WEBHOOK_SECRET.fullmatch(secret):
        raise Refused("A Stripe webhook secret starts with whsec_ and is shown with the endpoint in Stripe.")
    if key is not None and key.startswith("sk_"):
        raise Refused(
            "A secret key (sk_) may do everything with the account and is not taken; make a restricted key"
            " (rk_) with read access to events, charges, payment intents, checkout sessions and customers."
        )
    if key is not None and not _RESTRICTED_KEY.fullmatch(key):
        raise Refused("A Stripe restricted key starts with rk_live_ or rk_test_.")
    return secret, key


def place(merchant_id: int, column: str) -> dict[str, Any]:
    """Name the place a connection's secret is sealed to: `secrets` or `token`."""
    return {"table": "connections", "merchant": merchant_id, "column": column}


def _address(text: str) -> str:
    try:
        return TypeAdapter(EmailStr).validate_python(text.strip())
    except ValidationError as failure:
        raise Refused(f"{text!r} is not an e-mail address.") from failure


@cache
def _currencies() -> frozenset[str]:
    """Return the codes of today's legal tender, as Unicode's CLDR lists them."""
    return frozenset(
        code
        for spans in get_global("territory_currencies").values()
        for code, _, end, tender in spans
        if end is None and tender
    )
