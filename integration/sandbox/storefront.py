"""A pretend shop's own address: customers sign in, and what is below the app's prefix is forwarded as Shopify does it.

Cookies are kept from the app in both ways, so who is there is said by signed parameters alone.
"""

import hashlib
import hmac
from urllib.parse import parse_qsl, urlencode

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from integration.clock import SECOND, Clock

PREFIX = "/apps/regulars"
_COOKIE = "_customer"
_TO_APP = ("accept", "accept-language", "content-type", "user-agent")
_TO_BROWSER = ("set-cookie", "content-length", "content-encoding", "transfer-encoding", "connection", "date", "server")
_LOGIN = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Sign in</title><main><h1>Sign in</h1>
<form method="post"><label>Customer's number <input name="customer"></label><button>Sign in</button></form></main>"""


def forwarded(shop: str, customer: str, now: int, secret: str, prefix: str = PREFIX, **asked: str) -> str:
    """Write a query as Shopify forwards it for a customer's id at the shop; an empty one is a guest."""
    told = {**asked, "shop": shop, "logged_in_customer_id": customer, "path_prefix": prefix}
    told["timestamp"] = str(now // SECOND)
    message = "".join(sorted(f"{name}={value}" for name, value in told.items()))
    return urlencode({**told, "signature": hmac.new(secret.encode(), message.encode(), hashlib.sha256).hexdigest()})


async def _nothing(request: Request) -> Response:
    return Response(status_code=204)


class Storefront:
    """The address of one shop; its `app` is served by whoever needs it."""

    def __init__(self, shop: str, application: str, secret: str, clock: Clock) -> None:
        """`application` is where our app proxy is, such as http://127.0.0.1:8000/proxy."""
        self._shop, self._application, self._secret, self._clock = shop, application, secret, clock
        self._client = httpx.AsyncClient()
        self.app = Starlette(
            routes=[
                Route("/account/login", self._sign_in, methods=["GET", "POST"]),
                Route("/favicon.ico", _nothing),
                Route("/discount/{code}", self._discount),
                Route(PREFIX, self._forward, methods=["GET", "POST"]),
                Route(PREFIX + "/{rest:path}", self._forward, methods=["GET", "POST"]),
            ]
        )

    async def _forward(self, request: Request) -> Response:
        asked = dict(parse_qsl(request.url.query, keep_blank_values=True))
        customer, now = request.cookies.get(_COOKIE, ""), self._clock.now()
        answer = await self._client.request(
            request.method,
            f"{self._application}{request.url.path.removeprefix(PREFIX)}"
            f"?{forwarded(self._shop, customer, now, self._secret, **asked)}",
            headers={name: request.headers[name] for name in _TO_APP if name in request.headers}
            | {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Host": self._shop},
            content=await request.body(),
        )
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in _TO_BROWSER}
        return Response(answer.content, answer.status_code, kept)

    async def _sign_in(self, request: Request) -> Response:
        if request.method == "GET":
            return HTMLResponse(_LOGIN)
        said = dict(parse_qsl((await request.body()).decode()))
        path = request.query_params.get("return_url", "/")
        answer = RedirectResponse(path if path.startswith(f"{PREFIX}") else PREFIX, 303)
        answer.set_cookie(_COOKIE, said.get("customer", ""), httponly=True)
        return answer

    async def _discount(self, request: Request) -> Response:
        code = request.path_params["code"]
        # The shop keeps the code for the checkout and goes where it is told to.
        answer = RedirectResponse(request.query_params.get("redirect", "/"), 302)
        answer.set_cookie("discount_code", code)
        return answer
