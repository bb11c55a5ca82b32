"""The clockwork behind the moves: ask sources who called whom, for what came from them, until told to stop."""

from __future__ import annotations

import asyncio

from callreel.errors import SourceUnauthorized
from callreel.migration.name_calls import name_calls
from callreel.parts import Parts
from callreel.worker.rounds import keep_looking

LOOK_EVERY_S = 2.0


async def keep_naming(parts: Parts, stopping: asyncio.Event) -> None:
    """Name the calls that are due, of every source. Several workers share them."""
    await keep_looking(lambda: name_due(parts, stopping), stopping, every_s=LOOK_EVERY_S, doing="asking for calls")


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
