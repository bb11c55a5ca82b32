"""A source: a Twilio account that recordings are moved out of, and what it says of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from callreel.model.sid import AccountSid, SourceSid

TWILIO_URL = "https://api.twilio.com"
POLL_SECONDS = 60
VOICEMAIL = "Voicemail"
RECORD_VERB = "RecordVerb"  # Twilio's word for what <Record> made: voicemails, as a rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A source as everybody may see it. Its secret stays sealed in the ledger.

    `twilio_account_sid` is the account over there, `account_sid` the one of ours that recordings come to.
    `api_key_sid` is None when the credential is the account's auth token. `poll_seconds` 0 is never.
    `record_verb_is_voicemail`: what `<Record>` made is kept here as `Source=Voicemail`.
    `include_calls`: who called whom is asked of the source once a recording is here. New recordings are those
    created at or after `date_created`; `polled_to` is how far the poller has read, None before its first round.
    """

    sid: SourceSid
    account_sid: AccountSid
    friendly_name: str
    twilio_account_sid: str
    api_key_sid: str | None = None
    base_url: str = TWILIO_URL
    poll_seconds: int = POLL_SECONDS
    include_subaccounts: bool = False
    record_verb_is_voicemail: bool = False
    include_calls: bool = True
    polled_to: datetime | None = None
    last_error: str | None = None
    date_created: datetime
    date_updated: datetime

    @property
    def has_webhook(self) -> bool:
        """Whether webhooks can be taken: they are signed with the auth token, which an API key does not know."""
        return self.api_key_sid is None

    def kept_as(self, recording: SourceRecording, *, marked_voicemail: bool = False) -> str:
        """The `Source` a recording of this source is kept under here."""
        if marked_voicemail or (self.record_verb_is_voicemail and recording.source == RECORD_VERB):
            return VOICEMAIL
        return recording.source


def webhook_trouble(url: str) -> str | None:
    """Why nobody outside can call a webhook of this address, and what to set; None when nothing speaks against it."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        is_inside = not ip_address(host).is_global
    except ValueError:
        is_inside = host == "localhost" or "." not in host
    if not is_inside:
        return None
    return (
        f"Twilio cannot reach {parts.scheme}://{parts.netloc}: set PUBLIC_URL (CALLREEL_PUBLIC_URL) to the address "
        "under which this service is reached from outside, and start it again. Until then new recordings are found by "
        "looking"
    )


@dataclass(frozen=True, slots=True, repr=False)
class SourceCredential:
    """What signs in at a source: account SID and auth token, or an API key's SID and secret. Its repr shows neither."""

    username: str
    password: str

    def __repr__(self) -> str:
        return "SourceCredential(…)"


class SourceStatus(StrEnum):
    """Twilio's statuses of a recording, and `unknown` for a word it did not have when this was written."""

    IN_PROGRESS = "in-progress"
    PAUSED = "paused"
    STOPPED = "stopped"
    PROCESSING = "processing"
    COMPLETED = "completed"
    ABSENT = "absent"
    FAILED = "failed"
    DELETED = "deleted"
    UNKNOWN = "unknown"

    @classmethod
    def read(cls, text: object) -> SourceStatus:
        """The status of this name."""
        return cls(text) if isinstance(text, str) and text in cls._value2member_map_ else cls.UNKNOWN


NEVER_MEDIA = frozenset({SourceStatus.ABSENT, SourceStatus.FAILED, SourceStatus.DELETED})


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRecording:
    """What a listing tells of one recording. Its `media_url` is not kept: media comes from the source's own base URL.

    `duration_s` is whole seconds, None while it is not known. `encryption_details` are spelled as a row keeps them.
    """

    sid: str
    account_sid: str
    call_sid: str | None = None
    conference_sid: str | None = None
    date_created: datetime
    start_time: datetime | None = None
    duration_s: int | None = None
    channels: int = 1
    source: str = "OutboundAPI"
    track: str | None = None
    price: str | None = None
    price_unit: str | None = None
    status: SourceStatus = SourceStatus.COMPLETED
    error_code: int | None = None
    encryption_details: Mapping[str, str] | None = None

    @property
    def is_ready(self) -> bool:
        """Whether its media can be fetched."""
        return self.status is SourceStatus.COMPLETED

    @property
    def duration_ms(self) -> int | None:
        """The length, as a row counts it."""
        return None if self.duration_s is None else timedelta(seconds=self.duration_s) // timedelta(milliseconds=1)

    def as_json(self) -> dict[str, Any]:
        """A plain object for a row's JSON column; `from_json` reads it."""
        return {
            "sid": self.sid,
            "account_sid": self.account_sid,
            "call_sid": self.call_sid,
            "conference_sid": self.conference_sid,
            "date_created": self.date_created.isoformat(),
            "start_time": None if self.start_time is None else self.start_time.isoformat(),
            "duration_s": self.duration_s,
            "channels": self.channels,
            "source": self.source,
            "track": self.track,
            "price": self.price,
            "price_unit": self.price_unit,
            "status": str(self.status),
            "error_code": self.error_code,
            "encryption_details": None if self.encryption_details is None else dict(self.encryption_details),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> SourceRecording:
        """What `as_json` made."""
        start_time = stored["start_time"]
        return cls(
            **{name: stored[name] for name in _PLAIN},
            date_created=datetime.fromisoformat(stored["date_created"]),
            start_time=None if start_time is None else datetime.fromisoformat(start_time),
            status=SourceStatus.read(stored["status"]),
        )


_PLAIN = (
    "sid", "account_sid", "call_sid", "conference_sid", "duration_s", "channels", "source", "track", "price",
    "price_unit", "error_code", "encryption_details",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SourcePage:
    """One page of a listing. `next_page` is where it goes on, None at the end; it may be kept and used much later.

    `is_past`: every row of the page was older than what was asked for, and in the order newest first.
    """

    recordings: tuple[SourceRecording, ...]
    next_page: str | None
    is_past: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceCall:
    """What the source tells of one call. Its numbers may be phone numbers, SIP addresses or `client:` names."""

    sid: str
    from_number: str | None = None
    to_number: str | None = None
    direction: str | None = None
    status: str = "completed"
    start_time: datetime | None = None
    end_time: datetime | None = None
    duration_s: int | None = None


@dataclass(frozen=True, slots=True)
class SourceCallPage:
    """One page of a list of calls. `next_page` is where it goes on, None at the end."""

    calls: tuple[SourceCall, ...]
    next_page: str | None


class DeleteOutcome(StrEnum):
    """What became of a deletion at the source."""

    DELETED = "deleted"  # 204
    NOT_THERE = "not-there"  # 404: proof of ours only where we had asked before
    REFUSED = "refused"  # anything else it said and meant


@dataclass(frozen=True, slots=True)
class DeleteAnswer:
    """What the source answered to a deletion."""

    outcome: DeleteOutcome
    status: int
    message: str = ""


class AbilityOutcome(StrEnum):
    """What became of trying an ability."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Ability:
    """Whether a credential may do one thing at its source, how that was seen, and what to do if not."""

    name: str
    outcome: AbilityOutcome
    detail: str
    remedy: str | None = None
