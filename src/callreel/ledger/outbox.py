"""Events owed to customers, written by the moves that owe them and struck off when the receiver took them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from callreel.clock import Clock
from callreel.ledger.jobs import JobRow, write_jobs
from callreel.ledger.tables import outbox
from callreel.model.sid import AccountSid


@dataclass(frozen=True, slots=True, kw_only=True)
class OwedEvent:
    """One event as it will be told, the same on every try. `id` is its idempotency token."""

    id: str
    account_sid: AccountSid
    recording_sid: str
    event: str
    url: str
    method: str
    parameters: tuple[tuple[str, str], ...]
    state: str
    attempts: int
    retry_spent_s: float
    next_attempt_at: datetime | None
    date_created: datetime
    date_sent: datetime | None
    last_error: str | None


class Outbox:
    """What is still to be told."""

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock

    async def list_due(self, recording_sid: str) -> Sequence[OwedEvent]:
        """The events of one recording that were not told yet, in the order they happened."""
        query = (
            select(outbox)
            .where(outbox.c.recording_sid == recording_sid, outbox.c.state == "due")
            .order_by(outbox.c.position)
        )
        return await self._read(query)

    async def list_of(self, account_sid: AccountSid, recording_sid: str) -> Sequence[OwedEvent]:
        """Every event of one recording, told or not."""
        query = (
            select(outbox)
            .where(outbox.c.recording_sid == recording_sid, outbox.c.account_sid == account_sid)
            .order_by(outbox.c.position)
        )
        return await self._read(query)

    async def mark_sent(self, event: OwedEvent) -> None:
        """The receiver took it."""
        await self._change(event, state="sent", date_sent=self._clock.now(), attempts=event.attempts + 1)

    async def mark_given_up(self, event: OwedEvent, why: str) -> None:
        """The receiver will not take it, or the window is used up."""
        await self._change(event, state="failed", last_error=why[:500], attempts=event.attempts + 1)

    async def mark_waiting(self, event: OwedEvent, why: str, *, at: datetime, spent_s: float) -> None:
        """Try again at this time; the reminder is written in the same transaction."""
        await self._remind(
            event, at, attempts=event.attempts + 1, last_error=why[:500], next_attempt_at=at, retry_spent_s=spent_s
        )

    async def put_off(self, event: OwedEvent, *, at: datetime) -> None:
        """Look at it again at this time; it was not tried."""
        await self._remind(event, at, next_attempt_at=at)

    async def _remind(self, event: OwedEvent, at: datetime, **values: object) -> None:
        # Read before the transaction begins: the engine counts from there, and a job must not come too early.
        now = self._clock.now()
        async with self._engine.begin() as transaction:
            await transaction.execute(
                update(outbox)
                .where(outbox.c.id == event.id, outbox.c.account_sid == event.account_sid, outbox.c.state == "due")
                .values(**values)
            )
            await write_jobs(transaction, [JobRow("notify", event.recording_sid, at)], now=now)

    async def _change(self, event: OwedEvent, **values: object) -> None:
        async with self._engine.begin() as transaction:
            await transaction.execute(
                update(outbox)
                .where(outbox.c.id == event.id, outbox.c.account_sid == event.account_sid, outbox.c.state == "due")
                .values(**values)
            )

    async def _read(self, query: object) -> Sequence[OwedEvent]:
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query)).mappings().all()  # type: ignore[call-overload]
        return [
            OwedEvent(
                id=row["id"],
                account_sid=row["account_sid"],
                recording_sid=row["recording_sid"],
                event=row["event"],
                url=row["url"],
                method=row["method"],
                parameters=tuple((name, value) for name, value in row["parameters"]),
                state=row["state"],
                attempts=row["attempts"],
                retry_spent_s=row["retry_spent_s"],
                next_attempt_at=row["next_attempt_at"],
                date_created=row["date_created"],
                date_sent=row["date_sent"],
                last_error=row["last_error"],
            )
            for row in rows
        ]
