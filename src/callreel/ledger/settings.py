"""Recording settings: append-only versions, so that a recording can name the one it was made under."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncEngine

from callreel.ledger.jobs import JobRow, write_jobs
from callreel.ledger.tables import settings_versions
from callreel.model.sid import AccountSid
from callreel.model.storage_settings import RecordingKind, StorageSettings

TAKE_UP = "take-up"
"""The job of an account whose video settings changed: what was held is tried again under the new ones."""

_REMEMBERED = 4096


class SettingsBook:
    """Every version ever saved. A version never changes, so those that were read are remembered."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._versions: dict[int, StorageSettings] = {}

    async def current(self, account_sid: AccountSid, kind: RecordingKind) -> tuple[int | None, StorageSettings]:
        """The newest version and its number; the defaults, and no number, before the first was saved."""
        query = (
            select(settings_versions.c.id, settings_versions.c.settings)
            .where(settings_versions.c.account_sid == account_sid, settings_versions.c.kind == kind)
            .order_by(settings_versions.c.id.desc())
            .limit(1)
        )
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            return None, StorageSettings()
        return row.id, self._remember(row.id, StorageSettings.from_json(row.settings))

    async def version(self, number: int | None) -> StorageSettings:
        """The settings of one version; the defaults for none."""
        if number is None:
            return StorageSettings()
        if number in self._versions:
            return self._versions[number]
        query = select(settings_versions.c.settings).where(settings_versions.c.id == number)
        async with self._engine.connect() as connection:
            return self._remember(number, StorageSettings.from_json((await connection.execute(query)).scalar_one()))

    async def keep(
        self, account_sid: AccountSid, kind: RecordingKind, settings: StorageSettings, *, now: datetime
    ) -> int:
        """Save a new version, which holds for recordings made from now on. Returns its number.

        Video settings also ask, in the same transaction, that what was held under the old ones is taken up again.
        """
        settings = settings.fit_for(kind)
        statement = (
            insert(settings_versions)
            .values(account_sid=account_sid, kind=kind, settings=settings.as_json(), date_created=now)
            .returning(settings_versions.c.id)
        )
        async with self._engine.begin() as transaction:
            number: int = (await transaction.execute(statement)).scalar_one()
            if kind is RecordingKind.VIDEO:
                await write_jobs(transaction, [JobRow(TAKE_UP, account_sid)], now=now)
        self._remember(number, settings)
        return number

    def _remember(self, number: int, settings: StorageSettings) -> StorageSettings:
        if len(self._versions) >= _REMEMBERED:
            self._versions.clear()
        self._versions[number] = settings
        return settings
