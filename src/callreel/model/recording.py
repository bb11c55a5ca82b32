"""A recording, its states, and the map of its life in three tables.

`ARROWS` says which state may follow, `next_job` what a state asks for, `OWED_EVENT` which arrow owes the
customer a callback. Nothing here moves anything: `ledger.move()` does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from callreel.model.sid import AccountSid, RecordingSid
from callreel.model.storage_settings import FatalErrorPolicy, RecordingKind, StorageSettings
from callreel.model.video_track import VideoTrack


class State(StrEnum):
    """Where a recording is in its life; see `docs/durability.md` for what must already be durable in each."""

    RECEIVING = "receiving"
    ABSENT = "absent"
    SPOOLED = "spooled"
    SEALED = "sealed"
    UPLOADING = "uploading"
    WAITING = "waiting"
    PARKED = "parked"
    DELIVERED = "delivered"
    RELEASED = "released"
    FATAL = "fatal"
    ERASED = "erased"
    DELETING = "deleting"
    DELETED = "deleted"
    PURGED = "purged"
    AT_SOURCE = "at_source"


class ObjectFate(StrEnum):
    """What becomes of the object in the customer's bucket when its recording is deleted here."""

    KEPT = "kept"  # it is the customer's, and stays
    REMOVING = "removing"  # its removal was asked for, and is tried
    REMOVED = "removed"
    REMAINS = "remains"  # its removal was asked for, and the bucket would not; may be restarted


S = State
ARROWS: dict[State | None, frozenset[State]] = {
    None: frozenset({S.RECEIVING, S.SPOOLED, S.ABSENT, S.AT_SOURCE}),
    S.AT_SOURCE: frozenset({S.SPOOLED}),
    S.RECEIVING: frozenset({S.SPOOLED, S.ABSENT}),
    S.SPOOLED: frozenset({S.SEALED, S.PARKED, S.FATAL}),
    S.SEALED: frozenset({S.UPLOADING, S.PARKED, S.FATAL}),
    S.UPLOADING: frozenset({S.DELIVERED, S.WAITING, S.PARKED, S.FATAL}),
    S.WAITING: frozenset({S.UPLOADING, S.PARKED, S.FATAL}),
    S.PARKED: frozenset({S.SPOOLED, S.SEALED, S.DELETING}),
    S.DELIVERED: frozenset({S.RELEASED, S.DELETING}),
    S.RELEASED: frozenset({S.DELETING}),
    S.FATAL: frozenset({S.ERASED, S.SPOOLED, S.SEALED, S.DELETING}),
    S.ABSENT: frozenset({S.DELETING}),
    S.ERASED: frozenset({S.DELETING, S.PURGED}),
    S.DELETING: frozenset({S.DELETED}),
    S.DELETED: frozenset({S.PURGED, S.DELETING}),
    S.PURGED: frozenset(),
}

SILENT_SOURCE = "Trunking"  # Elastic SIP Trunking recordings have no status callbacks

OWED_EVENT: dict[State, str] = {
    S.SPOOLED: "in-progress",
    S.ABSENT: "absent",
    S.DELIVERED: "completed",
    S.PARKED: "failed",
    S.FATAL: "failed",
}
"""Entering this state owes the customer this event, once in the recording's life, if they asked for it."""

VIDEO_OWED_EVENT: dict[State, str] = {
    S.SPOOLED: "recording-started",
    S.ABSENT: "recording-failed",
    S.DELIVERED: "recording-completed",
    S.PARKED: "recording-failed",
    S.FATAL: "recording-failed",
}
"""As `OWED_EVENT`, in the words of Twilio's video."""

