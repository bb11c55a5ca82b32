"""Deletion and forgetting."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from callreel.errors import NotFound, RecordingNotFinished
from callreel.ledger.alerts import Alert
from callreel.model.recording import Recording, State
from callreel.model.sid import RecordingSid, mint_sid
from callreel.model.storage_settings import FatalErrorPolicy, RecordingKind
from callreel.rehearsal import s3_faults as faults
from callreel.rehearsal.wav_file import wav_head
from callreel.steps.purge import purge
from callreel.steps.request_deletion import request_deletion
from tests.stage import BUCKET, Stage


async def delete(stage: Stage, recording: Recording) -> Recording:
    asked = await request_deletion(stage.account_sid, recording.sid, ledger=stage.parts.ledger)
    assert asked.state is State.DELETING
    return await stage.carry(asked)


async def test_a_deleted_recording_keeps_its_metadata_and_the_customers_object(stage: Stage) -> None:
    recording = await delete(stage, await stage.carry(await stage.take_in()))
    assert recording.state is State.DELETED
    assert recording.deleted_at == stage.clock.now()
    assert recording.purge_after == stage.clock.now() + timedelta(days=40)
    assert stage.s3.keys(BUCKET) == [recording.object_key]


async def test_a_recording_the_service_keeps_is_gone_from_its_disk(stage: Stage) -> None:
    await stage.choose(aws_storage_enabled=False)
    recording = await stage.carry(await stage.take_in())
    path = stage.parts.buckets.storage.path_of(str(recording.object_key))
    assert path.exists()
    assert (await delete(stage, recording)).state is State.DELETED
    assert not path.exists()


async def test_a_delivered_recording_is_gone_from_the_spool_too(stage: Stage) -> None:
    sealed = await stage.sealed()
    delivered = await stage.step("deliver", sealed)
    assert stage.spooled() == [sealed.sid]
    assert (await delete(stage, delivered)).state is State.DELETED
    assert stage.spooled() == []


async def test_every_removal_may_be_repeated(stage: Stage) -> None:
    await stage.choose(aws_storage_enabled=False)
    recording = await stage.carry(await stage.take_in())
    asked = await request_deletion(stage.account_sid, recording.sid, ledger=stage.parts.ledger)
    await stage.parts.buckets.storage.delete(str(recording.object_key))
    assert (await stage.carry(asked)).state is State.DELETED


@pytest.mark.parametrize("state", ["spooled", "sealed", "uploading", "waiting", "parked", "held", "erased", "absent"])
async def test_only_a_completed_recording_can_be_deleted(stage: Stage, state: str) -> None:
    ledger = stage.parts.ledger
    recording = await stage.take_in()
    if state == "absent":
        recording = await stage.take_in(wav_head(0, rate=8000, channels=1))
    elif state == "parked":
        recording = await ledger.move(recording, State.PARKED)
    elif state == "held":
        recording = await ledger.move(recording, State.FATAL)
    elif state == "erased":
        recording = await ledger.move(await ledger.move(recording, State.FATAL), State.ERASED)
    elif state != "spooled":
        recording = await stage.step("seal", recording)
        for following in ("uploading", "waiting"):
            if recording.state != state:
                recording = await ledger.move(recording, State(following))
    with pytest.raises(RecordingNotFinished):
        await request_deletion(stage.account_sid, recording.sid, ledger=ledger)
    assert await stage.look(recording) == recording


async def test_deleting_twice_is_not_found_the_second_time(stage: Stage) -> None:
    recording = await stage.carry(await stage.take_in())
    await request_deletion(stage.account_sid, recording.sid, ledger=stage.parts.ledger)
    for _ in range(2):
        with pytest.raises(NotFound):
            await request_deletion(stage.account_sid, recording.sid, ledger=stage.parts.ledger)
        await stage.carry(recording)


async def test_what_is_unknown_or_anothers_is_not_found(stage: Stage) -> None:
    recording = await stage.carry(await stage.take_in())
    for account, sid in (
        (stage.account_sid, RecordingSid(mint_sid("RE"))),
        (type(stage.account_sid)(mint_sid("AC")), recording.sid),
    ):
        with pytest.raises(NotFound):
            await request_deletion(account, sid, ledger=stage.parts.ledger)


async def test_two_deletions_at_once_are_one(stage: Stage) -> None:
    recording = await stage.carry(await stage.take_in())
    outcomes = await asyncio.gather(
        *(request_deletion(stage.account_sid, recording.sid, ledger=stage.parts.ledger) for _ in range(4)),
        return_exceptions=True,
    )
    assert sorted(type(o).__name__ for o in outcomes) == ["NotFound"] * 3 + ["Recording"]
    assert (await stage.path_taken(recording)).count("deleting") == 1


async def test_a_deletion_that_meets_a_release_wins(stage: Stage) -> None:
    delivered = await stage.step("deliver", await stage.sealed())
    asked, released = await asyncio.gather(
        request_deletion(stage.account_sid, delivered.sid, ledger=stage.parts.ledger),
        stage.step("release", delivered),
        return_exceptions=True,
    )
    assert isinstance(asked, Recording), released
    assert (await stage.carry(delivered)).state is State.DELETED
    assert stage.spooled() == []


async def test_a_deletion_while_an_upload_is_under_way_is_refused_and_the_upload_goes_on(stage: Stage) -> None:
    stage.s3.faults.next(faults.stall())
    sealed = await stage.sealed()
    sending = asyncio.create_task(stage.step("deliver", sealed))
    await stage.s3.faults.stalled.wait()
    with pytest.raises(RecordingNotFinished):
        await request_deletion(stage.account_sid, sealed.sid, ledger=stage.parts.ledger)
    stage.s3.faults.release()
    assert (await sending).state is State.DELIVERED


# --- Forgetting ------------------------------------------------------------------------------------------------------


async def forget(stage: Stage) -> int:
    return await purge(ledger=stage.parts.ledger, clock=stage.clock)


@pytest.mark.parametrize(("kind", "days"), [(RecordingKind.VOICE, 40), (RecordingKind.VIDEO, 30)])
async def test_metadata_is_forgotten_after_its_days_and_not_before(
    stage: Stage, kind: RecordingKind, days: int
) -> None:
    recording = await delete(stage, await stage.carry(await stage.take_in(kind=kind)))
    stage.clock.advance(days * 86400 - 1)
    assert await forget(stage) == 0
    assert await stage.look(recording) == recording
    stage.clock.advance(1)
    assert await forget(stage) == 1
    assert await stage.parts.ledger.recordings.find_for_work(recording.sid) is None
    assert await stage.parts.ledger.recordings.buried([recording.sid]) == {recording.sid}
    assert (await stage.path_taken(recording))[-1] == "purged"
    assert await forget(stage) == 0


async def test_its_events_and_alerts_are_forgotten_with_it_and_nobody_elses(stage: Stage) -> None:
    stage.s3.faults.next(faults.refuse("SlowDown"), 1)
    intake = {"callback": "http://r.example.com/cb", "events": "in-progress completed"}
    gone = await delete(stage, await stage.carry_until_settled(await stage.take_in(**intake)))
    stays = await stage.take_in(**intake)
    ledger = stage.parts.ledger
    for recording in (gone, stays):
        about = {"account_sid": stage.account_sid, "recording_sid": recording.sid, "at": stage.clock.now()}
        await ledger.alerts.raise_alert(Alert(code=16111, level="error", text="x", **about))
    assert len(await stage.events(gone)) == 2
    stage.clock.advance(40 * 86400)
    assert await forget(stage) == 1
    assert (await stage.events(gone), await stage.alerts(gone)) == ([], [])
    assert (len(await stage.events(stays)), await stage.alerts(stays)) == (1, [16111])


async def test_an_erased_recording_is_forgotten_too(stage: Stage) -> None:
    await stage.choose(fatal_error_policy=FatalErrorPolicy.DELETE)
    stage.s3.faults.next(faults.refuse("AccessDenied"), 2)
    await stage.carry_until_settled(await stage.take_in())
    stage.clock.advance(40 * 86400)
    assert await forget(stage) == 1


async def test_two_purgers_at_once_forget_each_recording_once(stage: Stage) -> None:
    for _ in range(5):
        await delete(stage, await stage.carry(await stage.take_in()))
    stage.clock.advance(40 * 86400)
    assert sum(await asyncio.gather(forget(stage), forget(stage))) == 5


async def test_nothing_else_is_ever_forgotten(stage: Stage) -> None:
    kept = [await stage.take_in(), await stage.carry(await stage.take_in())]
    stage.clock.advance(1000 * 86400)
    assert await forget(stage) == 0
    for recording in kept:
        assert await stage.look(recording) == recording
