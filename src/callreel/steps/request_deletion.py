"""Hear that a customer wants a recording deleted."""

from __future__ import annotations

from callreel.errors import NotFound, Outrun, RecordingNotFinished
from callreel.ledger.ledger import Ledger
from callreel.model.deed import CALLREEL, Action, Actor
from callreel.model.recording import COMPLETED, Recording, State
from callreel.model.sid import AccountSid, RecordingSid

_GONE = (State.DELETING, State.DELETED)


async def request_deletion(
    account_sid: AccountSid, sid: RecordingSid, *, ledger: Ledger, by: Actor = CALLREEL
) -> Recording:
    """Mark a completed recording as deleted; its media is removed by the job written with it.

    Raises `NotFound` for one that is unknown or already deleted, and `RecordingNotFinished` for every other
    state: only completed recordings can be deleted.
    """
    deed = by.deed(Action.RECORDING_DELETED, account_sid, sid)
    recording = await ledger.recordings.fetch(account_sid, sid)
    while True:
        if recording.state in _GONE:
            raise NotFound()
        if recording.state not in COMPLETED:
            raise RecordingNotFinished()
        try:
            return await ledger.move(recording, State.DELETING, reason="the customer asked for it", deed=deed)
        except Outrun:  # released meanwhile: look again
            recording = await ledger.recordings.fetch(account_sid, sid)
