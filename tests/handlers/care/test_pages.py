"""What the merchant sees of customers: only their own, escaped, once written down, and letters as they looked."""

import json
import re
from typing import Any

import pytest

from handlers.care.pages import letter_address
from handlers.merchants.frame import Visit
from integration.clock import DAY, HOUR, MINUTE
from tests.handlers.messages.stage import Stage
from tests.visits import NORA, OTTO, House

EVIL = "<script>alert(1)</script>"


@pytest.fixture
async def house(database: Any) -> House:
    """Nora's and Otto's shops; Elsa, who bought at Nora's, has a name that is out for mischief."""
    house = await House(database).open()
    await house.does(
        "INSERT INTO customers (merchant_id, number, first_name, last_name, email, locale, country, created_at)"
        " VALUES (1, 1, ?1, 'Berg', 'elsa@home.example', 'en', 'FR', 5), (1, 2, 'Lisa', 'Berg', NULL, NULL, NULL, 5),"
        " (2, 9, 'Olga', 'Hat', 'olga@home.example', 'en', 'FR', 5)",
        EVIL,
    )
    await house.does("UPDATE customers SET merged_into = 1 WHERE merchant_id = 1 AND number = 2")
    await house.does("INSERT INTO customer_identities VALUES (1, 'email', 'elsa@home.example', 1)")
    await house.does(
        "INSERT INTO reviews (merchant_id, sale, line, customer, product_title, stars, words, written_at)"
        " VALUES (1, 1, '1', 1, ?1, 4, ?1, 7)",
        EVIL,
    )
    await house.does(
        "INSERT INTO messages (merchant_id, key, kind, customer, channel, state, due_at, next_attempt_at, details,"
        " created_at) VALUES (1, 'points_adjusted:a', 'points_adjusted', 1, 'email', 'scheduled', 9, 9,"
        " ?1, 9)",
        '{"points":5,"reason":"' + EVIL + ' & more"}',
    )
    return house


async def looks(house: House) -> list[tuple[Any, ...]]:
    return await house.rows("SELECT who, what, customer FROM looks WHERE merchant_id = 1 ORDER BY at, what")


async def test_one_person_has_one_page_and_nothing_they_wrote_becomes_code(house: House) -> None:
    """Names, products and reviews are text wherever they stand."""
    nora = await house.signed_in()
    page = await nora.get("/app/customers/1")
    assert page.status_code == 200
    assert "elsa@home.example" in page.text and "4 of 5 stars for" in page.text
    assert "&lt;script&gt;alert(1)" in page.text and EVIL not in page.text
    listed = await nora.get("/app/customers?q=%3Cscript")
    assert EVIL not in listed.text and "&lt;script&gt;alert(1)" in listed.text


async def test_a_look_is_written_down_once_for_an_hour_of_looking(house: House) -> None:
    """At a person, at a search, at the list: each by who looked."""
    nora, staff = await house.signed_in(), house.embedded(user_id="7")
    for _ in range(3):
        await nora.get("/app/customers/1")
        await nora.get("/app/customers?q=elsa")
    assert await looks(house) == [("link:nora", "customer", 1), ("link:nora", "customer search", None)]
    await staff.get("/app/customers/1")
    house.clock.instant += 61 * MINUTE
    await nora.get("/app/customers/1")
    assert [row[:2] for row in await looks(house)].count(("link:nora", "customer")) == 2
    assert ("shopify:7", "customer", 1) in await looks(house)
    await nora.get("/app/customers?q=nobody-at-all")
    await nora.get("/app/customers/777")
    assert len(await looks(house)) == 4


async def test_who_is_not_a_customer_of_this_shop_is_not_there(house: House) -> None:
    """Another shop's customer is as absent as one that never was."""
    nora = await house.signed_in()
    for number in ("9", "0", "abc", "1e3", "-1", "9" * 40, "١", "1/nothing"):
        answer = await nora.get(f"/app/customers/{number}")
        assert answer.status_code == 404, number
        assert "olga" not in answer.text.lower()


