"""The media track a video recording was made of, and the room it was published in."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class TrackType(StrEnum):
    """What a track carries. `data` tracks are never recorded; the word is Twilio's and may be filtered by."""

    AUDIO = "audio"
    VIDEO = "video"
    DATA = "data"


class Container(StrEnum):
    """Matroska's two extensions: one for sound alone, one with pictures."""

    MKA = "mka"
    MKV = "mkv"


MEDIA_TYPES = {Container.MKA: "audio/x-matroska", Container.MKV: "video/x-matroska"}


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoTrack:
    """What is known of the track of one video recording, with the name and type of its room.

    `offset_ms` is where the track begins on a time line that all tracks of a room share.
    """

    room_sid: str
    room_name: str
    room_type: str
    participant_sid: str
    participant_identity: str
    source_sid: str
    track_name: str
    type: TrackType
    codec: str
    container: Container
    offset_ms: int
    status_callback: str | None = None
    status_callback_method: str | None = None
