"""Stripe accounts of a merchant: pasted keys, one connection an account, its endpoint, and its end."""

import re
import secrets
from dataclasses import dataclass
from typing import NamedTuple

from handlers.inbox.record import adopt
from handlers.merchants.connections import TOKEN_BYTES, place, webhook_path
from handlers.merchants.rules import Refused
from integration.clock import MINUTE
from integration.database.steps import Row, Steps, ask, plain
from integration.vault import Vault

MOST_ACCOUNTS = 20  # of one merchant
HINT = 4  # characters of a key that are shown, as many as Stripe's own list shows
LEASE = 2 * MINUTE  # of who sets an endpoint up: three questions of at most ten seconds, tried three times
_KEY = re.compile(r"rk_(live|test)_[A-Za-z0-9_]{3,250}")

# What is pasted by mistake, by how it starts, and what to do instead. None of it is kept or repeated.
_MISTAKEN = {
    "sk_": "That is a secret key (sk_): it could do everything with your account, so it was not kept. Make a"
    " restricted key (rk_) instead, and roll the secret key in Stripe if it was shown to anybody.",
    "pk_": "That is a publishable key (pk_), which opens nothing. Make a restricted key; it starts with rk_.",
    "whsec_": "That is a webhook's signing secret (whsec_). It is not needed here: with a restricted key (rk_) the"
    " webhook is set up by itself.",
    "acct_": "That is the account's id (acct_). Paste a restricted key; it starts with rk_live_ or rk_test_.",
    "we_": "That is a webhook endpoint's id (we_). Paste a restricted key; it starts with rk_live_ or rk_test_.",
    "sess_": "That is no key of the account. Paste a restricted key; it starts with rk_live_ or rk_test_.",
    "shp": "That is a token of Shopify. Paste a restricted key of Stripe; it starts with rk_live_ or rk_test_.",
}


class Key(NamedTuple):
    """A pasted restricted key and the mode it is of; it is never shown but for its last characters."""

    text: str
    livemode: bool

    def __repr__(self) -> str:
        return f"Key({self.hint})"

    @property
    def hint(self) -> str:
        return self.text[-HINT:]


@dataclass(frozen=True, slots=True)
class StripeAccount:
    """One connected account; `account` is None where a connection was set up by hand and nobody could say."""

    merchant_id: int
    connection: int
    path_token: str
    account: str | None
    livemode: bool | None
    name: str | None
    key_hint: str | None
    endpoint: str | None
    state: str
    reason: str | None
    checked_at: int | None
    connected_at: int
    revoked_at: int | None
    sealed: str | None  # the key, for the vault

    @property
    def path(self) -> str:
        return webhook_path(self.path_token)


class Reserved(NamedTuple):
    """An account's connection with its new key in it; `left_at` = since when the merchant had none open at all."""

    connection: int
    rotated: bool
    left_at: int | None


def key_of(pasted: str) -> Key:
    """Read what was pasted as a restricted key; Refused, in a sentence of its own, for anything else.

    No sentence repeats what was pasted.
    """
    text = "".join(pasted.split())
    for start, words in _MISTAKEN.items():
        if text.lower().startswith(start):
            raise Refused(words)
    if not text:
        raise Refused("Paste a restricted key of your Stripe account; it starts with rk_live_ or rk_test_.")
    match = _KEY.fullmatch(text)
    if match is None:
        raise Refused(
            "That is not a whole restricted key: it starts with rk_live_ or rk_test_ and has only letters and digits"
            " after that. Stripe shows it once, when it is made; make another if it is lost."
        )
    return Key(text, match[1] == "live")


def is_elsewhere(merchant_id: int, account: str) -> Steps[bool]:
    """Tell whether an account is connected to another merchant, in whichever mode."""
    return bool((yield from ask(_ELSEWHERE, (account, merchant_id))))


