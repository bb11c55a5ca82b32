"""The operator's restart: a new window under the settings as they are now."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from callreel.errors import BucketRefused
from callreel.model.credential import CredentialKind
from callreel.model.recording import Recording, State
from callreel.model.storage_settings import FatalErrorPolicy
from callreel.rehearsal import s3_faults as faults
from callreel.sealing.twilio_format import decrypt
from callreel.steps.restart import PAGE, RESTARTS_PER_S, Pace, restart, restart_all
from tests.sealing.keys import another_rsa_key, private_pem, public_pem, rsa_key
from tests.stage import BUCKET, Stage, a_wav

ALWAYS = 10_000
MANY = 600  # more than a page, and than the first second takes


async def again(stage: Stage, recording: Recording) -> bool:
    return await restart(recording, ledger=stage.parts.ledger, buckets=stage.parts.buckets)


async def parked(stage: Stage, **intake: Any) -> Recording:
    stage.s3.faults.next(faults.slow_down(), ALWAYS)
    recording = await stage.carry_until_settled(await stage.take_in(**intake))
    stage.s3.faults.clear()
    assert recording.state is State.PARKED
    return recording


async def held(stage: Stage, **intake: Any) -> Recording:
    stage.s3.faults.next(faults.refuse("AccessDenied"), 2)
    recording = await stage.carry_until_settled(await stage.take_in(**intake))
    assert recording.is_held
    return recording


@pytest.mark.parametrize("given_up", [parked, held])
async def test_what_was_given_up_is_delivered_after_a_restart(stage: Stage, given_up: Any) -> None:
    recording = await given_up(stage, callback="http://r.example.com/cb", events="completed failed")
    assert await again(stage, recording)
    fresh = await stage.look(recording)
    assert fresh.state is State.SEALED
    assert (fresh.attempts, fresh.retry_spent_s, fresh.error_code, fresh.refused_at) == (0, 0.0, None, None)
    assert fresh.blob_sha256 == recording.blob_sha256
    done = await stage.carry(fresh)
    assert (done.state, done.error_code) == (State.RELEASED, None)
    assert [e for e, _, _ in await stage.events(done)] == ["failed", "completed"]


async def test_many_are_restarted_at_a_pace(stage: Stage) -> None:
    recording = await parked(stage)
    await make_copies(stage.parts.ledger.engine, recording.sid, MANY - 1)
    assert await restart_everything(stage) == MANY
    async with stage.parts.ledger.engine.connect() as connection:
        due = (
            await connection.execute(text("SELECT next_attempt_at FROM recordings ORDER BY 1 NULLS FIRST"))
        ).scalars()
        due_in = [0.0 if at is None else (at - stage.clock.now()).total_seconds() for at in due]
    assert due_in == [0.0 if n < RESTARTS_PER_S else n / RESTARTS_PER_S for n in range(MANY)]
    assert await restart_everything(stage) == 0


async def make_copies(engine: AsyncEngine, sid: str, count: int) -> None:
    """Rows of other recordings that are as this one; of their media there is nothing."""
    async with engine.begin() as transaction:
        await transaction.execute(
            text(
                "INSERT INTO recordings SELECT (jsonb_populate_record(r, jsonb_build_object("
                "'sid', 'RE' || md5(n::text), 'object_key', md5(n::text), 'object_url', md5(n::text)))).* "
                "FROM recordings r, generate_series(1, :count) n WHERE r.sid = :sid"
            ),
            {"sid": sid, "count": count},
        )


async def restart_everything(stage: Stage) -> int:
    """As the command does it, page by page."""
    parts, pace, restarted = stage.parts, Pace(), 0
    while page := await parts.ledger.recordings.list_unfinished(
        account_sid=None, states=frozenset({State.PARKED}), limit=PAGE
    ):
        restarted += await restart_all(page, ledger=parts.ledger, buckets=parts.buckets, clock=parts.clock, pace=pace)
    return restarted


async def test_a_restart_pressed_twice_is_one_restart(stage: Stage) -> None:
    recording = await parked(stage)
    assert sorted(await asyncio.gather(again(stage, recording), again(stage, recording))) == [False, True]
    assert not await again(stage, await stage.look(recording))


async def test_only_what_was_given_up_is_restarted(stage: Stage) -> None:
    await stage.choose(fatal_error_policy=FatalErrorPolicy.DELETE)
    stage.s3.faults.next(faults.refuse("AccessDenied"), 2)
    erased = await stage.carry_until_settled(await stage.take_in())
    spooled, released = await stage.take_in(), await stage.carry(await stage.take_in())
    for recording in (erased, spooled, released):
        assert not await again(stage, recording)
        assert await stage.look(recording) == recording


async def test_a_restart_uses_destination_and_credential_as_they_are_now(stage: Stage) -> None:
    recording = await held(stage)
    stage.s3.create_bucket("elsewhere")
    other_key = await stage.keep_key()
    await stage.choose(aws_s3_url=f"{stage.s3.url}/elsewhere", aws_credentials_sid=other_key)
    await stage.parts.ledger.credentials.remove(stage.account_sid, CredentialKind.AWS, stage.credential_sid)
    assert await again(stage, recording)
    done = await stage.carry(recording)
    assert (done.state, done.bucket) == (State.RELEASED, "elsewhere")
    assert stage.s3.versions("elsewhere", f"{stage.account_sid}/{recording.sid}") == [recording.blob_sha256]
    assert stage.s3.keys(BUCKET) == []


async def test_a_restart_after_storage_was_switched_off_keeps_the_recording_here(stage: Stage) -> None:
    recording = await parked(stage)
    await stage.choose(aws_storage_enabled=False)
    assert await again(stage, recording)
    done = await stage.carry(recording)
    assert (done.state, done.is_external) == (State.RELEASED, False)
    assert stage.parts.buckets.storage.path_of(str(done.object_key)).exists()


async def test_a_sealed_blob_stays_the_blob(stage: Stage) -> None:
    old, new = [await stage.keep_public_key(public_pem(k)) for k in (rsa_key(), another_rsa_key())]
    await stage.choose(encryption_enabled=True, encryption_key_sid=old)
    body = a_wav()
    recording = await parked(stage, body=body)
    await stage.choose(encryption_enabled=True, encryption_key_sid=new)
    assert await again(stage, recording)
    done = await stage.carry(recording)
    assert done.encryption_details == recording.encryption_details
    opened = io.BytesIO()
    decrypt(io.BytesIO(stage.bodies(done)), opened, private_pem(rsa_key()), done.encryption_details or {})
    assert opened.getvalue() == body


async def test_media_that_was_never_sealed_is_encrypted_with_the_key_of_now(stage: Stage) -> None:
    old, new = [await stage.keep_public_key(public_pem(k)) for k in (rsa_key(), another_rsa_key())]
    await stage.choose(encryption_enabled=True, encryption_key_sid=old)
    await stage.parts.ledger.credentials.remove(stage.account_sid, CredentialKind.PUBLIC_KEY, old)
    recording = await stage.carry(await stage.take_in())
    assert recording.error_code == 16105
    await stage.choose(encryption_enabled=True, encryption_key_sid=new)
    assert await again(stage, recording)
    done = await stage.carry(recording)
    assert done.state is State.RELEASED
    assert (done.encryption_details or {})["public_key_sid"] == new


async def test_a_recording_that_is_refused_again_is_held_again(stage: Stage) -> None:
    recording = await held(stage, callback="http://r.example.com/cb", events="failed")
    await again(stage, recording)
    stage.s3.faults.next(faults.refuse("AccessDenied"), 2)
    recording = await stage.carry_until_settled(recording)
    assert recording.is_held
    assert recording.last_error_code == BucketRefused("AccessDenied").code
    assert len(await stage.events(recording)) == 1
