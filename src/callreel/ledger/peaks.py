"""Peaks of recordings. They derive from what was said, so they lie sealed, and go with the media."""

from __future__ import annotations

import asyncio
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncEngine

from callreel.ledger.tables import peaks, recordings
from callreel.model.sid import AccountSid, RecordingSid

AT_ONCE = 2  # are drawn in one process: each may read an hour of audio


class PeakShelf:
    """What waveforms are drawn from. Losing a row costs a little work, never a recording."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self.turn = asyncio.Semaphore(AT_ONCE)

    async def find(self, account_sid: AccountSid, sid: RecordingSid) -> bytes | None:
        """The sealed peaks of a recording of this account, or None when they were not made yet."""
        query = (
            select(peaks.c.peaks_sealed)
            .join(recordings, recordings.c.sid == peaks.c.recording_sid)
            .where(peaks.c.recording_sid == sid, recordings.c.account_sid == account_sid)
        )
        async with self._engine.connect() as connection:
            found = (await connection.execute(query)).scalar_one_or_none()
        return None if found is None else bytes(found)

    async def keep(self, sid: RecordingSid, peaks_sealed: bytes, *, now: datetime) -> None:
        """Keep them, unless somebody else did meanwhile."""
        statement = upsert(peaks).values(recording_sid=sid, peaks_sealed=peaks_sealed, date_created=now)
        async with self._engine.begin() as transaction:
            await transaction.execute(statement.on_conflict_do_nothing())

    async def forget(self, sid: RecordingSid) -> None:
        """Remove them: the media goes, and what derives from it goes with it."""
        async with self._engine.begin() as transaction:
            await transaction.execute(delete(peaks).where(peaks.c.recording_sid == sid))
