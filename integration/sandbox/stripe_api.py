"""The pretend Stripe's endpoints on loopback: objects, lists, events, and making a webhook endpoint.

Point a client at it with `base_addresses={"api": "http://127.0.0.1:PORT"}`.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from integration.clock import SECOND
from integration.sandbox.stripe import Account
from integration.sandbox.stripe_objects import Object

DEFAULT_PAGE = 10
MOST_A_PAGE = 100
MOST_TYPES = 20
MOST_EXPANSIONS = 20
EVENTS_REACH = 30 * 86_400  # seconds
HANGS = 0
"""Stands among the statuses to fail with for a Stripe that takes the request and does not answer."""

_KINDS = {
    "charges": "charge",
    "checkout/sessions": "checkout.session",
    "customers": "customer",
    "disputes": "dispute",
    "invoice_payments": "invoice_payment",
    "invoices": "invoice",
    "payment_intents": "payment_intent",
    "refunds": "refund",
}
_PARTS = {
    ("charge", "refunds"): ("refund", "charge"),
    ("invoice", "payments"): ("invoice_payment", "invoice"),
}
_FILTERS = ("charge", "payment_intent", "customer", "invoice", "status")
_decode = msgspec.json.Decoder().decode


@dataclass(slots=True)
class PretendStripe:
    """The API of one account; `app` is the Starlette application.

    `fail_next` answers so many requests with these HTTP statuses first (429, 500, …; HANGS: with nothing for
    `hang_seconds`); `revoked` with 401. Events are listed for thirty days.
    """

    account: Account
    fail_next: list[int] = field(default_factory=list)
    hang_seconds: float = 30.0
    revoked: bool = False
    calls: list[str] = field(default_factory=list)  # "GET /v1/charges/ch_…", oldest first
    endpoints: list[Object] = field(default_factory=list)
    url: str = ""  # where it is served, for who serves it to say

    @property
    def app(self) -> Starlette:
        routes = [
            Route("/v1/account", self._guard(self._own)),
            Route("/v1/events", self._guard(self._events)),
            Route("/v1/events/{id}", self._guard(self._event)),
            Route("/v1/webhook_endpoints", self._guard(self._endpoint), methods=["POST"]),
        ]
        for path, kind in _KINDS.items():
            routes.append(Route(f"/v1/{path}", self._guard(self._listing(path, kind))))
            routes.append(Route(f"/v1/{path}/{{id}}", self._guard(self._one(kind))))
        return Starlette(routes=routes)

    def _guard(self, page: Callable[[Request, list[tuple[str, str]]], Response]) -> Any:
        """Check the key and the programmed failures before a page answers."""

        async def guarded(request: Request) -> Response:
            self.calls.append(f"{request.method} {request.url.path}")
            if self.fail_next:
                status = self.fail_next.pop(0)
                if status == HANGS:
                    await asyncio.sleep(self.hang_seconds)
                    status = 504
                return _error(status, "api_error", "Something went wrong on Stripe's end.")
            key = request.headers.get("authorization", "").removeprefix("Bearer ")
            if self.revoked or key != self.account.api_key:
                return _error(401, "invalid_request_error", "Invalid API Key provided.")
            if request.method == "POST":
                form = await request.form()
                return page(request, [(name, str(value)) for name, value in form.multi_items()])
            return page(request, list(request.query_params.multi_items()))

        return guarded

    def _own(self, request: Request, given: list[tuple[str, str]]) -> Response:
        return JSONResponse({"id": self.account.id, "object": "account", "country": "US"})

    def _one(self, kind: str) -> Callable[[Request, list[tuple[str, str]]], Response]:
        def page(request: Request, given: list[tuple[str, str]]) -> Response:
            found = self.account.objects.get(request.path_params["id"])
            if found is None or found["object"] != kind:
                return _missing(kind, request.path_params["id"])
            return JSONResponse(self._expanded(found, _many(given, "expand")))

        return page

    def _listing(self, path: str, kind: str) -> Callable[[Request, list[tuple[str, str]]], Response]:
        def page(request: Request, given: list[tuple[str, str]]) -> Response:
            asked = dict(given)
            found = [each for each in self.account.objects.values() if each["object"] == kind]
            for name in _FILTERS:
                if name in asked:
                    found = [each for each in found if each.get(name) == asked[name]]
            if (wanted := asked.get("payment[payment_intent]")) is not None:
                found = [each for each in found if each["payment"].get("payment_intent") == wanted]
            expand = [each.removeprefix("data.") for each in _many(given, "expand")]
            return _page(f"/v1/{path}", found[::-1], given, lambda each: self._expanded(each, expand))

        return page

    def _events(self, request: Request, given: list[tuple[str, str]]) -> Response:
        asked, types = dict(given), _many(given, "types")
        if len(types) > MOST_TYPES or (types and "type" in asked):
            return _error(400, "invalid_request_error", "Give at most 20 types, or one type.")
        oldest = self.account.clock() // SECOND - EVENTS_REACH
        found = [event for body in reversed(self.account.events) if (event := _decode(body))["created"] >= oldest]
        if types:
            found = [each for each in found if each["type"] in types]
        if "type" in asked:
            start = asked["type"].removesuffix("*")
            found = [each for each in found if each["type"].startswith(start)]
        return _page("/v1/events", found, given, lambda each: each)

    def _event(self, request: Request, given: list[tuple[str, str]]) -> Response:
        number = request.path_params["id"]
        for body in self.account.events:
            if (event := _decode(body))["id"] == number:
                return JSONResponse(event)
        return _missing("event", number)

    def _endpoint(self, request: Request, given: list[tuple[str, str]]) -> Response:
        asked = dict(given)
        made: Object = {
            "id": f"we_pretend{len(self.endpoints) + 1:04d}",
            "object": "webhook_endpoint",
            "api_version": asked.get("api_version"),
            "enabled_events": _many(given, "enabled_events"),
            "livemode": self.account.livemode,
            "metadata": {},
            "status": "enabled",
            "url": asked.get("url"),
        }
        self.endpoints.append(made)
        return JSONResponse(made | {"secret": self.account.secrets[0]})

    def _expanded(self, found: Object, paths: list[str]) -> Object:
        """Put whole objects where ids stand, for paths such as `latest_charge.customer`."""
        result = dict(found)
        for path in paths[:MOST_EXPANSIONS]:
            head, _, rest = path.partition(".")
            value = result.get(head)
            if (parts := _PARTS.get((found["object"], head))) is not None:
                result[head] = self._belonging(found, *parts)
            if isinstance(value, str) and value in self.account.objects:
                result[head] = self._expanded(self.account.objects[value], [rest] if rest else [])
        return result

    def _belonging(self, found: Object, kind: str, by: str) -> Object:
        """A list an object carries only where it was asked for: a charge's refunds, an invoice's payments."""
        objects = self.account.objects.values()
        data = [each for each in objects if each["object"] == kind and each[by] == found["id"]]
        return {"object": "list", "data": data[::-1], "has_more": False, "url": f"/v1/{kind}s"}


def _page(url: str, found: list[Object], given: list[tuple[str, str]], show: Callable[[Object], Object]) -> Response:
    """One page of a list, newest first, by `created[…]`, `limit`, `starting_after`, `ending_before`."""
    asked = dict(given)
    for sign, held in _BOUNDS.items():
        if (bound := asked.get(f"created[{sign}]")) is not None:
            found = [each for each in found if held(each["created"], int(bound))]
    limit = min(int(asked.get("limit", DEFAULT_PAGE)), MOST_A_PAGE)
    ids = [each["id"] for each in found]
    if (after := asked.get("starting_after")) is not None:
        found = found[ids.index(after) + 1 :] if after in ids else []
    more = len(found) > limit
    if (before := asked.get("ending_before")) is not None:
        found = found[: ids.index(before)] if before in ids else []
        more = len(found) > limit
        found = found[-limit:]
    data = [show(each) for each in found[:limit]]
    return JSONResponse({"object": "list", "url": url, "has_more": more, "data": data})


_BOUNDS: dict[str, Callable[[int, int], bool]] = {
    "gte": lambda value, bound: value >= bound,
    "gt": lambda value, bound: value > bound,
    "lte": lambda value, bound: value <= bound,
    "lt": lambda value, bound: value < bound,
}


def _many(given: list[tuple[str, str]], name: str) -> list[str]:
    """Values of a repeated parameter, written `name[]` or `name[0]`."""
    return [value for key, value in given if key.startswith(f"{name}[")]


def _missing(kind: str, number: str) -> Response:
    return _error(404, "invalid_request_error", f"No such {kind}: '{number}'", "resource_missing")


def _error(status: int, kind: str, message: str, code: str | None = None) -> Response:
    return JSONResponse({"error": {"type": kind, "message": message, "code": code}}, status)
