"""Signing in without Shopify: one-time links, and the sessions they open.

A link and a cookie carry the merchant's number and a secret, signed. The database keeps only the secret's digest, so a
copy of it opens nothing, and a row decides whether a link is still unused and a session still open.
"""

import hashlib
import secrets
from typing import NamedTuple

from integration.clock import DAY, HOUR, MINUTE
from integration.database.steps import Steps, ask, plain
from integration.vault import Vault

LINK_LIFE = 15 * MINUTE
SESSION_LIFE = 14 * DAY  # however busy
IDLE_LIFE = 24 * HOUR  # without a look at any page
SEEN_EVERY = 5 * MINUTE
MOST_MAILED = 3  # links mailed to one merchant within MAILED_WITHIN
MAILED_WITHIN = HOUR
MOST_PRUNED = 5_000
_SECRET_BYTES = 32
_PARTS = 3  # of a link's token: the merchant, the secret and, where it is not the first, the page it leads to
_LINK, _SESSION, _FORM = "sign-in", "session", "form"


class Session(NamedTuple):
    """An open session of one merchant."""

    merchant_id: int
    digest: str
    who: str


_ADD_LINK = plain(
    "INSERT INTO sign_in_links (merchant_id, digest, who, mailed, created_at, expires_at)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
)
_LINK_LEFT = plain(
    "SELECT who FROM sign_in_links WHERE merchant_id = ?1 AND digest = ?2 AND used_at IS NULL AND expires_at > ?3"
)
_USE_LINK = plain(
    "UPDATE sign_in_links SET used_at = ?3"
    " WHERE merchant_id = ?1 AND digest = ?2 AND used_at IS NULL AND expires_at > ?3 RETURNING who"
)
_MAILED = plain("SELECT count(*) FROM sign_in_links WHERE merchant_id = ?1 AND mailed = 1 AND created_at > ?2")
_LOCK = plain(
    "SELECT merchant_id FROM books WHERE merchant_id = ?1",
    postgres="SELECT merchant_id FROM books WHERE merchant_id = ?1 FOR UPDATE",
)
_OPEN = plain("INSERT INTO sessions (merchant_id, digest, who, created_at, seen_at) VALUES (?1, ?2, ?3, ?4, ?4)")
_FIND = plain(
    "SELECT s.who, s.seen_at FROM sessions s JOIN merchants m ON m.id = s.merchant_id"
    " WHERE s.merchant_id = ?1 AND s.digest = ?2"
    " AND s.ended_at IS NULL AND s.created_at > ?3 AND s.seen_at > ?4 AND m.closed_at IS NULL"
)
_SEEN = plain("UPDATE sessions SET seen_at = ?3 WHERE merchant_id = ?1 AND digest = ?2 AND seen_at < ?3")
_END = plain("UPDATE sessions SET ended_at = ?3 WHERE merchant_id = ?1 AND digest = ?2 AND ended_at IS NULL")
_END_ALL = plain("UPDATE sessions SET ended_at = ?2 WHERE merchant_id = ?1 AND ended_at IS NULL")
_DROP_LINKS = plain("DELETE FROM sign_in_links WHERE merchant_id = ?1 AND used_at IS NULL")
_ADDRESSED = plain(
    "SELECT id, name, email FROM merchants WHERE lower(email) = ?1 AND closed_at IS NULL ORDER BY id LIMIT ?2"
)
_PRUNE_LINKS = plain(
    "DELETE FROM sign_in_links WHERE (merchant_id, digest) IN"
    " (SELECT merchant_id, digest FROM sign_in_links WHERE expires_at < ?1 LIMIT ?2)"
)
_PRUNE_SESSIONS = plain(
    "DELETE FROM sessions WHERE (merchant_id, digest) IN"
    " (SELECT merchant_id, digest FROM sessions WHERE created_at < ?1 LIMIT ?2)"
)


def new_link(
    merchant_id: int, who: str, vault: Vault, now: int, mailed: bool = False, to: str = ""
) -> Steps[str | None]:
    """Make a one-time link good for LINK_LIFE and return its token; `to` is the page it leads to, "" the first one.

    A mailed one is None where the merchant was mailed MOST_MAILED within MAILED_WITHIN: whoever asks, their mailbox
    stays usable.
    """
    if mailed:
        # Asked for twice at once, each would count without the other.
        yield from ask(_LOCK, (merchant_id,))
        rows = yield from ask(_MAILED, (merchant_id, now - MAILED_WITHIN))
        if rows[0][0] >= MOST_MAILED:
            return None
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    yield from ask(_ADD_LINK, (merchant_id, _digest(secret), who, int(mailed), now, now + LINK_LIFE))
    return vault.sign(_LINK, merchant_id, secret, *([to] if to else []))


