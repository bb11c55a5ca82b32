"""Recordings made up for tests: every field has a value, and a test names the ones it is about."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from callreel.model.recording import Recording, State
from callreel.model.sid import AccountSid, RecordingSid
from callreel.model.storage_settings import RecordingKind, StorageSettings

ACCOUNT = AccountSid("AC" + "a" * 32)
RECORDING = RecordingSid("RE" + "1" * 32)
NOON = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
EMPTY_MD5 = "d41d8cd98f00b204e9800998ecf8427e"


def a_recording(**facts: Any) -> Recording:
    """A spooled voice recording of three seconds, with these facts in place of the usual ones."""
    usual: dict[str, Any] = {
        "sid": RECORDING,
        "account_sid": ACCOUNT,
        "kind": RecordingKind.VOICE,
        "state": State.SPOOLED,
        "fence": 1,
        "host_id": "host",
        "call_sid": None,
        "conference_sid": None,
        "source": "OutboundAPI",
        "track": None,
        "channels": 1,
        "duration_ms": 3000,
        "media_type": "audio/x-wav",
        "start_time": NOON,
        "date_created": NOON,
        "date_updated": NOON,
        "media_size_bytes": 0,
        "media_sha256": EMPTY_SHA256,
        "media_md5": EMPTY_MD5,
        "settings": StorageSettings(),
    }
    return Recording(**(usual | facts))
