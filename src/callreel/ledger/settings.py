"""Recording settings: append-only versions, so that a recording can name the one it was made under."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import ARRAY, Column, Text, bindparam, func, insert, select, true
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from callreel.ledger.audit import write_deeds
from callreel.ledger.group_read import GroupRead
from callreel.ledger.jobs import JobRow, write_jobs
from callreel.ledger.tables import settings_versions
from callreel.model.deed import Deed
from callreel.model.sid import AccountSid
from callreel.model.storage_settings import RecordingKind, StorageSettings

TAKE_UP = "take-up"
"""The job of an account whose video settings changed: what was held is tried again under the new ones."""

_REMEMBERED = 4096
_HAS_BUCKET = settings_versions.c.settings["aws_storage_enabled"].astext == "true"


class SettingsBook:
    """Every version ever saved. A version never changes, so those that were read are remembered."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._versions: dict[int, StorageSettings] = {}
        self._newest: GroupRead[tuple[str, str], int] = GroupRead(engine, _newest_numbers)

    async def current(self, account_sid: AccountSid, kind: RecordingKind) -> tuple[int | None, StorageSettings]:
        """The newest version and its number; the defaults, and no number, before the first was saved."""
        number = await self._newest.find((account_sid, kind))
        return number, await self.version(number)

    async def read_all(self, numbers: Iterable[int | None]) -> Mapping[int | None, StorageSettings]:
        """The settings of these versions, each looked up once."""
        return {number: await self.version(number) for number in set(numbers)}

    async def version(self, number: int | None) -> StorageSettings:
        """The settings of one version; the defaults for none."""
        if number is None:
            return StorageSettings()
        if number in self._versions:
            return self._versions[number]
        query = select(settings_versions.c.settings).where(settings_versions.c.id == number)
        async with self._engine.connect() as connection:
            return self._remember(number, StorageSettings.from_json((await connection.execute(query)).scalar_one()))

    async def accounts_with_buckets(self) -> Sequence[AccountSid]:
        """Accounts that have, or ever had, a bucket of their own. For the sweep."""
        query = select(settings_versions.c.account_sid).where(_HAS_BUCKET).distinct()
        async with self._engine.connect() as connection:
            return [AccountSid(sid) for sid in (await connection.execute(query)).scalars()]

    async def newest_destinations(self, account_sid: AccountSid, *, limit: int = 20) -> Sequence[int]:
        """The newest version for each bucket URL an account has chosen, the newest first."""
        newest = func.max(settings_versions.c.id)
        query = select(newest).where(_HAS_BUCKET, settings_versions.c.account_sid == account_sid)
        query = query.group_by(settings_versions.c.settings["aws_s3_url"].astext).order_by(newest.desc()).limit(limit)
        async with self._engine.connect() as connection:
            return list((await connection.execute(query)).scalars())

    async def keep(
        self,
        account_sid: AccountSid,
        kind: RecordingKind,
        settings: StorageSettings,
        *,
        now: datetime,
        deed: Deed | None = None,
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
            await write_deeds(transaction, [deed] if deed else [], now=now)
        self._remember(number, settings)
        return number

    def _remember(self, number: int, settings: StorageSettings) -> StorageSettings:
        if len(self._versions) >= _REMEMBERED:
            self._versions.clear()
        self._versions[number] = settings
        return settings


async def _newest_numbers(connection: AsyncConnection, names: Sequence[tuple[str, str]]) -> dict[tuple[str, str], int]:
    rows = await connection.execute(_NEWEST, {"accounts": [a for a, _ in names], "kinds": [k for _, k in names]})
    return {(row.account_sid, row.kind): row.id for row in rows}


_ASKED = (
    func.unnest(bindparam("accounts", type_=ARRAY(Text)), bindparam("kinds", type_=ARRAY(Text)))
    .table_valued(Column("account_sid", Text), Column("kind", Text), name="asked")
    .render_derived()
)
_LAST = (
    select(settings_versions.c.id)
    .where(settings_versions.c.account_sid == _ASKED.c.account_sid, settings_versions.c.kind == _ASKED.c.kind)
    .order_by(settings_versions.c.id.desc())
    .limit(1)
    .lateral()
)
_NEWEST = select(_ASKED.c.account_sid, _ASKED.c.kind, _LAST.c.id).join_from(_ASKED, _LAST, true())
