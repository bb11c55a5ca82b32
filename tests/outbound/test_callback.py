"""Callbacks over real HTTP, judged by Twilio's own validator."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from multidict import MultiDict
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]

from callreel.clock import SetClock, SystemClock
from callreel.errors import CallbackFailed
from callreel.outbound.callback import CallbackSender
from callreel.outbound.guard import Guard

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
TOKEN = "a" * 32
EVENT_ID = "9f0f5c1e-0000-4000-8000-000000000001"
EVENT = [
    ("RecordingSid", "RE" + "1" * 32),
    ("RecordingUrl", "https://bucket.example/a/RE1?x=1&y=2+3"),
    ("RecordingStatus", "completed"),
    ("RecordingStartTime", "Wed, 20 Apr 2022 23:45:25 +0000"),
    ("EncryptionDetails", '{"type":"rsa-aes","iv":"8I2hhNIYNTrwxfHk"}'),
    ("Note", "Grüße, 世界"),
]


class Receiver:
    """A customer's web server: checks every signature, answers what it was told, remembers what came."""

    def __init__(self) -> None:
        self.requests: list[web.BaseRequest] = []
        self.bodies: list[bytes] = []
        self.valid: list[bool] = []
        self.at_once = self.most_at_once = 0
        self.answer: Callable[[web.BaseRequest, int], Awaitable[web.StreamResponse]] = self.say(204)
        self.url = ""

    @staticmethod
    def say(*statuses: int, body: bytes = b"") -> Callable[[web.BaseRequest, int], Awaitable[web.StreamResponse]]:
        """Answer with these statuses in turn; the last one stays."""

        async def answer(request: web.BaseRequest, number: int) -> web.StreamResponse:
            status = statuses[min(number, len(statuses) - 1)]
            return web.Response(status=status, body=body, headers={"Location": "/elsewhere"} if status == 302 else {})

        return answer

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            self.requests.append(request)
            self.bodies.append(await request.read())
            form: MultiDict[str] = MultiDict()
            for name, value in (await request.post()).items():
                assert isinstance(value, str)
                form.add(name, value)
            seen = f"{request.scheme}://{request.host}{request.raw_path}"
            signature = request.headers["X-Twilio-Signature"]
            self.valid.append(RequestValidator(TOKEN).validate(seen, form, signature))
            return await self.answer(request, len(self.requests) - 1)
        finally:
            self.at_once -= 1


