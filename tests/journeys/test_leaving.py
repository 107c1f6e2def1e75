"""A person's data for the store's owner, shops that are forgotten or come back, and work that is cut off."""

import asyncio
import io
import itertools
import json
import zipfile
from typing import Any

import pytest

from handlers.points.audit import audit_books
from handlers.privacy import jobs, leaving, store
from integration import faults
from integration.clock import DAY
from integration.database.steps import ask, plain
from integration.errors import Revoked, Unavailable
from integration.faults import Staged, arm
from tests.journeys.street import Street
from tests.journeys.test_forgetting import Zoe, carried_out, everything, found
from tests.journeys.town import Town
from tests.properties.tape import SHOP_DOMAIN, SHOP_ID


@pytest.fixture
def town(street: Street, runner: asyncio.Runner) -> Any:
    """One more shop of the street, on both platforms."""
    town = Town(street, street.number(), "once", None)
    runner.run(town.open())
    yield town
    faults.arm("")
    runner.run(street.close(town.merchant))


async def asks(town: Town, topic: str, **more: Any) -> store.Request:
    """Shopify asks for something; returns the request as it stands."""
    town.tape.shopify(topic, {"shop_id": SHOP_ID, "shop_domain": SHOP_DOMAIN, **more}, town.clock)
    await town.told()
    return await newest(town)


async def newest(town: Town) -> store.Request:
    """The merchant's newest request."""
    return (await town.street.context.database.read(lambda: store.newest(town.merchant, 1)))[0]


async def does(town: Town, statement: str, *values: Any) -> None:
    """Do something to the database that no webhook does."""
    await town.street.context.database.run(lambda: ask(plain(statement), values))


async def audited(town: Town) -> None:
    """The books of a merchant agree."""
    street = town.street
    findings = await street.context.database.read(
        lambda: audit_books(town.merchant, street.clock.now(), street.context.auditors)
    )
    assert findings.drifts == []


def test_a_persons_data_is_made_ready_for_the_owner(town: Town, runner: asyncio.Runner):
    """Everything of theirs and nothing of others', in one file; the mail that says so names nobody."""

    async def story() -> None:
        street, zoe = town.street, Zoe(town)
        town.order(town.ana)
        await zoe.lives()
        customer = {"id": zoe.who.shopify, "email": zoe.email, "phone": None}
        asked = await asks(
            town, "customers/data_request", customer=customer, orders_requested=[], data_request={"id": 9}
        )
        await carried_out(street)
        done = await newest(town)
        assert (done.stage, done.who) == ("done", "shopify")
        file = await street.context.database.run(lambda: store.fetch(town.merchant, asked.id, street.clock.now()))
        with zipfile.ZipFile(io.BytesIO(file.content)) as archive:
            told = archive.read("data.json").decode().lower()
            data = json.loads(archive.read("data.json"))
        missing = {word for word in zoe.words if word.lower() not in told}
        # A line's and a recovered event's names are ours to know, not hers.
        assert missing <= {word for word in zoe.words if word.endswith("-line")} | {"evt"}
        assert town.ana.email not in told
        sections = ("person", "names", "consent", "do_not_mail", "sales", "points", "messages", "reviews", "deliveries")
        assert {name: bool(data[name]) for name in sections} == dict.fromkeys(sections, True)
        (letter,) = town.letters(town.owner, f"Request {asked.id}")
        text = letter.get_body(("plain",)).get_content()
        assert not any(word.lower() in text.lower() for word in zoe.words)
        # Nobody else's merchant gets at it, and in a month it is gone.
        assert await street.context.database.run(lambda: store.fetch(999, asked.id, street.clock.now())) is None
        await town.passes(days=31)
        await jobs.prune(street.context)
        assert await town.rows("SELECT request FROM privacy_files") == []

    runner.run(story())


