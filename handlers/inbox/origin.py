"""Whose body is it: checks each told event against its connection, and learns what names a shop."""

import json
from collections.abc import Mapping, Sequence

from handlers.inbox.rules import Connection, Elsewhere, Told, strange, suspicion
from integration.database.steps import BIG, TEXT, Steps, ask, keyed

MOST_HOSTS = 20  # of one shop's own

Connections = Mapping[tuple[str, str], Connection]


def suspects(told: Sequence[Told], connections: Connections) -> Steps[dict[int, str]]:
    """Return why events are suspect, by event id; what the others show of their shops is remembered."""
    known = [(event, connections[event.envelope.source, event.connection]) for event in told]
    new = [(event, connection) for event, connection in known if strange(connection, event.reading)]
    elsewhere = (yield from _elsewhere(new)) if new else Elsewhere()
    reasons: dict[int, str] = {}
    for event, connection in known:
        reason = suspicion(connection, event.reading, elsewhere)
        if reason is not None:
            reasons[event.event_id] = reason
    if new:
        yield from _learn([pair for pair in new if pair[0].event_id not in reasons])
    return reasons


def _elsewhere(new: Sequence[tuple[Told, Connection]]) -> Steps[Elsewhere]:
    """Ask which of the newly seen shop ids and hosts are already known as another merchant's."""
    shops = sorted({(c.merchant_id, e.reading.shop_id) for e, c in new if e.reading.shop_id})
    hosts = sorted({(c.merchant_id, host) for e, c in new for host in e.reading.hosts})
    taken_shops = yield from ask(_TAKEN_SHOPS, shops)
    like = yield from ask(_HOSTS_LIKE, hosts)
    return Elsewhere(
        frozenset(row[0] for row in taken_shops),
        # The statement's LIKE takes an underscore for any letter; the list itself is exact.
        frozenset(host for host, listed in like if host in json.loads(listed)),
    )


def _learn(seen: Sequence[tuple[Told, Connection]]) -> Steps[None]:
    """Remember the shop id a connection's bodies first show, and the hosts shown beside it."""
    learned: dict[int, Connection] = {}
    for event, old in seen:
        connection = learned.get(old.id, old)
        shop_id = connection.shop_id or event.reading.shop_id
        if event.reading.shop_id is None or event.reading.shop_id != shop_id:
            continue
        hosts = tuple(dict.fromkeys((*connection.hosts, *event.reading.hosts)))[:MOST_HOSTS]
        learned[old.id] = connection._replace(shop_id=shop_id, hosts=hosts)
    before = {old.id: old for _, old in seen}
    changed = sorted(c for c in learned.values() if c != before[c.id])
    yield from ask(_LEARN, [(c.id, c.shop_id, json.dumps(c.hosts)) for c in changed])


_TAKEN_SHOPS = keyed(
    "SELECT k.shop_id FROM {keys} k WHERE EXISTS (SELECT 1 FROM connections c WHERE c.platform = 'shopify'"
    " AND c.shop_id = k.shop_id AND c.merchant_id <> k.merchant_id)",
    merchant_id=BIG,
    shop_id=TEXT,
)

_HOSTS_LIKE = keyed(
    "SELECT k.host, c.hosts FROM {keys} k CROSS JOIN connections c WHERE c.platform = 'shopify'"
    " AND c.merchant_id <> k.merchant_id AND c.hosts LIKE '%\"' || k.host || '\"%'",
    merchant_id=BIG,
    host=TEXT,
)

# A shop id is learned once; only the merchant's reconnecting could change it.
_LEARN = keyed(
    "UPDATE connections SET shop_id = coalesce(connections.shop_id, k.shop_id), hosts = k.hosts"
    " FROM {keys} k WHERE connections.id = k.id",
    id=BIG,
    shop_id=TEXT,
    hosts=TEXT,
)
