"""A pasted key is looked at before it is kept, its account gets one endpoint of ours, and parting takes it away."""

import json
from typing import Any

import pytest

from handlers.connections import jobs
from handlers.connections.jobs import TEND_EVERY, Connected, Lacking, connect, disconnect, repair, tend
from handlers.merchants import stripe_accounts
from handlers.merchants.connections import connect_stripe
from handlers.merchants.rules import Refused
from handlers.merchants.stripe_accounts import accounts_of, key_of, not_well
from integration import faults
from integration.clock import HOUR, MINUTE
from integration.database.steps import ask, plain
from integration.errors import Unavailable
from integration.faults import Staged
from integration.stripe.api import API_VERSION
from integration.stripe.listing import TYPES
from tests.handlers.connections.conftest import ADAS_KEY, BOBS_KEY, PUBLIC, Street


@pytest.fixture(autouse=True)
def disarmed() -> Any:
    """No fault outlives its test."""
    yield
    faults.arm("")


async def connected(street: Street, key: str = ADAS_KEY, merchant: int | None = None) -> Connected:
    found = await connect(street.context, merchant or street.ada, key, "link:ada")
    assert isinstance(found, Connected), found
    return found


async def adas_accounts(street: Street) -> Any:
    return await street.context.database.read(lambda: accounts_of(street.ada))


@pytest.mark.parametrize(
    ("pasted", "said"),
    [
        ("sk_live_51Canary", "secret key"),
        ("SK_test_51Canary", "secret key"),
        ("pk_live_51Canary", "publishable"),
        ("whsec_Canary", "signing secret"),
        ("acct_1Canary", "account's id"),
        ("we_1Canary", "endpoint's id"),
        ("shpat_Canary", "Shopify"),
        ("rk_live_", "not a whole restricted key"),
        ("rk_live_51Canary…", "not a whole restricted key"),
        ("rk_prod_51Canary", "not a whole restricted key"),
        ("my key is rk_live_51Canary", "not a whole restricted key"),
        ("  ", "Paste a restricted key"),
    ],
)
def test_what_is_no_restricted_key_is_refused_with_its_own_words(pasted: str, said: str) -> None:
    """Before any call is made, and without repeating what was pasted."""
    with pytest.raises(Refused, match=said) as refused:
        key_of(pasted)
    assert "Canary" not in str(refused.value)


def test_a_key_is_read_with_its_mode_and_shows_its_end_only() -> None:
    """Spaces and line breaks around and inside come from copying."""
    live, test = key_of(" rk_live_51Ada\nShop "), key_of("rk_test_51AdaShop")
    assert (live.text, live.livemode, test.livemode) == ("rk_live_51AdaShop", True, False)
    assert repr(live) == "Key(Shop)" and "51Ada" not in f"{live!r}{live.hint}"


async def test_connecting_makes_one_endpoint_and_its_payments_count(street: Street) -> None:
    """In the pinned version, for every event we read; what is paid afterwards is worked with its secret."""
    found = await connected(street)
    (made,) = street.adas.endpoints
    assert (made["api_version"], set(made["enabled_events"])) == (API_VERSION, set(TYPES))
    assert made["url"] == PUBLIC + found.account.path
    assert (found.account.state, found.account.name, found.rotated, found.unfinished) == (
        "ok",
        None,
        False,
        None,
    )
    assert (found.account.account, found.account.livemode) == (street.adas.account.id, True)
    assert (found.account.key_hint, found.account.endpoint) == (ADAS_KEY[-4:], made["id"])
    assert set(await street.deliver(street.adas.account.pay(40_00, email="eve@street.example")[1])) == {200}
    assert await street.rows("SELECT eligible_minor, standing FROM sales") == [(4000, "counted")]


async def test_neither_key_nor_secret_is_kept_readable_or_logged(street: Street, capfd: Any) -> None:
    """They are sealed in the database, and in no log line."""
    await connected(street)
    stored = str(await street.rows("SELECT * FROM connections")) + str(
        await street.rows("SELECT * FROM stripe_accounts")
    )
    told = "".join(capfd.readouterr())
    for secret in (ADAS_KEY, street.adas.endpoints[0]["secret"]):
        assert secret not in stored and secret not in told


@pytest.mark.parametrize("lacking", ["charge_read", "checkout_session_read", "event_read", "webhook_write"])
async def test_what_a_key_lacks_is_named_as_stripe_names_it(street: Street, lacking: str) -> None:
    """Each permission is tried; the answer's own name for it comes along, and nothing is kept or made."""
    assert street.adas.permissions is not None
    street.adas.permissions -= {lacking}
    found = await connect(street.context, street.ada, ADAS_KEY, "link:ada")
    assert isinstance(found, Lacking) and found.account == street.adas.account.id
    (missing,) = found.missing
    names = {"charge_read": "Charges and Refunds", "checkout_session_read": "Checkout Sessions",
             "event_read": "Events", "webhook_write": "Webhook Endpoints"}  # fmt: skip
    assert (missing.permission.name, missing.stripe_name) == (names[lacking], f"rak_{lacking}")
    assert (await adas_accounts(street), street.adas.endpoints) == ([], [])


