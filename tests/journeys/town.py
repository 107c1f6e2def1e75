"""One shop of a journey: its people, its platforms, the clock on its wall, and what can be seen of it."""

import base64
import hashlib
import hmac
import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any

import stripe
from sqlalchemy import text

from handlers.merchants.connections import Wish, add_merchant, connect_stripe
from handlers.merchants.programs import change_program
from handlers.points.adjust import adjust, forgive
from handlers.points.statement import find_customer, statement
from integration.clock import DAY, SECOND, to_iso
from tests.oracle.tellings import Delivery, Shop
from tests.properties.histories import History, elsewhere
from tests.properties.shopify_stories import Account, Buyer, Line, PretendOrder
from tests.properties.stripe_stories import PretendPayment
from tests.properties.tape import SHOP_DOMAIN, STRIPE_TOKEN, Tape, micros

if TYPE_CHECKING:
    from tests.journeys.street import Street

SHOPIFY_SECRET = "shpss_the-app-secret-of-the-journeys"
STRIPE_SECRET = "whsec_the-endpoint-secret-of-the-journeys"
MORNING = datetime(2026, 10, 6, 15, 0, tzinfo=UTC)  # a Tuesday, 11:00 in New York
SEED = 20261006
NEXT_DOOR = 100_000

PROGRAMME = {
    "earning.enabled": True,
    "earning.points_per_unit": "1",
    "earning.hold_days": 30,
    "thanks.enabled": True,
    "thanks.when": "every",
    "thanks.delay_minutes": 60,
    "reviews.enabled": True,
    "messages.window": "always",
    "messages.cap_hours": 0,
    "messages.cap_fortnight": 0,
}


@dataclass(frozen=True)
class Person:
    """Somebody with a name; `shopify` and `stripe` are ids of accounts they have, if any."""

    name: str
    email: str | None = None
    shopify: int | None = None
    stripe: str | None = None

    @property
    def buyer(self) -> Buyer:
        return Buyer(self.shopify, self.email)


