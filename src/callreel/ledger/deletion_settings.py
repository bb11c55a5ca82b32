"""The deletion settings of all accounts, read at the moment they matter and never remembered."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from callreel.ledger.audit import write_deeds
from callreel.ledger.tables import deletion_settings
from callreel.model.deed import Deed
from callreel.model.deletion_settings import DEFAULT, DeletionSettings
from callreel.model.sid import AccountSid


async def read_deletion_settings(connection: AsyncConnection, account_sid: AccountSid) -> DeletionSettings:
    """What an account chose, inside the caller's transaction; the defaults when it never chose."""
    c = deletion_settings.c
    query = select(c.delete_source_after_migration, c.delete_objects_with_call_logs)
    row = (await connection.execute(query.where(c.account_sid == account_sid))).mappings().one_or_none()
    return DEFAULT if row is None else DeletionSettings(**row)


class DeletionChoices:
    """One row for each account that ever saved its deletion settings."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def of(self, account_sid: AccountSid) -> DeletionSettings:
        """What an account chose; the defaults when it never chose."""
        async with self._engine.connect() as connection:
            return await read_deletion_settings(connection, account_sid)

    async def keep(
        self, account_sid: AccountSid, chosen: DeletionSettings, *, now: datetime, deed: Deed | None = None
    ) -> None:
        """Save an account's choice; it holds from this commit on."""
        values = asdict(chosen) | {"date_updated": now}
        statement = upsert(deletion_settings).values(account_sid=account_sid, **values)
        async with self._engine.begin() as transaction:
            await transaction.execute(statement.on_conflict_do_update(index_elements=["account_sid"], set_=values))
            await write_deeds(transaction, [deed] if deed else [], now=now)
