"""One file being written in `tmp/`: hashed as it comes, sealed before any of it reaches the disk. It all blocks."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from callreel.at_rest.file import SealedReader
from callreel.at_rest.segments import FileKey, Sealing
from callreel.spool.durable import create_exclusively


@dataclass(frozen=True, slots=True, kw_only=True)
class Digests:
    """What was written: the length of the content, and its digests in lower-case hex."""

    size_bytes: int
    sha256: str
    md5: str


class DraftFile:
    """A new file, made when the first bytes come. Without a key its content lies there as it is."""

    def __init__(self, path: Path, key: FileKey | None) -> None:
        self.path, self._key = path, key
        self._sealing = Sealing(key) if key is not None else None
        self._file: BinaryIO | None = None
        self._sha256, self._md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        self._size_bytes = 0

    def append(self, chunks: Iterable[bytes]) -> None:
        """Take these bytes. Raises `OSError`."""
        file = self._opened()
        for chunk in chunks:
            self._sha256.update(chunk)
            self._md5.update(chunk)
            self._size_bytes += len(chunk)
            if self._sealing is None:
                _write_all(file, chunk)
            else:
                _write_all(file, b"".join(self._sealing.update(chunk)))

    def finish(self) -> BinaryIO:
        """Write what was held back; the content, to be read before the file is closed. Raises `OSError`."""
        file = self._opened()
        if self._sealing is None:
            file.seek(0)
            return file
        _write_all(file, self._sealing.finish())
        return self.content()

    def content(self) -> BinaryIO:
        """The finished content from its beginning."""
        file = self._opened()
        if self._key is None:
            file.seek(0)
            return file
        return cast(BinaryIO, SealedReader(file.fileno(), self._key))

    def digests(self) -> Digests:
        return Digests(size_bytes=self._size_bytes, sha256=self._sha256.hexdigest(), md5=self._md5.hexdigest())

    def make_durable(self) -> None:
        """Sync the bytes and close. Raises `OSError`: never try it again.

        If it fails the kernel may have dropped the pages, and a second fsync would "succeed". The client still has
        the data.
        """
        try:
            os.fsync(self._opened().fileno())
        finally:
            self.close()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _opened(self) -> BinaryIO:
        if self._file is None:
            self._file = cast(BinaryIO, os.fdopen(create_exclusively(self.path), "w+b", buffering=0))
            if self._sealing is not None:
                _write_all(self._file, self._sealing.head)
        return self._file


def _write_all(file: BinaryIO, chunk: bytes) -> None:
    """An unbuffered file may take less than it is given."""
    view = memoryview(chunk)
    while view:
        view = view[file.write(view) :]
