"""The measured process: callreel's worker on an installation whose recordings were accepted before."""

from __future__ import annotations

import asyncio
import cProfile
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.child import Account, hear, read_job, say_ready
from benchmarks.installation import PUBLIC_URL, settings_of
from callreel.app import open_parts
from callreel.worker.worker import Worker


async def run(job: dict[str, Any]) -> None:
    """Open the installation, wait for the word, work until told to stop."""
    settings = settings_of(Path(job["data_dir"]))
    async with open_parts(settings, database_url=job["database_url"], public_url=PUBLIC_URL) as parts:
        parts.spool.lock_for_work()
        worker = Worker(parts)
        say_ready()
        await hear()
        account = Account()
        working = asyncio.create_task(worker.run())
        await hear()
        account.tell()
        worker.stop()
        await working


def main() -> None:
    job = read_job()
    if profile_path := job.get("profile"):
        with cProfile.Profile() as profile:
            uvloop.run(run(job))
        profile.dump_stats(profile_path)
    else:
        uvloop.run(run(job))


if __name__ == "__main__":
    main()
