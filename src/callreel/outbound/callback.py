"""Sends one event to its receiver, the way Twilio would. When to send it, and when again, the outbox knows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import aiohttp
from yarl import URL

from callreel.clock import Clock
from callreel.errors import AddressBlocked, CallbackFailed
from callreel.model.callback import Overrides, split_overrides
from callreel.outbound.signature import sign

ANSWER_BYTES = 64 * 1024
PER_HOST = 4  # connections to one receiver at a time
_RETRYABLE_4XX = frozenset({408, 425, 429})  # the receiver asks to come back; every other 4xx is its last word
_NEVER = "never"  # the `policy` of a failure that no retry policy of the URL covers

Parameters = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class _Call:
    """One request, ready to be repeated byte for byte."""

    method: str
    url: URL
    host: str
    headers: dict[str, str]
    body: bytes | None


class CallbackSender:
    """Delivers events over a guarded session, at most `per_host` at a time to one host and port."""

    def __init__(self, session: aiohttp.ClientSession, clock: Clock, *, per_host: int = PER_HOST) -> None:
        self._session, self._clock = session, clock
        self._queues = _HostQueues(per_host)

    def is_busy(self, url: str) -> bool:
        """Whether an event for this URL would have to wait for others to the same host."""
        try:
            return self._queues.is_full(urlsplit(url).netloc.lower())
        except ValueError:
            return False

    async def send(
        self, url: str, method: str, parameters: Parameters, *, auth_token: str, idempotency_token: str
    ) -> None:
        """Deliver one event; returning means that a 2xx came back.

        Tries again at once, and only as often as the URL's fragment asks for; every try carries the same
        signature and idempotency token, so the receiver can tell a repetition. All tries together take
        at most 15 s, waiting for the host's turn not counted. Raises `CallbackFailed` with Twilio's code of
        the last failure: `retryable` says whether the outbox should try again later, `policy` which word in
        a fragment's `rp` covers the failure. An address that must not be called fails like an unreachable one.
        """
        call, overrides = _prepare(url, method, parameters, auth_token, idempotency_token)
        async with self._queues.turn(call.host):
            await self._try_and_retry(call, overrides)

    async def _try_and_retry(self, call: _Call, overrides: Overrides) -> None:
        deadline = self._clock.monotonic() + overrides.total_ms / 1000
        retries = overrides.retry_count
        while True:
            try:
                return await self._try_once(call, overrides, deadline - self._clock.monotonic())
            except CallbackFailed as failed:
                if retries == 0 or not _covers(overrides, failed) or self._clock.monotonic() >= deadline:
                    raise
                retries -= 1

    async def _try_once(self, call: _Call, overrides: Overrides, left_s: float) -> None:
        timeout = aiohttp.ClientTimeout(
            total=left_s, connect=overrides.connect_ms / 1000, sock_read=overrides.read_ms / 1000
        )
        try:
            async with self._session.request(
                call.method,
                call.url,
                data=call.body,
                headers=call.headers,
                allow_redirects=False,
                timeout=timeout,
            ) as answer:
                _judge(answer.status)
                await _drain(answer.content)
        except (AddressBlocked, aiohttp.ClientError, TimeoutError, OSError) as why:
            raise _translate(why) from why


def _prepare(
    url: str, method: str, parameters: Parameters, auth_token: str, idempotency_token: str
) -> tuple[_Call, Overrides]:
    if method not in ("GET", "POST"):
        raise _malformed(f"The callback's method must be GET or POST, not '{method[:20]}'")
    host, bare = _as_requested(url)
    encoded = "&".join(f"{_quote(name)}={_quote(value)}" for name, value in parameters)
    headers = {
        "User-Agent": "TwilioProxy/1.1",
        "Accept": "*/*",
        "I-Twilio-Idempotency-Token": idempotency_token,
        "X-Home-Region": "us1",
        "Connection": "close",
    }
    body = None
    if method == "GET":
        bare = _with_query(bare, encoded)
        headers["X-Twilio-Signature"] = sign(auth_token, bare)
    else:
        body = encoded.encode("ascii")
        headers["Content-Type"] = "application/x-www-form-urlencoded; charset=UTF-8"
        headers["X-Twilio-Signature"] = sign(auth_token, bare, parameters)
    _, overrides = split_overrides(url)
    # encoded=True: what was signed is what is sent, not what yarl thinks it should look like.
    return _Call(method, URL(bare, encoded=True), host, headers, body), overrides


def _as_requested(url: str) -> tuple[str, str]:
    """The URL's host and port, and the URL as it will be requested.

    That is the URL as it was stored, less its fragment, and spelled so that the receiver, who has only the request to
    go by, computes the signature over the same text: scheme and host in lower case, an empty path as `/`, no
    question mark before an empty query.
    """
    bare = url.partition("#")[0]
    if not bare.isascii() or not bare.isprintable() or " " in bare or "\\" in bare:
        raise _malformed("The callback URL must be printable 7-bit ASCII without spaces or backslashes")
    try:
        parts = urlsplit(bare)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError as why:
        raise _malformed(f"The callback URL is not a URL: {why}") from why
    if not usable or "@" in parts.netloc:
        raise _malformed("The callback URL must be http(s)://host[:port][/path][?query]")
    host = parts.netloc.lower()
    rest = bare[len(f"{parts.scheme}://{host}") :]
    if not rest.startswith("/"):
        rest = f"/{rest}"
    if rest.endswith("?") and rest.count("?") == 1:
        rest = rest[:-1]
    return host, f"{parts.scheme}://{host}{rest}"


def _quote(text: str) -> str:
    """Percent-encode like Twilio: a space is `%20`, a plus sign `%2B`."""
    return quote(text, safe="", errors="replace")


def _with_query(url: str, encoded: str) -> str:
    if "?" not in url:
        return f"{url}?{encoded}"
    return url + encoded if url.endswith(("?", "&")) else f"{url}&{encoded}"


def _judge(status: int) -> None:
    if 200 <= status < 300:
        return
    if status < 400:
        raise CallbackFailed(
            f"The receiver answered with a redirect ({status}), which is not followed",
            twilio_code=11215,
            policy=_NEVER,
            retryable=False,
        )
    raise CallbackFailed(
        f"The receiver answered {status}",
        twilio_code=11200,
        policy="4xx" if status < 500 else "5xx",
        retryable=status >= 500 or status in _RETRYABLE_4XX,
    )


async def _drain(content: aiohttp.StreamReader) -> None:
    """Read the answer of a success to its end or its 64th KiB, so that the receiver is not cut off in mid-sentence.

    The event was taken when the 2xx came; an answer that breaks off or dawdles does not change that.
    """
    left = ANSWER_BYTES
    try:
        while left > 0 and (chunk := await content.read(left)):
            left -= len(chunk)
    except (aiohttp.ClientError, TimeoutError, OSError):
        return


_TRANSLATION: tuple[tuple[type[BaseException], int, str, str], ...] = (
    # The first match counts. Class, Twilio's code, the retry policy that covers it, what to tell.
    (AddressBlocked, 11205, _NEVER, "The callback was not sent"),
    (aiohttp.ClientConnectorDNSError, 11210, "ct", "The receiver's name does not resolve"),
    (aiohttp.ClientSSLError, 11220, "ct", "No TLS connection could be made to the receiver"),
    (aiohttp.ConnectionTimeoutError, 11205, "ct", "The receiver did not accept a connection in time"),
    (aiohttp.ClientConnectorError, 11205, "ct", "The receiver did not accept a connection"),
    (TimeoutError, 11200, "rt", "The receiver did not answer in time"),
    (aiohttp.InvalidURL, 13256, _NEVER, "The callback URL is malformed"),
    (aiohttp.ClientError, 11206, "all", "The receiver broke off or did not speak HTTP"),
    (OSError, 11206, "all", "The connection to the receiver broke"),
)


def _translate(why: BaseException) -> CallbackFailed:
    for kind, code, policy, message in _TRANSLATION:
        if isinstance(why, kind):
            told = f"{message}: {why}" if isinstance(why, AddressBlocked) else message
            return CallbackFailed(told, twilio_code=code, policy=policy, retryable=code != 13256)
    raise AssertionError(f"{type(why).__name__} is not in the table")


def _malformed(message: str) -> CallbackFailed:
    return CallbackFailed(message, twilio_code=13256, policy=_NEVER, retryable=False)


def _covers(overrides: Overrides, failed: CallbackFailed) -> bool:
    """Whether the URL's retry policies ask for another try after this failure."""
    if failed.policy == _NEVER:
        return False
    return "all" in overrides.retry_policies or failed.policy in overrides.retry_policies


class _HostQueues:
    """One semaphore for each host in use, forgotten when its last caller leaves."""

    def __init__(self, per_host: int) -> None:
        self._per_host = per_host
        self._queues: dict[str, tuple[asyncio.Semaphore, int]] = {}

    def is_full(self, host: str) -> bool:
        queue = self._queues.get(host)
        return queue is not None and queue[1] >= self._per_host

    @asynccontextmanager
    async def turn(self, host: str) -> AsyncIterator[None]:
        """Wait for a place; first come, first served."""
        semaphore, users = self._queues.get(host, (asyncio.Semaphore(self._per_host), 0))
        self._queues[host] = (semaphore, users + 1)
        try:
            async with semaphore:
                yield
        finally:
            users = self._queues[host][1] - 1
            if users:
                self._queues[host] = (semaphore, users)
            else:
                del self._queues[host]
