"""Which campaign gives more for what of a sale, by its own time, and what every share of it earns then."""

from decimal import Decimal

import pytest

from handlers.merchants.rules import Earning, Program, Shop, Version
from handlers.points.rules import earned, explain, target
from handlers.sales.rules import Bonus, Sale, SaleFacts, Worth
from handlers.sales.worth import worth
from integration.clock import from_iso
from integration.facts import Dispute, OrderRefund, RefundLine
from tests.handlers.sales.test_worth import charged, line, placed

FRIDAY = from_iso("2026-11-27T12:00:00Z")
BLACK_FRIDAY = {"name": "Black Friday", "starts": "2026-11-27", "ends": "2026-11-30", "multiplier": 2}
CUPS = {"name": "Cups", "starts": "2026-11-01", "ends": "2026-12-24", "extra_per_unit": 5, "products": ["9002"]}
ONE = Decimal(1)


def earning(**campaigns: object) -> Earning:
    """A point a dollar, with campaigns by the clocks of Greenwich."""
    return Earning.model_validate({"enabled": True, "points_per_unit": 1, "hold_days": 0, "campaigns": campaigns})


def sold(facts: SaleFacts, rules: Earning) -> int:
    """What a sale of Friday noon earns, in micropoints."""
    value = worth(facts, rules)
    return earned(value.eligible_minor - value.lost_minor, value, rules, ONE)


def on(moment: int, *lines: object, **changes: object) -> SaleFacts:
    """An order of that moment."""
    return placed(*lines, processed_at=moment, updated_at=moment, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("moment", "points"),
    [
        ("2026-11-26T23:59:59Z", 100),
        ("2026-11-27T00:00:00Z", 200),
        ("2026-11-30T23:59:59Z", 200),
        ("2026-12-01T00:00:00Z", 100),
    ],
)
def test_a_campaign_counts_by_the_sales_own_time_to_the_second(moment: str, points: int) -> None:
    """The first second is part of it, the one after the last day is not."""
    assert sold(on(from_iso(moment)), earning(bf=BLACK_FRIDAY)) == points * 1_000_000


def test_a_campaign_for_some_goods_leaves_the_others_at_the_base_rate() -> None:
    """Two shirts at 50.00 and one cup at 10.00: 100 and 60."""
    facts = on(FRIDAY, line(product_id="9001"), line(id="12", quantity=1, current_quantity=1, price_minor=1_000,
                                                     product_id="9002"))  # fmt: skip
    assert worth(facts, earning(cups=CUPS)).bonuses == (Bonus("cups", 1_000),)
    assert sold(facts, earning(cups=CUPS)) == 160_000_000


def test_of_several_campaigns_the_one_that_gives_most_counts_alone_for_each_piece() -> None:
    """Shirts get Black Friday's two points; cups the six of their own campaign, not seven or twelve."""
    facts = on(FRIDAY, line(product_id="9001"), line(id="12", quantity=1, current_quantity=1, price_minor=1_000,
                                                     product_id="9002"))  # fmt: skip
    rules = earning(bf=BLACK_FRIDAY, cups=CUPS, weak={**BLACK_FRIDAY, "multiplier": "1.5"})
    assert worth(facts, rules).bonuses == (Bonus("bf", 10_000), Bonus("cups", 1_000))
    assert sold(facts, rules) == 260_000_000


@pytest.mark.parametrize(
    ("asks", "order", "points"),
    [
        ({"tags": ["VIP"]}, {"tags": ("vip", "new")}, 200),
        ({"tags": ["VIP"]}, {"tags": ("new",)}, 100),
        ({"channels": ["POS"]}, {"source_name": "pos"}, 200),
        ({"channels": ["pos"]}, {"source_name": "web"}, 100),
        ({"tags": ["vip"], "channels": ["pos"]}, {"tags": ("vip",), "source_name": "web"}, 100),
    ],
)
def test_a_campaign_for_some_orders_asks_for_a_tag_and_a_channel(
    asks: dict[str, object], order: dict[str, object], points: int
) -> None:
    """One of the tags, compared without case, and one of the channels, where it names any."""
    assert sold(on(FRIDAY, **order), earning(bf=BLACK_FRIDAY | asks)) == points * 1_000_000


def test_what_is_excluded_earns_nothing_in_a_campaign_either() -> None:
    """A campaign gives more for what earns; it does not make anything earn."""
    rules = earning(bf=BLACK_FRIDAY, cups=CUPS)
    cup = on(FRIDAY, line(product_id="9002"), tags=("staff",), source_name="pos")
    for exclusion in (
        {"exclude_products": ("9002",)},
        {"exclude_tags": ("Staff",)},
        {"exclude_channels": ("POS",)},
    ):
        assert sold(cup, rules.model_copy(update=exclusion)) == 0
    assert sold(cup, rules) == 600_000_000


