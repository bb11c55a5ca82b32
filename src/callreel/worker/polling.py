"""The poller's clockwork: whose turn it is, a few at a time, until told to stop."""

from __future__ import annotations

import asyncio

import structlog

from callreel.migration.poll import poll
from callreel.model.source import Source
from callreel.parts import Parts
from callreel.worker.rounds import keep_looking

log = structlog.get_logger("callreel.worker")

LOOK_EVERY_S = 1.0


async def keep_polling(parts: Parts, stopping: asyncio.Event) -> None:
    """Poll every source when its turn comes. Several workers share the turns."""
    await keep_looking(lambda: poll_due(parts), stopping, every_s=LOOK_EVERY_S, doing="polling")


async def poll_due(parts: Parts) -> int:
    """Poll the sources whose turn it is now. Returns how many."""
    due = await parts.ledger.sources.claim_due(now=parts.clock.now())
    await asyncio.gather(*(_poll_one(source, parts) for source in due))
    return len(due)


async def _poll_one(source: Source, parts: Parts) -> None:
    new = await poll(source, ledger=parts.ledger, sources=parts.sources, spool=parts.spool, clock=parts.clock)
    if new:
        log.info("new recordings at a source", source=source.sid, new=new)
