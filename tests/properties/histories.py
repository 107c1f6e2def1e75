"""Histories of one shop for hypothesis to draw: every case of the rules, told by every topic."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from tests.oracle.tellings import DAY, Delivery, Programme, Shop
from tests.properties.shopify_stories import Account, Buyer, Line, PretendOrder, merge_body
from tests.properties.stripe_stories import PretendPayment, customer
from tests.properties.tape import (
    NOW,
    SHOP_DOMAIN,
    SHOP_ID,
    START,
    STRIPE_TOKEN,
    Tape,
    decimal,
    iso,
    micros,
)

BUYERS = ("account", "guest", "household", "merged", "moved", "unverified", "nobody")
LIVES = ("account", "merge", "failed merge", "moves", "stripe", "stripe moves", "leaves", "consent")
BEGINNINGS = ("paid", "authorized", "pending", "partially_paid", "foreign")
ORDER_STEPS = (
    "pieces", "all", "discrepancy", "money only", "shipping refund", "pending refund", "store credit", "exchange",
    "edit up", "edit down", "cancel", "reopen", "delete", "dispute", "inquiry", "ship", "touch", "pending money",
)  # fmt: skip
WAYS = ("checkout", "intent", "old charge", "invoice", "manual capture", "later", "fails", "authorised only")
STRIPE_CURRENCIES = ("eur", "isk", "jpy")
PAYMENT_STEPS = ("refund", "failed refund", "pending refund", "all", "dispute", "inquiry", "odd")
COURSES = (
    ["needs_response"],
    ["needs_response", "under_review"],
    ["needs_response", "under_review", "won"],
    ["needs_response", "lost"],
    ["under_review", "lost"],
)
LINKS = ("note", "metadata", "none", "none twice")
NOISES = ("shop", "scopes", "unknown", "thin", "plan", "privacy", "lonely refund", "lonely session")

MOST_STORIES = 4
MOST_STEPS = 4
ACCOUNT = "acct_corner"
RATES = ["1", "3", "0.5", "2.25", "0.333333", "0.01"]
CURRENCIES = ["USD", "USD", "EUR", "JPY", "KWD"]


@dataclass(frozen=True)
class History:
    """One shop, all that was delivered to it in the order it happened, and what the stories went through."""

    shop: Shop
    deliveries: tuple[Delivery, ...]
    cases: frozenset[str]
    ticks: bool  # no two states of one thing are of the same moment: nothing is left to digests of bodies

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        # What hypothesis prints of a failed example: whole bodies would hide the story.
        told = "\n".join(f"  {n}: {summary(delivery)}" for n, delivery in enumerate(self.deliveries))
        programmes = "\n".join(f"  {p.in_force_at} {p.document}" for p in self.shop.programmes)
        printer.text(f"History of {self.shop.currency} {self.shop.country}\n{programmes}\n{told}\n")


def summary(delivery: Delivery) -> str:
    """One line about a delivery, for the reader of a failed example."""
    body = delivery.body
    if delivery.platform == "stripe":
        thing = body.get("data", {}).get("object", {})
        keys = (
            "id", "amount", "amount_captured", "amount_refunded", "status", "currency", "customer", "payment_intent",
            "charge", "created", "livemode", "metadata", "total_details", "amount_details",
        )  # fmt: skip
        email = (thing.get("billing_details") or thing.get("customer_details") or {}).get("email")
        told = {key: thing[key] for key in keys if thing.get(key) not in (None, {}, [])}
        return f"{delivery.topic} {told} {email or ''} event created {body['created']}"
    if "line_items" not in body or "order_id" in body:
        return f"{delivery.topic} {str(body)[:700]}"
    lines = [
        (x["price"], x["quantity"], x["current_quantity"], x["gift_card"], "tip_payment_gateway" in x)
        for x in body["line_items"]
    ]
    refunds = [
        (
            [(i["line_item_id"], i["quantity"]) for i in r["refund_line_items"]],
            [(a["kind"], a["amount"]) for a in r["order_adjustments"]],
            [(t["status"], t["amount"]) for t in r["transactions"]],
        )
        for r in body["refunds"]
    ]
    keys = ("id", "updated_at", "processed_at", "financial_status", "cancelled_at", "test", "total_price", "email")
    customer = (body["customer"] or {}).get("id")
    return f"{delivery.topic} {[body[key] for key in keys]} {customer} {lines} {refunds}"


Plan = dict[str, list[Any]]


class Teller:
    """Draws one history: who lives in it, what they buy, and what becomes of it.

    A plan names choices that are made for it: `{"step": ["cancel", "reopen"]}` makes the first two steps of an
    order. With a plan the shop is an ordinary one, so that what is planned has an effect.
    """

    def __init__(self, draw: Any, plan: Plan | None = None) -> None:
        self.draw = draw
        self.plan = {name: list(choices) for name, choices in (plan or {}).items()}
        self.planned = plan is not None
        self.tape = Tape(ticks=self.draw(st.integers(1, 4)) > 1)
        self.currency = "USD" if self.planned else draw(st.sampled_from(CURRENCIES))

    def pick(self, *choices: Any) -> Any:
        return self.draw(st.sampled_from(choices))

    def choose(self, name: str, *choices: Any) -> Any:
        """Make a choice that a plan may have made already."""
        return self.plan[name].pop(0) if self.plan.get(name) else self.pick(*choices)

    def steps(self, name: str) -> int:
        """How many steps a story takes: those planned, and perhaps one more."""
        return len(self.plan.get(name, ())) + self.amount(0, 1 if self.planned else MOST_STEPS)

    def amount(self, least: int = 1, most: int = 30_000) -> int:
        return int(self.draw(st.integers(least, most)))

    def chance(self, one_in: int = 2) -> bool:
        return int(self.draw(st.integers(1, one_in))) == 1

    def case(self, name: str) -> None:
        self.tape.offered.add(name)

    def moment(self) -> datetime:
        """A whole second in the eighty days after the start."""
        return START + timedelta(seconds=int(self.draw(st.integers(0, 80 * 24 * 3600))))

    def after(self) -> timedelta:
        """How long until the next step; sometimes within the same second."""
        return timedelta(seconds=self.pick(0, 1, 60, 3600, 86_400, 5 * 86_400))

    # --- people ---

    def shopper(self) -> Buyer:
        """Somebody who buys at the shop: the same few people again and again."""
        kind = self.choose("buyer", *BUYERS)
        self.case(f"buyer: {kind}")
        if kind == "account":
            return Buyer(5001, "ana@home.example")
        if kind == "guest":
            return Buyer(None, self.pick("bo@home.example", "ana@home.example", "later@home.example"))
        if kind == "household":
            return Buyer(self.pick(5002, 5003, None), "family@home.example")
        if kind == "merged":
            return self.pick(Buyer(5005, "eve.old@home.example"), Buyer(5004, "eve@home.example"))
        if kind == "moved":
            return self.pick(Buyer(5007, "gus.old@home.example"), Buyer(5007, "gus@home.example"))
        if kind == "unverified":
            return Buyer(5008, "bo@home.example", verified=False)
        return Buyer(None, None)

    def payer(self) -> tuple[str | None, str | None]:
        """Somebody who pays through Stripe: (customer id, address)."""
        payer: tuple[str | None, str | None] = self.pick(
            (None, "ana@home.example"),
            ("cus_ana", "ana@home.example"),
            (None, "bo@home.example"),
            ("cus_bo", "bo@home.example"),
            ("cus_cleo", "cleo@home.example"),
            ("cus_cleo", "cleo.new@home.example"),
            (None, "family@home.example"),
            (None, "later@home.example"),
            (None, None),
        )
        self.case("payer: " + ("nobody" if payer == (None, None) else "customer" if payer[0] else "guest"))
        return payer

    def lives(self) -> None:
        """What happens to the people themselves."""
        at = self.moment()
        what = self.choose("life", *LIVES)
        self.case(f"person: {what}")
        tell = self.tape.shopify
        if what == "account":
            tell("customers/create", Account(5006, "later@home.example").body(at), at)
        elif what == "merge":
            tell("customers/merge", merge_body(5004, 5005), at)
            if self.chance():
                self.case("person: merged twice")
                tell("customers/merge", merge_body(5009, 5004), at + timedelta(days=1))
        elif what == "failed merge":
            tell("customers/merge", merge_body(5001, 5007, status="failed"), at)
        elif what == "moves":
            tell("customers/create", Account(5007, "gus.old@home.example").body(at), at)
            tell("customers/update", Account(5007, "gus@home.example").body(at), at + timedelta(days=2))
        elif what == "stripe":
            self.tape.stripe("customer.created", customer("cus_bo", "Bo@Home.example ", at), at)
        elif what == "stripe moves":
            self.tape.stripe(
                "customer.updated", customer("cus_cleo", "cleo.new@home.example", at), at,
                previous={"email": "cleo@home.example"},
            )  # fmt: skip
        elif what == "leaves":
            tell("customers/delete", {"id": 5001, "tax_exemptions": []}, at)
            self.tape.stripe("customer.deleted", customer("cus_bo", "bo@home.example", at), at)
        else:
            consent = {"state": "subscribed", "opt_in_level": "single_opt_in", "consent_updated_at": iso(at)}
            tell(
                "customers_email_marketing_consent/update",
                {
                    "customer_id": 5001, "email_address": "ana@home.example",
                    "email_marketing_consent": consent,
                },
                at,
            )  # fmt: skip
            tell(
                "customers_marketing_consent/update",
                {"id": 5001, "phone": "+15550001111", "sms_marketing_consent": consent}, at,
            )  # fmt: skip

    # --- orders ---

    def line(self) -> Line:
        quantity = self.pick(1, 1, 2, 3)
        line = Line(self.amount(50, 9_000), quantity, product=self.pick(9001, 9002))
        whole = line.price * quantity
        if self.chance(3):
            self.case("order: discount")
            line.discount = self.amount(1, whole)
        if self.chance(3):
            line.tax = (whole - line.discount) // self.pick(5, 6, 11)
        what = self.choose("line", "goods", "goods", "goods", "goods", "gift card", "tip")
        line.gift_card, line.tip = what == "gift card", what == "tip"
        self.case(f"line: {what}")
        return line

    def order(self, at: datetime, buyer: Buyer, **more: Any) -> PretendOrder:
        """An order of one to three lines."""
        lines = [self.line() for _ in range(self.pick(1, 2, 3))]
        currency = more.pop("currency", self.currency)
        words: dict[str, Any] = {
            "taxes_included": self.chance(),
            "shipping": self.pick(0, 0, 500, 990),
            "shown": self.pick(None, None, ("SEK", 11)),
            "test": self.choose("test", *[False] * 7, True) if not self.planned or "test" in self.plan else False,
            "source": self.pick("web", "web", "pos", "shopify_draft_order") if not self.planned else "web",
            "tags": self.pick("", "", "staff, vip") if not self.planned else "",
        } | more
        if words["shipping"] and self.chance():
            words["shipping_tax"] = words["shipping"] // 6
        for name in ("taxes_included", "shipping", "shown", "test"):
            if words[name]:
                self.case(f"order: {name}")
        return PretendOrder(self.tape, at, lines, buyer, currency=currency, **words)

    def order_story(self) -> None:
        """An order and up to a few things that become of it."""
        begin = self.choose("begin", *["paid"] * (100 if self.planned else 4), *BEGINNINGS[1:])
        self.case(f"order: {begin}")
        more: dict[str, Any] = {"status": "paid" if begin == "foreign" else begin}
        if begin == "foreign":
            more["currency"] = self.pick("CHF", "GBP")
        order = self.order(self.moment(), self.shopper(), **more).place()
        if begin not in ("paid", "foreign"):
            end = self.choose("end", "paid", "paid", "voided", "expired", "stays")
            self.case(f"order: {begin} then {end}")
            if end != "stays":
                order.becomes(end, self.after())
        for _ in range(self.steps("step")):
            self.order_step(order)

    def order_step(self, order: PretendOrder) -> None:
        """One thing that happens to an order."""
        step = self.choose("step", "pieces", "all", *ORDER_STEPS)
        self.case(f"step: {step}")
        later = self.after()
        some = {i: line.current for i, line in enumerate(order.lines) if line.current > 0}
        if step in ("pieces", "store credit") and some:
            index = self.pick(*some)
            gateway = "shopify_store_credit" if step == "store credit" else "shopify_payments"
            pieces = {index: self.amount(1, some[index])}
            order.refund(later, pieces=pieces, gateway=gateway, early=self.chance())
        elif step == "all" and some:
            order.refund(later, pieces=some, shipping=self.pick(0, order.shipping), early=self.chance())
        elif step == "discrepancy":
            order.refund(later, adjustment=-self.amount(1, 4_000), early=self.chance())
        elif step == "money only":
            order.refund(later, transactions=[("success", self.amount(1, 4_000))], early=self.chance())
        elif step == "pending money":
            refund = order.refund(later, transactions=[("pending", self.amount(1, 4_000))], early=True)
            order.settle(refund, self.after() + timedelta(seconds=1), self.pick("success", "failure"))
        elif step == "shipping refund" and order.shipping:
            order.refund(later, shipping=order.shipping, early=self.chance())
        elif step == "pending refund" and some:
            index = self.pick(*some)
            value = order.lines[index].each
            refund = order.refund(
                later, pieces={index: 1}, adjustment=value, transactions=[("pending", value)], early=True
            )
            order.settle(refund, self.after() + timedelta(seconds=1))
        elif step == "exchange" and some:
            order.refund(later, pieces={self.pick(*some): 1}, transactions=[])
            order.edit(timedelta(0), add=self.line())
        elif step == "edit up":
            order.edit(later, add=self.line())
        elif step == "edit down" and some:
            order.edit(later, remove=(self.pick(*some), 1))
        elif step == "cancel":
            order.cancel(later)
        elif step == "reopen":
            order.cancel(later)
            order.reopen(self.after())
        elif step == "delete" and (self.planned or self.chance(3)):
            order.delete(later)
        elif step == "dispute":
            order.dispute(later, self.amount(1, 12_000), self.dispute_course())
        elif step == "inquiry":
            order.dispute(later, self.amount(1, 12_000), ["needs_response", "won"], kind="inquiry")
        elif step == "ship":
            parcel = order.ship(later, country=self.pick(None, "DE"))
            if self.chance():
                order.arrive(parcel, self.after(), self.pick("in_transit", "delivered"))
        elif step == "touch":
            order.tags = self.pick("vip", "staff", "")
            order.becomes(order.status, later, "orders/updated")

    def dispute_course(self) -> list[str]:
        course: list[str] = self.choose("course", *COURSES)
        self.case("dispute: " + course[-1])
        return course

    # --- payments ---

    def payment_story(self) -> None:
        """A Stripe payment and up to a few things that become of it."""
        way = self.choose("way", "checkout", *WAYS)
        self.case(f"payment: {way}")
        payment = self.payment(way)
        if way == "manual capture":
            payment.authorise()
            payment.capture(self.after(), self.amount(1, payment.amount), rest_counted=self.chance())
        elif way == "authorised only":
            payment.authorise()
        elif way in ("later", "fails"):
            payment.pay_later(timedelta(days=2), fails=way == "fails")
        else:
            told = {
                "checkout": ("charge", "payment", "session"),
                "intent": self.pick(("charge", "payment"), ("payment",)),
                "old charge": ("charge",),
                "invoice": ("charge", "payment", "invoice"),
            }[way]
            payment.pay(told=told)
        if way in ("fails", "authorised only"):
            return
        for _ in range(self.steps("payment step")):
            self.payment_step(payment)

    def payment(self, way: str) -> PretendPayment:
        who, email = self.payer()
        if way == "invoice" and who is None:
            who, email = "cus_cleo", "cleo@home.example"
        amount = self.amount(100, 30_000)
        currency = self.choose("currency", *[self.currency.lower()] * (100 if self.planned else 2), *STRIPE_CURRENCIES)
        if currency in ("isk", "ugx"):
            amount = amount // 100 * 100
        self.case(f"payment: {currency}")
        live = self.choose("live", True) if self.planned else not self.chance(8)
        if not live:
            self.case("payment: not livemode")
        whole = currency in ("isk",)
        parts = way in ("checkout", "intent", "invoice") and not whole
        return PretendPayment(
            self.tape, self.moment(), max(amount, 100), currency=currency, customer=who, email=email,
            live=live,
            tax=amount // 7 if parts and self.chance() else 0,
            shipping=amount // 9 if parts and way != "invoice" and self.chance() else 0,
            tip=amount // 10 if way == "intent" and not whole and self.chance() else 0,
            intent=way != "old charge",
        )  # fmt: skip

    def payment_step(self, payment: PretendPayment) -> None:
        """One thing that happens to a payment."""
        step = self.choose("payment step", "refund", *PAYMENT_STEPS)
        self.case(f"payment step: {step}")
        later, left = self.after(), payment.captured - payment.refunded
        unit = 100 if payment.currency == "isk" else 1
        part = self.amount(1, max(1, left // unit)) * unit
        if left < unit and step not in ("dispute", "inquiry", "odd"):
            return
        if step == "refund":
            payment.refund(later, part, inline=self.chance(3))
        elif step == "failed refund":
            payment.refund(
                later,
                part,
                *self.pick(("pending", "failed"), ("succeeded", "failed"), ("pending", "canceled")),
            )
        elif step == "pending refund":
            payment.refund(later, part, *self.pick(("pending",), ("pending", "requires_action", "succeeded")))
        elif step == "all":
            payment.refund(later, left)
        elif step == "dispute":
            course = self.dispute_course()
            if course[-1] == "lost" and self.chance():
                course = [*course, "appeal_under_review", *self.pick([], ["won"])]
                self.case("dispute: appealed")
            payment.dispute(timedelta(days=3), self.pick(payment.captured, part), course)
        elif step == "inquiry":
            payment.dispute(
                timedelta(days=3),
                payment.captured,
                ["warning_needs_response", *self.pick([], ["warning_closed"])],
            )
        else:
            payment.dispute(timedelta(days=3), payment.captured, ["needs_response", self.pick("prevented", "odd_new")])

    # --- both ---

    def twins_story(self) -> None:
        """An order that was paid through the shop's own Stripe account, with or without a name in common."""
        link = self.choose("link", *LINKS, "none")
        self.case(f"twins: {link}")
        buyer = self.pick(Buyer(5001, "ana@home.example"), Buyer(None, "bo@home.example"))
        at = self.moment()
        order = self.order(at, buyer, test=False, tags="", source="web")
        live = PretendPayment(
            self.tape, at - timedelta(seconds=self.amount(1, 800)), max(1, order.paid),
            currency=self.currency.lower(), email=buyer.email,
        )  # fmt: skip
        if link == "note":
            order.notes = {"payment": str(live.payment_id)}
        elif link == "metadata":
            live.metadata = {"shopify_order_id": str(order.id)}
        order.place()
        live.pay(told=("charge", "payment"))
        if link == "none twice":
            again = PretendPayment(
                self.tape, at + timedelta(seconds=self.amount(1, 800)), max(1, order.paid),
                currency=self.currency.lower(), email=buyer.email,
            )  # fmt: skip
            again.pay(told=("charge",))
        if self.chance():
            self.case("twins: refund told by both")
            part = self.amount(1, max(1, order.paid))
            order.refund(self.after(), adjustment=-part)
            live.refund(self.after(), part)
        if link != "none twice" and self.chance(3):
            live.dispute(timedelta(days=3), self.amount(1, max(1, order.paid)), self.dispute_course())

    def like_story(self) -> None:
        """Two like purchases of one person within minutes on one platform: two sales."""
        self.case("two like purchases")
        at, amount = self.moment(), self.amount(100, 9_000)
        for minute in (0, 5):
            PretendPayment(
                self.tape, at + timedelta(minutes=minute), amount, currency=self.currency.lower(),
                email="bo@home.example",
            ).pay(told=("charge",))  # fmt: skip

    def noise(self) -> None:
        """What must change nothing."""
        at = self.moment()
        what = self.choose("noise", *NOISES)
        self.case(f"noise: {what}")
        tell = self.tape.shopify
        if what == "shop":
            shop = {
                "id": SHOP_ID, "name": "Corner", "email": "owner@corner.example", "domain": "corner.example",
                "country_code": "US", "currency": self.currency, "iana_timezone": "America/New_York",
                "myshopify_domain": SHOP_DOMAIN, "updated_at": iso(at), "plan_name": "basic",
            }  # fmt: skip
            tell("shop/update", shop, at)
        elif what == "scopes":
            body = {
                "id": 1, "shop_id": f"gid://shopify/Shop/{SHOP_ID}", "previous": ["read_products"],
                "current": ["read_products", "read_orders"], "updated_at": iso(at),
            }  # fmt: skip
            tell("app/scopes_update", body, at)
        elif what == "unknown":
            tell("carts/update", {"id": "abc", "line_items": []}, at)
        elif what == "privacy":
            body = {
                "shop_id": SHOP_ID, "shop_domain": SHOP_DOMAIN, "orders_requested": [],
                "customer": {"id": 5001, "email": "ana@home.example", "phone": None},
                "data_request": {"id": 9},
            }  # fmt: skip
            tell("customers/data_request", body, at)
        elif what == "plan":
            self.tape.stripe("plan.created", {"id": "plan_1", "object": "plan", "amount": 100}, at)
        elif what == "thin":
            thin = {
                "id": f"evt_thin_{self.tape.number(0)}", "object": "v2.core.event",
                "type": "v1.charge.refunded",
                "created": "2026-11-22T06:30:00.000Z", "livemode": True, "context": None, "reason": None,
                "related_object": {"id": "ch_unknown", "type": "charge", "url": "/v1/charges/ch_unknown"},
            }  # fmt: skip
            self.tape.deliveries.append(Delivery("stripe", STRIPE_TOKEN, thin["type"], thin["id"], thin))
        elif what == "lonely session":
            payment = PretendPayment(self.tape, at, 900, email="bo@home.example")
            self.tape.stripe("checkout.session.completed", payment.session("paid"), at)
        else:
            lonely = PretendOrder(self.tape, at, [Line(1000)], Buyer(5001, "ana@home.example"))
            refund = lonely.refund(timedelta(0), pieces={0: 1})
            self.tape.deliveries.pop()  # the order itself never arrives
            assert refund["id"]

    def leaves_story(self) -> None:
        """The merchant disconnects a platform; it is told of once."""
        at, platform = self.moment(), self.choose("leaves", "shopify", "stripe")
        if f"left: {platform}" in self.tape.offered:
            return
        self.case(f"left: {platform}")
        if platform == "shopify":
            shop = {
                "id": SHOP_ID, "name": "Corner", "email": "owner@corner.example", "domain": "corner.example",
                "myshopify_domain": SHOP_DOMAIN, "updated_at": None, "plan_name": "basic",
            }  # fmt: skip
            self.tape.shopify("app/uninstalled", shop, at)
        else:
            application = {"id": "ca_regulars", "object": "application", "name": "Regulars"}
            self.tape.stripe("account.application.deauthorized", application, at, account=ACCOUNT)

    # --- the shop ---

    def shop(self) -> Shop:
        """The shop and one to three versions of its programme."""
        versions = []
        begin = START - timedelta(days=5 if self.planned else self.pick(-10, 5, 5, 5))
        for position in range(1 if self.planned else self.pick(1, 1, 2, 3)):
            earning = {
                "enabled": self.planned or not self.chance(8),
                "points_per_unit": self.pick(*RATES),
                "hold_days": self.pick(0, 14, 30, 90),
                "include_tax": self.chance(4),
                "include_shipping": self.chance(4),
                "rates": {self.pick("EUR", "CHF"): "1.08", "JPY": "0.0067", "ISK": "0.007"},
            }
            earning["rates"].pop(self.currency, None)
            earning["exclude_tags"] = [] if self.planned else self.pick([], [], ["Staff"])
            earning["exclude_channels"] = [] if self.planned else self.pick([], [], [], ["pos"])
            earning["exclude_products"] = [] if self.planned else self.pick([], [], [], ["9002"])
            for name in ("exclude_tags", "exclude_channels", "exclude_products"):
                if earning[name]:
                    self.case(f"programme: {name}")
            document = {
                "earning": earning,
                "thanks": {
                    "enabled": not self.chance(6),
                    "when": self.pick("every", "milestones"),
                    "delay_minutes": self.pick(0, 60, 1440),
                },
                "reviews": {"enabled": not self.chance(6), "days_after_delivery": self.pick(10, 5)},
                "messages": {"window": "always", "cap_hours": 0, "cap_fortnight": 0},
            }
            versions.append(Programme(micros(begin + position * timedelta(days=20)), document))
        self.case(f"programme: {len(versions)} versions")
        home = self.pick("US", None)
        return Shop(
            "Corner", self.currency, SHOP_DOMAIN, STRIPE_TOKEN, tuple(versions), SHOP_ID, "America/New_York", home
        )


