"""How `S3Bucket` behaves when the other side does not: each fault of the embedded S3 in turn."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

import aiohttp
import aiohttp.web
import pytest

from callreel.bucket.bucket import MULTIPART_ABOVE_BYTES, MultipartBucket, PutOptions
from callreel.bucket.dialects import AWS, PLAIN, Dialect, dialect_of
from callreel.bucket.multipart import MAX_PARTS, PART_BYTES, part_bytes_of
from callreel.bucket.s3 import S3Bucket
from callreel.bucket.wire import Reply
from callreel.clock import SystemClock
from callreel.errors import (
    AddressBlocked,
    BlobAltered,
    BlobMissing,
    BucketRefused,
    BucketStumbled,
    BucketUnreachable,
    EvidenceMismatch,
)
from callreel.model.evidence import VerifyMethod, weigh
from callreel.rehearsal import s3_faults as faults
from callreel.rehearsal.embedded_s3 import EmbeddedS3
from tests.bucket.blobs import WAV, MemoryBlob, some_blob
from tests.bucket.conftest import MANAGER, WRITER, MakeBucket, destination_at
from tests.bucket.promises import everything

TWICE = 2  # aiohttp itself tries once more when a kept connection breaks
LARGE = 2 * MULTIPART_ABOVE_BYTES + 1000


class GoneBlob(MemoryBlob):
    def read(self, start: int, length: int) -> bytes:
        raise BlobMissing


# --- Small blobs -----------------------------------------------------------------------------------------------------


async def test_an_altered_blob_is_never_sent(s3: EmbeddedS3, bucket: S3Bucket) -> None:
    for altered in (some_blob().altered_at(0), some_blob().altered_at(99_999)):
        with pytest.raises(BlobAltered):
            await bucket.put("calls/RE1", altered, WAV)
    assert list(s3.seen) == []


async def test_a_blob_cut_short_is_never_sent(s3: EmbeddedS3, bucket: S3Bucket) -> None:
    blob = some_blob()
    blob._data = blob.data[:-1]
    with pytest.raises(BlobAltered):
        await bucket.put("calls/RE1", blob, WAV)
    assert list(s3.seen) == []


async def test_a_missing_blob_is_never_sent(s3: EmbeddedS3, bucket: S3Bucket) -> None:
    with pytest.raises(BlobMissing):
        await bucket.put("calls/RE1", GoneBlob(b"x"), WAV)
    assert list(s3.seen) == []


async def test_the_checksum_is_the_proof_where_it_comes_back(bucket: S3Bucket) -> None:
    blob = some_blob()
    answer = await bucket.put("calls/RE1", blob, WAV)
    assert weigh(answer, sha256=blob.sha256, md5=blob.md5).method is VerifyMethod.CHECKSUM


async def test_the_md5_is_the_proof_where_checksums_are_unknown(s3: EmbeddedS3, make_bucket: MakeBucket) -> None:
    blob = some_blob()
    answer = await make_bucket(dialect=Dialect(name="b2", takes_checksum=False)).put("calls/RE1", blob, WAV)
    assert weigh(answer, sha256=blob.sha256, md5=blob.md5).method is VerifyMethod.MD5


async def test_an_etag_under_a_customers_key_is_not_taken_for_an_md5(make_bucket: MakeBucket) -> None:
    blob = some_blob()
    bucket = make_bucket(dialect=Dialect(name="b2", takes_checksum=False))
    options = PutOptions(content_type="audio/x-wav", sse_algorithm="aws:kms", sse_kms_key_id="key-1")
    answer = await bucket.put("calls/RE1", blob, options)
    assert not answer.etag_is_md5
    assert weigh(answer, sha256=blob.sha256, md5=blob.md5, sse_asked="aws:kms").method is VerifyMethod.ACCEPTED


async def test_what_was_asked_for_arrives_with_the_object(s3: EmbeddedS3, bucket: S3Bucket) -> None:
    options = PutOptions(content_type="audio/mpeg", sse_algorithm="AES256", storage_class="STANDARD_IA")
    await bucket.put("calls/RE1", some_blob(), options)
    facts = await bucket.head("calls/RE1")
    assert facts is not None
    assert (facts.content_type, facts.sse_algorithm) == ("audio/mpeg", "AES256")
    reply: Reply = await bucket._wire.exchange("HEAD", "calls/RE1")
    assert reply.headers["x-amz-storage-class"] == "STANDARD_IA"


async def test_a_refusal_keeps_code_status_and_request_id(s3: EmbeddedS3, bucket: S3Bucket) -> None:
    s3.faults.next(faults.refuse("AccountProblem", 403))
    with pytest.raises(BucketRefused) as caught:
        await bucket.put("calls/RE1", some_blob(), WAV)
    assert (caught.value.code, caught.value.status, caught.value.request_id) == ("AccountProblem", 403, "FAULT")
    assert s3.keys("recordings") == []


async def test_slow_down_keeps_retry_after(s3: EmbeddedS3, bucket: S3Bucket) -> None:
    s3.faults.next(faults.slow_down(retry_after_s=17))
    with pytest.raises(BucketStumbled) as caught:
        await bucket.put("calls/RE1", some_blob(), WAV)
    assert (caught.value.code, caught.value.retry_after_s) == ("SlowDown", 17.0)


@pytest.mark.parametrize("fault", [faults.html_403, faults.ok_with_error])
async def test_what_is_not_a_clear_no_is_a_stumble(
    s3: EmbeddedS3, bucket: S3Bucket, fault: Callable[[], faults.Fault]
) -> None:
    s3.faults.next(fault())
    with pytest.raises(BucketStumbled):
        await bucket.put("calls/RE1", some_blob(), WAV)
    assert s3.keys("recordings") == []


@pytest.mark.parametrize("fault", [faults.reset, faults.forget_answer, faults.truncated_answer])
async def test_a_lost_answer_is_never_a_success(
    s3: EmbeddedS3, bucket: S3Bucket, fault: Callable[[], faults.Fault]
) -> None:
    blob = some_blob()
    s3.faults.next(fault(), TWICE)
    with pytest.raises(BucketUnreachable):
        await bucket.put("calls/RE1", blob, WAV)
    s3.faults.clear()
    await bucket.put("calls/RE1", blob, WAV)
    assert s3.versions("recordings", "calls/RE1") == [blob.sha256]


async def test_a_wrong_etag_is_no_evidence(s3: EmbeddedS3, bucket: S3Bucket) -> None:
    blob = some_blob()
    s3.faults.next(faults.wrong_etag())
    answer = await bucket.put("calls/RE1", blob, WAV)
    with pytest.raises(EvidenceMismatch):
        weigh(answer, sha256=blob.sha256, md5=blob.md5)


async def test_nobody_listening_is_unreachable(make_bucket: MakeBucket) -> None:
    with pytest.raises(BucketUnreachable):
        await make_bucket(url="http://127.0.0.1:9").put("calls/RE1", some_blob(), WAV)


async def test_a_server_that_stalls_can_be_left(s3: EmbeddedS3, bucket: S3Bucket) -> None:
    s3.faults.next(faults.stall())
    put = asyncio.create_task(bucket.put("calls/RE1", some_blob(), WAV))
    await s3.faults.stalled.wait()
    put.cancel()
    with pytest.raises(asyncio.CancelledError):
        await put
    s3.faults.release()


async def test_the_connection_of_a_refused_put_is_not_used_again(s3: EmbeddedS3, bucket: S3Bucket) -> None:
    await bucket.put("calls/RE1", some_blob(), WAV)
    s3.faults.next(faults.refuse("AccessDenied", 403))
    with pytest.raises(BucketRefused):
        await bucket.put("calls/RE1", some_blob(), WAV)
    await bucket.put("calls/RE1", some_blob(), WAV)
    first, refused, after = s3.connections_seen
    assert first == refused
    assert after != refused


async def test_a_credential_for_writing_delivers(s3: EmbeddedS3, make_bucket: MakeBucket) -> None:
    bucket, blob = make_bucket(WRITER), some_blob()
    answer = await bucket.put("calls/RE1", blob, WAV)
    assert weigh(answer, sha256=blob.sha256, md5=blob.md5).method is VerifyMethod.CHECKSUM
    with pytest.raises(BucketStumbled) as caught:
        await bucket.head("calls/RE1")
    assert caught.value.status == 403


async def test_reading_cut_off_is_not_the_end(s3: EmbeddedS3, bucket: S3Bucket) -> None:
    await bucket.put("calls/RE1", some_blob(), WAV)
    s3.faults.next(faults.reset(), TWICE)
    with pytest.raises(BucketUnreachable):
        await everything(bucket, "calls/RE1")


async def test_a_blocked_address_is_passed_on_as_such(s3: EmbeddedS3) -> None:
    class Guard(_Loopback):
        async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[aiohttp.abc.ResolveResult]:
            raise AddressBlocked

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=Guard())) as http:
        bucket = S3Bucket(destination_at("http://internal.example"), MANAGER, http, clock=SystemClock())
        with pytest.raises(AddressBlocked):
            await bucket.put("calls/RE1", some_blob(), WAV)


async def test_an_answer_longer_than_its_bound_is_not_read_to_the_end(http: aiohttp.ClientSession) -> None:
    async def endless(request: aiohttp.web.BaseRequest) -> aiohttp.web.StreamResponse:
        response = aiohttp.web.StreamResponse(status=403)
        await response.prepare(request)
        try:
            while True:
                await response.write(b"<Error><Code>AccessDenied</Code>" * 1000)
        except ConnectionError:
            return response

    async with _serving(endless) as url:
        with pytest.raises(BucketStumbled) as caught:
            await S3Bucket(destination_at(url), MANAGER, http, clock=SystemClock()).delete("calls/RE1")
    assert caught.value.code == "Http403"


async def test_a_session_token_is_signed_and_sent(make_bucket: MakeBucket) -> None:
    bucket = make_bucket(session_token="token-1")
    await bucket.put("calls/RE1", some_blob(), WAV)
    signed = bucket._wire.signer.headers("PUT", "http://h/b/k", {}, payload_sha256="0" * 64)
    assert signed["X-Amz-Security-Token"] == "token-1"
    assert "x-amz-security-token" in signed["Authorization"]
    assert "X-Amz-Security-Token=token-1" in bucket.presign_get("calls/RE1", expires_s=60)


@pytest.mark.parametrize("expires_s", [0, -1, 604_801])
async def test_a_presigned_url_lives_a_week_at_most(bucket: S3Bucket, expires_s: int) -> None:
    with pytest.raises(ValueError, match="604800"):
        bucket.presign_get("calls/RE1", expires_s=expires_s)


# --- Regions ---------------------------------------------------------------------------------------------------------


async def test_another_region_is_tried_once_and_remembered(s3: EmbeddedS3, make_bucket: MakeBucket) -> None:
    bucket = make_bucket(region="eu-central-1")
    await bucket.put("calls/RE1", some_blob(), WAV)
    assert bucket.destination.region == "us-east-1"
    await bucket.put("calls/RE2", some_blob(), WAV)
    assert list(s3.seen) == ["PutObject"] * 3
    assert bucket.destination.endpoint == s3.url


async def test_a_read_follows_the_region_too(bucket: S3Bucket, make_bucket: MakeBucket) -> None:
    blob = some_blob()
    await bucket.put("calls/RE1", blob, WAV)
    assert await everything(make_bucket(region="eu-central-1"), "calls/RE1") == blob.data


async def test_a_redirect_to_another_host_is_not_followed(bucket: S3Bucket, http: aiohttp.ClientSession) -> None:
    visited: list[str] = []

    async def elsewhere(request: aiohttp.web.BaseRequest) -> aiohttp.web.Response:
        visited.append(request.path)
        return aiohttp.web.Response(status=307, headers={"Location": f"{bucket.destination.endpoint}/elsewhere"})

    async with _serving(elsewhere) as url:
        with pytest.raises(BucketStumbled) as caught:
            await S3Bucket(destination_at(url), MANAGER, http, clock=SystemClock()).put("calls/RE1", some_blob(), WAV)
    assert caught.value.code == "Http307"
    assert visited == ["/recordings/calls/RE1"]


async def test_aws_is_asked_again_at_its_own_host_of_that_region() -> None:
    seen: list[tuple[str, str]] = []

    async def aws(request: aiohttp.web.BaseRequest) -> aiohttp.web.Response:
        region = re.search("/(eu-west-3|us-east-1)/s3", request.headers["Authorization"])
        assert region is not None
        seen.append((request.headers["Host"].partition(":")[0], region[1]))
        headers = {"x-amz-bucket-region": "eu-west-3", "Location": "http://evil.example/", "ETag": '"x"'}
        return aiohttp.web.Response(status=301 if region[1] == "us-east-1" else 200, headers=headers)

    async with _serving(aws) as url, _session_to_loopback() as http:
        there = destination_at(
            f"http://s3.amazonaws.com:{url.rpartition(':')[2]}", "recordings", path_style=False, is_aws=True
        )
        await S3Bucket(there, MANAGER, http, clock=SystemClock()).put("calls/RE1", some_blob(), WAV)
    assert seen == [
        ("recordings.s3.amazonaws.com", "us-east-1"),
        ("recordings.s3.eu-west-3.amazonaws.com", "eu-west-3"),
    ]


async def test_a_bucket_that_keeps_naming_regions_is_left_after_one() -> None:
    asked = iter(f"eu-west-{n}" for n in range(1, 100))

    async def circling(_: aiohttp.web.BaseRequest) -> aiohttp.web.Response:
        return aiohttp.web.Response(status=301, headers={"x-amz-bucket-region": next(asked)})

    async with _serving(circling) as url, aiohttp.ClientSession() as http:
        with pytest.raises(BucketStumbled):
            await S3Bucket(destination_at(url), MANAGER, http, clock=SystemClock()).put("RE1", some_blob(), WAV)
    assert next(asked) == "eu-west-3"


# --- Large blobs -----------------------------------------------------------------------------------------------------


async def test_it_takes_parts(bucket: S3Bucket) -> None:
    assert isinstance(bucket, MultipartBucket)


async def test_the_composite_checksum_is_the_proof_where_it_comes_back(bucket: S3Bucket) -> None:
    blob = some_blob(LARGE)
    answer = await bucket.finish_upload("RE1", await bucket.begin_upload("RE1", WAV), blob, WAV)
    assert answer.checksum_sha256 == answer.expected_composite
    assert weigh(answer, sha256=blob.sha256, md5=blob.md5).method is VerifyMethod.CHECKSUM


async def test_a_credential_for_writing_delivers_and_resumes_large_blobs(
    s3: EmbeddedS3, make_bucket: MakeBucket
) -> None:
    bucket, blob = make_bucket(WRITER), some_blob(LARGE)
    upload_id = await bucket.begin_upload("RE1", WAV)
    s3.faults.next(faults.refuse("InternalError", 500), on="CompleteMultipartUpload")
    with pytest.raises(BucketStumbled):
        await bucket.finish_upload("RE1", upload_id, blob, WAV)
    await bucket.resume_upload("RE1", upload_id, blob, WAV)
    assert list(s3.seen).count("UploadPart") == 6
    assert s3.versions("recordings", "RE1") == [blob.sha256]


async def test_resuming_sends_only_what_is_missing(s3: EmbeddedS3, bucket: S3Bucket) -> None:
    blob = some_blob(LARGE)
    upload_id = await bucket.begin_upload("RE1", WAV)
    s3.faults.next(faults.refuse("InternalError", 500), on="CompleteMultipartUpload")
    with pytest.raises(BucketStumbled):
        await bucket.finish_upload("RE1", upload_id, blob, WAV)
    sent_before = list(s3.seen).count("UploadPart")
    answer = await bucket.resume_upload("RE1", upload_id, blob, WAV)
    assert (sent_before, list(s3.seen).count("UploadPart")) == (3, 3)
    assert weigh(answer, sha256=blob.sha256, md5=blob.md5).method is VerifyMethod.CHECKSUM
    assert s3.versions("recordings", "RE1") == [blob.sha256]


async def test_a_held_part_of_other_bytes_is_sent_again(s3: EmbeddedS3, bucket: S3Bucket) -> None:
    upload_id = await bucket.begin_upload("RE1", WAV)
    s3.faults.next(faults.refuse("InternalError", 500), on="CompleteMultipartUpload")
    with pytest.raises(BucketStumbled):
        await bucket.finish_upload("RE1", upload_id, some_blob(LARGE, seed=1), WAV)
    blob = some_blob(LARGE, seed=2)
    await bucket.resume_upload("RE1", upload_id, blob, WAV)
    assert s3.versions("recordings", "RE1") == [blob.sha256]


async def test_a_part_that_stumbles_leaves_the_upload_to_be_resumed(s3: EmbeddedS3, bucket: S3Bucket) -> None:
    blob = some_blob(LARGE)
    upload_id = await bucket.begin_upload("RE1", WAV)
    s3.faults.next(faults.slow_down(), on="UploadPart")
    with pytest.raises(BucketStumbled):
        await bucket.finish_upload("RE1", upload_id, blob, WAV)
    assert s3.open_uploads("recordings") == ["RE1"]
    await bucket.resume_upload("RE1", upload_id, blob, WAV)
    assert s3.versions("recordings", "RE1") == [blob.sha256]


@pytest.mark.parametrize("operation", ["UploadPart", "CompleteMultipartUpload"])
async def test_a_cancel_aborts_the_upload(s3: EmbeddedS3, bucket: S3Bucket, operation: str) -> None:
    upload_id = await bucket.begin_upload("RE1", WAV)
    s3.faults.next(faults.stall(), on=operation)
    finish = asyncio.create_task(bucket.finish_upload("RE1", upload_id, some_blob(LARGE), WAV))
    await s3.faults.stalled.wait()
    finish.cancel()
    with pytest.raises(asyncio.CancelledError):
        await finish
    assert s3.open_uploads("recordings") == []
    assert list(s3.seen)[-1] == "AbortMultipartUpload"
    s3.faults.release()


async def test_an_altered_large_blob_is_aborted(s3: EmbeddedS3, bucket: S3Bucket) -> None:
    upload_id = await bucket.begin_upload("RE1", WAV)
    with pytest.raises(BlobAltered):
        await bucket.finish_upload("RE1", upload_id, some_blob(LARGE).altered_at(5), WAV)
    assert "CompleteMultipartUpload" not in s3.seen
    assert s3.open_uploads("recordings") == []
    assert s3.keys("recordings") == []


async def test_a_completion_that_says_200_and_error_is_no_success(s3: EmbeddedS3, bucket: S3Bucket) -> None:
    upload_id = await bucket.begin_upload("RE1", WAV)
    s3.faults.next(faults.ok_with_error(), on="CompleteMultipartUpload")
    with pytest.raises(BucketStumbled) as caught:
        await bucket.finish_upload("RE1", upload_id, some_blob(LARGE), WAV)
    assert (caught.value.code, caught.value.status) == ("InternalError", 200)


async def test_after_a_forgotten_completion_the_upload_is_gone(s3: EmbeddedS3, bucket: S3Bucket) -> None:
    blob = some_blob(LARGE)
    upload_id = await bucket.begin_upload("RE1", WAV)
    s3.faults.next(faults.forget_answer(), on="CompleteMultipartUpload")
    with pytest.raises(BucketUnreachable):
        await bucket.finish_upload("RE1", upload_id, blob, WAV)
    with pytest.raises(BucketStumbled) as caught:
        await bucket.resume_upload("RE1", upload_id, blob, WAV)
    assert caught.value.code == "NoSuchUpload"
    facts = await bucket.head("RE1")
    assert facts is not None
    assert facts.size_bytes == LARGE


async def test_a_parts_wrong_etag_is_refused_or_no_evidence(s3: EmbeddedS3, bucket: S3Bucket) -> None:
    upload_id = await bucket.begin_upload("RE1", WAV)
    s3.faults.next(faults.wrong_etag(), on="UploadPart")
    with pytest.raises(BucketStumbled) as caught:
        await bucket.finish_upload("RE1", upload_id, some_blob(LARGE), WAV)
    assert caught.value.code == "InvalidPart"


async def test_two_parts_at_most_are_in_memory(s3: EmbeddedS3, bucket: S3Bucket) -> None:
    blob = some_blob(5 * PART_BYTES)
    upload_id = await bucket.begin_upload("RE1", WAV)
    s3.faults.next(faults.stall(), 2, on="UploadPart")
    finish = asyncio.create_task(bucket.finish_upload("RE1", upload_id, blob, WAV))
    while list(s3.seen).count("UploadPart") < 2:
        await asyncio.sleep(0)
    assert blob.reads == 2
    s3.faults.release()
    await finish
    assert blob.reads == 5


@pytest.mark.parametrize("size", [1, PART_BYTES, PART_BYTES * MAX_PARTS, PART_BYTES * MAX_PARTS + 1, 5 << 40])
def test_no_blob_needs_more_than_ten_thousand_parts(size: int) -> None:
    assert -(-size // part_bytes_of(size)) <= MAX_PARTS
    assert part_bytes_of(size) >= PART_BYTES


# --- Dialects --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("endpoint", "name"),
    [
        ("https://s3.eu-central-1.amazonaws.com", "aws"),
        ("https://s3.eu-central-003.backblazeb2.com", "backblaze-b2"),
        ("https://abc.eu.r2.cloudflarestorage.com", "cloudflare-r2"),
        ("https://storage.googleapis.com", "google-cloud-storage"),
        ("https://minio.example:9000", "plain"),
        ("https://amazonaws.com.example", "plain"),
    ],
)
def test_a_dialect_is_known_by_its_host(endpoint: str, name: str) -> None:
    assert dialect_of(endpoint).name == name


def test_the_default_dialects_hide_nothing() -> None:
    for dialect in (AWS, PLAIN):
        assert dialect.takes_checksum
        assert dialect.etag_is_md5


def _session_to_loopback() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=_Loopback()))


class _Loopback(aiohttp.abc.AbstractResolver):
    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[aiohttp.abc.ResolveResult]:
        return [{"hostname": host, "host": "127.0.0.1", "port": port, "family": 2, "proto": 0, "flags": 0}]

    async def close(self) -> None:
        pass


class _serving:
    """A server of one handler, for answers the embedded S3 does not give."""

    def __init__(self, handler: Callable[[aiohttp.web.BaseRequest], object]) -> None:
        self._runner = aiohttp.web.ServerRunner(aiohttp.web.Server(handler))  # type: ignore[arg-type]

    async def __aenter__(self) -> str:
        await self._runner.setup()
        await aiohttp.web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()
