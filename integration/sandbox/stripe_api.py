"""The pretend Stripe's endpoints on loopback: objects, lists, events, and making a webhook endpoint.

Point a client at it with `base_addresses={"api": "http://127.0.0.1:PORT"}`.
"""

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from integration.clock import SECOND
from integration.sandbox.stripe import Account
from integration.sandbox.stripe_objects import Object
from integration.sandbox.stripe_rewards import Refuses

DEFAULT_PAGE = 10
MOST_A_PAGE = 100
MOST_TYPES = 20
MOST_EXPANSIONS = 20
MOST_ENDPOINTS = 16
EVENTS_REACH = 30 * 86_400  # seconds
KEYS_REACH = 86_400  # seconds for which an idempotency key is known
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
    "promotion_codes": "promotion_code",
    "refunds": "refund",
    "coupons": "coupon",
}
_PARTS = {
    ("charge", "refunds"): ("refund", "charge"),
    ("invoice", "payments"): ("invoice_payment", "invoice"),
}
# What a restricted key needs for each path, as Stripe calls it in its refusals: `…_write` allows reading, too.
_RESOURCES = {
    "account": "accounts_kyc_basic",
    "charges": "charge",
    "checkout/sessions": "checkout_session",
    "coupons": "coupon",
    "customers": "customer",
    "disputes": "dispute",
    "events": "event",
    "invoice_payments": "invoice",
    "invoices": "invoice",
    "payment_intents": "payment_intent",
    "promotion_codes": "promotion_code",
    "refunds": "charge",
    "webhook_endpoints": "webhook",
}
_FILTERS = ("charge", "payment_intent", "customer", "invoice", "status", "code")
_decode = msgspec.json.Decoder().decode


