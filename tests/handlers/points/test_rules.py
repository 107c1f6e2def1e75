"""How many points a sale should be worth, where they stand, and the postings that get there."""

from decimal import Decimal

import pytest

from handlers.merchants.rules import Earning, Program, Shop, Version
from handlers.points.rules import ISSUED, Move, Target, explain, micropoints, moves, target
from handlers.sales.rules import Sale, SaleFacts, Worth
from integration.clock import DAY, to_datetime

NOON = 1_790_000_000_000_000


def sale(worth: Worth, *, customer: int | None = 7, twin: int | None = None, **earning: object) -> Sale:
    """One sale of Ann's shop, sold at noon under a programme that earns a point a dollar."""
    program = Program.model_validate({"earning": {"enabled": True, "points_per_unit": "1", **earning}})
    version = Version(1, 0, program)
    shop = Shop(1, "Ann's", "USD", "UTC", "US", None, None, frozenset({"shopify"}), (version,))
    return Sale(shop, 1, (), twin, SaleFacts(), worth, version, customer, NOON, 1)


def counted(eligible: int = 5_000, **changes: object) -> Worth:
    """A paid sale of 50.00 dollars."""
    known = {"standing": "counted", "currency": "USD", "sold_at": NOON, "eligible_minor": eligible}
    return Worth(**{**known, **changes})  # type: ignore[arg-type]


def test_points_are_pending_until_the_hold_ends_to_the_microsecond() -> None:
    """Release needs no event, only a later look at the clock."""
    one = sale(counted(), hold_days=30)
    end = NOON + 30 * DAY
    assert target(one, end - 1) == Target({"customer:7:pending": 50_000_000}, end)
    assert target(one, end) == Target({"customer:7:available": 50_000_000}, None)


def test_fractions_of_points_are_kept_exactly() -> None:
    """30.50 and 19.50 at one point a unit make 50, and giving either back leaves exactly the other."""
    rate = Earning(points_per_unit=Decimal(1))
    assert micropoints(3_050, "USD", rate, Decimal(1)) + micropoints(1_950, "USD", rate, Decimal(1)) == 50_000_000


@pytest.mark.parametrize(
    ("minor", "currency", "rate", "expected"),
    [
        (500, "JPY", "1", 500_000_000),
        (5_120, "KWD", "1", 5_120_000),
        (1, "USD", "0.000001", 0),
        (100, "USD", "0.000001", 1),
        (999_999_999_999, "USD", "1000000", 9_999_999_999_990_000_000_000),
        (3_333, "USD", "1.5", 49_995_000),
    ],
)
def test_the_rate_meets_minor_units_of_every_currency_exactly(
    minor: int, currency: str, rate: str, expected: int
) -> None:
    """Only what is below a micropoint is dropped."""
    assert micropoints(minor, currency, Earning(points_per_unit=Decimal(rate)), Decimal(1)) == expected


def test_another_currency_earns_by_the_merchants_rate_or_not_at_all() -> None:
    """Points are never added across currencies without a rate."""
    euros = counted(1_000, currency="EUR")
    assert target(sale(euros, hold_days=0, rates={"EUR": "1.1"}), NOON).balances == {"customer:7:available": 11_000_000}
    assert target(sale(euros, hold_days=0), NOON).balances == {}


def test_the_disputed_share_is_held_and_the_lost_share_is_gone() -> None:
    """A dispute of 20 of 50 holds 20; lost, 30 remain."""
    assert target(sale(counted(disputed_minor=2_000), hold_days=0), NOON).balances == {
        "customer:7:disputed": 20_000_000,
        "customer:7:available": 30_000_000,
    }
    assert target(sale(counted(lost_minor=2_000), hold_days=0), NOON).balances == {"customer:7:available": 30_000_000}


def test_a_test_sale_fills_the_sandbox_ledger_only() -> None:
    """The whole flow runs, and nothing real is earned."""
    assert target(sale(counted(test=True), hold_days=0), NOON).balances == {"test:customer:7:available": 50_000_000}


def test_a_sale_without_a_customer_is_unclaimed() -> None:
    """Points wait for whoever turns out to have bought."""
    assert target(sale(counted(), customer=None, hold_days=0), NOON).balances == {"unclaimed:available": 50_000_000}


@pytest.mark.parametrize(
    "one",
    [
        sale(counted(standing="elsewhere"), twin=2),
        sale(counted(standing="cancelled")),
        sale(counted(), enabled=False),
    ],
)
def test_a_sale_that_may_not_earn_has_no_target_and_says_why(one: Sale) -> None:
    """Every refusal is a sentence."""
    assert target(one, NOON).balances == {}
    assert explain(one, {}, NOON)[-2].endswith(".")


def test_the_difference_is_posted_between_accounts_before_new_points_are_issued() -> None:
    """A release is one entry, not a reversal and an accrual."""
    held, free = "customer:7:pending", "customer:7:available"
    assert moves({held: 50, ISSUED: -50}, Target({free: 50})) == [Move(held, free, 50, "release")]
    assert moves({free: 50, ISSUED: -50}, Target({free: 30})) == [Move(free, ISSUED, 20, "reversal")]
    assert moves({}, Target({free: 50})) == [Move(ISSUED, free, 50, "accrual")]
    assert moves({free: 50, ISSUED: -50}, Target({free: 50})) == []


def test_any_difference_is_posted_completely() -> None:
    """Whatever is posted, the postings listed lead exactly to the target, each with a positive amount."""
    names = ["customer:1:pending", "customer:1:available", "customer:2:available", "unclaimed:pending"]
    for seed in range(200):
        posted = {name: (seed * (n + 3)) % 17 - 4 for n, name in enumerate(names)}
        aim = {name: (seed * (n + 5)) % 13 for n, name in enumerate(names) if (seed + n) % 3}
        balances = {**posted, ISSUED: -sum(posted.values())}
        for move in moves(balances, Target(aim)):
            assert move.micropoints > 0
            balances[move.source] = balances.get(move.source, 0) - move.micropoints
            balances[move.destination] = balances.get(move.destination, 0) + move.micropoints
        assert {n: b for n, b in balances.items() if b and n != ISSUED} == {n: b for n, b in aim.items() if b}


def test_an_unclaimed_sale_moves_to_its_customer_in_one_posting() -> None:
    """Claiming is a move between accounts with a name of its own."""
    assert moves({"unclaimed:available": 50}, Target({"customer:7:available": 50})) == [
        Move("unclaimed:available", "customer:7:available", 50, "claim")
    ]


def test_the_why_names_the_amount_the_rate_the_version_and_the_hold() -> None:
    """A merchant can read for every sale what was earned and when it is theirs."""
    words = " ".join(
        explain(sale(counted(), hold_days=30), {"customer:7:pending": 50_000_000, ISSUED: -50_000_000}, NOON)
    )
    for part in ("50.00 USD", "× 1 point", "= 50 points", "programme version 1", "pending until", "30 days"):
        assert part in words, words
    assert "differs" not in words
    day = "They are pending until {}, when the hold of 30 days ends."
    ends = to_datetime(NOON + 30 * DAY)
    assert day.format(f"{ends.day} {ends:%B %Y}") in words, "a day as people write it, in the shop's own time zone"
