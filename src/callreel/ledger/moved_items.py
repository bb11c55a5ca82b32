"""Items on their way out of a source: how they are written, and how a worker finds those that are due.

An item's moves are guarded by state and fence like a recording's, and written many to a commit; the counts of its
migration and its receipt change in the same transaction, so that they are never apart.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    DateTime,
    Integer,
    Row,
    Text,
    and_,
    bindparam,
    exists,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from callreel.clock import Clock
from callreel.errors import NotFound, Outrun
from callreel.ledger.audit import write_deeds
from callreel.ledger.deletion_settings import read_deletion_settings
from callreel.ledger.group_commit import GroupCommit
from callreel.ledger.item_intake import MOVE, take_in
from callreel.ledger.jobs import JobRow, route_of, write_jobs
from callreel.ledger.migrations import ended_if_done
from callreel.ledger.paging import Page, Place, at_place, make_page
from callreel.ledger.tables import migration_items, migrations, receipts, recordings
from callreel.model.deed import CALLREEL, Action, Deed
from callreel.model.migration import MigrationStatus, counted, counted_as_finished
from callreel.model.moved_item import FINISHED, ITEM_ARROWS, MOVED, ItemState, MovedItem, Reason
from callreel.model.receipt import Receipt
from callreel.model.recording import State
from callreel.model.sid import AccountSid
from callreel.model.source import Source, SourceRecording

_COLUMNS = tuple(column.name for column in migration_items.columns)
_RECEIPT_COLUMNS = tuple(column.name for column in receipts.columns)
_STATES = {state.value: state for state in ItemState}
FINISHING = frozenset(counted_as_finished())
_SETTLES = (State.DELIVERED, State.RELEASED, State.PARKED, State.FATAL, State.ERASED, State.DELETING, State.DELETED)
c = migration_items.c


@dataclass(frozen=True, slots=True)
class ItemMove:
    """One step of an item, with the facts that became true with it."""

    item: MovedItem
    to: ItemState
    facts: dict[str, Any]
    receipt: Callable[[MovedItem], Receipt] | None = None

    @property
    def name(self) -> str:
        return self.item.recording_sid

    @property
    def shape(self) -> tuple[str, ...]:
        return tuple(sorted(self.facts))

    def moved(self, now: datetime) -> MovedItem:
        """The item as it is after the move."""
        return self.item.changed(state=self.to, fence=self.item.fence + 1, date_updated=now, **self.facts)


@dataclass(frozen=True, slots=True)
class ReportedItem:
    """An item and its receipt, None where there is none yet."""

    item: MovedItem
    receipt: Receipt | None

    @property
    def sid(self) -> str:
        """What pages are ordered by, behind the date."""
        return self.item.recording_sid

    @property
    def date_created(self) -> datetime:
        """What pages are ordered by."""
        return self.item.date_created


class MovedItems:
    """The items of all sources."""

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock
        self._commits: GroupCommit[ItemMove] = GroupCommit(engine, self._write, name_of=lambda item: item.name)

    async def move(
        self, item: MovedItem, to: ItemState, *, receipt: Callable[[MovedItem], Receipt] | None = None, **facts: Any
    ) -> MovedItem:
        """Move an item, with the facts that become true with it and the counts of its migration: one transaction.

        `receipt` is asked for one when the item comes to an end. An item on its way to DELETE_INTENT becomes KEPT
        instead where its account has switched the deletion of originals off, or its migration was canceled: both are
        read in the transaction that writes the intent.
        Raises `Outrun` when the row is no longer what `item` says, and `DatabaseAway`.
        """
        if to not in ITEM_ARROWS[item.state]:
            raise AssertionError(f"no arrow leads from {item.state} to {to}")
        moved: MovedItem = await self._commits.submit(ItemMove(item, to, facts, receipt))
        return moved

    async def offer(
        self,
        source: Source,
        found: Sequence[SourceRecording],
        *,
        host_id: str,
        kept_sources: Mapping[str, str],
    ) -> int:
        """Take up recordings that a poller or a webhook reports, each once whoever reports it how often.

        `kept_sources` names those whose `source` is another word here. In one transaction the new items and the
        reminder of whoever moves them. Returns how many were new; raises `DatabaseAway`.
        """
        now = self._clock.now()
        async with self._engine.begin() as transaction:
            taken = await take_in(
                transaction, source, found, host_id=host_id, migration_sid=None, kept_sources=kept_sources, now=now
            )
            if taken.new:
                await write_jobs(transaction, [JobRow(route_of(MOVE, host_id), source.sid)], now=now)
        return taken.new

    async def drain(self) -> None:
        """Wait until everything submitted so far was written or refused."""
        await self._commits.drain()

    async def learn(self, item: MovedItem, origin: SourceRecording) -> MovedItem:
        """Keep what the source says of it now, where the list was read before the recording was done."""
        async with self._engine.begin() as transaction:
            await transaction.execute(
                update(migration_items).where(c.recording_sid == item.recording_sid).values(origin=origin.as_json())
            )
        return item.changed(origin=origin)

    async def find(self, recording_sid: str) -> MovedItem | None:
        """The item of a recording, for workers; None for one that was not moved here."""
        async with self._engine.connect() as connection:
            row = (
                await connection.execute(select(migration_items).where(c.recording_sid == recording_sid))
            ).one_or_none()
        return None if row is None else _read(row)

    async def fetch(self, account_sid: AccountSid, recording_sid: str) -> MovedItem:
        """The item of one of an account's recordings. Raises `NotFound` for one that was not moved here."""
        query = select(migration_items).where(c.recording_sid == recording_sid, c.account_sid == account_sid)
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            raise NotFound()
        return _read(row)

    async def find_by_origin(self, source_sid: str, source_recording_sid: str) -> MovedItem | None:
        """The item of a source's recording by the name it has there."""
        query = select(migration_items).where(
            c.source_sid == source_sid, c.source_recording_sid == source_recording_sid
        )
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else _read(row)

    async def list_due(
        self, source_sid: str, host_id: str, *, limit: int, but: Sequence[str] = ()
    ) -> Sequence[MovedItem]:
        """What is due now at one source, those that were begun first. `but` are in somebody's hands."""
        query = (
            select(migration_items)
            .outerjoin(migrations, migrations.c.sid == c.migration_sid)
            .where(
                c.source_sid == source_sid,
                c.host_id == host_id,
                c.next_attempt_at <= self._clock.now(),
                _may_go_on(),
            )
            .order_by(c.next_attempt_at, c.recording_sid)
            .limit(limit + len(but))
        )
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query)).all()
        taken = set(but)
        return [_read(row) for row in rows if row.recording_sid not in taken][:limit]

    async def next_due_at(self, source_sid: str, host_id: str) -> datetime | None:
        """When the next item of a source is due; None when none will be."""
        query = (
            select(func.min(c.next_attempt_at))
            .outerjoin(migrations, migrations.c.sid == c.migration_sid)
            .where(c.source_sid == source_sid, c.host_id == host_id, c.next_attempt_at.is_not(None), _may_go_on())
        )
        async with self._engine.connect() as connection:
            at: datetime | None = (await connection.execute(query)).scalar_one()
        return at

    async def sources_with_due_items(self, host_id: str) -> Sequence[str]:
        """Sources with items that are or will be due. For recovery."""
        query = (
            select(c.source_sid)
            .outerjoin(migrations, migrations.c.sid == c.migration_sid)
            .where(c.host_id == host_id, or_(c.next_attempt_at.is_not(None), _RESTS), _may_go_on())
            .distinct()
        )
        async with self._engine.connect() as connection:
            return list((await connection.execute(query)).scalars())

    async def wake_resting(self, source_sid: str) -> bool:
        """External storage is on: what rested at the source is due. Whether there was any."""
        async with self._engine.begin() as transaction:
            woken = await transaction.execute(
                update(migration_items)
                .where(c.source_sid == source_sid, _RESTS)
                .values(next_attempt_at=self._clock.now(), reason=None, detail=None, remedy=None)
            )
        return bool(woken.rowcount)

    async def has_resting(self, source_sid: str) -> bool:
        """Whether recordings of a source rest there because external storage is off."""
        async with self._engine.connect() as connection:
            found = await connection.execute(select(exists().where(c.source_sid == source_sid, _RESTS)))
            return bool(found.scalar_one())

    async def states_of(self, source_sid: str, source_recording_sids: Sequence[str]) -> dict[str, ItemState]:
        """The states of a source's recordings by the names they have there; those that are not known are left out."""
        query = select(c.source_recording_sid, c.state).where(
            c.source_sid == source_sid, c.source_recording_sid.in_(source_recording_sids)
        )
        async with self._engine.connect() as connection:
            return {sid: _STATES[state] for sid, state in await connection.execute(query)}

    async def count_by_state(self, source_sid: str) -> dict[ItemState, int]:
        """How many items of a source are in each state."""
        query = select(c.state, func.count()).where(c.source_sid == source_sid).group_by(c.state)
        async with self._engine.connect() as connection:
            return {_STATES[state]: count for state, count in await connection.execute(query)}

    async def count_undelivered(self, source_sid: str, host_id: str) -> int:
        """Items that wait for their recording's delivery: their media is in the spool."""
        query = select(func.count()).where(
            c.source_sid == source_sid, c.host_id == host_id, c.state == ItemState.FETCHED, c.next_attempt_at.is_(None)
        )
        async with self._engine.connect() as connection:
            return int((await connection.execute(query)).scalar_one())

    async def wake(self, recording_sids: Sequence[str] | None = None) -> Sequence[str]:
        """Make items due whose recordings have been delivered, or will not be; the sources they belong to.

        Without SIDs: all there are. For a recording that was carried by the job of its own, and for recovery.
        """
        waiting = or_(
            c.state == ItemState.FETCHED, and_(c.state == ItemState.FAILED, c.reason == Reason.DELIVERY_FAILED)
        )
        statement = (
            update(migration_items)
            .where(
                c.next_attempt_at.is_(None),
                waiting,
                recordings.c.sid == c.recording_sid,
                or_(
                    and_(c.state == ItemState.FETCHED, recordings.c.state.in_(_SETTLES)),
                    recordings.c.state.in_((State.DELIVERED, State.RELEASED)),
                ),
            )
            .values(next_attempt_at=self._clock.now())
            .returning(c.source_sid)
        )
        if recording_sids is not None:
            statement = statement.where(c.recording_sid.in_(recording_sids))
        async with self._engine.begin() as transaction:
            return sorted(set((await transaction.execute(statement)).scalars()))

    async def list_of(
        self,
        account_sid: AccountSid,
        migration_sid: str,
        *,
        state: ItemState | None,
        place: Place | None,
        size: int,
    ) -> Page[ReportedItem]:
        """One page of a migration's items with their receipts, newest first."""
        query = (
            select(migration_items, *_RECEIPT)
            .outerjoin(receipts, receipts.c.recording_sid == c.recording_sid)
            .where(c.account_sid == account_sid, c.migration_sid == migration_sid)
        )
        if state is not None:
            query = query.where(c.state == state)
        query = at_place(query, c.date_created, c.recording_sid, place=place, size=size)
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query)).all()
        return make_page([ReportedItem(_read(row), _receipt(row)) for row in rows], place=place, size=size)

    async def fetch_receipt(self, account_sid: AccountSid, recording_sid: str) -> Receipt:
        """The receipt of a moved recording. Raises `NotFound`."""
        query = select(receipts).where(receipts.c.recording_sid == recording_sid, receipts.c.account_sid == account_sid)
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        if row is None:
            raise NotFound()
        return Receipt(**row)

    async def _write(self, transaction: AsyncConnection, items: Sequence[ItemMove]) -> list[Any]:
        now = self._clock.now()
        items = await _as_allowed(transaction, items)
        moved = await change_items(transaction, items, now)
        done = [item for item in items if item.name in moved]
        results = [item.moved(now) if item.name in moved else Outrun(item.name) for item in items]
        written = [
            _receipt_row(item.receipt(result))
            for item, result in zip(items, results, strict=True)
            if isinstance(result, MovedItem) and item.receipt is not None and item.to in FINISHED
        ]
        if written:
            await transaction.execute(_RECEIPT_KEPT, written)
        await _count(transaction, done, now)
        await write_deeds(
            transaction, [_deletion(item.item) for item in done if item.to is ItemState.LINK_CLEARED], now=now
        )
        return results


