"""The pretend Shopify's endpoints on loopback: tokens, and the Admin GraphQL API with its cost bucket.

Real addresses are `https://{shop}/admin/…`; here the shop's domain comes first in the path, so that one
server stands for all of them: `http://127.0.0.1:PORT/{shop}/admin/oauth/access_token`.
"""

import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from graphql import GraphQLError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from integration.sandbox import graph
from integration.sandbox.shopify import Shop
from integration.sandbox.shopify_nodes import customer_node, order_node, refund_node, shop_node

ACCESS_SECONDS = 3600
REFRESH_SECONDS = 90 * 86_400
BUCKET = 2000.0
RESTORED_A_SECOND = 100.0
MOST_FOR_ONE_QUERY = 1000

TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 - a grant's name

_decode = msgspec.json.Decoder().decode


@dataclass(slots=True)
class PretendShopify:
    """The endpoints of some shops; `app` is the Starlette application.

    `throttle_next` answers so many queries as throttled, `fail_next` with HTTP statuses.
    """

    shops: dict[str, Shop]
    api_key: str
    api_secret: str
    seconds: Callable[[], float] = time.monotonic
    throttle_next: int = 0
    fail_next: list[int] = field(default_factory=list)
    most_for_one_query: int = MOST_FOR_ONE_QUERY
    calls: list[dict[str, Any]] = field(default_factory=list)  # every GraphQL request's body, oldest first
    access: dict[str, tuple[str, float]] = field(default_factory=dict)  # token -> (shop, expires)
    refresh: dict[str, str] = field(default_factory=dict)  # refresh token -> shop
    _available: dict[str, tuple[float, float]] = field(default_factory=dict)

    @classmethod
    def of(cls, shops: Iterable[Shop], api_key: str, api_secret: str) -> "PretendShopify":
        """Make the endpoints of some shops for one app."""
        return cls({shop.domain: shop for shop in shops}, api_key, api_secret)

    @property
    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/{shop}/admin/oauth/access_token", self._token, methods=["POST"]),
                Route("/{shop}/admin/api/{version}/graphql.json", self._graphql, methods=["POST"]),
            ]
        )

    def grant(self, domain: str) -> dict[str, Any]:
        """Give out an expiring offline token and the token that renews it."""
        access, refresh = f"shpat_{secrets.token_hex(16)}", f"shprt_{secrets.token_hex(16)}"
        self.access[access] = (domain, self.seconds() + ACCESS_SECONDS)
        self.refresh[refresh] = domain
        return {
            "access_token": access,
            "scope": ",".join(self.shops[domain].scopes),
            "expires_in": ACCESS_SECONDS,
            "refresh_token": refresh,
            "refresh_token_expires_in": REFRESH_SECONDS,
        }

    async def _token(self, request: Request) -> Response:
        domain = request.path_params["shop"]
        shop = self.shops.get(domain)
        if shop is None:
            return Response(status_code=404)
        try:
            asked = _decode(await request.body())
        except msgspec.DecodeError:
            return JSONResponse({"error": "invalid_request"}, 400)
        if (asked.get("client_id"), asked.get("client_secret")) != (self.api_key, self.api_secret):
            return JSONResponse({"error": "invalid_client"}, 400)
        if not shop.installed:
            return JSONResponse({"error": "invalid_client"}, 400)
        if asked.get("grant_type") == TOKEN_EXCHANGE:
            if not asked.get("subject_token"):
                return JSONResponse({"error": "invalid_subject_token"}, 400)
            return JSONResponse(self.grant(domain))
        if asked.get("grant_type") == "refresh_token":
            if self.refresh.get(asked.get("refresh_token", "")) != domain:
                return JSONResponse({"error": "invalid_grant"}, 400)
            return JSONResponse(self.grant(domain))
        return JSONResponse({"error": "unsupported_grant_type"}, 400)

    async def _graphql(self, request: Request) -> Response:
        domain = request.path_params["shop"]
        shop = self.shops.get(domain)
        if shop is None:
            return Response(status_code=404)
        if self.fail_next:
            return Response(status_code=self.fail_next.pop(0), headers={"Retry-After": "2.0"})
        granted, expires = self.access.get(request.headers.get("x-shopify-access-token", ""), ("", 0.0))
        if granted != domain or expires <= self.seconds() or not shop.installed:
            return JSONResponse({"errors": "[API] Invalid API key or access token"}, 401)
        try:
            asked = _decode(await request.body())
            self.calls.append(asked)
            document = graph.Request(asked["query"], asked.get("variables") or {})
        except (msgspec.DecodeError, KeyError, GraphQLError) as error:
            return JSONResponse({"errors": [{"message": str(error)}]}, 400)
        return JSONResponse(self._answer(shop, document))

    def _answer(self, shop: Shop, document: graph.Request) -> dict[str, Any]:
        cost = document.cost()
        left = self._bucket(shop.domain)
        if cost > self.most_for_one_query:
            return _errors("Query cost exceeds the single query limit", "MAX_COST_EXCEEDED") | _cost(cost, left)
        if self.throttle_next or cost > left:
            # A programmed refusal is short by what comes back in a tenth of a second.
            left = min(left, max(0.0, cost - RESTORED_A_SECOND / 10))
            self.throttle_next = max(0, self.throttle_next - 1)
            return _errors("Throttled", "THROTTLED") | _cost(cost, left)
        try:
            data = document.answer(_root(shop))
        except GraphQLError as error:
            return _errors(error.message, "undefinedField") | _cost(cost, left)
        # What was reserved and not used comes back; half of it is a fair stand-in for that.
        actual = max(1, cost // 2)
        self._available[shop.domain] = (left - actual, self.seconds())
        return {"data": data} | _cost(cost, left - actual, actual)

    def _bucket(self, domain: str) -> float:
        """What the shop's bucket holds now: it fills by the second up to its brim."""
        left, since = self._available.get(domain, (BUCKET, self.seconds()))
        return min(BUCKET, left + (self.seconds() - since) * RESTORED_A_SECOND)


def _root(shop: Shop) -> graph.Node:
    """What queries start from."""

    def one(id: str) -> graph.Node | None:
        kind, _, number = id.removeprefix("gid://shopify/").partition("/")
        key = int(number) if number.isdigit() else 0
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

    def orders(**asked: Any) -> graph.Node:
        found = sorted(shop.orders.values(), key=lambda order: order.updated_at)
        query = asked.pop("query", None) or ""
        nodes = [node for order in found if _matches(node := order_node(order, shop), query)]
        page: graph.Node = graph.connection(nodes)(**asked)
        return page

    return {
        "shop": shop_node(shop),
        "order": one,
        "customer": one,
        "refund": one,
        "node": one,
        "orders": orders,
        "customers": graph.connection([customer_node(each, shop) for each in shop.customers.values()]),
        "ordersCount": lambda **_: {"count": len(shop.orders), "precision": "EXACT"},
        "currentAppInstallation": {
            "id": "gid://shopify/AppInstallation/1",
            "accessScopes": [{"handle": scope} for scope in shop.scopes],
            "activeSubscriptions": [],
        },
        "publicApiVersions": [{"handle": "2026-10", "displayName": "2026-10 (Latest)", "supported": True}],
    }


def _matches(node: graph.Node, query: str) -> bool:
    """Apply the comparisons of a search query on times (`updated_at:>='2026-11-01T00:00:00Z'`)."""
    for term in query.split():
        name, _, wanted = term.partition(":")
        field_name = {
            "updated_at": "updatedAt",
            "created_at": "createdAt",
            "processed_at": "processedAt",
        }.get(name)
        if field_name is None:
            continue
        sign = wanted[: len(wanted) - len(wanted.lstrip("<>="))]
        bound, value = wanted.lstrip("<>=").strip("'\""), node[field_name]
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


def _cost(requested: int, available: float, actual: int | None = None) -> dict[str, Any]:
    return {
        "extensions": {
            "cost": {
                "requestedQueryCost": requested,
                "actualQueryCost": actual,
                "throttleStatus": {
                    "maximumAvailable": BUCKET,
                    "currentlyAvailable": int(available),
                    "restoreRate": RESTORED_A_SECOND,
                },
            }
        }
    }
