"""Histories of one shop for hypothesis to draw: every case of the rules, told by every topic."""

from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from tests.oracle.tellings import Delivery, Shop
from tests.properties.cases import (
    ACCOUNT,
    CASES,
    MOST_STORIES,
)
from tests.properties.order_tales import order_story
from tests.properties.other_tales import leaves_story, like_story, noise, twins_story
from tests.properties.payment_tales import payment_story
from tests.properties.tape import SHOP_DOMAIN, SHOP_ID
from tests.properties.teller import Teller


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


@st.composite
def histories(draw: Any) -> History:
    """Draw a shop's history; some deliveries are lost for good."""
    teller = Teller(draw)
    shop = teller.shop()
    stories = [
        order_story, order_story, payment_story, twins_story, like_story,
        Teller.lives, Teller.lives, noise, leaves_story,
    ]  # fmt: skip
    for story in draw(st.lists(st.sampled_from(stories), min_size=1, max_size=MOST_STORIES)):
        story(teller)
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
        "order": order_story, "payment": payment_story, "twins": twins_story,
        "person": Teller.lives, "noise": noise, "leaves": leaves_story, "milestones": twins_story,
    }[kind]  # fmt: skip
    story(teller)
    if kind in ("person", "noise", "leaves"):
        # Somebody it could matter to.
        for beside in (order_story, order_story, payment_story):
            beside(teller)
    if kind == "milestones":
        # The same few people again, so that a sale that moves has others to pass.
        for again in (like_story, like_story, order_story):
            again(teller)
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