async def serve(receiver: Receiver, context: ssl.SSLContext | None = None) -> web.ServerRunner:
    runner = web.ServerRunner(web.Server(receiver.handle), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    port = runner.addresses[0][1]
    receiver.url = f"{'https' if context else 'http'}://127.0.0.1:{port}"
    return runner


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    runner = await serve(receiver)
    yield receiver
    await runner.cleanup()


@pytest.fixture
async def sender() -> AsyncIterator[CallbackSender]:
    async with Guard(LOOPBACK).open_session() as session:
        yield CallbackSender(session, SystemClock())


async def send(sender: CallbackSender, url: str, method: str = "POST") -> None:
    await sender.send(url, method, EVENT, auth_token=TOKEN, idempotency_token=EVENT_ID)


async def fail(sender: CallbackSender, url: str, method: str = "POST") -> CallbackFailed:
    with pytest.raises(CallbackFailed) as failed:
        await send(sender, url, method)
    return failed.value


async def test_a_post_carries_the_event_in_its_body_and_is_signed(receiver: Receiver, sender: CallbackSender) -> None:
    await send(sender, f"{receiver.url}/cb?x=1&y=a%20b")
    (request,) = receiver.requests
    assert request.method == "POST"
    assert request.raw_path == "/cb?x=1&y=a%20b"
    assert list((await request.post()).items()) == EVENT
    assert receiver.valid == [True]


async def test_a_get_carries_the_event_in_its_query_and_is_signed(receiver: Receiver, sender: CallbackSender) -> None:
    await send(sender, f"{receiver.url}/cb?x=1", "GET")
    (request,) = receiver.requests
    assert request.method == "GET"
    assert receiver.bodies == [b""]
    assert list(request.query.items()) == [("x", "1"), *EVENT]
    assert "Content-Type" not in request.headers
    assert receiver.valid == [True]


async def test_headers_are_twilios(receiver: Receiver, sender: CallbackSender) -> None:
    await send(sender, f"{receiver.url}/cb")
    sent = dict(receiver.requests[0].headers)
    assert sent.pop("X-Twilio-Signature")
    assert sent.pop("Content-Length") == str(len(receiver.bodies[0]))
    assert sent == {
        "Host": receiver.url.removeprefix("http://"),
        "User-Agent": "TwilioProxy/1.1",
        "Accept": "*/*",
        "I-Twilio-Idempotency-Token": EVENT_ID,
        "X-Home-Region": "us1",
        "Connection": "close",
        "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
    }


async def test_spaces_and_plus_signs_are_percent_encoded(receiver: Receiver, sender: CallbackSender) -> None:
    await send(sender, f"{receiver.url}/cb")
    assert b"Wed%2C%2020%20Apr%202022%2023%3A45%3A25%20%2B0000" in receiver.bodies[0]
    assert b"+" not in receiver.bodies[0]


@pytest.mark.parametrize(
    ("stored", "requested"),
    [
        ("", "/"),
        ("?x=1", "/?x=1"),
        ("/", "/"),
        ("/cb#rc=2", "/cb"),
        ("/cb?#rc=2", "/cb"),
        ("/cb??", "/cb??"),
        ("/a/../b//c/./d", "/a/../b//c/./d"),
        ("/%7Euser/%2f%41?q=%41+b&&=", "/%7Euser/%2f%41?q=%41+b&&="),
        ("/cb?url=https://x.example/?a=b", "/cb?url=https://x.example/?a=b"),
        ("/{id}|'\"<>", "/{id}|'\"<>"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_the_url_is_requested_as_it_was_stored(
    stored: str, requested: str, method: str, receiver: Receiver, sender: CallbackSender
) -> None:
    await send(sender, receiver.url + stored, method)
    path = receiver.requests[0].raw_path
    assert path.partition("RecordingSid")[0].rstrip("?&") == requested.rstrip("?&")
    assert receiver.valid == [True]


async def test_scheme_and_host_in_capitals_are_signed_as_the_receiver_sees_them(
    receiver: Receiver, sender: CallbackSender
) -> None:
    await send(sender, receiver.url.replace("http://127.0.0.1", "HTTP://LocalHost") + "/CB")
    assert receiver.requests[0].host == receiver.url.replace("http://127.0.0.1", "localhost")
    assert receiver.requests[0].path == "/CB"
    assert receiver.valid == [True]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    event=st.lists(
        st.tuples(
            st.text(st.characters(codec="ascii", min_codepoint=33), min_size=1, max_size=8),
            st.text(st.characters(codec="utf-8"), max_size=30),
        ),
        min_size=1,
        max_size=6,
    ),
    method=st.sampled_from(["GET", "POST"]),
)
def test_whatever_the_parameters_they_arrive_unchanged_and_validly_signed(
    event: list[tuple[str, str]], method: str
) -> None:
    async def journey() -> None:
        receiver = Receiver()
        runner = await serve(receiver)
        try:
            async with Guard(LOOPBACK).open_session() as session:
                sender = CallbackSender(session, SystemClock())
                await sender.send(f"{receiver.url}/cb?x=y", method, event, auth_token=TOKEN, idempotency_token=EVENT_ID)
        finally:
            await runner.cleanup()
        (request,) = receiver.requests
        arrived = list(request.query.items())[1:] if method == "GET" else list((await request.post()).items())
        assert arrived == event
        assert receiver.valid == [True]

    asyncio.run(journey())


@pytest.mark.parametrize(
    ("status", "code", "policy", "retryable"),
    [
        (301, 11215, "never", False),
        (302, 11215, "never", False),
        (304, 11215, "never", False),
        (400, 11200, "4xx", False),
        (401, 11200, "4xx", False),
        (404, 11200, "4xx", False),
        (408, 11200, "4xx", True),
        (410, 11200, "4xx", False),
        (425, 11200, "4xx", True),
        (429, 11200, "4xx", True),
        (500, 11200, "5xx", True),
        (503, 11200, "5xx", True),
        (599, 11200, "5xx", True),
    ],
)
async def test_an_answer_becomes_twilios_code_and_says_whether_to_try_later(
    status: int, code: int, policy: str, retryable: bool, receiver: Receiver, sender: CallbackSender
) -> None:
    receiver.answer = receiver.say(status)
    failed = await fail(sender, f"{receiver.url}/cb")
    assert (failed.twilio_code, failed.policy, failed.retryable) == (code, policy, retryable)
    assert len(receiver.requests) == 1


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_any_2xx_is_success(status: int, receiver: Receiver, sender: CallbackSender) -> None:
    receiver.answer = receiver.say(status)
    await send(sender, f"{receiver.url}/cb")
    assert len(receiver.requests) == 1


async def test_a_redirect_is_not_followed(receiver: Receiver, sender: CallbackSender) -> None:
    receiver.answer = receiver.say(302)
    await fail(sender, f"{receiver.url}/cb#rc=5&rp=all")
    assert [request.path for request in receiver.requests] == ["/cb"]


@pytest.mark.parametrize(
    ("fragment", "statuses", "tries"),
    [
        ("", [500, 204], 1),
        ("#rc=3", [500, 204], 1),
        ("#rp=5xx", [500, 204], 2),
        ("#rp=5xx&rc=0", [500, 204], 1),
        ("#rp=5xx&rc=3", [500, 502, 503, 204], 4),
        ("#rp=5xx&rc=5", [500] * 9, 6),
        ("#rp=5xx&rc=3", [404, 204], 1),
        ("#rp=4xx&rc=3", [404, 204], 2),
        ("#rp=4xx,5xx&rc=3", [404, 500, 204], 3),
        ("#rp=all&rc=2", [404, 500, 204], 3),
    ],
)
async def test_the_fragment_decides_how_often_to_try_at_once(
    fragment: str, statuses: list[int], tries: int, receiver: Receiver, sender: CallbackSender
) -> None:
    receiver.answer = receiver.say(*statuses)
    if statuses[tries - 1] == 204:
        await send(sender, f"{receiver.url}/cb{fragment}")
    else:
        await fail(sender, f"{receiver.url}/cb{fragment}")
    assert len(receiver.requests) == tries
    assert all(receiver.valid)
    assert {request.headers["I-Twilio-Idempotency-Token"] for request in receiver.requests} == {EVENT_ID}
    assert len({request.headers["X-Twilio-Signature"] for request in receiver.requests}) == 1
    assert len(set(receiver.bodies)) == 1


async def test_no_try_begins_after_the_total_time(receiver: Receiver) -> None:
    clock = SetClock()

    async def slow(request: web.BaseRequest, number: int) -> web.StreamResponse:
        clock.advance(0.6)
        return web.Response(status=500)

    receiver.answer = slow
    async with Guard(LOOPBACK).open_session() as session:
        await fail(CallbackSender(session, clock), f"{receiver.url}/cb#rp=all&rc=5&tt=1000")
    assert len(receiver.requests) == 2


async def test_a_receiver_that_does_not_answer_is_given_up_and_tried_later(
    receiver: Receiver, sender: CallbackSender
) -> None:
    forever = asyncio.Event()

    async def silent(request: web.BaseRequest, number: int) -> web.StreamResponse:
        await forever.wait()
        return web.Response()

    receiver.answer = silent
    for fragment, tries in (("#rt=100", 1), ("#tt=100", 1), ("#rt=100&rp=rt&rc=2", 3)):
        receiver.requests.clear()
        failed = await fail(sender, f"{receiver.url}/cb{fragment}")
        assert (failed.twilio_code, failed.policy, failed.retryable) == (11200, "rt", True)
        assert len(receiver.requests) == tries
    forever.set()


class OneName(AbstractResolver):
    """A name server that knows one address, or none, and counts its questions."""

    def __init__(self, address: str | None) -> None:
        self.address, self.asked = address, 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked += 1
        if self.address is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [ResolveResult(hostname=host, host=self.address, port=port, family=socket.AF_INET, proto=0, flags=0)]

    async def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("address", "fragment", "code", "tries"),
    [
        ("127.0.0.1", "", 11205, 2),
        ("127.0.0.1", "#rc=3", 11205, 4),
        ("127.0.0.1", "#rp=5xx&rc=3", 11205, 1),
        (None, "", 11210, 2),
        (None, "#rc=0", 11210, 1),
        (None, "#rp=all&rc=2", 11210, 3),
        ("10.0.0.1", "#rp=all&rc=5", 11205, 1),
    ],
)
async def test_no_connection_is_tried_once_more_unless_the_fragment_says_otherwise(
    address: str | None, fragment: str, code: int, tries: int
) -> None:
    async with await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
    names = OneName(address)
    async with Guard(LOOPBACK).open_session(resolver=names) as session:
        failed = await fail(CallbackSender(session, SystemClock()), f"http://hook.example:{port}/cb{fragment}")
    assert (failed.twilio_code, failed.retryable) == (code, True)
    assert names.asked == tries


@pytest.mark.parametrize(
    "answer", [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\nBad Header\r\n\r\n"]
)
async def test_what_is_not_http_is_a_protocol_failure(answer: bytes, sender: CallbackSender) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
        failed = await fail(sender, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/cb")
    assert (failed.twilio_code, failed.retryable) == (11206, True)


async def test_a_forbidden_address_is_not_called_and_may_be_right_later(receiver: Receiver) -> None:
    async with Guard().open_session() as session:
        failed = await fail(CallbackSender(session, SystemClock()), f"{receiver.url}/cb#rp=all&rc=5")
    assert (failed.twilio_code, failed.policy, failed.retryable) == (11205, "never", True)
    assert "loopback" in failed.message
    assert receiver.requests == []


@pytest.mark.parametrize(
    ("url", "method"),
    [
        ("", "POST"),
        ("nonsense", "POST"),
        ("ftp://example.com/", "POST"),
        ("http:///cb", "POST"),
        ("http://[::1/cb", "POST"),
        ("http://example.com:99999/", "POST"),
        ("http://user:hunter2@example.com/", "POST"),
        ("http://example.com/a b", "POST"),
        ("http://example.com/\r\nX: y", "POST"),
        ("http://exämple.com/", "POST"),
        ("http://example.com\\@127.0.0.1/", "POST"),
        ("http://example.com/", "DELETE"),
        ("http://example.com/", "post\r\nX: y"),
    ],
)
async def test_a_malformed_callback_is_never_sent_nor_tried_again(
    url: str, method: str, sender: CallbackSender
) -> None:
    failed = await fail(sender, url, method)
    assert (failed.twilio_code, failed.retryable) == (13256, False)
    assert "hunter2" not in failed.message


async def test_an_endless_answer_is_read_to_64_kib_only(sender: CallbackSender) -> None:
    written = 0
    gone = asyncio.Event()

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n")
        try:
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
                written += 65536
        except ConnectionError:
            gone.set()
            writer.close()

    async with await asyncio.start_server(pour, "127.0.0.1", 0) as server:
        await send(sender, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/cb")
        await gone.wait()
    assert written < 64 * 2**20  # what fits into the buffers of kernel and client


async def test_an_answer_that_breaks_off_after_its_2xx_is_success(sender: CallbackSender) -> None:
    async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
        writer.close()

    async with await asyncio.start_server(break_off, "127.0.0.1", 0) as server:
        await send(sender, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/cb")


async def test_a_compressed_answer_is_not_unpacked(receiver: Receiver, sender: CallbackSender) -> None:
    async def lie(request: web.BaseRequest, number: int) -> web.StreamResponse:
        return web.Response(body=b"not gzip", headers={"Content-Encoding": "gzip"})

    receiver.answer = lie
    await send(sender, f"{receiver.url}/cb")


async def test_one_host_gets_only_so_many_at_a_time_and_all_of_them(receiver: Receiver) -> None:
    full = asyncio.Event()
    open_gate = asyncio.Event()

    async def gated(request: web.BaseRequest, number: int) -> web.StreamResponse:
        if receiver.at_once == 2:
            full.set()
        await open_gate.wait()
        return web.Response()

    receiver.answer = gated
    async with Guard(LOOPBACK).open_session() as session:
        sender = CallbackSender(session, SystemClock(), per_host=2)
        assert not sender.is_busy(f"{receiver.url}/cb")
        sends = [asyncio.create_task(send(sender, f"{receiver.url}/cb")) for _ in range(7)]
        await full.wait()
        assert sender.is_busy(f"{receiver.url}/other")
        assert not sender.is_busy("http://127.0.0.1:1/")
        open_gate.set()
        await asyncio.gather(*sends)
        assert not sender.is_busy(f"{receiver.url}/cb")
    assert len(receiver.requests) == 7
    assert receiver.most_at_once == 2


async def test_a_cancelled_send_gives_its_place_back(receiver: Receiver) -> None:
    arrived, forever = asyncio.Event(), asyncio.Event()

    async def gated(request: web.BaseRequest, number: int) -> web.StreamResponse:
        if number == 0:
            arrived.set()
            await forever.wait()
        return web.Response()

    receiver.answer = gated
    async with Guard(LOOPBACK).open_session() as session:
        sender = CallbackSender(session, SystemClock(), per_host=1)
        first = asyncio.create_task(send(sender, f"{receiver.url}/cb"))
        await arrived.wait()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        await send(sender, f"{receiver.url}/cb")
        assert not sender.is_busy(f"{receiver.url}/cb")
    forever.set()


# --- TLS -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1 that no authority has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "callreel test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "certificate.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


async def test_a_certificate_nobody_vouches_for_is_a_tls_failure(certificate: Path, sender: CallbackSender) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    receiver = Receiver()
    runner = await serve(receiver, context)
    failed = await fail(sender, f"{receiver.url}/cb")
    assert (failed.twilio_code, failed.policy, failed.retryable) == (11220, "ct", True)
    assert receiver.requests == []
    await runner.cleanup()


async def test_https_to_an_operators_own_authority_is_signed_like_any_other(certificate: Path) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    receiver = Receiver()
    runner = await serve(receiver, context)
    trusting = ssl.create_default_context(cafile=str(certificate))
    async with Guard(LOOPBACK).open_session(ssl_context=trusting) as session:
        await send(CallbackSender(session, SystemClock()), f"{receiver.url}/cb")
    assert receiver.valid == [True]
    await runner.cleanup()
