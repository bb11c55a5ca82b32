"""A recording on its way out of a source: one row for each, whoever found it first, and the states it goes through.

The recording it becomes has a life of its own (`model/recording.py`); here is what happens before and after: the
fetching, and the deletion of the original, which needs proof.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from callreel.model.sid import AccountSid, RecordingSid
from callreel.model.source import SourceRecording


class ItemState(StrEnum):
    """Where an item is. What must be durable before each is in `docs/migration.md`."""

    LISTED = "listed"
    FETCHED = "fetched"
    DELETE_INTENT = "delete_intent"
    DELETE_CONFIRMED = "delete_confirmed"  # passed through: the link is cleared in the same transaction
    LINK_CLEARED = "link_cleared"
    KEPT = "kept"
    DELETE_FAILED = "delete_failed"
    FAILED = "failed"
    SKIPPED = "skipped"


S = ItemState
ITEM_ARROWS: dict[ItemState, frozenset[ItemState]] = {
    S.LISTED: frozenset({S.LISTED, S.FETCHED, S.FAILED, S.SKIPPED}),
    S.FETCHED: frozenset({S.FETCHED, S.DELETE_INTENT, S.KEPT, S.FAILED}),
    S.DELETE_INTENT: frozenset({S.DELETE_INTENT, S.LINK_CLEARED, S.DELETE_FAILED}),
    S.DELETE_CONFIRMED: frozenset({S.LINK_CLEARED}),
    S.LINK_CLEARED: frozenset(),
    S.KEPT: frozenset({S.FETCHED}),
    S.DELETE_FAILED: frozenset({S.FETCHED}),
    S.FAILED: frozenset({S.LISTED, S.FETCHED}),
    S.SKIPPED: frozenset({S.LISTED}),
}
"""A state may follow itself where something is tried again."""

MOVED = frozenset({S.LINK_CLEARED, S.KEPT, S.DELETE_FAILED})
"""The copy is in its bucket, as far as the bucket can say, and nothing more happens to the original by itself."""

FINISHED = frozenset({S.LINK_CLEARED, S.KEPT, S.DELETE_FAILED, S.FAILED, S.SKIPPED})
"""Nothing more happens by itself."""


class Reason(StrEnum):
    """Why an item is where it is, for people and programs alike."""

    SWITCHED_OFF = "delete_source_switched_off"
    INSUFFICIENT_EVIDENCE = "insufficient_evidence"
    CANCELED = "canceled"
    OBJECT_MISSING = "object_missing"
    OBJECT_DIFFERS = "object_differs"
    NOT_READY = "not_ready"
    NO_MEDIA = "no_media"
    GONE = "gone_at_source"
    NOT_WHOLE = "not_whole"
    NOT_AUDIO = "not_audio"
    SOURCE_STUMBLED = "source_stumbled"
    SOURCE_REFUSED = "source_refused"
    DELIVERY_FAILED = "delivery_failed"
    DELETE_REFUSED = "delete_refused"
    DELETED_HERE = "deleted_here"
    EXTERNAL_STORAGE_OFF = "external_storage_off"


@dataclass(frozen=True, kw_only=True)
class MovedItem:
    """An item as its row says it is. Sizes in bytes, digests in lower-case hex, times in UTC.

    `recording_sid` is the SID it has, or will have, here: its own, or a new one where that was taken. `source_link`
    leads to the original; it is None once the source has confirmed that there is none. `kept_source` is what the
    recording's `source` says here. `next_attempt_at` is None while nothing is due.
    """

    recording_sid: RecordingSid
    source_sid: str
    source_recording_sid: str
    account_sid: AccountSid
    migration_sid: str | None
    host_id: str
    state: ItemState
    fence: int
    origin: SourceRecording
    kept_source: str
    source_link: str | None
    media_size_bytes: int | None = None
    media_sha256: str | None = None
    attempts: int = 0
    delete_attempts: int = 0
    next_attempt_at: datetime | None = None
    reason: str | None = None
    detail: str | None = None
    remedy: str | None = None
    fetched_at: datetime | None = None
    intent_at: datetime | None = None
    delete_sent_at: datetime | None = None
    delete_confirmed_at: datetime | None = None
    date_created: datetime
    date_updated: datetime

    @property
    def sid(self) -> RecordingSid:
        """What pages are ordered by."""
        return self.recording_sid

    def changed(self, **facts: Any) -> Self:
        """The same item with these facts in place of the old ones."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__, **facts)
        return other


def expected_bytes(origin: SourceRecording) -> int | None:
    """How long the media of a recording is by its metadata: Twilio's WAV is 8 kHz, 16 bits; None while unknown."""
    if origin.duration_s is None:
        return None
    return WAV_HEAD_BYTES + origin.duration_s * BYTES_PER_SECOND * origin.channels


WAV_HEAD_BYTES = 44
BYTES_PER_SECOND = 16_000  # of one channel: 128 kbit/s, as Twilio documents it
