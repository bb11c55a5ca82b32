"""One fsync of a directory for all who wait for one: a sync that starts after a rename covers that rename."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from pathlib import Path

from callreel.spool.durable import sync_directory


class DirectorySync:
    """Syncs one directory on request, sharing the system call between those who ask meanwhile."""

    def __init__(self, path: Path, executor: Executor) -> None:
        self._path, self._executor = path, executor
        self._waiting: list[asyncio.Future[None]] = []
        self._running: asyncio.Task[None] | None = None

    async def wait(self) -> None:
        """Return when every name changed before this call is durable. Raises `OSError` when the disk refuses."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(done)
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        await done

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            waiting, self._waiting = self._waiting, []
            error: OSError | None = None
            try:
                await loop.run_in_executor(self._executor, sync_directory, self._path)
            except OSError as why:
                error = why
            for done in waiting:
                if done.cancelled():
                    continue
                if error is None:
                    done.set_result(None)
                else:
                    done.set_exception(error)
