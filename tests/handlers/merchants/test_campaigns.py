"""A campaign runs from one instant to another, by the clocks of the shop it was written for."""

from collections.abc import Mapping
from typing import Any

import pytest

from handlers.merchants.connections import Wish, add_merchant
from handlers.merchants.programs import change_program, changed, pinned, read_program
from handlers.merchants.rules import MOST_CAMPAIGNS, Campaign, Program, Refused
from integration.clock import HOUR, SECOND, from_iso
from integration.database.steps import ask, plain
from integration.vault import Vault

NOW = 1_790_000_000 * SECOND
VAULT = Vault(["hats-are-sold-here-by-ada-and-bob-since-1999"])
BLACK_FRIDAY = {
    "earning.campaigns.bf.name": "Black Friday",
    "earning.campaigns.bf.starts": "2026-11-27",
    "earning.campaigns.bf.ends": "2026-11-30",
    "earning.campaigns.bf.multiplier": "2",
}


def campaign(**changes: object) -> Campaign:
    """Two points for one while Black Friday lasts, in New York."""
    known = {
        "name": "BF",
        "starts": "2026-11-27",
        "ends": "2026-11-30",
        "multiplier": 2,
        "timezone": "America/New_York",
    }
    return Campaign.model_validate({**known, **changes})


@pytest.mark.parametrize(
    ("times", "starts", "ends"),
    [
        ({}, "2026-11-27T05:00:00Z", "2026-12-01T05:00:00Z"),
        ({"starts": "2026-11-27T09:00", "ends": "2026-11-27T17:30"}, "2026-11-27T14:00:00Z", "2026-11-27T22:30:00Z"),
        ({"starts": "2026-11-27T09:00Z", "ends": "2026-11-27T17:30+02:00"}, "2026-11-27T09:00Z", "2026-11-27T15:30Z"),
        ({"starts": "2026-10-31", "ends": "2026-11-01"}, "2026-10-31T04:00:00Z", "2026-11-02T05:00:00Z"),
        ({"starts": "2026-11-01T01:30", "ends": "2026-11-02"}, "2026-11-01T05:30:00Z", "2026-11-03T05:00:00Z"),
        ({"starts": "2026-10-30", "ends": "2026-11-01T01:30"}, "2026-10-30T04:00:00Z", "2026-11-01T06:30:00Z"),
        ({"starts": "2026-03-08T02:30", "ends": "2026-03-09"}, "2026-03-08T07:00:00Z", "2026-03-10T04:00:00Z"),
        ({"starts": "2026-03-07", "ends": "2026-03-08T02:30"}, "2026-03-07T05:00:00Z", "2026-03-08T07:00:00Z"),
    ],
    ids=[
        "whole days",
        "hours",
        "instants",
        "a day of 25 hours",
        "begins in the hour that comes twice",
        "ends in the hour that comes twice",
        "begins in the hour that is left out",
        "ends in the hour that is left out",
    ],
)
def test_a_campaign_begins_and_ends_by_the_clocks_on_the_shops_wall(
    times: dict[str, str], starts: str, ends: str
) -> None:
    """A last day counts to its end; of a time the clocks show twice both are part of it, one they skip is the jump."""
    one = campaign(**times)
    assert (one.starts_at, one.ends_at) == (from_iso(starts), from_iso(ends))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bf.ends": "2026-11-26"}, "ends after it starts"),
        ({"bf.multiplier": "1"}, "needs a multiplier above 1 or extra points"),
        ({"bf.multiplier": "0.5"}, "earning.campaigns.bf.multiplier"),
        ({"bf.starts": "next friday"}, "write a day as 2026-11-27"),
        ({"bf.starts": "2026-02-30"}, "write a day as 2026-11-27"),
        ({"bf.timezone": "Mars/Olympus"}, "a time zone is named like Europe/Paris"),
        ({"bf.name": ""}, "earning.campaigns.bf.name"),
        ({"Black Friday.name": "x"}, "earning.campaigns.Black Friday"),
        ({"more.name": "No times"}, "earning.campaigns.more.starts"),
    ],
)
def test_a_campaign_that_cannot_be_is_refused_in_words(change: Mapping[str, str], said: str) -> None:
    """The key comes with what is wrong."""
    with pytest.raises(Refused) as refusal:
        changed(Program(), BLACK_FRIDAY | {f"earning.campaigns.{key}": value for key, value in change.items()})
    assert said in str(refusal.value)


