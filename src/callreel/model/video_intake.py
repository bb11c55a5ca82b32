"""What comes with a finished video track that is handed in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from callreel.model.sid import AccountSid
from callreel.model.video_track import TrackType


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoIntake:
    """The parameters of one upload, checked. What is not given is minted, or read from the media.

    `status_callback` is the track's own; None leaves it to the room's. `callback_problem` says why the one that
    was given will not be called, if so.
    """

    account_sid: AccountSid
    room_sid: str | None = None
    participant_sid: str | None = None
    participant_identity: str | None = None
    source_sid: str | None = None
    track_name: str | None = None
    type: TrackType | None = None
    start_time: datetime | None = None
    offset_ms: int | None = None
    status_callback: str | None = None
    status_callback_method: str = "POST"
    callback_problem: str | None = None
    idempotency_key: str | None = None
    parameters_hash: str = ""
