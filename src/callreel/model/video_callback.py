"""What a video recording's status callback says."""

from __future__ import annotations

from datetime import UTC, datetime

from callreel.model.recording import Recording

STARTED, COMPLETED, FAILED = "recording-started", "recording-completed", "recording-failed"
EVENTS = (STARTED, COMPLETED, FAILED)


def video_recording_path(sid: str) -> str:
    """Where a video recording is found on Twilio's video host."""
    return f"/v1/Recordings/{sid}"


def video_parameters_of(recording: Recording, event: str, *, at: datetime) -> list[tuple[str, str]]:
    """Every parameter of one event of a video recording; `at` is when it happened.

    What became of the media comes with `recording-completed`, the operation that failed with `recording-failed`:
    without media the recording itself was not completed, with media its upload failed.
    """
    track = recording.video
    assert track is not None
    path = video_recording_path(recording.sid)
    told = [
        ("AccountSid", str(recording.account_sid)),
        ("RoomSid", track.room_sid),
        ("RoomName", track.room_name),
        ("RoomType", track.room_type),
        ("StatusCallbackEvent", event),
        ("Timestamp", _timestamp(at)),
        ("RecordingSid", str(recording.sid)),
        ("ParticipantSid", track.participant_sid),
        ("ParticipantIdentity", track.participant_identity),
        ("SourceSid", track.source_sid),
        ("RecordingUri", path),
        ("Type", str(track.type)),
        ("Container", str(track.container)),
        ("Codec", track.codec),
        ("TrackName", track.track_name),
        ("OffsetFromTwilioVideoEpoch", str(track.offset_ms)),
    ]
    if event == COMPLETED:
        told += [
            ("MediaUri", f"{path}/Media"),
            ("Duration", str(recording.duration_s)),
            ("Size", str(recording.media_size_bytes)),
        ]
        if recording.is_external and recording.object_url:
            told.append(("MediaExternalLocation", recording.object_url))
    if event == FAILED:
        told.append(("FailedOperation", "RecordingUpload" if recording.media_size_bytes else "RecordingComplete"))
    return told


def _timestamp(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
