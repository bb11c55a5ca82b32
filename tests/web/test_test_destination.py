"""RecordingSettings/Test: what is wrong with a destination, in words that say what to do."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from callreel.bucket import doctor
from callreel.bucket.cors import lets_play, with_rule_for
from callreel.bucket.doctor import NAMES
from callreel.clock import SetClock
from callreel.parts import Parts
from callreel.rehearsal import s3_faults as faults
from callreel.rehearsal.embedded_s3 import EmbeddedS3
from tests.stage import BUCKET, MANAGER, WRITER
from tests.web.conftest import UNKNOWN, Caller

CORS = "<CORSConfiguration><CORSRule><AllowedOrigin>https://theirs.example</AllowedOrigin><AllowedMethod>PUT</AllowedMethod></CORSRule></CORSConfiguration>"


class Tried:
    """One answer, by the names of its checks."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.ok: bool = body["ok"]
        self.names = [check["name"] for check in body["checks"]]
        self.checks = {check["name"]: check for check in body["checks"]}
        self.outcomes = {name: check["outcome"] for name, check in self.checks.items()}

    @property
    def failed(self) -> list[str]:
        return [name for name, outcome in self.outcomes.items() if outcome == "failed"]


class Desk:
    """Somebody who sets up storage."""

    def __init__(self, caller: Caller, s3: EmbeddedS3) -> None:
        self.caller, self.s3 = caller, s3

    async def credential(self, key: tuple[str, str] = MANAGER) -> str:
        answer = await self.caller.post("/v1/Credentials/AWS", {"Credentials": ":".join(key)})
        sid: str = answer.json()["sid"]
        return sid

    async def test(self, *, key: tuple[str, str] = MANAGER, **form: str) -> Tried:
        usual = {"AwsS3Url": f"{self.s3.url}/{BUCKET}/calls", "AwsCredentialsSid": await self.credential(key)}
        answer = await self.caller.post(f"{self.caller.own_path}/RecordingSettings/Test", usual | form)
        assert answer.status == 200, answer.body
        return Tried(answer.json())


@pytest.fixture
def desk(acme: Caller, s3: EmbeddedS3) -> Desk:
    return Desk(acme, s3)


async def test_a_good_destination_passes_and_nothing_stays(desk: Desk) -> None:
    tried = await desk.test()
    assert tried.ok
    assert tried.names == list(NAMES)
    passed = {name for name, outcome in tried.outcomes.items() if outcome == "passed"}
    assert passed == {"reach", "clock", "region", "credentials", "put", "multipart", "read", "delete"}
    assert (tried.outcomes["tls"], tried.outcomes["cors"], tried.outcomes["encryption"]) == (
        "warning",
        "warning",
        "skipped",
    )
    assert desk.s3.keys(BUCKET) == desk.s3.open_uploads(BUCKET) == []
    assert "ConfigureCors=true" in tried.checks["cors"]["remedy"]


async def test_a_saved_destination_is_tried_and_stays_as_it_was_saved(desk: Desk) -> None:
    path = f"{desk.caller.own_path}/RecordingSettings"
    form = {"AwsS3Url": f"{desk.s3.url}/{BUCKET}/calls", "AwsCredentialsSid": await desk.credential()}
    saved = (await desk.caller.post(f"{path}/Voice", form)).json()
    assert (await desk.caller.post(f"{path}/Test")).json()["ok"]
    assert not (await desk.caller.post(f"{path}/Test", {"AwsS3Url": f"{desk.s3.url}/nowhere"})).json()["ok"]
    assert (await desk.caller.get(f"{path}/Voice")).json() == saved


async def test_cors_is_set_beside_the_rules_that_are_there_and_once(desk: Desk) -> None:
    shelf = desk.s3._shelf.bucket(BUCKET)
    shelf.set_cors(CORS)
    for _ in range(2):
        tried = await desk.test(ConfigureCors="true")
        assert tried.outcomes["cors"] == "passed"
        assert str(shelf.cors).count("<CORSRule>") == 2
    assert "https://theirs.example" in str(shelf.cors)
    assert lets_play(str(shelf.cors).encode(), desk.caller.base)
    assert not lets_play(str(shelf.cors).encode(), "https://elsewhere.example")


