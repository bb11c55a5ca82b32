"""The clockwork: what is done at start and every so often, job or no job."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from callreel.errors import CallreelError
from callreel.ledger.deletions import DELETE_MANY, RECEIPT
from callreel.ledger.jobs import JobRow, live_subjects, release_jobs, route_of
from callreel.ledger.settings import TAKE_UP
from callreel.migration.remind_moves import remind_moves
from callreel.parts import Parts
from callreel.steps.expire import expire
from callreel.steps.forget_renditions import forget_renditions
from callreel.steps.purge import purge
from callreel.steps.reconcile_restored import reconcile_restored
from callreel.steps.recover import Recovered, recover
from callreel.worker.moving import MOVING_STEPS
from callreel.worker.routes import SPOOL_STEPS

log = structlog.get_logger("callreel.duties")

EVERY_S = 600.0  # recovery and reconciliation run at start and every ten minutes


async def recover_at_start(parts: Parts) -> Recovered:
    """What a crash left behind, before the first job is taken. The spool is ours alone by now."""
    routes = _routes(parts)
    if parts.spool.is_restored:
        await _reconcile(parts)
    async with parts.ledger.engine.begin() as transaction:
        await release_jobs(transaction, routes)
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
    await asyncio.to_thread(parts.spool.forget_restored)


async def keep_watch(parts: Parts, stopping: asyncio.Event) -> None:
    """Recover, reconcile, expire and purge every ten minutes until told to stop."""

    async def watch() -> None:
        await _recover(parts, is_start=False)
        await expire(ledger=parts.ledger, clock=parts.clock)
        await purge(ledger=parts.ledger, clock=parts.clock)
        await parts.ledger.deletions.drop_drafts(parts.clock.now())

    await _every_so_often(watch, stopping)


async def keep_renditions(parts: Parts, stopping: asyncio.Event) -> None:
    """Forget the renditions of deleted recordings every ten minutes until told to stop."""

    async def look() -> None:
        await forget_renditions(recordings=parts.ledger.recordings, renditions=parts.renditions)

    await _every_so_often(look, stopping)


async def _every_so_often(duty: Callable[[], Awaitable[None]], stopping: asyncio.Event) -> None:
    """A duty that fails is written down and done again the next time."""
    while not stopping.is_set():
        try:
            await asyncio.wait_for(stopping.wait(), EVERY_S)
        except TimeoutError:
            try:
                await duty()
            except CallreelError as why:
                log.log(why.level, "duty failed", reason=why.message)
            except Exception:
                log.exception("duty failed unexpectedly")


async def _recover(parts: Parts, *, is_start: bool) -> Recovered:
    await remind_of_deletions(parts)
    async with parts.ledger.engine.connect() as connection:
        live_jobs = await live_subjects(connection, [*_routes(parts), TAKE_UP])
        live_tellings = await live_subjects(connection, ["notify"])
    done = await recover(
        ledger=parts.ledger,
        spool=parts.spool,
        clock=parts.clock,
        live_jobs=live_jobs,
        live_tellings=live_tellings,
        is_start=is_start,
    )
    await remind_moves(ledger=parts.ledger, host_id=parts.spool.host_id, live_jobs=live_jobs)
    if done.quarantined:
        log.warning("files nobody acknowledged are in quarantine", files=done.quarantined[:20])
    if done.reminded or done.taken_back or done.discarded or done.quarantined:
        log.info(
            "recovered",
            reminded=len(done.reminded),
            taken_back=len(done.taken_back),
            discarded=len(done.discarded),
            quarantined=len(done.quarantined),
        )
    return done


async def remind_of_deletions(parts: Parts) -> None:
    """A deletion of many things that runs, and a receipt that is due, have a job."""
    unfinished = await parts.ledger.deletions.list_unfinished()
    async with parts.ledger.engine.connect() as connection:
        live = {route: await live_subjects(connection, [route]) for route in (DELETE_MANY, RECEIPT)}
    await parts.ledger.remind([JobRow(route, sid) for route, sid in unfinished if sid not in live[route]])


def _routes(parts: Parts) -> list[str]:
    return [route_of(step, parts.spool.host_id) for step in (*SPOOL_STEPS, *MOVING_STEPS)]
