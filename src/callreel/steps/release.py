"""Give the disk back."""

from __future__ import annotations

from callreel.failpoints import reach
from callreel.ledger.ledger import Ledger
from callreel.media_keys import DESTROYED
from callreel.model.recording import Recording, State
from callreel.spool.spool import Spool


async def release(recording: Recording, *, spool: Spool, ledger: Ledger) -> Recording:
    """Give the disk back. The bucket has proved it holds the blob."""
    reach("C13")
    await spool.release(recording.sid, blob_sha256=recording.blob_sha256)
    reach("C14")
    gone = DESTROYED if recording.is_external else {}  # the customer's bucket has the media; ours is not kept
    return await ledger.move(recording, State.RELEASED, next_attempt_at=None, **gone)
