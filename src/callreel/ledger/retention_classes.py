"""Retention classes of accounts, and the questions that are asked through them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Integer, Select, and_, case, delete, false, func, literal, null, or_, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncEngine

from callreel.clock import Clock
from callreel.errors import NotFound
from callreel.ledger.audit import write_deeds
from callreel.ledger.paging import Page, Place, at_place, make_page
from callreel.ledger.tables import calls, campaigns, recordings, retention_classes
from callreel.model.deed import Deed
from callreel.model.object_lock import LockMode
from callreel.model.recording import COMPLETED, UNFINISHED
from callreel.model.retention_class import RetentionClass, Touched, in_order
from callreel.model.sid import AccountSid, RecordingSid, RetentionClassSid
from callreel.model.storage_settings import RecordingKind

REMEMBERED_S = 10.0  # how late a delivery may learn of a changed class; a query for each would cost more than it tells
_GOES = (*COMPLETED,)


class RetentionClasses:
    """The classes of all accounts, one account at a time."""

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock
        self._lately: dict[AccountSid, tuple[float, list[RetentionClass]]] = {}

    async def keep(self, kept: RetentionClass, *, deed: Deed | None = None) -> None:
        """Write a new class, or the new values of one that is there, and who did it."""
        values = {name: getattr(kept, name) for name in retention_classes.c.keys()}  # noqa: SIM118 - a column collection
        changed = {name: values[name] for name in values if name not in ("sid", "account_sid", "date_created")}
        statement = (
            upsert(retention_classes)
            .values(**values)
            .on_conflict_do_update(
                index_elements=["sid"], set_=changed, where=retention_classes.c.account_sid == kept.account_sid
            )
        )
        async with self._engine.begin() as transaction:
            await transaction.execute(statement)
            await write_deeds(transaction, [deed] if deed else [], now=self._clock.now())
        self._lately.pop(kept.account_sid, None)

    async def remove(self, account_sid: AccountSid, sid: str, *, deed: Deed | None = None) -> None:
        """Forget a class, and write down who did it. Raises `NotFound`."""
        statement = delete(retention_classes).where(
            retention_classes.c.sid == sid, retention_classes.c.account_sid == account_sid
        )
        async with self._engine.begin() as transaction:
            if not (await transaction.execute(statement)).rowcount:
                raise NotFound()
            await write_deeds(transaction, [deed] if deed else [], now=self._clock.now())
        self._lately.pop(account_sid, None)

    async def fetch(self, account_sid: AccountSid, sid: str) -> RetentionClass:
        """One class of an account. Raises `NotFound`."""
        query = select(retention_classes).where(
            retention_classes.c.sid == sid, retention_classes.c.account_sid == account_sid
        )
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        if row is None:
            raise NotFound()
        return _class(row)

    async def list(self, account_sid: AccountSid, *, place: Place | None, size: int) -> Page[RetentionClass]:
        """An account's classes, newest first."""
        query = select(retention_classes).where(retention_classes.c.account_sid == account_sid)
        query = at_place(query, retention_classes.c.date_created, retention_classes.c.sid, place=place, size=size)
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return make_page([_class(row) for row in rows], place=place, size=size)

    async def of_account(self, account_sid: AccountSid) -> Sequence[RetentionClass]:
        """All of an account's classes, in the order they are tried."""
        query = select(retention_classes).where(retention_classes.c.account_sid == account_sid)
        async with self._engine.connect() as connection:
            return in_order([_class(row) for row in (await connection.execute(query)).mappings()])

    async def of_account_lately(self, account_sid: AccountSid) -> Sequence[RetentionClass]:
        """As `of_account`, at most ten seconds old. For deliveries, of which most belong to accounts without any."""
        now_s = self._clock.monotonic()
        known = self._lately.get(account_sid)
        if known is not None and now_s - known[0] < REMEMBERED_S:
            return known[1]
        found = list(await self.of_account(account_sid))
        if len(self._lately) >= 10_000:
            self._lately.clear()
        self._lately[account_sid] = (now_s, found)
        return found

    async def accounts_that_delete(self) -> Sequence[AccountSid]:
        """Accounts with a class whose recordings are over some day. For the clockwork."""
        query = select(retention_classes.c.account_sid).where(retention_classes.c.keep_days.is_not(None)).distinct()
        async with self._engine.connect() as connection:
            return [AccountSid(sid) for sid in (await connection.execute(query)).scalars()]

    async def list_over(
        self, account_sid: AccountSid, classes: Sequence[RetentionClass], *, now: datetime, limit: int = 500
    ) -> Sequence[RecordingSid]:
        """Finished recordings of an account whose time is over, oldest first."""
        c = recordings.c
        days = _keep_days(classes)
        query = _of_account(account_sid, [c.sid], classes).where(
            c.state.in_(_GOES), c.legal_hold_at.is_(None), _is_over(days, now)
        )
        async with self._engine.connect() as connection:
            rows = await connection.execute(query.order_by(c.date_created, c.sid).limit(limit))
            return [RecordingSid(sid) for sid in rows.scalars()]

    async def touched(
        self,
        account_sid: AccountSid,
        before: Sequence[RetentionClass],
        after: Sequence[RetentionClass],
        *,
        now: datetime,
    ) -> Touched:
        """What putting `after` in the place of `before` would touch. One walk over the account's recordings."""
        c = recordings.c
        old, new = _keep_days(before), _keep_days(after)
        stored = c.state.in_((*COMPLETED, *UNFINISHED))
        differs = and_(stored, old.is_distinct_from(new))
        forever = 1 << 30
        shorter = func.coalesce(new, forever) < func.coalesce(old, forever)
        at_once = and_(
            c.state.in_(_GOES), c.legal_hold_at.is_(None), _is_over(new, now), func.coalesce(~_is_over(old, now), True)
        )
        lock_differs = or_(
            _branch(before, "lock_mode").is_distinct_from(_branch(after, "lock_mode")),
            _branch(before, "lock_days").is_distinct_from(_branch(after, "lock_days")),
        )
        query = _of_account(
            account_sid,
            [
                func.count().filter(differs),
                func.coalesce(func.sum(c.media_size_bytes).filter(differs), 0),
                func.count().filter(and_(differs, ~shorter)),
                func.count().filter(and_(differs, shorter)),
                func.count().filter(at_once),
                func.count().filter(and_(c.state.in_(UNFINISHED), lock_differs)),
            ],
            [*before, *after],
        )
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).one()
        return Touched(
            recordings=row[0],
            bytes=int(row[1]),
            kept_longer=row[2],
            kept_shorter=row[3],
            deleted_at_once=row[4],
            deliveries=row[5],
        )


