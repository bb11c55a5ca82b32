"""Hear that a customer wants a composition, and say why there is none."""

from __future__ import annotations

from typing import NoReturn

from callreel.errors import CompositionsUnavailable, RoomNotFound
from callreel.ledger.ledger import Ledger
from callreel.model.sid import AccountSid
from callreel.model.storage_settings import RecordingKind


async def request_composition(account_sid: AccountSid, room_sid: str, *, ledger: Ledger) -> NoReturn:
    """Refuse a composition of a room's recordings, with the reason that applies first.

    Twilio cannot compose what lies outside its own store or is encrypted; callreel composes nothing. Raises
    `RoomNotFound` and `CompositionsUnavailable`.
    """
    if await ledger.rooms.find(account_sid, room_sid) is None:
        raise RoomNotFound(f"The room {room_sid} was not found")
    _, settings = await ledger.settings.current(account_sid, RecordingKind.VIDEO)
    in_the_way = []
    if settings.aws_storage_enabled:
        in_the_way.append("AwsStorageEnabled")
    if settings.encryption_enabled:
        in_the_way.append("EncryptionEnabled")
    if in_the_way:
        switches = " and ".join(f"{name}=false" for name in in_the_way)
        raise CompositionsUnavailable(
            "Compositions need their recordings unencrypted in this service's own storage. Set "
            f"{switches} in /v1/RecordingSettings/Default; it holds for rooms recorded afterwards."
        )
    raise CompositionsUnavailable(
        "This installation does not make compositions. Fetch the room's recordings and combine them with a media "
        "tool of yours, for instance ffmpeg."
    )
