"""Take a file out of quarantine, on a person's word."""

from __future__ import annotations

import asyncio

from callreel.clock import Clock
from callreel.ledger.ledger import Ledger
from callreel.model.deed import Action, Actor
from callreel.spool.spool import Spool
from callreel.spool.survey import remove_from_quarantine


async def clear_quarantine(name: str, reason: str, *, spool: Spool, ledger: Ledger, clock: Clock, by: Actor) -> None:
    """Say who takes the file away and why; then remove it. Raises `NotFound` for a name that is not on the list.

    A crash in between leaves a file that the next recovery lists again.
    """
    deed = by.deed(Action.QUARANTINE_REMOVED, None, None, name=name, host_id=spool.host_id, reason=reason)
    await ledger.quarantine.mark_removed(spool.host_id, name, reason=reason, deed=deed, now=clock.now())
    await asyncio.to_thread(remove_from_quarantine, spool, name)
