"""What people allow on a channel: the newest word of a platform wins."""

from collections.abc import Sequence

from integration.database.steps import BIG, TEXT, Steps, ask, insert
from integration.facts import ConsentSeen

_KEEP = insert(
    "consents",
    "ON CONFLICT (merchant_id, channel, address) DO UPDATE SET state = excluded.state,"
    " source = excluded.source, told_at = excluded.told_at"
    # Between two words of one instant the stricter wins, whichever comes first.
    " WHERE excluded.told_at > consents.told_at OR (excluded.told_at = consents.told_at"
    " AND excluded.state <> 'subscribed'"
    " AND (consents.state = 'subscribed' OR excluded.state >= consents.state))",
    merchant_id=BIG,
    channel=TEXT,
    address=TEXT,
    state=TEXT,
    source=TEXT,
    told_at=BIG,
)


def keep_consents(merchant_id: int, told: Sequence[ConsentSeen]) -> Steps[None]:
    """Keep consent as told, under the address where there is one, else under the platform's customer id."""
    rows = [
        (
            merchant_id,
            one.channel,
            one.address or f"{one.platform}:{one.customer_id}",
            one.state,
            one.platform,
            one.told_at,
        )
        for one in told
        if one.address or one.customer_id
    ]
    yield from ask(_KEEP, sorted(rows))
