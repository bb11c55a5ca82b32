"""Jobs, written in the caller's transaction. With `worker/worker.py` the only file that knows the engine, PgQueuer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import asyncpg
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment, QueryQueueBuilder
from pgqueuer.adapters.persistence.queries import Queries
from pgqueuer.domain.settings import DBSettings, Durability
from sqlalchemy import ColumnElement, LargeBinary, Text, column, func, select, table
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

# The queue itself is durable; its log is statistics, and may be lost in a crash.
ENGINE = DBSettings(durability=Durability.balanced)
_BUILDER = QueryQueueBuilder(settings=ENGINE)
_QUEUE = table(
    ENGINE.qualified.queue_table.rpartition(".")[2],
    column("entrypoint", Text),
    column("payload", LargeBinary),
    schema=ENGINE.qualified.queue_table.rpartition(".")[0] or None,
)
_ENQUEUE = _BUILDER.build_enqueue_query("raise")


@dataclass(frozen=True, slots=True)
class JobRow:
    """A reminder for a worker: a route's name, what it is about, and not before when (None: now)."""

    route: str
    subject: str
    at: datetime | None = None


def route_of(step: str, host_id: str) -> str:
    """The queue of a step that needs the spool of one host: only workers that see it are given the job."""
    return f"{step}@{host_id}"


def queries_over(connection: Any) -> Queries:
    """The engine's queries on a raw asyncpg connection."""
    return Queries(
        AsyncpgDriver(connection), qbe=QueryBuilderEnvironment(settings=ENGINE), qbq=QueryQueueBuilder(settings=ENGINE)
    )


@asynccontextmanager
async def open_queue(engine: AsyncEngine) -> AsyncIterator[Queries]:
    """The engine's queries on a connection of their own, since LISTEN needs one that stays."""
    _, arguments = engine.dialect.create_connect_args(engine.url)
    wanted = {k: v for k, v in arguments.items() if k in ("host", "port", "user", "password", "database", "ssl")}
    connection = await asyncpg.connect(
        **wanted, server_settings={"application_name": "callreel-worker", "timezone": "UTC"}
    )
    try:
        yield queries_over(connection)
    finally:
        await connection.close()


async def write_jobs(transaction: AsyncConnection, jobs: Sequence[JobRow], *, now: datetime) -> None:
    """Write reminders inside the caller's transaction: they exist if, and only if, it commits."""
    if not jobs:
        return
    await transaction.exec_driver_sql(
        _ENQUEUE,
        (
            [0] * len(jobs),
            [job.route for job in jobs],
            [job.subject.encode() for job in jobs],
            [max(job.at - now, timedelta()) if job.at else timedelta() for job in jobs],
            [None] * len(jobs),
            ["null"] * len(jobs),
        ),
    )


async def install_engine(transaction: AsyncConnection) -> None:
    """Create the engine's own tables where they are missing, or bring them up to this version."""
    raw = (await transaction.get_raw_connection()).driver_connection
    queries = queries_over(raw)
    if await queries.schema_is_installed():
        await queries.upgrade()
    else:
        await queries.install()


def has_job(routes: Sequence[str], subject: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether the queue holds a job about this subject on one of these routes, waiting or taken; for a query."""
    return (
        select(_QUEUE.c.payload)
        .where(_QUEUE.c.entrypoint.in_(routes), _QUEUE.c.payload == func.convert_to(subject, "UTF8"))
        .exists()
    )


async def live_subjects(connection: AsyncConnection, routes: Sequence[str]) -> set[str]:
    """What the queue still holds a job for, waiting or taken."""
    rows = await connection.exec_driver_sql(
        f"SELECT DISTINCT payload FROM {ENGINE.qualified.queue_table} WHERE entrypoint = ANY($1::text[])",  # noqa: S608
        (list(routes),),
    )
    return {bytes(row[0]).decode() for row in rows}


async def release_jobs(transaction: AsyncConnection, routes: Sequence[str]) -> None:
    """Give back the jobs that a worker which died had taken. Only for queues of which no worker runs."""
    await transaction.exec_driver_sql(
        f"UPDATE {ENGINE.qualified.queue_table} SET status = 'queued', queue_manager_id = NULL, slot = NULL "  # noqa: S608
        "WHERE status = 'picked' AND entrypoint = ANY($1::text[])",
        (list(routes),),
    )
