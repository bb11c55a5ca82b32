"""The heartbeats of workers: what their clocks said last, and whether they are trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncEngine

from callreel.ledger.audit import write_deeds
from callreel.ledger.tables import heartbeats
from callreel.model.deed import Deed
from callreel.model.time_trust import WHOLE, Beat, Trust, weigh_time


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """A worker's last heartbeat, by the spool it works on."""

    host_id: str
    beat: Beat
    trust: Trust


class Heartbeats:
    """One row for each spool that has a worker."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def beat(self, host_id: str, now: Beat) -> Trust:
        """Write a heartbeat down, and return what to think of the wall clock."""
        h = heartbeats.c
        async with self._engine.begin() as transaction:
            row = (
                await transaction.execute(select(heartbeats).where(h.host_id == host_id).with_for_update())
            ).one_or_none()
            last = None if row is None else Beat(row.boot_id, row.wall, row.monotonic_s)
            before = WHOLE if row is None else Trust(row.distrusted_since, row.distrusted_why, row.sane_s)
            trust = weigh_time(last, before, now)
            facts = {
                "boot_id": now.boot_id,
                "wall": now.wall,
                "monotonic_s": now.monotonic_s,
                "distrusted_since": trust.lost_at,
                "distrusted_why": trust.why,
                "sane_s": trust.sane_s,
            }
            statement = upsert(heartbeats).values(host_id=host_id, **facts)
            await transaction.execute(statement.on_conflict_do_update(index_elements=["host_id"], set_=facts))
        return trust

    async def is_trusted(self, host_id: str) -> bool:
        """Whether this worker's wall clock is trusted; also before its first heartbeat."""
        query = select(heartbeats.c.distrusted_since).where(heartbeats.c.host_id == host_id)
        async with self._engine.connect() as connection:
            return (await connection.execute(query)).scalar_one_or_none() is None

    async def list(self) -> Sequence[Heartbeat]:
        """Every worker's last heartbeat."""
        async with self._engine.connect() as connection:
            rows = (await connection.execute(select(heartbeats).order_by(heartbeats.c.host_id))).all()
        return [
            Heartbeat(
                host_id=row.host_id,
                beat=Beat(row.boot_id, row.wall, row.monotonic_s),
                trust=Trust(row.distrusted_since, row.distrusted_why, row.sane_s),
            )
            for row in rows
        ]

    async def confirm(self, deed: Deed, *, now: datetime) -> int:
        """A person says that the clocks are right. Returns how many were distrusted; the deed is written if any was."""
        async with self._engine.begin() as transaction:
            trusted = await transaction.execute(
                update(heartbeats)
                .where(heartbeats.c.distrusted_since.is_not(None))
                .values(distrusted_since=None, distrusted_why=None, sane_s=0)
            )
            if trusted.rowcount:
                await write_deeds(transaction, [deed], now=now)
        return trusted.rowcount
