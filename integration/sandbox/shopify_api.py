"""The pretend Shopify's endpoints on loopback: tokens, and the Admin GraphQL API with its cost bucket.

Real addresses are `https://{shop}/admin/…`; here the shop's domain comes first in the path, so that one
server stands for all of them: `http://127.0.0.1:PORT/{shop}/admin/oauth/access_token`.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from graphql import GraphQLError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from integration.clock import SECOND, from_iso
from integration.sandbox import graph
from integration.sandbox.shopify import Shop
from integration.sandbox.shopify_bulk import Exports, shop_exports
from integration.sandbox.shopify_collections import Collections
from integration.sandbox.shopify_metafields import Metafields
from integration.sandbox.shopify_nodes import customer_node, dispute_node, order_node, refund_node, shop_node
from integration.sandbox.shopify_purses import Purses
from integration.sandbox.shopify_records import Dispute, Order
from integration.sandbox.shopify_tokens import Tokens

RESTORED_A_SECOND = 100.0  # of the Standard plan
BUCKET_SECONDS = 20  # a bucket holds as much as comes back in so long
MOST_FOR_ONE_QUERY = 1000
CREDIT_SCOPES = ("read_store_credit_accounts", "write_store_credit_account_transactions")
HANGS = 0
"""Stands among the statuses to fail with for a shop that takes the question and does not answer."""

_decode = msgspec.json.Decoder().decode


class Denied(GraphQLError):
    """The app lacks the scope for what it asks."""


@dataclass(slots=True)
class PretendShopify:
    """The endpoints of some shops; `app` is the Starlette application.

    `throttle_next` answers so many queries as throttled, `fail_next` with HTTP statuses (HANGS: with nothing
    for `hang_seconds`); `drop_next` does what is asked and answers with such a status all the same. `restored`
    points a second come back into the bucket.
    """

    shops: dict[str, Shop]
    api_key: str
    api_secret: str
    seconds: Callable[[], float] = time.monotonic
    throttle_next: int = 0
    fail_next: list[int] = field(default_factory=list)
    drop_next: list[int] = field(default_factory=list)
    hang_seconds: float = 30.0
    restored: float = RESTORED_A_SECOND
    most_for_one_query: int = MOST_FOR_ONE_QUERY
    calls: list[dict[str, Any]] = field(default_factory=list)  # every GraphQL request's body, oldest first
    tokens: Tokens = field(init=False)
    exports: dict[str, Exports] = field(default_factory=dict)  # by shop
    purses: dict[str, Purses] = field(default_factory=dict)  # by shop
    metafields: dict[str, Metafields] = field(default_factory=dict)  # by shop
    collections: dict[str, Collections] = field(default_factory=dict)  # by shop
    spent: dict[str, float] = field(default_factory=dict)  # points of answered questions, by shop
    throttled: dict[str, int] = field(default_factory=dict)  # questions that found too little in the bucket, by shop
    _available: dict[str, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tokens = Tokens(self.shops, self.api_key, self.api_secret, lambda: self.seconds())

    @classmethod
    def of(cls, shops: Iterable[Shop], api_key: str, api_secret: str) -> "PretendShopify":
        """Make the endpoints of some shops for one app."""
        pretend = cls({shop.domain: shop for shop in shops}, api_key, api_secret)
        pretend.exports = {domain: shop_exports(shop, _root) for domain, shop in pretend.shops.items()}
        return pretend

    @property
    def app(self) -> Starlette:
        return Starlette(
            routes=[
                *self.tokens.routes(),
                Route("/{shop}/admin/api/{version}/graphql.json", self._graphql, methods=["POST"]),
                Route("/{shop}/exports/{number}.jsonl", self._export),
            ]
        )

    def purse(self, shop: Shop) -> Purses:
        """The store credit and the gift cards of a shop's customers."""
        return self.purses.setdefault(shop.domain, Purses(shop))

    def beside(self, shop: Shop) -> Metafields:
        """What stands beside a shop's customers."""
        return self.metafields.setdefault(shop.domain, Metafields(shop))

    def shelves(self, shop: Shop) -> Collections:
        """What a shop has put together."""
        return self.collections.setdefault(shop.domain, Collections(shop))

    def grant(self, domain: str) -> dict[str, Any]:
        """Give out an expiring offline token and the token that renews it."""
        return self.tokens.grant(domain)

    async def _graphql(self, request: Request) -> Response:
        domain = request.path_params["shop"]
        shop = self.shops.get(domain)
        if shop is None:
            return Response(status_code=404)
        if self.fail_next:
            status = self.fail_next.pop(0)
            if status == HANGS:
                await asyncio.sleep(self.hang_seconds)
                status = 504
            return Response(status_code=status, headers={"Retry-After": "2.0"})
        if not self.tokens.opens(request.headers.get("x-shopify-access-token", ""), domain):
            return JSONResponse({"errors": "[API] Invalid API key or access token"}, 401)
        try:
            asked = _decode(await request.body())
            self.calls.append(asked)
            document = graph.Request(asked["query"], asked.get("variables") or {})
        except (msgspec.DecodeError, KeyError, GraphQLError) as error:
            return JSONResponse({"errors": [{"message": str(error)}]}, 400)
        address = f"{str(request.base_url).rstrip('/')}/{domain}/exports"
        answer = self._answer(shop, document, address)
        if self.drop_next and document.kind == "mutation" and answer.get("data"):
            return Response(status_code=self.drop_next.pop(0))
        return JSONResponse(answer)

    async def _export(self, request: Request) -> Response:
        exports = self.exports.get(request.path_params["shop"])
        return Response(status_code=404) if exports is None else await exports.serve(request)

    def _answer(self, shop: Shop, document: graph.Request, address: str) -> dict[str, Any]:
        cost = document.cost()
        left = self._bucket(shop.domain)
        if cost > self.most_for_one_query:
            return _errors("Query cost exceeds the single query limit", "MAX_COST_EXCEEDED") | _cost(
                cost, left, self.restored
            )
        if self.throttle_next or cost > left:
            # A programmed refusal is short by what comes back in a tenth of a second.
            left = min(left, max(0.0, cost - self.restored / 10))
            self.throttle_next = max(0, self.throttle_next - 1)
            self.throttled[shop.domain] = self.throttled.get(shop.domain, 0) + 1
            return _errors("Throttled", "THROTTLED") | _cost(cost, left, self.restored)
        try:
            exports = self.exports.setdefault(shop.domain, shop_exports(shop, _root))
            root = _with_purse(_root(shop), self.purse(shop))
            root |= _if_allowed("write_customers", shop, self.beside(shop).fields())
            root |= _if_allowed("read_products", shop, self.shelves(shop).fields())
            nodes, beside = root["nodes"], self.beside(shop)
            root["nodes"] = lambda ids: beside.tagged(nodes(ids))
            data = document.answer(root | exports.fields(address))
        except Denied as error:
            return {"data": None} | _errors(error.message, "ACCESS_DENIED") | _cost(cost, left, self.restored)
        except GraphQLError as error:
            return _errors(error.message, "undefinedField") | _cost(cost, left, self.restored)
        # What was reserved and not used comes back; a mutation costs its ten points whatever it answers.
        actual = min(cost, graph.weight(data) + document.base())
        self.spent[shop.domain] = self.spent.get(shop.domain, 0.0) + actual
        self._available[shop.domain] = (left - actual, self.seconds())
        return {"data": data} | _cost(cost, left - actual, self.restored, actual)

    def _bucket(self, domain: str) -> float:
        """What the shop's bucket holds now: it fills by the second up to its brim."""
        brim = self.restored * BUCKET_SECONDS
        left, since = self._available.get(domain, (brim, self.seconds()))
        return min(brim, left + (self.seconds() - since) * self.restored)


