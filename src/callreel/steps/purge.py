"""Forget the metadata of what was deleted long ago."""

from __future__ import annotations

from datetime import timedelta

from callreel.clock import Clock
from callreel.errors import Outrun
from callreel.ledger.ledger import Ledger

KEYS_KEPT = timedelta(days=7)  # a client that repeats a request after a week means another one


async def purge(*, ledger: Ledger, clock: Clock) -> int:
    """Remove every row whose retention is over and leave tombstones. Returns how many; may be repeated.

    Idempotency keys go after a week.
    """
    await ledger.forget_idempotency_keys(before=clock.now() - KEYS_KEPT)
    purged = 0
    while due := await ledger.recordings.list_due_for_purge(clock.now()):
        for recording in due:
            try:
                await ledger.purge(recording, reason="retention is over")
                purged += 1
            except Outrun:
                continue  # another worker purged it
    return purged
