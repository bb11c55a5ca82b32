"""/v1/Rooms: create, list, fetch, complete."""

from __future__ import annotations

import pytest

from callreel.clock import SetClock
from tests.web.conftest import UNKNOWN, Caller

ROOMS = "/v1/Rooms"


async def test_a_room_is_made_as_asked(acme: Caller) -> None:
    form = {
        "UniqueName": "standup",
        "Type": "group",
        "MaxParticipants": "8",
        "RecordParticipantsOnConnect": "true",
        "VideoCodecs": ["VP8", "H264"],
        "MediaRegion": "de1",
        "EmptyRoomTimeout": "10",
        "StatusCallback": "https://127.0.0.1/cb",
    }
    answer = await acme.post(ROOMS, form)
    room = answer.json()
    assert (answer.status, room["status"], room["unique_name"]) == (201, "in-progress", "standup")
    assert (room["max_participants"], room["empty_room_timeout"], room["media_region"]) == (8, 10, "de1")
    assert (room["record_participants_on_connect"], room["video_codecs"]) == (True, ["VP8", "H264"])
    assert room["url"] == f"{acme.base}/v1/Rooms/{room['sid']}"
    assert room["links"]["recordings"] == f"{room['url']}/Recordings"
    for name in (room["sid"], "standup"):
        assert (await acme.get(f"{ROOMS}/{name}")).json() == room


async def test_a_name_in_use_is_refused(acme: Caller) -> None:
    await acme.post(ROOMS, {"UniqueName": "standup"})
    answer = await acme.post(ROOMS, {"UniqueName": "standup"})
    assert (answer.status, answer.json()["code"]) == (400, 53113)


async def test_completing_a_room_is_202_and_ends_it(acme: Caller, clock: SetClock) -> None:
    room = (await acme.post(ROOMS, {"UniqueName": "standup"})).json()
    clock.advance(61)
    answer = await acme.post(f"{ROOMS}/standup", {"Status": "completed"})
    ended = answer.json()
    assert (answer.status, ended["sid"], ended["status"], ended["duration"]) == (202, room["sid"], "completed", 61)
    assert ended["end_time"] == "2026-11-21T12:01:01Z"
    listed = (await acme.get(ROOMS)).json()["rooms"]
    assert listed == []
    assert (await acme.get(f"{ROOMS}?Status=completed&UniqueName=standup")).json()["rooms"] == [ended]


@pytest.mark.parametrize(
    "form",
    [
        {"Type": "party"},
        {"UniqueName": "x" * 129},
        {"UniqueName": "a/b"},
        {"MaxParticipants": "many"},
        {"VideoCodecs": "AV1"},
        {"StatusCallback": "http://169.254.169.254/"},
        {"StatusCallbackMethod": "PUT"},
        {"AudioOnly": "perhaps"},
    ],
)
async def test_what_makes_no_room_is_400(acme: Caller, form: dict[str, str]) -> None:
    assert (await acme.post(ROOMS, form)).status == 400
    assert (await acme.get(ROOMS)).json()["rooms"] == []


@pytest.mark.parametrize("form", [{}, {"Status": "in-progress"}, {"Status": ""}])
async def test_a_room_can_only_be_completed(acme: Caller, form: dict[str, str]) -> None:
    room = (await acme.post(ROOMS, {})).json()["sid"]
    assert (await acme.post(f"{ROOMS}/{room}", form)).status == 400


async def test_another_accounts_sid_is_404(acme: Caller, stranger: Caller) -> None:
    room = (await stranger.post(ROOMS, {"UniqueName": "theirs"})).json()["sid"]
    for name in (room, "theirs", f"RM{UNKNOWN}", "nothing"):
        for method, form in (("GET", None), ("POST", {"Status": "completed"})):
            answer = await acme.send(method, f"{ROOMS}/{name}", data=form)
            assert (answer.status, answer.json()["code"]) == (404, 20404)
    assert (await acme.get(ROOMS)).json()["rooms"] == []
    assert (await stranger.get(f"{ROOMS}/{room}")).json()["status"] == "in-progress"