def test_work_that_is_cut_off_goes_on(town: Town, runner: asyncio.Runner):
    """However often it dies between two parts, in the end nothing is left, and nothing is done twice."""

    async def story() -> None:
        street, zoe = town.street, Zoe(town)
        await zoe.lives()
        await zoe.is_asked_to_be_forgotten()
        deaths = 0
        for nth in itertools.count(1):
            arm(f"privacy.part:raise:{nth}")
            try:
                await jobs.carry_out(street.context)
            except Staged:
                deaths += 1
            arm("")
            if (await newest(town)).done_at is not None:
                break
            # Whoever comes next waits for the lease to end, and for the pause after a failure.
            await does(town, "UPDATE privacy_keys SET claim = NULL")
            await does(town, "UPDATE privacy_requests SET next_at = 0")
        assert nth > 2
        assert found(await everything(street), zoe.words) == {}
        await audited(town)

    runner.run(story())


def test_a_shop_that_left_is_forgotten_whole(town: Town, runner: asyncio.Runner):
    """Everybody who bought there, its words and connections; the ledger adds up, of nobody."""

    async def story() -> None:
        street, zoe = town.street, Zoe(town)
        town.order(town.bo)
        await zoe.lives()
        await does(town, "UPDATE connections SET closed_at = 1, token = NULL WHERE merchant_id = ?1", town.merchant)
        before = await town.rows("SELECT account, micropoints FROM accounts", "ORDER BY account")
        await asks(town, "shop/redact")
        await carried_out(street)
        assert (await newest(town)).stage == "done"
        words = zoe.words | {town.bo.email, town.owner, town.name.lower(), f"corner-{town.number}.myshopify.com"}
        assert found(await everything(street), words) == {}
        assert await town.rows("SELECT account, micropoints FROM accounts", "ORDER BY account") == before
        await audited(town)
        # What comes late of it is deleted; what a new beginning of the shop sends is kept for it.
        late = town.here(town.tape.deliveries[0])
        assert await town.post(late, delivery_id="late") == 200
        await carried_out(street)
        assert found(await everything(street), words) == {}

    runner.run(story())


def test_a_shop_that_goes_on_with_stripe_forgets_what_shopify_told(town: Town, runner: asyncio.Runner):
    """Whoever Shopify told of is forgotten; who is known by Stripe alone stays."""

    async def story() -> None:
        street, zoe = town.street, Zoe(town)
        town.payment(town.caro, 3_000).pay()
        town.order(town.bo)
        await town.told()
        await zoe.lives()
        await does(
            town,
            "UPDATE connections SET closed_at = 1 WHERE merchant_id = ?1 AND platform = 'shopify'",
            town.merchant,
        )
        await asks(town, "shop/redact")
        await carried_out(street)
        assert (await newest(town)).stage == "done"
        left = found(await everything(street), zoe.words | {str(town.bo.email)})
        # Deliveries of Stripe are kept for thirty days.
        tables = {place.partition(".")[0] for place in left}
        assert tables <= {"event_bodies", "import_lines", "recoveries", "backfills", "suppressions"}, left
        assert await town.points(town.caro) == {"pending": 30}
        await audited(town)

    runner.run(story())


@pytest.mark.parametrize("answer", ["connected", "gone", "away", "no key"])
def test_a_shop_that_is_back_is_not_forgotten(
    town: Town, runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch, answer: str
):
    """The shop itself says whether it is; without a key to ask with, a person has to."""

    async def ping(_shop: str, _token: str) -> None:
        if answer == "gone":
            raise Revoked("uninstalled")
        if answer == "away":
            raise Unavailable("no answer")

    async def story() -> None:
        street = town.street
        town.order(town.ana)
        await town.told()
        monkeypatch.setattr(street.context.shopify, "ping", ping)
        if answer != "no key":
            sealed = street.context.vault.seal("shpat_1", table="connections", merchant=town.merchant, column="token")
            await does(
                town,
                "UPDATE connections SET token = ?2 WHERE merchant_id = ?1 AND platform = 'shopify'",
                town.merchant,
                sealed,
            )
        asked = await asks(town, "shop/redact")
        await jobs.carry_out(street.context)
        stands = await newest(town)
        assert stands.stage == {"connected": "void", "gone": "done", "away": "find", "no key": "held"}[answer]
        assert bool(await town.rows("SELECT number FROM customers", "AND email IS NOT NULL")) == (answer != "gone")
        if answer in ("away", "no key"):
            await does(town, "UPDATE privacy_requests SET stage = 'confirmed', next_at = 0 WHERE id = ?1", asked.id)
            await carried_out(street)
            assert await town.rows("SELECT number FROM customers", "AND email IS NOT NULL") == []

    runner.run(story())