def test_a_programme_has_only_so_many_campaigns() -> None:
    """Old ones may be taken out of a later version: sales keep theirs."""
    campaigns = {f"c{n}": campaign().model_dump(mode="json") for n in range(MOST_CAMPAIGNS + 1)}
    with pytest.raises(Refused):
        changed(Program(), {"earning.campaigns": campaigns})
    del campaigns["c0"]
    assert len(changed(Program(), {"earning.campaigns": campaigns}).earning.campaigns) == MOST_CAMPAIGNS


def test_goods_and_tags_are_read_from_a_text_and_from_ids_as_the_shop_shows_them() -> None:
    """Commas part them, and a product may be named as GraphQL does."""
    changes = {
        "earning.campaigns.bf.products": "gid://shopify/Product/9001, 9002",
        "earning.campaigns.bf.tags": '["vip, gold"]',
        "earning.exclude_products": "gid://shopify/Product/9003",
    }
    earning = changed(Program(), BLACK_FRIDAY | changes).earning
    assert earning.campaigns["bf"].products == ("9001", "9002")
    assert earning.campaigns["bf"].tags == ("vip, gold",)
    assert earning.exclude_products == ("9003",)


def test_a_campaign_can_be_taken_out_by_its_key() -> None:
    """As with every table of settings."""
    program = changed(Program(), BLACK_FRIDAY)
    assert changed(program, {"earning.campaigns.bf": "null"}) == Program()


async def test_a_campaigns_hours_stay_where_they_were_written_though_the_shop_moves(database: Any) -> None:
    """The zone is kept with the campaign; a version written later does not change it either."""
    wish = Wish(name="Hats", shop="hats", currency="EUR", timezone="Europe/Paris")
    merchant = await database.run(lambda: add_merchant(wish, VAULT, NOW))
    version = await database.run(lambda: change_program(merchant.id, BLACK_FRIDAY, NOW))
    before = version.program.earning.campaigns["bf"]
    assert (before.timezone, before.starts_at) == ("Europe/Paris", from_iso("2026-11-26T23:00:00Z"))
    await database.run(lambda: ask(plain("UPDATE merchants SET timezone = 'Asia/Tokyo'"), ()))
    changes = {"earning.hold_days": 3, "earning.campaigns.bf.multiplier": 3}
    await database.run(lambda: change_program(merchant.id, changes, NOW + HOUR))
    after = (await database.read(lambda: read_program(merchant.id))).program.earning.campaigns["bf"]
    assert (after.multiplier, after.timezone, after.starts_at) == (3, before.timezone, before.starts_at)


def test_a_programme_that_is_tried_before_it_is_saved_gets_its_zone_the_same_way() -> None:
    """What is previewed is what will be."""
    program = pinned(changed(Program(), BLACK_FRIDAY), "America/New_York")
    assert program.earning.campaigns["bf"].starts_at == campaign().starts_at
    assert pinned(program, "Asia/Tokyo") == program


async def test_what_the_release_before_does_not_know_is_named_only_where_it_is_used(database: Any) -> None:
    """It reads documents beside this one, and refuses settings it does not know."""
    wish = Wish(name="Hats", shop="hats", currency="EUR", timezone="Europe/Paris")
    merchant = await database.run(lambda: add_merchant(wish, VAULT, NOW))
    documents = plain("SELECT document FROM program_versions ORDER BY version DESC LIMIT 1")
    for changes, named in (
        ({"earning.hold_days": 3}, [False, False]),
        (BLACK_FRIDAY, [True, False]),
        ({"expiry.enabled": True}, [True, True]),
    ):
        await database.run(lambda with_=changes: change_program(merchant.id, with_, NOW))
        ((document,),) = await database.read(lambda: ask(documents, ()))
        assert ["campaigns" in document, "expiry" in document] == named