async def change_items(transaction: AsyncConnection, items: Sequence[ItemMove], now: datetime) -> set[str]:
    """Write items that are as their movers saw them, inside the caller's transaction; the SIDs of those.

    Counts, receipts and deeds are `MovedItems.move`'s: this alone is for a step that has none of them.
    """
    groups: dict[tuple[str, ...], list[ItemMove]] = defaultdict(list)
    for item in items:
        groups[item.shape].append(item)
    moved: set[str] = set()
    for shape, members in groups.items():
        moved |= await _change(transaction, shape, members, now)
    return moved


async def _as_allowed(transaction: AsyncConnection, items: Sequence[ItemMove]) -> list[ItemMove]:
    """The moves as their accounts' switches of this moment allow them."""
    intents = [item for item in items if item.to is ItemState.DELETE_INTENT and item.item.state is ItemState.FETCHED]
    if not intents:
        return list(items)
    off = {
        sid
        for sid in {item.item.account_sid for item in intents}
        if not (await read_deletion_settings(transaction, sid)).delete_source_after_migration
    }
    of = {item.item.migration_sid for item in intents}
    canceled = set(
        (
            await transaction.execute(
                select(migrations.c.sid).where(
                    migrations.c.sid.in_(of), migrations.c.status == MigrationStatus.CANCELED
                )
            )
        ).scalars()
    )
    if not off and not canceled:
        return list(items)
    meant = {item.name for item in intents}
    return [
        _kept(item, Reason.SWITCHED_OFF)
        if item.name in meant and item.item.account_sid in off
        else _kept(item, Reason.CANCELED)
        if item.name in meant and item.item.migration_sid in canceled
        else item
        for item in items
    ]


