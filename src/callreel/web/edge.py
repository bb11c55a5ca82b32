"""The edge of the service: what every answer carries, what every request leaves in the log, and the last catch.

Errors become Twilio's bodies here and nowhere else. Nothing of a request's body, headers or query is logged.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from typing import Any

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from callreel.clock import Clock
from callreel.errors import CallreelError, MethodNotAllowed, NotFound, RangeNotSatisfiable
from callreel.web.concurrency import Concurrency, Turn
from callreel.web.metrics import RequestMetrics
from callreel.web.surfaces import Surface, surface_of
from callreel.web.twilio_errors import Told, error_body, shown_path, told_of

# The CORS set of Twilio's own API.
_CORS = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"GET, POST, DELETE, OPTIONS"),
    (
        b"access-control-allow-headers",
        b"Accept, Authorization, Content-Type, If-Match, If-Modified-Since, If-None-Match, If-Unmodified-Since, "
        b"Idempotency-Key",
    ),
    (b"access-control-allow-credentials", b"true"),
    (b"access-control-expose-headers", b"ETag"),
)
_ALWAYS = ((b"x-content-type-options", b"nosniff"),)
DRAIN_BYTES = 8 << 20  # of a refused body are read, so that the client reads the refusal instead of a reset
DRAIN_S = 5.0

Headers = Sequence[tuple[bytes, bytes]]

log = structlog.get_logger("callreel.web")


class Edge:
    """Finds the surface of a request and calls `app`, with `callreel.surface` in the scope and the prefix taken off."""

    def __init__(self, app: ASGIApp, *, clock: Clock, metrics: RequestMetrics, concurrency: Concurrency) -> None:
        self._app, self._clock, self._metrics, self._concurrency = app, clock, metrics, concurrency

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        surface, prefix = surface_of(_header(scope, b"host"), scope["path"])
        turn = self._concurrency.turn()
        always = _ALWAYS if surface is Surface.CONSOLE else (*_CORS, *_ALWAYS)  # no other site reads the Console
        exchange = _Exchange(receive, send, self._clock, turn, always, has_body=_has_body(scope))
        inner = _inside(scope, surface, prefix)
        inner["callreel.turn"] = turn
        inner["callreel.request_id"] = exchange.request_id
        try:
            if scope["method"] == "OPTIONS":
                await exchange.answer(204, b"", [])
            elif "\x00" in scope["path"]:
                raise NotFound()  # nothing has such a name, and the database would not even take the question
            else:
                await self._app(inner, exchange.receive, exchange.send)
        except ClientDisconnect:
            exchange.status = 499  # as nginx calls it: nobody is there to be answered
        except Exception as why:  # noqa: BLE001 - the edge: nothing above could turn it into an answer
            await self._refuse(exchange, inner, why)
        finally:
            turn.leave()
        self._metrics.count(surface, exchange.status)
        log.info(
            "request",
            request_id=exchange.request_id,
            surface=str(surface),
            method=scope["method"],
            path=_logged_path(inner),
            status=exchange.status,
            seconds=round(self._clock.monotonic() - exchange.began, 4),
        )

    async def _refuse(self, exchange: _Exchange, scope: Scope, why: Exception) -> None:
        known = _known(why, scope)
        told = told_of(known) if known is not None else Told(500, 20500)
        level = known.level if known is not None else 50
        if known is None or told.status >= 500:
            log.log(level, "failed", request_id=exchange.request_id, error=type(why).__name__, why=_told_why(why))
        if exchange.started:
            return  # the server sees an unfinished answer and closes the connection: a short body, never a wrong one
        if known is None or told.code == 20500:
            message = f"An internal error occurred. Its request id is {exchange.request_id}"
        else:
            message = known.message
        body, kind = error_body(told, message, as_xml=_is_xml(scope))
        headers = [(b"content-type", kind.encode())]
        if told.status == 401:
            headers.append((b"www-authenticate", b'Basic realm="callreel"'))
        retry_after_s = getattr(known, "retry_after_s", None) or told.retry_after_s
        if retry_after_s:
            headers.append((b"retry-after", str(int(retry_after_s)).encode()))
        if isinstance(known, RangeNotSatisfiable):
            headers.append((b"content-range", f"bytes */{known.size_bytes}".encode()))
        if isinstance(why, HTTPException) and why.headers:
            headers += [(name.lower().encode(), value.encode()) for name, value in why.headers.items()]
        await exchange.answer(told.status, body, headers)


class _Exchange:
    """One request and its answer, with what the edge adds."""

    def __init__(
        self, receive: Receive, send: Send, clock: Clock, turn: Turn, always: Headers, *, has_body: bool
    ) -> None:
        self._receive, self._send, self._clock, self._turn, self._always = receive, send, clock, turn, always
        self._body_pending = has_body
        self.request_id = f"RQ{secrets.token_hex(16)}"
        self.began = clock.monotonic()
        self.started = False
        self.status = 500

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] != "http.request" or not message.get("more_body", False):
            self._body_pending = False
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            self.status = message["status"]
            took = self._clock.monotonic() - self.began
            message["headers"] = [
                *message.get("headers", ()),
                (b"twilio-request-id", self.request_id.encode()),
                (b"twilio-request-duration", f"{took:.3f}".encode()),
                *self._concurrent(),
                *self._always,
            ]
        await self._send(message)

    def _concurrent(self) -> list[tuple[bytes, bytes]]:
        count = self._turn.count
        return [(b"twilio-concurrent-requests", str(count).encode())] if count else []

    async def answer(self, status: int, body: bytes, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Send a whole answer. A body that nobody read is let run out a little, then the connection is closed."""
        lengths = [] if status == 204 else [(b"content-length", str(len(body)).encode())]
        closing = [(b"connection", b"close")] if self._body_pending else []
        await self.send({"type": "http.response.start", "status": status, "headers": [*headers, *lengths, *closing]})
        if self._body_pending:
            await self.send({"type": "http.response.body", "body": body, "more_body": True})
            await self._drain()
            body = b""
        await self.send({"type": "http.response.body", "body": body})

    async def _drain(self) -> None:
        """Closing a socket with unread bytes resets it, and the reset may overtake the answer."""
        left = DRAIN_BYTES
        try:
            async with asyncio.timeout(DRAIN_S):
                while self._body_pending and left > 0:
                    left -= len((await self.receive()).get("body", b""))
        except TimeoutError:
            return


