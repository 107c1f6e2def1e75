"""People are found by whatever the merchant has at hand, alike on both engines, a page at a time."""

import pytest
from msgspec.structs import replace

from handlers.care.rules import Place, place_of, understand
from handlers.care.store import PAGE, Listed, latest, look_up, search
from integration.clock import DAY
from integration.facts import Buyer, CustomersMerged
from tests.handlers.messages.stage import Stage

SHOP = 1


def buyer(number: int, first: str | None = None, last: str | None = None, email: str | None = None) -> Buyer:
    """Somebody Shopify knows by a number."""
    address = email or f"buyer{number}@home.example"
    return Buyer(platform_id=str(number), email=address, customer_email=address, first_name=first, last_name=last)


async def buys(nora: Stage, order: int, who: Buyer, days_ago: int = 0) -> None:
    sold_at = nora.clock.now() - days_ago * DAY
    await nora.hears(nora.order(str(order), buyer=who, processed_at=sold_at))


async def found(nora: Stage, query: str, after: Place | None = None) -> Listed:
    sought = understand(query)
    assert sought is not None
    return await nora.database.read(lambda: search(SHOP, sought, after))


async def names(nora: Stage, query: str) -> list[str]:
    return [one.name or str(one.email) for one in (await found(nora, query)).people]


QUERIES = {
    "elsa": ["Elsa Berg"],
    "ELSA be": ["Elsa Berg"],
    "berg els": ["Elsa Berg"],
    "  Berg ": ["Elsa Berg", "Ödön Berger"],
    "ödön": ["Ödön Berger"],
    "ÖDÖN BERGER": ["Ödön Berger"],
    "van der": ["Mia van der Meer"],
    "MIA@": ["Mia van der Meer"],
    "mia@sea.example": ["Mia van der Meer"],
    "#1002": ["Ödön Berger"],
    "1002": ["Ödön Berger"],
    "3": ["Mia van der Meer"],
    "71": ["Ödön Berger"],
    "gid://shopify/Customer/72": ["Mia van der Meer"],
    "https://admin.shopify.com/store/nora/customers/72": ["Mia van der Meer"],
}
NOBODY = ("lsa", "%", "_lsa", "elsa%", "e_sa", "*", "' OR 1=1 --", "\\", "cus_nobody1", "x" * 500, "ß")


async def test_people_are_found_by_what_they_go_by(nora: Stage) -> None:
    """By the beginning of a name or an address in any case, or exactly by a number; no character is a wildcard."""
    await buys(nora, 1001, buyer(70, "Elsa", "Berg", "elsa@home.example"))
    await buys(nora, 1002, buyer(71, "Ödön", "Berger", "odon@hill.example"))
    await buys(nora, 1003, buyer(72, "Mia", "van der Meer", "mia@sea.example"))
    assert {query: sorted(await names(nora, query)) for query in QUERIES} == QUERIES
    assert {query: await names(nora, query) for query in NOBODY} == {query: [] for query in NOBODY}


async def test_an_address_nobody_vouches_for_finds_who_gave_it(nora: Stage) -> None:
    """Shopify says it was not confirmed: it names nobody, mail goes there, and the merchant looks for it; once."""
    doubtful = replace(buyer(71, "Cleo", "Berger", "cleo@hill.example"), email_verified=False)
    await buys(nora, 1001, buyer(70, "Elsa", "Berg", "elsa@home.example"))
    await buys(nora, 1002, doubtful)
    assert await nora.rows("SELECT value FROM customer_identities WHERE kind = 'email'") == [("elsa@home.example",)]
    for query in ("cleo@hill.example", "CLEO@", "cleo", "berger"):
        assert await names(nora, query) == ["Cleo Berger"], query
    known = await nora.database.read(lambda: look_up(SHOP, (2,)))
    assert known is not None and known.emails == ("cleo@hill.example",)


async def test_a_row_says_who_it_is_what_they_have_and_what_they_bought_last(nora: Stage) -> None:
    """The two orders of sixty euros are worth sixty points each."""
    elsa = buyer(70, "Elsa", "Berg", "elsa@home.example")
    await buys(nora, 1001, elsa, days_ago=9)
    await buys(nora, 1002, elsa, days_ago=2)
    (one,) = (await found(nora, "elsa")).people
    assert (one.number, one.name, one.email, one.points) == (1, "Elsa Berg", "elsa@home.example", 120)
    assert (one.order, one.sold_at) == ("#1002", nora.clock.now() - 2 * DAY)


