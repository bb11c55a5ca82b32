"""SIGKILL while recordings are moved: nothing is deleted before its proof, nothing is short or copied twice."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest

from callreel.clock import SetClock
from callreel.migration.report import item_row, items_of
from callreel.model.evidence import VerifyMethod
from callreel.model.migration import Migration
from callreel.model.moved_item import ItemState
from callreel.model.source import Source
from callreel.rehearsal.pretend_twilio import PretendTwilio
from callreel.rehearsal.speech import speech
from callreel.rehearsal.twilio_faults import RandomSourceFaults
from callreel.settings import Settings
from tests.crash.mover import MovingDeed, move_on
from tests.stage import BUCKET, Stage
from tests.web.test_migrations import a_source

POINTS = ["M4", "C3", "M1", "C5", "M2", "C11", "C12", "C14", "M3", "C16"]
QUICK = (  # faults that cost no minute of waiting
    "reset", "garbage", "internal-error", "bare-503", "html-200", "torn-media", "short-media", "long-media",
    "error-page", "error-page-as-audio", "lost-answer",
)  # fmt: skip


@pytest.fixture
def clock() -> SetClock:
    """Begins now: the process that is killed runs by the machine's clock."""
    return SetClock(datetime.now(UTC))


class Town:
    """A stage, a pretend Twilio with recordings, and a process that moves them and is killed."""

    def __init__(self, stage: Stage, twilio: PretendTwilio, forks: Any, database_url: str, data_dir: Path) -> None:
        self.stage, self.twilio = stage, twilio
        self._forks, self._url, self._data_dir = forks, database_url, data_dir
        self.old = twilio.add_account()
        self.media: dict[str, bytes] = {}
        self.source: Source | None = None
        self._looked_at: set[str] = set()

    def record(self, number: int) -> None:
        media = speech(1, seed=number)
        sid = f"RE{number:032x}"
        created = datetime(2026, 1, 1, 0, number % 60, tzinfo=UTC)
        self.twilio.add_recording(self.old, media, sid=sid, created=created)
        self.media[sid] = media

    async def start(self) -> Migration:
        self.source = self.source or await a_source(self.stage, self.twilio, self.old)
        return await self.stage.parts.ledger.migrations.start(
            self.source, host_id=self.stage.parts.spool.host_id, created_after=None, created_before=None
        )

    async def run(self, migration: Migration, *, failpoint: str = "", kill_after_s: float | None = None) -> int | None:
        """The process's exit code: a signal's number below zero."""
        deed = MovingDeed(
            data_dir=self._data_dir, database_url=self._url, failpoint=failpoint, migration_sid=migration.sid
        )
        process = self._forks.Process(target=move_on, args=(deed,))
        process.start()
        await asyncio.to_thread(process.join, kill_after_s or 90)
        if process.exitcode is None:
            os.kill(process.pid, signal.SIGKILL)
            await asyncio.to_thread(process.join, 10)
        code: int | None = process.exitcode
        assert await self.broken_promises() == []
        return code

    async def broken_promises(self) -> list[str]:
        """Of every original that is gone: was its copy whole, and proved, before the intent to delete it?"""
        found = []
        assert self.source is not None
        ledger = self.stage.parts.ledger
        for sid in sorted(set(self.twilio.deleted) - self._looked_at):
            self._looked_at.add(sid)
            item = await ledger.items.find_by_origin(self.source.sid, sid)
            assert item is not None
            recording = await ledger.recordings.find_for_work(item.recording_sid)
            assert recording is not None
            assert recording.object_key is not None
            if item.intent_at is None or recording.verified_at is None or recording.verified_at >= item.intent_at:
                found.append(f"I6: {sid} was deleted at {item.intent_at} and proved at {recording.verified_at}")
            if not VerifyMethod(recording.verify_method or "accepted").is_proof:
                found.append(f"I6: {sid} was deleted on {recording.verify_method}")
            if self.stage.objects(recording) != [hashlib.sha256(self.media[sid]).hexdigest()]:
                found.append(f"I2: the object of {sid} is {self.stage.objects(recording)}")
            if (item.source_link is None) != (item.delete_confirmed_at is not None):
                found.append(f"I7: {sid} has the link {item.source_link}, confirmed {item.delete_confirmed_at}")
        return found

    async def told(self, migration: Migration) -> dict[str, Any]:
        """The report without times and names that are made anew each time."""
        rows = {}
        async for page in items_of(migration, ledger=self.stage.parts.ledger):
            for reported in page:
                row = item_row(reported)
                facts = row["receipt"]["facts"] if row["receipt"] else {}
                rows[row["source_recording_sid"]] = {
                    **{name: row[name] for name in ("state", "size_bytes", "sha256", "reason", "source_link")},
                    **{name: facts.get(name) for name in ("blob_sha256", "verify_method", "bucket", "etag")},
                    "is_deleted": facts.get("deleted_at") is not None,
                }
        return rows


