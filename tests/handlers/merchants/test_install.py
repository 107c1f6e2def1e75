"""A shop comes in by opening the app: once, whoever looks at the same time, and finds everything when it is back."""

import asyncio
import json
from dataclasses import replace

import pytest
from msgspec.structs import replace as replace_fields

from handlers.inbox.idle import busy
from handlers.merchants import jobs, sessions
from handlers.merchants.connections import Wish, add_merchant
from handlers.merchants.install import arrive
from handlers.privacy import jobs as privacy
from integration.clock import DAY, HOUR, MINUTE
from integration.errors import Forged, Rejected, Unavailable
from integration.facts import ShopSeen
from integration.shopify.admin import Token
from integration.shopify.grants import NotInstalled
from integration.vault import Unsealable, Vault
from tests.handlers.merchants.harbour import NOON, TEA, Harbour


async def test_the_first_visit_makes_the_merchant_from_the_shops_own_record(harbour: Harbour) -> None:
    """Name, currency, time zone, country and address are asked for, with everything off until it is switched on."""
    arrival = await harbour.visit()
    assert arrival.is_new
    (merchant,) = await harbour.rows("SELECT id, name, currency, timezone, country, email, closed_at FROM merchants")
    assert merchant == (
        arrival.merchant_id, "Marlow & Finch", "GBP", "Europe/London", "US", "owner@pretend-shop.example", None,
    )  # fmt: skip
    one = await harbour.connection()
    assert (one["shop_id"], json.loads(one["scopes"])) == (str(harbour.shop.id), sorted(harbour.shop.scopes))
    assert await harbour.rows("SELECT version FROM program_versions") == [(1,)]
    assert await harbour.rows("SELECT next_customer FROM books") == [(1,)]


async def test_tokens_are_kept_sealed_with_their_ends(harbour: Harbour) -> None:
    """Access and refresh token, an hour and ninety days, in one row; neither can be read from it."""
    await harbour.visit()
    one = await harbour.connection()
    assert (one["token_expires_at"], one["refresh_expires_at"]) == (NOON + HOUR, NOON + 90 * DAY)
    assert not any(word in f"{one['token']}{one['refresh_token']}" for word in ("shpat", "shprt"))
    assert harbour.pretend.tokens.opens(await harbour.token(), TEA)
    place = {"table": "connections", "merchant": one["merchant_id"], "column": "refresh_token"}
    assert harbour.here.vault.open(one["refresh_token"], **place).startswith("shprt_")


async def test_a_reload_asks_nobody_anything(harbour: Harbour) -> None:
    """For a shop in order a visit is one look into the database."""
    first = await harbour.visit()
    asked = len(harbour.pretend.tokens.asked), len(harbour.pretend.calls)
    for _ in range(3):
        again = await harbour.visit()
        assert (again.merchant_id, again.is_new) == (first.merchant_id, False)
    assert (len(harbour.pretend.tokens.asked), len(harbour.pretend.calls)) == asked


async def test_tabs_of_two_processes_make_one_merchant(harbour: Harbour) -> None:
    """Whoever comes second at the same moment finds the first one's, and nothing is left half made."""
    harbour.slow = 0.05
    visits = [harbour.visit(where) for _ in range(4) for where in (harbour.here, harbour.there)]
    arrivals = await asyncio.gather(*visits)
    assert len({arrival.merchant_id for arrival in arrivals}) == 1
    for table in ("merchants", "connections", "books", "program_versions"):
        assert await harbour.rows(f"SELECT count(*) FROM {table}") == [(1,)]
    # Each process asked once, whatever number of tabs it had; what was given last is kept.
    assert harbour.asked("token-exchange") <= 2
    assert harbour.pretend.tokens.opens(await harbour.token(), TEA)


async def test_two_shops_of_one_name_are_told_apart(harbour: Harbour) -> None:
    """A merchant's name is what commands call them by, so the second has its domain beside it."""
    wish = Wish("Marlow & Finch", None, "EUR", "UTC")
    await harbour.here.database.run(lambda: add_merchant(wish, harbour.here.vault, NOON))
    await harbour.visit()
    names = await harbour.rows("SELECT name FROM merchants ORDER BY id")
    assert names == [("Marlow & Finch",), (f"Marlow & Finch ({TEA})",)]


