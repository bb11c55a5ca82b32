"""What a callback says, and what its URL's fragment may ask for."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callreel.errors import InvalidParameter
from callreel.model.callback import Overrides, parameters_of, parse_events, rfc2822, split_overrides
from callreel.model.recording import State
from tests.recordings import ACCOUNT, RECORDING, a_recording

URL = "https://api.example.com/RE1"


def test_a_completed_event_says_what_twilio_says_in_its_order() -> None:
    recording = a_recording(state=State.DELIVERED, call_sid="CA1", duration_ms=61_200, channels=2, track="inbound")
    assert parameters_of(recording, "completed", recording_url=URL) == [
        ("RecordingSource", "OutboundAPI"),
        ("RecordingTrack", "inbound"),
        ("RecordingSid", RECORDING),
        ("RecordingUrl", URL),
        ("RecordingStatus", "completed"),
        ("RecordingChannels", "2"),
        ("ErrorCode", "0"),
        ("CallSid", "CA1"),
        ("RecordingStartTime", "Sat, 21 Nov 2026 12:00:00 +0000"),
        ("AccountSid", ACCOUNT),
        ("RecordingDuration", "61"),
    ]


def test_only_completed_tells_a_duration() -> None:
    for event in ("in-progress", "absent", "failed"):
        assert "RecordingDuration" not in dict(parameters_of(a_recording(), event, recording_url=URL))


def test_a_failure_tells_its_code_and_a_track_is_always_told() -> None:
    told = dict(parameters_of(a_recording(error_code=16112), "failed", recording_url=URL))
    assert (told["ErrorCode"], told["RecordingTrack"]) == ("16112", "both")


def test_a_conference_is_told_by_its_sid() -> None:
    told = dict(parameters_of(a_recording(conference_sid="CF1"), "completed", recording_url=URL))
    assert told["ConferenceSid"] == "CF1"
    assert "CallSid" not in told


def test_encryption_details_are_a_json_string() -> None:
    details = {"type": "rsa-aes", "public_key_sid": "CR1", "encrypted_cek": "x", "iv": "y"}
    told = dict(parameters_of(a_recording(encryption_details=details), "completed", recording_url=URL))
    assert json.loads(told["EncryptionDetails"]) == details


def test_dates_are_rfc_2822_in_utc() -> None:
    assert rfc2822(datetime(2022, 4, 20, 23, 45, 25, tzinfo=UTC)) == "Wed, 20 Apr 2022 23:45:25 +0000"


def test_events_come_repeated_or_separated_by_spaces() -> None:
    assert parse_events(["completed in-progress"]) == ("in-progress", "completed")
    assert parse_events(["failed", "absent", "failed"]) == ("absent", "failed")
    assert parse_events([]) == parse_events(["", " "]) == ("completed",)


@pytest.mark.parametrize("word", ["Completed", "done", "completed,absent"])
def test_a_word_that_is_no_event_is_refused(word: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        parse_events([word])
    assert caught.value.parameter == "RecordingStatusCallbackEvent"


def test_the_fragment_is_split_off_and_read() -> None:
    bare, overrides = split_overrides("https://e.com/cb?a=1#ct=100&rt=15000&tt=9000&rc=5&rp=4xx,5xx&sni=n&e=dublin")
    assert bare == "https://e.com/cb?a=1"
    assert overrides == Overrides(
        connect_ms=100, read_ms=15000, total_ms=9000, retry_count=5, retry_policies=("4xx", "5xx")
    )


@pytest.mark.parametrize(
    "fragment", ["", "ct=99", "ct=10001", "rc=6", "rc=-1", "rc=1.5", "rc=²", "rp=maybe", "x=1", "ct", "tt=99999999999"]
)
def test_what_the_fragment_says_wrongly_is_ignored(fragment: str) -> None:
    assert split_overrides(f"https://e.com/#{fragment}") == ("https://e.com/", Overrides())


@given(st.text())
def test_any_fragment_leaves_the_url_and_limits_within_twilios(fragment: str) -> None:
    bare, o = split_overrides(f"https://e.com/cb#{fragment}")
    assert bare.startswith("https://e.com/cb")
    assert 100 <= o.connect_ms <= 10000
    assert 100 <= o.total_ms <= 15000
    assert 0 <= o.retry_count <= 5
