"""The pages of connections: what they show of each state, and that no key is ever shown."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import stripe as stripe_library

from handlers.connections.jobs import tend
from handlers.connections.rules import SCOPES
from handlers.merchants.programs import change_program
from integration.clock import HOUR
from integration.sandbox.stripe import Account
from integration.sandbox.stripe_api import PretendStripe
from integration.shopify.scopes import OPTIONAL, REQUIRED
from integration.stripe.api import StripeApi
from tests.handlers.connections.conftest import ADAS_KEY, EVERYTHING
from tests.handlers.connections.test_domain import GOOD, HATS, serving
from tests.integration.sandbox.test_apis import served
from tests.visits import NORA, House, Visitor


class Desk:
    """Nora at her desk, and her pretend Stripe account."""

    def __init__(self, house: House, pretend: PretendStripe, nora: Visitor) -> None:
        self.house, self.pretend, self.nora = house, pretend, nora

    async def connects(self, key: str = ADAS_KEY) -> Any:
        return await self.nora.post("/app/connections/stripe", {"key": key})

    async def shown(self, path: str = "/app/connections") -> str:
        answer = await self.nora.get(path)
        assert answer.status_code == 200, answer.text
        return " ".join(answer.text.split())


@pytest.fixture
async def desk(database: Any) -> AsyncIterator[Desk]:
    """Signed in; nothing but the shop is connected."""
    house = House(database)
    account = Account(secrets=("x",), path="/", clock=house.clock.now, seed=3, api_key=ADAS_KEY, name="Nora's tea")
    pretend = PretendStripe(account, permissions=set(EVERYTHING))
    async with served(pretend.app) as base:
        api = StripeApi(base=base, clock=house.clock, http=stripe_library.HTTPXClient(timeout=20))  # type: ignore[arg-type]
        house.over = {"stripe": api}
        await house.open()
        yield Desk(house, pretend, await house.signed_in(NORA))
        await api.aclose()


async def test_an_account_is_connected_shown_and_disconnected(desk: Desk) -> None:
    """From the empty page to the last one; each step says what it did, and is in the journal."""
    assert "No Stripe account is connected" in await desk.shown()
    assert "Charges and Refunds" in await desk.shown("/app/connections/stripe")
    done = await desk.connects()
    assert (done.status_code, done.headers["location"].partition("?")[0]) == (303, "/app/connections")
    page = await desk.shown(done.headers["location"])
    assert "is connected. Its payments count from now on." in page
    assert f"key ending in {ADAS_KEY[-4:]}" in page and ADAS_KEY not in page
    (number,) = (await desk.house.rows("SELECT max(id) FROM connections WHERE merchant_id = 1"))[0]
    path = f"/app/connections/stripe/{number}/disconnect"
    assert "What was earned stays" in await desk.shown(path)
    done = await desk.nora.post(path)
    assert "webhook deleted" in await desk.shown(done.headers["location"]) and desk.pretend.endpoints == []
    rows = await desk.house.rows("SELECT who, did, about FROM journal WHERE about LIKE 'connection:%'")
    assert {row[1] for row in rows} == {"connected a Stripe account", "disconnected a Stripe account"}
    assert all(row[0] == "link:nora" and row[2] == f"connection:{number}" for row in rows)
    assert (await desk.nora.post(path)).status_code == 404


async def test_what_a_key_lacks_is_listed_and_nothing_that_was_pasted_comes_back(desk: Desk) -> None:
    """The form returns with 422, the words beside the field, and an empty field."""
    desk.pretend.permissions = EVERYTHING - {"event_read", "webhook_write"}
    answer = await desk.connects()
    text = " ".join(answer.text.split())
    assert answer.status_code == 422 and ADAS_KEY not in text
    assert "<strong>Events</strong> (under Core): Read" in text and "rak_webhook_write" in text
    for pasted, said in (("sk_live_51Canary", "secret key"), ("whsec_Canary", "signing secret"), ("", "Paste a")):
        answer = await desk.connects(pasted)
        assert answer.status_code == 422 and said in answer.text and "Canary" not in answer.text
        assert 'aria-invalid="true"' in answer.text
    desk.pretend.fail_next = [500] * 60
    answer = await desk.connects()
    assert answer.status_code == 503 and "try again in a minute" in answer.text


async def test_a_revoked_key_and_a_missing_webhook_say_what_to_do(desk: Desk) -> None:
    """A button puts the webhook back; a dead key needs a new one."""
    await desk.connects()
    desk.pretend.endpoints.clear()
    desk.house.clock.offset += 7 * HOUR
    await tend(desk.house.context)
    desk.nora = await desk.house.signed_in(NORA)
    assert "Set the webhook up again" in await desk.shown()
    (number,) = (await desk.house.rows("SELECT max(id) FROM connections WHERE merchant_id = 1"))[0]
    done = await desk.nora.post(f"/app/connections/stripe/{number}/repair")
    assert "is set up again" in await desk.shown(done.headers["location"]) and len(desk.pretend.endpoints) == 1
    desk.pretend.revoked = True
    desk.house.clock.offset += 7 * HOUR
    await tend(desk.house.context)
    desk.nora = await desk.house.signed_in(NORA)
    page = await desk.shown()
    assert "Stripe no longer accepts our key" in page and "Give a new key" in page
    done = await desk.nora.post(f"/app/connections/stripe/{number}/disconnect")
    assert "could not be deleted" in await desk.shown(done.headers["location"])


async def test_parting_from_a_stripe_that_is_away_asks_whether_to_leave_the_webhook(desk: Desk) -> None:
    """Nothing is changed at first."""
    await desk.connects()
    (number,) = (await desk.house.rows("SELECT max(id) FROM connections WHERE merchant_id = 1"))[0]
    desk.pretend.fail_next = [503] * 30
    answer = await desk.nora.post(f"/app/connections/stripe/{number}/disconnect")
    assert answer.status_code == 503 and 'name="anyway"' in answer.text
    desk.pretend.fail_next = [503] * 30
    answer = await desk.nora.post(f"/app/connections/stripe/{number}/disconnect", {"anyway": "on"})
    assert answer.status_code == 303


async def test_the_shops_permissions_are_told_in_words(desk: Desk) -> None:
    """What is missing, what was taken away, and when webhooks went quiet."""
    await desk.house.does("UPDATE connections SET token = 'sealed', scopes = '[\"write_orders\", \"read_customers\"]'")
    page = await desk.shown()
    assert page.count(">Missing<") == 2 and page.count(">Not granted<") == 11 and "Parcels" in page
    await desk.house.does(
        "INSERT INTO reconcile_marks (merchant_id, connection, next_at, state, quiet_since, quiet_why)"
        " SELECT 1, id, 0, 'ok', 1, 'nothing came while orders did' FROM connections WHERE merchant_id = 1"
    )
    await desk.house.does(
        "INSERT INTO reconciliations (merchant_id, connection, started_at, since_at, sales, micropoints)"
        " SELECT 1, id, ?1, 0, 3, 41000000 FROM connections WHERE merchant_id = 1",
        desk.house.clock.now(),
    )
    page = await desk.shown()
    assert "Webhooks have gone quiet" in page and "3 sales, 41 points" in page
    await desk.house.does("UPDATE connections SET revoked_at = 1, revoked_why = 'the app was removed'")
    assert "The shop no longer answers us" in await desk.shown()


def test_every_permission_we_ask_for_is_told_in_words() -> None:
    """The page names what the app's configuration asks for, and nothing else."""
    assert {scope.name for scope in SCOPES} == {*REQUIRED, *OPTIONAL}


async def test_the_sending_domain_is_checked_on_request(desk: Desk) -> None:
    """The page itself asks nobody, so that it is there at once; records can be copied either way."""
    assert "<strong>hello@regulars.example</strong>, which whoever runs" in await desk.shown("/app/connections/domain")
    now = desk.house.clock.now()
    mine: dict[str, object] = {"messages.from_address": f"hello@{HATS}"}
    await desk.house.database.run(lambda: change_program(NORA, mine, now))
    async with serving(GOOD) as (dns, server):
        object.__setattr__(desk.house.context, "dns", dns)
        page = await desk.shown("/app/connections/domain")
        assert server.asked == [] and "v=DMARC1; p=none;" in page and f"hello@{HATS}" in page
        page = await desk.shown("/app/connections/domain?check=now")
        assert server.asked and "quarantine" in page and "A key is published" in page
    mailbox: dict[str, object] = {"messages.from_address": "nora@gmail.com"}
    await desk.house.database.run(lambda: change_program(NORA, mailbox, now))
    assert "Notes cannot come from gmail.com" in await desk.shown("/app/connections/domain")
