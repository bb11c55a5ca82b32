"""POST VideoRecordings: what is taken, what is refused, and what is there afterwards."""

from __future__ import annotations

import pytest

from callreel.model.recording import State
from callreel.model.sid import RecordingSid, is_sid
from callreel.parts import Parts
from callreel.rehearsal.speech import speech
from tests.web.conftest import UNKNOWN, Caller, Carry
from tests.web.video_tracks import CAMERA, MICROPHONE, NOTHING, hand_in, recorded_video

ROOM = "RM" + "1" * 32
PARTICIPANT = "PA" + "2" * 32
SOURCE = "MT" + "3" * 32
CALLBACK = "http://127.0.0.1:8999/cb"


async def test_what_was_given_is_shown(acme: Caller) -> None:
    made = await recorded_video(
        acme,
        RoomSid=ROOM,
        ParticipantSid=PARTICIPANT,
        SourceSid=SOURCE,
        TrackName="camera",
        Type="video",
        StartTime="2026-11-21T11:00:00Z",
        StatusCallback=CALLBACK,
        StatusCallbackMethod="GET",
    )
    assert made["grouping_sids"] == {"room_sid": ROOM, "participant_sid": PARTICIPANT}
    assert (made["source_sid"], made["track_name"], made["type"]) == (SOURCE, "camera", "video")
    assert (made["container_format"], made["codec"], made["status"]) == ("mkv", "VP8", "processing")
    assert made["offset"] == 1795258800000
    assert (made["status_callback"], made["status_callback_method"]) == (CALLBACK, "GET")
    assert (made["size"], made["duration"], made["media_external_location"]) == (None, None, None)


async def test_what_was_not_given_is_minted(acme: Caller) -> None:
    made = await recorded_video(acme, MICROPHONE)
    assert is_sid("RT", made["sid"])
    assert is_sid("RM", made["grouping_sids"]["room_sid"])
    assert is_sid("PA", made["grouping_sids"]["participant_sid"])
    assert is_sid("MT", made["source_sid"])
    assert made["track_name"] == made["source_sid"]
    assert (made["type"], made["container_format"], made["codec"]) == ("audio", "mka", "OPUS")


async def test_a_room_not_seen_before_is_made_and_a_known_one_kept(acme: Caller) -> None:
    await recorded_video(acme, RoomSid=ROOM)
    room = (await acme.get(f"/v1/Rooms/{ROOM}")).json()
    assert (room["sid"], room["unique_name"], room["status"]) == (ROOM, ROOM, "completed")
    await recorded_video(acme, MICROPHONE, RoomSid=ROOM)
    assert (await acme.get(f"/v1/Rooms/{ROOM}")).json() == room


async def test_it_completes_once_it_is_carried(acme: Caller, deliver: Carry) -> None:
    made = await recorded_video(acme)
    await deliver(made["sid"])
    found = (await acme.get(f"/v1/Recordings/{made['sid']}")).json()
    assert (found["status"], found["size"], found["duration"]) == ("completed", len(CAMERA), 2)


async def test_a_track_without_media_failed_and_nothing_is_kept(acme: Caller, parts: Parts) -> None:
    made = await recorded_video(acme, NOTHING, StatusCallback=CALLBACK)
    assert made["status"] == "failed"
    recording = await parts.ledger.recordings.fetch(acme.sid, RecordingSid(made["sid"]))
    assert recording.state is State.ABSENT
    (event,) = await parts.ledger.outbox.list_of(acme.sid, made["sid"])
    assert event.event == "recording-failed"
    assert dict(event.parameters)["FailedOperation"] == "RecordingComplete"
    assert list(parts.spool.ready.iterdir()) == []


async def test_the_rooms_callback_is_told_unless_the_track_has_its_own(acme: Caller, parts: Parts) -> None:
    form = {"UniqueName": "standup", "StatusCallback": "http://127.0.0.1:8999/room", "StatusCallbackMethod": "GET"}
    room = (await acme.post("/v1/Rooms", form)).json()["sid"]
    of_room = await recorded_video(acme, RoomSid=room)
    of_track = await recorded_video(acme, RoomSid=room, StatusCallback=CALLBACK)
    (told,) = await parts.ledger.outbox.list_of(acme.sid, of_room["sid"])
    assert (told.event, told.url, told.method) == ("recording-started", "http://127.0.0.1:8999/room", "GET")
    assert dict(told.parameters)["RoomName"] == "standup"
    (told,) = await parts.ledger.outbox.list_of(acme.sid, of_track["sid"])
    assert (told.url, told.method) == (CALLBACK, "POST")


async def test_a_callback_that_cannot_be_called_does_not_cost_the_recording(acme: Caller, parts: Parts) -> None:
    made = await recorded_video(acme, StatusCallback="http://169.254.169.254/latest")
    assert await parts.ledger.outbox.list_of(acme.sid, made["sid"]) == []
    (alert,) = await parts.ledger.alerts.list(acme.sid, recording_sid=made["sid"])
    assert (alert.code, alert.level) == (53662, "warning")


async def test_the_same_key_gives_the_same_recording(acme: Caller, parts: Parts) -> None:
    first, second = [await hand_in(acme, key="k", RoomSid=ROOM) for _ in range(2)]
    assert (first.status, second.status) == (201, 201)
    assert first.json()["sid"] == second.json()["sid"]
    other = await hand_in(acme, MICROPHONE, key="k", RoomSid=ROOM)
    assert (other.status, other.json()["code"]) == (409, 20409)
    assert [path.name for path in parts.spool.ready.iterdir()] == [first.json()["sid"]]


@pytest.mark.parametrize(
    ("body", "query", "status"),
    [
        (b"", {}, 400),
        (b"not matroska", {}, 400),
        (CAMERA[:2000], {}, 400),
        (speech(0.2, seed=1), {}, 400),
        (CAMERA, {"Type": "audio"}, 400),
        (CAMERA, {"Type": "data"}, 400),
        (CAMERA, {"RoomSid": "RM1"}, 400),
        (CAMERA, {"ParticipantSid": ROOM}, 400),
        (CAMERA, {"SourceSid": "x"}, 400),
        (CAMERA, {"StartTime": "yesterday"}, 400),
        (CAMERA, {"TrackName": "x" * 300}, 400),
        (CAMERA, {"StatusCallbackMethod": "PUT"}, 400),
        (CAMERA, {"Offset": "-1"}, 400),
    ],
)
async def test_what_cannot_be_kept_is_refused_and_nothing_is_kept(
    acme: Caller, parts: Parts, body: bytes, query: dict[str, str], status: int
) -> None:
    answer = await hand_in(acme, body, **query)
    assert (answer.status, answer.json()["status"]) == (status, status)
    assert list(parts.spool.ready.iterdir()) == []
    assert list(parts.spool.tmp.iterdir()) == []
    assert (await acme.get("/v1/Recordings")).json()["recordings"] == []


async def test_other_types_are_415(acme: Caller) -> None:
    headers = {"Content-Type": "text/html"}
    answer = await acme.send("POST", f"{acme.own_path}/VideoRecordings", data=CAMERA, headers=headers)
    assert answer.status == 415


async def test_another_accounts_sid_is_404(acme: Caller, stranger: Caller) -> None:
    headers = {"Content-Type": "video/x-matroska"}
    for sid in (stranger.sid, f"AC{UNKNOWN}"):
        answer = await acme.send("POST", f"/callreel/v1/Accounts/{sid}/VideoRecordings", data=CAMERA, headers=headers)
        assert (answer.status, answer.json()["code"]) == (404, 20404)
    assert (await stranger.get("/v1/Recordings")).json()["recordings"] == []
