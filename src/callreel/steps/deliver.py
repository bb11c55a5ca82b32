"""Send the blob to its bucket and weigh the answer."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from datetime import timedelta
from itertools import takewhile
from random import Random
from typing import Any

import structlog

from callreel.at_rest.segments import FileKey
from callreel.bucket.bucket import MULTIPART_ABOVE_BYTES, MultipartBucket, PutOptions
from callreel.bucket.refusals import OUR_FAULT_CODES
from callreel.bucket.s3 import S3Bucket
from callreel.bucket.second_look import SecondLooks
from callreel.bucket.traffic import Traffic, TurnedAway
from callreel.buckets import Buckets
from callreel.clock import Clock
from callreel.errors import (
    BucketRefused,
    BucketStumbled,
    CallreelError,
    EvidenceMismatch,
    Final,
    InvalidDestination,
    NotNow,
    PromiseBroken,
    SealBroken,
)
from callreel.failpoints import reach
from callreel.ledger.alerts import Alert
from callreel.ledger.jobs import JobRow, route_of
from callreel.ledger.ledger import Ledger
from callreel.media_keys import MediaKeys
from callreel.model.delivery_failure import level_of, parking_code, refusal_code
from callreel.model.encryption_details import envelope_of
from callreel.model.evidence import Answer, Evidence, VerifyMethod, weigh
from callreel.model.object_lock import lock_of
from callreel.model.patience import CONFIRM_S, Park, Patience
from callreel.model.recording import Recording, State
from callreel.model.retention_class import with_lock_of
from callreel.model.storage_settings import RecordingKind, StorageSettings
from callreel.model.video_failure import UPLOAD_TROUBLE
from callreel.spool.spool import Spool, SpooledBlob

log = structlog.get_logger("callreel.deliver")

MISMATCH = "evidence-mismatch"
MISMATCHES = 3  # in a row: a bucket that contradicts itself so often is not cured by trying on
MAY_NOT_LOOK = frozenset({401, 403, 405, 501})
ALARMING = OUR_FAULT_CODES | {"RequestTimeTooSkewed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivering:
    """What a delivery needs besides the recording."""

    ledger: Ledger
    spool: Spool
    buckets: Buckets
    keys: MediaKeys
    traffic: Traffic
    looks: SecondLooks
    patience: Patience
    clock: Clock
    rng: Random
    accepted_grace_s: float


async def deliver(recording: Recording, *, parts: Delivering) -> Recording:
    """One attempt, from the claim to what became of it.

    1. wait for room on the bucket's lane; a lane in trouble may put the recording off
    2. claim: the fence goes up, the wait since the last attempt is counted
    3. send the same bytes to the same key
    4. weigh the answer: only evidence makes it DELIVERED, and now and then a look at the object must not contradict it
    5. otherwise WAITING with a time, PARKED when the window is used up, FATAL when refused twice
    """
    if recording.state is State.UPLOADING:  # whoever had it is gone: a lease, not a truth
        recording = await parts.ledger.move(
            recording, State.WAITING, reason="the worker that had it is gone", next_attempt_at=parts.clock.now()
        )
    began: float | None = None
    try:
        async with parts.traffic.room_for(recording.blob_size_bytes or 0, _lane_of(recording)):
            recording = await _claim(recording, parts)
            began = parts.clock.monotonic()
            recording, evidence = await _send(recording, parts)
    except TurnedAway as why:
        return await _put_off(recording, why, parts)
    except (BucketRefused, Final, InvalidDestination) as why:
        return await _after_a_refusal(recording, why, parts, took_s=_since(began, parts))
    except (NotNow, SealBroken) as why:  # a credential our key ring does not open is ours to mend, within the window
        if began is None:
            raise  # it was not claimed: the database is away
        return await _after_a_stumble(recording, why, parts, took_s=_since(began, parts))
    except PromiseBroken as why:
        # Wrong bytes must not reach the bucket.
        alarm = "The spooled copy is not what was acknowledged"
        return await _park(recording, why, parts, because="spool-corrupt", alarm=alarm)
    reach("C12")
    release_at = None
    if evidence.method is VerifyMethod.ACCEPTED:
        release_at = parts.clock.now() + timedelta(seconds=parts.accepted_grace_s)
    return await parts.ledger.move(
        recording,
        State.DELIVERED,
        verify_method=evidence.method,
        verified_at=parts.clock.now(),
        etag=evidence.etag,
        version_id=evidence.version_id,
        last_request_id=evidence.request_id,
        next_attempt_at=release_at,
        refused_at=None,
        error_code=None,
        last_error_code=None,
        last_error=None,
        upload_id=None,
    )


def _lane_of(recording: Recording) -> Hashable:
    """Whose trouble it would be: one account's bucket, with one credential. Service storage is everybody's."""
    settings = recording.settings
    if not recording.is_external:
        return None
    return recording.account_sid, settings.aws_s3_url, settings.aws_credentials_sid or settings.aws_role_arn


def _since(began: float | None, parts: Delivering) -> float:
    return 0.0 if began is None else parts.clock.monotonic() - began


async def _claim(recording: Recording, parts: Delivering) -> Recording:
    return await parts.ledger.move(
        recording,
        State.UPLOADING,
        attempts=recording.attempts + 1,
        retry_spent_s=recording.retry_spent_s + recording.retry_wait_s,
        retry_wait_s=0.0,
    )


async def _put_off(recording: Recording, why: TurnedAway, parts: Delivering) -> Recording:
    """Not tried: its bucket is slow and has enough to do. Where it was tried before, waiting is part of the window."""
    at = parts.clock.now() + timedelta(seconds=why.again_in_s)
    counted_s = why.again_in_s if recording.state is State.WAITING else 0.0
    recording = await parts.ledger.note(recording, next_attempt_at=at, retry_wait_s=recording.retry_wait_s + counted_s)
    await parts.ledger.remind([JobRow(route_of("deliver", recording.host_id), recording.sid, at)])
    return recording


async def _send(recording: Recording, parts: Delivering) -> tuple[Recording, Evidence]:
    blob = _blob_of(recording, parts.spool, await parts.keys.of_blob(recording))
    bucket = await parts.buckets.of(recording)
    settings = await _settings_with_lock(recording, parts.ledger)
    options = PutOptions(
        content_type="application/octet-stream" if recording.encryption_details else recording.media_type,
        sse_algorithm=settings.sse_algorithm,
        sse_kms_key_id=settings.sse_kms_key_id,
        storage_class=settings.storage_class,
        metadata=envelope_of(recording.encryption_details or {}),
        lock=lock_of(
            settings,
            date_created=recording.date_created,
            now=parts.clock.now(),
            is_held=recording.has_legal_hold,
        ),
    )
    key = recording.object_key
    assert key is not None
    if blob.size_bytes > MULTIPART_ABOVE_BYTES and isinstance(bucket, S3Bucket):
        recording, answer = await _send_in_parts(recording, key, blob, bucket, options, parts)
    else:
        answer = await bucket.put(key, blob, options)
    reach("C11")
    asked, kms_key = (settings.sse_algorithm, settings.sse_kms_key_id) if recording.is_external else (None, None)
    evidence = weigh(answer, sha256=blob.sha256, md5=blob.md5, sse_asked=asked, kms_key_asked=kms_key)
    if isinstance(bucket, S3Bucket) and parts.looks.is_due(_lane_of(recording)):
        await _look_again(recording, blob, bucket, evidence, parts)
    return recording, evidence


async def _look_again(
    recording: Recording, blob: SpooledBlob, bucket: S3Bucket, evidence: Evidence, parts: Delivering
) -> None:
    """See that the object is there. Raises `EvidenceMismatch` when it is not.

    A look that fails says nothing: the evidence stands without it, and the next delivery is looked at instead.
    """
    assert recording.object_key is not None
    lane = _lane_of(recording)
    try:
        seen = await bucket.head(recording.object_key)
    except BucketStumbled as why:
        if why.status in MAY_NOT_LOOK:
            parts.looks.note(lane)
        return
    except (NotNow, Final):
        return
    if seen is None or seen.size_bytes != blob.size_bytes:
        held = "no object" if seen is None else f"an object of {seen.size_bytes} bytes"
        raise EvidenceMismatch(
            f"The bucket confirmed {blob.size_bytes} bytes under this key, and then showed {held} there",
            request_id=evidence.request_id,
        )
    parts.looks.note(lane)


async def _settings_with_lock(recording: Recording, ledger: Ledger) -> StorageSettings:
    """The recording's settings, with the lock of its retention class if it has one."""
    classes = await ledger.retention_classes.of_account_lately(recording.account_sid)
    if not classes:
        return recording.settings
    campaign = None
    if recording.call_sid is not None and any(each.campaign for each in classes):
        campaign = await ledger.calls.campaign_of(recording.account_sid, recording.call_sid)
    return with_lock_of(recording.settings, classes, kind=recording.kind, source=recording.source, campaign=campaign)


