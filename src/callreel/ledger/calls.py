"""Call logs and conferences. Numbers and names come sealed and leave sealed; exact search goes by blind marks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, and_, bindparam, delete, exists, false, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from callreel.clock import Clock
from callreel.errors import NotFound
from callreel.ledger.alerts import Alert, write_alerts
from callreel.ledger.audit import write_deeds
from callreel.ledger.paging import Page, Place, at_place, make_page
from callreel.ledger.tables import calls, campaigns, conferences, sources
from callreel.model.deed import Deed
from callreel.model.sid import AccountSid


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRow:
    """A call log as it is stored."""

    sid: str
    account_sid: AccountSid
    parties_sealed: bytes | None
    from_mark: bytes | None
    to_mark: bytes | None
    direction: str | None
    campaign_sid: str | None
    campaign: str | None
    status: str
    start_time: datetime
    end_time: datetime | None
    duration_ms: int | None
    date_created: datetime
    date_updated: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ConferenceRow:
    """A conference as it is stored."""

    sid: str
    account_sid: AccountSid
    name_sealed: bytes | None
    name_mark: bytes | None
    status: str
    date_created: datetime
    date_updated: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A stretch of time: from the first moment, up to and not including the second. None is open."""

    start: datetime | None = None
    stop: datetime | None = None

    def holds_for(self, column: ColumnElement[datetime]) -> Sequence[ColumnElement[bool]]:
        """The conditions that a column lies in it."""
        conditions: list[ColumnElement[bool]] = []
        if self.start is not None:
            conditions.append(column >= self.start)
        if self.stop is not None:
            conditions.append(column < self.stop)
        return conditions


ALWAYS = Span()


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFilter:
    """Which call logs of an account a list shows. Numbers are given as blind marks."""

    from_mark: bytes | None = None
    to_mark: bytes | None = None
    status: str | None = None
    campaign_sid: str | None = None
    started: Span = ALWAYS
    ended: Span = ALWAYS
    is_child: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ConferenceFilter:
    """Which conferences of an account a list shows. A name is given as a blind mark."""

    name_mark: bytes | None = None
    status: str | None = None
    created: Span = ALWAYS
    updated: Span = ALWAYS


NOBODY_TO_ASK: Mapping[str, None] = dict.fromkeys(("source_sid", "source_account_sid", "ask_at", "asked"))
"""The columns of a call whose source, if it has one, need not be asked who called whom."""

CLAIM_S = 60.0  # whoever took calls to ask for and is not done by then may have died


@dataclass(frozen=True, slots=True)
class UnnamedCall:
    """A call log whose source was not asked yet who called whom. `start_time` is that of its recording."""

    sid: str
    account_sid: AccountSid
    source_account_sid: str
    start_time: datetime
    asked: int


