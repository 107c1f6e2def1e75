"""The contract of a kind of reward, held against every kind: issued once, taken back once, whatever happens."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest

from config.wiring import REWARDS
from handlers.rewards import changes
from handlers.rewards.kinds import Kind
from handlers.rewards.store import Redemption
from tests.handlers.rewards.counter import SCOPES, Counter

EVERYTHING = (*SCOPES, "write_gift_cards", "read_store_credit_accounts", "write_store_credit_account_transactions")
KINDS = {kind.name: kind for kind in REWARDS}


class Row(NamedTuple):
    """What one kind's row of the contract needs to know of the platform."""

    offer: dict[str, Any]
    there: Callable[[Counter], int]  # how many can be used there
    use: Callable[[Counter, Redemption], None] | None = None  # behind our back
    platform: str = "shopify"
    is_money: bool = False  # used bit by bit


def _codes(counter: Counter) -> int:
    return sum(not each.is_off for each in counter.discounts())


def _use_code(counter: Counter, mine: Redemption) -> None:
    counter.stall.shop.discounts.use(mine.code or "", str(counter.stall.ana.id))
    counter.stall.shop.discounts.count()


def _credit(counter: Counter) -> int:
    purse = counter.market.pretend.purse(counter.stall.shop)
    minor = sum(account.balance(counter.market.clock.now()) for account in purse.accounts) * 100
    return int(minor // 5_00)


def _cards(counter: Counter) -> int:
    cards = counter.market.pretend.purse(counter.stall.shop).cards
    return sum(card.is_on and card.balance == card.value for card in cards)


def _account(counter: Counter) -> Any:
    assert counter.stall.account is not None
    return counter.stall.account


def _promotions(counter: Counter) -> int:
    return sum(each["active"] for each in _account(counter).rewards.all("promotion_code"))


def _balance(counter: Counter) -> int:
    return -_account(counter).objects[counter.ana_at_stripe]["balance"] // 5_00


def _by_hand(counter: Counter) -> int:
    raise AssertionError("what is handed over stands at no platform")


ROWS = {
    "amount_off": Row({"value": "5"}, _codes, _use_code),
    "percentage_off": Row({"percent": "10"}, _codes, _use_code),
    "free_shipping": Row({}, _codes, _use_code),
    "free_product": Row({"value": "24", "products": ["81"]}, _codes, _use_code),
    "store_credit": Row(
        {"value": "5"},
        _credit,
        lambda counter, _: counter.market.pretend.purse(counter.stall.shop).spend(counter.stall.ana.id, "2.00"),
        is_money=True,
    ),
    "gift_card": Row(
        {"value": "5"},
        _cards,
        lambda counter, mine: counter.market.pretend.purse(counter.stall.shop).pay_with(mine.code or "", "2.00"),
        is_money=True,
    ),
    "promotion_code": Row(
        {"value": "5"},
        _promotions,
        lambda counter, mine: _account(counter).rewards.use(mine.code, counter.ana_at_stripe, 50_00),
        "stripe",
    ),
    "balance_credit": Row(
        {"value": "5"},
        _balance,
        lambda counter, _: _account(counter).rewards.pay_invoice(
            _account(counter).objects[counter.ana_at_stripe], 2_00
        ),
        "stripe",
        is_money=True,
    ),
    "by_hand": Row({"instructions": "Show this code at the till."}, _by_hand),
}
ASKED = sorted(name for name, kind in KINDS.items() if kind.platform is not None)


def test_every_kind_has_a_row() -> None:
    """Whoever adds a kind says here how it is seen to be there, and used."""
    assert set(ROWS) == set(KINDS)
    assert all(row.use is not None for name, row in ROWS.items() if name in ASKED)


@pytest.fixture(params=ASKED)
async def row(request: pytest.FixtureRequest, counter: Counter) -> Row:
    """A kind that is offered at 500 points to Ana, whom both platforms know."""
    kind: Kind = KINDS[request.param]
    row = ROWS[kind.name]
    assert kind.platform == row.platform
    counter.stall.shop.scopes = EVERYTHING
    await counter.knows_stripe()
    await counter.offers(five={"name": "5 off", "kind": kind.name, "points": 500, **row.offer})
    return row


@contextmanager
def dropping(counter: Counter, row: Row) -> Iterator[None]:
    """Have the platform do what it is asked, and its answers get lost, retries' too."""
    api: Any = counter.market.pretend if row.platform == "shopify" else counter.market.stripe_api
    api.drop_next = [502] * 12
    yield
    assert len(api.drop_next) < 12, "nothing was dropped"
    api.drop_next = []


@contextmanager
def away(counter: Counter, row: Row) -> Iterator[None]:
    """Have the platform answer nothing."""
    api: Any = counter.market.pretend if row.platform == "shopify" else counter.market.stripe_api
    api.fail_next = [503] * 12
    yield
    api.fail_next = []


async def test_it_is_issued_once(counter: Counter, row: Row) -> None:
    """There is one of it, its points are spent, and asking again changes nothing."""
    mine = await counter.has()
    assert (mine.state, mine.reason) == ("issued", None)
    assert (row.there(counter), await counter.points()) == (1, (500, 0, 500))
    counter.market.passes(days=1)
    assert await counter.asks() == 0
    await counter.is_sound()


async def test_an_answer_that_got_lost_makes_no_second_one(counter: Counter, row: Row) -> None:
    """Done and not heard of, a day ago even, when Stripe has forgotten our key: found, and spent once."""
    wanted = await counter.redeems()
    with dropping(counter, row):
        await counter.asks()
    waiting = await counter.now(wanted)
    assert (waiting.state, await counter.points()) == ("asked", (500, 500, 0))
    for _ in range(4):
        counter.market.passes(hours=26)
        await counter.asks()
    assert ((await counter.now(wanted)).state, row.there(counter)) == ("issued", 1)
    assert await counter.points() == (500, 0, 500)
    await counter.is_sound()


async def test_a_platform_that_is_away_is_asked_later(counter: Counter, row: Row) -> None:
    """The points wait set aside, and there is one in the end."""
    wanted = await counter.redeems()
    with away(counter, row):
        await counter.asks()
    assert ((await counter.now(wanted)).state, row.there(counter)) == ("asked", 0)
    counter.market.passes(minutes=1)
    await counter.asks()
    assert ((await counter.now(wanted)).state, row.there(counter)) == ("issued", 1)


async def test_what_never_comes_to_be_gives_the_points_back(counter: Counter, row: Row) -> None:
    """The platform lets us do nothing of the kind: after some tries the customer has their points again, and why."""
    counter.stall.shop.scopes = ("read_orders",)
    assert counter.market.stripe_api is not None
    counter.market.stripe_api.permissions = {"charge_read"}
    wanted = await counter.redeems()
    for _ in range(8):
        await counter.asks()
        counter.market.passes(hours=2)
    refused = await counter.now(wanted)
    assert (refused.state, await counter.points()) == ("refused", (1_000, 0, 0))
    assert (
        "scope" in (refused.reason or "")
        or "permission" in (refused.reason or "")
        or "give it" in (refused.reason or "")
    )
    await counter.is_sound()


async def test_what_may_be_there_is_never_given_up(counter: Counter, row: Row) -> None:
    """Done and not heard of, then the permission went: the points wait until somebody can look."""
    wanted = await counter.redeems()
    with dropping(counter, row):
        await counter.asks()
    counter.stall.shop.scopes = ("read_orders",)
    assert counter.market.stripe_api is not None
    counter.market.stripe_api.permissions = {"charge_read"}
    for _ in range(8):
        counter.market.passes(hours=2)
        await counter.asks()
    assert ((await counter.now(wanted)).state, await counter.points()) == ("asked", (500, 500, 0))
    counter.stall.shop.scopes, counter.market.stripe_api.permissions = EVERYTHING, None
    for _ in range(2):
        counter.market.passes(hours=2)
        await counter.asks()
    assert ((await counter.now(wanted)).state, row.there(counter)) == ("issued", 1)


async def test_it_is_taken_back_and_then_the_points_are(counter: Counter, row: Row) -> None:
    """Once, though the answer to that gets lost."""
    mine = await counter.has()
    with dropping(counter, row):
        waiting = await counter.cancels(mine)
    assert (waiting.state, await counter.points()) == ("returning", (500, 0, 500))
    for _ in range(3):
        counter.market.passes(hours=26)
        await counter.asks()
    assert ((await counter.now(mine)).state, row.there(counter)) == ("voided", 0)
    assert await counter.points() == (1_000, 0, 0)
    await counter.is_sound()


async def test_what_was_used_is_not_taken_back(counter: Counter, row: Row) -> None:
    """A code is used whole; of money what is left is taken back, and as large a part of the points comes back."""
    mine = await counter.has()
    assert row.use is not None
    row.use(counter, mine)
    over = await counter.cancels(mine)
    assert over.state == "used"
    assert await counter.points() == ((800, 0, 200) if row.is_money else (500, 0, 500))
    assert over.used_minor == (2_00 if row.is_money else 0)
    assert not row.is_money or row.there(counter) == 0
    await counter.is_sound()


async def test_what_lapses_unused_gives_its_points_back(counter: Counter, row: Row) -> None:
    """And cannot be used any more."""
    mine = await counter.has()
    counter.market.passes(days=91)
    await counter.lapses()
    assert ((await counter.now(mine)).state, row.there(counter)) == ("voided", 0)
    assert await counter.points() == (1_000, 0, 0)


async def test_what_is_handed_over_needs_nobody(counter: Counter) -> None:
    """The merchant says when it was used, and until then it can be given back."""
    await counter.offers(five={"name": "A tour", "kind": "by_hand", "points": 500, **ROWS["by_hand"].offer})
    mine = await counter.has()
    assert mine.state == "issued"
    assert (await counter.cancels(mine)).state == "voided"
    second = await counter.has(key="second")
    now = counter.market.clock.now()
    await counter.context.database.run(lambda: changes.handed_over(counter.stall.merchant, second.number, now))
    assert (await counter.now(second)).state == "used"
    assert await counter.points() == (500, 0, 500)
