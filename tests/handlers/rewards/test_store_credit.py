"""Store credit is never given on a guess: what moved since it was asked for is known, or it waits."""

from collections.abc import Collection
from typing import Any

import pytest

from handlers.merchants.offers import Reward
from handlers.rewards.kinds import Wanted
from handlers.rewards.kinds.store_credit import FEW_MOVES, MOST_MOVES, StoreCredit
from integration.errors import Unavailable
from tests.handlers.rewards.counter import Counter

CREDIT, LAPSE = "StoreCreditAccountCreditTransaction", "StoreCreditAccountExpirationTransaction"
OFFER = Reward.model_validate({"name": "5 credit", "kind": "store_credit", "points": 500, "value": "5"})


class Account:
    """An account at a shop that answers with these movements, the newest first, and notes what it is asked."""

    def __init__(self, *moves: tuple[str | None, str, str]) -> None:
        self.moves = moves
        self.given = 0
        self.mark: str | None = None

    async def shopify(self, document: str, variables: dict[str, Any]) -> dict[str, Any]:
        if document == "reward_credit":
            self.given += 1
            return {"storeCreditAccountCredit": {"storeCreditAccountTransaction": {"id": "new"}, "userErrors": []}}
        nodes = [
            {"id": name, "__typename": kind, "event": "ADJUSTMENT", "amount": {"amount": amount}}
            for name, kind, amount in self.moves[: variables["first"]]
        ]
        account = {"id": "a", "balance": {"currencyCode": "USD"}, "transactions": {"nodes": nodes}}
        return {"customer": {"storeCreditAccounts": {"nodes": [account]}}}

    async def stripe(self) -> Any:
        raise AssertionError("store credit is not asked of Stripe")

    async def note(self, mark: str, of: Collection[int] = ()) -> None:
        self.mark = mark


def wanted(mark: str | None) -> Wanted:
    """Five of store credit for customer 7, asked for when the account stood at `mark`."""
    return Wanted(1, 1, OFFER, 5_00, "USD", "CODE", "7", 0, None, None, None, 0, mark)


async def test_what_was_noted_and_is_not_there_is_no_ground_to_give_again() -> None:
    """Whether something like ours is among the newest or not: nobody knows what came since."""
    for moves in ([("9", CREDIT, "5.00")], [("9", CREDIT, "7.00")]):
        account = Account(*moves)
        with pytest.raises(Unavailable, match="too often"):
            await StoreCredit().issue(account, wanted("8"), True)
        assert account.given == 0


async def test_a_full_list_since_nothing_tells_nothing() -> None:
    """The account had no movement when it was noted, and has had as many as are read since."""
    account = Account(*((str(n), CREDIT, "7.00") for n in range(MOST_MOVES, 0, -1)))
    with pytest.raises(Unavailable):
        await StoreCredit().issue(account, wanted("nothing"), True)


async def test_what_came_since_is_ours() -> None:
    """One of our amount, above what was noted."""
    account = Account(("9", CREDIT, "5.00"), ("8", CREDIT, "5.00"))
    issued = await StoreCredit().issue(account, wanted("8"), True)
    assert (getattr(issued, "platform_id", None), account.given) == ("9", 0)


async def test_lapses_have_no_name_and_are_not_noted() -> None:
    """Else the next lapse would hide what is ours; where nothing else is near, it waits."""
    account = Account((None, LAPSE, "1.00"), ("8", CREDIT, "5.00"))
    await StoreCredit().issue(account, wanted(None), False)
    assert (account.mark, account.given) == ("8", 1)
    silent = Account(*((None, LAPSE, "1.00") for _ in range(FEW_MOVES)))
    with pytest.raises(Unavailable):
        await StoreCredit().issue(silent, wanted(None), False)
    assert (silent.mark, silent.given) == (None, 0)


async def test_a_shop_where_nothing_moved_gets_its_first(counter: Counter) -> None:
    """Through the pretend shop: the account comes to be with the credit."""
    counter.stall.shop.scopes = ("read_store_credit_accounts", "write_store_credit_account_transactions")
    await counter.offers(five=OFFER.model_dump(mode="json"))
    assert (await counter.has()).state == "issued"
