"""One request to one source, and what came back: sign-in, pace, redirects and broken connections.

What an answer means is decided in `twilio_words.py`. The session comes from outside, because its connector decides
which addresses may be called. Only the configured base URL is ever asked, whatever an answer says.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

import aiohttp
from yarl import URL

from callreel.clock import Clock
from callreel.errors import (
    AddressBlocked,
    NotNow,
    SourceRateLimited,
    SourceRedirects,
    SourceUnreachable,
)
from callreel.model.source import SourceCredential
from callreel.source.pace import LONGEST_REST_S, Pace

CONNECT_S = 10.0
IDLE_S = 60.0
ANSWER_BYTES = 16 << 20  # a thousand recordings are one MiB or two
ERROR_BYTES = 64 << 10
MOST_REDIRECTS = 3
MOST_REFUSALS = 30  # 429s one request sits out before its caller is told
_REDIRECTS = frozenset({301, 302, 303, 307, 308})

TRANSPORT_ERRORS = (aiohttp.ClientError, OSError)
"""What a request may raise instead of answering (TimeoutError is an OSError)."""


class Reply(NamedTuple):
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def content_type(self) -> str:
        return self.headers.get("Content-Type", "")


class Wire:
    """Asks one source as one caller, at one pace."""

    def __init__(
        self, base_url: str, credential: SourceCredential, http: aiohttp.ClientSession, *, pace: Pace, clock: Clock
    ) -> None:
        self._base, self._http, self._pace, self._clock = base_url.rstrip("/"), http, pace, clock
        self._origin = origin_of(base_url)
        self.host = _host_of(base_url)
        self._headers = {
            "Authorization": aiohttp.encode_basic_auth(credential.username, credential.password),
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "User-Agent": "callreel",
        }

    async def ask(self, method: str, path: str) -> Reply:
        """The whole answer, whatever it says but 429. `path` begins with a slash and is percent-encoded.

        Raises `SourceUnreachable`, `SourceRedirects`, `SourceRateLimited` and `AddressBlocked`.
        """
        async with self.open(method, path) as response:
            try:
                body = await _read(response, ANSWER_BYTES if response.status < 300 else ERROR_BYTES, host=self.host)
            except TRANSPORT_ERRORS as why:
                raise self.broken(why) from why
            return Reply(response.status, response.headers, body)

    @asynccontextmanager
    async def open(self, method: str, path: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """An answer whose body is not read yet. A 429 is sat out and asked again; it costs the caller no try.

        Redirects of a GET are followed within the same scheme, host and port, and nowhere else. Raises as `ask`.
        """
        for refused in range(MOST_REFUSALS):
            async with AsyncExitStack() as stack:
                turn = await stack.enter_async_context(self._pace.turn())
                response = await self._enter(stack, method, self._base + path)
                if response.status != 429:
                    turn.went_well()
                    yield response
                    return
                asked_s = retry_after_s(response.headers, self._clock)
                rest_s = turn.was_refused(asked_s)
            if (asked_s or 0) > LONGEST_REST_S or refused == MOST_REFUSALS - 1:
                raise SourceRateLimited(f"{self.host} answered 429: too many requests", retry_after_s=asked_s or rest_s)

    async def _enter(self, stack: AsyncExitStack, method: str, url: str) -> aiohttp.ClientResponse:
        for _ in range(MOST_REDIRECTS + 1):
            try:
                response = await stack.enter_async_context(
                    self._http.request(
                        method,
                        URL(url, encoded=True),
                        headers=self._headers,
                        allow_redirects=False,
                        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=IDLE_S),
                    )
                )
            except TRANSPORT_ERRORS as why:
                raise self.broken(why) from why
            except ValueError as why:  # checked when it was saved, by the rules of that day
                raise SourceUnreachable(f"{self.host} cannot be called: the source's base URL is not a URL") from why
            if response.status not in _REDIRECTS:
                return response
            url = self._followed(method, url, response)
        raise SourceRedirects(f"{self.host} redirects in a circle")

    def _followed(self, method: str, url: str, response: aiohttp.ClientResponse) -> str:
        try:
            target = urljoin(url, response.headers.get("Location", ""))
        except ValueError:
            target = ""
        response.close()
        if method != "GET" or origin_of(target) != self._origin:
            raise SourceRedirects(
                f"{self.host} redirects to {_host_of(target)[:100]!r}. callreel fetches from the source's base URL "
                "only; check that URL"
            )
        return target.partition("#")[0]

    def broken(self, error: BaseException) -> NotNow:
        """The error of a request that got no whole answer. The caller raises it `from` the foreign one."""
        return translate_transport_error(error, host=self.host)


def translate_transport_error(error: BaseException, *, host: str) -> NotNow:
    """The error of a request that got no whole answer."""
    if isinstance(error.__cause__, AddressBlocked):
        return AddressBlocked(error.__cause__.message)
    if isinstance(error, TimeoutError):
        return SourceUnreachable(f"{host} did not answer in time")
    if isinstance(error, aiohttp.ClientSSLError):
        return SourceUnreachable(f"The connection to {host} could not be secured: {_kind(error)}")
    if isinstance(error, aiohttp.ClientConnectorError):
        return SourceUnreachable(f"{host} could not be reached: {_kind(error)}")
    if isinstance(error, aiohttp.ClientPayloadError):
        return SourceUnreachable(f"The answer of {host} was cut short")
    return SourceUnreachable(f"The connection to {host} broke: {_kind(error)}")


def _host_of(url: str) -> str:
    """Host and port of a URL, for messages; `?` of what is none."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2] or "?"
    except ValueError:
        return "?"


def origin_of(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port of a URL; of what is no URL, something that equals no source's."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return "", "", None
    return parts.scheme, (parts.hostname or "").lower(), port


def retry_after_s(headers: Mapping[str, str], clock: Clock) -> float | None:
    """Retry-After in seconds, as a number or a date; None when there is none that can be read. Never negative."""
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit() and len(value) <= 9:
        return float(value)
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - clock.now()).total_seconds())


async def read_error_body(response: aiohttp.ClientResponse) -> bytes:
    """The beginning of a body that says no; empty when it cannot be read."""
    try:
        async with asyncio.timeout(IDLE_S):
            return await response.content.read(ERROR_BYTES)
    except TRANSPORT_ERRORS:
        return b""
    finally:
        response.close()


async def _read(response: aiohttp.ClientResponse, limit: int, *, host: str) -> bytes:
    chunks, size = [], 0
    async with asyncio.timeout(IDLE_S + CONNECT_S):
        async for chunk in response.content.iter_any():
            size += len(chunk)
            if size > limit and response.status >= 300:
                response.close()
                break
            if size > limit:
                raise SourceUnreachable(f"{host} answered more than {limit} bytes where a page of a list was asked for")
            chunks.append(chunk)
    return b"".join(chunks)[:limit]


def _kind(error: BaseException) -> str:
    # The class and the system's words, not the text: aiohttp's texts may show whole URLs.
    number = error.strerror if isinstance(error, OSError) and error.strerror else ""
    return f"{type(error).__name__} {number}".strip()
