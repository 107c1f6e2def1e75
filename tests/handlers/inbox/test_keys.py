"""A shop's key is renewed before it ends, by one process alone, and given up only where it is the one refused."""

import asyncio

import pytest

from handlers.inbox.keys import Key, renewed
from handlers.merchants import jobs
from handlers.reconcile import store
from handlers.reconcile.jobs import reconcile
from integration.clock import DAY, HOUR, MINUTE, SECOND
from integration.errors import Revoked, Unavailable
from integration.shopify.grants import NotInstalled
from tests.handlers.merchants.harbour import TEA, Harbour, Silence

ALMOST_AN_HOUR = 56 * 60  # seconds; within five minutes of a token's end
OVER = 61 * 60


async def keys(harbour: Harbour, each: int = 1) -> list[Key]:
    """Keys of one connection, as so many tasks of two processes hold them."""
    number = (await harbour.connection())["id"]
    return [Key(where, number) for where in (harbour.here, harbour.there) for _ in range(each)]


async def renewing(harbour: Harbour, key: Key) -> tuple[asyncio.Task[str], Silence]:
    """Have somebody renew the key: Shopify was asked, and answers them once the silence is over."""
    silence = harbour.silence = Silence()
    asked = asyncio.create_task(key())  # type: ignore[arg-type]
    await silence.begun.wait()
    harbour.silence = None
    return asked, silence


async def test_a_key_is_renewed_five_minutes_before_its_end(harbour: Harbour) -> None:
    """Until then it is the same one, asked of nobody."""
    await harbour.visit()
    key, _ = await keys(harbour)
    first = await key()
    harbour.clock.passes(54 * 60)
    assert await key() == first
    harbour.clock.passes(2 * 60)
    second = await key()
    assert second != first
    assert harbour.asked("refresh_token") == 1
    one = await harbour.connection()
    assert (one["token_expires_at"], one["refreshed_at"]) == (harbour.clock.now() + HOUR, harbour.clock.now())
    assert await harbour.token() == second


@pytest.mark.parametrize("seconds", [ALMOST_AN_HOUR, OVER])
async def test_many_tasks_of_two_processes_renew_once(harbour: Harbour, seconds: int) -> None:
    """Whoever does not renew goes on with the old key while it holds, and waits for the new one after its end."""
    await harbour.visit()
    harbour.clock.passes(seconds)
    harbour.slow = 0.3
    given = await asyncio.gather(*(key() for key in await keys(harbour, each=6)))
    assert harbour.asked("refresh_token") == 1
    assert all(harbour.pretend.tokens.opens(token, TEA) for token in given)
    assert (await harbour.connection())["refresh_claim"] is None


async def test_an_answer_that_was_lost_is_asked_for_again(harbour: Harbour) -> None:
    """Shopify has replaced the pair and we have not heard of it: the one we have renews until the new one is used."""
    await harbour.visit()
    harbour.clock.passes(OVER)
    harbour.pretend.tokens.lose_next = 2
    key, _ = await keys(harbour)
    assert harbour.pretend.tokens.opens(await key(), TEA)
    assert harbour.asked("refresh_token") == 3
    assert len(harbour.slept) == 2


async def test_a_process_that_died_while_renewing_holds_nobody_up_for_long(harbour: Harbour) -> None:
    """Its lease ends, and the pair it may have got is not missed."""
    await harbour.visit()
    harbour.clock.passes(OVER)
    key, other = await keys(harbour)
    died, _ = await renewing(harbour, key)
    died.cancel()
    await asyncio.gather(died, return_exceptions=True)
    await harbour.rows("UPDATE connections SET refresh_after = 0")
    assert harbour.pretend.tokens.opens(await other(), TEA)


async def test_who_paused_past_its_lease_writes_nothing(harbour: Harbour) -> None:
    """Another process has renewed meanwhile; its pair stands."""
    await harbour.visit()
    harbour.clock.passes(OVER)
    key, other = await keys(harbour)
    late, silence = await renewing(harbour, key)
    await harbour.rows("UPDATE connections SET refresh_after = 0")
    stands = await other()
    silence.over.set()
    assert await late == stands == await harbour.token()


async def test_a_shopify_that_is_away_costs_nothing_while_the_key_holds(harbour: Harbour) -> None:
    """It is tried again a little later, and the reason is kept to be shown."""
    await harbour.visit()
    harbour.clock.passes(ALMOST_AN_HOUR)
    harbour.pretend.tokens.fail_next = [503] * 3
    key, other = await keys(harbour)
    before = await harbour.token()
    assert await key() == before == await other()
    assert harbour.asked("refresh_token") == 3
    assert "503" in (await harbour.connection())["refresh_problem"]


async def test_an_ended_key_that_cannot_be_renewed_now_asks_for_patience(harbour: Harbour) -> None:
    """Nobody hammers: for a while the answer is the same without a question, and then it works again."""
    await harbour.visit()
    harbour.clock.passes(OVER)
    harbour.pretend.tokens.fail_next = [503] * 3
    key, other = await keys(harbour)
    for one in (key, other, key):
        with pytest.raises(Unavailable):
            await one()
    assert harbour.asked("refresh_token") == 3
    assert (await harbour.connection())["revoked_at"] is None
    await harbour.rows("UPDATE connections SET refresh_after = 0")
    assert harbour.pretend.tokens.opens(await key(), TEA)
    assert (await harbour.connection())["refresh_problem"] is None


