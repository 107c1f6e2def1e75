"""URL → page: everything the web process answers, in one table.

Webhooks (`POST /webhooks/…`) stand before this table: see `handlers.inbox.pages.Receiver`, wired in `asgi.py`.
A page reads its context from `request.app.state.context`.
"""

from starlette.routing import BaseRoute, Route

from config import health, metrics
from handlers.messages import pages as messages
from handlers.reviews import pages as reviews

# For whoever runs the program; METRICS_PORT answers these alone.
HEALTH: tuple[BaseRoute, ...] = (
    Route("/healthz", health.alive, name="alive"),
    Route("/readyz", health.ready, name="ready"),
    Route("/metrics", metrics.metrics, name="metrics"),
)

ROUTES: tuple[BaseRoute, ...] = (
    *HEALTH,
    # The merchant's pages in the shop admin: /app/…
    # The shop's app proxy: /proxy/…
    # The customer's pages by signed link: /c/…
    Route("/c/unsubscribe/{token}", messages.unsubscribe_page, name="unsubscribe"),
    Route("/c/unsubscribe/{token}", messages.unsubscribe_now, methods=["POST"]),
    Route("/c/unsubscribe/{token}/undo", messages.resubscribe_now, methods=["POST"]),
    Route("/c/review/{token}", reviews.review_page, name="review"),
    Route("/c/review/{token}", reviews.review_now, methods=["POST"]),
    Route("/c/review/{token}/later", reviews.review_later, methods=["POST"]),
)
