"""What a campaign's collections may be, which goods they take in, and what is looked up for a batch of sales."""

from typing import Any

import pytest

from handlers.account.pages import WORDS
from handlers.account.rules import Reader
from handlers.account.terms import terms
from handlers.merchants.collections import Seen
from handlers.merchants.programs import changed, readable
from handlers.merchants.rules import Program, Refused, Shop, Stay, Version
from handlers.merchants.wording import Reader as Shopkeeper
from handlers.merchants.wording import collections_said, spoken
from handlers.messages.letters import words_file
from handlers.sales.books import LoadedSale
from handlers.sales.goods import with_stays
from handlers.sales.rules import Bonus, SaleFacts
from handlers.sales.worth import worth
from integration.clock import from_iso
from tests.handlers.sales.test_bonus import FRIDAY, earning, on
from tests.handlers.sales.test_worth import line, placed

WINTER = {"name": "Winter", "starts": "2026-11-01", "ends": "2026-12-24", "multiplier": 2, "collections": ["77"]}
NOON = FRIDAY


def shop(*campaigns: dict[str, Any]) -> Shop:
    """A shop whose programme has these campaigns."""
    program = Program(earning=earning(**{f"c{n}": each for n, each in enumerate(campaigns)}))
    return Shop(7, "Hats", "USD", "UTC", None, None, None, frozenset(), (Version(1, 0, program),))


def sale(number: int, facts: SaleFacts) -> LoadedSale:
    """One sale of the shop."""
    return LoadedSale(7, number, facts, NOON)


@pytest.mark.parametrize(
    ("stays", "counts"),
    [
        ([], False),
        ([Stay("77", 0, None)], True),
        ([Stay("78", 0, None)], False),
        ([Stay("77", NOON, None)], True),
        ([Stay("77", NOON + 1, None)], False),
        ([Stay("77", 0, NOON)], False),
        ([Stay("77", 0, NOON + 1)], True),
        ([Stay("77", 0, 9), Stay("77", NOON - 1, None)], True),
    ],
)
def test_a_product_counts_for_the_time_it_lay_in_a_collection_to_the_instant(stays: list[Stay], counts: bool) -> None:
    """From the first instant on, and not at the one at which it was noticed to be gone."""
    facts = on(NOON, line(product_id="9001"))
    found = worth(facts, earning(winter=WINTER), stays={"9001": stays}).bonuses
    assert found == ((Bonus("winter", 10_000),) if counts else ())


def test_a_batch_looks_up_its_goods_in_one_statement_and_only_while_such_a_campaign_runs() -> None:
    """Two hundred orders ask once; without a campaign for collections, or out of its time, nobody asks."""
    orders = [sale(n, on(NOON, line(product_id=f"9{n % 5}"))) for n in range(200)]
    asking = with_stays({7: shop(WINTER)}, orders)
    _, keys = asking.send(None)
    assert keys == [(7, f"9{n}") for n in range(5)]
    with pytest.raises(StopIteration) as done:
        asking.send([(7, "90", "77", 0, None)])
    assert done.value.value[7].stays == {"90": [Stay("77", 0, None)]}
    plain = {key: value for key, value in WINTER.items() if key != "collections"}
    over = sale(1, on(from_iso("2026-12-25T00:00:00Z"), line(product_id="90")))
    for known, sales in ((shop(plain), orders), (shop(), orders), (shop(WINTER), [over, sale(2, placed())])):
        with pytest.raises(StopIteration) as none:
            with_stays({7: known}, sales).send(None)
        assert none.value.value == {}


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("77", ("77",)),
        ("77, gid://shopify/Collection/78", ("77", "78")),
        ("https://admin.shopify.com/store/hats/collections/79", ("79",)),
    ],
)
def test_collections_are_written_as_numbers_ids_or_addresses(written: str, kept: tuple[str, ...]) -> None:
    """By the command as by the page."""
    known = {f"earning.campaigns.winter.{key}": value for key, value in WINTER.items()}
    program = changed(Program(), known | {"earning.campaigns.winter.collections": written})
    assert program.earning.campaigns["winter"].collections == kept
    assert readable(program)["earning"]["campaigns"]["winter"]["collections"] == list(kept)


@pytest.mark.parametrize(
    ("collections", "said"),
    [
        (["winter-goods"], "a collection is its number"),
        ([str(n) for n in range(11)], "at most 10 items"),
    ],
)
def test_what_cannot_be_a_collection_is_refused_in_words(collections: list[str], said: str) -> None:
    """A handle is no number, and ten are the most of one campaign."""
    known = {f"earning.campaigns.winter.{key}": value for key, value in WINTER.items()}
    with pytest.raises(Refused, match=said):
        changed(Program(), known | {"earning.campaigns.winter.collections": collections})


def test_all_campaigns_together_name_fifty_collections_at_most() -> None:
    """What is in each is asked of the shop again and again."""
    many = {f"c{n}": {**WINTER, "collections": [str(100 * n + each) for each in range(10)]} for n in range(6)}
    with pytest.raises(Refused, match="at most 50 collections"):
        changed(Program(), {"earning.campaigns": many})


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (None, "is read from your shop once this is saved"),
        (Seen(None, None, None, None, None), "is being read from your shop"),
        (Seen("Winter goods", 1, 5, 5, None), "“Winter goods”: 1 product."),
        (Seen(None, None, None, None, "gone"), "Your shop has no collection 77"),
        (Seen("Winter goods", 3, 5, 5, "gone"), "was deleted in your shop. What was in it when it was last read"),
        (Seen("Winter goods", 7_400, None, None, "too_big"), "has 7,400 products; a campaign can be for 5,000"),
        (Seen("Winter goods", 3, 5, 5, "refused"), "does not let us read it"),
        (Seen(None, None, None, None, "unconnected"), "no Shopify shop is connected"),
        (Seen(None, None, None, None, "away"), "your shop did not answer"),
    ],
)
def test_what_is_known_of_a_collection_is_said_with_what_it_means(seen: Seen | None, said: str) -> None:
    """Whatever keeps it from being read, the merchant learns it where the campaign is written."""
    program = shop(WINTER).current
    words = collections_said(program, {} if seen is None else {"77": seen}, Shopkeeper("en", "USD"))
    assert said in words["c0"][0]


def test_a_campaign_for_some_goods_says_so_to_shopkeepers_and_customers() -> None:
    """By the collection's own title where that is known; customers read that it is for some products."""
    program = shop(WINTER).current
    words = spoken("earning.campaigns.winter", program.earning.campaigns["c0"], Shopkeeper("en", "USD"))
    assert words.endswith("2 times the points for collection 77")
    named = Shopkeeper("en", "USD", collections={"77": "Winter goods"})
    assert "for the collection “Winter goods”" in spoken(
        "earning.campaigns.winter", program.earning.campaigns["c0"], named
    )
    for language, said in (
        ("en", "Winter: more points for some products until "),
        ("de", "Winter: mehr Punkte für manche Produkte bis "),
        ("fr", "Winter : plus de points pour certains produits jusqu’au "),
        ("es", "Winter: más puntos por algunos productos hasta el "),
    ):
        reader = Reader(words_file(WORDS)[language], language, language, "USD", "UTC", "Hats", {})
        found = terms(reader, shop(WINTER), [], NOON)
        assert found is not None and any(one.startswith(said) for _, lines in found.parts for one in lines)
