"""URL → page: everything the web process answers, in one table.

Webhooks (`POST /webhooks/…`) stand before this table: see `handlers.inbox.pages.Receiver`, wired in `asgi.py`.
A page reads its context from `request.app.state.context`.
"""

from starlette.routing import BaseRoute, Route

from config import health

ROUTES: tuple[BaseRoute, ...] = (
    Route("/healthz", health.alive, name="alive"),
    Route("/readyz", health.ready, name="ready"),
    Route("/metrics", health.metrics, name="metrics"),
    # The merchant's pages in the shop admin: /app/…
    # The shop's app proxy: /proxy/…
    # The customer's pages by signed link: /c/…
)
