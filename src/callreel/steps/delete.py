"""Remove the media a customer no longer wants, everywhere it is ours to remove, or was asked to be."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from random import Random

from callreel.bucket.s3 import S3Bucket
from callreel.buckets import Buckets
from callreel.clock import Clock
from callreel.errors import BucketRefused, BucketStumbled, Final, InvalidDestination, NotNow, SealBroken
from callreel.failpoints import reach
from callreel.ledger.alerts import Alert
from callreel.ledger.jobs import JobRow, route_of
from callreel.ledger.ledger import Ledger
from callreel.media_keys import DESTROYED
from callreel.model.patience import Park, Patience
from callreel.model.recording import ObjectFate, Recording, State
from callreel.model.retention import Retention
from callreel.spool.spool import Spool

OBJECT_REMAINS = 16111  # Twilio's code for a bucket that does not do as it is asked
Trouble = NotNow | Final | InvalidDestination | SealBroken


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleting:
    """What a deletion needs besides the recording."""

    ledger: Ledger
    spool: Spool
    buckets: Buckets
    retention: Retention
    patience: Patience
    clock: Clock
    rng: Random


async def delete(recording: Recording, *, parts: Deleting) -> Recording:
    """Carry out a deletion that was asked for.

    1. spool 2. hosted copy 3. peaks 4. multipart upload in flight 5. the object in the customer's bucket, where its
    removal was asked for 6. `DELETED`, with the day its metadata goes, and without the key of its media: a copy that
    was forgotten somewhere cannot be opened

    Without being asked, what is in the customer's own bucket is the customer's and stays. Every removal may be
    repeated. A bucket that will not remove the object is asked again for the retry window; then the recording is
    deleted here, says that its object remains, and may be restarted.
    """
    await parts.spool.release(recording.sid, blob_sha256=recording.blob_sha256)
    if not recording.is_external and recording.object_key is not None:
        await parts.buckets.storage.delete(recording.object_key)
    await parts.ledger.peaks.forget(recording.sid)
    reach("C17")
    if recording.upload_id is not None and recording.object_key is not None:
        await _abort_upload(recording, parts.buckets)
    if recording.object_fate != ObjectFate.REMOVING:
        return await _delete(recording, parts, recording.object_fate)
    began = parts.clock.monotonic()
    try:
        await _remove_object(recording, parts.buckets)
    except (NotNow, Final, InvalidDestination, SealBroken) as why:
        return await _put_off(recording, why, parts, took_s=parts.clock.monotonic() - began)
    return await _delete(recording, parts, ObjectFate.REMOVED)


async def _delete(recording: Recording, parts: Deleting, fate: str | None) -> Recording:
    deleted_at = recording.deleted_at or parts.clock.now()
    trouble = {} if fate == ObjectFate.REMAINS else {"last_error_code": None, "last_error": None}
    return await parts.ledger.move(
        recording,
        State.DELETED,
        deleted_at=deleted_at,
        purge_after=parts.retention.purge_after(deleted_at, kind=recording.kind),
        upload_id=None,
        **DESTROYED,
        object_fate=fate,
        next_attempt_at=None,
        **trouble,
    )


async def _remove_object(recording: Recording, buckets: Buckets) -> None:
    bucket = await buckets.of(recording)
    assert recording.object_key is not None
    if isinstance(bucket, S3Bucket):
        await bucket.remove(recording.object_key, version_id=recording.version_id)


async def _put_off(recording: Recording, why: Trouble, parts: Deleting, *, took_s: float) -> Recording:
    """Say what the bucket said, and try again later; or give up, and say that the object remains."""
    spent_s = recording.retry_spent_s + recording.retry_wait_s + took_s
    asked_s = why.retry_after_s if isinstance(why, BucketStumbled) else None
    if isinstance(why, BucketRefused):
        parts.buckets.distrust(recording)
    decision = parts.patience.after_a_stumble(recording.attempts + 1, spent_s, parts.rng, asked_s=asked_s)
    code = str(getattr(why, "code", None) or type(why).__name__)[:100]
    facts = {"attempts": recording.attempts + 1, "retry_spent_s": spent_s, "last_error_code": code}
    facts["last_error"] = why.message[:500]
    place = f"{recording.bucket}/{recording.object_key}"
    if isinstance(decision, Park):
        await _alert(recording, f"The object {place} remains in its bucket: {why.message}", parts)
        noted = await parts.ledger.note(recording, retry_wait_s=0.0, **facts)
        return await _delete(noted, parts, ObjectFate.REMAINS)
    if recording.attempts == 0:  # once, not for every attempt
        await _alert(recording, f"The object {place} could not be removed yet: {why.message}", parts)
    at = parts.clock.now() + timedelta(seconds=decision.seconds)
    noted = await parts.ledger.note(recording, retry_wait_s=decision.seconds, next_attempt_at=at, **facts)
    await parts.ledger.remind([JobRow(route_of("delete", recording.host_id), recording.sid, at)])
    return noted


async def _alert(recording: Recording, text: str, parts: Deleting) -> None:
    await parts.ledger.alerts.raise_alert(
        Alert(
            account_sid=recording.account_sid,
            recording_sid=recording.sid,
            code=OBJECT_REMAINS,
            level="warning",
            text=text,
            at=parts.clock.now(),
        )
    )


async def _abort_upload(recording: Recording, buckets: Buckets) -> None:
    try:
        bucket = await buckets.of(recording)
        if isinstance(bucket, S3Bucket) and recording.object_key and recording.upload_id:
            await bucket.abort_upload(recording.object_key, recording.upload_id)
    except (NotNow, Final, InvalidDestination):
        # The bucket's owner may have closed it. The sweep aborts what is left behind; the deletion goes on.
        return
