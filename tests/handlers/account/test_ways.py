"""A customer's page and its terms list what brings points beside purchases, as the rules in force have it."""

import re

import pytest

from handlers.merchants.programs import change_program
from tests.handlers.account.guests import Guest

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
