"""What a bucket with encryption under a customer's key, metadata and Object Lock promises."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ClientError

from callreel.bucket.bucket import MULTIPART_ABOVE_BYTES, PutOptions
from callreel.bucket.doctor import Check, Outcome, Wanted, examine
from callreel.bucket.s3 import S3Bucket
from callreel.clock import SystemClock
from callreel.errors import BucketRefused, BucketStumbled
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


async def looked_over(bucket: S3Bucket) -> dict[str, Check]:
    """What the connection test finds for settings that ask for Object Lock."""
    wanted = Wanted(
        destination=bucket.destination,
        options=PutOptions(content_type="text/plain"),
        wants_lock=True,
        origin="https://callreel.example",
        configure_cors=False,
    )
    return {check.name: check for check in await examine(bucket, wanted, clock=SystemClock())}


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

    async def test_a_legal_hold_is_set_and_lifted_on_what_was_stored(self, locked: S3Bucket) -> None:
        blob = some_blob()
        stored = await locked.put("calls/RE9", blob, options())
        for _ in range(2):  # may be repeated
            await locked.hold("calls/RE9", version_id=stored.version_id, is_on=True)
        facts = await locked.head("calls/RE9")
        assert facts is not None
        assert facts.lock == ObjectLock(legal_hold=True)
        assert facts.version_id == stored.version_id
        with pytest.raises((BucketRefused, BucketStumbled)):
            await locked.remove("calls/RE9", version_id=stored.version_id)
        assert b"".join([p async for p in locked.read("calls/RE9")]) == blob.read(0, blob.size_bytes)
        for _ in range(2):
            await locked.hold("calls/RE9", version_id=stored.version_id, is_on=False)
        await locked.remove("calls/RE9", version_id=stored.version_id)
        assert await locked.head("calls/RE9") is None

    async def test_a_legal_hold_leaves_the_time_as_it_is(self, locked: S3Bucket) -> None:
        asked = lock()
        stored = await locked.put("calls/RE10", some_blob(), options(lock=asked))
        for is_on in (True, False):
            await locked.hold("calls/RE10", version_id=stored.version_id, is_on=is_on)
            facts = await locked.head("calls/RE10")
            assert facts is not None
            assert facts.lock == ObjectLock(mode=asked.mode, retain_until=asked.retain_until, legal_hold=is_on)

    async def test_a_legal_hold_of_what_is_not_there_is_told(self, locked: S3Bucket) -> None:
        with pytest.raises((BucketRefused, BucketStumbled)):
            await locked.hold("calls/RE11", version_id=None, is_on=True)
        assert await locked.head("calls/RE11") is None

    async def test_a_bucket_without_the_lock_holds_nothing_and_keeps_the_object(self, bucket: S3Bucket) -> None:
        blob = some_blob()
        await bucket.put("calls/RE12", blob, options())
        with pytest.raises(BucketRefused, match="no Object Lock"):
            await bucket.hold("calls/RE12", version_id=None, is_on=True)
        assert b"".join([p async for p in bucket.read("calls/RE12")]) == blob.read(0, blob.size_bytes)

    async def test_the_connection_test_finds_the_lock_and_leaves_nothing(self, locked: S3Bucket, control) -> None:  # type: ignore[no-untyped-def]
        found = await looked_over(locked)
        assert (found["versioning"].outcome, found["object-lock"].outcome) == (Outcome.PASSED, Outcome.PASSED), found
        assert found["object-lock"].detail == (
            "The bucket has Object Lock, and this key may set and lift a legal hold. "
            "Locking was not tried: a locked test object could not be removed"
        )
        for name in ("put", "multipart", "read", "delete"):
            assert found[name].outcome is Outcome.PASSED, found[name]
        assert control.list_object_versions(Bucket=locked.destination.bucket).get("Versions", []) == []

    async def test_the_connection_test_says_that_the_bucket_itself_locks_what_it_is_given(
        self,
        locked: S3Bucket,
        control,  # type: ignore[no-untyped-def]
    ) -> None:
        rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}
        control.put_object_lock_configuration(
            Bucket=locked.destination.bucket,
            ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule},
        )
        found = await looked_over(locked)
        assert found["object-lock"].outcome is Outcome.PASSED
        assert found["put"].outcome is Outcome.PASSED, found["put"]
        assert found["delete"].outcome is Outcome.WARNING
        assert "locks what it is given" in found["delete"].detail
        assert "callreel-test-" in found["delete"].remedy

    async def test_a_bucket_without_the_lock_refuses_with_a_remedy(self, bucket: S3Bucket) -> None:
        for attempt in (
            bucket.put("calls/RE6", some_blob(), options(lock=lock())),
            bucket.put("calls/RE7", some_blob(), options(lock=ObjectLock(legal_hold=True))),
            put_in_parts(bucket, "calls/RE8", options(lock=lock())),
        ):
            with pytest.raises(BucketRefused, match="no Object Lock") as caught:
                await attempt
            assert caught.value.code == "InvalidRequest"
