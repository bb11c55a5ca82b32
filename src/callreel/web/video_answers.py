"""What a caller is shown of rooms and video recordings, field by field as the reference lists them."""

from __future__ import annotations

from typing import Any

from callreel.model.callback import iso
from callreel.model.recording import Recording
from callreel.model.room import Room
from callreel.model.video_recording_resource import video_facts
from callreel.web.description import shape

_RECORDING = {
    "account_sid": "text",
    "status": "text",
    "date_created": "text",
    "sid": "text",
    "source_sid": "text",
    "size": "integer?",
    "url": "text",
    "type": "text",
    "duration": "integer?",
    "container_format": "text",
    "codec": "text",
    "grouping_sids": "object",
    "track_name": "text",
    "offset": "integer",
    "media_external_location": "text?",
    "links": "object",
}
VIDEO_RECORDING = shape(**_RECORDING, status_callback="text?", status_callback_method="text?")
ROOM_RECORDING = shape(**_RECORDING, room_sid="text")
ROOM = shape(
    sid="text",
    status="text",
    date_created="text",
    date_updated="text",
    account_sid="text",
    enable_turn="flag",
    unique_name="text",
    status_callback="text?",
    status_callback_method="text",
    end_time="text?",
    duration="integer?",
    type="text",
    max_participants="integer",
    max_participant_duration="integer",
    max_concurrent_published_tracks="integer",
    record_participants_on_connect="flag",
    video_codecs="texts",
    media_region="text",
    audio_only="flag",
    empty_room_timeout="integer",
    unused_room_timeout="integer",
    large_room="flag",
    url="text",
    links="object",
)
MOST_PUBLISHED_TRACKS = 170  # Twilio's group rooms


def room_recording_json(recording: Recording, public_url: str) -> dict[str, Any]:
    """A video recording of a room."""
    assert recording.video is not None
    room_sid = recording.video.room_sid
    url = f"{public_url}/v1/Rooms/{room_sid}/Recordings/{recording.sid}"
    return video_facts(recording, url) | {"room_sid": room_sid}


def room_json(room: Room, public_url: str) -> dict[str, Any]:
    """A room."""
    url = f"{public_url}/v1/Rooms/{room.sid}"
    return room.options.as_json() | {
        "sid": room.sid,
        "status": str(room.status),
        "date_created": iso(room.date_created),
        "date_updated": iso(room.date_updated),
        "account_sid": room.account_sid,
        "unique_name": room.unique_name,
        "status_callback": room.status_callback,
        "status_callback_method": room.status_callback_method,
        "end_time": iso(room.end_time) if room.end_time else None,
        "duration": room.duration_s,
        "type": str(room.type),
        "max_concurrent_published_tracks": MOST_PUBLISHED_TRACKS,
        "url": url,
        "links": {
            "participants": f"{url}/Participants",
            "recordings": f"{url}/Recordings",
            "transcriptions": f"{url}/Transcriptions",
            "recording_rules": f"{url}/RecordingRules",
        },
    }
