"""Deleting call logs: what goes with them, what stays, and what the bucket says to it."""

from __future__ import annotations

import pytest

from callreel.errors import LegalHold, NotFound, RecordingNotFinished
from callreel.model.deed import OPERATOR
from callreel.model.deletion_settings import DeletionSettings
from callreel.model.recording import ObjectFate, Recording, State
from callreel.model.sid import mint_sid
from callreel.rehearsal import s3_faults as faults
from callreel.steps.delete_call import delete_call
from callreel.steps.hold import lift_hold, set_hold
from callreel.steps.purge import purge
from callreel.steps.request_deletion import request_deletion
from callreel.steps.restart import restart
from tests.stage import BUCKET, WRITER, Stage

CALL = "CA" + "1" * 32


@pytest.fixture
async def on(stage: Stage) -> Stage:
    """With DeleteObjectsWithCallLogs."""
    chosen = DeletionSettings(delete_objects_with_call_logs=True)
    await stage.parts.ledger.deletion_settings.keep(stage.account_sid, chosen, now=stage.clock.now())
    return stage


async def of_call(stage: Stage) -> Recording:
    return await stage.carry(await stage.take_in(call_sid=CALL))


async def delete(stage: Stage) -> None:
    await delete_call(stage.account_sid, CALL, ledger=stage.parts.ledger)


async def hold(stage: Stage, recording: Recording) -> Recording:
    p = stage.parts
    return await set_hold(
        stage.account_sid,
        recording.sid,
        reason="case 7",
        ledger=p.ledger,
        buckets=p.buckets,
        clock=p.clock,
        by=OPERATOR,
    )


async def test_off_leaves_recording_and_object_and_says_so(stage: Stage) -> None:
    recording = await of_call(stage)
    await delete(stage)
    assert (await stage.look(recording)).state is State.RELEASED
    assert stage.s3.keys(BUCKET) == [recording.object_key]
    (alert,) = await stage.parts.ledger.alerts.list(stage.account_sid, recording_sid=recording.sid)
    assert (alert.code, alert.level) == (0, "notice")
    assert f"{BUCKET}/{recording.object_key}" in alert.text
    with pytest.raises(NotFound):
        await delete(stage)


async def test_on_removes_the_recordings_and_their_objects(on: Stage) -> None:
    one, two = await of_call(on), await of_call(on)
    other = await on.carry(await on.take_in(call_sid=mint_sid("CA")))
    await delete(on)
    for recording in (one, two):
        gone = await on.carry(recording)
        assert (gone.state, gone.object_fate, gone.last_error) == (State.DELETED, ObjectFate.REMOVED, None)
    assert on.s3.keys(BUCKET) == [other.object_key]
    with pytest.raises(NotFound):
        await on.parts.ledger.calls.fetch(on.account_sid, CALL)


async def test_on_removes_what_the_service_keeps_too(on: Stage) -> None:
    await on.choose(aws_storage_enabled=False)
    recording = await of_call(on)
    path = on.parts.buckets.storage.path_of(str(recording.object_key))
    await delete(on)
    gone = await on.carry(recording)
    assert (gone.state, gone.object_fate, path.exists()) == (State.DELETED, None, False)


async def test_a_recording_deleted_by_itself_leaves_its_object_with_the_setting_on(on: Stage) -> None:
    recording = await of_call(on)
    await request_deletion(on.account_sid, recording.sid, ledger=on.parts.ledger)
    assert (await on.carry(recording)).object_fate == ObjectFate.KEPT
    await delete(on)
    assert on.s3.keys(BUCKET) == [recording.object_key]


@pytest.mark.parametrize("state", ["spooled", "sealed"])
async def test_one_on_its_way_keeps_the_call_and_all_its_recordings(on: Stage, state: str) -> None:
    whole = await of_call(on)
    late = await on.take_in(call_sid=CALL)
    late = late if state == "spooled" else await on.step("seal", late)
    with pytest.raises(RecordingNotFinished, match=late.sid):
        await delete(on)
    assert await on.look(whole) == whole
    await on.parts.ledger.calls.fetch(on.account_sid, CALL)


