"""Who a customer's page is about, and the fresh links and sessions with which they may act on it.

A link and a cookie carry the merchant's number and a secret, signed; the database keeps only digests. One row is a
link, used once, and the session it opened.
"""

import hashlib
import secrets
from typing import NamedTuple

from sqlalchemy import Column, Index, Table, Text

from handlers.customers.identify import find
from integration.clock import DAY, HOUR, MINUTE
from integration.database.schema import Instant, Number, metadata
from integration.database.steps import BIG, Steps, ask, keyed, plain
from integration.vault import Vault

LINK_LIFE = 30 * MINUTE
SESSION_LIFE = 30 * MINUTE  # from the use of the link on
WITHIN = HOUR
MOST_MAILED = 4  # links to one person within WITHIN
MOST_ASKED = 30  # links asked for from one address of the network within WITHIN
MOST_OF_SHOP = 300  # addresses typed at one shop within WITHIN
MOST_PRUNED = 5_000
_SECRET_BYTES = 32
_LINK, _SESSION = "account link", "account session"

account_links = Table(
    "account_links",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("digest", Text, primary_key=True),  # sha256 of the link's secret, hex
    Column("customer", Number, nullable=False),  # who they were then; merges are followed
    Column("asker", Text, nullable=False),  # keyed digest of the address of the network it was asked for from
    Column("reward", Text),  # what they were about to have
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("used_at", Instant),
    Column("session", Text),  # sha256 of what the cookie holds, hex
    Column("session_until", Instant),
)
Index("ix_account_links_customer", account_links.c.merchant_id, account_links.c.customer, account_links.c.created_at)
Index("ix_account_links_asker", account_links.c.asker, account_links.c.created_at)
Index("ix_account_links_expires", account_links.c.expires_at)

# Typed by somebody who may be anybody: counted whether or not the address is anybody's.
account_asks = Table(
    "account_asks",
    metadata,
    Column("merchant_id", Number, primary_key=True, autoincrement=False),
    Column("digest", Text, primary_key=True),  # drawn
    Column("target", Text, nullable=False),  # keyed digest of the address typed
    Column("asker", Text, nullable=False),  # as above
    Column("asked_at", Instant, nullable=False),
)
Index("ix_account_asks_shop", account_asks.c.merchant_id, account_asks.c.asked_at)
Index("ix_account_asks_target", account_asks.c.merchant_id, account_asks.c.target, account_asks.c.asked_at)
Index("ix_account_asks_asker", account_asks.c.asker, account_asks.c.asked_at)
Index("ix_account_asks_at", account_asks.c.asked_at)

