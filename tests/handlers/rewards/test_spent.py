"""Money that customers have for points: what is used of it is noticed by the hour, and only what is left comes back."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from handlers.rewards.kinds import asking
from handlers.rewards.kinds.balance_credit import left_of
from handlers.rewards.store import Redemption
from tests.handlers.rewards.counter import Counter
from tests.handlers.rewards.test_kinds import EVERYTHING, ROWS, Row, dropping

Use = Callable[[Counter, Redemption, int], None]


def _invoice(counter: Counter, _: Redemption, minor: int) -> None:
    account = counter.stall.account
    assert account is not None
    account.rewards.pay_invoice(account.objects[counter.ana_at_stripe], minor)


def _credit(counter: Counter, _: Redemption, minor: int) -> None:
    counter.market.pretend.purse(counter.stall.shop).spend(counter.stall.ana.id, f"{minor / 100:.2f}")


def _card(counter: Counter, mine: Redemption, minor: int) -> None:
    counter.market.pretend.purse(counter.stall.shop).pay_with(mine.code or "", f"{minor / 100:.2f}")


class Money(NamedTuple):
    """A kind of money that is offered, five for 500 points, and how it is used behind our back."""

    row: Row
    use: Use


@pytest.fixture(params=["balance_credit", "gift_card", "store_credit"])
async def money(request: pytest.FixtureRequest, counter: Counter) -> Money:
    """One kind, known to Ana and to the platform."""
    counter.stall.shop.scopes = EVERYTHING
    await counter.knows_stripe()
    await counter.offers(five={"name": "5", "kind": request.param, "points": 500, "value": "5"})
    use = {"balance_credit": _invoice, "gift_card": _card, "store_credit": _credit}[request.param]
    return Money(ROWS[request.param], use)


async def test_what_is_used_is_noticed_bit_by_bit(counter: Counter, money: Money) -> None:
    """Nobody tells us; within the hour it is known how much is left, and at last that nothing is."""
    mine = await counter.has()
    known = []
    for minor in (0, 1_80, 3_20):
        if minor:
            money.use(counter, mine, minor)
        await counter.looks()
        present = await counter.now(mine)
        known.append((present.state, present.left_minor))
    assert known == [("issued", 5_00), ("issued", 3_20), ("used", 0)]
    assert await counter.points() == (500, 0, 500)
    await counter.is_sound()


async def test_only_what_is_left_is_taken_back_and_points_in_proportion(counter: Counter, money: Money) -> None:
    """Once, though the answer to that gets lost, and whatever is used while it is asked."""
    mine = await counter.has()
    money.use(counter, mine, 1_00)
    await counter.looks()
    money.use(counter, mine, 50)
    with dropping(counter, money.row):
        waiting = await counter.cancels(mine)
    assert (waiting.state, await counter.points()) == ("returning", (500, 0, 500))
    for _ in range(3):
        counter.market.passes(hours=26)
        await counter.looks()
    over = await counter.now(mine)
    assert (over.state, over.used_minor, money.row.there(counter)) == ("used", 1_50, 0)
    assert await counter.points() == (850, 0, 150)
    await counter.is_sound()


async def test_what_is_used_in_the_very_moment_stays_used(
    counter: Counter, money: Money, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the taking back: never money kept and points back."""
    mine = await counter.has()
    real, done = asking.At.shopify, []

    async def shopify(self: Any, name: str, variables: dict[str, Any]) -> Any:
        if name in ("reward_debit", "reward_gift_card_off") and not done:
            done.append(name)
            money.use(counter, mine, 2_00)
        return await real(self, name, variables)

    monkeypatch.setattr(asking.At, "shopify", shopify)
    account = counter.stall.account
    assert account is not None
    book = account.rewards.book

    def books(*asked: Any) -> Any:
        if asked[2].get("regulars_step") == "taken" and not done:
            done.append("taken")
            money.use(counter, mine, 2_00)
        return book(*asked)

    monkeypatch.setattr(account.rewards, "book", books)
    await counter.cancels(mine)
    counter.market.passes(minutes=1)
    await counter.asks()
    over = await counter.now(mine)
    assert (len(done), over.state, over.used_minor, money.row.there(counter)) == (1, "used", 2_00, 0)
    assert await counter.points() == (800, 0, 200)
    await counter.is_sound()


LAPSED = {True: ("used", (800, 0, 200)), False: ("expired", (500, 0, 500))}


