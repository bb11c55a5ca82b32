"""From a wish to delete to rows that say so: one recording, or call logs with what hangs on them.

Below the steps and above the shelves, so that one recording, a call log, a campaign and an account all keep the same
order: what has a legal hold is refused, then the recordings move, then their call log goes. The media itself is
removed by the job that is written with each move.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime

from callreel.errors import CallreelError, LegalHold, NotFound, Outrun, RecordingNotFinished
from callreel.ledger.alerts import Alert
from callreel.ledger.ledger import Ledger
from callreel.model.deed import Action, Actor
from callreel.model.recording import COMPLETED, ObjectFate, Recording, State
from callreel.model.sid import AccountSid

GONE = frozenset({State.DELETING, State.DELETED, State.PURGED})
ON_ITS_WAY = frozenset({State.RECEIVING, State.SPOOLED, State.SEALED, State.UPLOADING, State.WAITING})
AT_ONCE = 50  # moves that may share commits


async def delete_recording(
    recording: Recording, *, ledger: Ledger, by: Actor, reason: str = "the customer asked for it"
) -> Recording:
    """Mark a completed recording as deleted; what lies in the customer's own bucket stays there.

    Raises `NotFound` for one that is deleted already, `LegalHold`, and `RecordingNotFinished` for every other state:
    only completed recordings can be deleted.
    """
    while True:
        if recording.state in GONE:
            raise NotFound()
        check_hold(recording)
        if recording.state not in COMPLETED:
            raise RecordingNotFinished()
        fate = ObjectFate.KEPT if recording.is_external else None
        try:
            return await _move(recording, fate, ledger=ledger, by=by, reason=reason)
        except Outrun:  # released meanwhile, or held: look again
            recording = await ledger.recordings.fetch(recording.account_sid, recording.sid)


async def remove_recording(recording: Recording, *, ledger: Ledger, by: Actor, reason: str) -> Recording:
    """Mark a recording as deleted together with its object in the customer's bucket, whatever became of its delivery.

    One that is deleted already is left as it is. Raises `LegalHold`, and `RecordingNotFinished` while it is on its
    way to its bucket.
    """
    while recording.state not in GONE:
        check_hold(recording)
        check_arrived(recording)
        fate = ObjectFate.REMOVING if recording.is_external and recording.object_key else None
        try:
            return await _move(recording, fate, ledger=ledger, by=by, reason=reason)
        except Outrun:
            recording = await ledger.recordings.fetch(recording.account_sid, recording.sid)
    return recording


async def remove_call_logs(
    account_sid: AccountSid, sids: Sequence[str], *, ledger: Ledger, by: Actor, reason: str, with_objects: bool
) -> Mapping[str, CallreelError | None]:
    """Delete call logs; `with_objects` their recordings and their objects too. The reason for each that stays.

    A call log stays, and all its recordings with it, when one of them has a legal hold, or is still on its way and
    should go. May be repeated: what is deleted already is no error.
    """
    of_call: dict[str, list[Recording]] = defaultdict(list)
    for recording in await ledger.recordings.list_of_calls(account_sid, sids):
        of_call[str(recording.call_sid)].append(recording)
    outcomes: dict[str, CallreelError | None] = {}
    for start in range(0, len(sids), AT_ONCE):
        chunk = sids[start : start + AT_ONCE]
        done = await asyncio.gather(
            *(_clear(of_call[sid], ledger=ledger, by=by, reason=reason, with_objects=with_objects) for sid in chunk)
        )
        outcomes |= dict(zip(chunk, done, strict=True))
    gone = [sid for sid, why in outcomes.items() if why is None]
    deeds = [by.deed(Action.CALL_DELETED, account_sid, sid, reason=reason, with_objects=with_objects) for sid in gone]
    stays = [] if with_objects else [recording for sid in gone for recording in of_call[sid]]
    alerts = [_stays(recording, at=ledger.now()) for recording in stays if recording.state not in GONE]
    await ledger.calls.remove_all(account_sid, gone, deeds, alerts)
    return outcomes


def check_hold(recording: Recording) -> None:
    """Raise `LegalHold`, naming the hold, for a recording that nobody may delete now."""
    if recording.legal_hold_at is not None:
        raise LegalHold(
            f"The recording {recording.sid} is under a legal hold since {recording.legal_hold_at:%Y-%m-%d} "
            f"({recording.legal_hold_reason}). Its owner has to lift it before it can be deleted."
        )


def check_arrived(recording: Recording) -> None:
    """Raise `RecordingNotFinished`, naming the recording, while it is on its way to its bucket."""
    if recording.state in ON_ITS_WAY:
        raise RecordingNotFinished(
            f"The recording {recording.sid} is still being delivered. Delete again when it is complete."
        )


def _stays(recording: Recording, *, at: datetime) -> Alert:
    where = f", and so does {recording.bucket}/{recording.object_key}" if recording.is_external else ""
    return Alert(
        account_sid=recording.account_sid,
        recording_sid=recording.sid,
        code=0,
        level="notice",
        text=f"The call log {recording.call_sid} was deleted. The recording stays{where}: the deletion settings say so",
        at=at,
    )


async def _clear(
    found: Sequence[Recording], *, ledger: Ledger, by: Actor, reason: str, with_objects: bool
) -> CallreelError | None:
    """Make way for the deletion of one call log. Nothing is moved unless all its recordings may go."""
    try:
        for recording in found:
            if recording.state not in GONE:
                check_hold(recording)
                if with_objects:
                    check_arrived(recording)
        if with_objects:
            for recording in found:
                await remove_recording(recording, ledger=ledger, by=by, reason=reason)
    except (LegalHold, RecordingNotFinished) as why:
        return why
    return None


async def _move(recording: Recording, fate: ObjectFate | None, *, ledger: Ledger, by: Actor, reason: str) -> Recording:
    return await ledger.move(
        recording,
        State.DELETING,
        reason=reason,
        deed=by.deed(Action.RECORDING_DELETED, recording.account_sid, recording.sid, reason=reason),
        object_fate=fate,
        attempts=0,
        retry_spent_s=0.0,
        retry_wait_s=0.0,
        next_attempt_at=None,
        last_error_code=None,
        last_error=None,
    )
