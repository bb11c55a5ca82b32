"""One signed request to one bucket, and what came back.

Timeouts, the size of an answer, the region redirect and broken connections are dealt with here; what an answer
means is not. The session comes from outside, because its connector decides which addresses may be called.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import NamedTuple
from urllib.parse import quote, urlsplit

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import StreamWriter
from yarl import URL

from callreel.bucket.documents import ERROR_BYTES, NotADocument, read_document
from callreel.bucket.refusals import TRANSPORT_ERRORS, is_error_document, refusal, translate_transport_error
from callreel.bucket.signing import EMPTY_SHA256, Signer
from callreel.clock import Clock
from callreel.errors import BucketStumbled
from callreel.model.credential import AccessKey
from callreel.model.destination import Destination

CONNECT_S = 10.0
IDLE_S = 60.0
SLOWEST_BYTES_PER_S = 32 << 10  # an attempt slower than this would outlast a part's share of the two-hour window
WRITE_BYTES = 256 << 10

Query = Sequence[tuple[str, str]]

_REGION = re.compile(r"[a-z0-9-]{2,32}", re.ASCII)
_MOVED = frozenset({301, 307, 308, 400})
_NOT_OURS_TO_ADD = frozenset({"Content-Type", "Accept-Encoding", "User-Agent"})


class Reply(NamedTuple):
    """A whole answer: status, headers in any case, and a body no longer than was allowed for."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_success(self) -> bool:
        """2xx, and no error document in the body."""
        return 200 <= self.status < 300 and not (self.body and is_error_document(self.body))


