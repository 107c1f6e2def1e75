"""Journeys of shops: joining late, leaving, and what belongs to somebody else."""

from datetime import timedelta

from tests.journeys.street import journey
from tests.journeys.town import Town
from tests.oracle.tellings import Delivery
from tests.properties.tape import SHOP_DOMAIN, SHOP_ID


@journey("once", "twice")
async def test_what_a_shop_sends_before_it_joins_is_kept_and_counts_when_it_does(town: Town) -> None:
    """Webhooks begin with the installation; the merchant opens the app later."""
    later = await town.neighbour(opened=False)
    order = later.order(later.ana)
    for delivery in later.tape.deliveries:
        assert await later.deliver(delivery) == 200
    await later.open()
    later.order(later.dan)
    await later.told()
    assert await later.points(later.ana) == {"pending": 40}
    assert order.id


@journey()
async def test_a_shop_that_left_earns_nothing_more_and_keeps_what_was_owed(town: Town) -> None:
    """The uninstall is told between two orders, of which one was sold afterwards; Stripe is still connected."""
    town.order(town.ana)
    await town.passes(days=1)
    shop = {
        "id": SHOP_ID, "name": "Corner", "domain": "corner.example", "myshopify_domain": SHOP_DOMAIN,
        "email": "owner@corner.example", "updated_at": None, "plan_name": "basic",
    }  # fmt: skip
    town.tape.shopify("app/uninstalled", shop, town.clock)
    await town.told()
    await town.passes(days=1)
    town.order(town.ana)
    await town.passes(days=2)
    assert await town.points(town.ana) == {"pending": 40}
    town.payment(town.bo, 1000).pay()
    await town.told()
    assert await town.points(town.bo) == {"pending": 10}


@journey()
async def test_a_body_replayed_under_another_shops_name_has_no_effect_anywhere(town: Town) -> None:
    """Headers are not signed; the body says whose it is."""
    neighbour = await town.neighbour()
    neighbour.order(neighbour.dan)
    await neighbour.told()
    town.order(town.ana)
    await town.told()
    for delivery in list(town.tape.deliveries):
        stolen = town.here(delivery)
        headers = neighbour.here(Delivery("shopify", SHOP_DOMAIN, "", "", {})).connection
        assert await town.post(stolen, shop=headers, delivery_id=f"stolen-{stolen.delivery_id}") == 200
    await town.street.idle()
    assert await town.points(town.ana) == {"pending": 40}
    assert await neighbour.points(neighbour.dan) == {"pending": 40}
    outcomes = await neighbour.rows("SELECT outcome FROM events", "AND delivery_id LIKE 'stolen-%'")
    assert {outcome for (outcome,) in outcomes} == {"suspect"}


@journey()
async def test_a_body_replayed_under_another_id_or_topic_counts_once(town: Town) -> None:
    """The same signed order again, as another delivery and as another kind of event."""
    order = town.order(town.ana)
    order.refund(pieces={}, adjustment=-500)
    await town.told()
    for position, delivery in enumerate(list(town.tape.deliveries)):
        here = town.here(delivery)
        assert await town.post(here, delivery_id=f"again-{position}") == 200
        for topic in ("orders/updated", "refunds/create", "orders/delete", "customers/update", "app/uninstalled"):
            assert await town.post(here, topic=topic, delivery_id=f"as-{topic}-{position}") == 200
    await town.street.idle()
    assert await town.points(town.ana) == {"pending": 35}


@journey()
async def test_an_edit_told_without_the_order_waits_for_the_order_visibly(town: Town) -> None:
    """Without access to the shop the edit says only that something changed."""
    order = town.order(town.ana)
    await town.told()
    order.edit(remove=None)
    await town.told()
    waiting = await town.rows("SELECT outcome, reason FROM events", "AND topic = 'orders/edited'")
    assert waiting and all(outcome == "waiting" and str(order.id) in reason for outcome, reason in waiting)
    assert await town.points(town.ana) == {"pending": 40}


@journey()
async def test_thin_events_change_nothing_by_themselves(town: Town) -> None:
    """A thin event says: look again; what follows says how."""
    payment = town.payment(town.bo, 4000).pay()
    thin = {
        "id": "evt_thin_1", "object": "v2.core.event", "type": "v1.charge.refunded", "livemode": True,
        "created": "2026-10-06T16:00:00.000Z", "context": None, "reason": None,
        "related_object": {"id": payment.charge_id, "type": "charge", "url": "/v1/charges/x"},
    }  # fmt: skip
    town.tape.deliveries.append(Delivery("stripe", "corner-stripe", thin["type"], "evt_thin_1", thin))
    await town.told()
    assert await town.points(town.bo) == {"pending": 40}
    payment.refund(timedelta(minutes=1), 1000)
    await town.told()
    assert await town.points(town.bo) == {"pending": 30}