async def test_pages_go_on_where_the_last_one_ended_and_show_everybody_once(nora: Stage) -> None:
    """Sixty people whose addresses, first names and last names all begin alike."""
    for number in range(1, 61):
        first, last = ("Ann", f"Lee{number:02}") if number % 2 else (f"Bea{number:02}", "Annis")
        email = f"ann{number}@home.example" if number % 3 else f"bea{number}@home.example"
        await buys(nora, 1000 + number, buyer(100 + number, first, last, email))
    seen: list[int] = []
    page = await found(nora, "ann")
    sizes = [len(page.people)]
    seen += [one.number for one in page.people]
    while page.after is not None:
        text = f"{page.after.range}.{page.after.number}.{page.after.text}"
        page = await found(nora, "ann", place_of(text, 9))
        sizes.append(len(page.people))
        seen += [one.number for one in page.people]
    assert sorted(seen) == list(range(1, 61))
    assert sizes == [PAGE, PAGE, 60 - 2 * PAGE]


async def test_who_was_merged_is_found_under_both_names_as_one_person(nora: Stage) -> None:
    """The number they had before leads to who they are now."""
    await buys(nora, 1001, buyer(70, "Elsa", "Berg", "elsa@home.example"))
    await buys(nora, 1002, buyer(71, "Lisa", "Berg", "lisa@home.example"))
    await nora.hears(CustomersMerged(kept_id="70", gone_id="71"))
    for query in ("lisa", "elsa", "berg", "2", "71", "#1002"):
        assert [one.number for one in (await found(nora, query)).people] == [1], query


async def test_another_shops_people_are_not_found(nora: Stage) -> None:
    """A number, a name or an order of theirs is nothing here."""
    await nora.does(
        "INSERT INTO customers (merchant_id, number, first_name, created_at) VALUES (2, 5, 'Zoe', 1), (2, 1, 'Al', 1)"
    )
    await nora.does("INSERT INTO customer_identities VALUES (2, 'email', 'zoe@x.example', 5), (2, 'shopify', '70', 5)")
    for query in ("zoe", "5", "70", "zoe@x.example", "al"):
        assert (await found(nora, query)).people == [], query


async def test_without_a_query_the_latest_buyers_come_first(nora: Stage) -> None:
    """Each person once, at their latest purchase, page by page; who never bought is not a buyer."""
    people = [buyer(100 + n, f"Buyer{n:02}", "Smith") for n in range(30)]
    for n, who in enumerate(people):
        await buys(nora, 2000 + n, who, days_ago=100 + n)
    for n in range(10):
        await buys(nora, 3000 + n, people[29], days_ago=n)
    first = await nora.database.read(lambda: latest(SHOP))
    second = await nora.database.read(lambda: latest(SHOP, first.after))
    expected = ["Buyer29 Smith", *(f"Buyer{n:02} Smith" for n in range(29))]
    assert [one.name for one in first.people] == expected[:PAGE]
    assert [one.name for one in second.people] == expected[PAGE:]
    assert second.after is None


async def test_a_shop_without_buyers_lists_nobody(nora: Stage) -> None:
    """Nothing is there yet, and nothing follows."""
    assert await nora.database.read(lambda: latest(SHOP)) == Listed([], None)


@pytest.mark.parametrize("query", ["", "   ", "\n\t", "\u200b", "\U0010ffff", "#"])
def test_nothing_to_look_for_is_no_search(query: str) -> None:
    """Blanks and what nobody sees are not looked for; a bare sign finds nobody."""
    sought = understand(query)
    assert sought is None or sought.query == "#"


@pytest.mark.parametrize("text", ["", "x", "1.2", "-1.5.a", "9.1.a", "1.99999999999999999999.a", f"0.1.{'a' * 900}"])
def test_a_place_that_makes_no_sense_is_the_beginning(text: str) -> None:
    """Somebody changed the address: they see the first page."""
    assert place_of(text, 3) is None
