"""One rendition as its readers see it: bytes in a file that may still grow.

An encoder's thread writes the file; readers live on the event loop and wait for the bytes they want. The file is
held open by its descriptor, so that it may get its name, lose it, or never have one while it is read.
"""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

from callreel.at_rest.file import READ_BYTES, SealedReader
from callreel.at_rest.segments import TAG_BYTES, FileKey, Sealing, sealed_bytes_of
from callreel.errors import BlobAltered, NotFound, PromiseBroken, RenditionUnavailable
from callreel.media.rendition import Rendition

BLOCK_BYTES = 256 * 1024  # the most that one reader holds in memory


class Rendering:
    """A file that holds the first bytes of a rendition, and in the end all of them."""

    def __init__(self, name: str, rendition: Rendition, key: FileKey | None = None) -> None:
        self.name = name
        self.size_bytes = rendition.size_bytes
        self.file_bytes = self.size_bytes if key is None else sealed_bytes_of(self.size_bytes)
        """How long the file is that holds all of it."""
        self._key = key
        self.readers = 0
        self.task: asyncio.Task[None] | None = None
        self.has_begun = False
        """Whether an encoder was started, so that there may be a file."""
        self.is_forgotten = False
        self._rendition = rendition
        self._stopped = threading.Event()
        self._file: int | None = None
        self._readable_bytes = 0
        self._moved = asyncio.Event()

    # --- on the event loop -----------------------------------------------------------------------------------------

    @property
    def is_stopped(self) -> bool:
        """Whether nobody wants the rest any more."""
        return self._stopped.is_set()

    def stop(self) -> None:
        """Ask the encoder to end at its next chunk. Harmless when there is none."""
        self._stopped.set()

    def forget(self) -> None:
        """The recording is deleted: encode no more, and give nobody another byte."""
        self.is_forgotten = True
        self.stop()
        self.wake_readers()

    def advance(self, readable_bytes: int) -> None:
        """So many bytes can be read from now on."""
        self._readable_bytes = readable_bytes
        self.wake_readers()

    def wake_readers(self) -> None:
        """Something has changed; each reader looks for itself."""
        self._moved.set()
        self._moved = asyncio.Event()

    def close_when_idle(self) -> None:
        """Let go of the file once nobody reads it and no encoder may still open it."""
        if self.readers == 0 and self._file is not None and (self.task is None or self.task.done()):
            os.close(self._file)
            self._file = None

    async def read(self, start: int, stop: int) -> bytes:
        """Some bytes from `start` on, before `stop`; waits until the first of them is there.

        Raises what the encoder raised, `NotFound` once forgotten, `RenditionUnavailable` when the disk fails.
        """
        while self._readable_bytes <= start or self.is_forgotten:
            self._raise_what_prevents_more()
            await self._moved.wait()
        assert self._file is not None
        count = min(BLOCK_BYTES, stop - start, self._readable_bytes - start)
        try:
            block = await asyncio.to_thread(self._read, self._file, start, count)
        except OSError as why:
            raise RenditionUnavailable() from why
        except BlobAltered as why:
            raise RenditionUnavailable(f"{self.name} was altered in the rendition cache; remove it there.") from why
        if not block:
            raise RenditionUnavailable(f"{self.name} was cut short in the rendition cache; ask again.")
        return block

    def _raise_what_prevents_more(self) -> None:
        if self.is_forgotten:
            raise NotFound()
        if self.task is not None and self.task.done():
            self.task.result()  # raises what the encoder raised
            raise RenditionUnavailable("The rendition cache was closed; ask again.")

    # --- in a thread -----------------------------------------------------------------------------------------------

    def _read(self, file: int, start: int, count: int) -> bytes:
        if self._key is None:
            return os.pread(file, count, start)
        reader = SealedReader(file, self._key, sealed_bytes=self.file_bytes)
        reader.seek(start)
        return reader.read(count)

    def find(self, path: Path) -> bool:
        """Use the finished file of an earlier encoding. One of another length, or altered, is none and is removed."""
        try:
            file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        if not self._is_whole(file):
            os.close(file)
            path.unlink(missing_ok=True)
            return False
        self._file = file
        os.utime(file)  # the order of use outlives the process
        return True

    def _is_whole(self, file: int) -> bool:
        if os.fstat(file).st_size != self.file_bytes:
            return False
        if self._key is None:
            return True
        try:
            for start in range(0, self.size_bytes, READ_BYTES):
                self._read(file, start, READ_BYTES)
        except BlobAltered:
            return False
        return True

    def encode(self, path: Path, loop: asyncio.AbstractEventLoop) -> bool:
        """Write the rendition into a new file, telling the loop after each chunk. False when stopped before its end.

        Raises what the rendition raises, and `RenditionUnavailable` when the file cannot be written.
        """
        made_bytes = 0
        with _NewFile(path, self._key) as out:
            self._file = out.second_descriptor()
            for chunk in self._rendition.chunks():
                if self._stopped.is_set():
                    return False
                made_bytes += len(chunk)
                loop.call_soon_threadsafe(self.advance, out.write(chunk))
            if made_bytes != self.size_bytes:
                raise PromiseBroken(f"{self.name} has {made_bytes} bytes; {self.size_bytes} were announced.")
            out.finish()
            loop.call_soon_threadsafe(self.advance, made_bytes)
        return True


class _NewFile:
    """A file only we can read, sealed as it is written. The disk's refusals become `RenditionUnavailable`.

    The writing descriptor belongs to the thread alone: whatever happens on the loop, it is never closed, and its
    number never given to another file, under a thread that still writes.
    """

    def __init__(self, path: Path, key: FileKey | None) -> None:
        self._sealing = Sealing(key) if key is not None else None
        self._readable_bytes = 0
        try:
            self._file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as why:
            raise RenditionUnavailable(f"The rendition cache cannot be written: {why.strerror}") from why

    def __enter__(self) -> _NewFile:
        if self._sealing is not None:
            self._put(self._sealing.head)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def second_descriptor(self) -> int:
        """The same file for its readers."""
        try:
            return os.dup(self._file)
        except OSError as why:
            raise RenditionUnavailable(f"The rendition cache cannot be read: {why.strerror}") from why

    def write(self, chunk: bytes) -> int:
        """Take the next bytes; how many can be read by now, which of a sealed file is whole segments."""
        if self._sealing is None:
            self._put(chunk)
            self._readable_bytes += len(chunk)
            return self._readable_bytes
        for segment in self._sealing.update(chunk):
            self._put(segment)
            self._readable_bytes += len(segment) - TAG_BYTES
        return self._readable_bytes

    def finish(self) -> None:
        """Before it gets its name: after a power cut a kept file is whole, or not there."""
        if self._sealing is not None:
            self._put(self._sealing.finish())
        self._sync()

    def _put(self, chunk: bytes) -> None:
        rest = memoryview(chunk)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError as why:
            raise RenditionUnavailable(f"The rendition cache cannot be written: {why.strerror}") from why

    def _sync(self) -> None:
        try:
            os.fsync(self._file)
        except OSError as why:
            raise RenditionUnavailable(f"The rendition cache cannot be written: {why.strerror}") from why