async def _send_in_parts(
    recording: Recording, key: str, blob: SpooledBlob, bucket: MultipartBucket, options: PutOptions, parts: Delivering
) -> tuple[Recording, Answer]:
    """The upload id is committed before the first part, so that a crash leaves an upload we can find again."""
    if recording.upload_id is not None:
        try:
            return recording, await bucket.resume_upload(key, recording.upload_id, blob, options)
        except BucketStumbled as why:
            if why.code != "NoSuchUpload":
                raise
            recording = await parts.ledger.note(recording, upload_id=None)
    upload_id = await bucket.begin_upload(key, options)
    reach("C9")
    recording = await parts.ledger.note(recording, upload_id=upload_id)
    reach("C10")
    return recording, await bucket.finish_upload(key, upload_id, blob, options)


def _blob_of(recording: Recording, spool: Spool, key: FileKey | None) -> SpooledBlob:
    assert recording.blob_size_bytes is not None
    assert recording.blob_sha256 is not None
    assert recording.blob_md5 is not None
    return spool.blob(
        recording.sid,
        sealed=recording.encryption_details is not None,
        size_bytes=recording.blob_size_bytes,
        sha256=recording.blob_sha256,
        md5=recording.blob_md5,
        key=key,
    )


async def _after_a_refusal(
    recording: Recording, why: Final | InvalidDestination, parts: Delivering, *, took_s: float
) -> Recording:
    """A refusal is believed when it is given twice, on another connection and some seconds later."""
    now = parts.clock.now()
    told = _told(why)
    first_at = recording.refused_at
    spent_s = recording.retry_spent_s + took_s
    if isinstance(why, BucketRefused):
        parts.buckets.distrust(recording)  # keys of a role may have been revoked: confirmed with new ones
    if first_at is None or (now - first_at).total_seconds() < CONFIRM_S:
        if spent_s >= parts.patience.window_s:
            return await _park_at_last(recording, why, parts, spent_s=spent_s)
        return await parts.ledger.move(
            recording,
            State.WAITING,
            reason=f"refused, to be confirmed: {why.message}",
            refused_at=first_at or now,
            retry_spent_s=spent_s,
            retry_wait_s=CONFIRM_S,
            next_attempt_at=now + timedelta(seconds=CONFIRM_S),
            **told,
        )
    code = refusal_code(why, kind=recording.kind)
    failed = await parts.ledger.move(
        recording, State.FATAL, reason=why.message, error_code=code, next_attempt_at=None, **told
    )
    await _alert(failed, code, why.message, parts)
    return failed


