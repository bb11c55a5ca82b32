"""Slow, huge and broken clients are cut off, told why where they can be, and others are served meanwhile.

Real sockets; the time that has passed is given to the watch, so that nobody waits for it.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from callreel.cli import slow_clients
from callreel.cli.listener import Listener, bind, url_of
from callreel.cli.slow_clients import Conduct, Watch
from callreel.parts import Parts
from callreel.web.listener import make_web
from tests.stage import a_wav
from tests.web.conftest import Caller, Record


@dataclass
class Served:
    listener: Listener
    base: str
    port: int

    async def later(self, seconds: float) -> None:
        """Let the watch look as if so much time had passed."""
        await asyncio.sleep(0.05)  # what was sent is on its way through the loopback
        self.listener.watch.look(asyncio.get_running_loop().time() + seconds)

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)


@pytest.fixture
async def served(parts: Parts) -> AsyncIterator[Served]:
    answering = asyncio.Event()
    bound = bind("127.0.0.1", 0)
    parts.public_url = url_of(bound)
    listener = Listener(make_web(parts), on_answering=answering.set)
    running = asyncio.create_task(listener.serve(sockets=[bound]))
    await answering.wait()
    yield Served(listener, parts.public_url, bound.getsockname()[1])
    listener.stop()
    await running


@pytest.fixture
def base(served: Served) -> str:
    return served.base


async def answer_of(reader: asyncio.StreamReader) -> tuple[int, str]:
    """Status and body of what comes until the connection ends; 0 when it ended without a word."""
    try:
        whole = await asyncio.wait_for(reader.read(), 10)
    except ConnectionError:
        return 0, ""
    head, _, body = whole.partition(b"\r\n\r\n")
    return (int(head.split()[1]), body.decode()) if head else (0, "")


def in_twilios_shape(body: str, status: int) -> bool:
    told = json.loads(body)
    return set(told) == {"code", "message", "more_info", "status"} and told["status"] == status


async def test_a_head_that_does_not_come_is_cut_off_after_ten_seconds_and_others_are_served(
    served: Served, acme: Caller
) -> None:
    slow = [await served.open() for _ in range(20)]
    for _, writer in slow[10:]:
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX-A: ")
    await served.later(9)
    assert served.listener.watch.closed["head"] == 0
    assert (await acme.get(f"{acme.account_path}.json")).status == 200
    await served.later(11)
    assert served.listener.watch.closed["head"] >= 20
    for reader, writer in slow:
        status, body = await answer_of(reader)
        assert status == 408
        assert in_twilios_shape(body, 408)
        writer.close()
    assert (await acme.get(f"{acme.account_path}.json")).status == 200


async def test_a_head_fed_byte_by_byte_gets_no_more_time(served: Served) -> None:
    reader, writer = await served.open()
    for byte in b"GET / HTTP/1.1\r\nHost":
        writer.write(bytes([byte]))
        await served.later(9)
    await served.later(11)
    assert (await answer_of(reader))[0] == 408
    writer.close()


async def test_a_body_that_trickles_is_cut_off_and_nothing_is_kept(served: Served, acme: Caller, parts: Parts) -> None:
    auth = f"{acme.sid}:{acme.token}"
    head = (
        f"POST {acme.own_path}/Recordings HTTP/1.1\r\nHost: x\r\nContent-Type: audio/wav\r\nContent-Length: 100000\r\n"
        f"Authorization: Basic {base64.b64encode(auth.encode()).decode()}\r\n\r\n"
    )
    reader, writer = await served.open()
    writer.write(head.encode() + b"RIFF")
    await served.later(29)
    assert served.listener.watch.closed["body"] == 0
    await served.later(31)
    assert (await answer_of(reader))[0] == 408
    writer.close()
    assert (await acme.get(f"{acme.account_path}/Recordings.json")).json()["recordings"] == []
    assert list(parts.spool.ready.iterdir()) == []


async def test_a_body_fast_enough_is_not_cut_off(served: Served) -> None:
    reader, writer = await served.open()
    writer.write(b"POST /v1/Rooms HTTP/1.1\r\nHost: x\r\nContent-Length: 40000\r\n\r\n" + b"x" * 20_000)
    await served.later(31)
    assert served.listener.watch.closed["body"] == 0
    writer.close()
    del reader


async def test_a_download_that_nobody_reads_is_cut_off(served: Served, acme: Caller, recorded: Record) -> None:
    sid = (await recorded(io.BytesIO(a_wav(seconds=300))))["sid"]  # 4.8 MB: more than the sockets hold
    auth = base64.b64encode(f"{acme.sid}:{acme.token}".encode()).decode()
    with socket.create_connection(("127.0.0.1", served.port)) as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        path = f"{acme.account_path}/Recordings/{sid}"
        raw.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {auth}\r\n\r\n".encode())
        for _ in range(100):
            await asyncio.sleep(0.05)
            if any(conduct.unread_since is not None for conduct in served.listener.watch.conducts):
                break
        await served.later(59)
        assert served.listener.watch.closed["reader"] == 0
        assert (await acme.get(f"{acme.account_path}.json")).status == 200
        await served.later(61)
        assert served.listener.watch.closed["reader"] == 1


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 70_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: 1\r\n" % i for i in range(300)) + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: 1\r\n" % i for i in range(9000)),
    ],
    ids=["one header", "a path", "300 headers", "no end"],
)
async def test_too_large_a_head_is_431(served: Served, head: bytes) -> None:
    reader, writer = await served.open()
    writer.write(head)
    status, body = await answer_of(reader)
    assert status == 431
    assert in_twilios_shape(body, 431)
    writer.close()


_POST = b"POST /v1/Rooms HTTP/1.1\r\nHost: x\r\n"
BROKEN = {
    "both lengths": _POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": _POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "a negative length": _POST + b"Content-Length: -5\r\n\r\nhello",
    "a length of letters": _POST + b"Content-Length: abc\r\n\r\nhello",
    "a huge length": _POST + b"Content-Length: 99999999999999999999999\r\n\r\nhello",
    "a bad chunk size": _POST + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\nhello\r\n0\r\n\r\n",
    "a chunk longer than it says": _POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n",
    "an unknown coding": _POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "a bare CR": b"GET / HTTP/1.1\r\nHost: x\rX: y\r\n\r\n",
    "a space before the colon": b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
    "a folded header": b"GET / HTTP/1.1\r\nHost: x\r\n folded\x00: y\r\n\r\n",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 10,
    "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
}


@pytest.mark.parametrize("request_bytes", BROKEN.values(), ids=list(BROKEN))
async def test_a_request_of_two_minds_is_400_and_the_connection_is_closed(served: Served, request_bytes: bytes) -> None:
    reader, writer = await served.open()
    writer.write(request_bytes)
    status, _ = await answer_of(reader)
    assert 400 <= status < 500
    writer.close()


async def test_a_packed_body_is_refused_whatever_it_holds(acme: Caller) -> None:
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/x-www-form-urlencoded"}
    for path in ("/v1/Rooms", "/v1/Credentials/AWS", f"{acme.own_path}/RecordingSettings/Voice"):
        assert (await acme.post(path, b"\x1f\x8b\x08", headers=headers)).status in (400, 415)
    audio = {"Content-Encoding": "gzip", "Content-Type": "audio/wav"}
    assert (await acme.post(f"{acme.own_path}/Recordings", b"\x1f\x8b\x08", headers=audio)).status in (400, 415)


def test_connections_from_one_address_are_capped_and_those_of_the_house_are_not() -> None:
    watch = Watch(from_one_address=3)
    flood = [Conduct(lambda _: None, address="8.8.8.8") for _ in range(5)]
    assert [watch.admit(one) for one in flood] == [True, True, True, False, False]
    assert watch.admit(Conduct(lambda _: None, address="1.1.1.1"))
    assert all(watch.admit(Conduct(lambda _: None, address=a)) for a in ["127.0.0.1", "10.0.0.1", "", "::1"] * 9)
    watch.forget(flood[0])
    watch.forget(flood[0])
    watch.forget(flood[4])
    assert [watch.admit(one) for one in flood[3:]] == [True, False]
    for one in flood:
        watch.forget(one)
    assert "8.8.8.8" not in watch.counts


def test_a_body_we_do_not_read_is_not_the_clients_fault() -> None:
    conduct = Conduct(lambda _: None, lambda: True, body_since=0.0)
    assert conduct.why_too_slow(3600) is None
    assert conduct.body_since == 3600
    conduct.is_paused = lambda: False
    assert conduct.why_too_slow(3629) is None
    assert conduct.why_too_slow(3600 + slow_clients.BODY_WINDOW_S) == "body"
