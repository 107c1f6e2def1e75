"""Keeps secrets unreadable at rest and links unguessable: AES-256-GCM by place, HMAC by purpose."""

import hashlib
import hmac
import json
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

LEAST_SECRET = 32  # characters of one secret
MOST_SECRETS = 16  # keys in rotation at once
MOST_TOKEN = 2048  # characters of a link token looked at
_NONCE = 12  # bytes, as GCM wants them
_SEAL = 18  # bytes of a token's HMAC: 144 bits, and base64 without padding
_VERSION = "v1"


class Unsealable(Exception):
    """A sealed text that cannot be opened here; the message is one sentence for an operator."""


@dataclass(frozen=True, slots=True)
class _Key:
    id: str
    cipher: AESGCM
    link: bytes


class Vault:
    """Seal and open secrets, sign and check links; the first key is current, the others still fit."""

    def __init__(self, keys: Sequence[str]) -> None:
        """Take the secrets of SECRET_KEY, newest first. Raises ValueError for none, too many, a short one."""
        if not keys or len(keys) > MOST_SECRETS:
            raise ValueError(f"SECRET_KEY lists {len(keys)} secrets; it takes 1 to {MOST_SECRETS}")
        if any(len(key.strip()) < LEAST_SECRET for key in keys):
            raise ValueError(f"each secret of SECRET_KEY has at least {LEAST_SECRET} characters")
        self._keys = tuple(_derive(key.strip()) for key in keys)

    def seal(self, text: str, *, table: str, merchant: int, column: str) -> str:
        """Encrypt a text so that it opens only in this merchant's column; twice the same text differs."""
        key = self._keys[0]
        nonce = secrets.token_bytes(_NONCE)
        sealed = key.cipher.encrypt(nonce, text.encode(), _place(table, merchant, column))
        return f"{_VERSION}.{key.id}.{_encode(nonce + sealed)}"

    def open(self, sealed: str, *, table: str, merchant: int, column: str) -> str:
        """Decrypt what `seal` made for this place.

        Raises Unsealable where no listed key fits, the place is another, or the text was changed.
        """
        version, _, rest = sealed.partition(".")
        key_id, _, body = rest.partition(".")
        if version != _VERSION or not body:
            raise Unsealable(f"{table}.{column} of merchant {merchant} does not hold a sealed secret")
        key = next((key for key in self._keys if key.id == key_id), None)
        if key is None:
            raise Unsealable(
                f"{table}.{column} of merchant {merchant} was sealed under a secret that SECRET_KEY no longer lists"
            )
        try:
            raw = _decode(body)
            return key.cipher.decrypt(raw[:_NONCE], raw[_NONCE:], _place(table, merchant, column)).decode()
        except (InvalidTag, ValueError) as failure:
            raise Unsealable(
                f"{table}.{column} of merchant {merchant} was changed or belongs somewhere else"
            ) from failure

    def is_current(self, sealed: str) -> bool:
        """Tell whether a text is sealed under the first key, so that older ones can be dropped."""
        return sealed.startswith(f"{_VERSION}.{self._keys[0].id}.")

    def sign(self, purpose: str, *parts: str | int) -> str:
        """Make a URL-safe token that carries `parts` in the open and holds for this purpose only."""
        payload = _encode(json.dumps([str(part) for part in parts], separators=(",", ":")).encode())
        token = f"{payload}.{_encode(_mac(self._keys[0], purpose, payload))}"
        if len(token) > MOST_TOKEN:
            raise ValueError(f"a link for {purpose} would carry more than {MOST_TOKEN} characters")
        return token

    def stand_in(self, purpose: str, *parts: str | int) -> str:
        """Stand for something without naming it: the same again, and nobody else can tell what; 32 hex digits."""
        return hashlib.sha256(self.sign(purpose, *parts).encode()).hexdigest()[:32]

    def check(self, purpose: str, token: str) -> tuple[str, ...] | None:
        """Return the parts of a token signed for this purpose under any listed key, else None."""
        if len(token) > MOST_TOKEN or not token.isascii():
            return None
        payload, _, given = token.partition(".")
        # Every key is tried, so that the time taken does not tell which one fits.
        fits = [hmac.compare_digest(_encode(_mac(key, purpose, payload)), given) for key in self._keys]
        if not any(fits):
            return None
        return tuple(json.loads(_decode(payload)))


def _derive(secret: str) -> _Key:
    def branch(info: bytes, length: int) -> bytes:
        return HKDF(SHA256(), length, salt=None, info=b"regulars " + info).derive(secret.encode())

    return _Key(branch(b"key id", 6).hex(), AESGCM(branch(b"sealing", 32)), branch(b"links", 32))


def _place(table: str, merchant: int, column: str) -> bytes:
    return json.dumps([table, merchant, column]).encode()


def _mac(key: _Key, purpose: str, payload: str) -> bytes:
    message = json.dumps([purpose, payload]).encode()
    return hmac.new(key.link, message, hashlib.sha256).digest()[:_SEAL]


def _encode(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