class Wire:
    """Asks one bucket, with one key. Remembers the region once the bucket has named another."""

    def __init__(
        self,
        destination: Destination,
        access_key: AccessKey,
        http: aiohttp.ClientSession,
        *,
        clock: Clock,
        session_token: str | None,
    ) -> None:
        self._http, self._clock = http, clock
        self._key, self._session_token = access_key, session_token
        self._aim_at(destination)

    def _aim_at(self, destination: Destination) -> None:
        self.destination = destination
        self.signer = Signer(self._key, region=destination.region, clock=self._clock, session_token=self._session_token)

    async def ask(
        self,
        method: str,
        key: str,
        *,
        query: Query = (),
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        payload_sha256: str = EMPTY_SHA256,
        limit: int = ERROR_BYTES,
    ) -> Reply:
        """The answer, if it is a success. Raises `BucketRefused`, `BucketStumbled` or `BucketUnreachable`."""
        reply = await self.exchange(
            method, key, query=query, headers=headers, body=body, payload_sha256=payload_sha256, limit=limit
        )
        if not reply.is_success:
            raise self.refusal(reply)
        return reply

    def refusal(self, reply: Reply) -> Exception:
        """The error that this answer stands for."""
        return refusal(reply.status, reply.headers, reply.body, now=self._clock.now())

    async def exchange(
        self,
        method: str,
        key: str,
        *,
        query: Query = (),
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        payload_sha256: str = EMPTY_SHA256,
        limit: int = ERROR_BYTES,
    ) -> Reply:
        """The answer, whatever it says; another region is tried once. Raises `BucketUnreachable`."""
        for may_move in (True, False):
            reply = await self._once(method, key, query, headers or {}, body, payload_sha256, limit)
            if not (may_move and self._moves_to_region_of(reply)):
                break
        return reply

    async def _once(
        self,
        method: str,
        key: str,
        query: Query,
        headers: Mapping[str, str],
        body: bytes,
        payload_sha256: str,
        limit: int,
    ) -> Reply:
        sending = _Body(body) if body else None
        allowed = aiohttp.ClientTimeout(
            total=CONNECT_S + IDLE_S + len(body) / SLOWEST_BYTES_PER_S, sock_connect=CONNECT_S, sock_read=IDLE_S
        )
        try:
            async with self._request(method, key, query, headers, sending, payload_sha256, allowed) as response:
                reply = await read_reply(response, limit)
                if response.status >= 400:
                    # What is left of the body would be read as the next request; and one gateway answered
                    # 405 to whatever came on a connection after a 400.
                    response.close()
                    _hang_up(sending)
                return reply
        except TRANSPORT_ERRORS as error:
            _hang_up(sending)
            raise translate_transport_error(error) from error
        except asyncio.CancelledError:
            _hang_up(sending)
            raise

    @asynccontextmanager
    async def stream(
        self, key: str, headers: Mapping[str, str], query: Query = ()
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The open answer to a GET, status 200 or 206; read it with `pieces`. Raises as `ask`."""
        allowed = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=IDLE_S)
        for may_move in (True, False):
            request = self._request("GET", key, query, headers, None, EMPTY_SHA256, allowed)
            try:
                response = await request
                reply = None if response.status in (200, 206) else await read_reply(response, ERROR_BYTES)
            except TRANSPORT_ERRORS as error:
                raise translate_transport_error(error) from error
            try:
                if reply is None:
                    yield response
                    return
            finally:
                response.close()
            if not (may_move and self._moves_to_region_of(reply)):
                raise self.refusal(reply)

    def _request(
        self,
        method: str,
        key: str,
        query: Query,
        headers: Mapping[str, str],
        sending: _Body | None,
        payload_sha256: str,
        allowed: aiohttp.ClientTimeout,
    ) -> aiohttp.client._RequestContextManager:
        url = self.destination.url_of(key) + query_string(query)
        sent = {"Host": self.destination.host, **headers}
        signed = self.signer.headers(method, url, sent, payload_sha256=payload_sha256)
        signed["Accept-Encoding"] = "identity"  # unsigned: a proxy in front of one provider rewrites it
        return self._http.request(
            method,
            URL(url, encoded=True),
            headers=signed,
            data=sending,
            skip_auto_headers=_NOT_OURS_TO_ADD,
            allow_redirects=False,
            auto_decompress=False,
            timeout=allowed,
        )

    def _moves_to_region_of(self, reply: Reply) -> bool:
        """Aim at the region the bucket names, if it is another. The host named is never followed."""
        if reply.status not in _MOVED:
            return False
        region = reply.headers.get("x-amz-bucket-region") or _region_in(reply.body)
        here = self.destination
        if not region or region == here.region or not _REGION.fullmatch(region):
            return False
        endpoint = here.endpoint
        if here.is_aws:
            parts = urlsplit(endpoint)
            endpoint = f"{parts.scheme}://s3.{region}.amazonaws.com" + (f":{parts.port}" if parts.port else "")
        self._aim_at(replace(here, region=region, endpoint=endpoint))
        return True


async def pieces(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The body as it comes, to the last announced byte. Raises `BucketUnreachable` when it ends before."""
    if response.content_length is None:
        raise BucketStumbled("NoContentLength", "the answer does not say how long it is", status=response.status)
    while True:
        try:
            piece = await response.content.readany()
        except TRANSPORT_ERRORS as error:
            raise translate_transport_error(error) from error
        if not piece:
            return
        yield piece


def query_string(query: Query) -> str:
    """`?name=value&…`, percent-encoded as it is signed; empty for no query."""
    if not query:
        return ""
    return "?" + "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in query)


class _Body(aiohttp.Payload):
    """Bytes sent in small writes, each of which must get through within the idle time."""

    _value: bytes

    def __init__(self, value: bytes) -> None:
        super().__init__(value)
        self._size = len(value)
        self._transport: asyncio.Transport | None = None

    def hang_up(self) -> None:
        """Drop the connection the bytes were sent on, and the bytes not sent yet; no other request gets it.

        Closing it would wait for a peer that may have stopped reading.
        """
        if self._transport is not None:
            self._transport.abort()

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return self._value.decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        if isinstance(writer, StreamWriter):
            self._transport = writer.transport
        view = memoryview(self._value)[:content_length]
        for start in range(0, len(view), WRITE_BYTES):
            async with asyncio.timeout(IDLE_S):
                await writer.write(view[start : start + WRITE_BYTES])


def _hang_up(sending: _Body | None) -> None:
    if sending is not None:
        sending.hang_up()


async def read_reply(response: aiohttp.ClientResponse, limit: int) -> Reply:
    """Read the answer, no more than a byte beyond the limit: enough to see that it is too long."""
    body = bytearray()
    while not response.content.at_eof() and len(body) <= limit:
        body += await response.content.readany()
    if len(body) > limit:
        response.close()
    return Reply(response.status, response.headers, bytes(body[: limit + 1]))


def _region_in(body: bytes) -> str | None:
    try:
        document = read_document(body)
    except NotADocument:
        return None
    return document.text("Region") if document.name == "Error" else None