@pytest.mark.parametrize("comes", ["the shop", "a Stripe account"])
def test_a_shop_that_comes_back_while_it_is_forgotten_keeps_what_is_left(
    town: Town, runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch, comes: str
):
    """Each part looks at the connections as they are by then, not as they were when the first began."""

    async def ping(_shop: str, _token: str) -> None:
        """It answers: it is connected."""

    async def story() -> None:
        street, parts = town.street, 0
        town.order(town.ana)
        await town.told()
        mine = "FROM connections WHERE merchant_id = ?1 AND platform = "
        stripe = await street.context.database.read(lambda: ask(plain(f"SELECT id {mine}'stripe'"), (town.merchant,)))
        await does(town, "UPDATE connections SET closed_at = 1, token = NULL WHERE merchant_id = ?1", town.merchant)
        monkeypatch.setattr(street.context.shopify, "ping", ping)
        monkeypatch.setattr(leaving, "ROWS_AT_ONCE", 1)

        async def part(self: jobs.Work, make: Any) -> store.Request:
            nonlocal parts
            parts += 1
            if parts == 2 and comes == "the shop":
                sealed = street.context.vault.seal("new", table="connections", merchant=town.merchant, column="token")
                again = "UPDATE connections SET closed_at = NULL, connected_at = 9, token = ?2 WHERE merchant_id = ?1"
                await does(town, f"{again} AND platform = 'shopify'", town.merchant, sealed)
            elif parts == 2:
                await does(town, "UPDATE connections SET closed_at = NULL WHERE id = ?1", stripe[0][0])
            return await whole(self, make)

        whole = jobs.Work.part
        monkeypatch.setattr(jobs.Work, "part", part)
        await asks(town, "shop/redact")
        await jobs.carry_out(street.context)
        left = {row[0] for row in await town.rows("SELECT platform FROM connections", "AND closed_at IS NULL")}
        if comes == "the shop":
            assert (await newest(town)).stage == "find"
            await does(town, "UPDATE privacy_requests SET next_at = 0")
            await jobs.carry_out(street.context)
            assert ((await newest(town)).stage, left) == ("void", {"shopify"})
        else:
            assert ((await newest(town)).stage, left) == ("done", {"stripe"})

    runner.run(story())


def test_what_an_unknown_shop_sent_goes_at_its_request(town: Town, runner: asyncio.Runner):
    """Deliveries kept for a shop that never came; a request under its name in another's body is not its own."""

    async def story() -> None:
        street = town.street
        town.order(town.dan)
        order, *_ = town.tape.deliveries
        town._sent = len(town.tape.deliveries)
        strange = f"strange-{town.number}.myshopify.com"
        assert await town.post(order, shop=strange) == 200
        body = {"shop_id": 77, "shop_domain": "another.myshopify.com"}
        town.tape.shopify("shop/redact", body, town.clock)
        forged = town.tape.deliveries[-1]
        assert await town.post(forged, shop=strange) == 200
        await carried_out(street)
        kept = "SELECT count(*) FROM events WHERE connection = ?1 AND merchant_id IS NULL"
        database = street.context.database
        assert (await database.read(lambda: ask(plain(kept), (strange,))))[0][0] == 2
        town.tape.shopify("shop/redact", {**body, "shop_domain": strange}, town.clock)
        assert await town.post(town.tape.deliveries[-1], shop=strange) == 200
        await carried_out(street)
        assert (await database.read(lambda: ask(plain(kept), (strange,))))[0][0] == 0
        assert (
            await database.read(lambda: ask(plain("SELECT 1 FROM unknown_shops WHERE connection = ?1"), (strange,)))
            == []
        )
        (receipt,) = [
            one
            for one in await database.read(lambda: store.requests(store.EVERYBODY, only_open=False))
            if one.asked_at > street.clock.now() - DAY
        ]
        assert (receipt.stage, receipt.removed) == ("done", {"events": 3})

    runner.run(story())
