"""Plays a history through the real path: signed bytes, verified, recorded, claimed, read, applied, settled."""

import base64
import hashlib
import hmac
import itertools
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import stripe
from sqlalchemy import text

from config.settings import Settings
from config.wiring import opened
from handlers.context import Context
from handlers.inbox.record import Delivery as Recorded
from handlers.inbox.record import record_all
from handlers.inbox.work import drain
from handlers.merchants.connections import Wish, add_merchant, connect_stripe, find_merchant
from handlers.merchants.programs import change_program
from integration.clock import SECOND, Clock, to_iso
from integration.shopify import webhooks as shopify_webhooks
from integration.stripe import webhooks as stripe_webhooks
from tests.oracle.expectation import UNCLAIMED, Expected, expect
from tests.oracle.notes import asked, plain, thanked
from tests.oracle.people import Name
from tests.oracle.tellings import DAY, Delivery, Shop
from tests.properties.cases import ACCOUNT
from tests.properties.histories import History, elsewhere
from tests.properties.tape import NOW, START, micros

SHOPIFY_SECRET = "shpss_the-app-secret-of-the-property-tests"
STRIPE_SECRET = "whsec_the-endpoint-secret-of-the-property-tests"
JOINED = micros(START) - 400 * DAY
RELEASED = 100 * DAY  # by then every hold is over

_numbers = itertools.count(1)


Notes = dict[tuple[str, int], tuple[Any, ...]]  # (kind, the sale's place) -> what is still to go out
KINDS = ("thank_you", "review_request")


@dataclass
class Observed:
    """The end a play came to; micropoints by sale (its names), person and bucket."""

    by_sale: dict[frozenset[tuple[str, str, str]], dict[tuple[Name, str], int]]
    balances: dict[tuple[Name, str], int]
    unworked: list[tuple[Any, ...]]
    # (sale's names, kind) of what is still to go out -> when it is due, to whom, test or not, for where
    messages: list[tuple[frozenset[tuple[str, str, str]], str, tuple[Any, ...]]] = field(default_factory=list)