_ROOT = plain(
    "SELECT p.number FROM customers c JOIN customers p"
    " ON p.merchant_id = c.merchant_id AND p.number = COALESCE(c.merged_into, c.number)"
    " JOIN merchants m ON m.id = c.merchant_id"
    " WHERE c.merchant_id = ?1 AND c.number = ?2 AND p.forgotten_at IS NULL AND m.closed_at IS NULL"
)
_SHOP = plain(
    "SELECT m.id FROM connections c JOIN merchants m ON m.id = c.merchant_id"
    " WHERE c.platform = 'shopify' AND c.account = ?1 AND c.mode = 'live' AND c.closed_at IS NULL"
    " AND m.closed_at IS NULL"
)
_LOCK = plain(
    "SELECT merchant_id FROM books WHERE merchant_id = ?1",
    postgres="SELECT merchant_id FROM books WHERE merchant_id = ?1 FOR UPDATE",
)
_MAILED = plain("SELECT count(*) FROM account_links WHERE merchant_id = ?1 AND customer = ?2 AND created_at > ?3")
_OF_ONE_PLACE = "counts what one address of the network asks for, at whatever shop"
_ASKED = plain("SELECT count(*) FROM account_links WHERE asker = ?1 AND created_at > ?2", across=_OF_ONE_PLACE)
_ADD = plain(
    "INSERT INTO account_links (merchant_id, digest, customer, asker, reward, created_at, expires_at)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
)
_OF_SHOP = plain("SELECT count(*) FROM account_asks WHERE merchant_id = ?1 AND asked_at > ?2")
_OF_TARGET = plain("SELECT count(*) FROM account_asks WHERE merchant_id = ?1 AND target = ?2 AND asked_at > ?3")
_OF_ASKER = plain("SELECT count(*) FROM account_asks WHERE asker = ?1 AND asked_at > ?2", across=_OF_ONE_PLACE)
_TYPED = plain("INSERT INTO account_asks (merchant_id, digest, target, asker, asked_at) VALUES (?1, ?2, ?3, ?4, ?5)")
_LEFT = plain(
    "SELECT customer FROM account_links WHERE merchant_id = ?1 AND digest = ?2 AND used_at IS NULL AND expires_at > ?3"
)
_USE = plain(
    "UPDATE account_links SET used_at = ?3, session = ?4, session_until = ?5"
    " WHERE merchant_id = ?1 AND digest = ?2 AND used_at IS NULL AND expires_at > ?3 RETURNING customer, reward"
)
_SESSION_OF = plain(
    "SELECT customer FROM account_links WHERE merchant_id = ?1 AND digest = ?2 AND session = ?3 AND session_until > ?4"
)
_END = plain(
    "UPDATE account_links SET session_until = ?3 WHERE merchant_id = ?1 AND digest = ?2 AND session_until > ?3"
)
_PRUNE = plain(
    "DELETE FROM account_links WHERE (merchant_id, digest) IN"
    " (SELECT merchant_id, digest FROM account_links WHERE expires_at < ?1 ORDER BY expires_at LIMIT ?2)"
)
_PRUNE_ASKS = plain(
    "DELETE FROM account_asks WHERE (merchant_id, digest) IN"
    " (SELECT merchant_id, digest FROM account_asks WHERE asked_at < ?1 ORDER BY asked_at LIMIT ?2)"
)
_FORGET = keyed(
    "DELETE FROM account_links WHERE EXISTS (SELECT 1 FROM {keys} k"
    " WHERE account_links.merchant_id = k.merchant_id AND account_links.customer = k.customer)",
    merchant_id=BIG,
    customer=BIG,
)


class Opened(NamedTuple):
    """An open session of one customer."""

    merchant_id: int
    digest: str  # of the link that opened it
    session: str


class Used(NamedTuple):
    """What using a link gave: the cookie's value, and which reward they were about to have."""

    cookie: str
    reward: str | None


def root_of(merchant_id: int, customer: int) -> Steps[int | None]:
    """Return the number a customer goes under by now; None where there is nobody, or their shop has left."""
    rows = yield from ask(_ROOT, (merchant_id, customer))
    return rows[0][0] if rows else None


def signed_in(shop: str, shopify_id: str | None) -> Steps[tuple[int, int] | None]:
    """Return the merchant of a shop's domain and who is signed in there (0 = nobody we know); None for no shop."""
    rows = yield from ask(_SHOP, (shop,))
    if not rows:
        return None
    merchant_id: int = rows[0][0]
    if shopify_id is None:
        return merchant_id, 0
    number = yield from find(merchant_id, [("shopify", shopify_id)])
    root = (yield from root_of(merchant_id, number)) if number is not None else None
    return merchant_id, root or 0


def new_link(
    merchant_id: int, customer: int, asker: str, reward: str | None, vault: Vault, now: int
) -> Steps[str | None]:
    """Make a link good for LINK_LIFE and return its token; None where too many were asked for."""
    # Asked for twice at once, each would count without the other.
    yield from ask(_LOCK, (merchant_id,))
    mailed = yield from ask(_MAILED, (merchant_id, customer, now - WITHIN))
    asked = (yield from ask(_ASKED, (asker, now - WITHIN))) if asker else [(0,)]
    if mailed[0][0] >= MOST_MAILED or asked[0][0] >= MOST_ASKED:
        return None
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    yield from ask(_ADD, (merchant_id, digest(secret), customer, asker, reward, now, now + LINK_LIFE))
    return vault.sign(_LINK, merchant_id, secret)


