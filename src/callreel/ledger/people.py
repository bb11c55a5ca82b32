"""People, their signed-in browsers, and the views they keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import RowMapping, bindparam, delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from callreel.errors import NotFound, StateConflict
from callreel.ledger.audit import write_deeds
from callreel.ledger.tables import accounts, saved_views, sessions, users
from callreel.model.account import Account, AccountStatus
from callreel.model.deed import Deed
from callreel.model.person import ABSOLUTE, REMEMBERED, Person, Role, Session
from callreel.model.sid import AccountSid


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedView:
    """A list's filters under a name."""

    id: int
    name: str
    query: str


class People:
    """Who may sign in, and who is signed in."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    # --- People ------------------------------------------------------------------------------------------------------

    async def keep(self, person: Person, *, password_hash: str, deed: Deed | None = None) -> None:
        """Write a new person, and who let them in. Raises `StateConflict` when the address is taken."""
        statement = (
            upsert(users)
            .values(
                sid=person.sid,
                account_sid=person.account_sid,
                email=person.email,
                role=person.role,
                password_hash=password_hash,
                date_created=person.date_created,
                date_updated=person.date_created,
            )
            .on_conflict_do_nothing(index_elements=["email"])
        )
        async with self._engine.begin() as transaction:
            if not (await transaction.execute(statement)).rowcount:
                raise StateConflict(f"Somebody signs in as {person.email} already")
            await write_deeds(transaction, _given(deed), now=person.date_created)

    async def fetch(self, account_sid: AccountSid, sid: str) -> Person:
        """A person of an account. Raises `NotFound`."""
        query = select(users).where(users.c.sid == sid, users.c.account_sid == account_sid)
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        if row is None:
            raise NotFound()
        return _person(row)

    async def find_by_email(self, email: str) -> tuple[Person, str] | None:
        """The person of this address with their password's hash, or None."""
        async with self._engine.connect() as connection:
            row = (await connection.execute(select(users).where(users.c.email == email))).mappings().one_or_none()
        return None if row is None else (_person(row), row["password_hash"])

    async def list(self, account_sid: AccountSid | None) -> Sequence[Person]:
        """The people of one account, or of all for the operator, oldest first."""
        query = select(users).order_by(users.c.date_created, users.c.sid)
        if account_sid is not None:
            query = query.where(users.c.account_sid == account_sid)
        async with self._engine.connect() as connection:
            return [_person(row) for row in (await connection.execute(query)).mappings()]

    async def set_password(self, email: str, password_hash: str, *, now: datetime, deed: Deed | None = None) -> Person:
        """Change a password and end every session of that person. Raises `NotFound`."""
        statement = (
            update(users)
            .where(users.c.email == email)
            .values(password_hash=password_hash, date_updated=now)
            .returning(users)
        )
        async with self._engine.begin() as transaction:
            row = (await transaction.execute(statement)).mappings().one_or_none()
            if row is None:
                raise NotFound(f"Nobody signs in as {email}")
            await transaction.execute(update(sessions).where(sessions.c.user_sid == row["sid"]).values(ended=True))
            await write_deeds(transaction, _given(deed), now=now)
        return _person(row)

    async def set_role(
        self, account_sid: AccountSid, sid: str, role: Role, *, now: datetime, deed: Deed | None = None
    ) -> Person:
        """Give a person of this account another role. Raises `NotFound`, and `StateConflict` for the last owner."""
        statement = (
            update(users)
            .where(users.c.sid == sid, users.c.account_sid == account_sid)
            .values(role=role, date_updated=now)
            .returning(users)
        )
        async with self._engine.begin() as transaction:
            if role is not Role.OWNER:
                await _leave_an_owner(transaction, account_sid, sid)
            row = (await transaction.execute(statement)).mappings().one_or_none()
            if row is None:
                raise NotFound()
            await write_deeds(transaction, _given(deed), now=now)
        return _person(row)

    async def remove(self, email: str, *, now: datetime, deed: Deed) -> Person:
        """Remove a person with their sessions and views, whoever they are: for the operator. Raises `NotFound`."""
        async with self._engine.begin() as transaction:
            statement = delete(users).where(users.c.email == email).returning(users)
            row = (await transaction.execute(statement)).mappings().one_or_none()
            if row is not None:
                await write_deeds(transaction, [deed], now=now)
        if row is None:
            raise NotFound(f"Nobody signs in as {email}")
        return _person(row)

    async def remove_from(self, account_sid: AccountSid, sid: str, *, now: datetime, deed: Deed) -> None:
        """Remove a person of this account with their sessions and views.

        Raises `NotFound`, and `StateConflict` for the last owner.
        """
        async with self._engine.begin() as transaction:
            await _leave_an_owner(transaction, account_sid, sid)
            gone = await transaction.execute(
                delete(users).where(users.c.sid == sid, users.c.account_sid == account_sid)
            )
            if not gone.rowcount:
                raise NotFound()
            await write_deeds(transaction, [deed], now=now)

    # --- Sessions ----------------------------------------------------------------------------------------------------

    async def begin_session(self, session: Session, *, kept_form: bytes | None) -> None:
        """Write a new session, note the sign-in, and forget sessions that ended long ago."""
        async with self._engine.begin() as transaction:
            await transaction.execute(
                insert(sessions).values(
                    digest=session.digest,
                    user_sid=session.user_sid,
                    account_sid=session.account_sid,
                    date_created=session.date_created,
                    seen_at=session.seen_at,
                    kept_form=kept_form,
                )
            )
            await transaction.execute(
                update(users).where(users.c.sid == session.user_sid).values(last_sign_in=session.date_created)
            )
            forgotten = session.date_created - ABSOLUTE - REMEMBERED
            await transaction.execute(delete(sessions).where(sessions.c.seen_at < forgotten))

    async def find_session(self, digest: bytes) -> tuple[Session, Person] | None:
        """A session, over or not, with the person it belongs to; None for one that nobody has."""
        query = (
            select(
                *(column.label(f"session_{column.name}") for column in sessions.columns if column.name != "kept_form"),
                users,
            )
            .join(users, users.c.sid == sessions.c.user_sid)
            .where(sessions.c.digest == digest)
        )
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        if row is None:
            return None
        return _session(row), _person(row)

    async def find_visit(self, digest: bytes) -> tuple[Session, Person, Account] | None:
        """A session, over or not, with its person and the account it looks at; None for one that nobody has."""
        async with self._engine.connect() as connection:
            row = (await connection.execute(_VISIT, {"session": digest})).mappings().one_or_none()
        return None if row is None else (_session(row), _person(row), _looked_at(row))

    async def see_session(self, digest: bytes, *, now: datetime) -> None:
        """Note that a session is used."""
        async with self._engine.begin() as transaction:
            await transaction.execute(update(sessions).where(sessions.c.digest == digest).values(seen_at=now))

    async def look_at(self, digest: bytes, account_sid: AccountSid) -> None:
        """Let a session look at another account."""
        async with self._engine.begin() as transaction:
            await transaction.execute(
                update(sessions).where(sessions.c.digest == digest).values(account_sid=account_sid)
            )

    async def end_session(self, digest: bytes) -> None:
        """Sign out: from now on the session is over, whoever holds its cookie."""
        async with self._engine.begin() as transaction:
            await transaction.execute(update(sessions).where(sessions.c.digest == digest).values(ended=True))

    async def end_sessions_of(self, user_sid: str) -> None:
        """Sign a person out everywhere."""
        async with self._engine.begin() as transaction:
            await transaction.execute(update(sessions).where(sessions.c.user_sid == user_sid).values(ended=True))

    async def take_kept_form(self, digest: bytes) -> bytes | None:
        """What a person had typed before they had to sign in again, sealed; given once."""
        async with self._engine.begin() as transaction:
            query = select(sessions.c.kept_form).where(sessions.c.digest == digest).with_for_update()
            kept = (await transaction.execute(query)).scalar_one_or_none()
            if kept is None:
                return None
            await transaction.execute(update(sessions).where(sessions.c.digest == digest).values(kept_form=None))
        return bytes(kept)

    # --- Views -------------------------------------------------------------------------------------------------------

    async def list_views(self, user_sid: str, page: str) -> Sequence[SavedView]:
        """The views a person kept of one page, oldest first."""
        query = (
            select(saved_views)
            .where(saved_views.c.user_sid == user_sid, saved_views.c.page == page)
            .order_by(saved_views.c.id)
        )
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return [SavedView(id=row["id"], name=row["name"], query=row["query"]) for row in rows]

    async def keep_view(self, user_sid: str, page: str, name: str, query: str, *, now: datetime, most: int) -> None:
        """Keep a view, in place of one of the same name. Raises `StateConflict` when there are `most` already."""
        async with self._engine.begin() as transaction:
            counting = select(func.count()).where(
                saved_views.c.user_sid == user_sid, saved_views.c.page == page, saved_views.c.name != name
            )
            if (await transaction.execute(counting)).scalar_one() >= most:
                raise StateConflict(f"You keep {most} views here already; remove one first")
            await transaction.execute(
                upsert(saved_views)
                .values(user_sid=user_sid, page=page, name=name, query=query, date_created=now)
                .on_conflict_do_update(index_elements=["user_sid", "page", "name"], set_={"query": query})
            )

    async def remove_view(self, user_sid: str, page: str, view_id: int) -> None:
        """Remove a view of this person; nothing happens where there is none."""
        async with self._engine.begin() as transaction:
            await transaction.execute(
                delete(saved_views).where(
                    saved_views.c.user_sid == user_sid, saved_views.c.page == page, saved_views.c.id == view_id
                )
            )