class Stage:
    """One database and everything that works on it, with a clock that stands where the stories end."""

    def __init__(self, context: Context, clock: Clock, shopify_secret: str = SHOPIFY_SECRET) -> None:
        self.context, self.clock, self.shopify_secret = context, clock, shopify_secret
        self.set_clock(micros(NOW))

    @classmethod
    @asynccontextmanager
    async def opened(cls, url: str, folder: Path) -> AsyncIterator["Stage"]:
        """Open the program as its commands do, without serving."""
        settings = Settings(
            _env_file=None,
            database_url=url,
            data_dir=folder,
            secret_key="the-secret-key-of-the-property-tests",
            shopify_api_secret=SHOPIFY_SECRET,
        )
        clock = Clock()
        async with opened(settings, clock=clock) as context:
            yield cls(context, clock)

    def set_clock(self, instant: int) -> None:
        self.clock.offset = instant - time.time_ns() // 1000

    async def welcome(self, history: History) -> History:
        """Add a new merchant with the history's programmes; returns the history as it happens to them."""
        number = next(_numbers)
        run, shop = self.context.database.run, history.shop
        wish = Wish(f"Corner {number}", f"corner-{number}", shop.currency, shop.timezone, shop.country)
        merchant = await run(lambda: add_merchant(wish, self.context.vault, JOINED))
        path = await run(lambda: connect_stripe(merchant.id, STRIPE_SECRET, None, self.context.vault, JOINED))
        for programme in shop.programmes:
            changes = {
                f"{section}.{key}": value
                for section, settings in programme.document.items()
                for key, value in settings.items()
            }
            at = programme.in_force_at - SECOND
            await run(lambda changes=changes, at=at: change_program(merchant.id, changes, at))
        async with self.context.database.begin() as connection:
            known = "UPDATE connections SET shop_id = :a WHERE merchant_id = :m AND platform = 'stripe'"
            await connection.execute(text(known), {"a": f"{ACCOUNT}{number}", "m": merchant.id})
        return elsewhere(history, number, path.rpartition("/")[2])

    def request(self, delivery: Delivery) -> tuple[str, bytes, list[tuple[bytes, bytes]]]:
        """Sign a body as its platform does; return path, body and headers of the request."""
        raw = delivery.raw
        if delivery.platform == "shopify":
            digest = hmac.new(self.shopify_secret.encode(), raw, hashlib.sha256).digest()
            headers = [
                (b"x-shopify-hmac-sha256", base64.b64encode(digest)),
                (b"x-shopify-topic", delivery.topic.encode()),
                (b"x-shopify-shop-domain", delivery.connection.encode()),
                (b"x-shopify-webhook-id", delivery.delivery_id.encode()),
                (b"x-shopify-triggered-at", str(to_iso(delivery.triggered_at)).encode()),
            ]
            return "/webhooks/shopify", raw, headers
        at = self.clock.now() // SECOND
        signature = stripe.WebhookSignature.generate_signature_header(raw.decode(), STRIPE_SECRET, at)
        return f"/webhooks/stripe/{delivery.connection}", raw, [(b"stripe-signature", signature.encode())]

    def receive(self, delivery: Delivery) -> Recorded:
        """Verify a signed delivery as the receiver does."""
        _, raw, headers = self.request(delivery)
        now = self.clock.now()
        if delivery.platform == "shopify":
            told = shopify_webhooks.read_headers(headers)
            assert shopify_webhooks.verify(raw, told.signature, [self.shopify_secret])
            envelope = shopify_webhooks.envelope(told, raw, now)
        else:
            assert stripe_webhooks.verify(raw, headers[0][1], [STRIPE_SECRET], now / SECOND)
            envelope, _ = stripe_webhooks.envelope(raw, now)
        return Recorded(
            envelope.source, delivery.connection, envelope.delivery_id, envelope.topic, envelope.triggered_at,
            envelope.received_at, raw,
        )  # fmt: skip

    async def play(self, deliveries: Sequence[Delivery], batches: Sequence[int]) -> None:
        """Record deliveries in groups and work them in batches; `batches` is used in turn for both sizes."""
        sizes, rest = itertools.cycle(batches), list(deliveries)
        while rest:
            size = next(sizes)
            group, rest = rest[:size], rest[size:]
            recorded = [self.receive(delivery) for delivery in group]
            assert all(await record_all(self.context.database, recorded))
            if next(sizes) % 2 or not rest:
                await drain(self.context, batch=next(sizes))
        await drain(self.context)

    # --- what came of it ---

    async def look(self, shop: Shop, expected: Expected) -> Observed:
        """Read the end from the tables; people and sales by the names platforms give them."""
        merchant = await self.context.database.run(lambda: find_merchant(shop.name))
        people = await self._people(merchant, expected)
        names: dict[int, set[tuple[str, str, str]]] = defaultdict(set)
        survivor = {n: m or n for n, m in await self._rows("SELECT number, merged_into FROM sales", merchant)}
        for platform, kind, value, sale in await self._rows(
            "SELECT platform, kind, value, sale FROM sale_identities", merchant
        ):
            names[_last(sale, survivor)].add((platform, kind, value))
        by_sale: dict[frozenset[tuple[str, str, str]], dict[tuple[Name, str], int]] = {}
        sums: dict[str, int] = defaultdict(int)
        for sale, source, destination, amount in await self._rows(
            "SELECT sale, source, destination, micropoints FROM ledger_entries", merchant
        ):
            sums[source] -= amount
            sums[destination] += amount
            if sale is None:
                continue
            mine = by_sale.setdefault(frozenset(names[_last(sale, survivor)]), defaultdict(int))
            for account, change in ((source, -amount), (destination, amount)):
                if (place := _place(account, people)) is not None:
                    mine[place] += change
        accounts = dict(await self._rows("SELECT account, micropoints FROM accounts", merchant))
        assert {a: n for a, n in accounts.items() if n} == {a: n for a, n in sums.items() if n}
        balances: dict[tuple[Name, str], int] = defaultdict(int)
        for account, amount in accounts.items():
            if (place := _place(account, people)) is not None:
                balances[place] += amount
        unworked = await self._rows(
            "SELECT source, topic, outcome, reason FROM events",
            merchant,
            "AND (worked_at IS NULL OR outcome = 'suspect')",
        )
        behind = await self._rows("SELECT sale, capability, failure FROM settlements", merchant)
        return Observed(
            {sale: _without_zeros(places) for sale, places in by_sale.items() if _without_zeros(places)},
            _without_zeros(balances),
            [*unworked, *behind],
            [
                (frozenset(names[_last(sale, survivor)]), kind, (due_at, people[customer], bool(test), details))
                for sale, kind, due_at, customer, test, details in await self._rows(
                    "SELECT sale, kind, due_at, customer, test, details FROM messages",
                    merchant,
                    "AND state IN ('scheduled', 'waiting') AND kind IN ('thank_you', 'review_request')",
                )
            ],
        )

    async def _people(self, merchant: int, expected: Expected) -> dict[int, Name]:
        """Give each customer number the name the oracle knows the person by; all its names must agree."""
        rows = await self._rows("SELECT number, merged_into, shopify_id FROM customers", merchant)
        into = {number: merged or number for number, merged, _ in rows}
        shopify = {number: shopify_id for number, _, shopify_id in rows}
        names: dict[int, set[Name]] = defaultdict(set)
        for kind, value, number in await self._rows("SELECT kind, value, customer FROM customer_identities", merchant):
            names[number].add((kind, value))
        found = {}
        for number in into:
            root = _last(number, into)
            if shopify[root]:
                found[number] = expected.people.of_shopify(shopify[root])
            else:
                known = {expected.people.of_name(name) for name in names[number]}
                assert len(known) == 1, f"customer {number} is several people: {known}"
                found[number] = known.pop()
        return found

    async def _rows(self, select: str, merchant: int, more: str = "") -> list[tuple[Any, ...]]:
        async with self.context.engine.connect() as connection:
            rows = await connection.execute(
                text(f"{select} WHERE merchant_id = :merchant {more}"), {"merchant": merchant}
            )
            return [tuple(row) for row in rows]

    async def check(self, history: History, at: int, *, sending: bool = False) -> Notes:
        """Compare what came of a history with the oracle, at one instant; notes only where none is sent yet."""
        expected = expect(history.shop, history.deliveries, at)
        observed = await self.look(history.shop, expected)
        assert not observed.unworked, observed.unworked
        assert _described(expected, observed) == _described(expected, None)
        assert observed.balances == expected.balances
        return {} if sending else _notes(history.shop, expected, observed)

    async def perform(self, history: History, order: Sequence[int], batches: Sequence[int]) -> Notes:
        """Welcome a shop, deliver in an order (indexes, repeated at will), compare; then let the holds end.

        Returns the notes and requests still to go out, which no way of telling may change.
        """
        self.set_clock(micros(NOW))
        mine = await self.welcome(history)
        await self.play([mine.deliveries[index] for index in order], batches)
        notes = await self.check(mine, micros(NOW))
        self.set_clock(micros(NOW) + RELEASED)
        await drain(self.context)
        assert await self.check(mine, micros(NOW) + RELEASED) == notes
        return notes


