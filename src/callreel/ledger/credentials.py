"""Credentials of both kinds. Their secrets come sealed and leave sealed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, Column, Text, bindparam, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from callreel.errors import NotFound
from callreel.ledger.audit import write_deeds
from callreel.ledger.group_read import GroupRead
from callreel.ledger.paging import Page, Place, at_place, make_page
from callreel.ledger.tables import credentials
from callreel.model.credential import Credential, CredentialKind
from callreel.model.deed import Deed
from callreel.model.sid import AccountSid, CredentialSid

_Name = tuple[str, str, str]  # account, kind, SID


class Credentials:
    """Access keys and public keys of all accounts, one account at a time."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._secrets: GroupRead[_Name, bytes] = GroupRead(engine, _read_secrets)

    async def keep(self, credential: Credential, *, secret_sealed: bytes, deed: Deed | None = None) -> None:
        """Write a new credential, and the deed in the same transaction."""
        async with self._engine.begin() as transaction:
            await transaction.execute(
                insert(credentials).values(
                    sid=credential.sid,
                    account_sid=credential.account_sid,
                    kind=credential.kind,
                    friendly_name=credential.friendly_name,
                    has_aws_shape=credential.has_aws_shape,
                    secret_sealed=secret_sealed,
                    date_created=credential.date_created,
                    date_updated=credential.date_updated,
                )
            )
            await write_deeds(transaction, [deed] if deed else [], now=credential.date_created)

    async def find(self, account_sid: AccountSid, kind: CredentialKind, sid: str) -> Credential | None:
        """One credential of an account, or None."""
        async with self._engine.connect() as connection:
            row = (await connection.execute(_one(account_sid, kind, sid))).mappings().one_or_none()
        return None if row is None else _credential(row)

    async def fetch(self, account_sid: AccountSid, kind: CredentialKind, sid: str) -> Credential:
        """One credential of an account. Raises `NotFound`."""
        found = await self.find(account_sid, kind, sid)
        if found is None:
            raise NotFound()
        return found

    async def find_sealed(self, account_sid: AccountSid, kind: CredentialKind, sid: str) -> bytes | None:
        """The sealed secret, or None when the credential is gone. Many who ask at once cost one query."""
        return await self._secrets.find((account_sid, kind, sid))

    async def rename(
        self,
        account_sid: AccountSid,
        kind: CredentialKind,
        sid: str,
        friendly_name: str,
        *,
        now: datetime,
        deed: Deed | None = None,
    ) -> Credential:
        """Give a credential another name, the only thing that can be changed. Raises `NotFound`."""
        statement = (
            update(credentials)
            .where(credentials.c.sid == sid, credentials.c.account_sid == account_sid, credentials.c.kind == kind)
            .values(friendly_name=friendly_name, date_updated=now)
            .returning(credentials)
        )
        async with self._engine.begin() as transaction:
            row = (await transaction.execute(statement)).mappings().one_or_none()
            if row is None:
                raise NotFound()
            await write_deeds(transaction, [deed] if deed else [], now=now)
        return _credential(row)

    async def remove(
        self,
        account_sid: AccountSid,
        kind: CredentialKind,
        sid: str,
        *,
        now: datetime | None = None,
        deed: Deed | None = None,
    ) -> None:
        """Forget a credential and its secret. Raises `NotFound`."""
        statement = delete(credentials).where(
            credentials.c.sid == sid, credentials.c.account_sid == account_sid, credentials.c.kind == kind
        )
        async with self._engine.begin() as transaction:
            if not (await transaction.execute(statement)).rowcount:
                raise NotFound()
            if deed is not None and now is not None:
                await write_deeds(transaction, [deed], now=now)

    async def list(
        self, account_sid: AccountSid, kind: CredentialKind, *, place: Place | None, size: int
    ) -> Page[Credential]:
        """An account's credentials of one kind, newest first."""
        query = select(credentials).where(credentials.c.account_sid == account_sid, credentials.c.kind == kind)
        query = at_place(query, credentials.c.date_created, credentials.c.sid, place=place, size=size)
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return make_page([_credential(row) for row in rows], place=place, size=size)


def _one(account_sid: AccountSid, kind: CredentialKind, sid: str) -> Any:
    return select(credentials).where(
        credentials.c.sid == sid, credentials.c.account_sid == account_sid, credentials.c.kind == kind
    )


async def _read_secrets(connection: AsyncConnection, names: Sequence[_Name]) -> dict[_Name, bytes]:
    accounts, kinds, sids = zip(*names, strict=True)
    rows = await connection.execute(_SECRETS, {"accounts": accounts, "kinds": kinds, "sids": sids})
    return {(row.account_sid, row.kind, row.sid): bytes(row.secret_sealed) for row in rows}


_ASKED = (
    func.unnest(*[bindparam(name, type_=ARRAY(Text)) for name in ("accounts", "kinds", "sids")])
    .table_valued(Column("account_sid", Text), Column("kind", Text), Column("sid", Text), name="asked")
    .render_derived()
)
_SECRETS = select(
    credentials.c.account_sid, credentials.c.kind, credentials.c.sid, credentials.c.secret_sealed
).join_from(
    _ASKED,
    credentials,
    (credentials.c.sid == _ASKED.c.sid)
    & (credentials.c.account_sid == _ASKED.c.account_sid)
    & (credentials.c.kind == _ASKED.c.kind),
)


def _credential(row: Mapping[Any, Any]) -> Credential:
    return Credential(
        sid=CredentialSid(row["sid"]),
        account_sid=row["account_sid"],
        kind=CredentialKind(row["kind"]),
        friendly_name=row["friendly_name"],
        date_created=row["date_created"],
        date_updated=row["date_updated"],
        has_aws_shape=row["has_aws_shape"],
    )
