"""Video by the official `twilio` package, unmodified. It blocks, so it works in a thread."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

from tests.web.conftest import Caller, Carry
from tests.web.video_tracks import CAMERA, MICROPHONE, recorded_video

inside = asyncio.to_thread


async def test_rooms(sdk: Client) -> None:
    def talk() -> None:
        rooms = sdk.video.v1.rooms
        room = rooms.create(unique_name="standup", type="group", record_participants_on_connect=True)
        assert (room.status, room.record_participants_on_connect) == ("in-progress", True)
        assert rooms("standup").fetch().sid == room.sid
        assert [found.sid for found in rooms.list()] == [room.sid]
        assert rooms(room.sid).update(status="completed").status == "completed"
        assert rooms.list() == []
        assert [found.sid for found in rooms.list(status="completed")] == [room.sid]

    await inside(talk)


async def test_recordings_of_an_account_and_of_a_room(sdk: Client, acme: Caller, deliver: Carry) -> None:
    camera = await recorded_video(acme)
    room = camera["grouping_sids"]["room_sid"]
    voice = await recorded_video(acme, MICROPHONE, RoomSid=room)
    await recorded_video(acme)
    for made in (camera, voice):
        await deliver(made["sid"])

    def talk() -> None:
        recordings = sdk.video.v1.recordings
        found = recordings.list(grouping_sid=[room, camera["grouping_sids"]["participant_sid"]])
        assert [row.sid for row in found] == [camera["sid"]]
        assert {row.sid for row in recordings.list(status="completed", page_size=1)} == {camera["sid"], voice["sid"]}
        assert [row.sid for row in recordings.list(media_type="audio")] == [voice["sid"]]
        now = datetime(2026, 11, 21, 12, tzinfo=UTC)
        assert recordings.list(date_created_before=now - timedelta(days=1)) == []
        one = recordings(camera["sid"]).fetch()
        assert (one.size, one.duration, one.container_format, one.date_created) == (len(CAMERA), 2, "mkv", now)
        assert {row.sid for row in sdk.video.v1.rooms(room).recordings.list()} == {camera["sid"], voice["sid"]}
        assert sdk.video.v1.rooms(room).recordings(voice["sid"]).fetch().room_sid == room
        assert recordings(voice["sid"]).delete() is True
        assert [row.sid for row in recordings.list(status="deleted")] == [voice["sid"]]
        with pytest.raises(TwilioRestException) as refused:
            recordings(voice["sid"]).delete()
        assert (refused.value.status, refused.value.code) == (404, 20404)

    await inside(talk)


async def test_media_as_twilios_documentation_fetches_it(sdk: Client, acme: Caller, deliver: Carry) -> None:
    made = await recorded_video(acme)
    await deliver(made["sid"])

    def talk() -> str:
        answer = sdk.request("GET", f"{acme.base}/v1/Recordings/{made['sid']}/Media")
        assert answer.status_code == 302
        return str(json.loads(answer.text)["redirect_to"])

    url = await inside(talk)
    assert (await acme.get(url.removeprefix(acme.base), auth=None)).body == CAMERA


async def test_settings_and_compositions(sdk: Client) -> None:
    def talk() -> None:
        assert sdk.video.v1.composition_settings().create(friendly_name="mixes").friendly_name == "mixes"
        assert sdk.video.v1.composition_settings().fetch().aws_storage_enabled is False
        assert sdk.video.v1.compositions.list() == []
        room = sdk.video.v1.rooms.create()
        with pytest.raises(TwilioRestException) as refused:
            sdk.video.v1.compositions.create(room_sid=room.sid, audio_sources=["*"])
        assert (refused.value.status, refused.value.code) == (409, 20409)
        assert "compositions" in refused.value.msg

    await inside(talk)