async def _leave_an_owner(transaction: AsyncConnection, account_sid: AccountSid, sid: str) -> None:
    """Lock the owners of an account, so that two of them cannot go at once, and see that one besides `sid` is left."""
    query = (
        select(users.c.sid)
        .where(users.c.account_sid == account_sid, users.c.role == Role.OWNER)
        .order_by(users.c.sid)
        .with_for_update()
    )
    if list((await transaction.execute(query)).scalars()) == [sid]:
        raise StateConflict("This is the last owner of the account: make somebody else an owner first")


def _given(deed: Deed | None) -> list[Deed]:
    return [] if deed is None else [deed]


_VISIT = (
    select(
        *(column.label(f"session_{column.name}") for column in sessions.columns if column.name != "kept_form"),
        *(
            column.label(f"looked_at_{column.name}")
            for column in accounts.columns
            if not column.name.startswith("token")
        ),
        users,
    )
    .join(users, users.c.sid == sessions.c.user_sid)
    .join(accounts, accounts.c.sid == sessions.c.account_sid)
    .where(sessions.c.digest == bindparam("session"))
)
"""What every request of a person begins with."""


def _looked_at(row: RowMapping) -> Account:
    return Account(
        sid=AccountSid(row["looked_at_sid"]),
        owner_sid=row["looked_at_owner_sid"],
        friendly_name=row["looked_at_friendly_name"],
        status=AccountStatus(row["looked_at_status"]),
        date_created=row["looked_at_date_created"],
        date_updated=row["looked_at_date_updated"],
    )


def _person(row: RowMapping) -> Person:
    return Person(
        sid=row["sid"],
        account_sid=row["account_sid"],
        email=row["email"],
        role=Role(row["role"]),
        date_created=row["date_created"],
        last_sign_in=row["last_sign_in"],
    )


def _session(row: RowMapping) -> Session:
    return Session(
        digest=bytes(row["session_digest"]),
        user_sid=row["session_user_sid"],
        account_sid=row["session_account_sid"],
        date_created=row["session_date_created"],
        seen_at=row["session_seen_at"],
        ended=row["session_ended"],
    )
