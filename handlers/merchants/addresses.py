"""Signed addresses for frames and downloads, which bring no token along: good for minutes, while their visit lasts.

A page signs one with `sign`; what answers it calls `keep_to` and asks `look_up` whose it is. Who signs out, is signed
out, or uninstalls takes all of them back.
"""

from typing import NamedTuple

from handlers.merchants.frame import Visit
from handlers.merchants.sessions import still_open
from integration.clock import MINUTE
from integration.database.steps import Steps, ask, plain
from integration.database.wall import keep_within
from integration.vault import Vault

MOST_LIFE = 30 * MINUTE
_OURS = 5  # parts of every address before those of its purpose

_INSTALLED = plain(
    "SELECT 1 FROM connections c JOIN merchants m ON m.id = c.merchant_id"
    " WHERE c.merchant_id = ?1 AND c.platform = 'shopify' AND c.account = ?2 AND c.mode = 'live'"
    " AND c.connected_at = ?3 AND c.closed_at IS NULL AND m.closed_at IS NULL"
)


class Address(NamedTuple):
    """What a signed address says; where it does not stand (any more), nothing of the merchant's may be shown."""

    merchant_id: int
    who: str  # made it, as in Visit; empty where it does not stand
    shop: str | None  # in whose admin the page stands it was made for
    parts: tuple[str, ...]
    stands: bool


def sign(vault: Vault, visit: Visit, purpose: str, until: int, *parts: str | int) -> str:
    """Make the last part of an address that holds for one purpose until an instant, MOST_LIFE ahead at most.

    It names nobody who signed in by mail: the session does.
    """
    shop, who = (visit.shop or "", visit.who) if visit.embedded else ("", "")
    return vault.sign(f"visit: {purpose}", visit.merchant_id, until, shop, visit.proof, who, *parts)


def keep_to(vault: Vault, purpose: str, token: str) -> None:
    """Keep the visit to the rows of whose address it is, where we signed it for this purpose: to be asked first."""
    if (found := vault.check(f"visit: {purpose}", token)) is not None:
        keep_within(int(found[0]))


def look_up(vault: Vault, purpose: str, token: str, count: int, now: int) -> Steps[Address | None]:
    """Return what an address with `count` parts of its own says; None where we did not sign it for this purpose."""
    found = vault.check(f"visit: {purpose}", token)
    if found is None or len(found) != _OURS + count:
        return None
    merchant_id, until, shop, proof, who = found[:_OURS]
    one = Address(int(merchant_id), "", shop or None, found[_OURS:], False)
    if not now < int(until) <= now + MOST_LIFE:
        return one
    if shop:
        stands = bool((yield from ask(_INSTALLED, (one.merchant_id, shop, int(proof)))))
        return one._replace(who=who, stands=True) if stands else one
    known = yield from still_open(one.merchant_id, proof, now)
    return one if known is None else one._replace(who=known, stands=True)
