"""The key of each account's media, as it was sealed. Nothing is opened here.

A destroyed key leaves its row, empty: so no other is ever made for that account, and a birth that began before sees it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ARRAY, Text, any_, bindparam, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from callreel.ledger.audit import write_deeds
from callreel.ledger.group_read import GroupRead
from callreel.ledger.tables import account_keys, accounts, migrations, recordings
from callreel.model.account import AccountStatus
from callreel.model.deed import Deed
from callreel.model.migration import LIVE
from callreel.model.recording import State
from callreel.model.sid import AccountSid

DESTROYED = b""
"""What `find` gives for a key that was destroyed."""


class AccountKeys:
    """One key for each account, made when its first recording comes."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._sealed: GroupRead[str, bytes] = GroupRead(engine, _sealed_keys)

    async def find(self, account_sid: AccountSid) -> bytes | None:
        """The account's key as it was sealed, `DESTROYED`, or None for an account that never had one."""
        return await self._sealed.find(account_sid)

    async def keep(self, account_sid: AccountSid, key_sealed: bytes, *, now: datetime) -> bytes:
        """Write the account's key unless it has one. Returns the one that holds."""
        row = {"account_sid": account_sid, "key_sealed": key_sealed, "date_created": now}
        async with self._engine.begin() as transaction:
            await transaction.execute(upsert(account_keys).values(row).on_conflict_do_nothing())
        kept = await self.find(account_sid)
        assert kept is not None
        return kept

    async def list_of_closed(self) -> Sequence[AccountSid]:
        """The closed accounts that have a key still."""
        async with self._engine.connect() as connection:
            return [AccountSid(sid) for sid in (await connection.execute(_OF_CLOSED)).scalars()]

    async def destroy(self, account_sid: AccountSid, *, deed: Deed, now: datetime) -> bool:
        """Destroy the key of a closed account that nothing needs any more; True when this did it.

        Needed it is by every recording that has a key of its own or may still get one. The lock waits for births under
        way; those that come after it find the key destroyed.
        """
        c = account_keys.c
        locked = select(c.account_sid).where(c.account_sid == account_sid, c.key_sealed != DESTROYED)
        async with self._engine.begin() as transaction:
            if (await transaction.execute(locked.with_for_update())).first() is None:
                return False
            if (await transaction.execute(_MAY_GO, {"account": account_sid})).first() is None:
                return False
            await transaction.execute(
                update(account_keys).where(c.account_sid == account_sid).values(key_sealed=DESTROYED)
            )
            await write_deeds(transaction, [deed], now=now)
        return True


async def _sealed_keys(connection: AsyncConnection, accounts: Sequence[str]) -> dict[str, bytes]:
    rows = await connection.execute(_BY_ACCOUNT, {"accounts": accounts})
    return {row.account_sid: bytes(row.key_sealed) for row in rows}


_BY_ACCOUNT = select(account_keys).where(account_keys.c.account_sid == any_(bindparam("accounts", type_=ARRAY(Text))))

_OF_CLOSED = (
    select(accounts.c.sid)
    .join(account_keys, account_keys.c.account_sid == accounts.c.sid)
    .where(accounts.c.status == AccountStatus.CLOSED, account_keys.c.key_sealed != DESTROYED)
)
_ACCOUNT = bindparam("account", type_=Text)
_MAY_GO = select(accounts.c.sid).where(
    accounts.c.sid == _ACCOUNT,
    accounts.c.status == AccountStatus.CLOSED,
    ~select(recordings.c.sid)
    .where(
        recordings.c.account_sid == _ACCOUNT,
        or_(
            recordings.c.media_key_wrapped.is_not(None),
            recordings.c.state.in_((State.RECEIVING, State.AT_SOURCE)),
        ),
    )
    .exists(),
    ~select(migrations.c.sid)
    .where(
        migrations.c.account_sid == _ACCOUNT,
        migrations.c.status.in_(LIVE),
    )
    .exists(),
)
