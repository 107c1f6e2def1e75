"""What platforms tell of the shop itself: its record, its scopes, and that it has left."""

import json

from handlers.merchants.sessions import end_sessions
from integration.database.steps import Steps, ask, plain
from integration.facts import ScopesSeen, ShopSeen, Uninstalled

_SEEN = plain(
    # The body is signed but may be replayed later: it fills what is missing and overrules nobody's choice. Where it
    # tells of another address, the shop itself is asked soon (see jobs.describe).
    "UPDATE merchants SET country = COALESCE(country, ?2), email = COALESCE(email, ?3),"
    " describe_after = CASE WHEN shop_email <> ?3 THEN NULL ELSE describe_after END WHERE id = ?1"
)
_SCOPES = plain("UPDATE connections SET scopes = ?4 WHERE merchant_id = ?1 AND platform = ?2 AND account = ?3")
# A late uninstall after a reinstall is older than the last time the shop was connected. Told twice, the earlier
# instant counts, whichever comes first.
_LEFT = plain(
    "UPDATE connections SET closed_at = ?4, token = NULL, token_expires_at = NULL, refresh_token = NULL,"
    " refresh_expires_at = NULL, refreshed_at = NULL, refresh_claim = NULL, refresh_after = NULL,"
    " refresh_problem = NULL"
    " WHERE merchant_id = ?1 AND platform = ?2 AND account = ?3 AND connected_at <= ?4"
    " AND (closed_at IS NULL OR closed_at > ?4)"
)
_CLOSE = plain(
    "UPDATE merchants SET closed_at = ?2 WHERE id = ?1 AND closed_at IS NULL AND NOT EXISTS"
    " (SELECT 1 FROM connections c WHERE c.merchant_id = ?1 AND c.closed_at IS NULL)"
)


def hear_of_shop(
    merchant_id: int, platform: str, account: str, fact: ShopSeen | ScopesSeen | Uninstalled, now: int
) -> Steps[None]:
    """Keep what a platform tells of one connection; a shop that has left earns and sends nothing more."""
    match fact:
        case ShopSeen():
            yield from ask(_SEEN, (merchant_id, fact.country, fact.email))
        case ScopesSeen(scopes=scopes):
            yield from ask(_SCOPES, (merchant_id, platform, account, json.dumps(sorted(scopes))))
        case Uninstalled(told_at=told_at):
            left = yield from ask(_LEFT, (merchant_id, platform, account, min(told_at, now)))
            yield from ask(_CLOSE, (merchant_id, now))
            if left[0][0]:
                # Who was let in for the shop as it was has no part in what becomes of it.
                yield from end_sessions(merchant_id, now)
