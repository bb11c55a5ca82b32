"""SIGKILL at each fail point; then recovery, and nothing acknowledged is missing."""

from __future__ import annotations

import asyncio
import hashlib
import multiprocessing
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest

from callreel.bucket.bucket import MULTIPART_ABOVE_BYTES
from callreel.clock import SetClock
from callreel.model.recording import Recording, State
from callreel.model.sid import RecordingSid
from callreel.settings import Settings
from callreel.steps.request_deletion import request_deletion
from callreel.worker.duties import recover_at_start
from tests.crash.child import Deed, do
from tests.crash.invariants import violations
from tests.sealing.keys import public_pem, rsa_key
from tests.stage import BUCKET, Stage, a_wav

LARGE_S = 1.2 * MULTIPART_ABOVE_BYTES / 16_000


@pytest.fixture(scope="module")
def forks() -> Any:
    """Processes that have imported everything already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.crash.child"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # what it imports ahead it looks for there
        forkserver.ensure_running()
    return context


@pytest.fixture
def clock() -> SetClock:
    """Begins now: the process that is killed runs by the machine's clock."""
    return SetClock(datetime.now(UTC))


class Scene:
    """A stage, and a process beside it that is killed."""

    def __init__(self, stage: Stage, forks: Any, database_url: str, tmp_path: Path, data_dir: Path) -> None:
        self.stage, self._forks, self._url, self._tmp, self._data_dir = stage, forks, database_url, tmp_path, data_dir
        self.acknowledged: dict[str, str] = {}
        self.body = a_wav()

    async def die_at(self, failpoint: str, recording: Recording | None = None) -> None:
        """Do the deed in a process of its own, which must be killed on the way."""
        body, told = self._tmp / "body.wav", self._tmp / "acknowledged"
        body.write_bytes(self.body)
        deed = Deed(
            data_dir=self._data_dir,
            database_url=self._url,
            failpoint=failpoint,
            account_sid=self.stage.account_sid,
            sid=recording.sid if recording else None,
            body=body,
            acknowledged=told,
        )
        process = self._forks.Process(target=do, args=(deed,))
        process.start()
        await asyncio.to_thread(process.join, 60)
        assert process.exitcode == -signal.SIGKILL
        assert not told.exists()
        assert await violations(self.stage, self.acknowledged) == []

    async def take_in(self) -> Recording:
        recording = await self.stage.take_in(
            self.body, callback="http://r.example.com/cb", events="in-progress completed failed", idempotency_key="key"
        )
        self.acknowledged[recording.sid] = hashlib.sha256(self.body).hexdigest()
        return recording

    async def recover(self) -> None:
        """Start again, twice, an hour apart; then let every job run."""
        for _ in range(2):
            await recover_at_start(self.stage.parts)
            assert await violations(self.stage, self.acknowledged) == []
            self.stage.clock.advance(3601)
        await recover_at_start(self.stage.parts)
        for sid in self.acknowledged:
            found = await self.stage.parts.ledger.recordings.find_for_work(RecordingSid(sid))
            assert found is not None
            await self.stage.carry_until_settled(found)
        assert await violations(self.stage, self.acknowledged) == []

    async def is_delivered_once(self) -> None:
        (sid,) = self.acknowledged
        recording = await self.stage.parts.ledger.recordings.find_for_work(RecordingSid(sid))
        assert recording is not None
        assert recording.state is State.RELEASED
        assert self.stage.objects(recording) == [recording.blob_sha256]
        assert list(self.stage.parts.spool.ready.iterdir()) == []
        assert self.stage.s3.keys(BUCKET) == [recording.object_key]


@pytest.fixture
async def scene(stage: Stage, forks: Any, database_url: str, tmp_path: Path, settings: Settings) -> Scene:
    return Scene(stage, forks, database_url, tmp_path, settings.data_dir)


@pytest.mark.parametrize("point", ["C1", "C2", "C3", "C4", "C5"])
async def test_a_crash_before_the_answer_and_a_retry_make_one_recording(scene: Scene, point: str) -> None:
    await scene.die_at(point)
    await scene.take_in()
    await scene.recover()
    await scene.is_delivered_once()
    assert list(scene.stage.parts.spool.tmp.iterdir()) == []
    left_over = len(list(scene.stage.parts.spool.quarantine.iterdir()))
    assert left_over == (1 if point in ("C3", "C4") else 0)


@pytest.mark.parametrize("point", ["C7", "C8"])
async def test_a_crash_while_sealing_loses_neither_media_nor_key(scene: Scene, point: str) -> None:
    key_sid = await scene.stage.keep_public_key(public_pem(rsa_key()))
    await scene.stage.choose(encryption_enabled=True, encryption_key_sid=key_sid)
    recording = await scene.take_in()
    await scene.die_at(point, recording)
    assert len(list(scene.stage.parts.spool.ready.iterdir())) == 2
    await scene.recover()
    await scene.is_delivered_once()


@pytest.mark.parametrize("point", ["C9", "C10"])
async def test_a_crash_in_a_large_upload_leaves_one_object(scene: Scene, point: str) -> None:
    scene.body = a_wav(seconds=LARGE_S)
    recording = await scene.take_in()
    await scene.die_at(point, recording)
    there = await scene.stage.look(recording)
    assert (there.upload_id is None) == (point == "C9")
    await scene.recover()
    await scene.is_delivered_once()
    assert len(scene.stage.s3.open_uploads(BUCKET)) == (1 if point == "C9" else 0)  # the sweep's


@pytest.mark.parametrize("point", ["C11", "C12", "C13", "C14"])
async def test_a_crash_after_the_object_was_stored_leaves_one_object(scene: Scene, point: str) -> None:
    recording = await scene.take_in()
    await scene.die_at(point, recording)
    await scene.recover()
    await scene.is_delivered_once()


async def test_a_crash_in_a_deletion_ends_deleted(scene: Scene) -> None:
    stage = scene.stage
    await stage.choose(aws_storage_enabled=False)
    delivered = await stage.step("deliver", await stage.step("seal", await scene.take_in()))
    scene.acknowledged.clear()
    asked = await request_deletion(stage.account_sid, delivered.sid, ledger=stage.parts.ledger)
    await scene.die_at("C17", asked)
    await recover_at_start(stage.parts)
    assert (await stage.carry(asked)).state is State.DELETED
    assert stage.spooled() == []


def test_the_fail_point_is_read_from_the_environment() -> None:
    script = (
        "from callreel.failpoints import reach\nreach('C2')\nprint('alive', flush=True)\nreach('C1')\nprint('not here')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": os.pathsep.join(sys.path), "CALLREEL_FAILPOINT": "C1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "alive\n")
