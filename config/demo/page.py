"""The demo's one page: what a visitor can do in the pretend shop, and what the program makes of it."""

import json
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import jinja2
from starlette.applications import Starlette
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from config.demo import cast
from config.demo.scene import fingerprint, half_of, next_due, scene
from config.demo.world import World
from handlers.merchants.sessions import new_link
from integration.clock import DAY, HOUR, SECOND
from integration.sandbox.delivery import Delivery
from integration.sandbox.shopify_records import Customer, Order
from integration.sandbox.stripe import Payment

SECTIONS = ("clock", "orders", "points", "mails", "webhooks")
JUMPS = {"hour": HOUR, "day": DAY, "ten-days": 10 * DAY, "month": 30 * DAY}
STRIPE_SALE_MINOR = 24_00
MOST_FIELDS = 20
OWN_HOSTS = ("127.0.0.1", "localhost")

_HERE = Path(__file__).parent
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
        " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


class Impossible(Exception):
    """The visitor asked for something that cannot be done now; the message says why."""


class Page:
    """The page of one world; `app` is the Starlette application."""

    def __init__(self, world: World) -> None:
        self.world = world
        loader = jinja2.FileSystemLoader(_HERE / "templates")
        self._templates = jinja2.Environment(
            loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        self.app = Starlette(
            routes=[
                Route("/", self._guarded(self._show)),
                Route("/live", self._guarded(self._live)),
                Route("/webhooks/{place:int}", self._guarded(self._body)),
                Route("/as/customer", self._guarded(self._as_customer)),
                Route("/as/merchant", self._guarded(self._as_merchant)),
                Route("/do/{verb}", self._guarded(self._do), methods=["POST"]),
                Mount("/static", StaticFiles(directory=_HERE / "static")),
            ]
        )

    def _guarded(self, page: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        """Answer only pages of our own: another site in the same browser must not press our buttons."""

        async def guarded(request: Request) -> Response:
            origin = request.headers.get("origin")
            foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("host")
            if foreign or request.url.hostname not in OWN_HOSTS:
                return PlainTextResponse("This page is for the machine it runs on.", 403)
            response = await page(request)
            response.headers.update(_HEADERS)
            return response

        return guarded

    async def _show(self, request: Request) -> Response:
        shown = await scene(self.world, self._person(request.query_params.get("person")))
        said = request.query_params.get("said", "")
        html = self._templates.get_template("page.html").render(
            shown | {"said": said, "sections": self._sections(shown)}
        )
        return Response(html, media_type="text/html")

    async def _live(self, request: Request) -> Response:
        """The sections as they are now, or 204 where the visitor has seen exactly these."""
        shown = await scene(self.world, self._person(request.query_params.get("person")))
        sections = self._sections(shown)
        version = fingerprint(json.dumps(sections))
        if request.query_params.get("seen") == version:
            return Response(status_code=204)
        return JSONResponse({"version": version, "sections": sections})

    async def _body(self, request: Request) -> Response:
        """One delivery as it was sent: its headers, and its body made readable."""
        place = request.path_params["place"]
        if place >= len(self.world.sender.history):
            return PlainTextResponse("There is no such delivery.", 404)
        attempt = self.world.sender.history[place]
        delivery = attempt.delivery
        headers = "\n".join(f"{name}: {value}" for name, value in delivery.headers_at(attempt.at).items())
        try:
            body = json.dumps(json.loads(delivery.body), indent=2, ensure_ascii=False)
        except ValueError:
            body = delivery.body.decode(errors="replace")
        return PlainTextResponse(f"POST {delivery.path}\n{headers}\n\n{body}\n")

    async def _as_customer(self, request: Request) -> Response:
        """Open somebody's own page, as the link in each of their letters does."""
        world, person = self.world, self._person(request.query_params.get("person"))
        account = await world.account_of(person.email or "")
        if not account:
            said = f"{person.first_name} has no page yet: it begins with the first order."
            return RedirectResponse(f"/?{urlencode({'person': person.email or '', 'said': said})}", 303)
        token = world.context.vault.sign("me", world.merchant, account["customer"]["number"], world.now() + DAY)
        return RedirectResponse(f"{world.house.url}/c/me/{token}", 303)

    async def _as_merchant(self, request: Request) -> Response:
        """Open the shopkeeper's pages, by a link as `regulars merchant login-link` makes it."""
        world, vault = self.world, self.world.context.vault
        make = partial(new_link, world.merchant, "link:demo", vault, world.now())
        return RedirectResponse(f"{world.house.url}/app/sign-in/{await world.context.database.run(make)}", 303)

    async def _do(self, request: Request) -> Response:
        """Do what a button says; a script gets an answer, a browser without one the page again."""
        form = await request.form(max_files=0, max_fields=MOST_FIELDS)
        person = self._person(str(form.get("person", "")))
        try:
            said = await self._act(request.path_params["verb"], person, form)
        except Impossible as no:
            said = str(no)
        if "application/json" in request.headers.get("accept", ""):
            return JSONResponse({"said": said})
        return RedirectResponse(f"/?{urlencode({'person': person.email or '', 'said': said})}", 303)

    def _sections(self, shown: dict[str, Any]) -> dict[str, str]:
        return {name: self._templates.get_template(f"{name}.html").render(shown) for name in SECTIONS}

    def _person(self, email: str | None) -> Customer:
        return next((each for each in self.world.people if each.email == email), self.world.people[0])

    # --- What a visitor can do --------------------------------------------------------------------

    async def _act(self, verb: str, person: Customer, form: FormData) -> str:
        """Do one thing and say what happened, in a sentence for the visitor."""
        if verb == "place":
            return await self._place(person, form)
        if verb == "stripe":
            return await self._stripe(person)
        if verb == "clock":
            return await self._clock(person, str(form.get("by", "")))
        if verb in ("again", "forge"):
            return await self._resend(verb, str(form.get("place", "")))
        sold = self._sold(str(form.get("order", "")))
        if isinstance(sold, Payment):
            return await self._refund_payment(sold)
        return await self._work_order(verb, sold)

    async def _place(self, person: Customer, form: FormData) -> str:
        chosen = [int(str(each)) for each in form.getlist("product") if str(each).isdecimal()]
        chosen = [each for each in chosen if each < len(self.world.products)]
        if not chosen:
            raise Impossible("Choose at least one product first.")
        order = await self.world.buy(person, chosen)
        return f"{person.first_name} has ordered: #{order.number} waits for its payment."

    async def _stripe(self, person: Customer) -> str:
        payment, told = self.world.account.checkout(
            STRIPE_SALE_MINOR,
            email=person.email,
            name=f"{person.first_name} {person.last_name}",
            country=person.address.country_code if person.address else None,
            locale=person.locale,
        )
        self.world.payments.append(payment)
        await self.world.tell(told)
        return f"{person.first_name} has paid by a Stripe payment link: three events, one sale."

    async def _clock(self, person: Customer, by: str) -> str:
        duration = JUMPS.get(by)
        if by == "next":
            due = await next_due(self.world, person)
            if due is None:
                raise Impossible("Nothing is planned for this person.")
            duration = due - self.world.now() + SECOND
        if duration is None:
            raise Impossible("The clock does not know that step.")
        await self.world.pass_time(duration)
        return "The shop's clock moved on; what fell due is being done."

    async def _resend(self, verb: str, place: str) -> str:
        history = self.world.sender.history
        if not place.isdecimal() or int(place) >= len(history):
            raise Impossible("There is no such delivery any more.")
        delivery = history[int(place)].delivery
        if verb == "again":
            await self.world.sender.send(delivery)
            return f"{delivery.topic} was delivered once more; watch the ledger stay as it is."
        forged = Delivery(
            delivery.source,
            delivery.topic,
            f"{delivery.id}-forged",
            delivery.path,
            delivery.body.replace(b'"', b' "', 1),
            delivery.headers_at(self.world.now()),
        )
        attempt = await self.world.sender.attempt(forged)
        return f"A body that was changed after signing was answered with {attempt.status}, and nothing was kept."

    async def _refund_payment(self, payment: Payment) -> str:
        left = payment.charge["amount_captured"] - payment.charge["amount_refunded"]
        if not left:
            raise Impossible("Everything has been given back already.")
        _, told = self.world.account.refund(payment, (left + 1) // 2)
        await self.world.tell(told)
        return "Half of what was left went back; the points follow."

    async def _work_order(self, verb: str, order: Order) -> str:
        shop = self.world.shop
        if verb == "pay" and order.financial_status == "pending":
            told, said = shop.pay(order), "paid; points are noted, and a thank-you note is on its way."
        elif verb == "ship" and not order.fulfillments and order.received_minor:
            told, said = shop.ship(order), "handed to the carrier."
        elif verb == "deliver" and order.fulfillments:
            told, said = shop.deliver(order), "delivered; in ten days the buyer is asked for a review."
        elif verb == "refund" and half_of(order) > 0 and order.received_minor:
            told, said = shop.refund(order, amount_minor=half_of(order)), "half refunded; the points follow."
        elif verb == "cancel" and order.cancelled_at is None and not order.fulfillments:
            told, said = shop.cancel(order), "cancelled."
        else:
            raise Impossible(f"Order #{order.number} cannot do that now.")
        await self.world.tell(told)
        return f"Order #{order.number}: {said}"

    def _sold(self, name: str) -> Order | Payment:
        number = name.removeprefix("order-")
        if number.isdecimal() and int(number) in self.world.shop.orders:
            return self.world.shop.orders[int(number)]
        for payment in self.world.payments:
            if payment.id == name:
                return payment
        raise Impossible("There is no such order any more.")


def words() -> str:
    """The sentence the command prints above the address."""
    return f"{cast.SHOP_NAME}, a pretend tea shop, is open."
