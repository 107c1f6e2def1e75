"""A friend's first order brings whoever sent them points, once, and only as long as it is kept."""

import random

import pytest

from handlers.merchants.rules import Refused
from handlers.referrals import codes
from handlers.referrals.codes import MOST_OF_LINK
from handlers.referrals.rules import MOST_MISUSED
from integration.clock import DAY, to_iso
from integration.sandbox.shopify_discounts import CannotUse
from tests.handlers.referrals.circle import Circle


async def test_a_friends_code_is_a_real_discount_used_once(circle: Circle):
    """It is made at the shop for one use, from an order of the programme's least on, until it ends."""
    assert (circle.code.state, circle.code.platform_id is not None) == ("made", True)
    (made,) = circle.counter.discounts()
    assert [each.text for each in made.codes] == [circle.code.code]
    asked = made.asked
    assert (asked["usageLimit"], asked["appliesOncePerCustomer"]) == (1, True)
    assert asked["endsAt"] == to_iso(circle.code.created_at + 30 * DAY)
    assert asked["minimumRequirement"]["subtotal"] == {"greaterThanOrEqualToSubtotal": "20"}
    await circle.stall.tells(circle.buys(await circle.friend("Finn"), circle.code.code)[1])
    with pytest.raises(CannotUse):
        circle.buys(await circle.friend("Mia"), circle.code.code)


async def test_asking_for_the_link_again_changes_nothing(circle: Circle):
    """One customer has one link."""
    assert await circle.invites(circle.counter.ana) == circle.link


async def test_points_wait_for_the_friends_return_window(circle: Circle):
    """Then they can be spent; nothing comes twice."""
    await circle.comes()
    assert (await circle.fates(), await circle.ana_has()) == ([("pending", "")], (1_000, 0))
    before = (await circle.counter.points())[0]
    circle.market.passes(days=14, minutes=1)
    await circle.looks()
    await circle.looks()
    assert await circle.ana_has() == (0, 1_000)
    assert (await circle.counter.points())[0] >= before + 1_000
    await circle.is_sound()


@pytest.mark.parametrize("days", [1, 20])
async def test_a_returned_order_takes_all_of_it_back(circle: Circle, days: int):
    """Before the window ends and after."""
    _, order = await circle.comes()
    circle.market.passes(days=days)
    await circle.looks()
    await circle.stall.tells(circle.stall.shop.cancel(order))
    await circle.looks()
    assert (await circle.fates(), await circle.ana_has()) == ([("returned", "returned")], (0, 0))
    await circle.is_sound()


async def test_who_bought_before_is_no_friend(circle: Circle):
    """Also when the earlier order is told of only afterwards."""
    finn = await circle.friend("Finn")
    _, earlier = circle.buys(finn)
    _, told = circle.buys(finn, circle.code.code)
    await circle.stall.tells(told)
    await circle.looks()
    assert await circle.ana_has() == (1_000, 0)
    await circle.stall.tells(earlier)
    await circle.looks()
    assert (await circle.fates(), await circle.ana_has()) == ([("refused", "not_first")], (0, 0))
    await circle.is_sound()


async def test_a_second_order_brings_nothing_more(circle: Circle):
    """A friend counts once, with whosever code."""
    finn, _ = await circle.comes()
    other = await circle.invites((await circle.rows())[0].friend or 0)
    _, told = circle.buys(finn, (await circle.asks(other)).code)
    await circle.stall.tells(told)
    await circle.looks()
    assert [fate[0] for fate in await circle.fates()] == ["pending", "refused"]
    assert await circle.ana_has() == (1_000, 0)


async def test_ones_own_other_mailbox_is_no_friend(circle: Circle):
    """A tag or a dot makes nobody else."""
    name, _, domain = circle.stall.ana.email.partition("@")
    await circle.comes("Anna", email=f"{name}+friend@{domain}")
    assert (await circle.fates(), await circle.ana_has()) == ([("refused", "self")], (0, 0))


async def test_oneself_is_no_friend(circle: Circle):
    """Ana types her own code."""
    _, told = circle.buys(circle.stall.ana, circle.code.code)
    await circle.stall.tells(told)
    await circle.looks()
    assert await circle.ana_has() == (0, 0)


async def test_a_friend_who_turns_out_to_be_oneself_is_taken_back(circle: Circle):
    """The shop makes two records one."""
    finn, _ = await circle.comes()
    await circle.stall.tells(circle.stall.shop.merge_customers(circle.stall.ana, finn))
    await circle.looks()
    assert await circle.ana_has() == (0, 0)
    await circle.is_sound()


async def test_of_two_who_bring_each_other_one_is_a_friend(circle: Circle):
    """Two who open accounts and swap codes before either has bought: who bought first was brought, the other not."""
    mia, zoe = [await circle.friend(name) for name in ("Mia", "Zoe")]
    rows = await circle.market.rows("SELECT first_name, number FROM customers WHERE first_name IN ('Mia', 'Zoe')")
    number = dict(rows)
    codes_of = {name: await circle.asks(await circle.invites(number[name])) for name in ("Mia", "Zoe")}
    told = circle.buys(mia, codes_of["Zoe"].code)[1], circle.buys(zoe, codes_of["Mia"].code)[1]
    for each in reversed(told):
        await circle.stall.tells(each)
        await circle.looks()
    assert sorted((row.referrer, row.state, row.why) for row in await circle.rows()) == sorted(
        [(number["Zoe"], "pending", ""), (number["Mia"], "refused", "mutual")]
    )
    await circle.is_sound()


