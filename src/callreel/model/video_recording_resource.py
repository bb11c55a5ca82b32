"""A video recording as Twilio's API shows it, field by field as the reference lists them."""

from __future__ import annotations

from typing import Any

from callreel.model.callback import iso
from callreel.model.recording import Recording
from callreel.model.twilio_status import video_status
from callreel.model.video_callback import video_recording_path


def video_recording_json(recording: Recording, public_url: str) -> dict[str, Any]:
    """A video recording of an account."""
    wish, track = recording.callback, recording.video
    assert track is not None
    return video_facts(recording, f"{public_url}{video_recording_path(recording.sid)}") | {
        "status_callback": wish.url if wish else track.status_callback,
        "status_callback_method": wish.method if wish else track.status_callback_method,
    }


def video_facts(recording: Recording, url: str) -> dict[str, Any]:
    """What it shows of its account and of its room alike; `url` is its own."""
    track, status = recording.video, video_status(recording.state)
    assert track is not None
    is_there = status == "completed"
    return {
        "account_sid": recording.account_sid,
        "status": status,
        "date_created": iso(recording.date_created),
        "sid": recording.sid,
        "source_sid": track.source_sid,
        "size": recording.media_size_bytes if is_there else None,
        "url": url,
        "type": str(track.type),
        "duration": recording.duration_s if is_there else None,
        "container_format": str(track.container),
        "codec": track.codec,
        "grouping_sids": {"room_sid": track.room_sid, "participant_sid": track.participant_sid},
        "track_name": track.track_name,
        "offset": track.offset_ms,
        "media_external_location": recording.object_url if is_there and recording.is_external else None,
        "links": {"media": f"{url}/Media"},
    }
