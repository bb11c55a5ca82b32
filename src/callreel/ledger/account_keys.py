"""The key of each account's media, as it was sealed. Nothing is opened here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ARRAY, Text, any_, bindparam, delete, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from callreel.ledger.group_read import GroupRead
from callreel.ledger.tables import account_keys
from callreel.model.sid import AccountSid


class AccountKeys:
    """One key for each account, made when its first recording comes."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._sealed: GroupRead[str, bytes] = GroupRead(engine, _sealed_keys)

    async def find(self, account_sid: AccountSid) -> bytes | None:
        """The account's key as it was sealed, or None."""
        return await self._sealed.find(account_sid)

    async def keep(self, account_sid: AccountSid, key_sealed: bytes, *, now: datetime) -> bytes:
        """Write the account's key unless it has one. Returns the one that holds."""
        row = {"account_sid": account_sid, "key_sealed": key_sealed, "date_created": now}
        async with self._engine.begin() as transaction:
            await transaction.execute(upsert(account_keys).values(row).on_conflict_do_nothing())
        kept = await self.find(account_sid)
        assert kept is not None
        return kept

    async def destroy(self, account_sid: AccountSid) -> None:
        """Remove the key: from then on no file sealed for this account can be opened."""
        async with self._engine.begin() as transaction:
            await transaction.execute(delete(account_keys).where(account_keys.c.account_sid == account_sid))


async def _sealed_keys(connection: AsyncConnection, accounts: Sequence[str]) -> dict[str, bytes]:
    rows = await connection.execute(_BY_ACCOUNT, {"accounts": accounts})
    return {row.account_sid: bytes(row.key_sealed) for row in rows}


_BY_ACCOUNT = select(account_keys).where(account_keys.c.account_sid == any_(bindparam("accounts", type_=ARRAY(Text))))
