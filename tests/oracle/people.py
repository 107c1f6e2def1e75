"""Who is one person: Shopify customers, Stripe customers and addresses, by the settlement rules."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from tests.oracle.shopify import ORDER_TOPICS
from tests.oracle.stripe import name_of, objects
from tests.oracle.tellings import Delivery, address, number_of

Name = tuple[str, str]  # (shopify | stripe | email, value)


class People:
    """Everyone one merchant's deliveries name."""

    def __init__(self, told: Iterable[Delivery]) -> None:
        told = list(told)
        self.kept: dict[str, str] = {}  # merged Shopify id -> the id it now means
        self.claims: dict[str, set[str]] = defaultdict(set)  # address -> Shopify ids
        self._friends: dict[Name, set[Name]] = defaultdict(set)
        for delivery in told:
            if delivery.platform == "shopify":
                self._hear_shopify(delivery)
        self._hear_stripe([d for d in told if d.platform == "stripe"])

    def _hear_shopify(self, delivery: Delivery) -> None:
        body = delivery.body
        if delivery.topic == "customers/merge" and body.get("status") == "completed":
            gone = number_of(body["admin_graphql_api_customer_deleted_id"])
            self.kept[gone] = number_of(body["admin_graphql_api_customer_kept_id"])
        if delivery.topic in ORDER_TOPICS:
            self._claim(body.get("customer") or {})
        if delivery.topic in ("customers/create", "customers/update", "customers/enable", "customers/disable"):
            self._claim(body)

    def _claim(self, customer: dict[str, Any]) -> None:
        claimed = address(customer.get("email"))
        if customer.get("id") and claimed and customer.get("verified_email") is not False:
            self.claims[claimed].add(str(customer["id"]))

    def _hear_stripe(self, told: list[Delivery]) -> None:
        for event, customer in objects(told, "customer"):
            former = ((event["data"].get("previous_attributes")) or {}).get("email")
            for known in (customer.get("email"), former):
                self._befriend(customer["id"], address(known))
        for kind in ("checkout.session", "charge", "payment_intent", "invoice"):
            for _, thing in objects(told, kind):
                details = thing.get("customer_details") or thing.get("billing_details") or {}
                known = address(details.get("email")) or address(thing.get("customer_email"))
                self._befriend(name_of(thing.get("customer")), known or address(thing.get("receipt_email")))

    def _befriend(self, customer: str | None, known: str | None) -> None:
        if customer and known:
            self._friends["stripe", customer].add(("email", known))
            self._friends["email", known].add(("stripe", customer))

    def of_shopify(self, customer: str) -> Name:
        seen = set()
        while customer in self.kept and customer not in seen:
            seen.add(customer)
            customer = self.kept[customer]
        return ("shopify", customer)

    def of_email(self, known: str) -> Name:
        if self.claims.get(known):
            return self.of_shopify(min(self.claims[known], key=int))
        return self._of_circle(("email", known))

    def of_stripe(self, customer: str | None, known: str | None) -> Name | None:
        """The person who paid under a Stripe customer id, an address, or both."""
        if known:
            return self.of_email(known)
        return self._of_circle(("stripe", customer)) if customer else None

    def _of_circle(self, start: Name) -> Name:
        """The claimant of any address in the circle of friends, else the circle's first name."""
        circle, todo = {start}, [start]
        while todo:
            for friend in self._friends[todo.pop()] - circle:
                circle.add(friend)
                todo.append(friend)
        claimants = {c for kind, value in circle if kind == "email" for c in self.claims.get(value, ())}
        if claimants:
            return self.of_shopify(min(claimants, key=int))
        return min(circle)

    def of_name(self, name: Name) -> Name:
        kind, value = name
        if kind == "shopify":
            return self.of_shopify(value)
        return self.of_email(value) if kind == "email" else self._of_circle(name)
