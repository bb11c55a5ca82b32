"""A worker's shift: recover, take jobs, and begin again when the database was away. Ends when it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from callreel.errors import CallreelError
from callreel.parts import Parts
from callreel.worker.duties import keep_buckets_clean, keep_watch, recover_at_start
from callreel.worker.naming import keep_naming
from callreel.worker.polling import keep_polling
from callreel.worker.worker import Worker

log = structlog.get_logger("callreel.worker")

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 15.0
GOOD_RUN_S = 60.0  # after this long at work the next pause is a short one again
FINISH_S = 30.0  # what a job under way may still take after `stop`; then its lease is given up


async def work(parts: Parts, stopping: asyncio.Event, *, mend: Callable[[], Awaitable[None]]) -> None:
    """Work until `stopping` is set. The spool must be locked for us.

    When the queue is lost, `mend` may bring the database back, and the worker starts over with recovery: by then
    no job of ours runs.
    """
    pause_s = FIRST_PAUSE_S
    keepers = (keep_watch, keep_buckets_clean, keep_polling, keep_naming)
    watches = [asyncio.create_task(keep(parts, stopping)) for keep in keepers]
    try:
        while not stopping.is_set():
            began = parts.clock.monotonic()
            try:
                await _once(parts, stopping)
            except Exception as why:
                log.error("the worker lost its queue", error=type(why).__name__, again_in_s=pause_s, exc_info=True)
                if parts.clock.monotonic() - began > GOOD_RUN_S:
                    pause_s = FIRST_PAUSE_S
                await _wait(stopping, pause_s)
                pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)
                await _mend(mend, stopping)
    finally:
        for watch in watches:
            watch.cancel()
        await asyncio.gather(*watches, return_exceptions=True)


async def _once(parts: Parts, stopping: asyncio.Event) -> None:
    await recover_at_start(parts)
    worker = Worker(parts)
    running = asyncio.create_task(worker.run())
    told = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait({running, told}, return_when=asyncio.FIRST_COMPLETED)
        worker.stop()
        await asyncio.wait({running}, timeout=FINISH_S)
        if running.done():
            running.result()
        else:
            log.warning("jobs under way were given up; the next start takes them back", after_s=FINISH_S)
    finally:
        told.cancel()
        running.cancel()
        await asyncio.gather(told, running, return_exceptions=True)


async def _mend(mend: Callable[[], Awaitable[None]], stopping: asyncio.Event) -> None:
    if stopping.is_set():
        return
    try:
        await mend()
    except CallreelError as why:
        log.log(why.level, "the database could not be brought back", reason=why.message)


async def _wait(stopping: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stopping.wait(), seconds)
    except TimeoutError:
        return