def cases() -> dict[str, tuple[str, Plan]]:
    """Every case of the rules by name: which story tells it, and what is planned for it."""
    found: dict[str, tuple[str, Plan]] = {}
    for step in ORDER_STEPS:
        found[f"order: {step}"] = ("order", {"step": [step]})
        found[f"order: {step} twice"] = ("order", {"step": [step, step]})
    for course in COURSES:
        found[f"order: dispute {' '.join(course)}"] = ("order", {"step": ["dispute"], "course": [course]})
        found[f"payment: dispute {' '.join(course)}"] = ("payment", {"payment step": ["dispute"], "course": [course]})
    for begin in BEGINNINGS[1:4]:
        for end in ("paid", "voided", "expired", "stays"):
            found[f"order: {begin} then {end}"] = ("order", {"begin": [begin], "end": [end]})
    found["order: foreign"] = ("order", {"begin": ["foreign"]})
    found["order: test"] = ("order", {"test": [True]})
    for line in ("gift card", "tip"):
        found[f"order: {line}"] = ("order", {"line": [line, "goods"], "step": ["all"]})
    for buyer in BUYERS:
        found[f"buyer: {buyer}"] = ("order", {"buyer": [buyer]})
    for life in LIVES:
        found[f"person: {life}"] = ("person", {"life": [life]})
    for way in WAYS:
        found[f"payment: {way}"] = ("payment", {"way": [way]})
    for step in PAYMENT_STEPS:
        found[f"payment: {step}"] = ("payment", {"payment step": [step]})
        found[f"payment: {step} twice"] = ("payment", {"payment step": [step, step]})
    for currency in STRIPE_CURRENCIES:
        found[f"payment: {currency}"] = ("payment", {"currency": [currency]})
    found["payment: not livemode"] = ("payment", {"live": [False]})
    for link in LINKS:
        found[f"twins: {link}"] = ("twins", {"link": [link]})
    for noise in NOISES:
        found[f"noise: {noise}"] = ("noise", {"noise": [noise]})
    for platform in ("shopify", "stripe"):
        found[f"left: {platform}"] = ("leaves", {"leaves": [platform]})
    return found