def test_a_rule_of_ours_is_replaced_and_every_other_kept_to_the_letter() -> None:
    once = with_rule_for(CORS.encode(), "https://a.example")
    assert with_rule_for(once, "https://a.example") == once
    both = with_rule_for(once, "https://b.example")
    assert lets_play(both, "https://a.example")
    assert lets_play(both, "https://b.example")
    assert both.count(b"<CORSRule>") == 3


async def test_a_key_that_may_only_write_can_deliver_and_is_told_what_it_misses(desk: Desk) -> None:
    tried = await desk.test(key=WRITER)
    assert tried.ok
    assert [tried.outcomes[name] for name in ("put", "multipart")] == ["passed", "passed"]
    for name, action in (("read", "s3:GetObject"), ("delete", "s3:DeleteObject"), ("cors", "s3:GetBucketCORS")):
        assert tried.outcomes[name] == "warning"
        assert action in tried.checks[name]["remedy"]
    (left,) = desk.s3.keys(BUCKET)
    assert left.startswith("calls/callreel-test-")
    assert left.endswith(".txt")
    assert left in tried.checks["delete"]["remedy"]


@pytest.mark.parametrize(
    ("key", "code"),
    [((MANAGER[0], "x" * 40), "SignatureDoesNotMatch"), (("AKNOBODY000000000000", "x" * 40), "InvalidAccessKeyId")],
)
async def test_a_wrong_key_is_named(desk: Desk, key: tuple[str, str], code: str) -> None:
    tried = await desk.test(key=key)
    assert tried.failed == ["credentials"]
    assert code in tried.checks["credentials"]["detail"]
    assert "credential" in tried.checks["credentials"]["remedy"]
    assert "credentials failed" in tried.checks["put"]["detail"]
    assert (tried.outcomes["reach"], tried.outcomes["put"]) == ("passed", "skipped")


async def test_a_credential_that_is_gone_is_named(desk: Desk) -> None:
    tried = await desk.test(AwsCredentialsSid=f"CR{UNKNOWN}")
    assert tried.failed == ["credentials"]


async def test_a_bucket_that_is_not_there_is_named(desk: Desk) -> None:
    tried = await desk.test(AwsS3Url=f"{desk.s3.url}/nowhere/calls")
    assert tried.failed == ["reach"]
    assert "no bucket nowhere" in tried.checks["reach"]["detail"]
    assert tried.outcomes["credentials"] == "skipped"


async def test_another_region_is_followed_and_named(desk: Desk) -> None:
    tried = await desk.test(AwsS3Region="eu-central-1")
    assert tried.ok
    assert tried.outcomes["region"] == "warning"
    assert tried.checks["region"]["remedy"] == "Save AwsS3Region=us-east-1"


@pytest.mark.parametrize(("seconds", "outcome"), [(30, "passed"), (300, "warning"), (1000, "failed")])
async def test_a_clock_that_is_off_is_named(
    desk: Desk, clock: SetClock, seconds: int, outcome: str, tmp_path: Path
) -> None:
    theirs = SetClock(clock.now())
    theirs.jump(seconds)
    async with EmbeddedS3(tmp_path / "skewed", clock=theirs) as s3:
        s3.create_bucket(BUCKET)
        s3.add_user(*MANAGER)
        tried = await Desk(desk.caller, s3).test()
    assert tried.outcomes["clock"] == outcome
    assert tried.ok is (outcome != "failed")


async def test_a_private_address_is_refused_before_anything_is_sent(desk: Desk, parts: Parts) -> None:
    tried = await desk.test(AwsS3Url="https://10.1.2.3/bucket")
    assert tried.failed == ["reach"]
    assert "IP address" in tried.checks["reach"]["detail"]
    parts.guard.private_networks = ()
    tried = await desk.test()
    assert tried.failed == ["reach"]
    assert "ALLOWED_PRIVATE_NETWORKS" in tried.checks["reach"]["remedy"]
    assert desk.s3.requests == 0


async def test_what_is_no_bucket_url_is_named(desk: Desk) -> None:
    tried = await desk.test(AwsS3Url="ftp://s3.example.org/bucket")
    assert tried.failed == ["reach"]
    assert "https://" in tried.checks["reach"]["remedy"]


async def test_https_to_a_server_that_speaks_http_fails_at_tls(desk: Desk) -> None:
    tried = await desk.test(AwsS3Url=f"{desk.s3.url.replace('http:', 'https:')}/{BUCKET}")
    assert tried.failed == ["tls"]
    assert "http://" in tried.checks["tls"]["remedy"]