@pytest.fixture
async def town(stage: Stage, forks: Any, database_url: str, settings: Settings) -> AsyncIterator[Town]:
    async with PretendTwilio() as twilio:
        yield Town(stage, twilio, forks, database_url, settings.data_dir)


async def test_a_migration_killed_at_every_point_ends_with_each_original_gone_and_each_copy_whole(town: Town) -> None:
    for number in range(len(POINTS) + 3):
        town.record(number)
    migration = await town.start()
    for point in POINTS:
        assert await town.run(migration, failpoint=point) == -signal.SIGKILL, point
    assert await town.run(migration) == 0
    done = await town.stage.parts.ledger.migrations.fetch(town.stage.account_sid, migration.sid)
    assert (done.status, done.deleted_at_source, done.failed) == ("completed", len(town.media), 0)
    assert sorted(town.twilio.deleted) == sorted(town.media)
    assert len(town.stage.s3.keys(BUCKET)) == len(town.media)


async def test_killed_at_ten_random_moments_it_ends_with_the_report_of_one_left_alone(
    town: Town, pytestconfig: pytest.Config
) -> None:
    """Source faults on 20 % of requests, torn downloads among them. `--moved 2000` is the storm: killed every 5 s."""
    count = pytestconfig.getoption("moved")
    is_storm = count > 60
    for number in range(count):
        town.record(number)
    town.twilio.faults.at_random = RandomSourceFaults(0.2, seed=3, kinds=QUICK)
    luck, kills = Random(5), 0
    migration = await town.start()
    for _ in range(500 if is_storm else 10):
        if await town.run(migration, kill_after_s=5.0 if is_storm else luck.uniform(0.4, 1.2)) != -signal.SIGKILL:
            break
        kills += 1
    await town.run(migration)
    assert kills >= 3
    print(f"{count} recordings, {kills} kills, {len(town.twilio.deleted)} originals deleted, each after its proof")
    done = await town.stage.parts.ledger.migrations.fetch(town.stage.account_sid, migration.sid)
    told = await town.told(migration)
    kept = sum(row["state"] == ItemState.DELETE_FAILED for row in told.values())  # three tries met three faults
    print(f"{kept} originals kept for a person to try again")
    assert (done.status, done.deleted_at_source + kept, done.failed) == ("completed", count, 0)
    assert len(town.stage.s3.keys(BUCKET)) == count
    town.twilio.faults.at_random = None
    if kept:
        assert await town.stage.parts.ledger.migrations.retry(done) == kept
        await town.run(migration)
        done = await town.stage.parts.ledger.migrations.fetch(town.stage.account_sid, migration.sid)
        told = await town.told(migration)
    assert (done.status, done.deleted_at_source, done.delete_failed) == ("completed", count, 0)
    if is_storm:
        return
    town.old, town.source = town.twilio.add_account(), None
    town.twilio.deleted.clear()
    town._looked_at.clear()
    for number in range(count):
        town.record(number)
    alone = await town.start()
    await town.run(alone)
    assert await town.told(alone) == told
    assert {row["state"] for row in told.values()} == {ItemState.LINK_CLEARED}
