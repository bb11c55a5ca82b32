"""A backup as a file: a manifest and a database dump, sealed whole in the format of media at rest. All of it blocks."""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from callreel.at_rest.file import READ_BYTES, KeptFile
from callreel.at_rest.segments import FileKey, Sealing
from callreel.errors import BlobAltered, Misconfigured
from callreel.model.backup import Manifest

LENGTH_BYTES = 8  # of the manifest, before it
LONGEST_MANIFEST = 1 << 30
_BOUND_TO = b"callreel backup 1"


def write_backup(target: Path, manifest: Manifest, dump: Iterable[bytes], *, secret: bytes) -> int:
    """Write the backup under a master key's secret, and return its size in bytes.

    It appears under its name (mode 0600) whole and durable, or not at all; one that is there is replaced then and not
    before. Raises `OSError`, and what `dump` raises.
    """
    draft = target.with_name(f".{target.name[:200]}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            sealing = Sealing(_key(secret))
            file.write(sealing.head)
            for piece in _content(manifest, dump):
                file.writelines(sealing.update(piece))
            file.write(sealing.finish())
            file.flush()
            os.fsync(descriptor)
            size_bytes = file.tell()
        os.replace(draft, target)
        _sync_directory(target.absolute().parent)
    finally:
        draft.unlink(missing_ok=True)
    return size_bytes


class BackupFile:
    """A backup opened with the one of these secrets it was made under. Raises `Misconfigured` when there is none."""

    def __init__(self, path: Path, given: Sequence[bytes]) -> None:
        self.path = path
        for secret in given:
            self._file, self.secret = KeptFile(path, _key(secret)), secret
            try:
                self._length = int.from_bytes(self._file.read(0, LENGTH_BYTES), "big")
                break
            except BlobAltered:
                continue
            except OSError as why:
                raise Misconfigured(f"{path} cannot be read: {why.strerror}") from why
        else:
            raise Misconfigured(
                f"{path} does not open under this installation's master key: put master.key (or master.key.retired) "
                "of the time of the backup into the data directory, or set CALLREEL_MASTER_KEY to it. If the key is "
                "right, the file is damaged or no backup"
            )
        if not 2 <= self._length <= LONGEST_MANIFEST:
            raise Misconfigured(f"{path} is no backup of callreel")

    def manifest(self) -> Manifest:
        """Raises `Misconfigured`."""
        return Manifest.from_json(self._file.read(LENGTH_BYTES, self._length).decode())

    def verify(self) -> None:
        """Open every segment. Raises `Misconfigured` when the file was altered or cut short."""
        try:
            for _ in self._file.pieces():
                pass
        except BlobAltered as why:
            raise Misconfigured(f"{self.path} was altered or cut short; use another backup") from why

    def dump(self) -> Iterator[bytes]:
        """The database dump, piece by piece."""
        with self._file.open() as file:
            file.seek(LENGTH_BYTES + self._length)
            while piece := file.read(READ_BYTES):
                yield piece


def _content(manifest: Manifest, dump: Iterable[bytes]) -> Iterator[bytes]:
    written = manifest.as_json().encode()
    yield len(written).to_bytes(LENGTH_BYTES, "big") + written
    yield from dump


def _key(secret: bytes) -> FileKey:
    """Derived, so that the master key itself seals nothing but keys."""
    return FileKey(hmac.digest(secret, _BOUND_TO, "sha256"), _BOUND_TO)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
