"""What an account keeps, summed up: one walk over an index, remembered for a minute."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Integer, Select, case, cast, func, literal, not_, select
from sqlalchemy.ext.asyncio import AsyncEngine

from callreel.clock import Clock
from callreel.ledger.settings import SettingsBook
from callreel.ledger.tables import recordings
from callreel.model.recording import State
from callreel.model.sid import AccountSid
from callreel.model.storage_settings import RecordingKind
from callreel.model.usage import AGES_DAYS, Usage, UsageRow

REMEMBERED_S = 60.0
WAIT_S = 0.3  # for new sums, when there are old ones
_MOST_REMEMBERED = 10_000


class UsageBook:
    """Sums by account. One account is summed up once at a time, however many ask."""

    def __init__(self, engine: AsyncEngine, settings: SettingsBook, clock: Clock) -> None:
        self._engine, self._settings, self._clock = engine, settings, clock
        self._known: dict[AccountSid, tuple[float, Usage]] = {}
        self._summing: dict[AccountSid, asyncio.Task[Usage]] = {}

    async def of(self, account_sid: AccountSid) -> Usage:
        """What an account keeps; `as_of` says when it was so.

        Sums a minute old are taken anew. Where that takes longer than a page should, the ones of before are given, and
        the new ones to whoever asks next; only the first to ask waits for as long as it takes.
        """
        at, usage = self._known.get(account_sid, (0.0, None))
        if usage is not None and self._clock.monotonic() - at <= REMEMBERED_S:
            return usage
        summing_up = self._summing.get(account_sid)
        if summing_up is None:
            summing_up = self._summing[account_sid] = asyncio.create_task(self._refresh(account_sid))
            summing_up.add_done_callback(lambda task: task.cancelled() or task.exception())  # seen, if by nobody else
        if usage is None:
            return await asyncio.shield(summing_up)
        done, _ = await asyncio.wait({summing_up}, timeout=WAIT_S)
        return summing_up.result() if done else usage

    async def _refresh(self, account_sid: AccountSid) -> Usage:
        try:
            usage = await self._sum_up(account_sid)
            if len(self._known) >= _MOST_REMEMBERED:
                self._known.clear()
            self._known[account_sid] = (self._clock.monotonic(), usage)
            return usage
        finally:
            del self._summing[account_sid]

    async def drain(self) -> None:
        """Wait for sums under way."""
        await asyncio.gather(*self._summing.values(), return_exceptions=True)

    async def _sum_up(self, account_sid: AccountSid) -> Usage:
        now = self._clock.now()
        async with self._engine.connect() as connection:
            rows = [row for query in summing(account_sid, now) for row in await connection.execute(query)]
        settings = await self._settings.read_all(row.settings_id for row in rows)
        found: dict[tuple[str, bool, str, int], UsageRow] = {}
        for row in rows:
            chosen = settings[row.settings_id]
            storage_class = (chosen.storage_class or "STANDARD") if chosen.aws_storage_enabled else ""
            key = (row.kind, chosen.aws_storage_enabled, storage_class, row.age)
            before = found.get(key)
            found[key] = UsageRow(
                kind=RecordingKind(row.kind),
                is_external=chosen.aws_storage_enabled,
                storage_class=storage_class,
                age=row.age,
                recordings=row.recordings + (before.recordings if before else 0),
                duration_ms=int(row.duration_ms) + (before.duration_ms if before else 0),
                size_bytes=int(row.size_bytes) + (before.size_bytes if before else 0),
            )
        return Usage(as_of=now, rows=_in_order(found))


def summing(account_sid: AccountSid, now: datetime) -> Sequence[Select[Any]]:
    """The two queries: what is finished, from an index alone, and what was delivered and is not released yet.

    Where a recording lies follows from the settings it was sealed under, whose number never changes on its way;
    `is_external` does, and would make every seal rewrite the index.
    """
    c = recordings.c
    age = _age(c.date_created, now).label("age")
    sums = select(
        c.kind,
        c.settings_id,
        age,
        func.count().label("recordings"),
        func.sum(c.duration_ms).label("duration_ms"),
        func.sum(c.media_size_bytes).label("size_bytes"),
    ).where(c.account_sid == account_sid)
    finished = sums.where(not_(c.unfinished), c.deleted_at.is_(None), c.media_size_bytes > 0)
    delivered = sums.where(c.unfinished, c.state == State.DELIVERED)
    return [query.group_by(c.kind, c.settings_id, age) for query in (finished, delivered)]


def _age(created: ColumnElement[Any], now: datetime) -> ColumnElement[int]:
    """Which of the age groups a recording is in: 0 is the youngest."""
    older = [(created > literal(now - timedelta(days=days)), number) for number, days in enumerate(AGES_DAYS)]
    return cast(case(*older, else_=len(AGES_DAYS)), Integer)


def _in_order(found: dict[tuple[str, bool, str, int], UsageRow]) -> Sequence[UsageRow]:
    return [found[key] for key in sorted(found)]