async def test_a_shared_telephone_waits_for_the_merchant(circle: Circle):
    """They know whether two people of one house are two customers."""
    ana, phone = circle.stall.ana, "+1 202 555 0143"
    ana.phone = phone
    await circle.stall.tells(circle.stall.shop.change_customer(ana, phone=phone))
    await circle.comes("Mia", phone="2025550143")
    assert (await circle.fates(), await circle.ana_has()) == ([("held", "household")], (0, 0))


@pytest.mark.parametrize("seed", range(4))
async def test_the_order_of_the_telling_does_not_matter(circle: Circle, seed: int):
    """Whatever comes first, twice or late, the points end in the same place."""
    dice = random.Random(seed)
    finn, mia = await circle.friend("Finn"), await circle.friend("Mia")
    one, told = circle.buys(finn, circle.code.code)
    _, more = circle.buys(mia, (await circle.asks()).code)
    told = [*told, *more, *circle.stall.shop.cancel(one)]
    mixed = told + dice.sample(told, 3)
    dice.shuffle(mixed)
    for each in mixed:
        await circle.stall.tells([each])
        if dice.random() < 0.4:
            await circle.looks()
    await circle.looks()
    assert sorted(await circle.fates()) == [("pending", ""), ("returned", "returned")]
    assert await circle.ana_has() == (1_000, 0)
    await circle.is_sound()


async def test_as_many_count_as_the_month_has_places_for(circle: Circle):
    """One who comes back gives the place to the next."""
    await circle.counter.sets(referrals={"most_a_month": 1})
    circle.market.passes(minutes=1)
    _, order = await circle.comes("Finn")
    await circle.comes("Mia")
    assert await circle.fates() == [("pending", ""), ("refused", "month")]
    await circle.stall.tells(circle.stall.shop.cancel(order))
    await circle.looks()
    assert await circle.fates() == [("returned", "returned"), ("pending", "")]
    assert await circle.ana_has() == (1_000, 0)


async def test_a_link_is_over_after_as_many_orders_as_friends_may_come(circle: Circle):
    """Its codes that nobody used are off at the shop, and there are no new ones."""
    await circle.counter.sets(referrals={"most_in_all": 2})
    circle.market.passes(minutes=1)
    await circle.comes("Finn")
    await circle.comes("Mia")
    circle.market.passes(minutes=1)
    await circle.looks()
    assert await circle.market.rows("SELECT state FROM referral_links") == [("closed",)]
    assert (await circle.now(circle.code)).state == "closed"
    with pytest.raises(Refused):
        await circle.wants()
    with pytest.raises(CannotUse):
        circle.buys(await circle.friend("Zoe"), circle.code.code)


async def test_a_link_that_brings_no_friends_is_closed(circle: Circle):
    """Five orders by people who had bought before: it is posted somewhere, or Ana's own."""
    for n in range(MOST_MISUSED):
        assert (await circle.market.rows("SELECT state FROM referral_links")) == [("open",)]
        code = circle.code if n == 0 else await circle.asks()
        await circle.stall.tells(circle.buys(circle.stall.ana, code.code)[1])
        await circle.looks()
    assert await circle.fates() == [("refused", "not_first")] * MOST_MISUSED
    with pytest.raises(Refused):
        await circle.wants()


async def test_only_so_many_codes_are_asked_for_and_open_at_once(circle: Circle, monkeypatch: pytest.MonkeyPatch):
    """Of one link, from one address, at one shop; an hour makes room, and one that is used or has ended."""
    for _ in range(MOST_OF_LINK - 1):
        await circle.wants()
    with pytest.raises(Refused):
        await circle.wants()
    circle.market.passes(minutes=61)
    await circle.wants()
    monkeypatch.setattr(codes, "MOST_OPEN", MOST_OF_LINK + 1)
    with pytest.raises(Refused):
        await circle.wants()
    circle.market.passes(days=31)
    monkeypatch.setattr(codes, "MOST_ASKED", 1)
    await circle.wants(asker="somewhere")
    with pytest.raises(Refused):
        await circle.wants(asker="somewhere")
    monkeypatch.setattr(codes, "MOST_OF_SHOP", 2)
    await circle.wants(asker="elsewhere")
    with pytest.raises(Refused):
        await circle.wants(asker="nowhere")


async def test_a_code_that_was_never_made_ends_by_itself(circle: Circle):
    """The shop is away until it has ended."""
    wanted = await circle.wants()
    circle.market.passes(days=31)
    await circle.looks()
    assert (await circle.now(wanted)).state == "closed"
    assert len(circle.counter.discounts()) == 1