class Calls:
    """The call logs and conferences of all accounts, one account at a time."""

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock

    async def fetch(self, account_sid: AccountSid, sid: str) -> CallRow:
        """One call log of an account. Raises `NotFound`."""
        query = _WITH_CAMPAIGN.where(calls.c.account_sid == account_sid, calls.c.sid == sid)
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        if row is None:
            raise NotFound()
        return _call(row)

    async def find_many(self, account_sid: AccountSid, sids: Sequence[str]) -> Sequence[CallRow]:
        """Those call logs of an account that there are of these SIDs, in no order."""
        if not sids:
            return []
        query = _WITH_CAMPAIGN.where(calls.c.account_sid == account_sid, calls.c.sid.in_(sids))
        async with self._engine.connect() as connection:
            return [_call(row) for row in (await connection.execute(query)).mappings()]

    async def list_sids_of(
        self, account_sid: AccountSid, *, from_mark: bytes, to_mark: bytes, most: int
    ) -> Sequence[str]:
        """The newest calls, up to `most` from and `most` to a number."""
        c = calls.c
        found: list[str] = []
        async with self._engine.connect() as connection:
            for column, mark in ((c.from_mark, from_mark), (c.to_mark, to_mark)):
                query = select(c.sid).where(c.account_sid == account_sid, column == mark)
                query = query.order_by(c.date_created.desc(), c.sid.desc()).limit(most)
                found += (await connection.execute(query)).scalars()
        return found

    async def list(
        self, account_sid: AccountSid, wanted: CallFilter, *, place: Place | None, size: int
    ) -> Page[CallRow]:
        """One page of an account's call logs, newest first."""
        c = calls.c
        conditions: list[ColumnElement[bool]] = [c.account_sid == account_sid]
        for column, value in (
            (c.from_mark, wanted.from_mark),
            (c.to_mark, wanted.to_mark),
            (c.status, wanted.status),
            (c.campaign_sid, wanted.campaign_sid),
        ):
            if value is not None:
                conditions.append(column == value)
        if wanted.is_child:
            conditions.append(false())  # legs of calls are not told apart here: no call log has a parent
        conditions += wanted.started.holds_for(c.start_time)
        conditions += wanted.ended.holds_for(c.end_time)
        query = at_place(_WITH_CAMPAIGN.where(and_(*conditions)), c.date_created, c.sid, place=place, size=size)
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return make_page([_call(row) for row in rows], place=place, size=size)

    async def campaign_of(self, account_sid: AccountSid, sid: str) -> str | None:
        """The campaign a call belongs to; None too when there is no such call log any more."""
        query = (
            select(campaigns.c.friendly_name)
            .join_from(calls, campaigns, campaigns.c.sid == calls.c.campaign_sid)
            .where(calls.c.account_sid == account_sid, calls.c.sid == sid)
        )
        async with self._engine.connect() as connection:
            return (await connection.execute(query)).scalar_one_or_none()

    async def which_exist(self, account_sid: AccountSid, sids: Sequence[str]) -> set[str]:
        """Those of these call logs that were not deleted."""
        if not sids:
            return set()
        query = select(calls.c.sid).where(calls.c.account_sid == account_sid, calls.c.sid.in_(sids))
        async with self._engine.connect() as connection:
            return set((await connection.execute(query)).scalars())

    async def remove_all(
        self, account_sid: AccountSid, sids: Sequence[str], deeds: Sequence[Deed], alerts: Sequence[Alert] = ()
    ) -> int:
        """Delete call logs, with what the audit and their owner should read of it. Returns how many there were."""
        if not sids:
            return 0
        now = self._clock.now()
        statement = delete(calls).where(calls.c.account_sid == account_sid, calls.c.sid.in_(sids))
        async with self._engine.begin() as transaction:
            gone = (await transaction.execute(statement)).rowcount
            if gone:
                await write_alerts(transaction, alerts)
                await write_deeds(transaction, deeds, now=now)
        return gone

    # --- Asking who called whom --------------------------------------------------------------------------------------

    async def sources_to_ask(self) -> Sequence[str]:
        """The sources that may be asked for calls, and of which a call is due."""
        due = exists().where(calls.c.source_sid == sources.c.sid, calls.c.ask_at <= self._clock.now())
        async with self._engine.connect() as connection:
            found = await connection.execute(select(sources.c.sid).where(sources.c.include_calls, due))
            return list(found.scalars())

    async def is_asking(self, source_sid: str) -> bool:
        """Whether a source has calls that nobody asked it for even once, and may be asked."""
        waits = exists().where(calls.c.source_sid == source_sid, calls.c.ask_at.is_not(None), calls.c.asked == 0)
        async with self._engine.connect() as connection:
            found = await connection.execute(
                select(exists().where(sources.c.sid == source_sid, sources.c.include_calls, waits))
            )
            return bool(found.scalar_one())

    async def claim_unnamed(self, source_sid: str, *, limit: int) -> Sequence[UnnamedCall]:
        """Calls that are due to be asked for, taken: nobody else gets them until they are told or put off, or until
        the claim is too old."""
        c, now = calls.c, self._clock.now()
        due = (
            select(c.account_sid, c.sid)
            .where(c.source_sid == source_sid, c.ask_at <= now)
            .order_by(c.ask_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
            .subquery()
        )
        statement = (
            update(calls)
            .where(c.account_sid == due.c.account_sid, c.sid == due.c.sid)
            .values(ask_at=now + timedelta(seconds=CLAIM_S))
            .returning(*_UNNAMED)
        )
        async with self._engine.begin() as transaction:
            return [UnnamedCall(*row) for row in await transaction.execute(statement)]

    async def which_are_unnamed(
        self, account_sid: AccountSid, source_sid: str, sids: Sequence[str]
    ) -> Sequence[UnnamedCall]:
        """Those of these call logs that wait for their source's word."""
        c = calls.c
        query = select(*_UNNAMED).where(
            c.account_sid == account_sid, c.sid.in_(sids), c.source_sid == source_sid, c.ask_at.is_not(None)
        )
        async with self._engine.connect() as connection:
            return [UnnamedCall(*row) for row in await connection.execute(query)]

    async def tell(self, account_sid: AccountSid, told: Sequence[Mapping[str, Any]]) -> None:
        """Write what a source told of calls: rows of `sid` and the columns of `TOLD`. One that was deleted meanwhile
        stays deleted, and one that has its numbers keeps them."""
        if not told:
            return
        c, now = calls.c, self._clock.now()
        statement = (
            update(calls)
            .where(c.account_sid == account_sid, c.sid == bindparam("its_sid"), c.ask_at.is_not(None))
            .values(ask_at=None, date_updated=now, **{name: bindparam(f"new_{name}") for name in TOLD})
        )
        rows = [{"its_sid": row["sid"]} | {f"new_{name}": row[name] for name in TOLD} for row in told]
        async with self._engine.begin() as transaction:
            await transaction.execute(statement, rows)

    async def ask_later(self, account_sid: AccountSid, sids: Sequence[str], at: datetime | None) -> None:
        """Nothing was told of these: ask again at this time, or never."""
        if not sids:
            return
        c = calls.c
        statement = update(calls).where(c.account_sid == account_sid, c.sid.in_(sids), c.ask_at.is_not(None))
        async with self._engine.begin() as transaction:
            await transaction.execute(statement.values(ask_at=at, asked=c.asked + 1))

    async def fetch_conference(self, account_sid: AccountSid, sid: str) -> ConferenceRow:
        """One conference of an account. Raises `NotFound`."""
        query = select(conferences).where(conferences.c.account_sid == account_sid, conferences.c.sid == sid)
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        if row is None:
            raise NotFound()
        return _conference(row)

    async def list_conferences(
        self, account_sid: AccountSid, wanted: ConferenceFilter, *, place: Place | None, size: int
    ) -> Page[ConferenceRow]:
        """One page of an account's conferences, newest first."""
        c = conferences.c
        conditions: list[ColumnElement[bool]] = [c.account_sid == account_sid]
        if wanted.name_mark is not None:
            conditions.append(c.name_mark == wanted.name_mark)
        if wanted.status is not None:
            conditions.append(c.status == wanted.status)
        conditions += wanted.created.holds_for(c.date_created)
        conditions += wanted.updated.holds_for(c.date_updated)
        query = at_place(select(conferences).where(and_(*conditions)), c.date_created, c.sid, place=place, size=size)
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return make_page([_conference(row) for row in rows], place=place, size=size)


_WITH_CAMPAIGN = select(calls, campaigns.c.friendly_name.label("campaign")).outerjoin(
    campaigns, campaigns.c.sid == calls.c.campaign_sid
)


_CALL_FIELDS = tuple(field.name for field in fields(CallRow))
_UNNAMED = (calls.c.sid, calls.c.account_sid, calls.c.source_account_sid, calls.c.start_time, calls.c.asked)
TOLD = (
    "parties_sealed", "from_mark", "to_mark", "direction", "status", "start_time", "end_time", "duration_ms",
)  # fmt: skip
"""The columns of a call log that a source tells of it."""


def _call(row: RowMapping) -> CallRow:
    return CallRow(**{name: row[name] for name in _CALL_FIELDS})


def _conference(row: RowMapping) -> ConferenceRow:
    return ConferenceRow(**row)
