"""Accounts, subaccounts and API keys. Digests and sealed tokens come ready made; nothing is opened here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, RowMapping, Text, any_, bindparam, delete, insert, or_, select, union_all, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from callreel.errors import NotFound
from callreel.ledger.audit import write_deeds
from callreel.ledger.group_read import GroupRead
from callreel.ledger.paging import Page, Place, at_place, make_page
from callreel.ledger.tables import accounts, api_keys, installation
from callreel.model.account import Account, AccountStatus, ApiKey
from callreel.model.deed import Deed
from callreel.model.sid import AccountSid


@dataclass(frozen=True, slots=True, repr=False)
class Access:
    """What is needed to check a sign-in: the account it acts for and the digest to compare with."""

    account: Account
    digest: bytes


class Accounts:
    """Who may do what."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._access: GroupRead[str, RowMapping] = GroupRead(engine, _access_rows)

    async def keep(
        self, account: Account, *, token_digest: bytes, token_sealed: bytes, deed: Deed | None = None
    ) -> None:
        """Write a new account, and the deed in the same transaction."""
        async with self._engine.begin() as transaction:
            await transaction.execute(
                insert(accounts).values(
                    sid=account.sid,
                    owner_sid=account.owner_sid,
                    friendly_name=account.friendly_name,
                    status=account.status,
                    token_digest=token_digest,
                    token_sealed=token_sealed,
                    date_created=account.date_created,
                    date_updated=account.date_updated,
                )
            )
            await write_deeds(transaction, [deed] if deed else [], now=account.date_created)

    async def find(self, sid: AccountSid) -> Account | None:
        """The account of this SID, or None."""
        async with self._engine.connect() as connection:
            row = (await connection.execute(select(accounts).where(accounts.c.sid == sid))).mappings().one_or_none()
        return None if row is None else _account(row)

    async def fetch(self, sid: AccountSid) -> Account:
        """The account of this SID. Raises `NotFound`."""
        account = await self.find(sid)
        if account is None:
            raise NotFound()
        return account

    async def find_access(self, username: str) -> Access | None:
        """What a user name of HTTP Basic, an account's or an API key's SID, gives access to, or None."""
        row = await self._access.find(username)
        return None if row is None else Access(_account(row), row["digest"])

    async def fetch_sealed_token(self, sid: AccountSid) -> bytes:
        """The account's auth token as it was sealed, for signing callbacks. Raises `NotFound`."""
        async with self._engine.connect() as connection:
            sealed = (
                await connection.execute(select(accounts.c.token_sealed).where(accounts.c.sid == sid))
            ).scalar_one_or_none()
        if sealed is None:
            raise NotFound()
        return bytes(sealed)

    async def change(
        self,
        sid: AccountSid,
        *,
        now: datetime,
        friendly_name: str | None = None,
        status: AccountStatus | None = None,
        token: tuple[bytes, bytes] | None = None,
        deeds: Sequence[Deed] = (),
    ) -> Account:
        """Change what is given; `token` is a digest and a sealed token. Raises `NotFound`."""
        values: dict[str, Any] = {"date_updated": now}
        if friendly_name is not None:
            values["friendly_name"] = friendly_name
        if status is not None:
            values["status"] = status
        if token is not None:
            values["token_digest"], values["token_sealed"] = token
        async with self._engine.begin() as transaction:
            row = (
                (
                    await transaction.execute(
                        update(accounts).where(accounts.c.sid == sid).values(**values).returning(accounts)
                    )
                )
                .mappings()
                .one_or_none()
            )
            if row is None:
                raise NotFound()
            await write_deeds(transaction, deeds, now=now)
        return _account(row)

    async def list_family(
        self,
        owner_sid: AccountSid,
        *,
        place: Place | None,
        size: int,
        friendly_name: str | None = None,
        status: AccountStatus | None = None,
    ) -> Page[Account]:
        """An account and its subaccounts, newest first."""
        query = select(accounts).where(or_(accounts.c.owner_sid == owner_sid, accounts.c.sid == owner_sid))
        if friendly_name is not None:
            query = query.where(accounts.c.friendly_name == friendly_name)
        if status is not None:
            query = query.where(accounts.c.status == status)
        query = at_place(query, accounts.c.date_created, accounts.c.sid, place=place, size=size)
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return make_page([_account(row) for row in rows], place=place, size=size)

    async def list_all(self) -> Sequence[Account]:
        """Every account, oldest first. For the operator."""
        async with self._engine.connect() as connection:
            rows = await connection.execute(select(accounts).order_by(accounts.c.date_created, accounts.c.sid))
            return [_account(row) for row in rows.mappings()]

    async def keep_key(self, key: ApiKey, *, secret_digest: bytes, deed: Deed | None = None) -> None:
        """Write a new API key, and the deed in the same transaction."""
        async with self._engine.begin() as transaction:
            await transaction.execute(
                insert(api_keys).values(
                    sid=key.sid,
                    account_sid=key.account_sid,
                    friendly_name=key.friendly_name,
                    secret_digest=secret_digest,
                    date_created=key.date_created,
                    date_updated=key.date_updated,
                )
            )
            await write_deeds(transaction, [deed] if deed else [], now=key.date_created)

    async def fetch_key(self, account_sid: AccountSid, sid: str) -> ApiKey:
        """One API key of an account. Raises `NotFound`."""
        query = select(api_keys).where(api_keys.c.sid == sid, api_keys.c.account_sid == account_sid)
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        if row is None:
            raise NotFound()
        return _key(row)

    async def rename_key(
        self, account_sid: AccountSid, sid: str, friendly_name: str, *, now: datetime, deed: Deed | None = None
    ) -> ApiKey:
        """Give an API key another name. Raises `NotFound`."""
        statement = (
            update(api_keys)
            .where(api_keys.c.sid == sid, api_keys.c.account_sid == account_sid)
            .values(friendly_name=friendly_name, date_updated=now)
            .returning(api_keys)
        )
        async with self._engine.begin() as transaction:
            row = (await transaction.execute(statement)).mappings().one_or_none()
            if row is None:
                raise NotFound()
            await write_deeds(transaction, [deed] if deed else [], now=now)
        return _key(row)

    async def revoke_key(
        self, account_sid: AccountSid, sid: str, *, now: datetime | None = None, deed: Deed | None = None
    ) -> None:
        """Remove an API key. Raises `NotFound`."""
        statement = delete(api_keys).where(api_keys.c.sid == sid, api_keys.c.account_sid == account_sid)
        async with self._engine.begin() as transaction:
            if not (await transaction.execute(statement)).rowcount:
                raise NotFound()
            if deed is not None and now is not None:
                await write_deeds(transaction, [deed], now=now)

    async def list_keys(self, account_sid: AccountSid, *, place: Place | None, size: int) -> Page[ApiKey]:
        """An account's API keys, newest first."""
        query = select(api_keys).where(api_keys.c.account_sid == account_sid)
        query = at_place(query, api_keys.c.date_created, api_keys.c.sid, place=place, size=size)
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return make_page([_key(row) for row in rows], place=place, size=size)

    async def find_installation_value(self, name: str) -> bytes | None:
        """A sealed value of the whole installation, or None."""
        query = select(installation.c.value).where(installation.c.name == name)
        async with self._engine.connect() as connection:
            value = (await connection.execute(query)).scalar_one_or_none()
        return None if value is None else bytes(value)

    async def keep_installation_value(self, name: str, value: bytes) -> bytes:
        """Write a sealed value unless there is one already. Returns the one that holds."""

        async with self._engine.begin() as transaction:
            await transaction.execute(upsert(installation).values(name=name, value=value).on_conflict_do_nothing())
        kept = await self.find_installation_value(name)
        assert kept is not None
        return kept


