"""Make up for reminders of moving that were lost: lists half read, items that are due, items nobody woke."""

from __future__ import annotations

from collections.abc import Collection

from callreel.ledger.item_intake import INVENTORY, MOVE
from callreel.ledger.jobs import JobRow, route_of
from callreel.ledger.ledger import Ledger


async def remind_moves(*, ledger: Ledger, host_id: str, live_jobs: Collection[str]) -> None:
    """Write a reminder for whatever of this host asks for one and has none. `live_jobs` are what the queue holds."""
    woken = await ledger.items.wake()
    sources = sorted({*woken, *await ledger.items.sources_with_due_items(host_id)})
    jobs = [JobRow(route_of(MOVE, host_id), sid) for sid in sources if sid not in live_jobs]
    unread = await ledger.migrations.list_unread(host_id)
    jobs += [JobRow(route_of(INVENTORY, host_id), sid) for sid in unread if sid not in live_jobs]
    if jobs:
        await ledger.remind(jobs)