async def _after_a_stumble(
    recording: Recording, why: NotNow | SealBroken, parts: Delivering, *, took_s: float
) -> Recording:
    spent_s = recording.retry_spent_s + took_s
    asked_s = why.retry_after_s if isinstance(why, BucketStumbled) else None
    await _sound_alarm(recording, why, parts)
    if isinstance(why, EvidenceMismatch) and await _mismatches_before(recording, parts) + 1 >= MISMATCHES:
        # Trying on would prove nothing.
        alarm = "The bucket contradicts what was sent to it, each time"
        return await _park(recording, why, parts, because=MISMATCH, alarm=alarm, **_nothing_left(spent_s))
    decision = parts.patience.after_a_stumble(recording.attempts, spent_s, parts.rng, asked_s=asked_s)
    if isinstance(decision, Park):
        return await _park_at_last(recording, why, parts, spent_s=spent_s)
    waiting = await parts.ledger.move(
        recording,
        State.WAITING,
        reason=f"{MISMATCH}: {why.message}" if isinstance(why, EvidenceMismatch) else why.message,
        refused_at=None,
        retry_spent_s=spent_s,
        retry_wait_s=decision.seconds,
        next_attempt_at=parts.clock.now() + timedelta(seconds=decision.seconds),
        **_told(why),
    )
    if recording.kind is RecordingKind.VIDEO and recording.last_error_code is None:  # once, not for every attempt
        await _alert(waiting, UPLOAD_TROUBLE, f"Uploading is tried again after a delay: {why.message}", parts)
    return waiting


