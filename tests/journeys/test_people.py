"""Journeys of people: guests, accounts, addresses that change, customers who become one."""

from dataclasses import replace

from tests.journeys.street import journey
from tests.journeys.town import Town
from tests.properties.shopify_stories import Line, merge_body
from tests.properties.stripe_stories import customer


@journey()
async def test_a_guest_who_later_gets_an_account_keeps_the_points(town: Town) -> None:
    """Bo buys as a guest, then signs up; the guest's sale is his account's."""
    town.order(town.bo)
    await town.told()
    assert await town.points(town.bo) == {"pending": 40}
    account = replace(town.bo, shopify=5010)
    town.customer(account, topic="customers/create")
    town.order(account, Line(1000))
    await town.told()
    assert await town.points("shopify:5010") == await town.points(town.bo) == {"pending": 50}


@journey()
async def test_an_account_whose_address_is_not_verified_does_not_get_a_guests_points(town: Town) -> None:
    """Anybody could type Bo's address."""
    town.order(town.bo)
    town.customer(replace(town.bo, name="Mallory", shopify=5666), verified=False)
    await town.told()
    assert await town.points(town.bo) == {"pending": 40}
    assert await town.points("shopify:5666") == {}


@journey()
async def test_merged_customers_are_one_and_late_events_under_the_old_id_land_right(town: Town) -> None:
    """Ana's second account is merged into her first; an order told late still names the second."""
    second = replace(town.ana, email=None, shopify=5020)
    town.order(town.ana)
    town.order(second, Line(1000))
    town.tape.shopify("customers/merge", merge_body(kept=5001, gone=5020), town.clock)
    await town.told()
    assert await town.points(town.ana) == {"pending": 50}
    town.order(second, Line(500)).refund(adjustment=-100)
    await town.told()
    assert await town.points("shopify:5020") == await town.points(town.ana) == {"pending": 54}


@journey()
async def test_a_merge_that_failed_joins_nobody(town: Town) -> None:
    """Shopify tells of failed attempts too."""
    town.order(town.ana)
    town.order(town.dan, Line(1000))
    town.tape.shopify("customers/merge", merge_body(kept=5001, gone=5004, status="failed"), town.clock)
    await town.told()
    assert await town.points(town.ana) == {"pending": 40}
    assert await town.points(town.dan) == {"pending": 10}


@journey()
async def test_a_customer_merged_twice_over_ends_where_the_last_merge_leads(town: Town) -> None:
    """5020 into 5021, 5021 into Ana."""
    first, middle = replace(town.ana, email=None, shopify=5020), replace(town.ana, email=None, shopify=5021)
    for who in (first, middle, town.ana):
        town.order(who, Line(1000))
    town.tape.shopify("customers/merge", merge_body(kept=5021, gone=5020), town.clock)
    town.tape.shopify("customers/merge", merge_body(kept=5001, gone=5021), town.clock)
    await town.told()
    assert await town.points(town.ana) == {"pending": 30}


@journey()
async def test_points_given_by_hand_follow_a_merge(town: Town) -> None:
    """A gift belongs to no sale; it moves by a merge's own entry."""
    town.order(town.dan)
    town.order(town.ana)
    await town.told()
    await town.spends(town.dan, -25)
    town.tape.shopify("customers/merge", merge_body(kept=5001, gone=5004), town.clock)
    await town.told()
    assert await town.points(town.ana) == {"available": 25, "pending": 80}


@journey()
async def test_a_new_address_keeps_the_points_and_the_old_one_still_finds_them(town: Town) -> None:
    """Ana moves to another address; a guest order with the old one is hers too."""
    town.order(town.ana)
    await town.told()
    moved = replace(town.ana, email=f"new.{town.ana.email}")
    town.customer(moved)
    town.order(replace(town.ana, shopify=None), Line(1000))
    await town.told()
    assert await town.points(moved) == await town.points(town.ana) == {"pending": 50}


@journey()
async def test_a_stripe_customer_who_changes_address_stays_one_person(town: Town) -> None:
    """Caro pays under both addresses."""
    town.payment(town.caro, 4000).pay()
    await town.told()
    moved = f"new.{town.caro.email}"
    town.tape.stripe(
        "customer.updated", customer("cus_caro", moved, town.clock), town.clock, previous={"email": town.caro.email}
    )
    town.payment(replace(town.caro, email=moved, stripe=None), 1000).pay()
    await town.told()
    assert await town.points(moved) == await town.points(town.caro) == {"pending": 50}


@journey()
async def test_a_stripe_customer_with_a_shopify_customers_address_is_that_customer(town: Town) -> None:
    """Ana pays an invoice with the address of her account, in any spelling."""
    town.order(town.ana)
    shouting = replace(town.ana, email=f" {str(town.ana.email).upper()} ", stripe="cus_ana")
    town.payment(shouting, 1000).pay()
    await town.told()
    assert await town.points(town.ana) == {"pending": 50}


@journey()
async def test_two_accounts_that_share_an_address_are_two_people(town: Town) -> None:
    """A household: never one person by address alone; a guest's order goes to the older account."""
    partner = replace(town.ana, name="Ana's partner", shopify=5002)
    town.order(town.ana)
    town.order(partner, Line(1000))
    town.order(replace(town.ana, shopify=None), Line(500))
    await town.told()
    assert await town.points("shopify:5001") == {"pending": 45}
    assert await town.points("shopify:5002") == {"pending": 10}


@journey()
async def test_an_order_without_an_address_is_unclaimed_until_somebody_is_known(town: Town) -> None:
    """Bought at the counter; at home the receipt is claimed."""
    order = town.order(town.stranger, source="pos")
    await town.told()
    assert await town.unclaimed() == {"pending": 40}
    await town.passes(days=1)
    order.buyer = town.bo.buyer
    order.becomes("paid")
    await town.told()
    assert await town.unclaimed() == {}
    assert await town.points(town.bo) == {"pending": 40}


@journey()
async def test_a_deleted_customer_record_leaves_the_points_where_they_are(town: Town) -> None:
    """What is owed does not go away with a record."""
    town.order(town.ana)
    town.tape.shopify("customers/delete", {"id": 5001, "tax_exemptions": []}, town.clock)
    await town.told()
    assert await town.points("shopify:5001") == {"pending": 40}