def _inside(scope: Scope, surface: Surface, prefix: str) -> Scope:
    """The scope a surface sees: its own path, and GET for HEAD (the server sends no body to a HEAD)."""
    inner = dict(scope)
    inner["callreel.surface"] = surface
    if prefix:
        inner["path"] = scope["path"][len(prefix) :] or "/"
        inner["raw_path"] = _raw_path(scope)[len(prefix) :].encode() or b"/"
    if scope["method"] == "HEAD":
        inner["method"] = "GET"
        inner["callreel.is_head"] = True
    return inner


def _known(why: Exception, scope: Scope) -> CallreelError | None:
    """The error in our own words, None for one that nobody expected."""
    if isinstance(why, HTTPException) and why.status_code == 405:
        return MethodNotAllowed()
    if (isinstance(why, NotFound) and why.args == NotFound().args) or isinstance(why, HTTPException):
        return NotFound(f"The requested resource {shown_path(_raw_path(scope))} was not found")
    return why if isinstance(why, CallreelError) else None


def _told_why(why: Exception) -> str:
    """Ours is written to be read. A stranger's words may repeat what was sent, so only its place is told."""
    if isinstance(why, CallreelError):
        return why.message
    at, frame = "?", why.__traceback__
    while frame is not None:
        at = f"{frame.tb_frame.f_code.co_filename.rpartition('/')[2]}:{frame.tb_lineno}"
        frame = frame.tb_next
    return at


def _is_xml(scope: Scope) -> bool:
    return scope["callreel.surface"] is Surface.API and not scope["path"].endswith(".json")


def _logged_path(scope: Scope) -> str:
    """The path without what opens anything: whoever has a media ticket needs no credential."""
    path = _raw_path(scope)
    if scope["callreel.surface"] is Surface.CALLREEL and path.startswith("/media/"):
        return "/media/…"
    return path[:300]


def _raw_path(scope: Scope) -> str:
    raw: Any = scope.get("raw_path") or scope["path"].encode()
    return bytes(raw).partition(b"?")[0].decode("ascii", "backslashreplace")


def _header(scope: Scope, name: bytes) -> str:
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value).decode("latin-1")
    return ""


def _has_body(scope: Scope) -> bool:
    return _header(scope, b"content-length") not in ("", "0") or bool(_header(scope, b"transfer-encoding"))
