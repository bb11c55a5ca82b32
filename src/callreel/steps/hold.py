"""Say that nobody may delete a recording, or that it may be deleted again."""

from __future__ import annotations

from callreel.bucket.s3 import S3Bucket
from callreel.buckets import Buckets
from callreel.clock import Clock
from callreel.errors import (
    Final,
    InvalidDestination,
    InvalidParameter,
    NotNow,
    SealBroken,
    StateConflict,
)
from callreel.ledger.alerts import Alert
from callreel.ledger.holds import NOTHING_TO_HOLD
from callreel.ledger.ledger import Ledger
from callreel.model.deed import Action, Actor
from callreel.model.recording import COMPLETED, Recording
from callreel.model.sid import AccountSid, RecordingSid

LONGEST_REASON = 500


async def set_hold(
    account_sid: AccountSid,
    sid: RecordingSid,
    *,
    reason: str,
    ledger: Ledger,
    buckets: Buckets,
    clock: Clock,
    by: Actor,
) -> Recording:
    """Hold a recording: from this commit on nothing deletes it, whoever asks.

    Where its settings ask for Object Lock, its object gets S3's legal hold as well; a bucket that will not is an event,
    and callreel's own hold stands. One that is held already keeps its first reason. Raises `NotFound`,
    `InvalidParameter`, and `StateConflict` when its media is gone.
    """
    _check_reason(reason)
    recording = await ledger.recordings.fetch(account_sid, sid)
    deed = by.deed(Action.HOLD_SET, account_sid, sid, reason=reason)
    if not await ledger.holds.set(account_sid, sid, reason=reason, by=by, deed=deed):
        recording = await ledger.recordings.fetch(account_sid, sid)
        if recording.state in NOTHING_TO_HOLD:
            raise StateConflict(f"The media of {sid} is gone or about to go; there is nothing to hold")
    await _tell_bucket(recording, ledger=ledger, buckets=buckets, clock=clock, is_on=True)
    return await ledger.recordings.fetch(account_sid, sid)


async def lift_hold(
    account_sid: AccountSid,
    sid: RecordingSid,
    *,
    reason: str,
    ledger: Ledger,
    buckets: Buckets,
    clock: Clock,
    by: Actor,
) -> Recording:
    """Lift a recording's hold, and the one of its object unless the settings ask for that on every object.

    One without a hold is left as it is. Raises `NotFound` and `InvalidParameter`.
    """
    _check_reason(reason)
    recording = await ledger.recordings.fetch(account_sid, sid)
    before = recording.legal_hold_reason
    deed = by.deed(Action.HOLD_LIFTED, account_sid, sid, reason=reason, held_for=before)
    if await ledger.holds.lift(account_sid, sid, deed=deed) and not recording.settings.object_lock_legal_hold:
        await _tell_bucket(recording, ledger=ledger, buckets=buckets, clock=clock, is_on=False)
    return await ledger.recordings.fetch(account_sid, sid)


def _check_reason(reason: str) -> None:
    if not 1 <= len(reason) <= LONGEST_REASON or not reason.isprintable():
        raise InvalidParameter(f"Reason must have 1 to {LONGEST_REASON} printable characters", parameter="Reason")


async def _tell_bucket(recording: Recording, *, ledger: Ledger, buckets: Buckets, clock: Clock, is_on: bool) -> None:
    """S3's own legal hold, where the settings ask for Object Lock. What is not delivered yet gets it then."""
    settings = recording.settings
    if not (settings.object_lock_mode or settings.object_lock_legal_hold):
        return
    if not recording.is_external or recording.object_key is None or recording.state not in COMPLETED:
        return
    try:
        bucket = await buckets.of(recording)
        if isinstance(bucket, S3Bucket):
            await bucket.hold(recording.object_key, version_id=recording.version_id, is_on=is_on)
    except (NotNow, Final, InvalidDestination, SealBroken) as why:
        text = f"The bucket did not {'set' if is_on else 'lift'} the legal hold of its object: {why.message}"
        await ledger.alerts.raise_alert(
            Alert(
                account_sid=recording.account_sid,
                recording_sid=recording.sid,
                code=0,
                level="warning",
                text=f"{text}. callreel's own hold is as it was asked for; ask again to try the bucket again",
                at=clock.now(),
            )
        )
