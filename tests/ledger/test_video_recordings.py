"""Reading, listing and purging video recordings."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import func, select

from callreel.ledger.paging import Place
from callreel.ledger.recordings import RecordingFilter
from callreel.ledger.tables import video_tracks
from callreel.ledger.video_tracks import VideoFilter
from callreel.model.recording import Recording, State
from callreel.model.sid import AccountSid, mint_sid
from callreel.model.storage_settings import FatalErrorPolicy, RecordingKind, StorageSettings
from callreel.model.twilio_status import VIDEO_STATUS, states_of_video_status
from callreel.model.video_track import TrackType
from callreel.steps.purge import purge
from callreel.steps.request_deletion import request_deletion
from tests.video import Studio

LIVE = frozenset(set(State) - states_of_video_status("deleted"))


async def listed(studio: Studio, **wanted: object) -> list[str]:
    page = await studio.parts.ledger.recordings.list_video(
        studio.account_sid,
        VideoFilter(**({"states": LIVE} | wanted)),  # type: ignore[arg-type]
        place=None,
        size=50,
    )
    return [recording.sid for recording in page.rows]


async def test_a_video_recording_is_read_with_its_track_and_room(studio: Studio) -> None:
    written = await studio.spooled(track_name="camera", participant_identity="alice")
    read = await studio.parts.ledger.recordings.fetch(studio.account_sid, written.sid)
    assert read == written
    assert read.video is not None
    assert (read.video.room_name, read.video.room_type) == (read.video.room_sid, "group")


async def test_the_lists_of_voice_and_video_do_not_mix(studio: Studio) -> None:
    recording = await studio.spooled()
    voice = await studio.parts.ledger.recordings.list(studio.account_sid, RecordingFilter(), place=None, size=50)
    assert list(voice.rows) == []
    assert await listed(studio) == [recording.sid]


async def test_the_list_is_filtered_by_room_participant_source_type_and_date(studio: Studio) -> None:
    room = mint_sid("RM")
    camera = await studio.spooled(room_sid=room)
    studio.clock.advance(60)
    voice = await studio.spooled(room_sid=room, type=TrackType.AUDIO)
    studio.clock.advance(60)
    elsewhere = await studio.spooled()
    assert camera.video is not None
    assert voice.video is not None
    assert await listed(studio) == [elsewhere.sid, voice.sid, camera.sid]
    assert await listed(studio, grouping_sids=(room,)) == [voice.sid, camera.sid]
    assert await listed(studio, grouping_sids=(room, voice.video.participant_sid)) == [voice.sid]
    assert await listed(studio, grouping_sids=(room, mint_sid("RM"))) == [voice.sid, camera.sid]
    assert await listed(studio, grouping_sids=(mint_sid("PA"),)) == []
    assert await listed(studio, source_sid=camera.video.source_sid) == [camera.sid]
    assert await listed(studio, type=TrackType.AUDIO) == [voice.sid]
    assert await listed(studio, created_from=voice.date_created) == [elsewhere.sid, voice.sid]
    assert await listed(studio, created_before=voice.date_created) == [camera.sid]
    assert await listed(studio, states=states_of_video_status("completed")) == []


async def test_pages_lead_forward_and_back_through_recordings_of_one_moment(studio: Studio) -> None:
    sids = sorted([(await studio.spooled()).sid for _ in range(5)], reverse=True)
    recordings = studio.parts.ledger.recordings
    wanted = VideoFilter(states=LIVE)

    def place(recording: Recording, *, backward: bool = False) -> Place:
        return Place(recording.date_created, recording.sid, backward=backward)

    first = await recordings.list_video(studio.account_sid, wanted, place=None, size=2)
    second = await recordings.list_video(studio.account_sid, wanted, place=place(first.rows[-1]), size=2)
    third = await recordings.list_video(studio.account_sid, wanted, place=place(second.rows[-1]), size=2)
    back = await recordings.list_video(studio.account_sid, wanted, place=place(third.rows[0], backward=True), size=2)
    assert [r.sid for page in (first, second, third) for r in page.rows] == sids
    assert [r.sid for r in back.rows] == sids[2:4]
    assert (first.has_next, third.has_next) == (True, False)


async def test_another_accounts_recordings_are_not_listed(studio: Studio) -> None:
    await studio.spooled()
    page = await studio.parts.ledger.recordings.list_video(
        AccountSid(mint_sid("AC")), VideoFilter(states=frozenset(State)), place=None, size=50
    )
    assert list(page.rows) == []


async def test_a_deleted_video_recording_is_purged_after_thirty_days_and_its_track_with_it(studio: Studio) -> None:
    recording = await studio.carry_until_settled(await studio.spooled())
    await request_deletion(studio.account_sid, recording.sid, ledger=studio.parts.ledger)
    deleted = await studio.carry(recording)
    assert deleted.state is State.DELETED
    assert deleted.purge_after == studio.clock.now() + timedelta(days=30)
    studio.clock.advance(timedelta(days=30).total_seconds() - 1)
    assert await purge(ledger=studio.parts.ledger, clock=studio.clock) == 0
    studio.clock.advance(1)
    assert await purge(ledger=studio.parts.ledger, clock=studio.clock) == 1
    async with studio.parts.ledger.engine.connect() as connection:
        assert (await connection.execute(select(func.count()).select_from(video_tracks))).scalar_one() == 0


async def test_video_settings_never_erase_whatever_they_are_told(studio: Studio) -> None:
    await studio.save(StorageSettings(fatal_error_policy=FatalErrorPolicy.DELETE))
    for kind in (RecordingKind.VIDEO,):
        _, settings = await studio.parts.ledger.settings.current(studio.account_sid, kind)
        assert settings.fatal_error_policy is FatalErrorPolicy.HOLD


@pytest.mark.parametrize("state", State)
def test_every_state_has_one_of_videos_four_words(state: State) -> None:
    assert VIDEO_STATUS[state] in ("processing", "completed", "deleted", "failed")
    assert state in states_of_video_status(VIDEO_STATUS[state])
