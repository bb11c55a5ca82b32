"""A kept file as those who use it see it: its content, whether it lies there sealed or as it is."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from callreel.at_rest.segments import HEAD_BYTES, SEGMENT_BYTES, FileKey, Opening, content_bytes
from callreel.errors import BlobAltered

READ_BYTES = 16 * SEGMENT_BYTES  # what one look at the disk fetches at most: 1 MiB


class SealedReader:
    """The content of a sealed file: `read`, `seek` and `tell` as of a binary file. Blocks; for one thread.

    The descriptor stays the caller's unless `owns_it`. `sealed_bytes` is how long the file is, or will be: of one that
    still grows, only segments that are there may be read. Every read raises `BlobAltered` for what does not open.
    """

    def __init__(
        self, descriptor: int, key: FileKey, *, owns_it: bool = False, sealed_bytes: int | None = None
    ) -> None:
        self._descriptor, self._owns_it = descriptor, owns_it
        length = os.fstat(descriptor).st_size if sealed_bytes is None else sealed_bytes
        self._opening = Opening(key, os.pread(descriptor, HEAD_BYTES, 0), sealed_bytes=length)
        self.size_bytes = self._opening.size_bytes
        if self.size_bytes == 0 and sealed_bytes is None:
            next(self._fetched(range(1)))  # nothing will be read of it, and nothing is promised too
        self._at = 0
        self._remembered: tuple[int, bytes] = (-1, b"")  # parsers read few bytes at a time, many times

    def __enter__(self) -> SealedReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._owns_it:
            os.close(self._descriptor)
            self._owns_it = False

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size_bytes}[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        stop = self.size_bytes if size < 0 else min(self._at + size, self.size_bytes)
        if self._at >= stop:
            return b""
        pieces = list(self._pieces(self._at, stop))
        self._at = stop
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _pieces(self, start: int, stop: int) -> Iterator[bytes]:
        numbers, begins = self._opening.covering(start, stop)
        for segment in self._segments(numbers):
            ends = begins + len(segment)
            yield segment if start <= begins and ends <= stop else segment[max(0, start - begins) : stop - begins]
            begins = ends

    def _segments(self, numbers: range) -> Iterator[bytes]:
        if len(numbers) == 1:
            if self._remembered[0] != numbers[0]:
                self._remembered = (numbers[0], next(self._fetched(numbers)))
            yield self._remembered[1]
            return
        together = READ_BYTES // SEGMENT_BYTES
        for first in range(numbers.start, numbers.stop, together):
            yield from self._fetched(range(first, min(first + together, numbers.stop)))

    def _fetched(self, numbers: range) -> Iterator[bytes]:
        start, stop = self._opening.place(numbers[0])[0], self._opening.place(numbers[-1])[1]
        sealed = memoryview(os.pread(self._descriptor, stop - start, start))
        for number in numbers:
            begins, ends = self._opening.place(number)
            yield self._opening.open(number, sealed[begins - start : ends - start])


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A file of a recording: sealed under `key`, or, where that is None, its content as it is."""

    path: Path
    key: FileKey | None = None

    @property
    def name(self) -> str:
        return self.path.name

    def open(self, mode: str = "rb") -> BinaryIO:
        """The content, to be read once or in any order. Blocks. Raises `OSError`, and `BlobAltered`, also later."""
        assert mode == "rb"
        descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        if self.key is None:
            return os.fdopen(descriptor, "rb")
        return _owning(
            descriptor, lambda: cast(BinaryIO, SealedReader(descriptor, cast(FileKey, self.key), owns_it=True))
        )

    def read(self, start: int, length: int) -> bytes:
        """These bytes of the content; fewer only at its end. Blocks. Raises `OSError` and `BlobAltered`."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if self.key is None:
                return os.pread(descriptor, length, start)
            reader = SealedReader(descriptor, self.key)
            reader.seek(start)
            return reader.read(length)
        finally:
            os.close(descriptor)

    def size_bytes(self) -> int:
        """The length of the content, by the length of the file. Raises `OSError`, and `BlobAltered` if it is none."""
        length = os.stat(self.path, follow_symlinks=False).st_size
        if self.key is None:
            return length
        if (size := content_bytes(length)) < 0:
            raise BlobAltered("A sealed file is cut short or of another format")
        return size

    def pieces(self) -> Iterator[bytes]:
        """The whole content, 1 MiB at most at a time. Blocks. Raises `OSError` and `BlobAltered`."""
        with self.open() as file:
            while piece := file.read(READ_BYTES):
                yield piece

    def at(self, path: Path) -> KeptFile:
        """The same file under another name."""
        return KeptFile(path, self.key)


@dataclass(frozen=True, slots=True)
class LentFile:
    """A content that lies elsewhere and is read from there: `opener` gives it as a file, each time from its start."""

    name: str
    opener: Callable[[], BinaryIO]

    def open(self, mode: str = "rb") -> BinaryIO:
        """The content. Blocks, and raises what reading it there raises."""
        assert mode == "rb"
        return self.opener()


MediaFile = KeptFile | LentFile | Path
"""Media as a file: it has a name and opens as a binary file."""


def _owning(descriptor: int, make: Callable[[], BinaryIO]) -> BinaryIO:
    try:
        return make()
    except (OSError, BlobAltered):
        os.close(descriptor)
        raise
