"""Service storage on a local disk: where recordings live that have no bucket of their own.

root/objects/<key>     whole objects, durable
root/tmp/<random>      being written; whatever lies here after a crash is rubbish
"""

from __future__ import annotations

import asyncio
import base64
import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO, ParamSpec, TypeVar

from callreel.bucket.bucket import Blob, BlobFile, Listed, ObjectFacts, PutOptions
from callreel.errors import BlobAltered, BucketStumbled, InvalidDestination, NotFound, RangeNotSatisfiable
from callreel.model.destination import MAX_KEY_BYTES
from callreel.model.evidence import Answer

P = ParamSpec("P")
T = TypeVar("T")

COPY_BYTES = 1 << 20
READ_BYTES = 256 << 10
LISTED_AT_ONCE = 1000
_CANNOT_LINK = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES})


class DiskBucket:
    """A `Bucket` in a directory. One process may write while others write and read."""

    def __init__(self, root: Path) -> None:
        self._objects, self._tmp = root / "objects", root / "tmp"
        for directory in (self._objects, self._tmp):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sync_directory(root)
        _sync_directory(root.parent)

    def path_of(self, key: str) -> Path:
        """The object's file, whether it is there or not; for serving it. Raises `InvalidDestination`."""
        segments = key.split("/")
        if len(key.encode()) > MAX_KEY_BYTES or any(_is_unsafe(segment) for segment in segments):
            raise InvalidDestination(f"'{key[:80]}' cannot be an object key on a disk")
        return self._objects.joinpath(*segments)

    async def put(self, key: str, blob: Blob, options: PutOptions) -> Answer:
        """As `Bucket.put`. The answer carries the SHA-256 of what was written, which is proof.

        A blob that is a file is taken as it lies, sealed or not: linked on the same disk, else copied, and its
        content hashed from there. What the options say is not kept: a disk has neither content types nor storage
        classes.
        """
        path = self.path_of(key)
        sha256 = await asyncio.to_thread(_translating, self._store, path, blob)
        return Answer(
            etag=f'"{sha256}"',
            etag_is_md5=False,
            checksum_sha256=base64.b64encode(bytes.fromhex(sha256)).decode(),
        )

    async def head(self, key: str) -> ObjectFacts | None:
        """As `Bucket.head`; a disk knows the size and nothing else."""
        try:
            size_bytes = await asyncio.to_thread(_size_of, self.path_of(key))
        except NotFound:
            return None
        return ObjectFacts(
            size_bytes=size_bytes,
            etag=None,
            checksum_sha256=None,
            sse_algorithm=None,
            version_id=None,
            content_type="application/octet-stream",
        )

    async def read(self, key: str, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        path = self.path_of(key)
        size_bytes = await asyncio.to_thread(_size_of, path)
        if start > 0 and start >= size_bytes:
            raise RangeNotSatisfiable(size_bytes)
        end = size_bytes if stop is None else min(stop, size_bytes)
        while start < end:
            piece = await asyncio.to_thread(_translating, _read_piece, path, start, min(READ_BYTES, end - start))
            if not piece:
                raise BucketStumbled("CutShort", "the file became shorter while it was read")
            yield piece
            start += len(piece)

    async def delete(self, key: str) -> None:
        """As `Bucket.delete`; directories that become empty go with the object."""
        await asyncio.to_thread(_translating, self._remove, self.path_of(key))

    async def list_contents(self, prefix: str) -> AsyncIterator[Listed]:
        """Every object whose key begins with the prefix, in no order. For examinations."""
        begin = self._objects.joinpath(*prefix.split("/")[:-1])
        files = _walk(begin)
        while batch := await asyncio.to_thread(lambda: list(islice(files, LISTED_AT_ONCE))):
            for path, size_bytes in batch:
                key = path.relative_to(self._objects).as_posix()
                if key.startswith(prefix):
                    yield Listed(key, size_bytes, "")

    def _store(self, path: Path, blob: Blob) -> str:
        tmp = self._tmp / secrets.token_hex(16)
        try:
            sha256 = _take_file(blob, tmp) if isinstance(blob, BlobFile) else _write_and_hash(blob, tmp)
            if sha256 != blob.sha256:
                raise BlobAltered
            self._publish(tmp, path)
            return sha256
        finally:
            # Also after success: rename leaves the old name when both are links to one file.
            tmp.unlink(missing_ok=True)

    def _publish(self, tmp: Path, path: Path) -> None:
        for last in (False, False, True):
            self._make_directories(path.parent)
            try:
                os.replace(tmp, path)
                break
            except FileNotFoundError:  # a delete took the empty directory away in between
                if last:
                    raise
        _sync_directory(path.parent)

    def _make_directories(self, directory: Path) -> None:
        """Create what is missing, each directory made durable in its parent."""
        missing = []
        while directory != self._objects and not directory.is_dir():
            missing.append(directory)
            directory = directory.parent
        for new in reversed(missing):
            new.mkdir(mode=0o700, exist_ok=True)
            _sync_directory(new.parent)

    def _remove(self, path: Path) -> None:
        try:
            path.unlink()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return
        _sync_directory(path.parent)
        for directory in path.relative_to(self._objects).parents[:-1]:
            try:
                (self._objects / directory).rmdir()
            except OSError:  # not empty, or somebody removed it first
                return


def _walk(directory: Path) -> Iterator[tuple[Path, int]]:
    try:
        entries = os.scandir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return  # removed while we looked
    with entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(Path(entry.path))
            else:
                try:
                    yield Path(entry.path), entry.stat(follow_symlinks=False).st_size
                except FileNotFoundError:
                    continue


def _is_unsafe(segment: str) -> bool:
    return segment in ("", ".", "..") or "\0" in segment or "\\" in segment or len(segment.encode()) > 255


def _take_file(blob: BlobFile, tmp: Path) -> str:
    """The blob's file under another name, and the hash of its content as it is read from there."""
    try:
        os.link(blob.path, tmp, follow_symlinks=False)
    except FileNotFoundError:
        blob.read(0, 1)  # raises BlobMissing, in the spool's own words
        raise
    except OSError as error:
        if error.errno not in _CANNOT_LINK:
            raise
        with blob.path.open("rb") as source, _created(tmp) as copy:
            shutil.copyfileobj(source, copy, COPY_BYTES)
            copy.flush()
            os.fsync(copy.fileno())
    return blob.sha256_of(tmp)


def _write_and_hash(blob: Blob, tmp: Path) -> str:
    digest = hashlib.sha256()
    with _created(tmp) as file:
        for start in range(0, blob.size_bytes, COPY_BYTES):
            piece = blob.read(start, min(COPY_BYTES, blob.size_bytes - start))
            digest.update(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _created(tmp: Path) -> BinaryIO:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    return open(os.open(tmp, flags, 0o600), "wb")


def _size_of(path: Path) -> int:
    try:
        if path.is_file():
            return path.stat().st_size
    except OSError:
        pass  # gone between the two looks, or a name no file can have
    raise NotFound("The bucket holds no object of this key")


def _read_piece(path: Path, start: int, length: int) -> bytes:
    with path.open("rb") as file:
        return os.pread(file.fileno(), length, start)


def _translating(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call, and let the disk's refusal be the bucket's: it may work later."""
    try:
        return call(*args, **kwargs)
    except OSError as error:
        raise BucketStumbled(errno.errorcode.get(error.errno or 0, "OSError"), error.strerror or "") from error


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
