"""A customer's page and its terms list what brings points beside purchases, as the rules in force have it."""

import re

import pytest

from handlers.earning.jobs import look_due
from handlers.earning.store import join
from handlers.merchants.programs import change_program
from tests.handlers.account.guests import Guest, key_in

EVERY = {
    "ways.sign_up": True,
    "ways.birthday": True,
    "ways.birthday_points": 1_234,
    "ways.first_order": True,
    "ways.milestones": True,
    "ways.milestone_points": {"3": 40, "10": 250},
    "ways.anniversary": True,
}


async def _sets(ana: Guest, days: int = 1, **changes: object) -> None:
    ana.counter.market.passes(days=days)
    now, merchant = ana.context.clock.now(), ana.counter.stall.merchant
    await ana.context.database.run(lambda: change_program(merchant, changes, now))
    ana.counter.market.passes(minutes=1)


def _listed(page: str) -> list[tuple[str, str]]:
    """What the page's own section says: each way with what it brings."""
    if 'aria-labelledby="ways"' not in page:
        return []
    section = page.partition('aria-labelledby="ways"')[2].partition("</section>")[0]
    return re.findall(r'class="what">([^<]*)<.*?class="change">(.*?)</span>', section)


async def test_each_way_that_is_on_is_listed_with_what_it_brings(ana: Guest) -> None:
    """And those that are off are not; nor is what the shop gives of its own accord."""
    assert _listed((await ana.at_shop()).text) == []
    await _sets(ana, **EVERY)
    for page in (await ana.at_shop(), await ana.http.get(ana.link()), await ana.at_shop(who="")):
        assert _listed(page.text) == [
            ("Opening an account", "100 points"),
            ("Your first order", "100 points"),
            ("Order number 3", "40 points"),
            ("Order number 10", "250 points"),
            ("Your birthday", "1,234 points"),
            ("Every year since your first order", "100 points"),
        ]
        assert "if you told it here at least 30 days before." in page.text
        assert "5,000" not in page.text
    await _sets(ana, **{"ways.sign_up": False, "ways.milestones": False, "ways.birthday_notice_days": 0})
    page = (await ana.at_shop()).text
    assert [title for title, _ in _listed(page)] == [
        "Your first order",
        "Your birthday",
        "Every year since your first order",
    ]
    assert "if you told it here before." in page


async def test_terms_change_with_the_rules_and_say_from_when(ana: Guest) -> None:
    """A way stands there from when it has been as it is; a change of another setting leaves its day as it is."""
    started = await _terms(ana)
    await _sets(ana, **{"ways.birthday": True, "ways.first_order": True})
    first = await _terms(ana)
    assert first["version"] != started["version"]
    [birthday] = [one for one in first["sentences"] if one.startswith("Your birthday: 100 points. Once in twelve")]
    [order] = [one for one in first["sentences"] if one.startswith("Your first order: 100 points.")]
    assert birthday.endswith(f" For what happens from {first['day']} on.")
    assert first["said"] == [order, birthday] and first["gone"] == []
    await _sets(ana, days=3, **{"ways.birthday_points": 200})
    second = await _terms(ana)
    assert order in second["sentences"] and birthday not in second["sentences"]
    [dearer] = [one for one in second["sentences"] if one.startswith("Your birthday: 200 points.")]
    assert dearer.endswith(f" For what happens from {second['day']} on.") and second["day"] != first["day"]
    assert second["said"] == [dearer] and second["gone"] == [birthday]
    await _sets(ana, days=3, **{"ways.birthday": False})
    third = await _terms(ana)
    assert third["said"] == [] and third["gone"] == [dearer] and third["version"] != second["version"]


async def test_what_is_no_business_of_customers_makes_no_other_terms(ana: Guest) -> None:
    """What a way that is off would bring, and how much the shop may give away by hand."""
    before = await _terms(ana)
    await _sets(ana, **{"ways.sign_up_points": 5, "ways.birthday_notice_days": 3, "ways.goodwill_at_once": 10})
    assert (await _terms(ana))["version"] == before["version"]


