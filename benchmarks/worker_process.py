"""The measured process: callreel's worker, as `callreel serve --role worker` runs it, on recordings accepted before.

Only the start of the interpreter lies before the word to go: recovery, the queue and the work come after it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.child import Account, hear, read_job, say_ready
from benchmarks.installation import PUBLIC_URL, settings_of
from callreel.app import open_parts
from callreel.worker.shift import work


async def run(job: dict[str, Any]) -> None:
    """Open the installation, wait for the word, work until told to stop."""
    settings = settings_of(Path(job["data_dir"]))
    async with open_parts(settings, database_url=job["database_url"], public_url=PUBLIC_URL) as parts:
        parts.spool.lock_for_work()
        stopping = asyncio.Event()
        say_ready()
        await hear()
        account = Account()
        working = asyncio.create_task(work(parts, stopping, mend=_nothing))
        await hear()
        account.tell()
        stopping.set()
        await working


async def _nothing() -> None:
    """The parent's database needs no mending."""


if __name__ == "__main__":
    uvloop.run(run(read_job()))