async def test_a_renewal_that_is_refused_for_good_pauses_the_shop(harbour: Harbour) -> None:
    """Nothing more is asked, the reason is kept, and the next visit of the merchant brings the access back."""
    await harbour.visit()
    harbour.pretend.tokens.refresh.clear()
    harbour.clock.passes(OVER)
    key, other = await keys(harbour)
    for one in (key, other):
        with pytest.raises(Revoked):
            await one()
    assert harbour.asked("refresh_token") == 1
    one = await harbour.connection()
    assert (one["revoked_at"], one["revoked_why"]) == (harbour.clock.now(), f"{TEA} no longer renews our access")
    await harbour.visit()
    assert harbour.pretend.tokens.opens(await key(), TEA)


async def test_access_unused_for_ninety_days_has_lapsed(harbour: Harbour) -> None:
    """We know it by the clock and do not ask."""
    await harbour.visit()
    harbour.clock.passes(91 * DAY / SECOND)
    key, _ = await keys(harbour)
    with pytest.raises(Revoked, match="lapsed"):
        await key()
    assert harbour.asked("refresh_token") == 0
    assert (await harbour.connection())["revoked_at"] is not None


async def test_a_wrong_secret_of_ours_takes_no_shops_access_away(harbour: Harbour) -> None:
    """Shopify says the same as of an app that is gone; what an operator can mend is not the merchants' to mend."""
    await harbour.visit()
    harbour.clock.passes(OVER)
    harbour.pretend.tokens.secret = "another secret of the same app, set by Shopify"
    key, _ = await keys(harbour)
    with pytest.raises(NotInstalled):
        await key()
    one = await harbour.connection()
    assert one["revoked_at"] is None
    assert "secret is wrong" in one["refresh_problem"]


async def test_a_refusal_of_an_old_key_leaves_the_new_one_alone(harbour: Harbour) -> None:
    """A late 401 says nothing about the key the merchant has given since."""
    await harbour.visit()
    key, _ = await keys(harbour)
    await key()
    await harbour.rows("UPDATE connections SET revoked_at = 1")
    harbour.clock.passes(60)
    await harbour.visit()
    assert not await key.give_up(Revoked("401"))
    assert (await harbour.connection())["revoked_at"] is None
    other, _ = await keys(harbour)
    await other()
    assert await other.give_up(Revoked("the shop no longer accepts our token"))
    assert (await harbour.connection())["revoked_why"] == "the shop no longer accepts our token"


async def test_an_uninstall_while_a_key_is_renewed_leaves_no_key(harbour: Harbour) -> None:
    """What comes back too late is not written to a shop that has left."""
    await harbour.visit()
    harbour.clock.passes(ALMOST_AN_HOUR)
    key, _ = await keys(harbour)
    asked, silence = await renewing(harbour, key)
    await harbour.rows(
        "UPDATE connections SET closed_at = ?1, token = NULL, refresh_token = NULL, refresh_claim = NULL",
        harbour.clock.now(),
    )
    silence.over.set()
    with pytest.raises(Revoked):
        await asked
    one = await harbour.connection()
    assert (one["token"], one["refresh_token"]) == (None, None)


# --- By the clock, and by everything that asks ----------------------------------------------------


async def test_an_idle_shop_is_renewed_once_a_day(harbour: Harbour) -> None:
    """So its access never comes near its ninety days, whoever opens the app or does not."""
    await harbour.visit()
    assert await jobs.renew(harbour.here) == 0
    for day in range(1, 4):
        harbour.clock.passes(DAY / SECOND)
        both = await asyncio.gather(jobs.renew(harbour.here), jobs.renew(harbour.there))
        assert sum(both) == 1, day
    assert harbour.asked("refresh_token") == 3
    assert (await harbour.connection())["refresh_expires_at"] == harbour.clock.now() + 90 * DAY


async def test_a_shop_without_access_is_not_asked_by_the_clock(harbour: Harbour) -> None:
    """Paused is paused."""
    await harbour.visit()
    await harbour.rows("UPDATE connections SET revoked_at = 1")
    harbour.clock.passes(2 * DAY / SECOND)
    assert await jobs.renew(harbour.here) == 0
    with pytest.raises(Revoked):
        await renewed(harbour.here, (await harbour.connection())["id"], harbour.clock.now())
    assert harbour.asked("refresh_token") == 0


async def test_reconciling_renews_its_key_and_pauses_where_it_is_refused(harbour: Harbour) -> None:
    """Days later a look works; once access is gone it says so and asks no more."""
    await harbour.visit()
    tea = harbour.shop.stock("Earl Grey", 12_50)
    harbour.shop.pay(harbour.shop.place(None, [(tea, 1)], email="ana@example.com")[0])
    harbour.clock.passes(2 * DAY / SECOND)
    (one,) = await harbour.here.database.read(lambda: store.connected(None, 0, 10))
    report = await reconcile(harbour.here, one)
    assert (report.state, report.run and report.run.recovered) == ("ok", 1)
    harbour.pretend.tokens.access.clear()
    harbour.clock.passes(MINUTE / SECOND)
    assert (await reconcile(harbour.here, one)).state == "revoked"
    assert (await harbour.connection())["revoked_why"] == f"{TEA} no longer accepts our token"


async def test_the_searches_by_the_clock_use_their_index(harbour: Harbour) -> None:
    """A thousand shops are not read through every ten minutes."""
    if harbour.here.database.dialect != "sqlite":
        pytest.skip("PostgreSQL reads small tables whole")
    async with harbour.here.engine.connect() as connection:
        rows = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {jobs.IDLE.sqlite}", (0, 10))
        assert any("ix_connections_to_refresh" in row[-1] for row in rows)
