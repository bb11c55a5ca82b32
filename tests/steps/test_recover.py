"""Recovery: each row of the crash table, at start and later, once and twice."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from callreel.errors import NotFound
from callreel.ledger.jobs import JobRow, route_of
from callreel.model.deed import OPERATOR, Action
from callreel.model.recording import Recording, State
from callreel.model.sid import mint_sid
from callreel.steps.clear_quarantine import clear_quarantine
from callreel.steps.recover import BATCH, NAMED, Recovered, Recovery, foresee, recover
from callreel.steps.request_deletion import request_deletion
from callreel.worker.duties import recover_at_start
from callreel.worker.routes import SPOOL_STEPS
from tests.sealing.keys import public_pem, rsa_key
from tests.stage import Stage

HOUR_S = 3600


def recovery(stage: Stage, *, is_start: bool = True) -> Recovery:
    return Recovery(
        ledger=stage.parts.ledger,
        spool=stage.parts.spool,
        clock=stage.clock,
        routes=[route_of(step, stage.parts.spool.host_id) for step in SPOOL_STEPS],
        is_start=is_start,
    )


async def run(stage: Stage, *, is_start: bool = True) -> Recovered:
    """What was done; and what was foreseen is what was done."""
    foreseen = await foresee(recovery(stage, is_start=is_start))
    done = await recover(recovery(stage, is_start=is_start))
    assert foreseen == done
    return done


async def keep_job(stage: Stage, step: str, recording: Recording) -> None:
    """Let the queue hold this one job and no other."""
    await forget_jobs(stage)
    route = step if step == "notify" else route_of(step, stage.parts.spool.host_id)
    await stage.parts.ledger.remind([JobRow(route, recording.sid)])


async def jobs(stage: Stage, step: str) -> list[str]:
    """The recordings a step of this host has a job for, one entry for each job."""
    route = step if step == "notify" else route_of(step, stage.parts.spool.host_id)
    async with stage.parts.ledger.engine.connect() as connection:
        rows = await connection.execute(
            text("SELECT payload FROM pgqueuer WHERE entrypoint = :r ORDER BY id"), {"r": route}
        )
        return [bytes(row[0]).decode() for row in rows]


async def forget_jobs(stage: Stage) -> None:
    async with stage.parts.ledger.engine.begin() as transaction:
        await transaction.execute(text("DELETE FROM pgqueuer"))


def put(stage: Stage, path: Path, *, age_s: float) -> Path:
    path.write_bytes(b"bytes")
    then = stage.clock.now().timestamp() - age_s
    os.utime(path, (then, then))
    return path


async def encrypted(stage: Stage) -> None:
    key_sid = await stage.keep_public_key(public_pem(rsa_key()))
    await stage.choose(encryption_enabled=True, encryption_key_sid=key_sid)


# --- Files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_start", [True, False])
async def test_c1_and_c2_a_draft_is_removed_when_it_is_older_than_any_request(stage: Stage, is_start: bool) -> None:
    young = put(stage, stage.parts.spool.tmp / f"{mint_sid('RE')}.0a", age_s=HOUR_S - 1)
    old = put(stage, stage.parts.spool.tmp / f"{mint_sid('RE')}.0a", age_s=HOUR_S + 1)
    done = await run(stage, is_start=is_start)
    assert done.discarded == [old.name]
    assert stage.spooled() == [young.name]


async def test_c4_a_file_without_a_row_goes_to_quarantine_after_an_hour_and_stays_there(stage: Stage) -> None:
    young = put(stage, stage.parts.spool.ready / mint_sid("RE"), age_s=HOUR_S - 1)
    old = put(stage, stage.parts.spool.ready / mint_sid("RE"), age_s=HOUR_S + 1)
    strange = put(stage, stage.parts.spool.ready / "notes.txt", age_s=HOUR_S + 1)
    assert sorted((await run(stage)).quarantined) == sorted([old.name, strange.name])
    stage.clock.advance(365 * 86400)
    young.unlink()
    await run(stage)
    assert [p.read_bytes() for p in stage.parts.spool.quarantine.iterdir()] == [b"bytes"] * 2


async def test_c5_a_spooled_recording_without_a_job_gets_one(stage: Stage) -> None:
    recording = await stage.take_in()
    await forget_jobs(stage)
    assert (await run(stage, is_start=False)).reminded == [recording.sid]
    assert await jobs(stage, "seal") == [recording.sid]
    assert (await stage.carry(recording)).state is State.RELEASED


async def test_c7_ciphertext_that_was_never_committed_goes_at_start_and_not_while_it_may_be_committed(
    stage: Stage,
) -> None:
    await encrypted(stage)
    recording = await stage.take_in(trim_silence=True)
    extra = put(stage, stage.parts.spool.sealed_path_of(recording.sid, "0" * 64), age_s=10 * HOUR_S)
    assert (await run(stage, is_start=False)).discarded == []
    assert (await run(stage, is_start=True)).discarded == [extra.name]
    assert stage.spooled() == [recording.sid]
    assert (await stage.carry(recording)).state is State.RELEASED


@pytest.mark.parametrize("is_start", [True, False])
async def test_c8_the_plain_file_and_other_ciphertexts_of_a_sealed_recording_go(stage: Stage, is_start: bool) -> None:
    await encrypted(stage)
    recording = await stage.sealed()
    plain = put(stage, stage.parts.spool.path_of(recording.sid), age_s=0)
    other = put(stage, stage.parts.spool.sealed_path_of(recording.sid, "0" * 64), age_s=0)
    done = await run(stage, is_start=is_start)
    assert sorted(done.discarded) == sorted([plain.name, other.name])
    assert stage.spooled() == [stage.parts.spool.sealed_path_of(recording.sid, str(recording.blob_sha256)).name]
    assert (await stage.carry(recording)).state is State.RELEASED


async def test_the_media_of_an_unencrypted_recording_is_never_taken_for_a_leftover(stage: Stage) -> None:
    for made in (await stage.take_in(), await stage.sealed(), await stage.step("deliver", await stage.sealed())):
        put(stage, stage.parts.spool.path_of(made.sid), age_s=100 * HOUR_S)
    before = stage.spooled()
    for is_start in (True, False):
        assert (await run(stage, is_start=is_start)).discarded == []
    assert stage.spooled() == before


async def test_held_and_parked_media_is_never_touched(stage: Stage) -> None:
    ledger = stage.parts.ledger
    parked = await ledger.move(await stage.take_in(), State.PARKED)
    held = await ledger.move(await stage.take_in(), State.FATAL)
    for recording in (parked, held):
        put(stage, stage.parts.spool.path_of(recording.sid), age_s=100 * HOUR_S)
    done = await run(stage)
    assert done == Recovered()
    assert len(stage.spooled()) == 2


async def test_c14_a_file_that_came_back_goes_again(stage: Stage) -> None:
    released = await stage.carry(await stage.take_in())
    put(stage, stage.parts.spool.path_of(released.sid), age_s=0)
    assert (await run(stage)).discarded == [released.sid]
    assert stage.spooled() == []


async def test_a_file_of_a_forgotten_recording_goes_and_is_not_kept_in_quarantine(stage: Stage) -> None:
    recording = await stage.carry(await stage.take_in())
    asked = await request_deletion(stage.account_sid, recording.sid, ledger=stage.parts.ledger)
    deleted = await stage.carry(asked)
    await stage.parts.ledger.purge(deleted, reason="test")
    put(stage, stage.parts.spool.path_of(recording.sid), age_s=100 * HOUR_S)
    done = await run(stage)
    assert (done.discarded, done.quarantined) == ([recording.sid], [])


async def test_more_files_than_one_look_up_are_all_looked_up(stage: Stage) -> None:
    for _ in range(BATCH + 5):
        put(stage, stage.parts.spool.ready / mint_sid("RE"), age_s=2 * HOUR_S)
    kept = await stage.take_in()
    assert len((await run(stage)).quarantined) == BATCH + 5
    assert list(stage.parts.spool.ready.iterdir()) == [stage.parts.spool.path_of(kept.sid)]


# --- Rows ------------------------------------------------------------------------------------------------------------


async def test_c9_to_c12_an_upload_that_lost_its_worker_waits_due_now_at_start(stage: Stage) -> None:
    lost = await stage.parts.ledger.move(await stage.sealed(), State.UPLOADING, attempts=1)
    await forget_jobs(stage)
    assert (await run(stage)).taken_back == [lost.sid]
    recording = await stage.look(lost)
    assert (recording.state, recording.next_attempt_at) == (State.WAITING, stage.clock.now())
    assert await jobs(stage, "deliver") == [lost.sid]
    assert (await stage.carry(recording)).state is State.RELEASED


async def test_an_upload_with_a_live_job_is_left_alone_later(stage: Stage) -> None:
    busy = await stage.parts.ledger.move(await stage.sealed(), State.UPLOADING, attempts=1)
    await keep_job(stage, "deliver", busy)
    assert await run(stage, is_start=False) == Recovered()
    assert await stage.look(busy) == busy


async def test_c13_a_delivered_recording_is_released(stage: Stage) -> None:
    delivered = await stage.step("deliver", await stage.sealed())
    await forget_jobs(stage)
    assert (await run(stage)).reminded == [delivered.sid]
    assert await jobs(stage, "release") == [delivered.sid]
    assert (await stage.carry(delivered)).state is State.RELEASED
    assert stage.spooled() == []


async def test_c15_an_event_that_is_still_owed_gets_a_reminder(stage: Stage) -> None:
    recording = await stage.carry(await stage.take_in(callback="http://r.example.com/cb"))
    await forget_jobs(stage)
    await run(stage)
    assert await jobs(stage, "notify") == [recording.sid]


async def test_a_live_callback_is_no_reason_to_forget_a_delivery_nor_the_other_way_round(stage: Stage) -> None:
    recording = await stage.take_in(callback="http://r.example.com/cb", events="in-progress")
    await keep_job(stage, "notify", recording)
    assert (await run(stage, is_start=False)).reminded == [recording.sid]
    assert await jobs(stage, "notify") == [recording.sid]
    await keep_job(stage, "seal", recording)
    assert (await run(stage, is_start=False)).reminded == []
    assert await jobs(stage, "notify") == [recording.sid]


async def test_c17_a_deletion_goes_on(stage: Stage) -> None:
    recording = await stage.carry(await stage.take_in())
    await request_deletion(stage.account_sid, recording.sid, ledger=stage.parts.ledger)
    await forget_jobs(stage)
    assert (await run(stage)).reminded == [recording.sid]
    assert await jobs(stage, "delete") == [recording.sid]


async def test_a_waiting_recording_is_reminded_for_its_time(stage: Stage) -> None:
    sealed = await stage.sealed()
    uploading = await stage.parts.ledger.move(sealed, State.UPLOADING)
    at = stage.clock.now() + timedelta(seconds=290)
    await stage.parts.ledger.move(uploading, State.WAITING, next_attempt_at=at)
    await forget_jobs(stage)
    await run(stage)
    async with stage.parts.ledger.engine.connect() as connection:
        delay = (await connection.execute(text("SELECT execute_after - now() FROM pgqueuer"))).scalar_one()
    assert abs((delay - (at - stage.clock.now())).total_seconds()) < 60


async def test_what_waits_for_a_person_or_for_nothing_is_not_reminded(stage: Stage) -> None:
    ledger = stage.parts.ledger
    await ledger.move(await stage.take_in(), State.PARKED)
    await ledger.move(await stage.take_in(), State.FATAL)
    await stage.carry(await stage.take_in())
    await forget_jobs(stage)
    assert (await run(stage)).reminded == []


async def test_recovering_twice_is_the_same_as_once(stage: Stage) -> None:
    made: list[Recording] = [await stage.take_in(), await stage.sealed()]
    made.append(await stage.parts.ledger.move(await stage.sealed(), State.UPLOADING))
    await stage.step("deliver", await stage.sealed())
    await forget_jobs(stage)
    first = await recover_at_start(stage.parts)
    assert (len(first.reminded), len(first.taken_back)) == (3, 1)
    assert await recover_at_start(stage.parts) == Recovered()
    assert sum([len(await jobs(stage, step)) for step in ("seal", "deliver", "release")]) == 4


async def test_another_hosts_recordings_are_left_alone(stage: Stage) -> None:
    recording = await stage.take_in()
    async with stage.parts.ledger.engine.begin() as transaction:
        await transaction.execute(text("UPDATE recordings SET host_id = 'another'"))
    await forget_jobs(stage)
    assert (await run(stage)).reminded == []
    assert stage.spooled() == [recording.sid]


async def test_a_recording_that_waits_longer_than_any_back_off_is_due_now(stage: Stage) -> None:
    """The wall clock went back after its time was set."""
    uploading = await stage.parts.ledger.move(await stage.sealed(), State.UPLOADING)
    later = stage.clock.now() + timedelta(hours=5)
    waiting = await stage.parts.ledger.move(uploading, State.WAITING, next_attempt_at=later)
    assert await run(stage) == Recovered()  # it has its job
    await forget_jobs(stage)
    assert (await run(stage)).brought_forward == [waiting.sid]
    assert (await stage.carry(waiting)).state is State.RELEASED


async def test_of_many_names_the_first_are_kept_and_the_others_counted(stage: Stage) -> None:
    for _ in range(NAMED + 7):
        put(stage, stage.parts.spool.tmp / f"{mint_sid('RE')}.0a", age_s=HOUR_S + 1)
    done = await run(stage)
    assert (len(done.discarded), done.discarded.total) == (NAMED, NAMED + 7)


async def test_foreseeing_changes_nothing(stage: Stage) -> None:
    lost = await stage.parts.ledger.move(await stage.sealed(), State.UPLOADING, attempts=1)
    await stage.take_in()
    await forget_jobs(stage)
    put(stage, stage.parts.spool.ready / mint_sid("RE"), age_s=HOUR_S + 1)
    before = stage.spooled(), await stage.look(lost)
    foreseen = await foresee(recovery(stage))
    assert (len(foreseen.reminded), len(foreseen.taken_back), len(foreseen.quarantined)) == (1, 1, 1)
    assert (stage.spooled(), await stage.look(lost)) == before
    assert await jobs(stage, "seal") == []


# --- Quarantine ------------------------------------------------------------------------------------------------------


async def in_quarantine(stage: Stage) -> list[str]:
    return [one.name for one in await stage.parts.ledger.quarantine.list(stage.parts.spool.host_id)]


async def test_what_goes_to_quarantine_is_written_down_also_after_a_crash(stage: Stage) -> None:
    put(stage, stage.parts.spool.ready / mint_sid("RE"), age_s=HOUR_S + 1)
    put(stage, stage.parts.spool.quarantine / "from-before", age_s=0)
    await run(stage)
    there = sorted(p.name for p in stage.parts.spool.quarantine.iterdir())
    assert (len(there), await in_quarantine(stage)) == (2, there)


async def test_a_file_leaves_quarantine_by_a_persons_word_alone(stage: Stage) -> None:
    p = stage.parts
    kept = put(stage, p.spool.quarantine / "strange", age_s=0)
    await run(stage)
    await clear_quarantine("strange", "it is a test", spool=p.spool, ledger=p.ledger, clock=stage.clock, by=OPERATOR)
    assert not kept.exists()
    assert await in_quarantine(stage) == []
    rows = [row async for row in p.ledger.audit.read_chain("installation")]
    assert [(row.action, row.details["reason"]) for row in rows] == [("quarantine.removed", "it is a test")]
    for name in ("strange", "../ready/x", "nothing"):
        with pytest.raises(NotFound):
            await clear_quarantine(name, "again", spool=p.spool, ledger=p.ledger, clock=stage.clock, by=OPERATOR)


async def test_a_file_that_was_to_go_and_is_there_still_is_listed_again(stage: Stage) -> None:
    p = stage.parts
    kept = put(stage, p.spool.quarantine / "strange", age_s=0)
    await run(stage)
    deed = OPERATOR.deed(Action.QUARANTINE_REMOVED, None)
    await p.ledger.quarantine.mark_removed(p.spool.host_id, "strange", reason="x", deed=deed, now=stage.clock.now())
    await run(stage)
    assert await in_quarantine(stage) == []  # it may be going right now
    stage.clock.advance(3601)
    await run(stage)
    assert await in_quarantine(stage) == [kept.name]
