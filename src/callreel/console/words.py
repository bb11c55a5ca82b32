"""How things look to a person: times, lengths, sizes, SIDs, and the words for where a recording stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from callreel.model.recording import COMPLETED, Recording, State

SOURCES = {
    "DialVerb": "Dial verb",
    "RecordVerb": "Record verb",
    "Conference": "Conference",
    "OutboundAPI": "Outbound API",
    "Trunking": "Trunking",
    "StartCallRecordingAPI": "Started by API",
    "StartConferenceRecordingAPI": "Conference, by API",
    "Voicemail": "Voicemail",
}
"""Twilio's sources, and callreel's own, in words."""


# ITU-T E.164: zones whose country codes have three digits.
_LONG_ZONES = frozenset({"21", "22", "23", "24", "25", "26", "29", "35", "37", "38", "42", "50", "59", "67", "68", "69",
                         "80", "85", "87", "88", "96", "97", "99"})  # fmt: skip
_LONG_CODES = frozenset({"670", "800", "970"})


@dataclass(frozen=True, slots=True)
class Standing:
    """One of the words a recording's state is shown by, its colour, and where its media is."""

    word: str
    tone: str
    place: str
    more: str = ""
    more_tone: str = ""


def standing_of(recording: Recording) -> Standing:
    """The word for where a recording stands, and where its media is."""
    state = recording.state
    if state in COMPLETED:
        return _kept(recording)
    if recording.is_held:
        why = f"Bucket refused: {recording.last_error_code}" if recording.last_error_code else "Refused for good"
        return Standing("Held", "vio", "Kept on this server", why, "vio")
    return _STANDINGS[state](recording)


def _kept(recording: Recording) -> Standing:
    if not recording.is_external:
        return Standing("Completed", "ok", "Service storage", "External storage was off", "mut")
    folder = "/" + (recording.object_key or "").rpartition("/")[0]
    return Standing("In your bucket", "teal", recording.bucket or "Your bucket", folder.rstrip("/") + "/", "mono")


def _waiting(recording: Recording) -> Standing:
    at = f"next try {clock_time(recording.next_attempt_at)}" if recording.next_attempt_at else "waiting"
    why = recording.last_error_code or "No answer"
    return Standing("Uploading", "up", f"Tried {recording.attempts} times, {at}", why, "warn")


def _uploading(recording: Recording) -> Standing:
    return Standing("Uploading", "up", "Kept on this server", f"{size(recording.media_size_bytes)} on its way", "mut")


def _deleted(recording: Recording) -> Standing:
    until = f"Metadata until {date(recording.purge_after)}" if recording.purge_after else "Metadata is kept"
    return Standing("Deleted", "del", "Media removed", until, "mut")


_STANDINGS: dict[State, Callable[[Recording], Standing]] = {
    State.AT_SOURCE: lambda recording: Standing("Completed", "ok", "At the source", "External storage is off", "mut"),
    State.RECEIVING: lambda r: Standing("Uploading", "up", "Arriving", "", ""),
    State.SPOOLED: _uploading,
    State.SEALED: _uploading,
    State.UPLOADING: _uploading,
    State.WAITING: _waiting,
    State.PARKED: lambda r: Standing("Parked", "warn", "Kept on this server", "Retry window ended", "warn"),
    State.FATAL: lambda r: Standing("Failed", "bad", "Being erased", r.last_error_code or "", "bad"),
    State.ERASED: lambda r: Standing("Failed", "bad", "Media erased", r.last_error_code or "Refused for good", "bad"),
    State.ABSENT: lambda r: Standing("Failed", "bad", "No media", "Nothing was recorded", "bad"),
    State.DELETING: _deleted,
    State.DELETED: _deleted,
    State.PURGED: _deleted,
}


def short(sid: str | None) -> str:
    """A SID as it is shown in lists."""
    return "" if not sid else f"{sid[:8]}…{sid[-4:]}" if len(sid) > 14 else sid


