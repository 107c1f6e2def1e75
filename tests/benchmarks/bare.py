"""The baseline: a Starlette endpoint that only answers 200, served as the product is served."""

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


async def _answer(_request: Request) -> Response:
    return Response()


app = Starlette(routes=[Route("/webhooks/shopify", _answer, methods=["POST"])])

if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        log_level="warning",
        access_log=False,
        loop="uvloop",
        http="httptools",
    )
