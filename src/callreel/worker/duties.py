"""The clockwork: what is done at start and every so often, job or no job."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from callreel.errors import CallreelError
from callreel.ledger.deletions import DELETE_MANY, RECEIPT
from callreel.ledger.jobs import JobRow, live_subjects, release_jobs, route_of
from callreel.migration.remind_moves import remind_moves
from callreel.model.deed import CALLREEL, Action
from callreel.parts import Parts
from callreel.steps.close_account import destroy_keys_of_closed
from callreel.steps.expire import expire
from callreel.steps.forget_renditions import forget_renditions
from callreel.steps.keep_time import keep_time
from callreel.steps.purge import purge
from callreel.steps.reconcile_restored import reconcile_restored
from callreel.steps.recover import Recovered, Recovery, foresee, recover
from callreel.steps.sweep import sweep
from callreel.worker.moving import MOVING_STEPS
from callreel.worker.routes import SPOOL_STEPS

log = structlog.get_logger("callreel.duties")

EVERY_S = 600.0  # recovery and reconciliation run at start and every ten minutes
SWEEP_EVERY_S = 3600.0


async def recover_at_start(parts: Parts) -> Recovered:
    """What a crash left behind, before the first job is taken. The spool is ours alone by now."""
    if parts.spool.is_restored:
        await _reconcile(parts)
    async with parts.ledger.engine.begin() as transaction:
        await release_jobs(transaction, _routes(parts))
    return await _recover(parts, is_start=True)


async def _reconcile(parts: Parts) -> None:
    """The database came from a backup: first of all compare it with what there is."""
    found = await reconcile_restored(ledger=parts.ledger, spool=parts.spool, buckets=parts.buckets, clock=parts.clock)
    log.warning(
        "a restored database was compared with spool and storage",
        adopted=found.adopted[:20],
        without_media=found.without_media[:20],
        quarantined=found.quarantined[:20],
        unknown_objects=found.unknown_objects[:20],
    )
    told: dict[str, Any] = {
        "adopted": len(found.adopted),
        "without_media": len(found.without_media),
        "quarantined": len(found.quarantined),
        "unknown_objects": len(found.unknown_objects),
    }
    await parts.ledger.audit.write(CALLREEL.deed(Action.BACKUP_RESTORED, None, None, **told))
    await asyncio.to_thread(parts.spool.forget_restored)


async def foresee_recovery(parts: Parts) -> tuple[Recovered, bool]:
    """What `recover_at_start` would do now, and whether a worker has the spool: then what it holds is left to it."""
    is_worked_on = await asyncio.to_thread(parts.spool.is_worked_on)
    return await foresee(_recovery(parts, is_start=not is_worked_on)), is_worked_on


async def keep_watch(parts: Parts, stopping: asyncio.Event) -> None:
    """Recover and reconcile every ten minutes until told to stop; expire and purge while the clock is trusted."""

    async def watch() -> None:
        trust = await keep_time(parts.spool.host_id, ledger=parts.ledger, clock=parts.clock)
        await _recover(parts, is_start=False)
        if trust.is_whole:
            await expire(ledger=parts.ledger, clock=parts.clock)
            await purge(ledger=parts.ledger, clock=parts.clock)
            await parts.ledger.deletions.drop_drafts(parts.clock.now())
        await destroy_keys_of_closed(ledger=parts.ledger, keys=parts.keys, clock=parts.clock)

    await _once(lambda: keep_time(parts.spool.host_id, ledger=parts.ledger, clock=parts.clock))
    await _every_so_often(watch, stopping)


async def keep_buckets_clean(parts: Parts, stopping: asyncio.Event) -> None:
    """Sweep at start and every hour until told to stop. On its own, since a bucket may not answer for long."""

    async def look() -> None:
        swept = await sweep(ledger=parts.ledger, buckets=parts.buckets, clock=parts.clock)
        if swept.aborted:
            log.info("uploads that nobody needs were aborted", total=len(swept.aborted), keys=swept.aborted[:20])
        for note in swept.notes[:20]:
            log.info("a bucket could not be swept", reason=note)

    await _once(look)
    await _every_so_often(look, stopping, every_s=SWEEP_EVERY_S)


async def keep_renditions(parts: Parts, stopping: asyncio.Event) -> None:
    """Forget the renditions of deleted recordings every ten minutes until told to stop."""

    async def look() -> None:
        await forget_renditions(recordings=parts.ledger.recordings, renditions=parts.renditions)

    await _every_so_often(look, stopping)


async def _every_so_often(
    duty: Callable[[], Awaitable[object]], stopping: asyncio.Event, *, every_s: float | None = None
) -> None:
    while not stopping.is_set():
        try:
            await asyncio.wait_for(stopping.wait(), EVERY_S if every_s is None else every_s)
        except TimeoutError:
            await _once(duty)


async def _once(duty: Callable[[], Awaitable[object]]) -> None:
    """A duty that fails is written down and done again the next time."""
    try:
        await duty()
    except CallreelError as why:
        log.log(why.level, "duty failed", reason=why.message)
    except Exception:
        log.exception("duty failed unexpectedly")


async def _recover(parts: Parts, *, is_start: bool) -> Recovered:
    await remind_of_deletions(parts)
    done = await recover(_recovery(parts, is_start=is_start))
    host_id = parts.spool.host_id
    async with parts.ledger.engine.connect() as connection:
        moving = await live_subjects(connection, [route_of(step, host_id) for step in MOVING_STEPS])
    await remind_moves(ledger=parts.ledger, host_id=host_id, live_jobs=moving)
    if done.quarantined:
        log.warning("files nobody acknowledged are in quarantine", files=done.quarantined[:20])
    if done:
        log.info(
            "recovered",
            reminded=done.reminded.total,
            brought_forward=done.brought_forward.total,
            taken_back=done.taken_back.total,
            discarded=done.discarded.total,
            quarantined=done.quarantined.total,
        )
    return done


async def remind_of_deletions(parts: Parts) -> None:
    """A deletion of many things that runs, and a receipt that is due, have a job."""
    unfinished = await parts.ledger.deletions.list_unfinished()
    async with parts.ledger.engine.connect() as connection:
        live = {route: await live_subjects(connection, [route]) for route in (DELETE_MANY, RECEIPT)}
    await parts.ledger.remind([JobRow(route, sid) for route, sid in unfinished if sid not in live[route]])


def _recovery(parts: Parts, *, is_start: bool) -> Recovery:
    return Recovery(
        ledger=parts.ledger,
        spool=parts.spool,
        clock=parts.clock,
        routes=_routes(parts),
        is_start=is_start,
        longest_wait_s=parts.chosen.patience.cap_s,
    )


def _routes(parts: Parts) -> list[str]:
    return [route_of(step, parts.spool.host_id) for step in (*SPOOL_STEPS, *MOVING_STEPS)]
