"""Who sets a Stripe account's webhook up holds a lease: another process neither ends it nor believes itself done."""

from typing import Any

import pytest

from handlers.connections import jobs
from handlers.connections.jobs import Connected, connect, repair, tend
from handlers.merchants import stripe_accounts
from handlers.merchants.stripe_accounts import StripeAccount, account_of
from integration.database.steps import ask, plain
from integration.errors import Unavailable
from integration.vault import Vault
from tests.handlers.connections.conftest import ADAS_KEY, Street


@pytest.fixture
async def one(street: Street) -> StripeAccount:
    """Ada's connected account."""
    found = await connect(street.context, street.ada, ADAS_KEY, "link:ada")
    assert isinstance(found, Connected) and found.unfinished is None
    return found.account


async def does(street: Street, sql: str, *values: Any) -> None:
    """Run a statement."""
    await street.context.database.run(lambda: ask(plain(sql), values))


async def as_kept(street: Street) -> tuple[Any, ...]:
    """State and claim of Ada's account."""
    (row,) = await street.rows("SELECT state, claim FROM stripe_accounts")
    return row


async def test_what_one_process_notes_does_not_end_the_lease_of_another(street: Street, one: StripeAccount) -> None:
    """Its own lease ends with the note, and one that ran out ends too; nobody else's."""
    database = street.context.database
    assert await database.run(lambda: stripe_accounts.claim(one.merchant_id, one.connection, "mine"))
    for token in (None, "another's"):
        await database.run(lambda token=token: stripe_accounts.note(one, "away", "odd", 5, token))  # type: ignore[misc]
        assert await as_kept(street) == ("ok", "mine")
    await database.run(lambda: stripe_accounts.note(one, "away", "odd", 5, "mine"))
    assert await as_kept(street) == ("away", None)
    assert await database.run(lambda: stripe_accounts.claim(one.merchant_id, one.connection, "dead"))
    await does(street, "UPDATE stripe_accounts SET claimed_until = 1")
    await database.run(lambda: stripe_accounts.note(one, "ok", None, 6))
    assert await as_kept(street) == ("ok", None)


async def test_looking_after_an_account_leaves_who_sets_it_up_alone(street: Street, one: StripeAccount) -> None:
    """The clock's round meets an account that another process is at."""
    street.adas.endpoints.clear()
    database = street.context.database
    assert await database.run(lambda: stripe_accounts.claim(one.merchant_id, one.connection, "mine"))
    await does(street, "UPDATE stripe_accounts SET checked_at = 0")
    await tend(street.context)
    assert await as_kept(street) == ("ok", "mine")


async def test_who_lost_the_lease_does_not_say_that_it_is_done(
    street: Street, one: StripeAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While Stripe was asked, the lease ran out and another process took over; what fails then is not noted."""
    listed = jobs.stripe.endpoints

    async def slow(*asked: Any) -> Any:
        found = await listed(*asked)
        await does(street, "UPDATE stripe_accounts SET claim = 'another', reason = 'in hand'")
        return found

    monkeypatch.setattr(jobs.stripe, "endpoints", slow)
    why_not = await jobs.ensure(street.context, one, ADAS_KEY)
    assert why_not is not None and "another process" in why_not
    assert await as_kept(street) == ("ok", "another") and len(street.adas.endpoints) == 1

    async def fails(*_: Any) -> Any:
        await does(street, "UPDATE stripe_accounts SET claim = 'a third'")
        raise Unavailable("Stripe does not answer")

    await does(street, "UPDATE stripe_accounts SET claim = NULL, claimed_until = NULL")
    monkeypatch.setattr(jobs.stripe, "endpoints", fails)
    assert await jobs.ensure(street.context, one, ADAS_KEY) == "Stripe does not answer"
    assert await as_kept(street) == ("ok", "a third")


async def test_what_another_process_has_just_set_up_stays(street: Street, one: StripeAccount) -> None:
    """Whoever waited for the lease reads the account anew: the endpoint it did not know of is not taken away."""
    ((before,),) = await street.rows("SELECT endpoint FROM stripe_accounts")
    stale = stripe_accounts.StripeAccount(
        **{name: getattr(one, name) for name in one.__slots__} | {"endpoint": None, "state": "new"}
    )
    assert await jobs.ensure(street.context, stale, ADAS_KEY) is None
    assert await street.rows("SELECT endpoint FROM stripe_accounts") == [(before,)]
    assert [each["id"] for each in street.adas.endpoints] == [before]


async def test_a_repair_is_written_down_as_it_went(street: Street, one: StripeAccount) -> None:
    """Done, or tried; a key that no listed secret opens is said in words."""
    assert await repair(street.context, street.ada, one.connection, "link:ada") is None
    street.adas.fail_next = [503] * 30
    why_not = await repair(street.context, street.ada, one.connection, "link:ada")
    assert why_not is not None
    vault = street.context.vault
    object.__setattr__(street.context, "vault", Vault(["another secret of more than thirty-two characters"]))
    assert "give a new key" in (await repair(street.context, street.ada, one.connection, "link:ada") or "")
    object.__setattr__(street.context, "vault", vault)
    found = await street.context.database.read(lambda: account_of(street.ada, one.connection))
    assert found is not None and found.endpoint == one.endpoint
    dids = await street.rows("SELECT did FROM journal WHERE did LIKE '%webhook%' ORDER BY at, mark")
    assert sorted(did for (did,) in dids) == [
        "had a Stripe account's webhook set up again",
        "tried to have a Stripe account's webhook set up again",
        "tried to have a Stripe account's webhook set up again",
    ]
