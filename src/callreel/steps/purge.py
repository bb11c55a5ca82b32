"""Forget the metadata of what was deleted long ago."""

from __future__ import annotations

from callreel.clock import Clock
from callreel.errors import Outrun
from callreel.ledger.ledger import Ledger


async def purge(*, ledger: Ledger, clock: Clock) -> int:
    """Remove every row whose retention is over and leave tombstones. Returns how many; may be repeated."""
    purged = 0
    while due := await ledger.recordings.list_due_for_purge(clock.now()):
        for recording in due:
            try:
                await ledger.purge(recording, reason="retention is over")
                purged += 1
            except Outrun:
                continue  # another worker purged it
    return purged
