"""The migration figures: the same recordings out of the same kind of source into the same server, by three movers.

callreel with its inventory, spool, proofs, intents and receipts; this project's own clients with nothing in between;
and a script of the official SDK, requests and boto3. And what a million listed recordings cost in memory.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from benchmarks.child import RUN_LIMIT_S, Measured, peak_rss_bytes, start
from benchmarks.contenders import Field
from benchmarks.delivery import shelf_of
from benchmarks.figures import Figure, Ratio
from benchmarks.source_server import SourceServer, open_source
from callreel.model.deed import OPERATOR
from callreel.model.migration import Migration, MigrationStatus
from callreel.steps.keep_source import SourceWish, add_source

LOOK_EVERY_S = 0.05
MEMORY_REACH_BYTES = 250 << 20
LISTED_SIZE_BYTES = 2_000
LIST_LIMIT_S = 3600.0

Mover = Callable[[Field, SourceServer, str], Awaitable[tuple[Measured, str]]]
"""Moves everything, and tells what it took and the prefix of the keys."""

_numbers = itertools.count()


async def move_race(
    field: Field, *, count: int, size_bytes: int, rounds: int, answers_after_s: float = 0.0
) -> dict[str, list[Measured]]:
    """What each mover took in each round; the order turns. `answers_after_s` is how far away the source is.

    After every run each recording must be deleted at the source and lie in the bucket with its size. Raises
    `RuntimeError`.
    """
    names = list(MOVERS)
    taken: dict[str, list[Measured]] = {name: [] for name in names}
    for turn in range(rounds):
        for name in [*names[turn % len(names) :], *names[: turn % len(names)]]:
            number = next(_numbers)
            async with open_source(
                count=count, size_bytes=size_bytes, seed=1000 + number, answers_after_s=answers_after_s
            ) as source:
                measured, prefix = await MOVERS[name](field, source, f"move{number}")
                await _check_and_clear(field, source, prefix, count=count, size_bytes=size_bytes)
            taken[name].append(measured)
    return taken


async def _check_and_clear(field: Field, source: SourceServer, prefix: str, *, count: int, size_bytes: int) -> None:
    deleted = (await source.state())["deleted"]
    if len(deleted) != count or len(set(deleted)) != count:
        raise RuntimeError(f"{len(deleted)} deletions at the source for {count} recordings")
    left = iter(deleted)
    async with shelf_of(field) as bucket:

        async def look() -> None:
            for sid in left:
                facts = await bucket.head(f"{prefix}/{sid}")
                if facts is None or facts.size_bytes != size_bytes:
                    raise RuntimeError(f"{sid} was deleted and is not in the bucket as it was: {facts}")
                await bucket.delete(f"{prefix}/{sid}")

        await asyncio.gather(*[look() for _ in range(field.concurrency)])


async def callreel(field: Field, source: SourceServer, prefix: str) -> tuple[Measured, str]:
    """From `migrate start` to `completed`: the worker is started on a migration that nobody has begun."""
    installation = field.installation
    await installation.deliver_to(field.server, prefix)
    migration = await _start(field, source)
    async with start("worker_process", installation.job) as worker:
        began = time.perf_counter()
        await worker.go()
        migration = await _until(field, migration, lambda now: now.status is not MigrationStatus.RUNNING, RUN_LIMIT_S)
        wall_s = time.perf_counter() - began
        await worker.stop()
        told = await worker.measured()
    if migration.status is not MigrationStatus.COMPLETED:
        raise RuntimeError(f"the migration is {migration.status}: {migration.reason}")
    return Measured(wall_s, told.cpu_s, told.peak_rss_bytes), f"{prefix}/{installation.account.sid}"


async def bare_copy(field: Field, source: SourceServer, prefix: str) -> tuple[Measured, str]:
    """`source/` and `bucket/` in memory, as many at once as the worker, and nothing written down."""
    return await _by_child("bare_copy_process", field, source, prefix)


async def sdk_script(field: Field, source: SourceServer, prefix: str) -> tuple[Measured, str]:
    """twilio + requests + boto3 in 16 threads."""
    return await _by_child("sdk_process", field, source, prefix)


MOVERS: Mapping[str, Mover] = {
    "callreel": callreel,
    "bare copy": bare_copy,
    "twilio + requests + boto3": sdk_script,
}


async def _by_child(module: str, field: Field, source: SourceServer, prefix: str) -> tuple[Measured, str]:
    job: dict[str, Any] = {
        "source": source.job,
        "url": field.server.url_of(prefix),
        "endpoint": field.server.endpoint,
        "bucket": field.server.bucket,
        "prefix": prefix,
        "key_id": field.server.key_id,
        "secret": field.server.secret,
        "concurrency": field.concurrency,
    }
    async with start(module, job) as child:
        await child.go()
        return await child.measured(), prefix


async def memory_of_listing(field: Field, *, listed: int) -> Figure:
    """The worker's peak while a list of so many is read and its recordings are moved at the same time."""
    installation = field.installation
    await installation.deliver_to(field.server, "listed")
    async with open_source(count=listed, size_bytes=LISTED_SIZE_BYTES, seed=7) as source:
        migration = await _start(field, source)
        async with start("worker_process", installation.job) as worker:
            await worker.go()
            peaks = []
            for part in range(1, 5):
                until = listed * part // 4
                migration = await _until(
                    field, migration, lambda now, until=until: now.is_listed or now.total >= until, LIST_LIMIT_S
                )
                peaks.append((migration.total, migration.moved, peak_rss_bytes(worker.pid)))
            await worker.stop()
            await worker.measured()
    if not migration.is_listed and migration.total < listed:
        raise RuntimeError(f"the migration is {migration.status}: {migration.reason}")
    ratios = [
        Ratio(
            f"peak of resident memory, MiB, {total:,} listed and {moved:,} moved",
            round(peak / (1 << 20), 1),
            f"≤ {MEMORY_REACH_BYTES >> 20}",
            peak <= MEMORY_REACH_BYTES,
        )
        for total, moved, peak in peaks
    ]
    return Figure(f"memory of the worker while {listed:,} recordings are listed and moved", listed, (), tuple(ratios))


async def _start(field: Field, source: SourceServer) -> Migration:
    parts = field.installation.parts
    added = await add_source(
        field.installation.account.sid,
        source.account_sid,
        SourceWish(auth_token=source.auth_token, poll_seconds=0),
        base_url=source.url,
        ledger=parts.ledger,
        sources=parts.sources,
        guard=parts.guard,
        clock=parts.clock,
        by=OPERATOR,
    )
    return await parts.ledger.migrations.start(
        added, host_id=parts.spool.host_id, created_after=None, created_before=None, by=OPERATOR
    )


async def _until(
    field: Field, migration: Migration, is_enough: Callable[[Migration], bool], limit_s: float
) -> Migration:
    migrations = field.installation.parts.ledger.migrations
    async with asyncio.timeout(limit_s):
        while not is_enough(migration):
            await asyncio.sleep(LOOK_EVERY_S)
            migration = await migrations.fetch(migration.account_sid, migration.sid)
    return migration