@pytest.mark.parametrize("state", [State.PARKED, State.FATAL])
async def test_what_was_given_up_goes_with_its_call(on: Stage, state: State) -> None:
    recording = await on.parts.ledger.move(await on.take_in(call_sid=CALL), state)
    await delete(on)
    assert (await on.carry(recording)).state is State.DELETED
    assert on.spooled() == []


async def test_a_held_recording_keeps_its_call_whatever_the_setting(on: Stage) -> None:
    held, other = await hold(on, await of_call(on)), await of_call(on)
    for chosen in (True, False):
        settings = DeletionSettings(delete_objects_with_call_logs=chosen)
        await on.parts.ledger.deletion_settings.keep(on.account_sid, settings, now=on.clock.now())
        with pytest.raises(LegalHold, match="case 7"):
            await delete(on)
    assert await on.look(held) == held
    assert await on.look(other) == other


async def test_a_hold_set_in_between_stops_a_deletion_that_was_decided(stage: Stage) -> None:
    stale = await of_call(stage)
    await hold(stage, stale)
    with pytest.raises(LegalHold):
        await request_deletion(stage.account_sid, stale.sid, ledger=stage.parts.ledger)
    from callreel.removals import delete_recording

    with pytest.raises(LegalHold):
        await delete_recording(stale, ledger=stage.parts.ledger, by=OPERATOR)
    p = stage.parts
    await lift_hold(
        stage.account_sid, stale.sid, reason="over", ledger=p.ledger, buckets=p.buckets, clock=p.clock, by=OPERATOR
    )
    assert (await request_deletion(stage.account_sid, stale.sid, ledger=p.ledger)).state is State.DELETING


# --- A bucket that will not ------------------------------------------------------------------------------------------


async def test_a_bucket_that_stumbles_is_asked_again(on: Stage) -> None:
    recording = await of_call(on)
    await delete(on)
    on.s3.faults.next(faults.refuse("SlowDown", status=503), 2)
    waiting = await on.carry(recording)
    assert (waiting.state, waiting.attempts, waiting.last_error_code) == (State.DELETING, 1, "SlowDown")
    assert waiting.next_attempt_at is not None
    for _ in range(2):
        on.clock.advance(300)
        waiting = await on.carry(recording)
    assert (waiting.state, waiting.object_fate) == (State.DELETED, ObjectFate.REMOVED)
    assert on.s3.keys(BUCKET) == []


async def test_a_key_that_may_not_delete_leaves_the_object_and_everybody_can_see_it(on: Stage) -> None:
    await on.choose(aws_credentials_sid=await on.keep_key(WRITER))
    recording = await of_call(on)
    await on.parts.ledger.move(await on.look(recording), State.RELEASED) if recording.state is State.DELIVERED else None
    await delete(on)
    for _ in range(400):
        recording = await on.carry(recording)
        if recording.state is State.DELETED:
            break
        on.clock.advance(300)
    assert (recording.state, recording.object_fate) == (State.DELETED, ObjectFate.REMAINS)
    assert recording.last_error_code == "AccessDenied"
    assert on.s3.keys(BUCKET) == [recording.object_key]
    alerts = await on.parts.ledger.alerts.list(on.account_sid, recording_sid=recording.sid)
    assert ["remains" in alert.text for alert in alerts] == [True, False]
    purge_after = recording.purge_after
    await on.choose()
    assert await restart(recording, ledger=on.parts.ledger, buckets=on.parts.buckets, by=OPERATOR)
    *_, deed = [row async for row in on.parts.ledger.audit.read_chain(on.account_sid)]
    assert (deed.action, deed.actor, deed.subject) == ("deliveries.restarted", "operator", recording.sid)
    again = await on.look(recording)
    assert (again.state, again.purge_after) == (State.DELETING, None)
    gone = await on.carry(again)
    assert (gone.state, gone.object_fate, gone.purge_after) == (State.DELETED, ObjectFate.REMOVED, purge_after)
    assert on.s3.keys(BUCKET) == []
    assert not await restart(gone, ledger=on.parts.ledger, buckets=on.parts.buckets)


async def test_a_held_recording_is_never_forgotten(stage: Stage) -> None:
    recording = await hold(stage, await of_call(stage))
    stage.clock.advance(1000 * 86400)
    assert await purge(ledger=stage.parts.ledger, clock=stage.clock) == 0
    assert await stage.look(recording) == recording