@dataclass(slots=True)
class PretendStripe:
    """The API of one account; `app` is the Starlette application.

    `fail_next` answers so many requests with these HTTP statuses first (429, 500, …; HANGS: with nothing for
    `hang_seconds`), `drop_next` does what is asked and answers with such a status all the same; `revoked` with 401.
    Events are listed for thirty days. `permissions` are those of a restricted key (`charge_read`, `webhook_write`,
    …), None for one that may do everything. An endpoint that is made here is where the account's events go from
    then on, signed with its secret.
    """

    account: Account
    fail_next: list[int] = field(default_factory=list)
    drop_next: list[int] = field(default_factory=list)
    hang_seconds: float = 30.0
    revoked: bool = False
    permissions: set[str] | None = None
    calls: list[str] = field(default_factory=list)  # "GET /v1/charges/ch_…", oldest first
    endpoints: list[Object] = field(default_factory=list)
    url: str = ""  # where it is served, for who serves it to say
    _known: dict[str, tuple[int, list[tuple[str, str]], Response]] = field(default_factory=dict)  # by idempotency key
    _dice: random.Random = field(default_factory=lambda: random.Random(7))  # noqa: S311 - a pretend secret

    @property
    def app(self) -> Starlette:
        routes = [
            Route("/v1/account", self._guard(self._own)),
            Route("/v1/events", self._guard(self._events)),
            Route("/v1/events/{id}", self._guard(self._event)),
            Route("/v1/webhook_endpoints", self._guard(self._list_endpoints)),
            Route("/v1/webhook_endpoints", self._guard(self._make_endpoint), methods=["POST"]),
            Route("/v1/webhook_endpoints/{id}", self._guard(self._endpoint)),
            Route("/v1/webhook_endpoints/{id}", self._guard(self._change_endpoint), methods=["POST"]),
            Route("/v1/webhook_endpoints/{id}", self._guard(self._delete_endpoint), methods=["DELETE"]),
        ]
        rewards = self.account.rewards
        posts: dict[str, Callable[[Request, Mapping[str, str]], Object]] = {
            "/v1/coupons": lambda _, asked: rewards.make_coupon(asked, _inside(asked, "metadata")),
            "/v1/promotion_codes": lambda _, asked: rewards.make_code(asked, _inside(asked, "metadata")),
            "/v1/promotion_codes/{id}": lambda to, asked: rewards.change_code(to.path_params["id"], asked),
            "/v1/customers/{id}/balance_transactions": lambda to, asked: rewards.book(
                to.path_params["id"], asked, _inside(asked, "metadata")
            ),
        }
        for path, made in posts.items():
            routes.append(Route(path, self._guard(self._once(made)), methods=["POST"]))
        routes.append(Route("/v1/customers/{id}/balance_transactions", self._guard(self._moves)))
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
            if (lacking := self._lacking(request)) is not None:
                return _error(403, "invalid_request_error", self._refusal(lacking))
            if request.method == "POST":
                form = await request.form()
                return page(request, [(name, str(value)) for name, value in form.multi_items()])
            return page(request, list(request.query_params.multi_items()))

        return guarded

    def _own(self, request: Request, given: list[tuple[str, str]]) -> Response:
        settings = {"dashboard": {"display_name": self.account.name}}
        return JSONResponse({"id": self.account.id, "object": "account", "country": "US", "settings": settings})

    def _lacking(self, request: Request) -> str | None:
        """Name the permission a request needs and the key lacks."""
        if self.permissions is None:
            return None
        path = request.url.path.removeprefix("/v1/")
        resource = next((name for start, name in _RESOURCES.items() if path == start or path.startswith(f"{start}/")))
        enough = {f"{resource}_write"} | ({f"{resource}_read"} if request.method == "GET" else set())
        return None if enough & self.permissions else f"{resource}_{'read' if request.method == 'GET' else 'write'}"

    def _refusal(self, lacking: str) -> str:
        shown = f"{self.account.api_key[:8]}{'*' * 20}{self.account.api_key[-4:]}"
        return (
            f"The provided key '{shown}' does not have the required permissions for this endpoint on account"
            f" '{self.account.id}'. Having the 'rak_{lacking}' permission would allow this request to continue."
        )

    def _once(
        self, made: Callable[[Request, Mapping[str, str]], Object]
    ) -> Callable[[Request, list[tuple[str, str]]], Response]:
        """Do what is asked, once for every idempotency key of the last day."""

        def page(request: Request, given: list[tuple[str, str]]) -> Response:
            key, now = request.headers.get("idempotency-key", ""), self.account.clock() // SECOND
            before = self._known.get(key)
            if before is not None and before[0] + KEYS_REACH > now:
                if before[1] != given:
                    words = "Keys for idempotent requests can only be used with the same parameters."
                    return _error(400, "idempotency_error", words)
                answer = before[2]
            else:
                try:
                    answer = JSONResponse(made(request, dict(given)))
                except Refuses as refuses:
                    return _error(refuses.status, "invalid_request_error", str(refuses), refuses.code)
                self._known[key] = (now, given, answer)
            if self.drop_next:
                return _error(self.drop_next.pop(0), "api_error", "Something went wrong on Stripe's end.")
            return answer

        return page

    def _moves(self, request: Request, given: list[tuple[str, str]]) -> Response:
        number = request.path_params["id"]
        person = self.account.objects.get(number, {})
        if person.get("object") != "customer" or person.get("deleted"):
            return _missing("customer", number)
        moves = [
            each for each in self.account.rewards.all("customer_balance_transaction") if each["customer"] == number
        ]
        return _page(f"/v1/customers/{number}/balance_transactions", moves[::-1], given, dict)

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

    def _list_endpoints(self, request: Request, given: list[tuple[str, str]]) -> Response:
        data = [_without_secret(each) for each in reversed(self.endpoints)]
        return JSONResponse({"object": "list", "url": "/v1/webhook_endpoints", "has_more": False, "data": data})

    def _endpoint(self, request: Request, given: list[tuple[str, str]]) -> Response:
        found = self._found(request)
        return (
            JSONResponse(_without_secret(found)) if found else _missing("webhook endpoint", request.path_params["id"])
        )

    def _make_endpoint(self, request: Request, given: list[tuple[str, str]]) -> Response:
        asked, events = dict(given), _many(given, "enabled_events")
        for name, there in (("enabled_events", events), ("url", asked.get("url"))):
            if not there:
                return _error(400, "invalid_request_error", f"Missing required param: {name}.", "parameter_missing")
        if self.account.livemode and not asked["url"].startswith("https://"):
            return _error(400, "invalid_request_error", "Invalid URL: live mode needs https.", "url_invalid")
        if len(self.endpoints) >= MOST_ENDPOINTS:
            words = f"You have reached the maximum of {MOST_ENDPOINTS} test webhook endpoints."
            return _error(400, "invalid_request_error", words)
        number = self._dice.getrandbits(64)
        made: Object = {
            "id": f"we_1{number:016x}",
            "object": "webhook_endpoint",
            "api_version": asked.get("api_version"),
            "description": asked.get("description"),
            "enabled_events": events,
            "livemode": self.account.livemode,
            "metadata": _inside(asked, "metadata"),
            "status": "enabled",
            "url": asked["url"],
            "secret": f"whsec_{self._dice.getrandbits(160):040x}",
        }
        self.endpoints.append(made)
        self._deliver_to(made)
        return JSONResponse(made)

    def _change_endpoint(self, request: Request, given: list[tuple[str, str]]) -> Response:
        found, asked = self._found(request), dict(given)
        if found is None:
            return _missing("webhook endpoint", request.path_params["id"])
        if "api_version" in asked:
            return _error(400, "invalid_request_error", "Received unknown parameter: api_version")
        found["url"] = asked.get("url", found["url"])
        found["enabled_events"] = _many(given, "enabled_events") or found["enabled_events"]
        found["metadata"] |= _inside(asked, "metadata")
        if "disabled" in asked:
            found["status"] = "disabled" if asked["disabled"].lower() == "true" else "enabled"
        self._deliver_to(found)
        return JSONResponse(_without_secret(found))

    def _delete_endpoint(self, request: Request, given: list[tuple[str, str]]) -> Response:
        found = self._found(request)
        if found is None:
            return _missing("webhook endpoint", request.path_params["id"])
        self.endpoints.remove(found)
        return JSONResponse({"id": found["id"], "object": "webhook_endpoint", "deleted": True})

    def _found(self, request: Request) -> Object | None:
        return next((each for each in self.endpoints if each["id"] == request.path_params["id"]), None)

    def _deliver_to(self, endpoint: Object) -> None:
        self.account.path = urlsplit(endpoint["url"]).path
        self.account.secrets = (endpoint["secret"],)

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


def _inside(asked: Mapping[str, str], name: str) -> dict[str, str]:
    """Values of a nested parameter, written `name[key]`."""
    start = f"{name}["
    return {key[len(start) : -1]: value for key, value in asked.items() if key.startswith(start)}


def _without_secret(endpoint: Object) -> Object:
    return {name: value for name, value in endpoint.items() if name != "secret"}


def _missing(kind: str, number: str) -> Response:
    return _error(404, "invalid_request_error", f"No such {kind}: '{number}'", "resource_missing")


def _error(status: int, kind: str, message: str, code: str | None = None) -> Response:
    return JSONResponse({"error": {"type": kind, "message": message, "code": code}}, status)


class PretendStripes:
    """Several accounts behind one address, as Stripe has them: whose a request is, its key says."""

    def __init__(self, accounts: Iterable[PretendStripe]) -> None:
        self.accounts = list(accounts)
        self._apps = [(one, one.app) for one in self.accounts]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._apps[0][1](scope, receive, send)
        told = dict(scope["headers"]).get(b"authorization", b"").decode()
        for one, app in self._apps:
            if told == f"Bearer {one.account.api_key}":
                return await app(scope, receive, send)
        return await self._apps[0][1](scope, receive, send)
