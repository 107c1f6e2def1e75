"""The home page of a merchant."""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from handlers.merchants.door import Visit
from handlers.merchants.frame import show

TEMPLATES = Path(__file__).parent / "templates"


async def home_page(request: Request, visit: Visit) -> Response:
    """Show where the merchant stands."""
    return show(visit, "home.html", TEMPLATES)