def reserve(merchant_id: int, key: Key, account: str, name: str | None, vault: Vault, now: int) -> Steps[Reserved]:
    """Keep a key for an account: a new connection, the one it had before, or in the place of its former key.

    Raises Refused where the account is another merchant's (without saying whose), or there are too many.
    """
    yield from ask(_LOCK, (merchant_id,))
    if (yield from is_elsewhere(merchant_id, account)):
        raise Refused(ELSEWHERE)
    sealed = vault.seal(key.text, **place(merchant_id, "token"))
    known = yield from ask(_KNOWN, (merchant_id, account, int(key.livemode)))
    left_at = yield from _left_at(merchant_id)
    for connection, closed_at in known:
        yield from ask(_NEW_KEY, (merchant_id, connection, sealed))
        yield from ask(_SAY_KEY, (merchant_id, connection, key.hint, name))
        if closed_at is not None:
            # Whoever comes back finds the books as they were, and the same connection.
            yield from _reopened(merchant_id, connection, now)
        return Reserved(connection, closed_at is None, left_at if closed_at is not None else None)
    if len((yield from ask(_OPEN, (merchant_id,)))) >= MOST_ACCOUNTS:
        raise Refused(f"A merchant connects at most {MOST_ACCOUNTS} Stripe accounts.")
    path_token = secrets.token_urlsafe(TOKEN_BYTES)
    connection = (yield from ask(_CONNECT, (merchant_id, path_token, sealed, now)))[0][0]
    made = yield from ask(_KEEP, (merchant_id, connection, account, int(key.livemode), name, key.hint, now))
    if not made[0][0]:
        raise Refused(ELSEWHERE)  # Two merchants asked at one moment; this one's transaction is undone.
    yield from ask(_REOPEN, (merchant_id,))
    yield from adopt("stripe", path_token, merchant_id, now)
    return Reserved(connection, False, left_at)


def claim(merchant_id: int, connection: int, token: str) -> Steps[bool]:
    """Lease the setting up of an account's endpoint; False where another is at it."""
    rows = yield from ask(_CLAIM, (merchant_id, connection, token))
    return bool(rows[0][0])


def set_up(one: StripeAccount, token: str, endpoint: str, secret: str | None, vault: Vault, now: int) -> Steps[bool]:
    """Keep an account's endpoint and, where it is new, the secret it signs with; False under a lost lease."""
    rows = yield from ask(_SET_UP, (one.merchant_id, one.connection, token, endpoint, now))
    if not rows[0][0]:
        return False
    if secret is not None:
        sealed = vault.seal(secret, **place(one.merchant_id, "secrets"))
        yield from ask(_SECRETS, (one.merchant_id, one.connection, f'["{sealed}"]'))
    return True


def note(one: StripeAccount, state: str, reason: str | None, now: int, token: str | None = None) -> Steps[None]:
    """Note how an account was found when it was last looked at, and end the lease under `token`.

    While another process holds a lease nothing is noted: it knows better, and goes on undisturbed.
    """
    yield from ask(_NOTE, (one.merchant_id, one.connection, state, reason, now, token))


def learn(one: StripeAccount, account: str, name: str | None, key: Key, now: int) -> Steps[bool]:
    """Note which account a connection that was set up by hand is of; False where that is connected already."""
    if (yield from is_elsewhere(one.merchant_id, account)):
        return False
    made = yield from ask(_KEEP, (one.merchant_id, one.connection, account, int(key.livemode), name, key.hint, now))
    if made[0][0]:
        yield from note(one, "by_hand", None, now)
    return bool(made[0][0])


def close(merchant_id: int, connection: int, now: int) -> Steps[bool]:
    """End a connection: key and secrets are wiped, the books stay. False where it is not open any more."""
    yield from ask(_LOCK, (merchant_id,))
    rows = yield from ask(_CLOSE, (merchant_id, connection, now))
    yield from ask(_CLOSE_ACCOUNT, (merchant_id, connection, now))
    return bool(rows[0][0])


def accounts_of(merchant_id: int) -> Steps[list[StripeAccount]]:
    """List a merchant's open Stripe connections in the order they were made."""
    rows = yield from ask(_OF_MERCHANT, (merchant_id,))
    return [_account(row) for row in rows]


def account_of(merchant_id: int, connection: int) -> Steps[StripeAccount | None]:
    """Return one open Stripe connection of a merchant; None where there is none of that number."""
    rows = yield from ask(_ONE, (merchant_id, connection))
    return _account(rows[0]) if rows else None