async def test_a_number_that_was_merged_leads_to_who_it_means(house: House) -> None:
    """Old links go on working."""
    nora = await house.signed_in()
    answer = await nora.get("/app/customers/2")
    assert (answer.status_code, answer.headers["location"]) == (302, "/app/customers/1")


async def test_a_letter_is_shown_in_a_frame_where_nothing_runs_and_no_link_leads_anywhere(house: House) -> None:
    """By a signed address that dies, without a cookie, for this message alone."""
    nora = await house.signed_in()
    page = await nora.get("/app/customers/1")
    frame = re.search(r'<iframe class="letter" src="([^"]+)"[^>]* sandbox ', page.text)
    assert frame is not None
    stranger = house.stranger()
    letter = await stranger.get(frame[1])
    assert letter.status_code == 200
    policy = letter.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'; style-src 'unsafe-inline'") and "script-src" not in policy
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in letter.text and EVIL not in letter.text
    assert set(re.findall(r'href="([^"]*)"', letter.text)) <= {"#"}
    assert (await stranger.get(frame[1][:-2] + "xx")).status_code == 404
    house.clock.instant += 5 * HOUR
    assert "load the page again" in (await stranger.get(frame[1])).text


async def test_a_letter_that_has_gone_out_is_shown_as_it_was(database: Any) -> None:
    """Whatever the words, the name and the order are by now; its links are not kept."""
    nora = await Stage(database).open()
    seen = nora.order()
    await nora.hears(seen, nora.parcel())
    await nora.later(30 * DAY)
    assert {mail["Subject"] for mail in nora.mails}
    browser = nora.browser()
    shop = "nora.myshopify.com"
    visit = Visit(NORA, "Nora's Tea", "EUR", "Europe/Paris", "en", "shopify:7", shop, True, proof="0")
    address = letter_address(nora.context.vault, visit, "review_request:sale:1", nora.clock.now())
    as_sent = (await browser.get(address)).text
    assert "High Mountain Oolong" in as_sent and "Elsa" in as_sent
    assert set(re.findall(r'href="([^"]*)"', as_sent)) == {"#"}
    await nora.set({"messages": {"words": {"review_request": {"en": {"subject": "x", "body": "quite other words"}}}}})
    await nora.does("UPDATE customers SET first_name = 'Elisabeth', name_at = name_at + 1")
    assert (await browser.get(address)).text == as_sent


async def test_before_anybody_has_bought_the_list_says_what_will_be_there(house: House) -> None:
    """Otto sold nothing yet; and a search for nobody says how to search."""
    otto = await house.signed_in(OTTO)
    assert "No customers yet" in (await otto.get("/app/customers")).text
    assert "Nobody found" in (await otto.get("/app/customers?q=zzz")).text


async def test_a_person_s_page_says_which_tier_until_when_and_what_is_missing(house: House) -> None:
    """By what they bought and by hand, as the clock has it now."""
    tiers = {
        "enabled": True,
        "ladder": {"all": {"name": "Friend", "threshold": 0}, "gold": {"name": "Gold & co", "threshold": 300}},
    }
    await house.does(
        "INSERT INTO program_versions (merchant_id, version, in_force_at, created_at, document)"
        " VALUES (1, 9, 5, 5, ?1)",
        json.dumps({"tiers": tiers}),
    )
    await house.does(
        "INSERT INTO tier_grants (merchant_id, customer, at, tier, is_floor, until, who, reason)"
        " VALUES (1, 1, 6, 'all', 1, NULL, 'link:nora', 'a friend')"
    )
    nora = await house.signed_in()
    page = (await nora.get("/app/customers/1")).text
    assert "Friend" in page and "€300.00 to Gold &amp; co: €0.00 of €300.00 spent in the last 12 months." in page