def _described(expected: Expected, observed: Observed | None) -> dict[str, dict[tuple[Name, str], int]]:
    """Postings by a sale's first name; a sale the oracle does not know keeps the names it has."""
    if observed is None:
        return {str(min(sale.names)): dict(sale.postings) for sale in expected.sales if sale.postings}
    found: dict[str, dict[tuple[Name, str], int]] = {}
    for names, places in observed.by_sale.items():
        known = next((sale for sale in expected.sales if sale.names & names), None)
        mine = found.setdefault(str(min(known.names if known else names)), {})
        for place, amount in places.items():
            mine[place] = mine.get(place, 0) + amount
    return found


def _notes(shop: Shop, expected: Expected, observed: Observed) -> Notes:
    """List what is still to go out, by the sale's place; compare with the oracle where it can say."""
    found: Notes = {}
    for names, kind, what in observed.messages:
        place = next(n for n, sale in enumerate(expected.sales) if sale.names & names)
        assert (kind, place) not in found, f"two messages of a kind for one sale: {kind}"
        found[kind, place] = what
    for (_, place), (_, person, test, _) in found.items():
        assert (person, test) == (expected.sales[place].person, expected.sales[place].test)
    due = {at: {place: what[0] for (kind, place), what in found.items() if kind == at} for at in KINDS}
    assert due["thank_you"] == thanked(expected)
    requested = {
        place: at
        for place, at in due["review_request"].items()
        if expected.sales[place].order.order is not None and plain(expected.sales[place])
    }
    assert requested == asked(expected, shop)
    return found


def _place(account: str, people: dict[int, Name]) -> tuple[Name, str] | None:
    """The person and bucket of an account; None for the programme's own."""
    ledger, rest = ("test:", account[5:]) if account.startswith("test:") else ("", account)
    owner, _, bucket = rest.rpartition(":")
    if owner == "unclaimed":
        return (UNCLAIMED, ledger + bucket)
    kind, _, number = owner.partition(":")
    return (people[int(number)], ledger + bucket) if kind == "customer" else None


def _last(number: int, into: dict[int, int]) -> int:
    while into.get(number, number) != number:
        number = into[number]
    return number


def _without_zeros(places: dict[tuple[Name, str], int]) -> dict[tuple[Name, str], int]:
    return {place: amount for place, amount in places.items() if amount}
