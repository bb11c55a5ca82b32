"""What Twilio would show in its Debugger: warnings and errors with Twilio's own codes, per account."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from callreel.ledger.tables import alerts
from callreel.model.sid import AccountSid


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One thing an account should know of."""

    account_sid: AccountSid
    code: int
    level: str
    text: str
    at: datetime
    recording_sid: str | None = None


async def write_alerts(transaction: AsyncConnection, raised: Sequence[Alert]) -> None:
    """Write alerts down inside the caller's transaction."""
    if raised:
        await transaction.execute(insert(alerts), [asdict(a) | {"text": a.text[:1000]} for a in raised])


class Alerts:
    """The accounts' event lists."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def raise_alert(self, alert: Alert) -> None:
        """Write an alert down."""
        async with self._engine.begin() as transaction:
            await write_alerts(transaction, [alert])

    async def list(
        self, account_sid: AccountSid, *, recording_sid: str | None = None, limit: int = 100
    ) -> Sequence[Alert]:
        """An account's alerts, newest first; those of one recording when it is named."""
        query = select(alerts).where(alerts.c.account_sid == account_sid).order_by(alerts.c.id.desc()).limit(limit)
        if recording_sid is not None:
            query = query.where(alerts.c.recording_sid == recording_sid)
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return [
            Alert(
                account_sid=row["account_sid"],
                recording_sid=row["recording_sid"],
                code=row["code"],
                level=row["level"],
                text=row["text"],
                at=row["at"],
            )
            for row in rows
        ]