async def test_a_merchant_added_by_command_is_taken_over(harbour: Harbour) -> None:
    """The one with this shop's domain is it, with the name and the money chosen for it; only the access is new."""
    wish = Wish("The Tea Shop", TEA, "EUR", "Europe/Paris", token="shpat_of_an_app_of_their_own")
    added = await harbour.here.database.run(lambda: add_merchant(wish, harbour.here.vault, NOON))
    arrival = await harbour.visit()
    assert (arrival.merchant_id, arrival.is_new) == (added.id, False)
    merchants = await harbour.rows("SELECT name, currency, timezone, country FROM merchants")
    assert merchants == [("The Tea Shop", "EUR", "Europe/Paris", "US")]
    assert harbour.pretend.tokens.opens(await harbour.token(), TEA)


async def test_what_the_shop_sent_before_is_taken_in(harbour: Harbour) -> None:
    """Webhooks begin with the installation, before anybody opens the app."""
    ana, welcomed = harbour.shop.welcome("Ana", "Diaz", "ana@example.com")
    await harbour.hear(welcomed)
    assert await harbour.rows("SELECT count(*) FROM customers") == [(0,)]
    arrival = await harbour.visit()
    await harbour.hear([])
    assert await harbour.rows("SELECT merchant_id, email FROM customers") == [(arrival.merchant_id, ana.email)]
    assert not await harbour.here.database.read(lambda: busy(harbour.clock.now()))


async def test_the_shop_is_asked_for_its_language_and_its_policies(harbour: Harbour) -> None:
    """The clock comes to it, should the doorbell have been lost."""
    arrival = await harbour.visit()
    await jobs.describe_due(harbour.here)
    told = await harbour.rows("SELECT language, policies FROM merchants WHERE id = ?1", arrival.merchant_id)
    assert told == [("en", json.dumps({"REFUND_POLICY": f"https://{TEA}/policies/refund-policy"}))]
    asked = len(harbour.pretend.calls)
    await jobs.describe_due(harbour.here)
    assert len(harbour.pretend.calls) == asked


async def test_what_a_scope_hides_stays_unknown(harbour: Harbour) -> None:
    """A shop that shows us its language alone is asked again next month, not every minute."""
    harbour.shop.scopes = ("read_orders", "read_locales")
    await harbour.visit()
    await jobs.describe_due(harbour.here)
    assert await harbour.rows("SELECT language, policies, described_at FROM merchants") == [("en", None, NOON)]


@pytest.mark.parametrize(("status", "error"), [(503, Unavailable), (403, Rejected), (429, Unavailable)])
async def test_a_new_shop_that_cannot_be_asked_leaves_nothing(
    harbour: Harbour, status: int, error: type[Exception]
) -> None:
    """The page says to try again; the next visit begins anew."""
    harbour.pretend.tokens.fail_next = [status]
    with pytest.raises(error):
        await harbour.visit()
    assert await harbour.rows("SELECT count(*) FROM merchants") == [(0,)]
    assert (await harbour.visit()).is_new


async def test_tabs_do_not_queue_up_at_a_shopify_that_is_away(harbour: Harbour) -> None:
    """What failed for the first of them is not tried by every other, one after the other."""
    harbour.pretend.tokens.fail_next = [503] * 8
    visits = await asyncio.gather(*(harbour.visit() for _ in range(8)), return_exceptions=True)
    assert [type(one) for one in visits] == [Unavailable] * 8
    assert harbour.asked("token-exchange") == 1


async def test_a_token_shopify_finds_too_old_is_answered_like_a_forged_one(harbour: Harbour) -> None:
    """App Bridge then brings a newer one."""
    session = harbour.session()
    harbour.clock.passes(75)
    with pytest.raises(Forged):
        await arrive(harbour.here, *session)


