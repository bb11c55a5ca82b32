"""One fsync of a directory for all who wait for one: a sync that starts after a change of names covers that change.

Files to be removed go the same way, so that many of them cost one trip to a thread and one sync.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path

from callreel.spool.durable import remove, sync_directory


class DirectorySync:
    """Syncs one directory on request, sharing the system call between those who ask meanwhile."""

    def __init__(self, path: Path, executor: Executor) -> None:
        self._path, self._executor = path, executor
        self._waiting: list[tuple[Sequence[Path] | None, asyncio.Future[None]]] = []
        self._running: asyncio.Task[None] | None = None

    async def wait(self) -> None:
        """Return when every name changed before this call is durable. Raises `OSError` when the disk refuses."""
        await self._ask(None)

    async def remove(self, paths: Sequence[Path]) -> None:
        """Remove these files of the directory; return when that is durable. One that is not there is as good as gone.

        Raises `OSError` when the disk refuses.
        """
        await self._ask(paths)

    async def _ask(self, paths: Sequence[Path] | None) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((paths, done))
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        await done

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            waiting, self._waiting = self._waiting, []
            answers = await loop.run_in_executor(self._executor, self._settle, [paths for paths, _ in waiting])
            for (_, done), error in zip(waiting, answers, strict=True):
                if done.cancelled():
                    continue
                if error is None:
                    done.set_result(None)
                else:
                    done.set_exception(error)

    def _settle(self, asked: list[Sequence[Path] | None]) -> list[OSError | None]:
        """Remove, then sync, in a thread; for each who asked, what went wrong."""
        errors: list[OSError | None] = []
        is_changed = False
        for paths in asked:
            try:
                # A mere wait is for a name that somebody changed already.
                is_changed |= paths is None or sum(remove(path) for path in paths) > 0
                errors.append(None)
            except OSError as why:
                is_changed = True  # the first of its files may be gone
                errors.append(why)
        if is_changed:
            try:
                sync_directory(self._path)
            except OSError as why:
                return [error or why for error in errors]
        return errors