async def _park(
    recording: Recording, why: CallreelError, parts: Delivering, *, because: str, alarm: str, **facts: Any
) -> Recording:
    """Give up for now: everything is kept as it is until a person starts it again, and somebody is told."""
    code = parking_code(recording.kind)
    parked = await parts.ledger.move(
        recording,
        State.PARKED,
        reason=f"{because}: {why.message}",
        error_code=code,
        next_attempt_at=None,
        **facts,
        **_told(why),
    )
    await _alert(parked, code, f"{alarm}: {why.message}", parts)
    return parked


async def _park_at_last(recording: Recording, why: CallreelError, parts: Delivering, *, spent_s: float) -> Recording:
    because = f"the retry window of {parts.patience.window_s:g} s is used up"
    return await _park(
        recording, why, parts, because=because, alarm="Uploading was given up for now", **_nothing_left(spent_s)
    )


def _nothing_left(spent_s: float) -> dict[str, Any]:
    return {"refused_at": None, "retry_spent_s": spent_s, "retry_wait_s": 0.0}


async def _sound_alarm(recording: Recording, why: NotNow | SealBroken, parts: Delivering) -> None:
    """What trying again may not cure, told once, not for every attempt: a contradiction, a mistake, a wrong clock."""
    code = _told(why)["last_error_code"]
    if code == recording.last_error_code or (code not in ALARMING and not isinstance(why, EvidenceMismatch)):
        return
    log.error("a delivery needs somebody to look", recording=recording.sid, code=code, reason=why.message)
    await _alert(recording, parking_code(recording.kind), f"Uploading is tried again: {why.message}", parts)


async def _mismatches_before(recording: Recording, parts: Delivering) -> int:
    """How many attempts before this one, one after the other, ended with an answer that contradicts the blob."""
    lines = await parts.ledger.recordings.history(recording.account_sid, recording.sid)
    ends = [line for line in lines if line.to_state != State.UPLOADING]
    return len(
        list(
            takewhile(
                lambda line: line.to_state == State.WAITING and (line.reason or "").startswith(MISMATCH), reversed(ends)
            )
        )
    )


def _told(why: Exception) -> dict[str, Any]:
    """S3's own code, words and request id, for whoever has to act."""
    code = getattr(why, "code", None) or type(why).__name__
    if isinstance(why, EvidenceMismatch):
        code = "EvidenceMismatch"
    return {
        "last_error_code": str(code)[:100],
        "last_error": str(why)[:500],
        "last_request_id": getattr(why, "request_id", None),
    }


async def _alert(recording: Recording, code: int, text: str, parts: Delivering) -> None:
    await parts.ledger.alerts.raise_alert(
        Alert(
            account_sid=recording.account_sid,
            recording_sid=recording.sid,
            code=code,
            level=level_of(code),
            text=text,
            at=parts.clock.now(),
        )
    )
