"""Connections go only to addresses the guard checked. Real sockets; only name resolution is told what to say."""

from __future__ import annotations

import asyncio
import gzip
import ipaddress
import socket
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession, InvalidURL, web
from aiohttp.abc import AbstractResolver, ResolveResult

from callreel.errors import AddressBlocked, ForbiddenAddress
from callreel.outbound.addresses import why_forbidden
from callreel.outbound.guard import Guard, PlainHttp

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)

HOSTILE = [
    # loopback and its spellings
    "http://127.0.0.1/",
    "https://127.0.0.1:8443/cb",
    "http://127.1.2.3/",
    "http://127.1/",
    "http://127.0.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.0.0.1/",
    "http://0X7F.1/",
    "http://0177.0.0.1/",
    "http://017700000001/",
    "http://127.0.0.01/",
    "http://127.0.0.0x1/",
    "http://127.0.0.1./",
    "http://0/",
    "http://0.0.0.0/",
    "http://00000.0/",
    "http://localhost/",
    "http://LOCALHOST/",
    "http://localhost./",
    "http://a.localhost/",
    "http://[::1]/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://[::]/",
    "http://[::127.0.0.1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::ffff:0:127.0.0.1]/",
    # private, shared, link-local, metadata
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://172.31.255.255/",
    "http://192.168.1.1/",
    "http://100.64.0.1/",
    "http://100.100.100.200/",
    "http://169.254.169.254/latest/meta-data/",
    "http://2852039166/",
    "http://0xA9FEA9FE/",
    "http://169.254.43518/",
    "http://[::ffff:169.254.169.254]/",
    "http://[fd00:ec2::254]/",
    "http://[fe80::1]/",
    "http://[fe80::1%25eth0]/",
    "http://[fc00::1]/",
    "http://[fec0::1]/",
    "http://168.63.129.16/",
    "http://192.0.0.192/",
    "http://metadata.google.internal/",
    "http://printer.local/",
    "http://router.home.arpa/",
    "http://intranet/",
    # multicast, broadcast, reserved, documentation
    "http://224.0.0.1/",
    "http://239.255.255.250/",
    "http://255.255.255.255/",
    "http://240.0.0.1/",
    "http://192.0.2.1/",
    "http://198.51.100.1/",
    "http://203.0.113.1/",
    "http://198.18.0.1/",
    "http://[ff02::1]/",
    "http://[2001:db8::1]/",
    "http://[100::1]/",
    "http://[4000::1]/",
    # IPv4 inside IPv6
    "http://[2002:7f00:1::1]/",
    "http://[2002:808:808::1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[64:ff9b::808:808]/",
    "http://[64:ff9b:1::a00:1]/",
    "http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/",
    "http://[2600:1f00::5efe:7f00:1]/",
    "http://[::ffff:8.8.8.8]/",
    # what is not a plain http(s) URL of a host
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://example.com/",
    "javascript:alert(1)",
    "//example.com/",
    "example.com/cb",
    "",
    "http://",
    "http:///cb",
    "http:example.com",
    "https://user@example.com/",
    "https://user:secret@example.com/",
    "https://example.com@127.0.0.1/",
    "https://@example.com/",
    "https://example.com\\@127.0.0.1/",
    "https://example.com\\.evil.example/",
    "https://exa mple.com/",
    "https://example.com/a b",
    "https://example.com/\r\nHost: x",
    "https://example.com/\x00",
    "\thttps://example.com/",
    "https://exam\tple.com/",
    "https://exämple.com/",
    "https://①②⑦.⓪.⓪.①/",
    "https://127。0。0。1/",
    "https://example.com:0/",
    "https://example.com:22/",
    "https://example.com:25/",
    "https://example.com:6667/",
    "https://example.com:65536/",
    "https://example.com:-1/",
    "https://example.com:80a/",
    "https://example.com:/",
    "https://[::1/",
    "https://[v1.fe80::1]/",
    "https://1.2.3.4.5/",
    "https://256.256.256.256/",
    "https://example.123/",
    "https://example.0x7f/",
    "https://-example.com/",
    "https://example..com/",
    "https://.example.com/",
    "https://%6c%6f%63%61%6c%68%6f%73%74/",
    "https://127.0.0.1%00.example.com/",
    "https://" + "a" * 64 + ".com/",
    "https://" + "a." * 130 + "com/",
    "https://example.com/" + "a" * 5000,
]

