"""What a bucket with encryption under a customer's key, metadata and Object Lock promises."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ClientError

from callreel.bucket.bucket import MULTIPART_ABOVE_BYTES, PutOptions
from callreel.bucket.s3 import S3Bucket
from callreel.errors import BucketRefused
from callreel.model.evidence import weigh
from callreel.model.object_lock import LockMode, ObjectLock
from tests.bucket.blobs import some_blob

ENVELOPE = {"x-amz-key": "a2V5", "x-amz-iv": "aXY=", "x-amz-matdesc": "{}", "x-amz-unencrypted-content-length": "7"}


def options(**asked: object) -> PutOptions:
    return PutOptions(content_type="application/octet-stream", **asked)  # type: ignore[arg-type]


def lock(mode: LockMode = LockMode.GOVERNANCE, *, legal_hold: bool = False) -> ObjectLock:
    until = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0)
    return ObjectLock(mode=mode, retain_until=until, legal_hold=legal_hold)


async def put_in_parts(bucket: S3Bucket, key: str, asked: PutOptions):  # type: ignore[no-untyped-def]
    blob = some_blob(MULTIPART_ABOVE_BYTES + 1000)
    upload = await bucket.begin_upload(key, asked)
    return blob, await bucket.finish_upload(key, upload, blob, asked)


class SealedPromises:
    """A module gives `bucket`, `locked` (a bucket with Object Lock), `control` (boto3) and `kms_key`."""

    async def test_metadata_come_back_as_they_were(self, bucket: S3Bucket) -> None:
        await bucket.put("video/RT1", some_blob(), options(metadata=ENVELOPE))
        facts = await bucket.head("video/RT1")
        assert facts is not None
        assert facts.metadata == ENVELOPE
        assert facts.content_type == "application/octet-stream"

    async def test_metadata_of_an_upload_in_parts_come_back(self, bucket: S3Bucket) -> None:
        await put_in_parts(bucket, "video/RT2", options(metadata=ENVELOPE))
        facts = await bucket.head("video/RT2")
        assert facts is not None
        assert facts.metadata == ENVELOPE

    async def test_the_customers_key_is_confirmed(self, bucket: S3Bucket, kms_key: str) -> None:
        blob = some_blob()
        answer = await bucket.put("calls/RE1", blob, options(sse_algorithm="aws:kms", sse_kms_key_id=kms_key))
        weigh(answer, sha256=blob.sha256, md5=blob.md5, sse_asked="aws:kms", kms_key_asked=kms_key)
        facts = await bucket.head("calls/RE1")
        assert facts is not None
        assert facts.sse_algorithm == "aws:kms"

    async def test_the_customers_key_is_confirmed_for_an_upload_in_parts(self, bucket: S3Bucket, kms_key: str) -> None:
        asked = options(sse_algorithm="aws:kms", sse_kms_key_id=kms_key)
        blob, answer = await put_in_parts(bucket, "calls/RE2", asked)
        weigh(answer, sha256=blob.sha256, md5=blob.md5, sse_asked="aws:kms", kms_key_asked=kms_key)

    @pytest.mark.parametrize("mode", list(LockMode))
    async def test_a_locked_object_has_the_time_it_was_given(self, locked: S3Bucket, mode: LockMode) -> None:
        asked = lock(mode)
        await locked.put("calls/RE1", some_blob(), options(lock=asked))
        facts = await locked.head("calls/RE1")
        assert facts is not None
        assert facts.lock == asked

    async def test_a_legal_hold_needs_no_time(self, locked: S3Bucket) -> None:
        await locked.put("calls/RE2", some_blob(), options(lock=ObjectLock(legal_hold=True)))
        facts = await locked.head("calls/RE2")
        assert facts is not None
        assert facts.lock == ObjectLock(legal_hold=True)

    async def test_an_upload_in_parts_is_locked(self, locked: S3Bucket) -> None:
        asked = lock()
        await put_in_parts(locked, "calls/RE3", options(lock=asked))
        facts = await locked.head("calls/RE3")
        assert facts is not None
        assert facts.lock == asked

    async def test_a_locked_version_cannot_be_removed(self, locked: S3Bucket, control) -> None:  # type: ignore[no-untyped-def]
        answer = await locked.put("calls/RE4", some_blob(), options(lock=lock(LockMode.COMPLIANCE)))
        with pytest.raises(ClientError) as caught:
            control.delete_object(Bucket=locked.destination.bucket, Key="calls/RE4", VersionId=answer.version_id)
        assert caught.value.response["Error"]["Code"] == "AccessDenied"

    async def test_a_locked_put_may_be_repeated(self, locked: S3Bucket) -> None:
        blob, asked = some_blob(), options(lock=lock(LockMode.COMPLIANCE))
        for _ in range(2):
            answer = await locked.put("calls/RE5", blob, asked)
            weigh(answer, sha256=blob.sha256, md5=blob.md5)

    async def test_a_bucket_without_the_lock_refuses_with_a_remedy(self, bucket: S3Bucket) -> None:
        for attempt in (
            bucket.put("calls/RE6", some_blob(), options(lock=lock())),
            bucket.put("calls/RE7", some_blob(), options(lock=ObjectLock(legal_hold=True))),
            put_in_parts(bucket, "calls/RE8", options(lock=lock())),
        ):
            with pytest.raises(BucketRefused, match="no Object Lock") as caught:
                await attempt
            assert caught.value.code == "InvalidRequest"
