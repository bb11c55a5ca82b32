"""The master key: 32 bytes that live outside the database, given by the operator or kept in the data directory."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from callreel.errors import Misconfigured

FILE_NAME = "master.key"
KEY_BYTES = 32
ID_BYTES = 8
LONGEST_FILE = 16_384

_HEX = re.compile(r"[0-9A-Fa-f]{64}", re.ASCII)
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{43}=?", re.ASCII)


@dataclass(frozen=True, slots=True, repr=False)
class MasterKey:
    """32 secret bytes. Its repr shows none of them, only its id."""

    secret: bytes

    def __post_init__(self) -> None:
        if len(self.secret) != KEY_BYTES:
            raise Misconfigured("The master key must have exactly 32 bytes")

    @classmethod
    def mint(cls) -> Self:
        """A new random key."""
        return cls(secrets.token_bytes(KEY_BYTES))

    @property
    def id(self) -> bytes:
        """8 bytes that tell keys apart and say nothing about them: sealed values carry it."""
        return hashlib.sha256(b"callreel master key id\0" + self.secret).digest()[:ID_BYTES]

    def __repr__(self) -> str:
        return f"MasterKey(id={self.id.hex()})"


def parse_master_key(text: str) -> MasterKey:
    """Read a key written as 64 hexadecimal digits or as Base64 of 32 bytes. Raises `Misconfigured`, without echo."""
    written = text.strip()
    if _HEX.fullmatch(written):
        return MasterKey(bytes.fromhex(written))
    if _BASE64.fullmatch(written):
        standard = written.rstrip("=").translate(str.maketrans("-_", "+/")) + "="
        try:
            return MasterKey(base64.b64decode(standard, validate=True))
        except binascii.Error as why:
            raise Misconfigured("The master key is not valid Base64") from why
    raise Misconfigured("The master key must be 32 bytes, as 64 hexadecimal digits or in Base64")


def parse_master_keys(text: str) -> list[MasterKey]:
    """One key, or several with commas or white space between them: the first seals, all of them open.

    Raises `Misconfigured`, without echo.
    """
    return [parse_master_key(written) for written in re.split(r"[,\s]+", text.strip())]


def as_text(keys: Sequence[MasterKey]) -> bytes:
    """Keys as a key file holds them, one on each line."""
    return b"".join(base64.b64encode(key.secret) + b"\n" for key in keys)


def load_master_key(data_dir: Path, given: str | None) -> MasterKey:
    """The key that seals; see `load_master_keys`."""
    return load_master_keys(data_dir, given)[0]


def load_master_keys(data_dir: Path, given: str | None) -> list[MasterKey]:
    """The keys that were given, else those in `data_dir/master.key`, else a new one written there.

    A new file (mode 0600) is complete and durable before this returns, or does not exist; of two processes that
    start together both get the same key. Raises `Misconfigured` for a key of another shape and for a file that
    others may read.
    """
    if given is not None:
        return parse_master_keys(given)
    path = data_dir / FILE_NAME
    try:
        kept = read_key_file(path)
        return kept if kept is not None else _create(path)
    except OSError as why:
        raise Misconfigured(f"The master key file {path} cannot be used: {why.strerror}") from why


def read_key_file(path: Path) -> list[MasterKey] | None:
    """The keys of a file, None when there is none. Raises `Misconfigured`, also when others may read it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with open(fd, "rb") as file:
        about = os.fstat(fd)
        if not stat.S_ISREG(about.st_mode):
            raise Misconfigured(f"{path} is not a file")
        if about.st_mode & 0o077:
            raise Misconfigured(
                f"{path} can be read by others (mode {stat.S_IMODE(about.st_mode):04o}); run: chmod 600 {path}"
            )
        text = file.read(LONGEST_FILE).decode("ascii", "replace")
    try:
        return parse_master_keys(text)
    except Misconfigured as why:
        raise Misconfigured(f"{path} does not hold a master key; restore it from your backup") from why


def _create(path: Path) -> list[MasterKey]:
    key = MasterKey.mint()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{FILE_NAME}.{secrets.token_hex(8)}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "wb") as file:
            file.write(as_text([key]))
            file.flush()
            os.fsync(fd)
        os.link(temporary, path)  # unlike a rename, never replaces
    except FileExistsError:
        winner = read_key_file(path)  # another process was faster
        if winner is None:
            raise Misconfigured(f"{path} vanished while it was read") from None
        return winner
    finally:
        os.unlink(temporary)
        sync_directory(path.parent)
    return [key]


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
