"""Work that is looked for again and again: at once after a round that found some, else after a rest."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from callreel.errors import CallreelError

log = structlog.get_logger("callreel.worker")

AWAY_S = 15.0  # after the database could not be asked


async def keep_looking(
    look: Callable[[], Awaitable[int]], stopping: asyncio.Event, *, every_s: float, doing: str
) -> None:
    """Call `look`, which returns how much it found, until `stopping`. What it raises is written down with `doing`."""
    while not stopping.is_set():
        rest_s = every_s
        try:
            if await look():
                rest_s = 0.0
        except CallreelError as why:
            log.log(why.level, f"{doing} failed", reason=why.message)
            rest_s = AWAY_S
        except Exception:
            log.exception(f"{doing} failed unexpectedly")
            rest_s = AWAY_S
        try:
            await asyncio.wait_for(stopping.wait(), rest_s)
        except TimeoutError:
            continue