async def test_reading_webhooks_is_not_writing_them(street: Street) -> None:
    """A key that may only read endpoints lacks the permission to make one."""
    street.adas.permissions = {"webhook_read"}
    found = await connect(street.context, street.ada, ADAS_KEY, "link:ada")
    assert isinstance(found, Lacking) and len(found.missing) == 8


async def test_the_account_is_known_even_to_a_key_that_may_read_it(street: Street) -> None:
    """Most restricted keys may not ask for their own account: then the refusal names it."""
    assert (await connected(street)).account.name is None
    street.adas.permissions = None
    assert (await connected(street)).account.name == "Ada's hats"


async def test_an_account_of_another_merchant_is_refused_without_saying_whose(street: Street) -> None:
    """In either mode, and also by a second key of it; the one who has it keeps it."""
    await connected(street)
    with pytest.raises(Refused, match="already connected to another shop") as refused:
        await connect(street.context, street.bob, ADAS_KEY, "link:ada")
    assert "Ada" not in str(refused.value)
    street.adas.account.api_key, street.adas.account.livemode = "rk_test_51AdaSellsHats", False
    with pytest.raises(Refused, match="already connected to another shop"):
        await connect(street.context, street.bob, "rk_test_51AdaSellsHats", "link:ada")
    assert len(street.adas.endpoints) == 1


async def test_two_merchants_who_paste_one_key_at_once_do_not_both_get_the_account(street: Street) -> None:
    """The database itself keeps an account to one merchant."""
    import asyncio

    found = await asyncio.gather(
        connect(street.context, street.ada, ADAS_KEY, "link:ada"),
        connect(street.context, street.bob, ADAS_KEY, "link:ada"),
        return_exceptions=True,
    )
    assert sorted(type(one).__name__ for one in found) == ["Connected", "Refused"]
    assert len(street.adas.endpoints) == 1
    assert await street.rows("SELECT count(*) FROM connections WHERE platform = 'stripe'") == [(1,)]


async def test_a_merchant_connects_several_accounts(street: Street) -> None:
    """Each has its own endpoint, secret and path; the payments of both are the merchant's."""
    first, second = await connected(street), await connected(street, BOBS_KEY)
    assert first.account.path != second.account.path
    for pretend in (street.adas, street.bobs):
        assert set(await street.deliver(pretend.account.pay(10_00, email="eve@street.example")[1])) == {200}
    assert await street.rows("SELECT merchant_id, count(*) FROM sales GROUP BY merchant_id") == [(street.ada, 2)]


async def test_a_new_key_takes_the_old_ones_place(street: Street) -> None:
    """Rotating makes no second endpoint, and brings back an account whose key was revoked."""
    first = await connected(street)
    street.adas.revoked = True
    await _later(street)
    assert (await adas_accounts(street))[0].revoked_at is not None
    street.adas.revoked, street.adas.account.api_key = False, "rk_live_51AdaSellsHats9999"
    again = await connected(street, "rk_live_51AdaSellsHats9999")
    assert (again.rotated, again.account.connection, again.account.key_hint) == (True, first.account.connection, "9999")
    assert (again.account.revoked_at, again.account.state, len(street.adas.endpoints)) == (None, "ok", 1)


async def _later(street: Street) -> None:
    street.context.clock.offset += 7 * HOUR
    await tend(street.context)


async def test_a_revoked_key_is_noticed_and_asked_nothing_more(street: Street) -> None:
    """The page can say so, and the platform hears no more of us until there is a new key."""
    await connected(street)
    street.adas.revoked = True
    await _later(street)
    (one,) = await adas_accounts(street)
    assert one.revoked_at is not None and one.state == "revoked" and "no longer accepts" in (one.reason or "")
    street.adas.calls.clear()
    await _later(street)
    assert street.adas.calls == []