class Town:
    """What a journey speaks to. Nothing is delivered before `told`, which waits until all of it is worked."""

    def __init__(self, street: "Street", number: int, style: str, withheld: int | None) -> None:
        self.street, self.number, self.style, self.withheld = street, number, style, withheld
        self.tape = Tape()
        self.merchant = 0
        self.stripe_token = ""
        self._sent = 0
        self._alive: list[PretendOrder | PretendPayment] = []
        self._random = random.Random(f"{SEED} {number}")
        mail = f"{number}.home.example"
        self.ana = Person("Ana", f"ana@{mail}", shopify=5001)
        self.bo = Person("Bo", f"bo@{mail}")
        self.caro = Person("Caro", f"caro@{mail}", stripe="cus_caro")
        self.dan = Person("Dan", f"dan@{mail}", shopify=5004)
        self.stranger = Person("Nobody known")
        self.owner = f"owner@{number}.shop.example"

    async def neighbour(self, *, opened: bool = True, next_door: int = 1) -> "Town":
        """Another shop, told of in the same style."""
        other = Town(self.street, self.number + NEXT_DOOR * next_door, self.style, self.withheld)
        other.clock = self.clock
        if opened:
            await other.open()
        return other

    async def open(self, shop: str | None = None) -> None:
        """The shop opens: it joins with both platforms connected and its programme on."""
        self.clock = MORNING
        self._set_clock()
        run, vault, joined = self.street.context.database.run, self.street.context.vault, self._now() - 30 * DAY
        wish = Wish(
            f"Corner {self.number}", shop or f"corner-{self.number}", "USD", "America/New_York", "US", self.owner
        )
        merchant = await run(lambda: add_merchant(wish, vault, joined))
        self.merchant, self.name = merchant.id, merchant.name
        path = await run(lambda: connect_stripe(merchant.id, STRIPE_SECRET, None, vault, joined))
        self.stripe_token = path.rpartition("/")[2]
        await run(lambda: change_program(self.merchant, PROGRAMME, joined))

    def at(self, moment: datetime) -> None:
        """Put the clock to a moment."""
        self.clock = moment
        self._set_clock()

    async def programme(self, **settings: Any) -> None:
        """The merchant changes settings, as of now; `earning__hold_days=14` means `earning.hold_days`."""
        changes = {key.replace("__", "."): value for key, value in settings.items()}
        now = self._now() - SECOND
        await self.street.context.database.run(lambda: change_program(self.merchant, changes, now))

    async def is_stripe_account(self, account: str) -> None:
        """The shop's Stripe account is known by its own id."""
        async with self.street.context.database.begin() as connection:
            statement = "UPDATE connections SET shop_id = :a WHERE merchant_id = :m AND platform = 'stripe'"
            await connection.execute(text(statement), {"a": account, "m": self.merchant})

    # --- what happens ---

    def order(self, who: Person, *lines: Line, **more: Any) -> PretendOrder:
        """Somebody places an order in the Shopify shop, of one coffee at 40.00 unless lines are named."""
        order = PretendOrder(self.tape, self.clock, list(lines) or [Line(4000)], who.buyer, **more).place()
        self._alive.append(order)
        return order

    def payment(self, who: Person, amount: int, **more: Any) -> PretendPayment:
        """Somebody is about to pay through Stripe; the journey says how it goes on."""
        payment = PretendPayment(self.tape, self.clock, amount, customer=who.stripe, email=who.email, **more)
        self._alive.append(payment)
        return payment

    def customer(self, who: Person, *, topic: str = "customers/update", verified: bool = True) -> None:
        """Shopify tells of a customer's record."""
        assert who.shopify is not None
        self.tape.shopify(topic, Account(who.shopify, who.email, verified).body(self.clock), self.clock)

    async def told(self) -> None:
        """Everything that happened since is delivered, in the journey's style, and worked."""
        first, self._sent = self._sent, len(self.tape.deliveries)
        news = list(enumerate(self.tape.deliveries[first:], start=first))
        late = [delivery for position, delivery in news if position == self.withheld]
        now = [delivery for position, delivery in news if position != self.withheld]
        if self.style == "twice":
            now = [delivery for delivery in now for _ in ("first", "second")]
        elif self.style == "shuffled":
            self._random.shuffle(now)
        for chapter in (now, late):
            for delivery in chapter:
                answer = await self.deliver(delivery)
                assert answer == 200, f"{delivery.topic}: {answer}"
            await self.street.idle()

    async def deliver(self, delivery: Delivery) -> int:
        """Sign one delivery as its platform does and post it; return the answer's status."""
        return await self.post(self.here(delivery))

    async def post(
        self, mine: Delivery, *, shop: str | None = None, topic: str | None = None, delivery_id: str | None = None
    ) -> int:
        """Sign the body of a delivery of this town and post it, if wanted under other (unsigned) headers."""
        raw = mine.raw
        if mine.platform == "shopify":
            digest = hmac.new(SHOPIFY_SECRET.encode(), raw, hashlib.sha256).digest()
            path = "/webhooks/shopify"
            headers = {
                "X-Shopify-Hmac-Sha256": base64.b64encode(digest).decode(),
                "X-Shopify-Topic": topic or mine.topic,
                "X-Shopify-Shop-Domain": shop or mine.connection,
                "X-Shopify-Webhook-Id": delivery_id or mine.delivery_id,
                "X-Shopify-Triggered-At": str(to_iso(mine.triggered_at)),
                "X-Shopify-API-Version": "2026-10",
            }
        else:
            at = self.street.clock.now() // SECOND
            path = f"/webhooks/stripe/{mine.connection}"
            signature = stripe.WebhookSignature.generate_signature_header(raw.decode(), STRIPE_SECRET, at)
            headers = {"Stripe-Signature": signature}
        response = await self.street.http.post(path, content=raw, headers=headers)
        return response.status_code

    async def send_again(self) -> int:
        """Send all there ever was to this shop: as it was and, of Shopify's, under other ids; returns how many."""
        sent = 0
        for position, delivery in enumerate(self.tape.deliveries):
            here = self.here(delivery)
            # Shopify signs no id; Stripe's is in the body.
            for name in (None, f"captured-{position}")[: 2 if here.platform == "shopify" else 1]:
                assert await self.post(here, delivery_id=name) == 200
                sent += 1
        await self.street.idle()
        return sent

    async def passes(self, **time: float) -> None:
        """Time passes (`days=3, hours=1`), and what falls due is done."""
        await self.told()
        self.clock += timedelta(**time)
        self._set_clock()
        for one in self._alive:
            one.at = self.clock
        await self.street.idle()

    async def spends(self, who: Person, points: int) -> None:
        """Somebody's points are spent at the counter, and the merchant writes it down."""
        number = await self._number(who)
        now, reason = self.street.clock.now(), "spent at the counter"
        run = self.street.context.database.run
        await run(lambda: adjust(self.merchant, number, -points, reason, None, now))

    async def forgive(self, who: Person) -> None:
        """The merchant forgives what somebody owes."""
        number = await self._number(who)
        now = self._now()
        await self.street.context.database.run(lambda: forgive(self.merchant, number, now))

    # --- what can be seen ---

    async def account(self, who: Person | str) -> dict[str, Any]:
        """Everything the merchant is shown of somebody, as `regulars customer show` prints it."""
        number = await self._number(who)
        now = self.street.clock.now()
        return await self.street.context.database.read(lambda: statement(self.merchant, number, now))

    async def points(self, who: Person | str) -> dict[str, int]:
        """Somebody's points: available, pending, held."""
        points = (await self.account(who))["points"]
        return {bucket: points[bucket] for bucket in ("available", "pending", "held") if points[bucket]}

    async def sales(self, who: Person | str) -> list[dict[str, Any]]:
        """Somebody's sales, the oldest first."""
        return list((await self.account(who))["sales"])

    async def why(self, who: Person | str) -> str:
        """What the merchant reads about somebody's sales, in one text."""
        return " ".join(sentence for sale in await self.sales(who) for sentence in sale["why"])

    async def messages(self, who: Person | str, kind: str) -> list[dict[str, Any]]:
        """Somebody's messages of one kind, without those that were called off."""
        account = await self.account(who)
        return [m for m in account["messages"] if m["kind"] == kind and m["state"] != "cancelled"]

    def letters(self, who: Person | str, about: str = "") -> list[EmailMessage]:
        """The letters in somebody's mailbox, those with a word in the subject if one is named."""
        address = who if isinstance(who, str) else who.email
        assert address is not None
        return [letter for letter in self.street.mailbox.to(address) if about.lower() in letter["subject"].lower()]

    async def books(self) -> tuple[list[tuple[Any, ...]], ...]:
        """The whole ledger, every message and every review of the shop."""
        return (
            await self.rows(
                "SELECT number, key, sale, source, destination, micropoints, at FROM ledger_entries", "ORDER BY number"
            ),
            await self.rows("SELECT key, customer, state, reason, sent_at FROM messages", "ORDER BY key"),
            await self.rows("SELECT sale, line, stars, words, published_at FROM reviews", "ORDER BY sale, line"),
        )

    async def unclaimed(self) -> dict[str, int]:
        """Points of sales nobody is known to have made, in whole points."""
        return {
            account.removeprefix("unclaimed:"): amount // 1_000_000
            for account, amount in await self.rows("SELECT account, micropoints FROM accounts")
            if account.startswith("unclaimed:") and amount
        }

    async def rows(self, select: str, more: str = "") -> list[tuple[Any, ...]]:
        """Rows of one of the shop's tables."""
        async with self.street.context.engine.connect() as connection:
            found = await connection.execute(text(f"{select} WHERE merchant_id = :m {more}"), {"m": self.merchant})
            return [tuple(row) for row in found]

    async def _number(self, who: Person | str) -> int:
        name = who if isinstance(who, str) else who.email or f"shopify:{who.shopify}"
        return await self.street.context.database.read(lambda: find_customer(self.merchant, name))

    def here(self, delivery: Delivery) -> Delivery:
        """The delivery as it comes from this town's own shop and Stripe account."""
        shop = Shop("", "USD", SHOP_DOMAIN, STRIPE_TOKEN, ())
        told = History(shop, (delivery,), frozenset(), ticks=True)
        return elsewhere(told, self.number, self.stripe_token).deliveries[0]

    def _now(self) -> int:
        return micros(self.clock)

    def _set_clock(self) -> None:
        self.street.clock.offset = self._now() - time.time_ns() // 1000