def _kept(item: ItemMove, reason: Reason) -> ItemMove:
    facts = {"next_attempt_at": None, "reason": reason, "detail": _KEPT_BECAUSE[reason], "remedy": None}
    return ItemMove(item.item, ItemState.KEPT, facts, item.receipt)


_KEPT_BECAUSE = {
    Reason.SWITCHED_OFF: "DeleteSourceAfterMigration is off: both copies are kept",
    Reason.CANCELED: "The migration was canceled before the original was deleted: both copies are kept",
}


async def _change(
    transaction: AsyncConnection, shape: tuple[str, ...], items: Sequence[ItemMove], now: datetime
) -> set[str]:
    values: dict[str, Any] = {
        "sids": [item.name for item in items],
        "states": [item.item.state for item in items],
        "fences": [item.item.fence for item in items],
        "to_states": [item.to for item in items],
        "moment": now,
    }
    for column in shape:
        values[f"new_{column}"] = [item.facts[column] for item in items]
    return set((await transaction.execute(_guarded_update(shape), values)).scalars())


async def _count(transaction: AsyncConnection, done: Sequence[ItemMove], now: datetime) -> None:
    """Add to the counts of the migrations what these moves change of them."""
    sums: dict[str, Counter[str]] = defaultdict(Counter)
    for move in done:
        if move.item.migration_sid is None:
            continue
        delta = sums[move.item.migration_sid]
        delta.update(counted(move.to))
        delta.subtract(counted(move.item.state))
        size = move.facts.get("media_size_bytes", move.item.media_size_bytes) or 0
        delta["bytes"] += size * ((move.to in MOVED) - (move.item.state in MOVED))
    for sid in sorted(sums):  # always in one order, so that two writers do not wait for each other
        changes = {name: migrations.c[name] + by for name, by in sums[sid].items() if by}
        if changes:
            await transaction.execute(update(migrations).where(migrations.c.sid == sid).values(**changes))
            if set(changes) & FINISHING:
                await transaction.execute(ended_if_done(sid, now))