def link_leads(token: str, vault: Vault) -> str:
    """Return the page a signed link leads to, as it was asked for; "" for the first page and for what is no link."""
    parts = vault.check(_LINK, token)
    return parts[2] if parts is not None and len(parts) == _PARTS else ""


def link_opens(token: str, vault: Vault, now: int) -> Steps[bool]:
    """Tell whether a link would open a session; using it is another step, since link scanners look at every link."""
    named = _named(_LINK, token, vault)
    if named is None:
        return False
    rows = yield from ask(_LINK_LEFT, (*named, now))
    return bool(rows)


def use_link(token: str, vault: Vault, now: int) -> Steps[tuple[Session, str] | None]:
    """Use a link up and open a session; returns it and its cookie's value, None where the link opens nothing."""
    named = _named(_LINK, token, vault)
    if named is None:
        return None
    used = yield from ask(_USE_LINK, (*named, now))
    if not used:
        return None
    merchant_id, secret, who = named[0], secrets.token_urlsafe(_SECRET_BYTES), used[0][0]
    yield from ask(_OPEN, (merchant_id, _digest(secret), who, now))
    return Session(merchant_id, _digest(secret), who), vault.sign(_SESSION, merchant_id, secret)


def find_session(cookie: str, vault: Vault, now: int) -> Steps[tuple[Session, bool] | None]:
    """Return the open session of a cookie, of a merchant who has not left; and whether to write its use down."""
    named = _named(_SESSION, cookie, vault)
    if named is None:
        return None
    rows = yield from ask(_FIND, (*named, now - SESSION_LIFE, now - IDLE_LIFE))
    if not rows:
        return None
    return Session(*named, rows[0][0]), rows[0][1] <= now - SEEN_EVERY


def still_open(merchant_id: int, digest: str, now: int) -> Steps[str | None]:
    """Return who is signed in by a session; None where it, or its merchant's account, is not open any more."""
    rows = yield from ask(_FIND, (merchant_id, digest, now - SESSION_LIFE, now - IDLE_LIFE))
    return str(rows[0][0]) if rows else None


def saw(session: Session, now: int) -> Steps[None]:
    """Write down that a session is in use."""
    yield from ask(_SEEN, (session.merchant_id, session.digest, now))


def end_session(session: Session, now: int) -> Steps[None]:
    """End one session: its cookie opens nothing any more."""
    yield from ask(_END, (session.merchant_id, session.digest, now))


def end_sessions(merchant_id: int, now: int) -> Steps[int]:
    """End every session and drop every unused link of a merchant; returns how many sessions were open."""
    yield from ask(_DROP_LINKS, (merchant_id,))
    rows = yield from ask(_END_ALL, (merchant_id, now))
    return int(rows[0][0])


def form_token(session: Session, vault: Vault) -> str:
    """Make the token that forms of this session carry, so that no other site can fill them in."""
    return vault.sign(_FORM, session.merchant_id, session.digest)


def form_token_fits(token: str, session: Session, vault: Vault) -> bool:
    """Tell whether a form was made for this very session."""
    return vault.check(_FORM, token) == (str(session.merchant_id), session.digest)


def form_made_for(token: str, vault: Vault) -> int | None:
    """Return the merchant whose form a token was made for, whether or not its session has ended since."""
    parts = vault.check(_FORM, token)
    return int(parts[0]) if parts is not None else None


def addressed(email: str, limit: int) -> Steps[list[tuple[int, str, str]]]:
    """Return the open merchants of an address, each with its name and the address as it was written."""
    rows = yield from ask(_ADDRESSED, (email.strip().lower(), limit))
    return [(row[0], row[1], row[2]) for row in rows]


def prune(now: int) -> Steps[int]:
    """Delete links and sessions that opened nothing for a day or longer; returns how many."""
    links = yield from ask(_PRUNE_LINKS, (now - DAY, MOST_PRUNED))
    sessions = yield from ask(_PRUNE_SESSIONS, (now - SESSION_LIFE - DAY, MOST_PRUNED))
    return int(links[0][0]) + int(sessions[0][0])


def _named(purpose: str, token: str, vault: Vault) -> tuple[int, str] | None:
    """Return the merchant and the digest that a signed token names."""
    parts = vault.check(purpose, token)
    return (int(parts[0]), _digest(parts[1])) if parts is not None and 2 <= len(parts) <= _PARTS else None


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
