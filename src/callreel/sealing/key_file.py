"""`master.key` while it may change: the key that seals on its first line, those that still open on the lines below.

A rotation puts a new first line in and takes the old one out when nothing needs it any more. Processes that run
meanwhile look again when the file is another, so there is no moment at which one of them cannot open a secret.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from callreel.errors import Misconfigured
from callreel.sealing.master_key import FILE_NAME, MasterKey, as_text, read_key_file, sync_directory

RETIRED_NAME = f"{FILE_NAME}.retired"


def is_draft_of_key(name: str) -> bool:
    """Whether a file of this name is what a process that was killed left of a key file it was about to put in place."""
    return name.startswith(f".{FILE_NAME}.")


class KeyFile:
    """The file of one data directory. Blocks for a moment; `changed` costs a stat."""

    def __init__(self, data_dir: Path) -> None:
        self.path, self._retired = data_dir / FILE_NAME, data_dir / RETIRED_NAME
        self._seen: tuple[int, int, int] | None = self._state()

    def read(self) -> list[MasterKey]:
        """The keys of now. Raises `Misconfigured`."""
        self._seen = self._state()
        keys = read_key_file(self.path)
        if keys is None:
            raise Misconfigured(f"{self.path} is gone; restore it from your backup")
        return keys

    def changed(self) -> list[MasterKey] | None:
        """The keys of now if the file is another than when it was read last.

        None also for a file that is gone or damaged meanwhile: a process that runs goes on with what it knows.
        """
        if self._state() in (None, self._seen):
            return None
        try:
            return self.read()
        except (OSError, Misconfigured):
            return None

    def replace(self, keys: Sequence[MasterKey]) -> None:
        """Put these keys in its place, whole or not at all, durable when this returns."""
        _write(self.path, as_text(keys))

    def retired(self) -> list[MasterKey]:
        """Keys of former times. They open nothing here; a backup made before a rotation needs them."""
        return read_key_file(self._retired) or []

    def retire(self, key: MasterKey) -> None:
        """Put a key aside for backups made under it. May be repeated."""
        if key not in (known := self.retired()):
            _write(self._retired, as_text([*known, key]))

    def _state(self) -> tuple[int, int, int] | None:
        try:
            about = self.path.stat()
        except OSError:
            return None
        return about.st_ino, about.st_mtime_ns, about.st_size


def _write(path: Path, text: bytes) -> None:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    sync_directory(path.parent)