_RESTS = and_(c.state == ItemState.LISTED, c.next_attempt_at.is_(None), c.reason == Reason.EXTERNAL_STORAGE_OFF)


def _may_go_on() -> ColumnElement[bool]:
    """Of a paused or stopped migration nothing is taken up; of a canceled one, what was begun is finished."""
    m = migrations.c
    return or_(
        c.migration_sid.is_(None),
        m.status.in_((MigrationStatus.RUNNING, MigrationStatus.COMPLETED)),
        and_(m.status == MigrationStatus.CANCELED, c.state != ItemState.LISTED),
    )


@lru_cache(maxsize=64)
def _guarded_update(shape: tuple[str, ...]) -> Any:
    fixed: list[tuple[str, Column[Any]]] = [
        ("sids", Column("sid", Text)),
        ("states", Column("state", Text)),
        ("fences", Column("fence", Integer)),
        ("to_states", Column("to_state", Text)),
    ]
    columns = [*fixed, *[(f"new_{n}", Column(f"new_{n}", c[n].type)) for n in shape]]
    arrays = [bindparam(name, type_=ARRAY(column.type)) for name, column in columns]
    given = func.unnest(*arrays).table_valued(*[column for _, column in columns], name="given").render_derived()
    return (
        update(migration_items)
        .where(c.recording_sid == given.c.sid, c.state == given.c.state, c.fence == given.c.fence)
        .values(
            state=given.c.to_state,
            fence=given.c.fence + 1,
            date_updated=bindparam("moment", type_=DateTime(timezone=True)),
            **{name: given.c[f"new_{name}"] for name in shape},
        )
        .returning(c.recording_sid)
    )


