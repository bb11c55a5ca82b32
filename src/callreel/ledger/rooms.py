"""Rooms, one account at a time. A room is found by its SID, or by its name while it lasts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, and_, case, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncEngine

from callreel.errors import NotFound, RoomExists
from callreel.ledger.paging import Page, Place, at_place, make_page
from callreel.ledger.tables import rooms
from callreel.model.room import Room, RoomOptions, RoomStatus, RoomType
from callreel.model.sid import AccountSid


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomFilter:
    """Which rooms of an account a list shows. Bounds in UTC; `created_before` is exclusive."""

    status: RoomStatus = RoomStatus.IN_PROGRESS
    unique_name: str | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None


class Rooms:
    """The rooms of all accounts."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def find(self, account_sid: AccountSid, name: str) -> Room | None:
        """The room of this SID or unique name: of several that had the name the one in progress, else the newest."""
        c = rooms.c
        query = (
            select(rooms)
            .where(c.account_sid == account_sid, or_(c.sid == name, c.unique_name == name))
            .order_by(
                case((c.sid == name, 0), (c.status == RoomStatus.IN_PROGRESS, 1), else_=2),
                c.date_created.desc(),
                c.sid.desc(),
            )
            .limit(1)
        )
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        return None if row is None else _room(row)

    async def fetch(self, account_sid: AccountSid, name: str) -> Room:
        """As `find`; raises `NotFound`."""
        room = await self.find(account_sid, name)
        if room is None:
            raise NotFound()
        return room

    async def list(self, account_sid: AccountSid, wanted: RoomFilter, *, place: Place | None, size: int) -> Page[Room]:
        """One page of an account's rooms, newest first."""
        c = rooms.c
        conditions: list[ColumnElement[bool]] = [c.account_sid == account_sid, c.status == wanted.status]
        if wanted.unique_name is not None:
            conditions.append(c.unique_name == wanted.unique_name)
        if wanted.created_from is not None:
            conditions.append(c.date_created >= wanted.created_from)
        if wanted.created_before is not None:
            conditions.append(c.date_created < wanted.created_before)
        query = at_place(select(rooms).where(and_(*conditions)), c.date_created, c.sid, place=place, size=size)
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return make_page([_room(row) for row in rows], place=place, size=size)

    async def keep(self, room: Room) -> None:
        """Write a new room. Raises `RoomExists` when one in progress has its name."""
        async with self._engine.begin() as transaction:
            written = await transaction.execute(upsert(rooms).on_conflict_do_nothing().values(**room_row(room)))
            if not written.rowcount:
                raise RoomExists()

    async def complete(self, room: Room, *, now: datetime) -> Room:
        """End a room that is in progress; one that has ended stays as it is. Raises `NotFound`."""
        lasted_s = max(0, round((now - room.date_created).total_seconds()))
        statement = (
            update(rooms)
            .where(
                rooms.c.account_sid == room.account_sid,
                rooms.c.sid == room.sid,
                rooms.c.status == RoomStatus.IN_PROGRESS,
            )
            .values(status=RoomStatus.COMPLETED, end_time=now, date_updated=now, duration_s=lasted_s)
        )
        async with self._engine.begin() as transaction:
            await transaction.execute(statement)
        return await self.fetch(room.account_sid, room.sid)


def room_row(room: Room) -> dict[str, Any]:
    """A room as its table has it."""
    plain: Sequence[str] = [column.name for column in rooms.columns if column.name != "options"]
    return {name: getattr(room, name) for name in plain} | {"options": room.options.as_json()}


def _room(row: RowMapping) -> Room:
    values = dict(row)
    return Room(
        **values
        | {
            "status": RoomStatus(values["status"]),
            "type": RoomType(values["type"]),
            "options": RoomOptions.from_json(values["options"]),
        }
    )
