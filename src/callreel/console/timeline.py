"""What happened to a recording, from the ledger's moves and the callbacks owed, as lines a person reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from callreel.console.words import channels, short, size
from callreel.ledger.outbox import OwedEvent
from callreel.ledger.recordings import MoveLine
from callreel.model.recording import Recording, State

PROOFS = {
    "read": "read back and compared, byte for byte",
    "checksum": "the bucket computed the same SHA-256",
    "md5": "the bucket's ETag is the MD5 of what was sent",
    "accepted": "the bucket said yes; that is no proof, so the local copy stayed for a while",
}
"""Evidence in words, by `VerifyMethod`."""


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that happened: `tone` is ok, warn or bad."""

    at: datetime
    title: str
    more: str
    icon: str = "check"
    tone: str = "ok"


def timeline_of(recording: Recording, moves: Sequence[MoveLine], events: Sequence[OwedEvent]) -> list[Line]:
    """Oldest first. An upload and what came of it are one line."""
    lines: list[Line] = []
    attempt = 0
    for move in moves:
        if move.to_state == State.UPLOADING:
            attempt += 1
            if move is moves[-1]:
                lines.append(Line(move.at, f"Upload attempt {attempt} is under way", "", "send"))
            continue
        lines.append(_line(recording, move, attempt))
    lines += [_callback(event) for event in events]
    return sorted(lines, key=lambda line: line.at)


def _line(recording: Recording, move: MoveLine, attempt: int) -> Line:
    """One move in words."""
    why = _sentence(move.reason or "")
    stored = "in your bucket" if recording.is_external else "in service storage"
    match move.to_state:
        case State.SPOOLED if move.from_state is None or move.from_state == State.RECEIVING:
            return Line(move.at, "Recording taken in", f"{_media(recording)}, on disk before it was acknowledged")
        case State.SPOOLED | State.SEALED if move.from_state in (State.PARKED, State.FATAL):
            return Line(move.at, "Restarted", why or "Another window under the settings of that moment", "retry")
        case State.SEALED:
            return Line(move.at, _sealed_title(recording), f"SHA-256 {_digest(recording.blob_sha256)}", "shield")
        case State.DELIVERED:
            return Line(move.at, f"Stored {stored}", _stored(recording, attempt))
        case State.RELEASED:
            return Line(move.at, "Local copy erased", "Nothing of the media is left in the spool", "trash")
        case State.WAITING:
            more = f"{why} The window stays open for two hours.".strip()
            return Line(move.at, f"Upload attempt {attempt} did not succeed", more, "bang", "warn")
        case State.PARKED:
            return Line(move.at, "Parked", f"{why} The media is kept here until somebody restarts it.", "clock", "warn")
        case State.FATAL:
            return Line(move.at, "Refused for good", why or recording.last_error or "", "bang", "bad")
        case State.ABSENT:
            return Line(move.at, "Nothing was recorded", "The media holds no sample", "bang", "warn")
        case State.ERASED:
            return Line(move.at, "Media erased", why, "trash", "bad")
        case State.DELETING:
            return Line(move.at, "Deletion asked for", why, "trash")
        case State.DELETED:
            return Line(move.at, "Media removed", "Everything of it that lay here is gone", "trash")
    return Line(move.at, move.to_state.capitalize(), why)


def _sealed_title(recording: Recording) -> str:
    if recording.encryption_details is None:
        return "Checksum computed"
    return f"Encrypted with public key {short(recording.encryption_details.get('public_key_sid'))}"


def _media(recording: Recording) -> str:
    track = recording.video
    what = channels(recording.channels).lower() if track is None else f"{track.codec} as Matroska"
    return f"{size(recording.media_size_bytes)}, {what}"


def _stored(recording: Recording, attempt: int) -> str:
    parts = [f"Upload attempt {attempt}" if attempt else ""]
    if recording.etag and recording.is_external:
        parts.append(f"ETag {_digest(recording.etag)}")
    parts.append(PROOFS.get(recording.verify_method or "", ""))
    return " · ".join(part for part in parts if part)


def _callback(event: OwedEvent) -> Line:
    """A callback: told, given up, or still owed."""
    host = urlsplit(event.url).netloc.rpartition("@")[2]
    where = f"{event.method} to {host}"
    if event.state == "sent" and event.date_sent is not None:
        return Line(event.date_sent, f"Status callback “{event.event}” delivered", where, "send")
    if event.state == "failed":
        at = event.date_sent or event.next_attempt_at or event.date_created
        return Line(at, f"Status callback “{event.event}” given up", _both(where, event.last_error), "bang", "warn")
    tries = f"tried {event.attempts} times" if event.attempts else "not tried yet"
    more = _both(f"{where}, {tries}", event.last_error)
    return Line(event.date_created, f"Status callback “{event.event}” is owed", more, "clock", "warn")


def _both(first: str, second: str | None) -> str:
    return f"{first} · {second}" if second else first


def _sentence(text: str) -> str:
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if not text or text.endswith(".") else ".")


def _digest(text: str | None) -> str:
    bare = (text or "").strip('"')
    return f"{bare[:6]}…{bare[-4:]}" if len(bare) > 14 else bare