@pytest.mark.parametrize(
    ("what", "state"),
    [("deleted", "missing"), ("disabled", "disabled"), ("narrowed", "disabled"), ("moved", "disabled")],
)
async def test_an_endpoint_somebody_changed_in_stripe_is_told_and_repaired_on_request(
    street: Street, what: str, state: str
) -> None:
    """It is not put back against somebody's will; asked for, it is as it was, and payments count."""
    await connected(street)
    (endpoint,) = street.adas.endpoints
    if what == "deleted":
        street.adas.endpoints.clear()
    elif what == "disabled":
        endpoint["status"] = "disabled"
    elif what == "moved":
        endpoint["url"] = "https://elsewhere.example/webhooks"
    else:
        endpoint["enabled_events"] = ["charge.succeeded"]
    await _later(street)
    (one,) = await adas_accounts(street)
    assert one.state == state and one.reason
    ((merchant, account, why),) = await street.context.database.read(lambda: not_well(10))
    assert (merchant, account, why) == ("Ada", street.adas.account.id, one.reason)
    assert await repair(street.context, street.ada, one.connection, "link:ada") is None
    (one,), (endpoint,) = await adas_accounts(street), street.adas.endpoints
    assert (one.state, endpoint["status"], set(endpoint["enabled_events"])) == ("ok", "enabled", set(TYPES))
    assert set(await street.deliver(street.adas.account.pay(10_00, email="eve@street.example")[1])) == {200}


@pytest.mark.parametrize("where", ["stripe.reserved", "stripe.endpoint_made"])
async def test_a_crash_while_connecting_leaves_nothing_dangling(street: Street, where: str) -> None:
    """What was begun is finished by the clock: one endpoint in the end, whose secret we hold."""
    faults.arm(f"{where}:raise:1")
    with pytest.raises(Staged):
        await connect(street.context, street.ada, ADAS_KEY, "link:ada")
    faults.arm("")
    assert [one.state for one in await adas_accounts(street)] == ["new"]
    assert await street.context.database.run(lambda: _lease_over()) is None
    assert await tend(street.context) == 1
    (one,), (endpoint,) = await adas_accounts(street), street.adas.endpoints
    assert (one.state, one.endpoint) == ("ok", endpoint["id"])
    assert set(await street.deliver(street.adas.account.pay(10_00, email="eve@street.example")[1])) == {200}


def _lease_over() -> Any:
    from integration.database.steps import ask, plain

    yield from ask(plain("UPDATE stripe_accounts SET claimed_until = 0"), ())


async def test_who_pastes_again_after_a_crash_gets_the_same(street: Street) -> None:
    """The merchant need not wait for the clock; nor does a second process make a second endpoint meanwhile."""
    faults.arm("stripe.endpoint_made:raise:1")
    with pytest.raises(Staged):
        await connect(street.context, street.ada, ADAS_KEY, "link:ada")
    faults.arm("")
    busy = await connected(street)
    assert busy.unfinished is not None and len(street.adas.endpoints) == 1
    await street.context.database.run(_lease_over)
    assert (await connected(street)).unfinished is None
    assert len(street.adas.endpoints) == 1


async def test_stripe_that_fails_while_the_endpoint_is_made_is_tried_again(street: Street) -> None:
    """The account stays connected, says what is missing, and is finished by the clock."""
    street.adas.endpoints = [{"id": f"we_{n}", "url": "https://other.example", "metadata": {}, "status": "enabled",
                              "enabled_events": ["*"], "secret": "s", "api_version": None, "livemode": True}
                             for n in range(16)]  # fmt: skip
    found = await connected(street)
    assert found.account.state == "new" and "as many as Stripe allows" in (found.unfinished or "")
    street.adas.endpoints.pop()
    await tend(street.context)
    assert [one.state for one in await adas_accounts(street)] == ["ok"]


async def test_a_stripe_that_is_away_keeps_nothing(street: Street) -> None:
    """Before anything is known of a key, it is not kept."""
    street.adas.fail_next = [500] * 60
    with pytest.raises(Unavailable):
        await connect(street.context, street.ada, ADAS_KEY, "link:ada")
    assert await adas_accounts(street) == []


async def test_disconnecting_takes_the_endpoint_away_and_keeps_the_books(street: Street) -> None:
    """Key and secret are wiped; what was earned stays, and what is told afterwards is not let in."""
    found = await connected(street)
    told = street.adas.account.pay(40_00, email="eve@street.example")[1]
    await street.deliver(told)
    parted = await disconnect(street.context, street.ada, found.account.connection, "link:ada")
    assert (parted.left_behind, street.adas.endpoints, await adas_accounts(street)) == (None, [], [])
    rows = await street.rows("SELECT token, secrets, closed_at IS NULL FROM connections WHERE platform = 'stripe'")
    assert [(token, json.loads(secrets), bool(still)) for token, secrets, still in rows] == [(None, [], False)]
    assert await street.rows("SELECT sum(micropoints) FROM accounts WHERE account LIKE 'customer:%'") == [(40_000_000,)]
    street.context.clock.offset += HOUR
    assert set(await street.deliver(street.adas.account.pay(10_00, email="eve@street.example")[1])) == {401}