def _of_account(
    account_sid: AccountSid, columns: Sequence[ColumnElement[Any]], classes: Sequence[RetentionClass]
) -> Select[Any]:
    """A query on the account's recordings, with their calls where a class asks for the campaign."""
    query = select(*columns).select_from(recordings).where(recordings.c.account_sid == account_sid)
    if any(each.campaign is not None for each in classes):
        same = and_(calls.c.account_sid == recordings.c.account_sid, calls.c.sid == recordings.c.call_sid)
        query = query.outerjoin_from(recordings, calls, same)
        query = query.outerjoin(campaigns, campaigns.c.sid == calls.c.campaign_sid)
    return query


def _fits(each: RetentionClass) -> ColumnElement[bool]:
    conditions: list[ColumnElement[bool]] = [literal(True)]
    if each.kind is not None:
        conditions.append(recordings.c.kind == each.kind)
    if each.source is not None:
        conditions.append(recordings.c.source == each.source)
    if each.campaign is not None:
        conditions.append(func.coalesce(campaigns.c.friendly_name == each.campaign, false()))
    return and_(*conditions)


def _branch(classes: Sequence[RetentionClass], name: str) -> ColumnElement[Any]:
    """What the first class that fits says, NULL where none does."""
    ordered = in_order(classes)
    if not ordered:
        return null()
    return case(*((_fits(each), literal(getattr(each, name))) for each in ordered), else_=None)


def _keep_days(classes: Sequence[RetentionClass]) -> ColumnElement[int]:
    return _branch(classes, "keep_days").cast(Integer)


def _is_over(days: ColumnElement[int], now: datetime) -> ColumnElement[bool]:
    """NULL where nothing is ever over: no row is then taken."""
    return recordings.c.date_created <= literal(now) - func.make_interval(0, 0, 0, days)


def _class(row: Mapping[Any, Any]) -> RetentionClass:
    return RetentionClass(
        sid=RetentionClassSid(row["sid"]),
        account_sid=row["account_sid"],
        friendly_name=row["friendly_name"],
        position=row["position"],
        kind=RecordingKind(row["kind"]) if row["kind"] else None,
        source=row["source"],
        campaign=row["campaign"],
        keep_days=row["keep_days"],
        lock_mode=LockMode(row["lock_mode"]) if row["lock_mode"] else None,
        lock_days=row["lock_days"],
        date_created=row["date_created"],
        date_updated=row["date_updated"],
    )
