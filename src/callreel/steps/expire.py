"""Delete the recordings whose retention class says that their time is over."""

from __future__ import annotations

from collections.abc import Sequence

from callreel.clock import Clock
from callreel.errors import LegalHold, NotFound, RecordingNotFinished
from callreel.ledger.ledger import Ledger
from callreel.model.deed import CALLREEL
from callreel.model.retention_class import RetentionClass
from callreel.model.sid import AccountSid, RecordingSid
from callreel.removals import delete_recording

REASON = "its retention class says that its time is over"


async def expire(*, ledger: Ledger, clock: Clock) -> int:
    """Move every recording that is over to DELETING, whose job does the rest. Returns how many; may be repeated."""
    expired = 0
    for account_sid in await ledger.retention_classes.accounts_that_delete():
        classes = await ledger.retention_classes.of_account(account_sid)
        while over := await ledger.retention_classes.list_over(account_sid, classes, now=clock.now()):
            gone = [sid for sid in over if await _expire(account_sid, sid, classes, ledger)]
            expired += len(gone)
            if not gone:  # all of them changed meanwhile: the next round looks again
                break
    return expired


async def _expire(
    account_sid: AccountSid, sid: RecordingSid, classes: Sequence[RetentionClass], ledger: Ledger
) -> bool:
    try:
        recording = await ledger.recordings.fetch(account_sid, sid)
        await delete_recording(recording, ledger=ledger, by=CALLREEL, reason=REASON)
    except (LegalHold, NotFound, RecordingNotFinished):
        return False
    return True
