"""uvicorn's HTTP protocol, with an answer for those who end a body early or speak no HTTP."""

from __future__ import annotations

import json

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_REFUSAL = {
    "code": 20001,
    "message": "The request is not HTTP/1.1 that can be read. Nothing was kept.",
    "more_info": "https://www.twilio.com/docs/errors/20001",
    "status": 400,
}


class HttpProtocol(HttpToolsProtocol):
    """A client that stops sending before its announced length is told so, instead of losing its connection.

    The application is given the end of the body as it came; every reader of bodies compares the length with
    what was announced. A chunked body has no announced length, so there the connection is closed as before:
    a cut body must never look like a whole one.
    """

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
        body = json.dumps(_REFUSAL).encode()
        head = (
            "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()
