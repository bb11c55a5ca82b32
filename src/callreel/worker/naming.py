"""The clockwork behind the moves: ask sources who called whom, for what came from them, until told to stop."""

from __future__ import annotations

import asyncio

import structlog

from callreel.errors import CallreelError, SourceUnauthorized
from callreel.migration.name_calls import name_calls
from callreel.parts import Parts

log = structlog.get_logger("callreel.worker")

LOOK_EVERY_S = 2.0
AWAY_S = 15.0  # after the database could not be asked


async def keep_naming(parts: Parts, stopping: asyncio.Event) -> None:
    """Name the calls that are due, of every source. Several workers share them."""
    while not stopping.is_set():
        rest_s = LOOK_EVERY_S
        try:
            if await name_due(parts, stopping):
                rest_s = 0.0
        except CallreelError as why:
            log.log(why.level, "calls could not be asked for", reason=why.message)
            rest_s = AWAY_S
        except Exception:
            log.exception("asking for calls failed unexpectedly")
            rest_s = AWAY_S
        try:
            await asyncio.wait_for(stopping.wait(), rest_s)
        except TimeoutError:
            continue


async def name_due(parts: Parts, stopping: asyncio.Event) -> int:
    """One round for each source with calls that are due. Returns how many calls were taken up."""
    found = await parts.ledger.calls.sources_to_ask()
    return sum(await asyncio.gather(*(_name_of(sid, parts, stopping) for sid in found)))


async def _name_of(source_sid: str, parts: Parts, stopping: asyncio.Event) -> int:
    source = await parts.ledger.sources.find_for_work(source_sid)
    if source is None:
        return 0
    try:
        client = await parts.sources.open(source)
    except SourceUnauthorized:  # it was removed meanwhile
        return 0
    return await name_calls(source, client=client, logs=parts.logs, clock=parts.clock, is_stopping=stopping.is_set)