CASES = cases()


@st.composite
def histories(draw: Any) -> History:
    """Draw a shop's history; some deliveries are lost for good."""
    teller = Teller(draw)
    shop = teller.shop()
    stories = [
        teller.order_story, teller.order_story, teller.payment_story, teller.twins_story, teller.like_story,
        teller.lives, teller.lives, teller.noise, teller.leaves_story,
    ]  # fmt: skip
    for story in draw(st.lists(st.sampled_from(stories), min_size=1, max_size=MOST_STORIES)):
        story()
    deliveries = teller.tape.deliveries
    if draw(st.integers(1, 4)) == 1 and len(deliveries) > 1:
        lost = draw(st.sets(st.integers(0, len(deliveries) - 1), max_size=3))
        deliveries = [d for i, d in enumerate(deliveries) if i not in lost]
    return _history(teller, shop, deliveries)


@st.composite
def planned(draw: Any, case: str) -> History:
    """Draw a history of an ordinary shop in which one case of the rules happens."""
    kind, plan = CASES[case]
    teller = Teller(draw, plan)
    shop = teller.shop()
    story = {
        "order": teller.order_story, "payment": teller.payment_story, "twins": teller.twins_story,
        "person": teller.lives, "noise": teller.noise, "leaves": teller.leaves_story,
    }[kind]  # fmt: skip
    story()
    if kind in ("person", "noise", "leaves"):
        # Somebody it could matter to.
        for beside in (teller.order_story, teller.order_story, teller.payment_story):
            beside()
    return _history(teller, shop, teller.tape.deliveries)


