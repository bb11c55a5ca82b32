"""Connect only to the address we checked.

A URL is judged twice: its text when it is saved, and every address its name resolves to when it is called.
The second decides, because a name may answer differently by then. Nothing here follows a redirect or a proxy.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import ssl
from collections.abc import Sequence
from contextvars import ContextVar
from enum import Enum
from typing import Any
from urllib.parse import SplitResult, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from aiohttp.tracing import Trace

from callreel.errors import AddressBlocked, ForbiddenAddress
from callreel.outbound.addresses import Address, Network, is_inside, why_forbidden

MAX_URL_CHARS = 4096
CONNECTIONS = 100

# The Fetch standard's "bad ports" (fetch.spec.whatwg.org/#port-blocking): a line-based protocol that
# listens there could be talked into acting on an HTTP request.
# fmt: off
_BAD_PORTS = frozenset((
    0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109,
    110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531,
    532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060,
    5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
))
# fmt: on
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)", re.ASCII)
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*", re.ASCII)
_LOCAL_NAMES = ("localhost", "local", "internal", "home.arpa")  # RFC 6761, 6762, 8375 and ICANN's .internal


class PlainHttp(Enum):
    """Where `http` without TLS may go."""

    ANYWHERE = "anywhere"  # callbacks: Twilio calls http URLs too
    PRIVATE_ONLY = "private-only"  # buckets and sources: only inside the installation's own networks


class Guard:
    """The one judge of where this installation may connect to.

    `private_networks` are the operator's ALLOWED_PRIVATE_NETWORKS; empty means the public Internet only.
    """

    def __init__(self, private_networks: Sequence[Network] = ()) -> None:
        self.private_networks = tuple(private_networks)

    def check_url(self, url: str, *, plain_http: PlainHttp = PlainHttp.ANYWHERE) -> None:
        """Judge a URL by its text, for the moment it is saved. No name is resolved.

        Raises `ForbiddenAddress` with the reason. Passing is no promise for later: a session of
        `open_session` judges the addresses again.
        """
        parts = _split(url)
        host = (parts.hostname or "").removesuffix(".").lower()
        address = _literal(host)
        if address is None:
            self._check_name(host)
        else:
            why = why_forbidden(address, self.private_networks)
            if why is not None:
                raise ForbiddenAddress(f"The URL leads to {why}, which callreel must not call")
        if parts.scheme == "http" and plain_http is PlainHttp.PRIVATE_ONLY:
            allowed = bool(self.private_networks) if address is None else is_inside(address, self.private_networks)
            if not allowed:
                raise ForbiddenAddress("The URL must begin with https://; http is for ALLOWED_PRIVATE_NETWORKS only")

    def check_address(self, address: str, *, host: str, secured: bool = True) -> None:
        """Judge the address a connection would be made to; `host` is only for the message.

        `secured` is false for `http` where it may go to private networks only. Raises `AddressBlocked`.
        The message does not tell the address: it may be shown to a tenant, who need not learn what our
        resolver knows.
        """
        try:
            parsed = ipaddress.ip_address(address.partition("%")[0])
        except ValueError as why_not:
            raise AddressBlocked(f"{host} does not lead to an IP address") from why_not
        why = why_forbidden(parsed, self.private_networks)
        if why is not None:
            raise AddressBlocked(f"{host} leads to {why}, which callreel must not call")
        if not secured and not is_inside(parsed, self.private_networks):
            raise AddressBlocked(f"{host} is outside ALLOWED_PRIVATE_NETWORKS and must be called by https")

    def open_session(
        self,
        *,
        plain_http: PlainHttp = PlainHttp.ANYWHERE,
        connections: int = CONNECTIONS,
        connections_per_host: int = 0,
        ssl_context: ssl.SSLContext | None = None,
        resolver: AbstractResolver | None = None,
    ) -> aiohttp.ClientSession:
        """A session that connects only to addresses it has checked. The caller closes it.

        No proxy variables, no cookies, no decompression, no headers of its own beyond HTTP's; Host and SNI stay
        those of the URL. Callers pass `allow_redirects=False`. Requests raise `AddressBlocked` before any
        connection is made. `connections` is the limit of all hosts together, `connections_per_host` (0: none)
        of each; `ssl_context` adds an operator's own authorities.
        """
        connector = GuardedConnector(
            self,
            plain_http=plain_http,
            limit=connections,
            limit_per_host=connections_per_host,
            ssl=True if ssl_context is None else ssl_context,
            resolver=_CheckingResolver(self, resolver or ThreadedResolver()),
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent"),
        )

    def _check_name(self, host: str) -> None:
        if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in host.split(".")):
            raise ForbiddenAddress(f"'{host[:80]}' is not a DNS host name")
        if self.private_networks:
            return  # names of the operator's own networks look like anything
        if "." not in host or any(host == name or host.endswith(f".{name}") for name in _LOCAL_NAMES):
            raise ForbiddenAddress(f"'{host[:80]}' is not a name of the public Internet")


class GuardedConnector(aiohttp.TCPConnector):
    """A connector that asks the guard three times: after resolving, for each socket, and about the peer it got.

    The second catches hosts that are literal addresses, which aiohttp does not resolve; the third would catch
    a way around the first two.
    """

    def __init__(self, guard: Guard, *, plain_http: PlainHttp, **options: Any) -> None:
        super().__init__(use_dns_cache=False, socket_factory=self._open_socket, **options)
        self._guard = guard
        self._plain_http = plain_http

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> aiohttp.connector.Connection:
        """As aiohttp's, but only to an address the guard allows. Raises `AddressBlocked`."""
        if req.proxy is not None:
            raise AddressBlocked("callreel calls nobody through a proxy")
        if req.url.scheme not in ("http", "https") or not req.url.host or req.url.port is None:
            raise AddressBlocked("The URL names no host that callreel could call")
        secured = req.is_ssl() or self._plain_http is PlainHttp.ANYWHERE
        calling = _calling.set((req.url.host or "", secured))
        try:
            connection = await super().connect(req, traces, timeout)
        finally:
            _calling.reset(calling)
        try:
            peer = connection.transport.get_extra_info("peername") if connection.transport else None
            if peer is not None:  # None: it has hung up already, and the request will say so
                self._guard.check_address(peer[0], host=req.url.host or "", secured=secured)
        except AddressBlocked:
            connection.close()
            raise
        return connection

    def _open_socket(self, info: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, address = info
        host, secured = _calling.get()
        self._guard.check_address(address[0], host=host, secured=secured)
        return socket.socket(family, kind, protocol)


class _CheckingResolver(AbstractResolver):
    """Resolves once and refuses the name if any one of its addresses is forbidden."""

    def __init__(self, guard: Guard, inner: AbstractResolver) -> None:
        self._guard, self._inner = guard, inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        if not found:
            raise OSError(None, f"{host} has no address")
        _, secured = _calling.get()
        for answer in found:
            self._guard.check_address(answer["host"], host=host, secured=secured)
        return found

    async def close(self) -> None:
        await self._inner.close()


_calling: ContextVar[tuple[str, bool]] = ContextVar("calling")
"""The host being called and whether the call is secured: aiohttp tells neither resolver nor socket factory."""


def _split(url: str) -> SplitResult:
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise ForbiddenAddress("The URL must be printable 7-bit ASCII without spaces or backslashes (RFC 3986)")
    if len(url) > MAX_URL_CHARS:
        raise ForbiddenAddress(f"The URL must have at most {MAX_URL_CHARS} characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as why:
        raise ForbiddenAddress(f"The URL is not a URL: {why}") from why
    if parts.scheme not in ("http", "https"):
        raise ForbiddenAddress("The URL must begin with https:// or http://")
    if "@" in parts.netloc:
        raise ForbiddenAddress("The URL must not carry a user name or password")
    if not parts.hostname:
        raise ForbiddenAddress("The URL names no host")
    if port in _BAD_PORTS:
        raise ForbiddenAddress(f"The URL's port {port} is not one callreel calls")
    if port is None and parts.netloc.endswith(":"):
        raise ForbiddenAddress("The URL has a colon without a port")
    return parts


def _literal(host: str) -> Address | None:
    """The address a host is, or None for a name.

    Raises `ForbiddenAddress` for every spelling that some resolver reads as an IPv4 address although it
    is not four decimal numbers: 2130706433, 0x7f.1, 0177.0.0.1, 127.1.
    """
    looks_numeric = _NUMBER.fullmatch(host.rsplit(".", 1)[-1]) is not None
    if not looks_numeric and ":" not in host:
        return None
    try:
        if "%" in host:
            raise ValueError("an address with a zone")
        return ipaddress.ip_address(host)
    except ValueError as why:
        raise ForbiddenAddress("The URL's host is an IP address in an unusual spelling") from why