def to_tend(before: int, limit: int) -> Steps[list[StripeAccount]]:
    """List open accounts with a good key that were not looked at since an instant, unfinished ones first."""
    rows = yield from ask(_TO_TEND, (before, limit))
    return [_account(row) for row in rows]


def to_learn(limit: int) -> Steps[list[StripeAccount]]:
    """List some of the open connections with a good key of which nobody knows whose account it is, any of them.

    There is no row to note in that one could not be asked, so which come first is left to chance.
    """
    rows = yield from ask(_TO_LEARN, (limit,))
    return [_account(row) for row in rows]


def not_well(limit: int) -> Steps[list[tuple[str, str, str | None]]]:
    """List open accounts whose endpoint or key needs somebody, as (merchant, account, why)."""
    rows = yield from ask(_NOT_WELL, (limit,))
    return [(row[0], row[1], row[2]) for row in rows]


ELSEWHERE = (
    "This Stripe account is already connected to another shop in Regulars, so it would be counted twice. Disconnect it"
    " there first, or ask whoever runs Regulars for you."
)


def _account(row: Row) -> StripeAccount:
    merchant_id, connection, path_token, account, livemode, *rest = row
    return StripeAccount(
        merchant_id, connection, path_token, account, None if livemode is None else bool(livemode), *rest
    )


def _reopened(merchant_id: int, connection: int, now: int) -> Steps[None]:
    yield from ask(_BACK, (merchant_id, connection, now))
    rows = yield from ask(_BACK_ACCOUNT, (merchant_id, connection, now))
    if not rows[0][0]:
        raise Refused(ELSEWHERE)
    yield from ask(_REOPEN, (merchant_id,))


def _left_at(merchant_id: int) -> Steps[int | None]:
    rows = yield from ask(_LEFT_AT, (merchant_id,))
    still_open, left_at = rows[0]
    return None if still_open else left_at