def _deletion(item: MovedItem) -> Deed:
    return CALLREEL.deed(
        Action.SOURCE_RECORDING_DELETED,
        item.account_sid,
        item.recording_sid,
        source=item.source_sid,
        source_recording=item.source_recording_sid,
    )


def _receipt_row(receipt: Receipt) -> dict[str, Any]:
    return {name: getattr(receipt, name) for name in _RECEIPT_COLUMNS}


def _kept_receipt() -> Any:
    statement = upsert(receipts)
    new = {name: statement.excluded[name] for name in _RECEIPT_COLUMNS if name != "recording_sid"}
    return statement.on_conflict_do_update(index_elements=["recording_sid"], set_=new)


_RECEIPT_KEPT = _kept_receipt()
_RECEIPT = [column.label(f"receipt_{column.name}") for column in receipts.columns]


def _receipt(row: Row[Any]) -> Receipt | None:
    facts: Mapping[str, Any] = {name: getattr(row, f"receipt_{name}") for name in _RECEIPT_COLUMNS}
    return Receipt(**facts) if facts["recording_sid"] is not None else None


def _read(row: Row[Any]) -> MovedItem:
    facts: dict[str, Any] = {name: getattr(row, name) for name in _COLUMNS}
    facts["state"] = _STATES[facts["state"]]
    facts["origin"] = SourceRecording.from_json(facts["origin"])
    return MovedItem(**facts)