async def test_who_comes_back_gets_the_same_connection(street: Street) -> None:
    """Its path, its looks and its books go on; another merchant could have had it meanwhile."""
    found = await connected(street)
    await disconnect(street.context, street.ada, found.account.connection, "link:ada")
    other = await connected(street, ADAS_KEY, street.bob)
    await disconnect(street.context, street.bob, other.account.connection, "link:ada")
    back = await connected(street)
    assert (back.account.connection, back.account.path) == (found.account.connection, found.account.path)
    assert (back.account.state, len(street.adas.endpoints), back.rotated) == ("ok", 1, False)


async def test_what_could_not_be_taken_away_is_told(street: Street) -> None:
    """With a dead key the connection ends all the same; the merchant is told to delete the endpoint."""
    found = await connected(street)
    street.adas.revoked = True
    parted = await disconnect(street.context, street.ada, found.account.connection, "link:ada")
    assert "no longer accepts" in (parted.left_behind or "") and parted.account.endpoint
    assert await adas_accounts(street) == []


async def test_a_stripe_that_is_away_puts_parting_off_unless_asked(street: Street) -> None:
    """A moment later it would work, so nothing is changed; who cannot wait may leave the endpoint behind."""
    found = await connected(street)
    street.adas.fail_next = [503] * 30
    with pytest.raises(Unavailable):
        await disconnect(street.context, street.ada, found.account.connection, "link:ada")
    assert len(await adas_accounts(street)) == 1
    street.adas.fail_next = [503] * 30
    parted = await disconnect(street.context, street.ada, found.account.connection, "link:ada", anyway=True)
    assert parted.left_behind and await adas_accounts(street) == []


async def test_nobody_parts_from_anothers_account(street: Street) -> None:
    """A number is looked up with its merchant."""
    found = await connected(street)
    with pytest.raises(Refused, match="not connected"):
        await disconnect(street.context, street.bob, found.account.connection, "link:ada")
    with pytest.raises(Refused, match="not connected"):
        await repair(street.context, street.bob, found.account.connection, "link:ada")
    assert len(street.adas.endpoints) == 1


async def test_an_account_set_up_by_hand_is_learnt_and_not_connected_twice(street: Street) -> None:
    """By its key, now and then; another merchant is refused it, its own may take it over with a key."""
    context = street.context
    path = await context.database.run(
        lambda: connect_stripe(street.ada, "whsec_by_hand", ADAS_KEY, context.vault, context.clock.now())
    )
    context.clock.offset += TEND_EVERY - context.clock.now() % TEND_EVERY
    await tend(context)
    ((one,), calls) = await adas_accounts(street), len(street.adas.calls)
    assert (one.state, one.account, one.path, one.endpoint) == ("by_hand", street.adas.account.id, path, None)
    await tend(context)
    assert len(street.adas.calls) == calls
    with pytest.raises(Refused, match="already connected"):
        await connect(context, street.bob, ADAS_KEY, "link:bob")
    again = await connected(street)
    assert (again.account.state, again.account.path, again.rotated) == ("ok", path, True)
    assert set(await street.deliver(street.adas.account.pay(10_00, email="eve@street.example")[1])) == {200}


async def test_live_payments_need_an_address_with_https(street: Street) -> None:
    """Stripe would refuse the endpoint, so the reason is told before anything is kept."""
    import dataclasses

    bare = dataclasses.replace(street.context, public_url="http://localhost:8000")
    with pytest.raises(Refused, match="https"):
        await connect(bare, street.ada, ADAS_KEY, "link:ada")
    assert await adas_accounts(street) == []


async def test_accounts_that_cannot_be_asked_stand_in_nobodys_way(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that nothing opens, of an account or of nobody knows which, is passed over; the next is looked at."""
    monkeypatch.setattr(jobs, "MOST_TENDED", 1)
    context = street.context
    lost, found = await connected(street), await connect(context, street.bob, BOBS_KEY, "link:bob")
    assert isinstance(found, Connected)
    spoilt = plain("UPDATE connections SET token = 'k0.x' WHERE id = ?1")
    by_hand = plain(
        "INSERT INTO connections (merchant_id, platform, account, mode, token, created_at, connected_at)"
        " VALUES (?1, 'stripe', 'by-hand', 'live', 'k0.x', 0, 0)"
    )
    await context.database.run(lambda: ask(spoilt, (lost.account.connection,)))
    await context.database.run(lambda: ask(by_hand, (street.ada,)))
    context.clock.offset += 2 * TEND_EVERY - context.clock.now() % TEND_EVERY
    began = context.clock.now()
    for _ in range(2):
        await tend(context)
        context.clock.offset += MINUTE
    checked = await context.database.read(lambda: stripe_accounts.account_of(street.bob, found.account.connection))
    assert checked is not None and (checked.checked_at or 0) >= began