_LOCK = plain(
    "SELECT merchant_id FROM books WHERE merchant_id = ?1",
    postgres="SELECT merchant_id FROM books WHERE merchant_id = ?1 FOR UPDATE",
)
_ELSEWHERE = plain(
    "SELECT 1 FROM stripe_accounts WHERE account = ?1 AND merchant_id <> ?2 AND closed_at IS NULL LIMIT 1",
    across="says whether an account is connected in another shop, and nothing of that shop",
)
# The open one before those that were closed, and of those the last.
_KNOWN = plain(
    "SELECT s.connection, s.closed_at FROM stripe_accounts s WHERE s.merchant_id = ?1 AND s.account = ?2"
    " AND s.livemode = ?3 ORDER BY CASE WHEN s.closed_at IS NULL THEN 0 ELSE 1 END, s.connection DESC LIMIT 1"
)
_OPEN = plain("SELECT id FROM connections WHERE merchant_id = ?1 AND platform = 'stripe' AND closed_at IS NULL")
_LEFT_AT = plain(
    "SELECT count(CASE WHEN closed_at IS NULL THEN 1 END), max(closed_at) FROM connections"
    " WHERE merchant_id = ?1 AND platform = 'stripe'"
)
_CONNECT = plain(
    "INSERT INTO connections (merchant_id, platform, account, mode, token, secrets, created_at, connected_at)"
    " VALUES (?1, 'stripe', ?2, 'live', ?3, '[]', ?4, ?4) RETURNING id"
)
_KEEP = plain(
    "INSERT INTO stripe_accounts (merchant_id, connection, account, livemode, name, key_hint, state, connected_at)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'new', ?7) ON CONFLICT DO NOTHING"
)
_NEW_KEY = plain("UPDATE connections SET token = ?3, revoked_at = NULL WHERE merchant_id = ?1 AND id = ?2")
_SAY_KEY = plain(
    "UPDATE stripe_accounts SET key_hint = ?3, name = coalesce(?4, name), reason = NULL,"
    " state = CASE WHEN endpoint IS NULL AND state <> 'by_hand' THEN 'new' ELSE state END, checked_at = NULL"
    " WHERE merchant_id = ?1 AND connection = ?2"
)
_BACK = plain("UPDATE connections SET closed_at = NULL, connected_at = ?3 WHERE merchant_id = ?1 AND id = ?2")
_BACK_ACCOUNT = plain(
    "UPDATE stripe_accounts SET closed_at = NULL, endpoint = NULL, state = 'new', connected_at = ?3"
    " WHERE merchant_id = ?1 AND connection = ?2 AND NOT EXISTS (SELECT 1 FROM stripe_accounts o"
    " WHERE o.account = stripe_accounts.account AND o.livemode = stripe_accounts.livemode AND o.closed_at IS NULL)",
    across="comes back only where no other shop has the account meanwhile, and says nothing of that shop",
)
_REOPEN = plain("UPDATE merchants SET closed_at = NULL WHERE id = ?1 AND closed_at IS NOT NULL")
# A lease that seems to last longer than any was given before the database's clock was set back.
_IS_FREE = f"claim IS NULL OR claimed_until <= {{clock}} OR claimed_until > {{clock}} + {LEASE}"
_CLAIM = plain(
    f"UPDATE stripe_accounts SET claim = ?3, claimed_until = {{clock}} + {LEASE}"
    f" WHERE merchant_id = ?1 AND connection = ?2 AND closed_at IS NULL AND ({_IS_FREE})"
)
_SET_UP = plain(
    "UPDATE stripe_accounts SET endpoint = ?4, state = 'ok', reason = NULL, checked_at = ?5, claim = NULL,"
    " claimed_until = NULL WHERE merchant_id = ?1 AND connection = ?2 AND claim = ?3 AND closed_at IS NULL"
)
_SECRETS = plain("UPDATE connections SET secrets = ?3 WHERE merchant_id = ?1 AND id = ?2")
_NOTE = plain(
    "UPDATE stripe_accounts SET state = ?3, reason = ?4, checked_at = ?5, claim = NULL, claimed_until = NULL"
    f" WHERE merchant_id = ?1 AND connection = ?2 AND (claim = ?6 OR {_IS_FREE})"
)
_CLOSE = plain(
    "UPDATE connections SET closed_at = ?3, token = NULL, secrets = '[]'"
    " WHERE merchant_id = ?1 AND id = ?2 AND platform = 'stripe' AND closed_at IS NULL"
)
_CLOSE_ACCOUNT = plain(
    "UPDATE stripe_accounts SET closed_at = ?3, endpoint = NULL, claim = NULL, claimed_until = NULL"
    " WHERE merchant_id = ?1 AND connection = ?2 AND closed_at IS NULL"
)
_COLUMNS = (
    "SELECT c.merchant_id, c.id, c.account, s.account, s.livemode, s.name, s.key_hint, s.endpoint,"
    " coalesce(s.state, 'by_hand'), s.reason, s.checked_at, c.connected_at, c.revoked_at, c.token"
    " FROM connections c LEFT JOIN stripe_accounts s ON s.merchant_id = c.merchant_id AND s.connection = c.id"
    " AND s.closed_at IS NULL WHERE c.platform = 'stripe' AND c.closed_at IS NULL"
)
_OF_MERCHANT = plain(f"{_COLUMNS} AND c.merchant_id = ?1 ORDER BY c.id LIMIT {MOST_ACCOUNTS}")
_ONE = plain(f"{_COLUMNS} AND c.merchant_id = ?1 AND c.id = ?2")
_NOT_WELL = plain(
    "SELECT m.name, s.account, s.reason FROM stripe_accounts s JOIN merchants m ON m.id = s.merchant_id"
    " WHERE s.closed_at IS NULL AND s.state NOT IN ('ok', 'by_hand') ORDER BY s.merchant_id, s.connection LIMIT ?1"
)
_HAS_KEY = f"{_COLUMNS} AND c.token IS NOT NULL AND c.revoked_at IS NULL"
_TO_TEND = plain(
    f"{_HAS_KEY} AND (s.state = 'new' OR (s.account IS NOT NULL AND coalesce(s.checked_at, 0) < ?1))"
    " ORDER BY coalesce(s.checked_at, 0), c.id LIMIT ?2"
)
_TO_LEARN = plain(f"{_HAS_KEY} AND s.account IS NULL ORDER BY random() LIMIT ?1")
