"""uvicorn's HTTP protocol, with limits for slow and huge clients and an answer for those who speak no HTTP."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from callreel.cli.slow_clients import HEAD_BYTES, HEADERS, Conduct, Watch

_NO_HTTP = (400, "Bad Request", "The request is not HTTP/1.1 that can be read. Nothing was kept.")
_TOO_LARGE = (431, "Request Header Fields Too Large", "The request's head is too large. Nothing was kept.")
_TOO_SLOW = (408, "Request Timeout", "The request came too slowly. Nothing was kept; send it again.")
_TOO_MANY = (429, "Too Many Requests", "This address has too many connections open. Close some and try again.")
_CODES = {429: 20429}


class HttpProtocol(HttpToolsProtocol):
    """A client that stops sending before its announced length is told so, instead of losing its connection.

    The application is given the end of the body as it came; every reader of bodies compares the length with
    what was announced. A chunked body has no announced length, so there the connection is closed as before:
    a cut body must never look like a whole one. A client that is too slow, sends too large a head, or has too many
    connections is told so where it can still be told, and cut off.
    """

    def __init__(self, *given: Any, watch: Watch | None = None, **named: Any) -> None:
        super().__init__(*given, **named)
        self._watch = watch or Watch()
        self._conduct = Conduct(self._cut_off, lambda: self.flow is not None and self.flow.read_paused)
        self._head_bytes = self._fed = 0
        self._is_refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._conduct.address = self.client[0] if self.client else ""
        self._conduct.head_since = self.loop.time()
        if not self._watch.admit(self._conduct):
            self._refuse(*_TOO_MANY)

    def connection_lost(self, exc: Exception | None) -> None:
        self._watch.forget(self._conduct)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        self._fed = len(data)
        self._head_bytes += len(data)
        super().data_received(data)
        if not self._is_refused and self._conduct.head_since is not None and self._head_bytes > HEAD_BYTES:
            self._refuse(*_TOO_LARGE)

    def on_message_begin(self) -> None:
        self._conduct.head_since, self._head_bytes = self.loop.time(), self._fed
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._conduct.head_since = None
        if self._is_refused:
            return
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > HEAD_BYTES or len(self.headers) > HEADERS:
            self._refuse(*_TOO_LARGE)
            return
        self._conduct.body_since, self._conduct.body_bytes = self.loop.time(), 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self._is_refused:
            return
        self._conduct.body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._conduct.body_since = None
        if not self._is_refused:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        self._conduct.body_since = None
        super().on_response_complete()

    def pause_writing(self) -> None:
        if self._conduct.unread_since is None:
            self._conduct.unread_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._conduct.unread_since = None
        super().resume_writing()

    def eof_received(self) -> bool | None:  # type: ignore[override]
        cycle = self.cycle
        if cycle is None or cycle.response_complete or not cycle.more_body:
            return None
        if not any(name == b"content-length" for name, _ in self.headers):
            return None
        cycle.keep_alive = False
        cycle.more_body = False
        cycle.message_event.set()
        return True  # keep our half open until the answer is out

    def send_400_response(self, msg: str) -> None:
        self._refuse(*_NO_HTTP)

    def _cut_off(self, why: str) -> None:
        """Told so when nothing of an answer is out yet; who does not read is not written to."""
        answering = self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete
        if why == "reader" or answering or self.transport.is_closing():
            self._is_refused = True
            self.transport.abort()
        else:
            self._refuse(*_TOO_SLOW)

    def _refuse(self, status: int, reason: str, message: str) -> None:
        self._is_refused = True
        code = _CODES.get(status, 20001)
        more = f"https://www.twilio.com/docs/errors/{code}"
        body = json.dumps({"code": code, "message": message, "more_info": more, "status": status}).encode()
        head = (
            f"HTTP/1.1 {status} {reason}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


def watched_by(watch: Watch) -> type[HttpProtocol]:
    """The protocol of one listener, whose connections share a watch."""

    class Watched(HttpProtocol):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, watch=watch, **named)

    return Watched