@pytest.mark.parametrize(
    ("language", "heading"),
    [
        ("de", "Weitere Wege zu Punkten"),
        ("fr", "D’autres façons de gagner des points"),
        ("es", "Más formas de ganar puntos"),
    ],
)
async def test_ways_are_said_in_the_readers_language(ana: Guest, language: str, heading: str) -> None:
    """Every one of them, with its rule."""
    await _sets(ana, **EVERY)
    page = (await ana.at_shop(language=language)).text
    assert heading in page and len(_listed(page)) == 6 and "1.234" in page.replace("\u202f", ".")
    assert "{" not in page.partition('aria-labelledby="ways"')[2].partition("</section>")[0]


async def _terms(ana: Guest) -> dict[str, list[str] | str]:
    page = (await ana.at_shop()).text
    terms = page.partition("<h2>How it works</h2>")[2].partition("</details>")[0]
    rules, _, changes = terms.partition("What has changed")
    newest = re.search(r"Since (.*?):</p>(.*?)</ul>", changes, re.S)
    said = re.findall(r"<li>(.*?)</li>", newest[2]) if newest else []
    gone = (
        [one.removeprefix("Before: ") for one in re.findall(r'<li class="soft">(.*?)</li>', newest[2])]
        if newest
        else []
    )
    [version] = re.findall(r'class="hint">(Rules.*?)<', rules)
    return {
        "version": version,
        "sentences": re.findall(r"<li>(.*?)</li>", rules),
        "day": newest[1] if newest else "",
        "said": said,
        "gone": gone,
    }


async def test_a_letters_page_says_where_an_account_is_opened(ana: Guest) -> None:
    """At the shop, which alone knows accounts; who has had its points, or is signed in there, is told nothing."""
    at = f'href="https://{ana.counter.stall.shop.domain}/account/login"'
    assert at not in (await ana.http.get(ana.link())).text
    await _sets(ana, **{"ways.sign_up": True})
    assert at in (await ana.http.get(ana.link())).text
    assert at in (await ana.comes_in()).text
    assert at not in (await ana.at_shop()).text
    merchant, who, now = ana.counter.stall.merchant, ana.counter.ana, ana.context.clock.now()
    await ana.context.database.run(lambda: join((merchant, who), now, now))
    await look_due(ana.context)
    page = (await ana.http.get(ana.link())).text
    assert at not in page and "For opening an account" in page


async def test_who_tells_a_birthday_may_agree_to_be_written_to(ana: Guest) -> None:
    """Only where the shop writes on such days, only by their own hand, and it can be taken back below."""
    assert 'name="greet"' not in (await ana.at_shop()).text
    await _sets(ana, **{"ways.birthday": True, "ways.tell_days": True})
    page = await ana.at_shop()
    assert '<input type="checkbox" id="greet" name="greet" value="yes">' in page.text
    told = {"day": "1", "month": "3", "key": key_in(page, "birthday")}
    await ana.posts_at_shop("/birthday", told)
    assert await _agreed(ana) == []
    page = await ana.at_shop()
    await ana.posts_at_shop("/birthday", {**told, "greet": "yes", "key": key_in(page, "birthday")})
    assert await _agreed(ana) == ["subscribed"]
    page = await ana.at_shop()
    assert "greet" not in page.text
    await ana.posts_at_shop("/mails", {"wanted": "stop", "key": key_in(page, "mails")})
    assert await _agreed(ana) == ["unsubscribed"]
    ana.counter.market.passes(days=2)
    page = await ana.at_shop()
    assert 'name="greet"' not in page.text and 'value="greet"' in page.text
    answer = await ana.posts_at_shop("/mails", {"wanted": "greet", "key": key_in(page, "mails")})
    assert answer.status_code == 200 and await _agreed(ana) == ["subscribed"]
    rows = await ana.counter.market.rows("SELECT who, did FROM journal WHERE did LIKE 'agreed%'")
    assert [tuple(row) for row in rows] == [("customer", "agreed to marketing mail")] * 2


async def _agreed(ana: Guest) -> list[str]:
    """What Ana's address says of mail."""
    rows = await ana.counter.market.rows(
        "SELECT state FROM consents WHERE merchant_id = :m AND address = :a",
        m=ana.counter.stall.merchant,
        a=ana.counter.stall.ana.email,
    )
    return [row[0] for row in rows]
