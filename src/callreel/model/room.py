"""A video room: what its tracks were recorded in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from callreel.model.sid import AccountSid

LONGEST_NAME = 128  # Twilio's limit on a room's unique name


class RoomStatus(StrEnum):
    """What Twilio calls the states of a room."""

    IN_PROGRESS = "in-progress"
    COMPLETED = "completed"
    FAILED = "failed"


class RoomType(StrEnum):
    """What Twilio calls the kinds of rooms. callreel treats them alike."""

    GROUP = "group"
    GO = "go"
    PEER_TO_PEER = "peer-to-peer"
    GROUP_SMALL = "group-small"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomOptions:
    """What a room's creator may set and callreel only repeats. The defaults are Twilio's; times as its names say."""

    enable_turn: bool = True
    max_participants: int = 50
    max_participant_duration: int = 86400  # seconds
    record_participants_on_connect: bool = False
    video_codecs: tuple[str, ...] = ("VP8",)
    media_region: str = "us1"
    audio_only: bool = False
    empty_room_timeout: int = 5  # minutes
    unused_room_timeout: int = 5  # minutes
    large_room: bool = False

    def as_json(self) -> dict[str, Any]:
        """Plain values, as the row keeps them."""
        return asdict(self) | {"video_codecs": list(self.video_codecs)}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Self:
        """Read a row back; fields of later versions are ignored, missing ones have their default."""
        known = {f.name for f in fields(cls)}
        values = {name: value for name, value in kept.items() if name in known}
        if "video_codecs" in values:
            values["video_codecs"] = tuple(values["video_codecs"])
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """One room of an account. Times in UTC, `duration_s` in seconds once it has ended."""

    sid: str
    account_sid: AccountSid
    unique_name: str
    status: RoomStatus
    type: RoomType
    date_created: datetime
    date_updated: datetime
    end_time: datetime | None = None
    duration_s: int | None = None
    status_callback: str | None = None
    status_callback_method: str = "POST"
    options: RoomOptions = field(default_factory=RoomOptions)
