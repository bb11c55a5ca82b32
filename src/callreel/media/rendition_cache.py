"""Renditions kept on disk, so that the second request for a range does not encode the recording again.

`kept/` holds finished renditions under `<sid>.<variant>`, `tmp/` those being encoded. Nothing here is the only copy
of anything: all of it may be removed while the service is stopped. They are media too, so they lie sealed under the
key of their recording and cannot be opened once that is destroyed.
"""

from __future__ import annotations

import asyncio
import fcntl
import itertools
import re
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from callreel.at_rest.segments import FileKey
from callreel.errors import InvalidSid, Misconfigured, RangeNotSatisfiable, RenditionUnavailable
from callreel.media.least_recent import LeastRecent
from callreel.media.rendering import Rendering
from callreel.media.rendition import Rendition
from callreel.model.sid import is_sid

ENCODERS = 2  # at a time; an hour takes a core two seconds, so a queue is short
_VARIANT = re.compile(r"[a-z0-9][a-z0-9.-]{0,31}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to read one rendition, however far its encoding is."""

    size_bytes: int
    _rendering: Rendering
    _begin: Callable[[], None]

    def chunks(self, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from `start` up to `stop` (None: the end). The first chunk asked for starts the encoding.

        Raises `RangeNotSatisfiable` at once for what is not inside the rendition. On the way: what the rendition
        itself raises, `NotFound` when the recording is forgotten, `RenditionUnavailable` when the disk refuses.
        """
        stop = self.size_bytes if stop is None else stop
        if not 0 <= start <= stop <= self.size_bytes:
            raise RangeNotSatisfiable(self.size_bytes)
        return self._read(start, stop)

    async def _read(self, start: int, stop: int) -> AsyncIterator[bytes]:
        while start < stop:
            self._begin()
            block = await self._rendering.read(start, stop)
            start += len(block)
            yield block


class RenditionCache:
    """One directory of renditions for one process. `prepare` before use, `close` after.

    `limit_bytes` bounds what is kept; what is encoded or read at this moment comes on top of it.
    """

    def __init__(self, root: Path, limit_bytes: int) -> None:
        self._root, self._limit_bytes = root, limit_bytes
        self._kept_dir, self._tmp_dir = root / "kept", root / "tmp"
        self._kept = LeastRecent()
        self._live: dict[str, Rendering] = {}  # what a new reader joins
        self._running: set[Rendering] = set()  # what has a task, also when its last reader left
        self._names = asyncio.Lock()  # held while a name in kept/ is looked up, given or taken away
        self._slots = asyncio.Semaphore(ENCODERS)
        self._numbers = itertools.count()
        self._lock: IO[bytes] | None = None

    def prepare(self) -> None:
        """Create what is missing, remove what a crash left, learn what is kept. Blocks.

        Raises `Misconfigured` when the directory cannot be used or another process uses it.
        """
        try:
            for directory in (self._root, self._kept_dir, self._tmp_dir):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._claim()
            _remove(self._tmp_dir.iterdir())
            found = [(path.stat(), path) for path in self._kept_dir.iterdir()]
        except OSError as why:
            raise Misconfigured(f"The rendition cache {self._root} cannot be used: {why.strerror}") from why
        for status, path in sorted(found, key=lambda f: f[0].st_mtime_ns):
            self._kept.use(path.name, status.st_size)
        _remove(self._kept_dir / name for name in self._kept.drop_beyond(self._limit_bytes))

    async def close(self) -> None:
        """Stop every encoding, wait until nothing of them is left on disk, and give the directory back."""
        for rendering in self._running:
            rendering.stop()
        await _over(self._running)
        if self._lock is not None:
            self._lock.close()

    @property
    def kept_bytes(self) -> int:
        """How much finished renditions occupy."""
        return self._kept.total_bytes

    def kept_sids(self) -> set[str]:
        """Whose renditions are kept. For the sweep that forgets what another process has deleted."""
        return {name.partition(".")[0] for name in self._kept}

    @asynccontextmanager
    async def open(
        self, sid: str, variant: str, rendition: Rendition, *, key: FileKey | None = None
    ) -> AsyncIterator[Lease]:
        """A lease on this variant of the recording. All who hold one at a time share one encoding.

        It is kept sealed under `key`, the recording's own. Nothing is encoded before a chunk is asked for. Who
        leaves does not disturb the others; when the last one leaves before the end, the encoding stops and nothing
        is kept. Raises `InvalidSid`.
        """
        name = _name(sid, variant)
        rendering = self._live.setdefault(name, Rendering(name, rendition, key))
        rendering.readers += 1
        try:
            yield Lease(rendering.size_bytes, rendering, lambda: self._begin(rendering))
        finally:
            rendering.readers -= 1
            if rendering.readers == 0:
                self._let_go(rendering)
                rendering.stop()
                rendering.close_when_idle()

    async def forget(self, sid: str) -> None:
        """Remove every rendition of a recording. Readers get `NotFound`; an encoding under way leaves nothing.

        Call it when the media itself is gone, so that no later request can encode it again; may be repeated.
        Raises `InvalidSid`, and `RenditionUnavailable` when the disk refuses.
        """
        prefix = _name(sid, "")
        doomed = {r for r in (*self._live.values(), *self._running) if r.name.startswith(prefix)}
        for rendering in doomed:
            self._let_go(rendering)
            rendering.forget()
        async with self._names:
            try:
                removed = await asyncio.to_thread(_remove, self._kept_dir.glob(f"{prefix}*"))
            except OSError as why:
                raise RenditionUnavailable(f"The rendition cache cannot be written: {why.strerror}") from why
            for path in removed:
                self._kept.drop(path.name)
        await _over({r for r in doomed if r.has_begun})

    def _claim(self) -> None:
        lock = (self._root / "lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as why:
            lock.close()
            raise Misconfigured(f"Another process uses the rendition cache {self._root}; stop it first.") from why
        self._lock = lock

    def _let_go(self, rendering: Rendering) -> None:
        if self._live.get(rendering.name) is rendering:
            del self._live[rendering.name]

    def _begin(self, rendering: Rendering) -> None:
        if rendering.task is None and not rendering.is_forgotten:
            self._running.add(rendering)
            rendering.task = asyncio.create_task(self._make(rendering), name=f"rendition {rendering.name}")
            rendering.task.add_done_callback(lambda task: self._ended(rendering, task))

    def _ended(self, rendering: Rendering, task: asyncio.Task[None]) -> None:
        self._running.discard(rendering)
        if task.cancelled() or task.exception() is not None:
            self._let_go(rendering)  # whoever comes now tries anew
        rendering.wake_readers()
        rendering.close_when_idle()

    async def _make(self, rendering: Rendering) -> None:
        if await self._find(rendering):
            return
        async with self._slots:
            if rendering.is_stopped:
                return
            rendering.has_begun = True
            tmp = self._tmp_dir / f"{rendering.name}.{next(self._numbers)}"
            try:
                if await asyncio.to_thread(rendering.encode, tmp, asyncio.get_running_loop()):
                    await self._publish(rendering, tmp)
            finally:
                await asyncio.to_thread(tmp.unlink, missing_ok=True)

    async def _find(self, rendering: Rendering) -> bool:
        async with self._names:
            try:
                is_there = await asyncio.to_thread(rendering.find, self._kept_dir / rendering.name)
            except OSError as why:
                raise RenditionUnavailable(f"The rendition cache cannot be read: {why.strerror}") from why
            if is_there:
                self._kept.use(rendering.name, rendering.file_bytes)
                rendering.advance(rendering.size_bytes)
            else:
                self._kept.drop(rendering.name)
            return is_there

    async def _publish(self, rendering: Rendering, tmp: Path) -> None:
        """Give a whole rendition its name, and make room. One that alone is beyond the limit is not kept."""
        if rendering.file_bytes > self._limit_bytes:
            return
        async with self._names:
            if rendering.is_forgotten:
                return
            try:
                await asyncio.to_thread(tmp.rename, self._kept_dir / rendering.name)
                self._kept.use(rendering.name, rendering.file_bytes)
                victims = self._kept.drop_beyond(self._limit_bytes)
                await asyncio.to_thread(_remove, [self._kept_dir / name for name in victims])
            except OSError as why:
                raise RenditionUnavailable(f"The rendition cache cannot be written: {why.strerror}") from why


def _name(sid: str, variant: str) -> str:
    if not is_sid(sid[:2], sid):
        raise InvalidSid(f"'{sid[:40]}' is not a SID")
    if variant and _VARIANT.fullmatch(variant) is None:
        raise ValueError(f"{variant!r} cannot be part of a file name")
    return f"{sid}.{variant}"


def _remove(paths: Iterable[Path]) -> list[Path]:
    """Unlink all of them; those already gone count as removed."""
    removed = []
    for path in paths:
        path.unlink(missing_ok=True)
        removed.append(path)
    return removed


async def _over(renderings: set[Rendering]) -> None:
    """Wait until their tasks are over, however they end."""
    tasks = [r.task for r in renderings if r.task is not None]
    if tasks:
        await asyncio.wait(tasks)
