"""Do as the account chose: what its bucket refuses for good is not kept."""

from __future__ import annotations

from callreel.clock import Clock
from callreel.errors import TimeDistrusted
from callreel.ledger.ledger import Ledger
from callreel.media_keys import DESTROYED
from callreel.model.deed import CALLREEL, Action
from callreel.model.recording import Recording, State
from callreel.model.retention import Retention
from callreel.spool.spool import Spool


async def erase(recording: Recording, *, spool: Spool, ledger: Ledger, retention: Retention, clock: Clock) -> Recording:
    """Erase a fatally failed recording under the policy `delete`.

    The row says so first: a crash in between leaves a file that recovery removes, never a row that still
    promises media which is gone. With the row goes the key, so that a copy of the file cannot be opened.
    Raises `TimeDistrusted`; recovery asks again.
    """
    if not await ledger.heartbeats.is_trusted(recording.host_id):
        raise TimeDistrusted
    now = clock.now()
    erased = await ledger.move(
        recording,
        State.ERASED,
        reason="fatal error policy: delete",
        deed=CALLREEL.deed(
            Action.RECORDING_ERASED, recording.account_sid, recording.sid, reason="fatal error policy: delete"
        ),
        deleted_at=now,
        purge_after=retention.purge_after(now, kind=recording.kind),
        **DESTROYED,
    )
    await spool.release(recording.sid, blob_sha256=recording.blob_sha256)
    return erased