def _history(teller: Teller, shop: Shop, deliveries: list[Delivery]) -> History:
    return History(shop, tuple(deliveries), frozenset(teller.tape.offered), teller.tape.ticks)


def elsewhere(history: History, number: int, token: str) -> History:
    """The same history in another shop: other domain, shop id and Stripe path, all else equal."""
    domain, shop_id = f"corner-{number}.myshopify.com", SHOP_ID + number

    def moved(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: moved(part) for key, part in value.items()}
        if isinstance(value, list):
            return [moved(part) for part in value]
        if isinstance(value, str):
            there = value.replace(SHOP_DOMAIN, domain).replace(str(SHOP_ID), str(shop_id))
            return there.replace("corner.example", f"corner-{number}.example").replace(ACCOUNT, f"{ACCOUNT}{number}")
        return shop_id if value == SHOP_ID and not isinstance(value, bool) else value

    deliveries = tuple(
        replace(d, connection=domain if d.platform == "shopify" else token, body=moved(d.body))
        for d in history.deliveries
    )
    shop = replace(history.shop, name=f"Corner {number}", domain=domain, stripe_token=token, shop_id=shop_id)
    return History(shop, deliveries, history.cases, history.ticks)


def later(days: int) -> int:
    """The instant the books are looked at, so many days after NOW."""
    return micros(NOW) + days * DAY


def shown(amount: int, currency: str) -> str:
    """Money for a reader of a failed example."""
    return f"{decimal(amount, currency)} {currency}"