def typed(merchant_id: int, email: str, target: str, asker: str, now: int) -> Steps[int | None]:
    """Count an address that somebody typed, and return whose it is; None = nobody's, or too many were typed.

    `target` stands for the address, `asker` for where it was typed (empty = not told).
    """
    yield from ask(_LOCK, (merchant_id,))
    since = now - WITHIN
    of_shop = yield from ask(_OF_SHOP, (merchant_id, since))
    of_target = yield from ask(_OF_TARGET, (merchant_id, target, since))
    of_asker = (yield from ask(_OF_ASKER, (asker, since))) if asker else [(0,)]
    if of_shop[0][0] >= MOST_OF_SHOP or of_target[0][0] >= MOST_MAILED or of_asker[0][0] >= MOST_ASKED:
        return None
    yield from ask(_TYPED, (merchant_id, secrets.token_hex(16), target, asker, now))
    number = yield from find(merchant_id, [("email", email)])
    return (yield from root_of(merchant_id, number)) if number is not None else None


def link_opens(token: str, vault: Vault, now: int) -> Steps[tuple[int, int] | None]:
    """Return (merchant, customer) of a link that would open a session; using it is another step."""
    named = _named(_LINK, token, vault, 2)
    if named is None:
        return None
    rows = yield from ask(_LEFT, (int(named[0]), digest(named[1]), now))
    root = (yield from root_of(int(named[0]), rows[0][0])) if rows else None
    return (int(named[0]), root) if root is not None else None


def use_link(token: str, vault: Vault, now: int) -> Steps[Used | None]:
    """Use a link up and open a session; None where the link opens nothing."""
    named = _named(_LINK, token, vault, 2)
    if named is None:
        return None
    merchant_id, link, secret = int(named[0]), digest(named[1]), secrets.token_urlsafe(_SECRET_BYTES)
    used = yield from ask(_USE, (merchant_id, link, now, digest(secret), now + SESSION_LIFE))
    if not used:
        return None
    return Used(vault.sign(_SESSION, merchant_id, link, secret), used[0][1])


def find_session(cookie: str, vault: Vault, now: int) -> Steps[tuple[Opened, int] | None]:
    """Return the open session of a cookie and whose it is by now."""
    named = _named(_SESSION, cookie, vault, 3)
    if named is None:
        return None
    opened = Opened(int(named[0]), named[1], digest(named[2]))
    rows = yield from ask(_SESSION_OF, (*opened, now))
    root = (yield from root_of(opened.merchant_id, rows[0][0])) if rows else None
    return (opened, root) if root is not None else None


def end_session(opened: Opened, now: int) -> Steps[None]:
    """End a session: its cookie opens nothing any more."""
    yield from ask(_END, (opened.merchant_id, opened.digest, now))


def prune(now: int) -> Steps[int]:
    """Delete links that opened nothing for a day or longer, and asks as old; returns how many."""
    links = yield from ask(_PRUNE, (now - DAY, MOST_PRUNED))
    asks = yield from ask(_PRUNE_ASKS, (now - DAY, MOST_PRUNED))
    return int(links[0][0]) + int(asks[0][0])


def forget(merchant_id: int, numbers: tuple[int, ...]) -> Steps[int]:
    """Delete every link, and with it every session, of these numbers; returns how many."""
    rows = yield from ask(_FORGET, [(merchant_id, number) for number in sorted(numbers)])
    return int(rows[0][0]) if rows else 0


def digest(secret: str) -> str:
    """Return what is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _named(purpose: str, token: str, vault: Vault, count: int) -> tuple[str, ...] | None:
    parts = vault.check(purpose, token)
    return parts if parts is not None and len(parts) == count else None
