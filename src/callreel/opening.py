"""Opens an encrypted recording for its owner: `from callreel import decrypt_recording`.

The same promise as `callreel decrypt`: what appears under the target's name has been verified to its last byte.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from callreel.model.encryption_details import is_envelope
from callreel.sealing.twilio_format import decrypt
from callreel.sealing.video_format import decrypt_video
from callreel.spool.durable import create_exclusively, sync_directory

_NO_ANONYMOUS_FILES = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT, errno.ENOSYS})


def decrypt_recording(
    recording: str | os.PathLike[str] | BinaryIO,
    target: str | os.PathLike[str],
    *,
    private_key: bytes,
    details: Mapping[str, str],
    passphrase: bytes | None = None,
) -> int:
    """Decrypt a recording into a file and return the file's size in bytes.

    `recording` is a path or anything with `read(n)`, of any length: 64 KiB are in memory at a time. `private_key`
    is PEM. `details` decide the format: a voice recording's `encryption_details` in any of Twilio's spellings, or
    a video object's metadata headers.

    The plaintext is written to a file without a name (where the file system has none: a hidden one beside the
    target, mode 0600, removed on any error), synced, and given the target's name only after the tag was found to
    be right; a target that is there is replaced then and not before. Video has no tag: see
    `callreel.sealing.video_format` for what is checked instead.

    Raises `InvalidParameter` for a key or details that cannot be read, `SealBroken` when the recording was
    altered, was cut short or belongs to another key, and `OSError`; then the target is as it was.
    """
    open_it = decrypt_video if is_envelope(details) else decrypt
    with _reading(recording) as source, _Verified(Path(target)) as draft:
        open_it(source, draft.file, private_key, details, passphrase=passphrase)
        return draft.keep()


@contextmanager
def _reading(recording: str | os.PathLike[str] | BinaryIO) -> Iterator[BinaryIO]:
    if isinstance(recording, str | os.PathLike):
        with open(recording, "rb") as file:
            yield file
    else:
        yield recording


class _Verified:
    """A file that has no name until it is kept, and no existence if it is not."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._hidden = target.with_name(f".{target.name[:200]}.{secrets.token_hex(8)}")
        self._named = False

    def __enter__(self) -> _Verified:
        self.file = os.fdopen(self._create(), "w+b")
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        if self._named:
            self._hidden.unlink(missing_ok=True)

    def keep(self) -> int:
        """Make it durable under the target's name."""
        self.file.flush()
        size_bytes = self.file.tell()
        os.fsync(self.file.fileno())
        if not self._named:
            self._give_name()
        os.replace(self._hidden, self._target)
        sync_directory(self._target.parent)
        return size_bytes

    def _create(self) -> int:
        try:
            # Without a name not even SIGKILL leaves it behind.
            return os.open(self._target.parent, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as why:
            if why.errno not in _NO_ANONYMOUS_FILES:
                raise
        descriptor = create_exclusively(self._hidden)
        self._named = True
        return descriptor

    def _give_name(self) -> None:
        # With a directory's descriptor Python calls linkat(2), which follows this link; link(2) would not.
        links = os.open("/proc/self/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.link(str(self.file.fileno()), self._hidden, src_dir_fd=links, follow_symlinks=True)
            self._named = True
        finally:
            os.close(links)
