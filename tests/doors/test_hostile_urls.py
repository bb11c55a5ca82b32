"""Every hostile URL, in every place where a customer may put one: refused when saved; forced into the row, not called.

`python -m pytest tests/doors/test_hostile_urls.py -s` prints the figure. Listeners on loopback count real connections.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from callreel.errors import CallreelError, ForbiddenAddress, InvalidDestination
from callreel.model.destination import parse_destination
from callreel.outbound.guard import Guard, PlainHttp
from callreel.steps.keep_source import check_base_url
from tests.outbound.test_guard import HOSTILE

# More spellings of the same few places: the first hundred are those of the guard's own tests.
MORE = [
    "https://[::ffff:0a00:0001]/",
    "https://[0000:0000:0000:0000:0000:ffff:7f00:0001]/",
    "https://localhost.localdomain.local/",
    "https://foo.internal/",
    "https://127.0.0.1.:443/",
    "https://0x7f000001.:443/",
    "https://017700000001:8443/",
    "https://10.255.255.255:9000/bucket",
    "https://192.168.0.1:9000/bucket/prefix",
    "https://169.254.170.2/v2/credentials",
]
URLS = list(dict.fromkeys([*HOSTILE, *MORE]))
ADDRESSES = ("127.0.0.1", "127.1.2.3", "127.0.0.2")


@dataclass
class Ears:
    """Listeners on loopback that count who connects, all on one port."""

    port: int = 0
    heard: list[str] = field(default_factory=list)


@pytest.fixture
async def ears() -> AsyncIterator[Ears]:
    heard = Ears()

    def hear(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.heard.append(str(writer.get_extra_info("sockname")))
        writer.close()

    with ExitStack() as stack:
        servers = []
        for address in ADDRESSES:
            bound = stack.enter_context(socket.create_server((address, heard.port)))
            heard.port = bound.getsockname()[1]
            servers.append(await asyncio.start_server(hear, sock=bound))
        yield heard
        for server in servers:
            server.close()


class Rebinding(AbstractResolver):
    """Public when it is asked first, loopback ever after."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        address = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [ResolveResult(hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0)]

    async def close(self) -> None:
        return


def with_port(url: str, port: int) -> Iterator[str]:
    """The URL as it is, and with the port where somebody listens."""
    yield url
    scheme, separator, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    if separator and host and ":" not in host.rpartition("]")[2] and "@" not in host:
        yield f"{scheme}://{host}:{port}{slash}{path}"
        yield f"http://{host}:{port}{slash}{path}"


def test_there_are_more_than_120_of_them() -> None:
    assert len(URLS) >= 120


def test_each_is_refused_as_callback_as_bucket_and_as_source_when_it_is_saved() -> None:
    guard = Guard()
    for url in URLS:
        with pytest.raises(ForbiddenAddress):
            guard.check_url(url)
        with pytest.raises(CallreelError):
            check_base_url(url, guard)
        try:
            parse_destination(url)
        except InvalidDestination:
            continue
        with pytest.raises(ForbiddenAddress):  # a name that is no IP address: the guard knows what leads home
            guard.check_url(url, plain_http=PlainHttp.PRIVATE_ONLY)


@pytest.mark.parametrize("place", list(PlainHttp), ids=["callback", "bucket and source"])
async def test_each_that_is_forced_into_the_row_makes_no_connection(place: PlainHttp, ears: Ears) -> None:
    called, answered = 0, []
    async with Guard().open_session(plain_http=place, resolver=Rebinding("127.0.0.1")) as session:
        for url in (spelled for hostile in URLS for spelled in with_port(hostile, ears.port)):
            called += 1
            try:
                async with session.post(url, allow_redirects=False, timeout=aiohttp.ClientTimeout(total=2)):
                    answered.append(url)
            except (CallreelError, aiohttp.ClientError, OSError, ValueError, TimeoutError, AssertionError):
                continue  # an assertion is aiohttp's way to say that a URL names no host
    assert answered == []
    print(f"\n{len(URLS)} hostile URLs, {called} calls ({place}): {len(ears.heard)} connections")
    assert ears.heard == []


async def test_a_name_that_is_public_when_saved_and_loopback_when_called_makes_no_connection(ears: Ears) -> None:
    guard = Guard()
    for place in PlainHttp:
        for answers in (("8.8.8.8", "127.0.0.1"), ("127.0.0.1",), ("127.1.2.3", "8.8.8.8")):
            resolver = Rebinding(*answers)
            url = f"https://rebinding.example.com:{ears.port}/"
            guard.check_url(url)
            if answers[0] == "8.8.8.8":
                await resolver.resolve("rebinding.example.com")  # the answer of the moment it was saved
            async with guard.open_session(plain_http=place, resolver=resolver) as session:
                with pytest.raises((CallreelError, aiohttp.ClientError)):
                    await session.post(url, allow_redirects=False, timeout=aiohttp.ClientTimeout(total=2))
    assert ears.heard == []
