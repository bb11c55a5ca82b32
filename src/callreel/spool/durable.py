"""The system calls that make a file durable, and their traps. All of them block."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_libc = ctypes.CDLL(None, use_errno=True)
_renameat2 = getattr(_libc, "renameat2", None)


def create_exclusively(path: Path) -> int:
    """A descriptor of a new file that only we can read. Raises `FileExistsError` rather than open what is there."""
    return os.open(path, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_RDWR | os.O_CLOEXEC, 0o600)


def rename_without_replacing(source: Path, target: Path) -> None:
    """Give the file its name. Raises `FileExistsError` when the name is taken; nothing is ever overwritten."""
    if _renameat2 is not None:
        done = _renameat2(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _RENAME_NOREPLACE)
        if done == 0:
            return
        number = ctypes.get_errno()
        if number not in (errno.EINVAL, errno.ENOSYS):
            raise OSError(number, os.strerror(number), str(source), None, str(target))
    # A file system without RENAME_NOREPLACE (NFS): a hard link refuses a taken name just as well.
    os.link(source, target, follow_symlinks=False)
    os.unlink(source)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable: files created, renamed and removed in it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: Path) -> None:
    """Create a directory whose own name is durable too."""
    if path.is_dir():
        return
    make_directory(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    sync_directory(path.parent)


def remove(path: Path) -> bool:
    """Remove a file; False when it was not there. The caller syncs the directory."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True


def free_bytes(path: Path) -> tuple[int, int]:
    """What an unprivileged writer may still use of the file system, and its size."""
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize
