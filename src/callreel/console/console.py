"""The Console as one application: its screens, and how its errors look."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from callreel.console import (
    api_keys,
    assets,
    audit,
    calls,
    campaigns,
    credentials,
    deletions,
    deliveries,
    export,
    glance,
    migration,
    move_progress,
    playing,
    recording,
    recordings,
    retention,
    settings,
    sign_in,
    storage,
    taking_in,
    theme,
    usage,
    video,
    video_recording,
)
from callreel.console.cookies import cookie
from callreel.console.pages import bare_page, page
from callreel.console.visit import VISITOR, Visit
from callreel.errors import Final, NotAllowed, NotAuthenticated, NotFound, NotNow, Outrun, Refused, TooManyAttempts
from callreel.parts import Parts
from callreel.sign_in_limits import SignInLimits

# One line a screen.
SCREENS: Sequence[Sequence[Route]] = (
    assets.ROUTES,
    sign_in.ROUTES,
    theme.ROUTES,
    glance.ROUTES,
    recordings.ROUTES,
    taking_in.ROUTES,  # before one recording: its path would fit too
    export.ROUTES,
    deletions.ROUTES,
    deliveries.ROUTES,
    migration.ROUTES,
    move_progress.ROUTES,
    calls.ROUTES,
    campaigns.ROUTES,
    storage.ROUTES,
    credentials.ROUTES,
    api_keys.ROUTES,
    audit.ROUTES,
    settings.ROUTES,
    usage.ROUTES,
    video.ROUTES,
    video_recording.ROUTES,
    retention.ROUTES,
    playing.ROUTES,
    recording.ROUTES,
)
WRONG_PASSWORDS = 8.0  # in a row, from one address or for one person
_HEADERS = (
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=()"),
    (b"x-frame-options", b"DENY"),
)


def make_console(parts: Parts) -> ASGIApp:
    """Every screen behind /console/, from the opened parts. The listener's edge takes the prefix off."""
    app = _ConsoleApp(routes=[route for screen in SCREENS for route in screen])
    app.router.redirect_slashes = False
    app.state.parts = parts
    app.state.limits = SignInLimits(parts.clock, burst=WRONG_PASSWORDS)
    app.state.sign_in_page = sign_in.sign_in_page
    return app


class _ConsoleApp(Starlette):
    """Errors become pages here and nowhere else. What nobody expected is a page too, and goes on to the edge's log."""

    def build_middleware_stack(self) -> ASGIApp:
        return self.router

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = self
        sending = _Sending(send, scope, self.state.parts)
        request = Request(scope, receive)
        try:
            await self.router(scope, receive, sending)
        except ClientDisconnect:
            raise
        except Exception as why:
            if sending.started:
                raise
            answer = _error_page(request, why)
            await answer(scope, receive, sending)
            if answer.status_code >= 500 and not isinstance(why, NotNow):
                raise  # to the edge, which writes down what it was; the answer has begun, and stays this page


class _Sending:
    """Adds what every answer carries, and the cookie of a browser that comes for the first time."""

    def __init__(self, send: Send, scope: Scope, parts: Parts) -> None:
        self._send, self.started = send, False
        self._cookie: bytes | None = None
        if VISITOR not in Request(scope).cookies:
            scope["callreel.visitor"] = secrets.token_urlsafe(24)
            self._cookie = cookie(VISITOR, scope["callreel.visitor"], parts.public_url)

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            message["headers"] = [*message.get("headers", ()), *_HEADERS]
            if self._cookie is not None and message["status"] != 304:
                message["headers"].append((b"set-cookie", self._cookie))
        await self._send(message)


def _error_page(request: Request, why: Exception) -> Response:
    status, title, words = _worded(why, request.scope.get("callreel.request_id", ""))
    headers = {"retry-after": str(why.retry_after_s)} if isinstance(why, TooManyAttempts) else {}
    visit: Visit | None = request.scope.get("callreel.visit")
    if visit is None:
        answer = bare_page(request, "error_bare.html", status=status, title=title, words=words)
    else:
        answer = page(visit, "error.html", status=status, title=title, words=words)
    answer.headers.update(headers)
    return answer


def _worded(why: Exception, request_id: str) -> tuple[int, str, str]:
    """Status, title and words of an error's page. Of what nobody expected, nothing but the request's id is told."""
    if isinstance(why, NotFound) or (isinstance(why, HTTPException) and why.status_code == 404):
        return 404, "Not here", "There is no such page, or what it showed is gone."
    if isinstance(why, HTTPException):
        return why.status_code, "This cannot be done here", "The page exists, but not for what your browser asked."
    if isinstance(why, NotAuthenticated):
        return 401, "Sign in first", why.message
    if isinstance(why, NotAllowed):
        return 403, "Not allowed", why.message
    if isinstance(why, TooManyAttempts):
        return 429, "Too many attempts", why.message
    if isinstance(why, NotNow):
        return 503, "Not just now", why.message
    if isinstance(why, Refused):
        return 400, "That cannot be used", why.message
    if isinstance(why, Outrun):
        return 409, "Somebody was faster", "What you asked for changed in that moment. Go back, look again, and decide."
    if isinstance(why, Final):
        return 502, "It was refused", why.message
    words = (
        "Nothing of yours is lost: recordings do not depend on this page. Try again; if it stays so, give the operator"
    )
    return 500, "Something broke here", f"{words} this request id: {request_id}"
