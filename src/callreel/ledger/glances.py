"""The numbers at one glance: from indexes alone, or of a bounded number of rows, and remembered for some seconds."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from callreel.clock import Clock
from callreel.ledger.migrations import FINISHED_SUM
from callreel.ledger.tables import credentials, migrations, recordings
from callreel.ledger.usage import UsageBook
from callreel.model.glance import HOURS, MOST_COUNTED, NEWEST, Glance, Standing, Stored, Trouble
from callreel.model.migration import MigrationStatus
from callreel.model.recording import State
from callreel.model.sid import AccountSid
from callreel.model.storage_settings import RecordingKind

REMEMBERED_S = 10.0
STALE_S = 60.0
_MOST_REMEMBERED = 10_000
_STUCK = (State.PARKED, State.FATAL)


class Glances:
    """Glances by account. One account is looked at once at a time, however many ask."""

    def __init__(self, engine: AsyncEngine, usage: UsageBook, clock: Clock) -> None:
        self._engine, self._usage, self._clock = engine, usage, clock
        self._known: dict[AccountSid, tuple[float, Glance]] = {}
        self._looking: dict[AccountSid, asyncio.Task[Glance]] = {}

    def known(self, account_sid: AccountSid) -> Glance | None:
        """What was seen within the last minute; None where nobody looked. Asks nobody, so any page may show it."""
        at, glance = self._known.get(account_sid, (0.0, None))
        return glance if glance is not None and self._clock.monotonic() - at <= STALE_S else None

    async def of(self, account_sid: AccountSid) -> Glance:
        """The numbers now, or of ten seconds ago at most; what is kept in all is as old as usage is."""
        at, glance = self._known.get(account_sid, (0.0, None))
        if glance is not None and self._clock.monotonic() - at <= REMEMBERED_S:
            return glance
        looking = self._looking.get(account_sid)
        if looking is None:
            looking = self._looking[account_sid] = asyncio.create_task(self._refresh(account_sid))
            looking.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(looking)

    async def drain(self) -> None:
        """Wait for looks under way."""
        await asyncio.gather(*self._looking.values(), return_exceptions=True)

    async def _refresh(self, account_sid: AccountSid) -> Glance:
        try:
            usage = await self._usage.of(account_sid)
            kept = sum(row.recordings for row in usage.rows if row.kind is RecordingKind.VOICE)
            async with self._engine.connect() as connection:
                glance = await _look(connection, account_sid, kept=kept, now=self._clock.now())
            if len(self._known) >= _MOST_REMEMBERED:
                self._known.clear()
            self._known[account_sid] = (self._clock.monotonic(), glance)
            return glance
        finally:
            del self._looking[account_sid]


async def _look(connection: AsyncConnection, account_sid: AccountSid, *, kept: int, now: datetime) -> Glance:
    hours = [(0, 0)] * HOURS
    for query in recorded_by_hour(account_sid, now):
        for row in await connection.execute(query):
            at = min(max(HOURS - 1 - int(row.ago), 0), HOURS - 1)
            hours[at] = (hours[at][0] + row.total, hours[at][1] + int(row.length or 0))
    newest = [
        Stored(row.date_created, State(row.state), row.is_external, row.verified_at, row.bucket)
        for row in await connection.execute(newest_stored(account_sid))
    ]
    waiting = (await connection.execute(unfinished_by_state(account_sid))).all()
    trouble = (await connection.execute(last_trouble(account_sid))).one_or_none()
    keys = select(func.count()).select_from(credentials).where(credentials.c.account_sid == account_sid)
    voice = [row for row in waiting if row.kind == RecordingKind.VOICE]
    return Glance(
        as_of=now,
        kept=kept,
        hours=hours,
        newest=newest,
        standings={State(row.state): Standing(row.total, row.oldest) for row in voice},
        trouble=None if trouble is None else Trouble(trouble.date_updated, trouble.last_error_code),
        stuck=sum(row.total for row in waiting if row.state in _STUCK),
        credentials=int((await connection.execute(keys)).scalar_one()),
        moving=await _moving(connection, account_sid),
    )


def recorded_by_hour(account_sid: AccountSid, now: datetime) -> tuple[Select[Any], Select[Any]]:
    """What was taken in within the last 24 hours, by the hours ago: finished ones from an index alone, and others."""
    c = recordings.c
    ago = func.floor(func.extract("epoch", literal(now) - c.date_created) / 3600).label("ago")
    sums = select(ago, func.count().label("total"), func.sum(c.duration_ms).label("length")).where(
        c.account_sid == account_sid, c.date_created > now - timedelta(hours=HOURS), c.kind == RecordingKind.VOICE
    )
    return sums.where(~c.unfinished, c.deleted_at.is_(None)).group_by(ago), sums.where(c.unfinished).group_by(ago)


def newest_stored(account_sid: AccountSid) -> Select[Any]:
    """Of the newest of the account those that are voice and were not deleted."""
    c = recordings.c
    newest = (
        select(c.date_created, c.state, c.is_external, c.verified_at, c.bucket, c.kind, c.deleted_at)
        .where(c.account_sid == account_sid)
        .order_by(c.date_created.desc(), c.sid.desc())
        .limit(NEWEST)
        .subquery()
    )
    return select(newest).where(newest.c.kind == RecordingKind.VOICE, newest.c.deleted_at.is_(None))


def unfinished_by_state(account_sid: AccountSid) -> Select[Any]:
    """The unfinished ones by kind and state, up to a number of them."""
    c = recordings.c
    some = (
        select(c.kind, c.state, c.date_created)
        .where(c.account_sid == account_sid, c.unfinished)
        .order_by(c.date_created.desc(), c.sid.desc())
        .limit(MOST_COUNTED + 1)
        .subquery()
    )
    counted = select(
        some.c.kind, some.c.state, func.count().label("total"), func.min(some.c.date_created).label("oldest")
    )
    return counted.group_by(some.c.kind, some.c.state)


def last_trouble(account_sid: AccountSid) -> Select[Any]:
    """What a bucket said last, of the newest unfinished recordings."""
    c = recordings.c
    some = (
        select(c.date_updated, c.last_error_code)
        .where(c.account_sid == account_sid, c.unfinished, c.last_error_code.is_not(None))
        .order_by(c.date_created.desc(), c.sid.desc())
        .limit(NEWEST)
        .subquery()
    )
    return select(some.c.date_updated, some.c.last_error_code).order_by(some.c.date_updated.desc()).limit(1)


async def _moving(connection: AsyncConnection, account_sid: AccountSid) -> float | None:
    """How far the account's running migration is, in percent; None where none runs."""
    c = migrations.c
    query = (
        select(c.total, FINISHED_SUM.label("finished"))
        .where(c.account_sid == account_sid, c.status == MigrationStatus.RUNNING)
        .order_by(c.date_created.desc())
        .limit(1)
    )
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        return None
    return 100 * min(1.0, row.finished / row.total) if row.total else 0.0
