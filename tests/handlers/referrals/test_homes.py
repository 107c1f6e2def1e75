"""Whether a friend and who brought them live together: by where their orders go, of which only a digest is kept."""

from dataclasses import replace
from typing import Any

import pytest

from handlers.holders import Subject
from handlers.referrals import jobs, personal
from handlers.referrals.settle import decide
from handlers.referrals.store import HOMES_KEPT
from integration.clock import DAY
from integration.sandbox.shopify_records import Address
from tests.handlers.referrals.circle import Circle

HOME = Address("Ana", "Diaz", "14 Elm Street", "Ottawa", "K2P 1L4", "Canada", "CA", "Ontario", "ON", "Flat 3")
TYPED_OTHERWISE = replace(HOME, first_name="Finn", street="14, Élm street / flat 3", zip="k2p1l4", more=None)


async def ana_buys(circle: Circle, home: Address | None = HOME) -> None:
    """Ana has something sent to her."""
    circle.stall.ana.address = home
    await circle.stall.tells(circle.buys(circle.stall.ana)[1])
    await circle.looks()


async def homes(circle: Circle) -> list[Any]:
    """What is kept of where orders went."""
    return await circle.market.rows("SELECT sale, digest FROM referral_homes ORDER BY sale")


async def test_a_friend_at_the_same_address_waits_for_the_merchant(circle: Circle) -> None:
    """However it is typed; the merchant knows whether they are two customers, and no address is kept in the clear."""
    await ana_buys(circle)
    await circle.comes(address=TYPED_OTHERWISE)
    assert (await circle.fates(), await circle.ana_has()) == ([("held", "address")], (0, 0))
    assert len({digest for _, digest in await homes(circle)}) == 1
    assert not [row for row in await circle.market.rows("SELECT facts FROM sales") if "lm str" in str(row).casefold()]
    (row,) = await circle.rows()
    now = circle.market.clock.now()
    await circle.context.database.run(lambda: decide(row.merchant_id, row.sale, "allowed", now))
    await circle.looks()
    assert await circle.ana_has() == (1_000, 0)
    await circle.is_sound()


async def test_an_address_ana_has_later_counts_until_the_points_can_be_spent(circle: Circle) -> None:
    """While the friend's order may come back it is looked at again; what was given is not taken for a parcel sent."""
    await circle.comes(address=HOME)
    assert await circle.fates() == [("pending", "")]
    await ana_buys(circle)
    assert await circle.fates() == [("held", "address")]
    await circle.comes("Mia", address=replace(HOME, street="2 Oak Street"))
    circle.market.passes(days=15)
    await circle.looks()
    await ana_buys(circle, replace(HOME, street="2 Oak Street"))
    assert (await circle.fates())[1] == ("given", "")


@pytest.mark.parametrize(
    "home",
    [
        replace(HOME, more="Flat 12"),
        replace(HOME, more=None),
        replace(HOME, zip="K2P 1L5"),
        replace(HOME, country_code="US"),
        replace(HOME, street="", more=None),
        None,
    ],
    ids=["another flat", "no flat", "another postal code", "another country", "no street", "no address"],
)
async def test_neighbours_and_who_told_no_address_are_no_household(circle: Circle, home: Address | None) -> None:
    """Only the whole address, flat and all, says something; a missing one says nothing."""
    await ana_buys(circle)
    await circle.comes(address=home)
    assert await circle.fates() == [("pending", "")]


async def test_where_many_have_things_sent_to_is_no_household(circle: Circle) -> None:
    """A locker, an office: strangers make it one, before or after. Friends of one customer do not."""
    await ana_buys(circle)
    for name in ("Finn", "Mia", "Zoe", "Ben", "Ida"):
        await circle.comes(name, address=HOME)
    assert set(await circle.fates()) == {("held", "address")}
    locker = replace(HOME, street="Locker 17", more=None)
    await ana_buys(circle, locker)
    for name in ("Uma", "Kim", "Lou", "Pat"):
        await circle.stall.tells(circle.buys(await circle.friend(name, address=locker))[1])
    await circle.comes("Eva", address=locker)
    assert (await circle.fates())[-1] == ("pending", "")


async def test_a_digest_is_the_shops_own_and_goes_with_the_order_the_time_and_the_offer(circle: Circle) -> None:
    """Shown to the person, forgotten with them, kept for half a year, and gone where friends bring nothing any more."""
    await ana_buys(circle)
    await circle.comes(address=HOME)
    ((mine, digest), (friends, other)) = await homes(circle)
    place = "ca|k2p1l4|14elmstreetflat3"
    assert digest == other == circle.context.vault.stand_in("home", circle.stall.merchant, place)
    subject = Subject(circle.stall.merchant, sales=(mine,))
    shown = await circle.context.database.read(lambda: personal.export(subject))
    assert [row["a_digest_of_your_address"] for row in shown["addresses_compared"]] == [digest]
    now = circle.market.clock.now()
    assert await circle.context.database.run(lambda: personal.forget(subject, now)) == 1
    assert await homes(circle) == [(friends, digest)]
    circle.market.passes(days=HOMES_KEPT // DAY + 1)
    await jobs.prune(circle.context)
    assert await homes(circle) == []
    await ana_buys(circle)
    await circle.counter.sets(referrals={"enabled": False})
    circle.market.passes(minutes=1)
    assert len(await homes(circle)) == 1
    await ana_buys(circle)
    assert len(await homes(circle)) == 1
    await jobs.prune(circle.context)
    assert await homes(circle) == []