async def test_a_certificate_nobody_signed_fails_at_tls(desk: Desk, self_signed: str) -> None:
    tried = await desk.test(AwsS3Url=f"{self_signed}/bucket")
    assert tried.failed == ["tls"]
    assert tried.outcomes["reach"] == "passed"
    assert "certificate" in tried.checks["tls"]["remedy"]


async def test_nobody_there_is_named(desk: Desk) -> None:
    tried = await desk.test(AwsS3Url="http://127.0.0.1:9/bucket")
    assert tried.failed == ["reach"]
    assert "firewall" in tried.checks["reach"]["remedy"]


async def test_a_black_hole_is_given_up_in_bounded_time(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor._Doctor, "__post_init__", _impatient(doctor._Doctor.__post_init__))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        tried = await desk.test(AwsS3Url=f"http://127.0.0.1:{silent.getsockname()[1]}/bucket")
    assert tried.failed == ["reach"]
    assert "0.2 s" in tried.checks["reach"]["detail"]


async def test_a_web_page_is_no_bucket(desk: Desk) -> None:
    desk.s3.faults.next(faults.html_403())
    tried = await desk.test()
    assert tried.failed == ["reach"]


async def test_encryption_that_is_asked_for_must_be_echoed(desk: Desk) -> None:
    assert (await desk.test(SseAlgorithm="AES256")).outcomes["encryption"] == "passed"


@pytest.mark.parametrize(("code", "names"), [("AccessDenied", "s3:PutObject"), ("KMS.DisabledException", "")])
async def test_a_refused_put_names_the_permission(desk: Desk, code: str, names: str) -> None:
    def refuse_puts(operation: str) -> Any:
        return faults.refuse(code) if operation == "PutObject" else None

    desk.s3.faults.take = refuse_puts  # type: ignore[method-assign]
    tried = await desk.test()
    assert "put" in tried.failed
    assert names in tried.checks["put"]["remedy"]
    assert tried.outcomes["multipart"] == tried.outcomes["delete"] == "skipped"
    if code.startswith("KMS."):
        assert "kms:GenerateDataKey" in tried.checks["encryption"]["remedy"]


async def test_object_lock_that_the_provider_lacks_is_named(desk: Desk) -> None:
    tried = await desk.test(ObjectLockMode="GOVERNANCE", ObjectLockDays="30")
    assert {tried.outcomes["versioning"], tried.outcomes["object-lock"]} == {"warning"}
    assert desk.s3.keys(BUCKET) == []


@pytest.mark.parametrize(
    "form", [{}, {"ConfigureCors": "maybe"}, {"AwsCredentialsSid": "CR1"}, {"AwsS3Url": "x" * 3000}]
)
async def test_what_cannot_be_tried_is_400(acme: Caller, form: dict[str, str]) -> None:
    answer = await acme.post(f"{acme.own_path}/RecordingSettings/Test", form)
    assert (answer.status, answer.json()["code"]) == (400, 20001)


async def test_another_accounts_sid_is_404(desk: Desk, stranger: Caller) -> None:
    path = f"{desk.caller.own_path}/RecordingSettings/Test"
    assert (await stranger.post(path)).status == 404
    sid = await desk.credential()
    form = {"AwsS3Url": f"{desk.s3.url}/{BUCKET}", "AwsCredentialsSid": sid}
    foreign = (await stranger.post(f"{stranger.own_path}/RecordingSettings/Test", form)).json()
    form["AwsCredentialsSid"] = f"CR{UNKNOWN}"
    missing = (await stranger.post(f"{stranger.own_path}/RecordingSettings/Test", form)).json()
    assert Tried(foreign).outcomes == Tried(missing).outcomes
    assert Tried(foreign).failed == ["credentials"]


def _impatient(made: Any) -> Any:
    def post_init(self: Any) -> None:
        made(self)
        self.check_s = 0.2

    return post_init


@pytest.fixture
async def self_signed(tmp_path: Path) -> AsyncIterator[str]:
    """A TLS server with a certificate that no authority signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_certificate(tmp_path))
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    await server.wait_closed()


def _certificate(directory: Path) -> Path:
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import NameOID

    from tests.sealing.keys import rsa_key

    key, name = rsa_key(), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path = directory / "pair.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    path.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    return path
