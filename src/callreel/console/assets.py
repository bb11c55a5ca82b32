"""Style sheet, scripts, icons and fonts: all from this wheel, nothing from anywhere else."""

from __future__ import annotations

import gzip
import hashlib
from functools import lru_cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from callreel.errors import NotFound

FOLDER = Path(__file__).parent / "static"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
_FILES = {str(path.relative_to(FOLDER)): path for path in FOLDER.rglob("*") if path.suffix in TYPES}


@lru_cache(maxsize=64)
def _read(name: str) -> tuple[bytes, bytes | None, str]:
    """The bytes, the same compressed where that helps, and their digest."""
    raw = _FILES[name].read_bytes()
    packed = gzip.compress(raw, 9, mtime=0) if not name.endswith(".woff2") else None
    return raw, packed, hashlib.sha256(raw).hexdigest()[:16]


def asset(name: str) -> str:
    """The address of a file, which changes when the file does."""
    return f"/console/static/{name}?v={_read(name)[2]}"


async def serve_asset(request: Request) -> Response:
    """One file, to be kept by the browser for good."""
    name = request.path_params["name"]
    if name not in _FILES:
        raise NotFound()
    raw, packed, digest = _read(name)
    headers = {
        "cache-control": "public, max-age=31536000, immutable" if request.query_params.get("v") else "no-cache",
        "content-type": TYPES[_FILES[name].suffix],
        "etag": f'"{digest}"',
        "vary": "accept-encoding",
    }
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    if packed is not None and "gzip" in request.headers.get("accept-encoding", ""):
        return Response(packed, headers=headers | {"content-encoding": "gzip"})
    return Response(raw, headers=headers)


ROUTES = (Route("/static/{name:path}", serve_asset, methods=["GET"]),)
