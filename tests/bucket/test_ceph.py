"""The promises against a real S3: Ceph's gateway. It checks signatures, payload hashes and expiry as AWS does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta

import aiohttp
import boto3
import pytest
from botocore.config import Config

from callreel.bucket.bucket import PutOptions
from callreel.bucket.doctor import Outcome, Wanted, examine
from callreel.bucket.s3 import S3Bucket
from callreel.clock import SetClock, SystemClock
from callreel.errors import BucketRefused, BucketStumbled, EvidenceMismatch
from callreel.model.credential import AccessKey
from callreel.model.evidence import weigh
from callreel.rehearsal.ceph_rgw import KMS_KEY
from tests import ceph
from tests.bucket.blobs import WAV, MemoryBlob, some_blob
from tests.bucket.conftest import destination_at
from tests.bucket.promises import BucketPromises, MultipartPromises, PresignPromises
from tests.bucket.promises_kept import SealedPromises, options

pytestmark = [
    pytest.mark.skipif(ceph.why_not() is not None, reason=ceph.why_not() or "installed"),
    pytest.mark.xdist_group("ceph"),
]


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ceph.Ceph]:
    base = tmp_path_factory.getbasetemp()
    shared_by_workers = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with ceph.shared(shared_by_workers / "ceph") as running:
        yield running


@pytest.fixture(scope="session")
def control(gateway: ceph.Ceph):
    return boto3.client(
        "s3",
        endpoint_url=gateway.url,
        aws_access_key_id=ceph.OWNER.key_id,
        aws_secret_access_key=ceph.OWNER.secret,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, request_checksum_calculation="when_required"),
    )


_count = iter(range(1_000_000))


@pytest.fixture
def bucket(gateway: ceph.Ceph, control, http: aiohttp.ClientSession) -> S3Bucket:
    name = f"recordings-{os.getpid()}-{next(_count)}"
    control.create_bucket(Bucket=name)
    return S3Bucket(destination_at(gateway.url, name), ceph.OWNER, http, clock=SystemClock())


@pytest.fixture
def locked(gateway: ceph.Ceph, control, http: aiohttp.ClientSession) -> S3Bucket:
    name = f"locked-{os.getpid()}-{next(_count)}"
    control.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    return S3Bucket(destination_at(gateway.url, name), ceph.OWNER, http, clock=SystemClock())


@pytest.fixture
def kms_key() -> str:
    return KMS_KEY


class TestCephSealed(SealedPromises):
    pass


async def test_a_kms_key_that_does_not_exist_stores_nothing(bucket: S3Bucket) -> None:
    with pytest.raises(BucketRefused) as caught:
        await bucket.put("calls/RE1", some_blob(), options(sse_algorithm="aws:kms", sse_kms_key_id="no-such-key"))
    assert caught.value.code == "InvalidAccessKeyId"  # Ceph's word for it; AWS says KMS.NotFoundException
    assert await bucket.head("calls/RE1") is None


class TestCeph(BucketPromises, MultipartPromises, PresignPromises):
    pass


@pytest.mark.parametrize(
    ("key", "code"),
    [
        (AccessKey(ceph.OWNER.key_id, "x" * 40), "SignatureDoesNotMatch"),
        (AccessKey("AKUNKNOWN0000000000X", "x" * 40), "InvalidAccessKeyId"),
        (ceph.STRANGER, "AccessDenied"),
    ],
)
async def test_a_key_that_may_not_write_is_refused(
    bucket: S3Bucket, http: aiohttp.ClientSession, key: AccessKey, code: str
) -> None:
    with pytest.raises(BucketRefused) as caught:
        await S3Bucket(bucket.destination, key, http, clock=SystemClock()).put("calls/RE1", some_blob(), WAV)
    assert caught.value.code == code


async def test_a_refusal_is_heard_while_a_large_body_is_under_way(
    bucket: S3Bucket, http: aiohttp.ClientSession
) -> None:
    stranger = S3Bucket(bucket.destination, ceph.STRANGER, http, clock=SystemClock())
    with pytest.raises(BucketRefused) as caught:
        await stranger.put("calls/RE1", some_blob(16 << 20), WAV)
    assert caught.value.code == "AccessDenied"


async def test_a_missing_bucket_is_refused(gateway: ceph.Ceph, http: aiohttp.ClientSession) -> None:
    nowhere = S3Bucket(destination_at(gateway.url, "no-such-bucket"), ceph.OWNER, http, clock=SystemClock())
    with pytest.raises(BucketRefused) as caught:
        await nowhere.put("calls/RE1", some_blob(), WAV)
    assert caught.value.code == "NoSuchBucket"


async def test_a_wrong_clock_is_retried(bucket: S3Bucket, http: aiohttp.ClientSession) -> None:
    late = SetClock(SystemClock().now() - timedelta(hours=2))
    with pytest.raises(BucketStumbled) as caught:
        await S3Bucket(bucket.destination, ceph.OWNER, http, clock=late).put("calls/RE1", some_blob(), WAV)
    assert caught.value.code == "RequestTimeTooSkewed"


async def test_a_presigned_url_expires(bucket: S3Bucket, http: aiohttp.ClientSession) -> None:
    await bucket.put("calls/RE1", some_blob(), WAV)
    an_hour_ago = SetClock(SystemClock().now() - timedelta(hours=1))
    url = S3Bucket(bucket.destination, ceph.OWNER, http, clock=an_hour_ago).presign_get("calls/RE1", expires_s=60)
    async with http.get(url) as response:
        assert response.status == 403


async def test_a_wrong_md5_is_retried_and_nothing_stored(bucket: S3Bucket) -> None:
    blob: MemoryBlob = some_blob()
    blob.md5 = "0" * 32
    with pytest.raises(BucketStumbled) as caught:
        await bucket.put("calls/RE1", blob, WAV)
    assert caught.value.code == "BadDigest"
    assert await bucket.head("calls/RE1") is None


async def test_encryption_that_is_not_confirmed_is_no_delivery(bucket: S3Bucket) -> None:
    blob = some_blob()
    options = PutOptions(content_type="audio/x-wav", sse_algorithm="AES256")
    answer = await bucket.put("calls/RE1", blob, options)
    if answer.sse_algorithm is None:  # Ceph 16 accepts the header and does not do it; later ones may
        with pytest.raises(EvidenceMismatch):
            weigh(answer, sha256=blob.sha256, md5=blob.md5, sse_asked="AES256")


async def test_virtual_host_style_is_understood(bucket: S3Bucket, gateway: ceph.Ceph) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=_Loopback())) as http:
        port = gateway.url.rpartition(":")[2]
        there = destination_at(f"http://localhost:{port}", bucket.destination.bucket, path_style=False)
        blob = some_blob(1000)
        await S3Bucket(there, ceph.OWNER, http, clock=SystemClock()).put("calls/ü/RE1", blob, WAV)
    facts = await bucket.head("calls/ü/RE1")
    assert facts is not None
    assert facts.size_bytes == 1000


class _Loopback(aiohttp.abc.AbstractResolver):
    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list:
        return [{"hostname": host, "host": "127.0.0.1", "port": port, "family": 2, "proto": 0, "flags": 0}]

    async def close(self) -> None:
        pass


# --- The doctor ------------------------------------------------------------------------------------------------------


def _wanted(bucket: S3Bucket, **options: str) -> Wanted:
    return Wanted(
        destination=bucket.destination,
        options=PutOptions(content_type="text/plain", **options),  # type: ignore[arg-type]
        wants_lock=True,
        origin="https://callreel.example",
        configure_cors=True,
    )


async def test_a_destination_is_tried_and_nothing_of_it_stays(bucket: S3Bucket, control) -> None:
    name = bucket.destination.bucket
    control.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    theirs = {"AllowedOrigins": ["https://theirs.example"], "AllowedMethods": ["PUT"]}
    control.put_bucket_cors(Bucket=name, CORSConfiguration={"CORSRules": [theirs]})
    for _ in range(2):
        found = {c.name: c for c in await examine(bucket, _wanted(bucket), clock=SystemClock())}
        assert found["object-lock"].outcome is Outcome.FAILED, found["object-lock"]
        for check in ("reach", "clock", "region", "credentials", "put", "multipart", "read", "delete", "cors"):
            assert found[check].outcome is Outcome.PASSED, found[check]
        assert found["versioning"].outcome is Outcome.PASSED
        rules = control.get_bucket_cors(Bucket=name)["CORSRules"]
        assert sorted(rule["AllowedOrigins"][0] for rule in rules) == [
            "https://callreel.example",
            "https://theirs.example",
        ]
    assert control.list_object_versions(Bucket=name).get("Versions", []) == []


async def test_encryption_the_gateway_only_pretends_is_found_out(bucket: S3Bucket) -> None:
    found = {c.name: c for c in await examine(bucket, _wanted(bucket, sse_algorithm="AES256"), clock=SystemClock())}
    assert found["encryption"].outcome is Outcome.FAILED


async def test_a_strangers_key_is_told_what_it_may_not(bucket: S3Bucket, http: aiohttp.ClientSession) -> None:
    stranger = S3Bucket(bucket.destination, ceph.STRANGER, http, clock=SystemClock())
    found = {c.name: c for c in await examine(stranger, _wanted(bucket), clock=SystemClock())}
    assert found["put"].outcome is Outcome.FAILED
    assert "s3:PutObject" in found["put"].remedy