@pytest.mark.parametrize("returns", LAPSED)
async def test_what_lapses_in_part_gives_a_part_of_the_points_back_where_the_programme_says_so(
    counter: Counter, money: Money, returns: bool
) -> None:
    """As for a code that nobody has used."""
    await counter.sets(rewards={"return_expired": returns})
    mine = await counter.has()
    money.use(counter, mine, 2_00)
    counter.market.passes(days=91)
    await counter.lapses()
    over = await counter.now(mine)
    assert (over.state, await counter.points()) == LAPSED[returns]
    assert over.used_minor == 2_00
    await counter.is_sound()


async def test_a_platform_that_is_away_is_looked_at_later(counter: Counter, money: Money) -> None:
    """Nothing is known better by then, and nothing is taken back."""
    mine = await counter.has()
    money.use(counter, mine, 1_00)
    assert counter.market.stripe_api is not None
    counter.market.pretend.fail_next = [503] * 9
    counter.market.stripe_api.fail_next = [503] * 9
    await counter.looks()
    assert (await counter.now(mine)).left_minor == 5_00
    counter.market.pretend.fail_next, counter.market.stripe_api.fail_next = [], []
    for _ in range(2):
        await counter.looks()
    assert (await counter.now(mine)).left_minor == 4_00


async def test_credit_of_two_rewards_is_not_mixed_up(counter: Counter) -> None:
    """What is taken back comes off whatever lapses first at the shop: the other reward's is there all the same."""
    counter.stall.shop.scopes = EVERYTHING
    await counter.offers(five={"name": "5", "kind": "store_credit", "points": 100, "value": "5"})
    first = await counter.has()
    counter.market.passes(days=1)
    second = await counter.has(key="second")
    assert (await counter.cancels(second)).state == "voided"
    await counter.looks()
    known = await counter.now(first)
    assert (known.state, known.left_minor) == ("issued", 5_00)
    _credit(counter, first, 2_00)
    await counter.looks()
    assert (await counter.now(first)).left_minor == 3_00
    over = await counter.cancels(await counter.now(first))
    assert (over.state, over.used_minor, ROWS["store_credit"].there(counter)) == ("used", 2_00, 0)
    assert await counter.points() == (960, 0, 40)


async def test_a_card_that_the_merchant_deactivates_gives_the_points_of_what_was_left_back(counter: Counter) -> None:
    """Nobody can use it any more."""
    counter.stall.shop.scopes = EVERYTHING
    await counter.offers(five={"name": "5", "kind": "gift_card", "points": 500, "value": "5"})
    mine = await counter.has()
    _card(counter, mine, 2_00)
    counter.market.pretend.purse(counter.stall.shop).cards[0].is_on = False
    await counter.looks()
    assert ((await counter.now(mine)).state, await counter.points()) == ("used", (800, 0, 200))


def move(amount: int, balance: int, step: str = "", code: str = "A", kind: str = "adjustment") -> dict[str, Any]:
    """One movement of a balance at Stripe."""
    notes = {"regulars_reward": code, "regulars_step": step} if step else {}
    return {"amount": amount, "ending_balance": balance, "type": kind, "metadata": notes}


GIVEN, INVOICE = move(-500, -500, "given"), "applied_to_invoice"


@pytest.mark.parametrize(
    ("moves", "left"),
    [
        ([GIVEN], 500),
        ([GIVEN, move(180, -320, kind=INVOICE)], 320),
        # What was there before is used first; what comes later is not.
        ([move(-500, -800, "given"), move(400, -400, kind=INVOICE)], 400),
        ([GIVEN, move(-300, -800), move(400, -400, kind=INVOICE)], 100),
        # Somebody who owes pays with what comes.
        ([move(-500, -300, "given")], 300),
        # An invoice that is given up gives back where it took last.
        ([GIVEN, move(400, -100, kind=INVOICE), move(-400, -500, kind="unapplied_from_invoice")], 500),
        # What is taken back for another reward comes off its own.
        ([GIVEN, move(-500, -1000, "given", "B"), move(500, -500, "taken", "B")], 500),
        # An invoice came first: who would owe gets it back, and it was used.
        ([GIVEN, move(300, -200, kind=INVOICE), move(500, 300, "taken"), move(-300, 0, "kept")], 0),
    ],
)
def test_what_is_left_of_one_credit_on_a_balance(moves: list[dict[str, Any]], left: int) -> None:
    """Stripe keeps one sum; the oldest credit is used first."""
    assert left_of(moves[::-1])["A"] == left