NOTHING_TO_DO = frozenset({S.AT_SOURCE, S.RECEIVING, S.ABSENT, S.PARKED, S.RELEASED, S.ERASED, S.DELETED, S.PURGED})
COMPLETED = frozenset({S.DELIVERED, S.RELEASED})
UNFINISHED = frozenset({S.SPOOLED, S.SEALED, S.UPLOADING, S.WAITING, S.PARKED, S.FATAL})


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackWish:
    """Where, how and about what the customer wants to be told."""

    url: str
    method: str = "POST"
    events: tuple[str, ...] = ("completed",)


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One recording as its row says it is. Sizes in bytes, digests in lower-case hex, times in UTC.

    `sealed_at_rest` says that the media lies sealed in spool and storage, `media_key_wrapped` holds what opens it. What
    was encrypted for the customer as it came never had such a key, is a blob from the first, and has no `media_md5`.
    `video` is the track of a video recording, None for voice. `source_sid` names the source a moved recording came
    from, `source_recording_sid` what it was called there, `price` what it had cost there. `carried` is true while a
    worker takes the recording from step to step under one job; it is not stored.
    Without slots, so that `changed` can copy it whole: each move makes one, and `replace` took 20 µs for it.
    """

    sid: RecordingSid
    account_sid: AccountSid
    kind: RecordingKind
    state: State
    fence: int
    host_id: str
    call_sid: str | None
    conference_sid: str | None
    source: str
    track: str | None
    channels: int
    duration_ms: int
    media_type: str
    start_time: datetime
    date_created: datetime
    date_updated: datetime
    media_size_bytes: int
    media_sha256: str
    media_md5: str
    settings: StorageSettings
    sealed_at_rest: bool = False
    media_key_wrapped: bytes | None = field(default=None, repr=False)
    settings_id: int | None = None
    callback: CallbackWish | None = None
    error_code: int | None = None
    blob_size_bytes: int | None = None
    blob_sha256: str | None = None
    blob_md5: str | None = None
    encryption_details: dict[str, str] | None = None
    is_external: bool = False
    bucket: str | None = None
    object_key: str | None = None
    object_url: str | None = None
    upload_id: str | None = None
    attempts: int = 0
    retry_spent_s: float = 0.0
    retry_wait_s: float = 0.0
    next_attempt_at: datetime | None = None
    refused_at: datetime | None = None
    last_error_code: str | None = None
    last_error: str | None = None
    last_request_id: str | None = None
    verify_method: str | None = None
    verified_at: datetime | None = None
    etag: str | None = None
    version_id: str | None = None
    deleted_at: datetime | None = None
    purge_after: datetime | None = None
    source_sid: str | None = None
    source_recording_sid: str | None = None
    price: str | None = None
    price_unit: str | None = None
    object_fate: str | None = None
    legal_hold_reason: str | None = None
    legal_hold_by: str | None = None
    legal_hold_at: datetime | None = None
    video: VideoTrack | None = None
    carried: bool = field(default=False, compare=False)

    def changed(self, **facts: Any) -> Self:
        """The same recording with these facts in place of the old ones."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__, **facts)
        return other

    @property
    def is_sealed(self) -> bool:
        """Whether the blob's facts are fixed: from then on these bytes go out, and no others."""
        return self.blob_sha256 is not None

    @property
    def is_held(self) -> bool:
        """Refused for good, and the media is kept for its owner to restart."""
        return self.state is State.FATAL and self.settings.fatal_error_policy is FatalErrorPolicy.HOLD

    @property
    def has_legal_hold(self) -> bool:
        """Whether nobody may delete it until its owner lifts the hold."""
        return self.legal_hold_at is not None

    @property
    def duration_s(self) -> int:
        """Whole seconds, as Twilio shows them; anything audible lasts at least one."""
        return max(1, round(self.duration_ms / 1000)) if self.duration_ms else 0


@dataclass(frozen=True, slots=True)
class Job:
    """A reminder to take a step, not before `at` (None: now)."""

    step: str
    at: datetime | None = None


_STEP_OF = {
    S.SPOOLED: "seal",
    S.SEALED: "deliver",
    S.UPLOADING: "deliver",
    S.WAITING: "deliver",
    S.DELIVERED: "release",
    S.FATAL: "erase",
    S.DELETING: "delete",
}


_MAY_BE_FOR_LATER = frozenset({S.SPOOLED, S.SEALED, S.WAITING, S.DELIVERED, S.DELETING})


def next_job(state: State, *, settings: StorageSettings, next_attempt_at: datetime | None) -> Job | None:
    """What a recording in this state asks for, or None when it waits for a person or for nothing."""
    if state is S.FATAL and settings.fatal_error_policy is not FatalErrorPolicy.DELETE:
        return None
    step = _STEP_OF.get(state)
    if step is None:
        return None
    return Job(step, next_attempt_at if state in _MAY_BE_FOR_LATER else None)


def owed_event(recording: Recording, entering: State) -> str | None:
    """The event a recording owes its customer when it enters a state, None where nobody asked to be told."""
    owed, wish = OWED_EVENT if recording.video is None else VIDEO_OWED_EVENT, recording.callback
    event = owed.get(entering)
    if event is None or wish is None or event not in wish.events or recording.source == SILENT_SOURCE:
        return None
    return event
