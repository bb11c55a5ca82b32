"""The sweep aborts what a crash left behind in a bucket, and nothing else."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from callreel.bucket.bucket import PutOptions
from callreel.bucket.s3 import S3Bucket
from callreel.model.recording import Recording, State
from callreel.model.sid import mint_sid
from callreel.steps.sweep import Swept, sweep
from tests.stage import BUCKET, WRITER, Stage

DAY_S = 24 * 3600.0


async def run(stage: Stage) -> Swept:
    return await sweep(ledger=stage.parts.ledger, buckets=stage.parts.buckets, clock=stage.clock)


async def begin(stage: Stage, recording: Recording, key: str | None = None) -> str:
    bucket = await stage.parts.buckets.of(recording)
    assert isinstance(bucket, S3Bucket)
    return await bucket.begin_upload(key or str(recording.object_key), PutOptions(content_type="audio/x-wav"))


async def test_an_upload_of_ours_that_nobody_needs_is_aborted_after_a_day(stage: Stage) -> None:
    recording = await stage.carry(await stage.take_in())
    await begin(stage, recording)
    stage.clock.advance(DAY_S - 1)
    assert await run(stage) == Swept()
    stage.clock.advance(2)
    assert (await run(stage)).aborted == [recording.object_key]
    assert stage.s3.open_uploads(BUCKET) == []
    assert await run(stage) == Swept()


async def test_an_upload_that_a_row_still_needs_stays(stage: Stage) -> None:
    recording = await stage.parts.ledger.move(await stage.sealed(), State.UPLOADING)
    await stage.parts.ledger.note(recording, upload_id=await begin(stage, recording))
    stage.clock.advance(2 * DAY_S)
    assert await run(stage) == Swept()
    assert len(stage.s3.open_uploads(BUCKET)) == 1


@pytest.mark.parametrize("key", ["documents/{account}/other.bin", "documents/{account}/{unknown}", "elsewhere/{sid}"])
async def test_what_others_upload_is_never_touched(stage: Stage, key: str) -> None:
    recording = await stage.carry(await stage.take_in())
    await begin(stage, recording, key.format(account=stage.account_sid, unknown=mint_sid("RE"), sid=recording.sid))
    stage.clock.advance(2 * DAY_S)
    assert await run(stage) == Swept()
    assert len(stage.s3.open_uploads(BUCKET)) == 1


async def test_a_bucket_that_may_not_be_listed_is_a_note(stage: Stage) -> None:
    stage.credential_sid = await stage.keep_key(WRITER)
    await stage.choose()
    swept = await run(stage)
    assert swept.aborted == []
    assert len(swept.notes) == 1
    assert "AccessDenied" in swept.notes[0]


async def test_a_bucket_whose_credential_is_gone_is_a_note(stage: Stage) -> None:
    async with stage.parts.ledger.engine.begin() as transaction:
        await transaction.execute(text("DELETE FROM credentials"))
    assert "no longer exists" in (await run(stage)).notes[0]