async def _access_rows(connection: AsyncConnection, usernames: Sequence[str]) -> dict[str, RowMapping]:
    rows = await connection.execute(_ACCESS, {"usernames": usernames})
    return {row["username"]: row for row in rows.mappings()}


_USERNAMES = bindparam("usernames", type_=ARRAY(Text))
_ACCESS = union_all(
    select(accounts, accounts.c.token_digest.label("digest"), accounts.c.sid.label("username")).where(
        accounts.c.sid == any_(_USERNAMES)
    ),
    select(accounts, api_keys.c.secret_digest.label("digest"), api_keys.c.sid.label("username"))
    .join(api_keys, api_keys.c.account_sid == accounts.c.sid)
    .where(api_keys.c.sid == any_(_USERNAMES)),
)


def _account(row: Mapping[Any, Any]) -> Account:
    return Account(
        sid=row["sid"],
        owner_sid=row["owner_sid"],
        friendly_name=row["friendly_name"],
        status=AccountStatus(row["status"]),
        date_created=row["date_created"],
        date_updated=row["date_updated"],
    )


def _key(row: Mapping[Any, Any]) -> ApiKey:
    return ApiKey(
        sid=row["sid"],
        account_sid=row["account_sid"],
        friendly_name=row["friendly_name"],
        date_created=row["date_created"],
        date_updated=row["date_updated"],
    )