def _root(shop: Shop) -> graph.Node:
    """What queries start from."""

    def one(id: str) -> graph.Node | None:
        kind, _, number = id.removeprefix("gid://shopify/").partition("/")
        key = int(number) if number.isdigit() else 0
        if kind == "DiscountCodeNode":
            return shop.discounts.node(id)
        if kind == "Order" and key in shop.orders:
            return order_node(shop.orders[key], shop)
        if kind == "Customer" and key in shop.customers:
            return customer_node(shop.customers[key], shop)
        if kind == "Refund":
            for order in shop.orders.values():
                for refund in order.refunds:
                    if refund.id == key:
                        return refund_node(refund, order)
        return None

    def orders(query: str | None = None, **asked: Any) -> graph.Node:
        found = [order for order in shop.orders.values() if _matches(order, query or "")]
        page: graph.Node = graph.sorted_connection(
            found, lambda order: (order.updated_at // SECOND, order.id), lambda order: order_node(order, shop)
        )(**asked)
        return page

    def disputes(query: str | None = None, **asked: Any) -> graph.Node:
        if "read_shopify_payments_disputes" not in shop.scopes:
            raise Denied("Access denied for disputes field.")
        found = [dispute for dispute in shop.disputes.values() if _matches(dispute, query or "")]
        page: graph.Node = graph.sorted_connection(
            found, lambda each: (each.initiated_at // SECOND, each.id), lambda each: dispute_node(each, shop)
        )(**asked)
        return page

    def locales(**_: Any) -> list[graph.Node]:
        if "read_locales" not in shop.scopes:
            raise Denied("Access denied for shopLocales field.")
        return [{"locale": shop.language, "primary": True}]

    def policies(**_: Any) -> list[graph.Node]:
        if "read_legal_policies" not in shop.scopes:
            raise Denied("Access denied for shopPolicies field.")
        return [{"type": "REFUND_POLICY", "url": f"https://{shop.domain}/policies/refund-policy"}]

    return {
        **_if_allowed("write_discounts", shop, shop.discounts.fields()),
        "shop": shop_node(shop) | {"shopPolicies": policies},
        "order": one,
        "customer": one,
        "refund": one,
        "node": one,
        "nodes": lambda ids: [one(each) for each in ids],
        "orders": orders,
        "disputes": disputes,
        "shopLocales": locales,
        "customers": graph.connection([customer_node(each, shop) for each in shop.customers.values()]),
        "ordersCount": lambda **_: {"count": len(shop.orders), "precision": "EXACT"},
        "currentAppInstallation": {
            "id": "gid://shopify/AppInstallation/1",
            "accessScopes": [{"handle": scope} for scope in shop.scopes],
            "activeSubscriptions": [],
        },
        "publicApiVersions": [{"handle": "2026-10", "displayName": "2026-10 (Latest)", "supported": True}],
    }


def _with_purse(root: graph.Node, purse: Purses) -> graph.Node:
    """Add what can be asked about store credit and gift cards, each where the app has the scope for it."""
    credit = purse.credit_fields(root)
    lacking = [scope for scope in CREDIT_SCOPES if scope not in purse.shop.scopes]
    if lacking:
        refused = _if_allowed(lacking[0], purse.shop, credit)["storeCreditAccountCredit"]

        def customer(id: str) -> graph.Node | None:
            found = root["customer"](id)
            return None if found is None else found | {"storeCreditAccounts": refused}

        credit = {"customer": customer, "storeCreditAccountCredit": refused, "storeCreditAccountDebit": refused}

    def nodes(ids: Sequence[str]) -> list[graph.Node | None]:
        for kind, needed in (("StoreCredit", CREDIT_SCOPES[0]), ("GiftCard/", "write_gift_cards")):
            if needed not in purse.shop.scopes and any(f"gid://shopify/{kind}" in id for id in ids):
                raise Denied(f"Access denied: {needed} is needed.")
        return [purse.node(id) or found for id, found in zip(ids, root["nodes"](ids), strict=True)]

    return root | _if_allowed("write_gift_cards", purse.shop, purse.card_fields()) | credit | {"nodes": nodes}


def _if_allowed(scope: str, shop: Shop, fields: graph.Node) -> graph.Node:
    """Refuse what the app has no scope for."""

    def refused(**_: Any) -> graph.Node:
        raise Denied(f"Access denied: {scope} is needed.")

    return fields if scope in shop.scopes else dict.fromkeys(fields, refused)


def _matches(thing: Order | Dispute, query: str) -> bool:
    """Apply the comparisons of a search query on times (`updated_at:>='2026-11-01T00:00:00Z'`), in whole seconds."""
    for term in query.split():
        name, _, wanted = term.partition(":")
        if name not in ("updated_at", "created_at", "processed_at", "initiated_at"):
            continue
        sign = wanted[: len(wanted) - len(wanted.lstrip("<>="))]
        bound = from_iso(wanted.lstrip("<>=").strip("'\"")) // SECOND
        value = getattr(thing, name) // SECOND
        held = {
            ">=": value >= bound,
            ">": value > bound,
            "<=": value <= bound,
            "<": value < bound,
        }.get(sign, value == bound)
        if not held:
            return False
    return True


def _errors(message: str, code: str) -> dict[str, Any]:
    return {"errors": [{"message": message, "extensions": {"code": code}}]}


def _cost(requested: int, available: float, restored: float, actual: int | None = None) -> dict[str, Any]:
    return {
        "extensions": {
            "cost": {
                "requestedQueryCost": requested,
                "actualQueryCost": actual,
                "throttleStatus": {
                    "maximumAvailable": restored * BUCKET_SECONDS,
                    "currentlyAvailable": int(available),
                    "restoreRate": restored,
                },
            }
        }
    }
