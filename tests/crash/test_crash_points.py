"""SIGKILL at each fail point; then recovery, and nothing acknowledged is missing."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from alembic import command
from sqlalchemy import Connection, text

from callreel.app import open_parts
from callreel.bucket.bucket import MULTIPART_ABOVE_BYTES
from callreel.clock import SetClock
from callreel.ledger.database import is_migrated, migrate, migration_config, open_engine
from callreel.ledger.embedded_postgres import EmbeddedPostgres
from callreel.model.account import Account
from callreel.model.recording import Recording, State
from callreel.model.sid import RecordingSid
from callreel.rehearsal.callback_receiver import CallbackReceiver
from callreel.settings import Settings
from callreel.steps.purge import purge
from callreel.steps.request_deletion import request_deletion
from callreel.steps.sweep import sweep
from callreel.worker.duties import recover_at_start
from callreel.worker.routes import tell
from tests.conftest import psql
from tests.crash.child import Deed, do
from tests.crash.invariants import fetch_all, violations
from tests.crash.torn_commit import Tear, wire_to
from tests.sealing.keys import public_pem, rsa_key
from tests.stage import BUCKET, Stage, a_wav
from tests.web.conftest import Caller, serving

_names = itertools.count()
LARGE_S = 1.2 * MULTIPART_ABOVE_BYTES / 16_000


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

    async def die_at(
        self, failpoint: str, recording: Recording | None = None, *, what: str = "", database_url: str | None = None
    ) -> None:
        """Do the deed in a process of its own, which must be killed on the way."""
        body, told = self._tmp / "body.wav", self._tmp / "acknowledged"
        body.write_bytes(self.body)
        deed = Deed(
            what=what or ("carry" if recording else "take in"),
            data_dir=self._data_dir,
            database_url=database_url or self._url,
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

    async def encrypt(self) -> None:
        key_sid = await self.stage.keep_public_key(public_pem(rsa_key()))
        await self.stage.choose(encryption_enabled=True, encryption_key_sid=key_sid)

    async def take_in(self, **intake: Any) -> Recording:
        recording = await self.stage.take_in(
            self.body,
            callback="http://r.example.com/cb",
            events="in-progress completed failed",
            idempotency_key="key",
            **intake,
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
async def scene(
    stage: Stage, forks: Any, database_url: str, tmp_path: Path, settings: Settings, round_number: int
) -> Scene:
    scene = Scene(stage, forks, database_url, tmp_path, settings.data_dir)
    scene.body = a_wav(seconds=0.1 + 0.01 * round_number, seed=round_number)
    return scene


@pytest.mark.parametrize("point", ["C1", "C2", "C3", "C4", "C5", "C6"])
async def test_a_crash_before_the_answer_and_a_retry_make_one_recording(scene: Scene, point: str) -> None:
    await scene.die_at(point)
    await scene.take_in()
    await scene.recover()
    await scene.is_delivered_once()
    assert list(scene.stage.parts.spool.tmp.iterdir()) == []
    left_over = len(list(scene.stage.parts.spool.quarantine.iterdir()))
    assert left_over == (1 if point in ("C3", "C4", "C6") else 0)


@pytest.mark.parametrize("point", ["C1", "C2", "C3", "C4", "C5", "C6"])
async def test_a_crash_while_it_is_encrypted_as_it_comes_and_a_retry_make_one_recording(
    scene: Scene, point: str
) -> None:
    await scene.encrypt()
    await scene.die_at(point)
    lying = [path.read_bytes() for path in scene.stage.parts.spool.root.rglob("RE*")]
    assert not any(scene.body[at : at + 16] in file for file in lying for at in range(0, len(scene.body), 100))
    recording = await scene.take_in()
    assert recording.is_sealed
    await scene.recover()
    await scene.is_delivered_once()
    left_over = len(list(scene.stage.parts.spool.quarantine.iterdir()))
    assert left_over == (1 if point in ("C3", "C4", "C6") else 0)


async def test_a_crash_after_what_came_encrypted_was_sealed_needs_no_other_key(scene: Scene) -> None:
    await scene.encrypt()
    recording = await scene.take_in()
    await scene.die_at("C8", recording)
    assert len(list(scene.stage.parts.spool.ready.iterdir())) == 1
    await scene.recover()
    await scene.is_delivered_once()


@pytest.mark.parametrize("point", ["C7", "C8"])
async def test_a_crash_while_sealing_loses_neither_media_nor_key(scene: Scene, point: str) -> None:
    await scene.encrypt()
    recording = await scene.take_in(trim_silence=True)  # what may be trimmed is encrypted in a step of its own
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
    stage = scene.stage
    assert len(stage.s3.open_uploads(BUCKET)) == (1 if point == "C9" else 0)
    stage.clock.advance(26 * 3600)
    await sweep(ledger=stage.parts.ledger, buckets=stage.parts.buckets, clock=stage.clock)
    assert stage.s3.open_uploads(BUCKET) == []


@pytest.mark.parametrize("point", ["C11", "C12", "C13", "C14"])
async def test_a_crash_after_the_object_was_stored_leaves_one_object(scene: Scene, point: str) -> None:
    recording = await scene.take_in()
    await scene.die_at(point, recording)
    await scene.recover()
    await scene.is_delivered_once()


async def test_c17_a_crash_in_a_deletion_ends_deleted(scene: Scene) -> None:
    stage = scene.stage
    await stage.choose(aws_storage_enabled=False)
    delivered = await stage.step("deliver", await stage.step("seal", await scene.take_in()))
    scene.acknowledged.clear()
    asked = await request_deletion(stage.account_sid, delivered.sid, ledger=stage.parts.ledger)
    await scene.die_at("C17", asked)
    await recover_at_start(stage.parts)
    assert (await stage.carry(asked)).state is State.DELETED
    assert stage.spooled() == []


@pytest.mark.parametrize("tear", list(Tear))
async def test_c6_a_commit_with_an_unknown_outcome_is_503_and_the_retry_finds_the_row_or_makes_it(
    scene: Scene, settings: Settings, database_url: str, account: tuple[Account, str], tmp_path: Path, tear: Tear
) -> None:
    stage, here = scene.stage, scene.stage.parts
    async with (
        wire_to(database_url, tmp_path / "wire") as (torn_url, wire),
        open_parts(settings, database_url=torn_url, public_url="http://callreel.test", clock=stage.clock) as parts,
        serving(parts) as base,
        aiohttp.ClientSession() as session,
    ):
        caller = Caller(session, base, *account)
        wire.tear = tear
        unknown = await caller.upload(scene.body, Idempotency_Key="key")
        assert (unknown.status, unknown.headers["Retry-After"], wire.torn) == (503, "5", 1)
        born = list(await fetch_all(here))
        assert len(born) == (1 if tear is Tear.BEFORE_THE_ANSWER else 0)
        assert len(list(here.spool.ready.iterdir())) == 1  # kept, whatever became of the row
        assert await violations(stage, {}) == []
        retried = await caller.upload(scene.body, Idempotency_Key="key")
        assert retried.status in (200, 201)
        sid = retried.json()["sid"]
        assert born in ([], [sid])
    scene.acknowledged[sid] = hashlib.sha256(scene.body).hexdigest()
    await scene.recover()
    await scene.is_delivered_once()
    assert len(list(here.spool.quarantine.iterdir())) == (0 if born else 1)


async def test_c15_a_crash_after_a_callback_was_sent_sends_it_again_with_the_same_token(scene: Scene) -> None:
    async with CallbackReceiver() as receiver:
        recording = await scene.stage.carry(
            await scene.stage.take_in(scene.body, callback=f"{receiver.url}/cb", events="completed")
        )
        await scene.die_at("C15", recording, what="tell")
        await recover_at_start(scene.stage.parts)
        await tell(recording.sid, parts=scene.stage.parts, is_crowded=lambda: False)
        first, second = receiver.received
        assert first.idempotency_token == second.idempotency_token
    assert [state for _, _, state in await scene.stage.events(recording)] == ["sent"]


async def test_c18_a_crash_between_row_and_tombstone_leaves_the_row(scene: Scene) -> None:
    stage = scene.stage
    await stage.choose(aws_storage_enabled=False)
    recording = await stage.carry(await stage.take_in(scene.body))
    deleted = await stage.carry(await request_deletion(stage.account_sid, recording.sid, ledger=stage.parts.ledger))
    async with stage.parts.ledger.engine.begin() as transaction:
        await transaction.execute(text("UPDATE recordings SET purge_after = now() - interval '1 day'"))
    await scene.die_at("C18", deleted, what="purge")
    assert (await stage.look(deleted)).state is State.DELETED
    stage.clock.advance(60)
    assert await purge(ledger=stage.parts.ledger, clock=stage.clock) == 1
    assert await stage.parts.ledger.recordings.buried([deleted.sid]) == {deleted.sid}
    assert await violations(stage, {}) == []


async def test_c19_a_migration_that_was_killed_is_run_again(scene: Scene, postgres: EmbeddedPostgres) -> None:
    name = f"unmigrated_{os.getpid()}_{next(_names)}"
    psql(postgres, f"CREATE DATABASE {name}")
    engine = open_engine(postgres.url(name))
    try:
        await scene.die_at("C19", what="migrate", database_url=postgres.url(name))
        assert not await is_migrated(engine)
        await migrate(engine)
        assert await is_migrated(engine)
    finally:
        await engine.dispose()
        psql(postgres, f"DROP DATABASE {name} WITH (FORCE)")


async def test_c19_a_migration_of_an_older_schema_that_was_killed_keeps_the_rows_and_the_schema_of_before(
    scene: Scene, postgres: EmbeddedPostgres
) -> None:
    name = f"older_{os.getpid()}_{next(_names)}"
    psql(postgres, f"CREATE DATABASE {name}")
    engine = open_engine(postgres.url(name))

    def to_an_older_schema(connection: Connection) -> None:
        config = migration_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0005")

    try:
        async with engine.begin() as transaction:
            await transaction.run_sync(to_an_older_schema)
            await transaction.execute(text("INSERT INTO installation VALUES ('kept', 'x')"))
        await scene.die_at("C19", what="migrate", database_url=postgres.url(name))
        assert psql(postgres, "SELECT version_num FROM alembic_version", name) == "0005"
        assert psql(postgres, "SELECT count(*) FROM pg_tables WHERE tablename = 'retention_classes'", name) == "0"
        await migrate(engine)
        assert await is_migrated(engine)
        assert psql(postgres, "SELECT name FROM installation", name) == "kept"
    finally:
        await engine.dispose()
        psql(postgres, f"DROP DATABASE {name} WITH (FORCE)")


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