async def test_a_token_that_opens_another_shop_is_not_taken_for_this_ones(
    harbour: Harbour, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever Shopify, or who stands between, answers: the shop itself says whose it is, or nothing is kept."""
    ping = harbour.here.shopify.ping

    async def another(shop: str, token: Token) -> ShopSeen:
        return replace_fields(await ping(shop, token), domain="evil.myshopify.com")

    monkeypatch.setattr(harbour.here.shopify, "ping", another)
    with pytest.raises(Rejected):
        await harbour.visit()
    assert await harbour.rows("SELECT count(*) FROM merchants") == [(0,)]


async def test_access_that_was_lost_comes_back_with_the_next_visit(harbour: Harbour) -> None:
    """The merchant need only open the app."""
    arrival = await harbour.visit()
    await harbour.rows("UPDATE connections SET revoked_at = ?1, revoked_why = 'it lapsed'", NOON)
    before = await harbour.token()
    harbour.clock.passes(60)
    assert (await harbour.visit()).merchant_id == arrival.merchant_id
    one = await harbour.connection()
    assert (one["revoked_at"], one["revoked_why"]) == (None, None)
    assert await harbour.token() != before


async def test_a_shop_we_know_is_let_in_although_shopify_does_not_answer(harbour: Harbour) -> None:
    """Its pages are ours; they say that access is missing."""
    arrival = await harbour.visit()
    await harbour.rows("UPDATE connections SET revoked_at = ?1", NOON)
    harbour.pretend.tokens.fail_next = [503]
    assert await harbour.visit() == arrival._replace(is_new=False)
    assert (await harbour.connection())["revoked_at"] == NOON


# --- Leaving and coming back ----------------------------------------------------------------------


async def test_leaving_wipes_what_opens_the_shop(harbour: Harbour) -> None:
    """No token of either kind is left, and the merchant is closed."""
    await harbour.visit()
    harbour.clock.passes(60)
    await harbour.hear(harbour.shop.uninstall())
    one = await harbour.connection()
    kept = ("token", "token_expires_at", "refresh_token", "refresh_expires_at", "refreshed_at")
    assert [one[name] for name in kept] == [None] * len(kept)
    assert one["closed_at"] == harbour.clock.now()
    assert await harbour.rows("SELECT closed_at FROM merchants") == [(harbour.clock.now(),)]


async def test_a_shop_that_left_an_hour_ago_has_left(harbour: Harbour) -> None:
    """By then our token has ended too, and renewing it is what tells that the app is gone."""
    await harbour.visit()
    left = harbour.shop.uninstall()
    harbour.clock.passes(2 * HOUR / 1_000_000)
    await harbour.hear(left)
    assert (await harbour.connection())["closed_at"] == NOON


async def test_a_page_left_open_does_not_bring_a_shop_back(harbour: Harbour) -> None:
    """Its session token is good for a minute more; Shopify gives nothing for it."""
    await harbour.visit()
    harbour.clock.passes(5)
    await harbour.hear(harbour.shop.uninstall())
    with pytest.raises(NotInstalled):
        await harbour.visit()
    assert (await harbour.connection())["token"] is None


async def test_a_shop_that_is_back_finds_its_books(harbour: Harbour) -> None:
    """The same merchant, customers and programme; the shop is asked for orders from where we were."""
    arrival = await harbour.visit()
    await harbour.hear(harbour.shop.welcome("Ana", "Diaz", "ana@example.com")[1])
    harbour.clock.passes(60)
    await harbour.hear(harbour.shop.uninstall())
    harbour.clock.passes(DAY / 1_000_000)
    harbour.shop.install()
    assert await harbour.visit() == arrival
    one = await harbour.connection()
    assert (one["closed_at"], one["connected_at"]) == (None, harbour.clock.now())
    assert harbour.pretend.tokens.opens(await harbour.token(), TEA)
    assert await harbour.rows("SELECT closed_at FROM merchants") == [(None,)]
    assert await harbour.rows("SELECT count(*) FROM customers") == [(1,)]
    assert await harbour.rows("SELECT count(*) FROM program_versions") == [(1,)]


async def let_in(harbour: Harbour) -> str:
    """Somebody at the shop uses a one-time link; returns the cookie, and leaves a second link unused."""
    vault, now = harbour.here.vault, harbour.clock.now()
    token = await harbour.here.database.run(lambda: sessions.new_link(1, "link:ben", vault, now))
    await harbour.here.database.run(lambda: sessions.new_link(1, "link:ben", vault, now))
    used = await harbour.here.database.run(lambda: sessions.use_link(str(token), vault, now))
    assert used is not None
    return used[1]


async def is_in(harbour: Harbour, cookie: str) -> bool:
    """Tell whether a cookie still opens a session."""
    vault, now = harbour.here.vault, harbour.clock.now()
    return await harbour.here.database.read(lambda: sessions.find_session(cookie, vault, now)) is not None


@pytest.mark.parametrize("has_stripe", [False, True])
async def test_who_was_let_in_by_link_is_out_when_the_shop_leaves(harbour: Harbour, has_stripe: bool) -> None:
    """Also where Stripe keeps the merchant's pages open; links that nobody has used yet open nothing either."""
    await harbour.visit()
    if has_stripe:
        await harbour.rows(
            "INSERT INTO connections (merchant_id, platform, account, created_at, connected_at)"
            " VALUES (1, 'stripe', 'path', 0, 0)"
        )
    cookie = await let_in(harbour)
    assert await is_in(harbour, cookie)
    harbour.clock.passes(60)
    await harbour.hear(harbour.shop.uninstall())
    assert not await is_in(harbour, cookie)
    assert await harbour.rows("SELECT count(*) FROM sign_in_links WHERE used_at IS NULL") == [(0,)]
    ((closed_at,),) = await harbour.rows("SELECT closed_at FROM merchants")
    assert (closed_at is None) == has_stripe


async def test_a_shop_that_is_back_under_another_owner_is_theirs_alone(harbour: Harbour) -> None:
    """Who was let in meanwhile is out, and links are mailed to the address the shop has today."""
    await harbour.visit()
    harbour.clock.passes(60)
    await harbour.hear(harbour.shop.uninstall())
    cookie = await let_in(harbour)
    harbour.clock.passes(60)
    harbour.shop.install()
    harbour.shop.email = "new-owner@pretend-shop.example"
    await harbour.visit()
    assert not await is_in(harbour, cookie)
    assert await harbour.rows("SELECT email, closed_at FROM merchants") == [("new-owner@pretend-shop.example", None)]
    cookie = await let_in(harbour)
    await harbour.rows("UPDATE connections SET revoked_at = 1")
    harbour.clock.passes(60)
    harbour.shop.email = "somebody@pretend-shop.example"
    await harbour.visit()
    assert await is_in(harbour, cookie), "access that is merely renewed ends nobody's session"
    assert await harbour.rows("SELECT email FROM merchants") == [("new-owner@pretend-shop.example",)]


@pytest.mark.parametrize("was_chosen", [False, True])
async def test_a_shop_that_changes_hands_without_leaving_is_its_new_owners(harbour: Harbour, was_chosen: bool) -> None:
    """Told by webhook, believed when the shop itself is asked; an address that somebody chose here stays."""
    await harbour.visit()
    await jobs.describe_due(harbour.here)
    if was_chosen:
        await harbour.rows("UPDATE merchants SET email = 'books@marlow.example'")
    cookie = await let_in(harbour)
    harbour.clock.passes(60)
    harbour.shop.email = "new-owner@pretend-shop.example"
    told = harbour.shop.update_shop()
    harbour.shop.email = "owner@pretend-shop.example"
    await harbour.hear(told)
    await jobs.describe_due(harbour.here)
    assert await is_in(harbour, cookie), "a body alone, which may be an old one, changes nothing"
    harbour.shop.email = "new-owner@pretend-shop.example"
    await harbour.hear(harbour.shop.update_shop())
    await jobs.describe_due(harbour.here)
    ((email, shop_email),) = await harbour.rows("SELECT email, shop_email FROM merchants")
    assert shop_email == "new-owner@pretend-shop.example"
    assert email == ("books@marlow.example" if was_chosen else shop_email)
    assert await is_in(harbour, cookie) == was_chosen
    asked = len(harbour.pretend.calls)
    await jobs.describe_due(harbour.here)
    assert len(harbour.pretend.calls) == asked


async def test_a_shop_the_operator_connects_again_begins_without_sessions(harbour: Harbour) -> None:
    """As when it comes back by itself."""
    await harbour.visit()
    harbour.clock.passes(60)
    await harbour.hear(harbour.shop.uninstall())
    cookie = await let_in(harbour)
    wish = Wish("Marlow & Finch", TEA, "GBP", "Europe/London")
    await harbour.here.database.run(lambda: add_merchant(wish, harbour.here.vault, harbour.clock.now()))
    assert await harbour.rows("SELECT closed_at FROM merchants") == [(None,)]
    assert not await is_in(harbour, cookie)


async def test_an_uninstall_told_late_does_not_end_the_next_installation(harbour: Harbour) -> None:
    """It is older than what the shop's session token says of its own time, whatever our clock says."""
    await harbour.visit()
    harbour.clock.passes(60)
    left = harbour.shop.uninstall()
    harbour.clock.passes(2)
    harbour.shop.install()
    await harbour.rows("UPDATE connections SET revoked_at = ?1", harbour.clock.now())
    await harbour.visit()
    # Without access to ask with, only the instants can tell.
    await harbour.rows("UPDATE connections SET revoked_at = ?1", harbour.clock.now())
    cookie = await let_in(harbour)
    await harbour.hear(left)
    assert (await harbour.connection())["closed_at"] is None
    assert await is_in(harbour, cookie)


async def test_an_uninstall_while_a_token_is_exchanged_counts(harbour: Harbour) -> None:
    """The visit is as old as its session token, however long Shopify and we took over it."""
    session = harbour.session()
    harbour.clock.passes(3)
    left = harbour.shop.uninstall()
    harbour.shop.install()
    harbour.clock.passes(2)
    await arrive(harbour.here, *session)
    await harbour.rows("UPDATE connections SET revoked_at = ?1", harbour.clock.now())
    await harbour.hear(left)
    assert (await harbour.connection())["closed_at"] is not None


async def test_a_renewal_that_was_under_way_does_not_undo_a_new_grant(harbour: Harbour) -> None:
    """Who renews the pair before has lost the claim with it: the one that was given last stands."""
    await harbour.visit()
    await harbour.rows("UPDATE connections SET revoked_at = 1, refresh_claim = 'a slow process'")
    harbour.clock.passes(60)
    await harbour.visit()
    assert (await harbour.connection())["refresh_claim"] is None


async def test_an_uninstall_told_twice_and_late_is_one(harbour: Harbour) -> None:
    """While the app is out, a second telling changes nothing."""
    await harbour.visit()
    harbour.clock.passes(MINUTE / 1_000_000)
    left = harbour.shop.uninstall()
    await harbour.hear(left)
    before = await harbour.connection()
    harbour.clock.passes(HOUR / 1_000_000)
    await harbour.hear([replace(one, id=f"{one.id}-again") for one in left])
    assert await harbour.connection() == before


@pytest.mark.parametrize("has_left", [False, True])
async def test_a_redaction_asks_with_a_key_that_holds(harbour: Harbour, has_left: bool) -> None:
    """Two days later the token has ended by itself; what renews it tells whether the shop is gone."""
    await harbour.visit()
    await harbour.hear(harbour.shop.welcome("Ana", "Diaz", "ana@example.com")[1])
    if has_left:
        harbour.shop.uninstall()  # of which we are never told
    harbour.clock.passes(2 * DAY / 1_000_000)
    await harbour.hear(harbour.shop.request_privacy("shop/redact"))
    await privacy.carry_out(harbour.here)
    stages = await harbour.rows("SELECT stage FROM privacy_requests")
    customers = await harbour.rows("SELECT count(*) FROM customers WHERE email IS NOT NULL")
    assert (stages, customers) == (([("done",)], [(0,)]) if has_left else ([("void",)], [(1,)]))


async def test_a_new_secret_key_takes_over_both_tokens(harbour: Harbour) -> None:
    """After one run of the job the old key is needed no more, for what asks and for what renews."""
    await harbour.visit()
    one = await harbour.connection()
    old, new = "the-secret-key-of-the-harbour-is-long-enough", "another-secret-key-of-the-harbour-long-too"
    assert await jobs.reseal(replace(harbour.here, vault=Vault([new, old]))) == 1
    after = await harbour.connection()
    for column in ("token", "refresh_token"):
        place = {"table": "connections", "merchant": one["merchant_id"], "column": column}
        assert Vault([new]).open(after[column], **place) == Vault([old]).open(one[column], **place)
        other = {"token": "refresh_token", "refresh_token": "token"}[column]
        with pytest.raises(Unsealable):
            Vault([new]).open(after[column], **{**place, "column": other})


async def test_shops_that_cannot_be_asked_stand_in_nobodys_way(
    harbour: Harbour, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With as many of them as a run has room for, the next run comes to the others; they are asked again later."""
    monkeypatch.setattr(jobs, "MOST_DESCRIBED", 2)
    for shop in ("locked", "mislaid"):
        wish = Wish(shop, f"{shop}.myshopify.com", "GBP", "Europe/London", token="shpat_by_hand")
        await harbour.here.database.run(lambda wish=wish: add_merchant(wish, harbour.here.vault, NOON))
        # Sealed under a key that nobody has any more.
        await harbour.rows(
            "UPDATE connections SET token = 'k0.x', refresh_token = 'k0.x' WHERE account = ?1", wish.shop
        )
    arrival = await harbour.visit()
    described = "SELECT described_at FROM merchants WHERE id = ?1"
    await jobs.describe_due(harbour.here)
    assert await harbour.rows(described, arrival.merchant_id) == [(None,)]
    await jobs.describe_due(harbour.here)
    assert await harbour.rows(described, arrival.merchant_id) == [(NOON,)]
    waiting = "SELECT count(*) FROM merchants WHERE describe_after <= ?1"
    assert await harbour.rows(waiting, NOON) == [(0,)]
    assert await harbour.rows(waiting, NOON + jobs.DESCRIBE_AGAIN) == [(2,)]


async def test_a_merchant_from_before_is_asked_for_the_shops_address(harbour: Harbour) -> None:
    """Also one that was described not long ago, when the shop's own address was not kept yet."""
    arrival = await harbour.visit()
    await harbour.rows("UPDATE merchants SET shop_email = NULL, described_at = ?1, describe_after = NULL", NOON)
    await jobs.describe_due(harbour.here)
    told = await harbour.rows("SELECT email, shop_email FROM merchants WHERE id = ?1", arrival.merchant_id)
    assert told == [("owner@pretend-shop.example", "owner@pretend-shop.example")]
