"""An object of a bucket as a file that a thread reads, from its start to its end, without a byte of it on a disk."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from typing import Self

from callreel.bucket.bucket import Bucket


class ObjectReader:
    """`read`, `seek` and `tell` as of a binary file, for one thread that is not the loop's.

    What is read in order comes from one request; a seek begins another. Reading raises what the bucket's `read`
    raises. Nothing waits when it is closed, so that whoever collects garbage may close it, the loop too.
    """

    def __init__(self, bucket: Bucket, key: str, size_bytes: int, loop: asyncio.AbstractEventLoop) -> None:
        self._bucket, self._key, self._size, self._loop = bucket, key, size_bytes, loop
        self._pieces: AsyncIterator[bytes] | None = None
        self._held = bytearray()  # what came and was not read yet, from `_at` on
        self._at = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        wanted = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        ahead = wanted - self._at
        if 0 <= ahead <= len(self._held):
            del self._held[:ahead]
        else:
            self.close()
        self._at = wanted
        return wanted

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._size - self._at)
        wanted = left if size < 0 else min(size, left)
        if self._pieces is None and wanted:
            self._pieces = self._bucket.read(self._key, self._at)
        while len(self._held) < wanted:
            assert self._pieces is not None
            piece = asyncio.run_coroutine_threadsafe(anext(self._pieces, b""), self._loop).result()
            if not piece:
                break
            self._held += piece
        read = bytes(self._held[:wanted])
        del self._held[:wanted]
        self._at += len(read)
        return read

    def close(self) -> None:
        pieces, self._pieces = self._pieces, None
        self._held.clear()
        if pieces is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and what it had open with it
                self._loop.call_soon_threadsafe(lambda: asyncio.ensure_future(pieces.aclose()))  # type: ignore[attr-defined]