def clock_time(moment: datetime) -> str:
    """Hours, minutes and seconds, in UTC."""
    return moment.strftime("%H:%M:%S")


def exact_time(moment: datetime) -> str:
    """With milliseconds."""
    return moment.strftime("%H:%M:%S.") + f"{moment.microsecond // 1000:03d}"


def date(moment: datetime) -> str:
    """21 Nov 2026"""
    return f"{moment.day} {moment.strftime('%b %Y')}"


def long_date(moment: datetime) -> str:
    """21 November 2026"""
    return f"{moment.day} {moment.strftime('%B %Y')}"


def moment(at: datetime | None) -> str:
    """21 Nov 2026, 16:42:07 UTC"""
    return f"{date(at)}, {clock_time(at)} UTC" if at else "—"


def since(then: datetime, now: datetime) -> str:
    """12 s, 3 min, 5 h, 2 days: how long ago, as exact as anybody asks."""
    seconds = max(0, int((now - then).total_seconds()))
    if seconds < 120:
        return f"{seconds} s"
    if seconds < 7200:
        return f"{seconds // 60} min"
    return f"{seconds // 3600} h" if seconds < 2 * 86400 else f"{seconds // 86400} days"


def took(seconds: float) -> str:
    """0.4 s, 3.1 s, 48 s, 5 min"""
    if seconds < 10:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def hours(duration_ms: int) -> str:
    """214 hours, 1.4 hours, 35 minutes"""
    minutes = duration_ms / 60_000
    if minutes < 60:
        return plural(round(minutes), "minute")
    return f"{minutes / 60:.1f} hours" if minutes < 600 else f"{minutes / 60:,.0f} hours"


def length(duration_ms: int) -> str:
    """12:48, 1:02:03"""
    seconds = round(duration_ms / 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes:02d}:{seconds:02d}"


def spoken_length(duration_ms: int) -> str:
    """12 min 48 s"""
    seconds = round(duration_ms / 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{hours} h" if hours else "", f"{minutes} min" if minutes else "", f"{seconds} s" if seconds else ""]
    return " ".join(part for part in parts if part) or "0 s"


def size(count: int | None) -> str:
    """24.6 MB, decimal, as object stores bill"""
    if count is None:
        return "—"
    if count < 1000:
        return f"{count} B"
    value = float(count)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 999.95:
            return f"{value:.1f} {unit}"
    return f"{value / 1000:.1f} TB"


def number(count: int) -> str:
    """1,284"""
    return f"{count:,}"


def phone(text: str) -> str:
    """+44 20 7946 0182: a number of the plan E.164 in groups that can be read; anything else as it is."""
    if not (text.startswith("+") and text[1:].isdigit() and text.isascii() and 8 <= len(text) <= 16):
        return text
    code = 1 if text[1] in "17" else 3 if text[1:4] in _LONG_CODES or text[1:3] in _LONG_ZONES else 2
    rest = text[1 + code :]
    groups = [rest[:3], rest[3:6], rest[6:]] if len(rest) <= 10 else [rest[:3], rest[3:7], rest[7:]]
    return " ".join(group for group in (text[: 1 + code], *groups) if group)


def source(name: str) -> str:
    """A source in words."""
    return SOURCES.get(name, name)


def channels(count: int) -> str:
    """Mono, or dual channel"""
    return "Dual channel" if count == 2 else "Mono"


def plural(count: int, one: str, many: str = "") -> str:
    """1 recording, 2 recordings"""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


FILTERS: dict[str, Callable[..., Any]] = {
    "short": short,
    "clock_time": clock_time,
    "exact_time": exact_time,
    "date": date,
    "long_date": long_date,
    "moment": moment,
    "lasting": length,
    "since": since,
    "took": took,
    "hours": hours,
    "spoken_length": spoken_length,
    "size": size,
    "number": number,
    "source": source,
    "channels": channels,
    "phone": phone,
    "plural": plural,
    "standing": standing_of,
}