def test_a_payment_without_an_order_has_part_only_in_campaigns_for_everything() -> None:
    """Nothing is known of its goods, its tags or its channel."""
    paid = charged(created_at=FRIDAY)
    assert sold(paid, earning(bf=BLACK_FRIDAY)) == 200_000_000
    assert sold(paid, earning(bf=BLACK_FRIDAY | {"tags": ["vip"]}, cups=CUPS)) == 100_000_000


def test_a_piece_that_goes_back_takes_what_it_brought() -> None:
    """The cup came with six points a dollar, so it goes with six."""
    cup = line(id="12", quantity=1, current_quantity=1, price_minor=1_000, product_id="9002")
    facts = on(FRIDAY, line(product_id="9001"), cup)
    facts.refunds["91"] = OrderRefund("91", FRIDAY, lines=(RefundLine("12", 1, 1_000),))
    assert sold(facts, earning(cups=CUPS)) == 100_000_000


def test_money_given_back_without_lines_comes_off_every_part_alike_and_exactly() -> None:
    """33.00 of 110.00 worth 160 points: seven tenths are left, 112; all of it back is nothing."""
    cup = line(id="12", quantity=1, current_quantity=1, price_minor=1_000, product_id="9002")
    facts = on(FRIDAY, line(product_id="9001"), cup)
    facts.refunds["91"] = OrderRefund("91", FRIDAY, discrepancy_minor=3_300)
    assert sold(facts, earning(cups=CUPS)) == 112_000_000
    facts.refunds["92"] = OrderRefund("92", FRIDAY, discrepancy_minor=7_700)
    assert sold(facts, earning(cups=CUPS)) == 0


def test_fractions_of_a_campaign_are_exact() -> None:
    """0.10 at a third more than a third of a point: only what is below a micropoint is dropped, once, at the end."""
    rules = earning(bf=BLACK_FRIDAY | {"multiplier": "1.333333"}).model_copy(
        update={"points_per_unit": Decimal("0.333333")}
    )
    assert sold(on(FRIDAY, line(price_minor=10)), rules) == int(Decimal("0.333333") * Decimal("1.333333") * 200_000)


def test_a_disputed_share_is_held_at_what_the_campaign_gave() -> None:
    """40.00 of 100.00 under two points a dollar: 80 are held, 120 are free."""
    facts = charged(created_at=FRIDAY)
    facts.disputes["dp"] = Dispute(id="dp", amount_minor=4_000, currency="USD", status="needs_response", told_at=FRIDAY)
    rules = earning(bf=BLACK_FRIDAY)
    assert target(sale(worth(facts, rules), rules), FRIDAY).balances == {
        "customer:7:disputed": 80_000_000,
        "customer:7:available": 120_000_000,
    }


def sale(value: Worth, rules: Earning) -> Sale:
    """A sale of Ann's shop."""
    version = Version(4, 0, Program(earning=rules))
    shop = Shop(1, "Ann's", "USD", "UTC", "US", None, None, frozenset({"shopify"}), (version,))
    return Sale(shop, 1, (), None, SaleFacts(), value, version, 7, FRIDAY, 1)


def test_the_why_names_the_campaign_its_days_and_what_it_gave_for_what() -> None:
    """A merchant can add it up again."""
    rules = earning(cups=CUPS)
    cup = line(id="12", quantity=1, current_quantity=1, price_minor=1_000, product_id="9002")
    facts = on(FRIDAY, line(product_id="9001"), cup)
    words = " ".join(explain(sale(worth(facts, rules), rules), {}, FRIDAY))
    for part in (
        "The campaign “Cups” (2026-11-01 to 2026-12-24) gave 6 points a unit, not 1, for 10.00 USD of the goods.",
        "(10.00 USD × 6 + 100.00 USD × 1) points = 160 points under programme version 4.",
    ):
        assert part in words, words
    facts.refunds["91"] = OrderRefund("91", FRIDAY, discrepancy_minor=3_300)
    words = " ".join(explain(sale(worth(facts, rules), rules), {}, FRIDAY))
    assert "points × 77.00/110.00 = 112 points under" in words, words
    whole = earning(bf=BLACK_FRIDAY)
    words = " ".join(explain(sale(worth(on(FRIDAY), whole), whole), {}, FRIDAY))
    assert "gave 2 points a unit, not 1. 100.00 USD × 2 points = 200 points" in words, words
