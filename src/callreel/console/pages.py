"""Pages and parts of pages: templates, what every answer of the Console carries, and how plain words look in HTML."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from callreel.console import words
from callreel.console.assets import asset
from callreel.console.form_token import issue_token
from callreel.console.glances import look_of
from callreel.console.navigation import NAVIGATION
from callreel.console.visit import ROOT, THEME, VISITOR, Visit

THEMES = ("auto", "light", "dark")
_SMALLEST_PACKED = 1400  # bytes: what fits one packet is sent as it is

_environment = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
_environment.globals.update(asset=asset, root=ROOT)
_environment.filters.update(words.FILTERS)


def page(visit: Visit, template: str, *, status: int = 200, bucket_origin: str = "", **values: Any) -> Response:
    """A whole page in the shell, or a part of one where the template does not extend it.

    `bucket_origin` is where a page that plays may fetch audio from, beside callreel itself.
    """
    values |= {"visit": visit, "navigation": NAVIGATION, "theme": theme_of(visit.request)}
    values |= {"look": look_of(visit.parts.ledger.glances.known(visit.account.sid))}
    html = _environment.get_template(template).render(**values)
    return _answer(visit.request, html, status, bucket_origin)


def bare_page(request: Request, template: str, *, status: int = 200, **values: Any) -> Response:
    """A page for somebody who is not signed in. Its forms carry the token of the visitor's cookie."""
    visitor = request.cookies.get(VISITOR, "") or request.scope["callreel.visitor"]
    token = issue_token(visitor, request.app.state.parts.digest)
    html = _environment.get_template(template).render(theme=theme_of(request), token=token, **values)
    return _answer(request, html, status, "")


def theme_of(request: Request) -> str:
    """Light or dark as the person chose, or `auto`: as the system has it."""
    chosen = request.cookies.get(THEME, "auto")
    return chosen if chosen in THEMES else "auto"


def policy(bucket_origin: str) -> str:
    """The content security policy of a page."""
    other = f" {bucket_origin}" if bucket_origin else ""
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; "
        f"connect-src 'self'{other}; media-src 'self' blob:{other}; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )


def _answer(request: Request, html: str, status: int, bucket_origin: str) -> Response:
    headers = {
        "content-security-policy": policy(bucket_origin),
        "cache-control": "no-store",
        "vary": "accept-encoding, cookie, hx-request",
    }
    body = html.encode()
    if len(body) > _SMALLEST_PACKED and "gzip" in request.headers.get("accept-encoding", ""):
        body = gzip.compress(body, 4)  # a third of level 6's time for a tenth more bytes
        headers["content-encoding"] = "gzip"
    return HTMLResponse(body, status, headers)
