"""What a recording status callback says, where it may go, and how hard to try: all of it without sending anything."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urldefrag

from callreel.errors import InvalidParameter
from callreel.model.encryption_details import details_for_callback
from callreel.model.recording import Recording

EVENTS = ("in-progress", "completed", "absent", "failed")
DEFAULT_EVENTS = ("completed",)
DEFAULT_RETRY_POLICIES = ("ct",)  # Twilio tries again by itself only when no connection came about


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """Connection overrides from the URL's fragment, in milliseconds and tries; the defaults are Twilio's."""

    connect_ms: int = 5000
    read_ms: int = 15000
    total_ms: int = 15000
    retry_count: int = 1
    retry_policies: tuple[str, ...] = DEFAULT_RETRY_POLICIES


_RANGES = {"ct": (100, 10000), "rt": (100, 15000), "tt": (100, 15000), "rc": (0, 5)}
_POLICIES = {"4xx", "5xx", "ct", "rt", "all"}


def split_overrides(url: str) -> tuple[str, Overrides]:
    """The URL to call, without its fragment, and the overrides the fragment asks for.

    Unknown keys and values out of range are ignored, as a wrong fragment must not cost the callback.
    """
    bare, fragment = urldefrag(url)
    numbers: dict[str, int] = {}
    policies: tuple[str, ...] = DEFAULT_RETRY_POLICIES
    for key, value in parse_qsl(fragment):
        if key in _RANGES and value.isascii() and value.isdigit():
            low, high = _RANGES[key]
            if low <= int(value) <= high:
                numbers[key] = int(value)
        elif key == "rp":
            chosen = tuple(p for p in value.split(",") if p in _POLICIES)
            policies = chosen or policies
    return bare, Overrides(
        connect_ms=numbers.get("ct", 5000),
        read_ms=numbers.get("rt", 15000),
        total_ms=numbers.get("tt", 15000),
        retry_count=numbers.get("rc", 1),
        retry_policies=policies,
    )


def parse_events(values: Iterable[str]) -> tuple[str, ...]:
    """The events asked for: repeated parameters, or several in one value separated by spaces.

    Raises `InvalidParameter` for a word that is no event (Twilio's 13621).
    """
    asked = [word for value in values for word in value.split()]
    for word in asked:
        if word not in EVENTS:
            raise InvalidParameter(
                f"RecordingStatusCallbackEvent '{word[:40]}' is none of {', '.join(EVENTS)}",
                parameter="RecordingStatusCallbackEvent",
            )
    return tuple(e for e in EVENTS if e in asked) or DEFAULT_EVENTS


_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def iso(moment: datetime) -> str:
    """The v1 date: ISO 8601 in UTC without fractions, which Twilio's SDK would leave unparsed."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def rfc2822(moment: datetime) -> str:
    """Twilio's 2010 date: RFC 2822, always +0000 (its SDKs ignore any other offset).

    Written out, since a page of a list has 150 of them and `email.utils` takes five times as long.
    """
    m = moment.astimezone(UTC)
    day, month = _DAYS[m.weekday()], _MONTHS[m.month - 1]
    return f"{day}, {m.day:02d} {month} {m.year:04d} {m.hour:02d}:{m.minute:02d}:{m.second:02d} +0000"


def parameters_of(recording: Recording, event: str, *, recording_url: str) -> list[tuple[str, str]]:
    """Every parameter of one event, in the order Twilio sends them.

    `RecordingDuration` comes with `completed` only, `EncryptionDetails` not with `in-progress`; `ErrorCode` is `0`
    on success.
    """
    told = [
        ("RecordingSource", recording.source),
        ("RecordingTrack", recording.track or "both"),
        ("RecordingSid", recording.sid),
        ("RecordingUrl", recording_url),
        ("RecordingStatus", event),
        ("RecordingChannels", str(recording.channels)),
        ("ErrorCode", str(recording.error_code or 0)),
    ]
    if recording.call_sid:
        told.append(("CallSid", recording.call_sid))
    if recording.conference_sid:
        told.append(("ConferenceSid", recording.conference_sid))
    told += [("RecordingStartTime", rfc2822(recording.start_time)), ("AccountSid", recording.account_sid)]
    if event == "completed":
        told.append(("RecordingDuration", str(recording.duration_s)))
    details = details_for_callback(recording.encryption_details) if event != "in-progress" else None
    if details is not None:
        told.append(("EncryptionDetails", details))
    return told
