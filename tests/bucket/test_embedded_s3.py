"""The promises against the embedded S3, and the embedded S3's own: it checks what AWS checks."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from datetime import timedelta
from pathlib import Path

import aiohttp
import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from callreel.bucket.s3 import S3Bucket
from callreel.bucket.signing import Signer
from callreel.clock import SetClock, SystemClock
from callreel.errors import BucketRefused, BucketStumbled
from callreel.model.credential import AccessKey
from callreel.rehearsal.embedded_s3 import EmbeddedS3
from tests.bucket.blobs import WAV, some_blob
from tests.bucket.conftest import MANAGER, WRITER, MakeBucket, destination_at
from tests.bucket.promises import BucketPromises, MultipartPromises, PresignPromises, everything

CORS = """<CORSConfiguration><CORSRule><AllowedOrigin>https://console.example</AllowedOrigin>
<AllowedMethod>GET</AllowedMethod><AllowedHeader>range</AllowedHeader><ExposeHeader>ETag</ExposeHeader></CORSRule>
</CORSConfiguration>"""


class TestEmbeddedS3(BucketPromises, MultipartPromises, PresignPromises):
    pass


@pytest.mark.parametrize(
    ("key", "code"),
    [
        (AccessKey(MANAGER.key_id, "x" * 40), "SignatureDoesNotMatch"),
        (AccessKey("AKUNKNOWN0000000000X", "x" * 40), "InvalidAccessKeyId"),
    ],
)
async def test_a_key_it_does_not_know_is_refused(make_bucket: MakeBucket, key: AccessKey, code: str) -> None:
    with pytest.raises(BucketRefused) as caught:
        await make_bucket(key).put("calls/RE1", some_blob(), WAV)
    assert caught.value.code == code


async def test_a_missing_bucket_is_refused(make_bucket: MakeBucket) -> None:
    with pytest.raises(BucketRefused) as caught:
        await make_bucket(bucket="no-such-bucket").put("calls/RE1", some_blob(), WAV)
    assert caught.value.code == "NoSuchBucket"


async def test_a_key_for_writing_may_do_nothing_else(make_bucket: MakeBucket) -> None:
    bucket = make_bucket(WRITER)
    await bucket.put("calls/RE1", some_blob(), WAV)
    for asking in (everything(bucket, "calls/RE1"), bucket.delete("calls/RE1")):
        with pytest.raises(BucketRefused) as caught:
            await asking
        assert caught.value.code == "AccessDenied"


async def test_a_wrong_clock_is_too_skewed(make_bucket: MakeBucket) -> None:
    late = SetClock(SystemClock().now() - timedelta(hours=1))
    with pytest.raises(BucketStumbled) as caught:
        await make_bucket(clock=late).put("calls/RE1", some_blob(), WAV)
    assert caught.value.code == "RequestTimeTooSkewed"


async def test_a_presigned_url_expires(make_bucket: MakeBucket, http: aiohttp.ClientSession) -> None:
    await make_bucket().put("calls/RE1", some_blob(), WAV)
    an_hour_ago = SetClock(SystemClock().now() - timedelta(hours=1))
    async with http.get(make_bucket(clock=an_hour_ago).presign_get("calls/RE1", expires_s=3700)) as response:
        assert response.status == 200
    async with http.get(make_bucket(clock=an_hour_ago).presign_get("calls/RE1", expires_s=60)) as response:
        assert response.status == 403
        assert "expired" in await response.text()


async def test_anonymous_reading_is_denied(s3: EmbeddedS3, bucket: S3Bucket, http: aiohttp.ClientSession) -> None:
    await bucket.put("calls/RE1", some_blob(), WAV)
    async with http.get(f"{s3.url}/recordings/calls/RE1") as response:
        assert response.status == 403


@pytest.mark.parametrize(
    ("header", "value", "code"),
    [
        ("Content-MD5", "AAAAAAAAAAAAAAAAAAAAAA==", "BadDigest"),
        ("Content-MD5", "not base64", "InvalidDigest"),
        ("x-amz-checksum-sha256", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "BadDigest"),
    ],
)
async def test_a_digest_that_is_not_the_bodys_is_refused(
    s3: EmbeddedS3, http: aiohttp.ClientSession, header: str, value: str, code: str
) -> None:
    status, text = await _put_raw(s3, http, b"hello", hashlib.sha256(b"hello").hexdigest(), {header: value})
    assert (status, code in text) == (400, True)
    assert s3.keys("recordings") == []


async def test_a_body_other_than_the_signed_one_is_refused(s3: EmbeddedS3, http: aiohttp.ClientSession) -> None:
    status, text = await _put_raw(s3, http, b"hello", hashlib.sha256(b"other").hexdigest(), {})
    assert (status, "XAmzContentSHA256Mismatch" in text) == (400, True)
    assert s3.keys("recordings") == []


async def test_a_header_changed_after_signing_is_refused(s3: EmbeddedS3, http: aiohttp.ClientSession) -> None:
    signer = Signer(MANAGER, region="us-east-1", clock=SystemClock())
    url = f"{s3.url}/recordings/RE1"
    digest = hashlib.sha256(b"hello").hexdigest()
    headers = signer.headers("PUT", url, {"Content-Type": "audio/x-wav"}, payload_sha256=digest)
    async with http.put(url, data=b"hello", headers=headers | {"Content-Type": "text/html"}) as response:
        assert "SignatureDoesNotMatch" in await response.text()


async def test_the_contents_of_a_key_are_remembered(s3: EmbeddedS3, bucket: S3Bucket) -> None:
    one, other = some_blob(seed=1), some_blob(seed=2)
    for blob in (one, one, other, other, one):
        await bucket.put("calls/RE1", blob, WAV)
    await bucket.delete("calls/RE1")
    assert s3.versions("recordings", "calls/RE1") == [one.sha256, other.sha256, one.sha256]
    assert s3.versions("recordings", "calls/none") == []


async def test_what_was_stored_outlives_a_restart(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    blob = some_blob()
    for stored in (False, True):
        async with EmbeddedS3(tmp_path) as s3:
            s3.create_bucket("recordings")
            s3.add_user(MANAGER.key_id, MANAGER.secret)
            bucket = S3Bucket(destination_at(s3.url), MANAGER, http, clock=SystemClock())
            if stored:
                assert await everything(bucket, "calls/RE1") == blob.data
            else:
                await bucket.put("calls/RE1", blob, WAV)


async def test_an_early_part_under_five_mebibytes_is_refused(s3: EmbeddedS3, bucket: S3Bucket) -> None:
    upload_id = await bucket.begin_upload("calls/RE1", WAV)
    etags = []
    for number in (1, 2):
        digest = hashlib.sha256(b"small").hexdigest()
        query = [("partNumber", str(number)), ("uploadId", upload_id)]
        reply = await bucket._wire.ask("PUT", "calls/RE1", query=query, body=b"small", payload_sha256=digest)
        etags.append(reply.headers["ETag"])
    parts = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{e}</ETag></Part>" for n, e in enumerate(etags, 1))
    body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
    with pytest.raises(BucketStumbled) as caught:
        await bucket._wire.ask(
            "POST",
            "calls/RE1",
            query=[("uploadId", upload_id)],
            body=body,
            payload_sha256=hashlib.sha256(body).hexdigest(),
        )
    assert caught.value.code == "EntityTooSmall"


async def test_only_the_origins_of_its_cors_rules_are_answered(
    s3: EmbeddedS3, bucket: S3Bucket, http: aiohttp.ClientSession
) -> None:
    await bucket.put("RE1", some_blob(), WAV)
    body = CORS.encode()
    digest = hashlib.sha256(body).hexdigest()
    await bucket._wire.ask("PUT", "", query=[("cors", "")], body=body, payload_sha256=digest)
    assert (await bucket._wire.ask("GET", "", query=[("cors", "")])).body == body
    url = bucket.presign_get("RE1", expires_s=60)
    async with http.get(url, headers={"Origin": "https://console.example"}) as response:
        assert response.headers["Access-Control-Allow-Origin"] == "https://console.example"
    async with http.get(url, headers={"Origin": "https://elsewhere.example"}) as response:
        assert "Access-Control-Allow-Origin" not in response.headers
    asking = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "range"}
    async with http.options(url, headers={"Origin": "https://console.example", **asking}) as response:
        assert response.status == 200
    async with http.options(url, headers={"Origin": "https://elsewhere.example", **asking}) as response:
        assert response.status == 403


async def test_boto3_finds_itself_understood(s3: EmbeddedS3, tmp_path: Path) -> None:
    """A client that is not ours: it signs other headers and adds checksums of its own."""
    client = boto3.client(
        "s3",
        endpoint_url=s3.url,
        aws_access_key_id=MANAGER.key_id,
        aws_secret_access_key=MANAGER.secret,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}),
    )

    def use() -> None:
        large = some_blob(20 << 20)
        (tmp_path / "large").write_bytes(large.data)
        client.create_bucket(Bucket="other")
        client.put_object(Bucket="other", Key="a b/ü+", Body=b"hello", Metadata={"who": "me"})
        assert client.get_object(Bucket="other", Key="a b/ü+")["Body"].read() == b"hello"
        assert client.head_object(Bucket="other", Key="a b/ü+")["Metadata"] == {"who": "me"}
        client.upload_file(str(tmp_path / "large"), "other", "large")
        assert client.head_object(Bucket="other", Key="large")["ContentLength"] == 20 << 20
        assert [o["Key"] for o in client.list_objects_v2(Bucket="other")["Contents"]] == ["a b/ü+", "large"]
        assert client.get_bucket_location(Bucket="other")["LocationConstraint"] is None
        client.delete_object(Bucket="other", Key="large")
        with pytest.raises(ClientError, match="NotImplemented"):
            client.get_bucket_tagging(Bucket="other")

    await asyncio.to_thread(use)


async def test_as_a_process_it_says_where_it_listens(tmp_path: Path, http: aiohttp.ClientSession) -> None:

    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "callreel.rehearsal.embedded_s3",
        *("--root", str(tmp_path), "--bucket", "recordings", "--key-id", MANAGER.key_id, "--secret", MANAGER.secret),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": "src"},
    )
    assert process.stdout is not None
    try:
        line = (await asyncio.wait_for(process.stdout.readline(), 30)).decode()
        url = line.removeprefix("listening on ").strip()
        await S3Bucket(destination_at(url), MANAGER, http, clock=SystemClock()).put("RE1", some_blob(), WAV)
    finally:
        process.terminate()
        assert await process.wait() == 0


async def _put_raw(
    s3: EmbeddedS3, http: aiohttp.ClientSession, body: bytes, payload_sha256: str, headers: dict[str, str]
) -> tuple[int, str]:
    url = f"{s3.url}/recordings/RE1"
    signer = Signer(MANAGER, region="us-east-1", clock=SystemClock())
    signed = signer.headers("PUT", url, {"Content-Type": "audio/x-wav", **headers}, payload_sha256=payload_sha256)
    async with http.put(url, data=body, headers=signed) as response:
        return response.status, await response.text()