HARMLESS = [
    "https://example.com/cb",
    "http://example.com/cb",
    "https://example.com",
    "https://example.com.:8443/cb?x=1&y=a%20b#rc=3&rp=all",
    "https://xn--bcher-kva.example/cb",
    "https://my_host.example.com/",
    "https://8.8.8.8/cb",
    "https://[2606:4700:4700::1111]:8443/cb",
    "https://7.example.com/",
    "https://bucket.s3.eu-central-1.amazonaws.com/prefix",
]


@pytest.mark.parametrize("url", HOSTILE)
def test_a_hostile_url_is_refused_when_it_is_saved(url: str) -> None:
    with pytest.raises(ForbiddenAddress) as refused:
        Guard().check_url(url)
    assert refused.value.message


@pytest.mark.parametrize("url", HARMLESS)
def test_a_public_url_is_accepted_when_it_is_saved(url: str) -> None:
    Guard().check_url(url)


def test_the_reason_never_repeats_a_password() -> None:
    with pytest.raises(ForbiddenAddress) as refused:
        Guard().check_url("https://user:hunter2@example.com/")
    assert "hunter2" not in refused.value.message


def test_plain_http_to_a_bucket_is_refused_without_private_networks() -> None:
    guard = Guard()
    guard.check_url("https://minio.example.com/", plain_http=PlainHttp.PRIVATE_ONLY)
    for url in ("http://minio.example.com/", "http://8.8.8.8/"):
        guard.check_url(url)
        with pytest.raises(ForbiddenAddress):
            guard.check_url(url, plain_http=PlainHttp.PRIVATE_ONLY)


def test_plain_http_to_a_bucket_inside_a_private_network_is_accepted() -> None:
    guard = Guard((ipaddress.ip_network("10.1.0.0/16"),))
    guard.check_url("http://10.1.2.3:9000/", plain_http=PlainHttp.PRIVATE_ONLY)
    guard.check_url("http://minio:9000/", plain_http=PlainHttp.PRIVATE_ONLY)
    for url in ("http://8.8.8.8/", "http://10.2.0.1/"):
        with pytest.raises(ForbiddenAddress):
            guard.check_url(url, plain_http=PlainHttp.PRIVATE_ONLY)


def test_only_the_named_networks_are_opened() -> None:
    networks = (ipaddress.ip_network("10.1.0.0/16"), ipaddress.ip_network("fd00::/64"))

    def why(text: str) -> str | None:
        return why_forbidden(ipaddress.ip_address(text), networks)

    assert why("10.1.0.1") is None
    assert why("::ffff:10.1.0.1") is None
    assert why("fd00::7") is None
    assert why("10.2.0.1") == "a private address"
    assert why("::ffff:10.2.0.1") == "an IPv4 address inside an IPv6 address"
    assert why("64:ff9b::a01:1") == "a NAT64 address"
    assert why("127.0.0.1") == "a loopback address"


def test_every_address_python_does_not_call_global_is_forbidden() -> None:
    for first in range(256):
        for rest in ("0.0.1", "31.196.7", "168.0.1", "254.1.1", "16.0.1", "64.0.1", "255.255.254"):
            address = ipaddress.ip_address(f"{first}.{rest}")
            if not address.is_global or address.is_multicast or address.is_reserved:
                assert why_forbidden(address) is not None, address


# --- At connect time: real connections -------------------------------------------------------------------------------


PACKED = gzip.compress(b"0" * 100_000)


