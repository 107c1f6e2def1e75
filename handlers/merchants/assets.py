"""Style sheets and scripts of the merchant's pages: served under a name that holds their digest, for ever.

Every capability's `static/` folder counts; in a template, `{{ static('app.css') }}` is the address.
"""

import gzip
import hashlib
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

PREFIX = "/app/static/"
LARGEST_FILE = 1_000_000
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
_HANDLERS = Path(__file__).parent.parent
_FOR_EVER = "public, max-age=31536000, immutable"


class _File(NamedTuple):
    kind: str
    plain: bytes
    packed: bytes


def address(name: str) -> str:
    """Return the address of a file of some capability's `static/` folder. Raises KeyError where there is none."""
    return PREFIX + _names()[name]


def release() -> str:
    """Return a digest of all files: a page of another release is loaded anew, not put into the one that is open."""
    return hashlib.sha256(" ".join(sorted(_names().values())).encode()).hexdigest()[:12]


async def static_file(request: Request) -> Response:
    """Serve a file by its digested name; one of an earlier release is gone."""
    file = _files().get(request.path_params["name"])
    if file is None:
        return Response("There is no such file.\n", 404, {"Cache-Control": "no-store"}, "text/plain")
    packs = "gzip" in request.headers.get("accept-encoding", "")
    headers = {
        "Cache-Control": _FOR_EVER,
        "Content-Type": file.kind,
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Vary": "Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
    }
    if packs:
        headers["Content-Encoding"] = "gzip"
    return Response(file.packed if packs else file.plain, headers=headers)


@lru_cache(maxsize=1)
def _names() -> dict[str, str]:
    """Return each file's name -> its digested name."""
    return {path.name: digested for path, digested in _found()}


@lru_cache(maxsize=1)
def _files() -> dict[str, _File]:
    files = {}
    for path, digested in _found():
        raw = path.read_bytes()
        files[digested] = _File(_TYPES[path.suffix], raw, gzip.compress(raw, 9, mtime=0))
    return files


@lru_cache(maxsize=1)
def _found() -> list[tuple[Path, str]]:
    found: dict[str, tuple[Path, str]] = {}
    for path in sorted(_HANDLERS.glob("*/static/*")):
        if path.suffix not in _TYPES:
            continue  # a licence lies beside what it is for
        if path.name in found or path.stat().st_size > LARGEST_FILE:
            raise ValueError(f"{path} has the name of another file, or more than {LARGEST_FILE} bytes")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        found[path.name] = path, f"{path.stem}.{digest}{path.suffix}"
    return list(found.values())
