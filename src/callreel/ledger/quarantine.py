"""What lies in quarantine, by the spool it lies in: no file leaves without a row that says why."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncEngine

from callreel.errors import NotFound
from callreel.ledger.audit import write_deeds
from callreel.ledger.examination import Quarantined
from callreel.ledger.tables import quarantine
from callreel.model.deed import Deed

REMOVING = timedelta(hours=1)  # between saying that a file goes and its going lies no more than this


class Quarantine:
    """The list of files nobody can explain."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def keep(self, host_id: str, files: Sequence[tuple[str, int]], *, now: datetime) -> None:
        """Write down files that lie in quarantine, by name and size in bytes. What is known stays."""
        if not files:
            return
        known = upsert(quarantine)
        known = known.on_conflict_do_update(
            index_elements=["host_id", "name"],
            set_={"date_removed": None, "reason": None},
            where=quarantine.c.date_removed < now - REMOVING,  # it was to go, and is there still
        )
        rows = [{"host_id": host_id, "name": name, "size_bytes": size, "date_created": now} for name, size in files]
        async with self._engine.begin() as transaction:
            await transaction.execute(known.values(rows))

    async def list(self, host_id: str, *, after: str = "", limit: int = 500) -> Sequence[Quarantined]:
        """Files that lie there still, by name."""
        q = quarantine.c
        query = (
            select(q.name, q.size_bytes, q.date_created, q.date_removed, q.reason)
            .where(q.host_id == host_id, q.date_removed.is_(None), q.name > after)
            .order_by(q.name)
            .limit(limit)
        )
        async with self._engine.connect() as connection:
            return [Quarantined(**row) for row in (await connection.execute(query)).mappings()]

    async def mark_removed(self, host_id: str, name: str, *, reason: str, deed: Deed, now: datetime) -> None:
        """Say that a person takes a file away, and why, with the deed, before it goes. Raises `NotFound`."""
        q = quarantine.c
        statement = (
            update(quarantine)
            .where(q.host_id == host_id, q.name == name, q.date_removed.is_(None))
            .values(date_removed=now, reason=reason)
        )
        async with self._engine.begin() as transaction:
            if not (await transaction.execute(statement)).rowcount:
                raise NotFound(f"There is no {name} in quarantine")
            await write_deeds(transaction, [deed], now=now)