class Names(AbstractResolver):
    """A name server that gives a list of addresses for each question, in turn; the last answer stays."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers, self.asked = list(answers), 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=0,
            )
            for address in found
        ]

    async def close(self) -> None:
        pass


class Receiver:
    """An HTTP server on loopback that counts connections as well as requests."""

    def __init__(self) -> None:
        self.requests: list[web.BaseRequest] = []
        self.connections = 0
        self.port = 0

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(request)
        if request.path == "/packed":
            return web.Response(body=PACKED, headers={"Content-Encoding": "gzip"})
        if request.path == "/redirect":
            return web.Response(status=302, headers={"Location": "http://169.254.169.254/"})
        return web.Response(text="hello", headers={"Set-Cookie": "a=b"})


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    server = web.Server(receiver.handle)

    def protocol() -> object:
        receiver.connections += 1
        return server()

    listening = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)  # type: ignore[arg-type]
    receiver.port = listening.sockets[0].getsockname()[1]
    yield receiver
    listening.close()
    await server.shutdown()
    await listening.wait_closed()


async def ask(session: ClientSession, url: str, **options: object) -> str:
    async with session.get(url, allow_redirects=False, **options) as answer:  # type: ignore[arg-type]
        return await answer.text()


async def test_an_allowed_private_network_is_reached_and_host_is_kept(receiver: Receiver) -> None:
    async with Guard(LOOPBACK).open_session(resolver=Names(["127.0.0.1"])) as session:
        assert await ask(session, f"http://hook.example:{receiver.port}/") == "hello"
    assert receiver.requests[0].host == f"hook.example:{receiver.port}"


async def test_a_name_that_leads_to_loopback_is_blocked_before_any_connection(receiver: Receiver) -> None:
    async with Guard().open_session(resolver=Names(["127.0.0.1"])) as session:
        with pytest.raises(AddressBlocked) as blocked:
            await ask(session, f"http://hook.example:{receiver.port}/")
    assert "hook.example leads to a loopback address" in blocked.value.message
    assert receiver.connections == 0


async def test_a_name_rebound_after_it_was_saved_is_blocked(receiver: Receiver) -> None:
    guard = Guard((ipaddress.ip_network("127.0.0.1/32"),))
    names = Names(["127.0.0.1"], ["127.0.0.2"])
    url = f"http://hook.example:{receiver.port}/"
    guard.check_url(url)
    async with guard.open_session(resolver=names) as session:
        assert await ask(session, url, headers={"Connection": "close"}) == "hello"
        with pytest.raises(AddressBlocked):
            await ask(session, url)
    assert names.asked == 2
    assert receiver.connections == 1


async def test_a_public_answer_before_a_private_one_makes_no_connection(receiver: Receiver) -> None:
    names = Names(["8.8.8.8"], ["127.0.0.1"])
    guard = Guard()
    first = await names.resolve("hook.example")
    guard.check_address(first[0]["host"], host="hook.example")
    async with guard.open_session(resolver=names) as session:
        with pytest.raises(AddressBlocked):
            await ask(session, f"http://hook.example:{receiver.port}/")
    assert receiver.connections == 0


@pytest.mark.parametrize(
    "answers",
    [
        ["8.8.8.8", "127.0.0.1"],
        ["127.0.0.1", "8.8.8.8"],
        ["2606:4700:4700::1111", "::1"],
        ["2606:4700:4700::1111", "fe80::1%lo"],
    ],
)
async def test_one_forbidden_address_among_several_blocks_the_name(answers: list[str], receiver: Receiver) -> None:
    async with Guard().open_session(resolver=Names(answers)) as session:
        with pytest.raises(AddressBlocked):
            await ask(session, f"http://hook.example:{receiver.port}/")
    assert receiver.connections == 0


async def test_an_allowed_address_beside_a_forbidden_one_is_not_connected_to_either(receiver: Receiver) -> None:
    guard = Guard((ipaddress.ip_network("127.0.0.1/32"),))
    for answers in (["127.0.0.1", "127.0.0.2"], ["127.0.0.2", "127.0.0.1"]):
        async with guard.open_session(resolver=Names(answers)) as session:
            with pytest.raises(AddressBlocked):
                await ask(session, f"http://hook.example:{receiver.port}/")
    assert receiver.connections == 0


async def test_a_packed_answer_arrives_packed(receiver: Receiver) -> None:
    url = f"http://127.0.0.1:{receiver.port}/packed"
    async with Guard(LOOPBACK).open_session() as session, session.get(url) as answer:
        assert await answer.read() == PACKED


async def test_a_name_is_resolved_once_for_each_connection(receiver: Receiver) -> None:
    names = Names(["127.0.0.1"])
    async with Guard(LOOPBACK).open_session(resolver=names) as session:
        await ask(session, f"http://hook.example:{receiver.port}/")
        assert names.asked == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "[fd00:ec2::254]"])
async def test_a_literal_address_is_blocked_although_nobody_resolves_it(host: str, receiver: Receiver) -> None:
    async with Guard().open_session(resolver=Names(["8.8.8.8"])) as session:
        with pytest.raises(AddressBlocked):
            await ask(session, f"http://{host}:{receiver.port}/")
    assert receiver.connections == 0


@pytest.mark.parametrize("host", ["0x7f.1", "localhost", "0x7f000001", "127.0.0.1."])
async def test_what_the_systems_own_resolver_makes_of_a_host_is_judged_too(host: str, receiver: Receiver) -> None:
    async with Guard().open_session() as session:
        with pytest.raises((AddressBlocked, InvalidURL)):
            await ask(session, f"http://{host}:{receiver.port}/")
    assert receiver.connections == 0


async def test_a_literal_address_inside_a_private_network_is_reached(receiver: Receiver) -> None:
    async with Guard(LOOPBACK).open_session(plain_http=PlainHttp.PRIVATE_ONLY) as session:
        assert await ask(session, f"http://127.0.0.1:{receiver.port}/") == "hello"


@pytest.mark.parametrize("url", ["http://8.8.8.8/", "http://minio.example/"])
async def test_plain_http_to_a_public_bucket_is_blocked_at_connect(url: str) -> None:
    guard = Guard(LOOPBACK)
    async with guard.open_session(plain_http=PlainHttp.PRIVATE_ONLY, resolver=Names(["8.8.8.8"])) as session:
        with pytest.raises(AddressBlocked, match="must be called by https"):
            await ask(session, url)


async def test_the_peer_is_checked_even_if_the_socket_was_not(receiver: Receiver) -> None:
    async with Guard().open_session() as session:
        assert session.connector is not None
        session.connector._socket_factory = None  # type: ignore[attr-defined]
        with pytest.raises(AddressBlocked):
            await ask(session, f"http://127.0.0.1:{receiver.port}/")
    assert receiver.requests == []


async def test_proxy_variables_are_ignored(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")
    async with Guard(LOOPBACK).open_session() as session:
        assert await ask(session, f"http://127.0.0.1:{receiver.port}/") == "hello"


async def test_a_proxy_asked_for_by_the_caller_is_refused(receiver: Receiver) -> None:
    async with Guard(LOOPBACK).open_session() as session:
        with pytest.raises(AddressBlocked, match="proxy"):
            await ask(session, "http://hook.example/", proxy=f"http://127.0.0.1:{receiver.port}/")
    assert receiver.connections == 0


async def test_a_redirect_to_metadata_is_blocked_even_when_followed(receiver: Receiver) -> None:
    async with Guard(LOOPBACK).open_session() as session:
        with pytest.raises(AddressBlocked):
            await session.get(f"http://127.0.0.1:{receiver.port}/redirect")
    assert len(receiver.requests) == 1


async def test_a_session_keeps_no_cookies_and_names_neither_itself_nor_encodings(receiver: Receiver) -> None:
    async with Guard(LOOPBACK).open_session() as session:
        for _ in range(2):
            await ask(session, f"http://127.0.0.1:{receiver.port}/")
    sent = receiver.requests[1].headers
    assert "Cookie" not in sent
    assert "User-Agent" not in sent
    assert "Accept-Encoding" not in sent


async def test_a_name_without_addresses_is_an_os_error() -> None:
    async with Guard().open_session(resolver=Names([])) as session:
        with pytest.raises(OSError, match="no address"):
            await ask(session, "http://hook.example/")
