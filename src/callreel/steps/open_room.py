"""Make a room that recordings can be handed in under."""

from __future__ import annotations

from callreel.clock import Clock
from callreel.ledger.ledger import Ledger
from callreel.model.room import Room, RoomOptions, RoomStatus, RoomType
from callreel.model.sid import AccountSid, mint_sid


async def open_room(
    account_sid: AccountSid,
    *,
    unique_name: str | None,
    type: RoomType,
    status_callback: str | None,
    status_callback_method: str,
    options: RoomOptions,
    ledger: Ledger,
    clock: Clock,
) -> Room:
    """A new room in progress, named by its SID unless it is given a name. Raises `RoomExists`."""
    now, sid = clock.now(), mint_sid("RM")
    room = Room(
        sid=sid,
        account_sid=account_sid,
        unique_name=unique_name or sid,
        status=RoomStatus.IN_PROGRESS,
        type=type,
        date_created=now,
        date_updated=now,
        status_callback=status_callback,
        status_callback_method=status_callback_method,
        options=options,
    )
    await ledger.rooms.keep(room)
    return room
