"""A process that moves recordings out of a source and will be killed."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

from callreel import failpoints
from callreel.app import open_parts
from callreel.clock import SystemClock
from callreel.model.migration import MigrationStatus
from callreel.settings import load_settings
from callreel.worker.duties import recover_at_start
from callreel.worker.worker import Worker


@dataclass(frozen=True, slots=True, kw_only=True)
class MovingDeed:
    """Work until the migration is over, or until the fail point is reached, or until somebody kills us."""

    data_dir: Path
    database_url: str
    failpoint: str
    migration_sid: str


def move_on(deed: MovingDeed) -> None:
    """Run in a process of its own."""
    os.environ["CALLREEL_FAILPOINT"] = deed.failpoint
    failpoints._ARMED = deed.failpoint  # this process was forked from one that had read the variable before
    asyncio.run(_move_on(deed))


async def _move_on(deed: MovingDeed) -> None:
    settings = load_settings(data_dir=deed.data_dir, allowed_private_networks="127.0.0.0/8")
    async with open_parts(
        settings, database_url=deed.database_url, public_url="http://callreel.test", clock=SystemClock()
    ) as parts:
        await recover_at_start(parts)
        worker = Worker(parts)
        working = asyncio.create_task(worker.run())
        while True:
            migration = await parts.ledger.migrations.find_for_work(deed.migration_sid)
            assert migration is not None
            if migration.status is not MigrationStatus.RUNNING:
                break
            await asyncio.sleep(0.05)
        worker.stop()
        await working
