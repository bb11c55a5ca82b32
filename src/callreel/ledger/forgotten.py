"""Rows that ask for a job and have none: a queue can lose a job or fail one, and the row is the truth.

Streamed from one moment of the database, so that a million rows cost no more memory than a page. Jobs are looked up in
the database too, by one join.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from sqlalchemy import and_, or_, select
from sqlalchemy.ext.asyncio import AsyncEngine

from callreel.ledger.jobs import has_job, live_subjects
from callreel.ledger.recordings import Recordings
from callreel.ledger.tables import outbox, recordings
from callreel.model.recording import Recording, State

PAGE = 500


class Forgotten:
    """What the reconciler asks the database."""

    def __init__(self, engine: AsyncEngine, recordings_of: Recordings) -> None:
        self._engine, self._recordings = engine, recordings_of

    async def recordings(
        self, host_id: str, states: frozenset[State], routes: Sequence[str], *, also: frozenset[State] = frozenset()
    ) -> AsyncIterator[Sequence[Recording]]:
        """What lies in one host's spool in these states and has a job on none of these routes, so many at a time.

        Those in a state of `also` whether they have one or not.
        """
        c = recordings.c
        asked = select(recordings).where(c.unfinished, c.host_id == host_id)
        asked = asked.where(or_(c.state.in_(also), and_(c.state.in_(states), ~has_job(routes, c.sid))))
        async for rows in self._pages(asked):
            yield await self._recordings.read_rows(rows)

    async def of_host(self, host_id: str, states: frozenset[State]) -> AsyncIterator[Recording]:
        """What lies in one host's spool in these states, one by one."""
        c = recordings.c
        query = select(recordings).where(c.unfinished, c.host_id == host_id, c.state.in_(states))
        async for rows in self._pages(query):
            for recording in await self._recordings.read_rows(rows):
                yield recording

    async def tellings(self) -> AsyncIterator[Sequence[str]]:
        """Recordings that have something to be told, and no job to tell it."""
        due = select(outbox.c.recording_sid).where(
            outbox.c.state == "due", ~has_job(["notify"], outbox.c.recording_sid)
        )
        async for rows in self._pages(due.distinct()):
            yield [row.recording_sid for row in rows]

    async def without_job(self, routes: Sequence[str], subjects: Sequence[str]) -> Sequence[str]:
        """Those of these subjects that have a job on none of these routes."""
        if not subjects:
            return []
        async with self._engine.connect() as connection:
            live = await live_subjects(connection, routes)
        return [subject for subject in subjects if subject not in live]

    async def _pages(self, query: Any) -> AsyncIterator[Sequence[Any]]:
        async with self._engine.begin() as transaction:
            found = await transaction.stream(query, execution_options={"yield_per": PAGE})
            async for rows in found.partitions():
                yield rows
