"""What the page knows of somebody beside their points: how far they are on the ladder, and their birthday."""

import pytest

from handlers.customers.correct import birthday_of
from handlers.merchants.programs import change_program
from integration.clock import DAY
from tests.handlers.account.guests import Guest, key_in

LADDER = {
    "regular": {"name": "Regular", "threshold": 5},
    "silver": {
        "name": "Silver",
        "threshold": 100,
        "perks": "First to see what is new.",
        "multiplier": "1.5",
        "entry_points": 40,
    },
}


async def _climbs(ana: Guest, **settings: object) -> None:
    now, merchant = ana.context.clock.now(), ana.counter.stall.merchant
    tiers = {"tiers.enabled": True, "tiers.ladder": LADDER, **settings}
    await ana.context.database.run(lambda: change_program(merchant, tiers, now))
    ana.counter.market.passes(days=31)


async def test_how_far_it_is_to_the_next_tier_is_shown(ana: Guest) -> None:
    """In money where the ladder counts money; what the tiers are is among the rules."""
    assert "Tiers" not in (await ana.http.get(ana.link())).text
    await _climbs(ana)
    page = (await ana.http.get(ana.link())).text
    assert '<p class="tier">Regular</p>' in page and " to Silver</span>" in page
    bought = (await ana.counter.market.rows("SELECT eligible_minor FROM sales"))[0][0]
    left = f"${(10_000 - bought) / 100:.2f} to Silver"
    assert f'<progress max="10000" value="{bought}" aria-label="{left}' in page
    assert "What you bought in the last 12 months counts" in page and "Regular is yours until" in page
    assert "What Silver brings you:\nPurchases bring 1.5 times the points.\nFirst to see what is new." in page
    said = "Silver: from $100.00. Purchases bring 1.5 times the points. Reaching it brings 40 points, once."
    assert f"<li>{said}</li>" in page


async def test_a_ladder_of_points_counts_points(ana: Guest) -> None:
    """And whoever is at its top is shown what that brings, and no next step."""
    await _climbs(ana, **{"tiers.by": "points", "tiers.ladder": {"silver": LADDER["silver"] | {"threshold": 1}}})
    page = (await ana.http.get(ana.link())).text
    assert '<h2 id="rank">Silver</h2>' in page and "First to see what is new." in page
    assert "Points you earned with purchases in the last 12 months count." in page and " to Silver" not in page


async def test_a_birthday_is_told_without_its_year_and_not_twice_a_year(ana: Guest) -> None:
    """A slip can be put right for a day; it can be taken back at any time, which is no way to another."""
    merchant, number = ana.counter.stall.merchant, ana.counter.ana

    async def kept() -> str | None:
        return (await ana.context.database.read(lambda: birthday_of(merchant, [number]))).day

    async def tells(**fields: str) -> str:
        page = await ana.at_shop()
        return (await ana.posts_at_shop("/birthday", {**fields, "key": key_in(page, "birthday")})).text

    assert "Your birthday is noted: February 29." in await tells(day="29", month="2")
    assert "Your birthday is noted: March 1." in await tells(day="1", month="3")
    for day, month in (("30", "2"), ("", ""), ("x", "1"), ("0", "0"), ("1", "13")):
        assert "There is no such day" in await tells(day=day, month=month)
    assert await kept() == "03-01"
    ana.counter.market.passes(days=2)
    page = (await ana.at_shop()).text
    assert "Your birthday: March 1." in page and "It can be changed once a year" in page and 'id="day"' not in page
    stale = {"day": "4", "month": "5", "key": key_in(await ana.at_shop(), "birthday")}
    assert "once a year" in (await ana.posts_at_shop("/birthday", stale)).text and await kept() == "03-01"
    assert "no longer kept" in await tells(do="drop") and await kept() is None
    stale["key"] = key_in(await ana.at_shop(), "mails")
    assert (await ana.posts_at_shop("/birthday", stale)).status_code == 422
    assert 'id="day"' not in (await ana.at_shop()).text
    ana.counter.market.passes(days=364)
    assert "is noted: May 4." in await tells(day="4", month="5")
    rows = await ana.counter.market.rows("SELECT detail FROM journal WHERE did LIKE '%birthday%'")
    assert rows and all(row[0] is None for row in rows)


@pytest.mark.parametrize("language", ["de", "fr", "es"])
async def test_every_part_of_the_page_speaks_the_readers_language(ana: Guest, language: str) -> None:
    """With months and days as they write them."""
    await _climbs(ana)
    page = await ana.at_shop(language=language)
    months = {"de": "Oktober", "fr": "octobre", "es": "octubre"}
    assert months[language] in page.text and f'lang="{language}"' in page.text
    now, merchant = ana.context.clock.now(), ana.counter.stall.merchant
    ana.counter.market.passes(days=1)
    await ana.context.database.run(lambda: change_program(merchant, {"earning.hold_days": 7}, now + DAY // 2))
    assert (await ana.at_shop(language=language)).status_code == 200


@pytest.mark.parametrize(("language", "words"), [("en", "$3.20 of $5.00 is left."), ("de", "Noch 3,20")])
async def test_money_of_which_a_part_was_used_says_how_much_is_left(ana: Guest, language: str, words: str) -> None:
    """In the reader's own form; of one that nobody has used there is nothing to say."""
    ana.counter.stall.shop.scopes = ("write_discounts", "write_gift_cards")
    await ana.counter.offers(card={"name": "A card", "kind": "gift_card", "points": 500, "value": "5"})
    mine = await ana.counter.has("card")
    address = f"{ana.link()}?language={language}"
    assert words not in (await ana.http.get(address)).text
    ana.counter.market.pretend.purse(ana.counter.stall.shop).pay_with(mine.code or "", "1.80")
    await ana.counter.looks()
    assert words in (await ana.http.get(address)).text
