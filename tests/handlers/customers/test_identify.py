"""Persons on a real database: what a batch learns of who is who is what is kept."""

from itertools import permutations

from handlers.customers.consent import keep_consents
from handlers.points.settle import PointsSettler
from integration.clock import DAY
from integration.database.engine import Database
from integration.database.steps import ask, plain
from integration.facts import Buyer, Charge, ChargeSeen, ConsentSeen, CustomerSeen
from tests.handlers.sales.test_settling import NOON, Shopkeeper

ANN = "ann@x.example"


def charge(number: int, customer: str) -> ChargeSeen:
    """A card payment of Ann's as this Stripe customer."""
    buyer = Buyer(platform_id=customer, email=ANN)
    return ChargeSeen(Charge(f"ch_{number}", "USD", 3_000, 3_000, 0, True, "succeeded", NOON, buyer=buyer))


async def test_who_joins_a_circle_and_follows_it_to_an_account_in_one_batch_means_the_account(
    database: Database,
) -> None:
    """The newcomer's first meaning is outdated within the batch; the last one is kept."""
    shop = await Shopkeeper(database, [PointsSettler()]).open()
    for number in range(1, 9):
        await shop.hears(charge(number, f"cus_{number}"))
    account = CustomerSeen("shopify", Buyer(platform_id="70", email=ANN, email_verified=True), NOON)
    await shop.hears(charge(9, "cus_9"), charge(10, "cus_10"), account)
    ((owner,),) = await shop.rows("SELECT number FROM customers WHERE shopify_id = '70'")
    assert await shop.rows("SELECT DISTINCT merged_into FROM customers WHERE shopify_id IS NULL") == [(owner,)]
    await shop.hears(charge(11, "cus_9"))
    await shop.clock_strikes(NOON + DAY)
    assert await shop.balances() == {f"customer:{owner}:available": 330}


STATES = ("subscribed", "unsubscribed", "not_subscribed", "pending", "redacted", "invalid")


async def test_two_words_of_one_instant_leave_the_same_consent_in_either_order(database: Database) -> None:
    """Delivery order says nothing; of yes and anything else, the other stands."""
    for states in permutations(STATES, 2):
        for state in states:
            word = ConsentSeen("shopify", "email", state, NOON, address="-".join(states))
            await database.run(lambda w=word: keep_consents(1, [w]))  # type: ignore[misc]
    kept: dict[str, str] = dict(await database.read(lambda: ask(plain("SELECT address, state FROM consents"), ())))
    assert "subscribed" not in kept.values()
    for one, other in permutations(STATES, 2):
        assert kept[f"{one}-{other}"] == kept[f"{other}-{one}"]
