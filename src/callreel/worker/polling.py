"""The poller's clockwork: whose turn it is, a few at a time, until told to stop."""

from __future__ import annotations

import asyncio

import structlog

from callreel.errors import CallreelError
from callreel.migration.poll import poll
from callreel.model.source import Source
from callreel.parts import Parts

log = structlog.get_logger("callreel.worker")

LOOK_EVERY_S = 1.0
AWAY_S = 15.0  # after the database could not be asked


async def keep_polling(parts: Parts, stopping: asyncio.Event) -> None:
    """Poll every source when its turn comes. Several workers share the turns."""
    while not stopping.is_set():
        rest_s = LOOK_EVERY_S
        try:
            if await poll_due(parts):
                rest_s = 0.0
        except CallreelError as why:
            log.log(why.level, "polling failed", reason=why.message)
            rest_s = AWAY_S
        except Exception:
            log.exception("polling failed unexpectedly")
            rest_s = AWAY_S
        try:
            await asyncio.wait_for(stopping.wait(), rest_s)
        except TimeoutError:
            continue


async def poll_due(parts: Parts) -> int:
    """Poll the sources whose turn it is now. Returns how many."""
    due = await parts.ledger.sources.claim_due(now=parts.clock.now())
    await asyncio.gather(*(_poll_one(source, parts) for source in due))
    return len(due)


async def _poll_one(source: Source, parts: Parts) -> None:
    new = await poll(source, ledger=parts.ledger, sources=parts.sources, spool=parts.spool, clock=parts.clock)
    if new:
        log.info("new recordings at a source", source=source.sid, new=new)
