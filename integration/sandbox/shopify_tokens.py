"""The pretend Shopify's tokens: exchange, renewal by turns, the page of consent and its codes, and their failures."""

import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from integration.clock import SECOND
from integration.errors import Forged
from integration.sandbox.shopify import Shop
from integration.shopify.session_tokens import verify

ACCESS_SECONDS = 3600
REFRESH_SECONDS = 90 * 86_400
CODE_SECONDS = 60
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 - a grant's name
ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"  # noqa: S105 - a kind of token's name
OFFLINE = "urn:shopify:params:oauth:token-type:offline-access-token"

_decode = msgspec.json.Decoder(dict[str, Any]).decode


@dataclass(slots=True)
class Pass:
    """One token: of which shop, of which of its installations, until when, and which refresh token it replaced."""

    shop: str
    install: int
    until: float
    replaced: str | None = None


@dataclass(slots=True)
class Tokens:
    """What the app was given for each shop.

    `fail_next` answers the next requests with HTTP statuses; `lose_next` carries so many out and loses the
    answer. `asked` names every grant asked for, oldest first.
    """

    shops: Mapping[str, Shop]
    key: str
    secret: str
    seconds: Callable[[], float]
    fail_next: list[int] = field(default_factory=list)
    lose_next: int = 0
    asked: list[str] = field(default_factory=list)
    access: dict[str, Pass] = field(default_factory=dict)
    refresh: dict[str, Pass] = field(default_factory=dict)
    codes: dict[str, Pass] = field(default_factory=dict)

    def routes(self) -> list[Route]:
        """The addresses that give out tokens."""
        return [
            Route("/{shop}/admin/oauth/access_token", self._token, methods=["POST"]),
            Route("/{shop}/admin/oauth/authorize", self._authorize),
        ]

    def grant(self, domain: str, replaced: str | None = None) -> dict[str, Any]:
        """Give out an expiring offline token and the token that renews it."""
        shop = self.shops[domain]
        access, refresh = f"shpat_{secrets.token_hex(16)}", f"shprt_{secrets.token_hex(16)}"
        now = self.seconds()
        self.access[access] = Pass(domain, shop.installs, now + ACCESS_SECONDS)
        self.refresh[refresh] = Pass(domain, shop.installs, now + REFRESH_SECONDS, replaced)
        return {
            "access_token": access,
            "scope": ",".join(shop.scopes),
            "expires_in": ACCESS_SECONDS,
            "refresh_token": refresh,
            "refresh_token_expires_in": REFRESH_SECONDS,
        }

    def opens(self, token: str, domain: str) -> bool:
        """Tell whether an access token opens a shop now."""
        return self._holds(self.access.get(token), domain)

    def _holds(self, one: Pass | None, domain: str) -> bool:
        shop = self.shops.get(domain)
        if one is None or shop is None or not shop.installed:
            return False
        return one.shop == domain and one.install == shop.installs and one.until > self.seconds()

    async def _token(self, request: Request) -> Response:
        domain = request.path_params["shop"]
        shop = self.shops.get(domain)
        if shop is None:
            return Response(status_code=404)
        try:
            asked = _decode(await request.body())
        except msgspec.DecodeError:
            return JSONResponse({"error": "invalid_request"}, 400)
        kind = str(asked.get("grant_type", "code" if "code" in asked else ""))
        self.asked.append(kind.rpartition(":")[2])
        if self.fail_next:
            return Response(status_code=self.fail_next.pop(0))
        answer = self._answer(shop, kind, asked)
        if self.lose_next:
            self.lose_next -= 1
            return Response(status_code=504)
        return answer

    def _answer(self, shop: Shop, kind: str, asked: dict[str, Any]) -> Response:
        if (asked.get("client_id"), asked.get("client_secret")) != (self.key, self.secret) or not shop.installed:
            return JSONResponse({"error": "invalid_client"}, 400)
        if kind == TOKEN_EXCHANGE:
            wanted = (asked.get("subject_token_type"), asked.get("requested_token_type"), asked.get("expiring"))
            if wanted != (ID_TOKEN, OFFLINE, 1):
                return JSONResponse({"error": "invalid_request"}, 400)
            try:
                seen = verify(asked.get("subject_token"), self.key, [self.secret], shop.clock())
            except Forged:
                return JSONResponse({"error": "invalid_subject_token"}, 400)
            if seen.shop != shop.domain:
                return JSONResponse({"error": "invalid_subject_token"}, 400)
            return JSONResponse(self.grant(shop.domain))
        if kind == "refresh_token":
            return self._renewed(shop, str(asked.get("refresh_token", "")))
        if kind == "code":
            # A code counts once, whatever comes of it.
            if not self._holds(self.codes.pop(str(asked.get("code")), None), shop.domain):
                return JSONResponse({"error": "invalid_grant"}, 400)
            return JSONResponse(self.grant(shop.domain))
        return JSONResponse({"error": "unsupported_grant_type"}, 400)

    def _renewed(self, shop: Shop, token: str) -> Response:
        """Replace a refresh token; the one before it holds until its replacement is first used."""
        present = self.refresh.get(token)
        if not self._holds(present, shop.domain):
            return JSONResponse({"error": "invalid_grant"}, 400)
        assert present is not None
        if present.replaced is not None:
            self.refresh.pop(present.replaced, None)
        return JSONResponse(self.grant(shop.domain, replaced=token))

    async def _authorize(self, request: Request) -> Response:
        """Consent at once, as a merchant would by a click, and send the browser back with a signed code."""
        domain, asked = request.path_params["shop"], request.query_params
        shop = self.shops.get(domain)
        if shop is None or asked.get("client_id") != self.key:
            return Response(status_code=404)
        if not shop.installed:
            shop.install()
        code = secrets.token_hex(16)
        self.codes[code] = Pass(domain, shop.installs, self.seconds() + CODE_SECONDS)
        back = self.signed({"code": code, "shop": domain, "state": asked["state"]})
        return RedirectResponse(f"{asked['redirect_uri']}?{back}", 302)

    def signed(self, params: Mapping[str, str]) -> str:
        """Write a query string as Shopify signs one for the app."""
        shop = self.shops[params["shop"]]
        host = f"admin.shopify.com/store/{shop.domain.removesuffix('.myshopify.com')}"
        whole = {**params, "host": host, "timestamp": str(shop.clock() // SECOND)}
        text = "&".join(f"{name}={value}" for name, value in sorted(whole.items()))
        return urlencode({**whole, "hmac": hmac.new(self.secret.encode(), text.encode(), "sha256").hexdigest()})
