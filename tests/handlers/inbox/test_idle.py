"""Idle means that nothing is left that happens by itself."""

from handlers.inbox.idle import busy
from handlers.inbox.record import Delivery, adopt_known, record_all
from integration.database.engine import Database
from integration.database.steps import ask, plain

ROSE = "rose.myshopify.com"


async def test_events_that_came_beside_their_connection_are_still_to_be_worked(database: Database) -> None:
    """An unknown shop's events may lie for ever; those of a shop known by now are about to be adopted."""
    delivery = Delivery("shopify", ROSE, "one", "orders/create", None, 1, b"{}")
    assert await record_all(database, [delivery]) == [True]
    assert await database.read(lambda: busy(1)) == {}
    connect = plain(
        "INSERT INTO connections (merchant_id, platform, account, created_at, connected_at)"
        " VALUES (1, 'shopify', 'rose.myshopify.com', 0, 0)"
    )
    await database.run(lambda: ask(connect, ()))
    assert await database.read(lambda: busy(1)) == {"events of shops just connected": 1}
    await database.run(lambda: adopt_known(1))
    assert await database.read(lambda: busy(1)) == {"events": 1}
