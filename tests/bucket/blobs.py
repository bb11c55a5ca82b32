"""Blobs for tests: in memory, in a file, and one that was altered after it was hashed."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

from callreel.bucket.bucket import PutOptions
from callreel.errors import BlobMissing

WAV = PutOptions(content_type="audio/x-wav")


class MemoryBlob:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size_bytes = len(data)
        self.sha256 = hashlib.sha256(data).hexdigest()
        self.md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
        self.reads = 0

    @property
    def data(self) -> bytes:
        return self._data

    def read(self, start: int, length: int) -> bytes:
        self.reads += 1
        return self._data[start : start + length]

    def altered_at(self, position: int) -> MemoryBlob:
        """The same facts, and one byte that is another."""
        self._data = self._data[:position] + bytes([self._data[position] ^ 1]) + self._data[position + 1 :]
        return self


class FileBlob(MemoryBlob):
    def __init__(self, path: Path, data: bytes) -> None:
        super().__init__(data)
        path.write_bytes(data)
        self.path = path

    def read(self, start: int, length: int) -> bytes:
        try:
            with self.path.open("rb") as file:
                file.seek(start)
                return file.read(length)
        except FileNotFoundError as why:
            raise BlobMissing from why

    def sha256_of(self, link: Path) -> str:
        return hashlib.sha256(link.read_bytes()).hexdigest()


def some_bytes(size: int, seed: int = 7) -> bytes:
    return random.Random(seed).randbytes(size)


def some_blob(size: int = 100_000, seed: int = 7) -> MemoryBlob:
    return MemoryBlob(some_bytes(size, seed))
