"""One file being written in `tmp/`: hashed as it comes, sealed before any of it reaches the disk. It all blocks.

Sealed under a key of ours, or encrypted for the customer's key: then the file is the blob from its beginning.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from callreel.at_rest.file import SealedReader
from callreel.at_rest.segments import FileKey, Sealing
from callreel.spool.durable import create_exclusively


@dataclass(frozen=True, slots=True, kw_only=True)
class Digests:
    """What was written: the length of the content, and its digests in lower-case hex.

    `blob` are those of the ciphertext where it was encrypted for the customer as it came. The content's own MD5 is
    empty then: an MD5 is for the bucket, which never sees the content.
    """

    size_bytes: int
    sha256: str
    md5: str
    blob: Digests | None = None


class Hashes:
    """Digests in the making. `is_blob`: a bucket may see these bytes, so their MD5 is needed too."""

    def __init__(self, *, is_blob: bool = True) -> None:
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False) if is_blob else None
        self.size_bytes = 0

    def update(self, chunk: bytes) -> None:
        self._sha256.update(chunk)
        if self._md5 is not None:
            self._md5.update(chunk)
        self.size_bytes += len(chunk)

    def digests(self, blob: Digests | None = None) -> Digests:
        md5 = self._md5.hexdigest() if self._md5 is not None else ""
        return Digests(size_bytes=self.size_bytes, sha256=self._sha256.hexdigest(), md5=md5, blob=blob)


class Encryption(Protocol):
    """One file being encrypted for its owner alone, of which each piece is the blob's."""

    def update(self, plain: bytes) -> Iterable[bytes]:
        """What to write for these bytes."""
        ...

    def finish(self) -> bytes:
        """What to write at the end."""
        ...

    def read_back(self, descriptor: int, size_bytes: int) -> object:
        """The content, `size_bytes` long, from what was written: a binary file to read and to seek in."""
        ...


class DraftFile:
    """A new file, made when the first bytes come. Without key and encryption its content lies there as it is."""

    def __init__(self, path: Path, key: FileKey | None, encryption: Encryption | None = None) -> None:
        self.path, self._key, self._encryption = path, key, encryption
        self._sealing = Sealing(key) if key is not None and encryption is None else None
        self._file: BinaryIO | None = None
        self._hashes = Hashes(is_blob=encryption is None)
        self._blob_hashes = Hashes()

    def append(self, chunks: Iterable[bytes]) -> None:
        """Take these bytes. Raises `OSError`."""
        file = self._opened()
        for chunk in chunks:
            self._hashes.update(chunk)
            if self._encryption is not None:
                self._write_blob(file, self._encryption.update(chunk))
            elif self._sealing is not None:
                _write_all(file, b"".join(self._sealing.update(chunk)))
            else:
                _write_all(file, chunk)

    def finish(self) -> BinaryIO:
        """Write what was held back; the content, to be read before the file is closed. Raises `OSError`."""
        file = self._opened()
        if self._encryption is not None:
            self._write_blob(file, [self._encryption.finish()])
        elif self._sealing is not None:
            _write_all(file, self._sealing.finish())
        return self.content()

    def content(self) -> BinaryIO:
        """The finished content from its beginning."""
        file = self._opened()
        if self._encryption is not None:
            return cast(BinaryIO, self._encryption.read_back(file.fileno(), self._hashes.size_bytes))
        if self._key is not None:
            return cast(BinaryIO, SealedReader(file.fileno(), self._key))
        file.seek(0)
        return file

    def digests(self) -> Digests:
        return self._hashes.digests(self._blob_hashes.digests() if self._encryption is not None else None)

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

    def _write_blob(self, file: BinaryIO, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            self._blob_hashes.update(piece)
            _write_all(file, piece)

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
