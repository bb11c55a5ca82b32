"""What comes with a finished recording that is handed in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from callreel.model.recording import CallbackWish
from callreel.model.sid import AccountSid
from callreel.model.storage_settings import RecordingKind

SOURCES = (
    "DialVerb",
    "Conference",
    "OutboundAPI",
    "Trunking",
    "RecordVerb",
    "StartCallRecordingAPI",
    "StartCallRecordingTwiML",
    "StartConferenceRecordingAPI",
    "Voicemail",  # ours
)
DEFAULT_SOURCE = "OutboundAPI"
TRACKS = ("inbound", "outbound", "both")
DIRECTIONS = ("inbound", "outbound-api", "outbound-dial", "trunking-originating", "trunking-terminating")


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """The parameters of one upload, checked. `callback_problem` says why no callback will be sent, if so."""

    account_sid: AccountSid
    kind: RecordingKind = RecordingKind.VOICE
    call_sid: str | None = None
    conference_sid: str | None = None
    from_number: str | None = None
    to_number: str | None = None
    direction: str | None = None
    start_time: datetime | None = None
    source: str = DEFAULT_SOURCE
    track: str | None = None
    campaign: str | None = None
    trim_silence: bool = False
    callback: CallbackWish | None = None
    callback_problem: str | None = None
    idempotency_key: str | None = None
    parameters_hash: str = ""
