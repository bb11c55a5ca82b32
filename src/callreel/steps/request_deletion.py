"""Hear that a customer wants a recording deleted."""

from __future__ import annotations

from callreel.ledger.ledger import Ledger
from callreel.model.deed import CALLREEL, Actor
from callreel.model.recording import Recording
from callreel.model.sid import AccountSid, RecordingSid
from callreel.removals import delete_recording


async def request_deletion(
    account_sid: AccountSid, sid: RecordingSid, *, ledger: Ledger, by: Actor = CALLREEL
) -> Recording:
    """Mark a completed recording as deleted; its media is removed by the job written with it.

    Raises `NotFound` for one that is unknown or already deleted, `LegalHold` for one that nobody may delete, and
    `RecordingNotFinished` for every other state: only completed recordings can be deleted.
    """
    return await delete_recording(await ledger.recordings.fetch(account_sid, sid), ledger=ledger, by=by)
