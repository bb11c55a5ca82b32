"""What Twilio would show in its Debugger: warnings and errors with Twilio's own codes, per account."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import RowMapping, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from callreel.ledger.paging import Page, Place, make_page
from callreel.ledger.tables import alerts
from callreel.model.sid import AccountSid

_LARGEST = (1 << 63) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One thing an account should know of."""

    account_sid: AccountSid
    code: int
    level: str
    text: str
    at: datetime
    recording_sid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberedAlert:
    """An alert and its place in the account's list: `sid` counts up with time, for pages alone."""

    sid: str
    date_created: datetime
    alert: Alert


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertFilter:
    """Which alerts of an account; what is None is not asked. `before` is exclusive."""

    level: str | None = None
    code: int | None = None
    since: datetime | None = None
    before: datetime | None = None


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

    async def page(
        self, account_sid: AccountSid, wanted: AlertFilter, *, place: Place | None, size: int
    ) -> Page[NumberedAlert]:
        """One page of an account's alerts, newest first."""
        c = alerts.c
        query = select(alerts).where(c.account_sid == account_sid)
        for column, value in ((c.level, wanted.level), (c.code, wanted.code)):
            if value is not None:
                query = query.where(column == value)
        if wanted.since is not None:
            query = query.where(c.at >= wanted.since)
        if wanted.before is not None:
            query = query.where(c.at < wanted.before)
        if place is not None:
            number = min(int(place.sid[2:], 16), _LARGEST)
            query = query.where(c.id > number if place.backward else c.id < number)
        backward = place is not None and place.backward
        query = query.order_by(c.id if backward else c.id.desc()).limit(size + 1)
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query)).mappings().all()
        found = [NumberedAlert(sid=f"AL{row['id']:032x}", date_created=row["at"], alert=_alert(row)) for row in rows]
        return make_page(found, place=place, size=size)

    async def list(
        self, account_sid: AccountSid, *, recording_sid: str | None = None, limit: int = 100
    ) -> Sequence[Alert]:
        """An account's alerts, newest first; those of one recording when it is named."""
        query = select(alerts).where(alerts.c.account_sid == account_sid).order_by(alerts.c.id.desc()).limit(limit)
        if recording_sid is not None:
            query = query.where(alerts.c.recording_sid == recording_sid)
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return [_alert(row) for row in rows]


def _alert(row: RowMapping) -> Alert:
    return Alert(**{name: row[name] for name in ("account_sid", "recording_sid", "code", "level", "text", "at")})
