"""Tink's AES-GCM-HKDF streaming format: a file as segments, each sealed for its place, any of which opens alone.

    file      = head, segment 0, segment 1, …
    head      = its length (1 byte: 40), salt (32), begin of every nonce (7)
    segment   = AES-256-GCM of up to 64 KiB less 16 bytes, tag included; the first is shorter by the head
    nonce     = begin of every nonce, number of the segment (4, big-endian), 1 for the last and 0 for others
    key       = HKDF-SHA256 of the file's own key, with the salt, for what the file is bound to

A segment altered, moved, left out or added, and an end cut off, each meet a nonce or a tag that is not theirs.
docs/decisions/0010-media-at-rest.md says why this format.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Iterator
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from callreel.errors import BlobAltered

KEY_BYTES = 32
SEGMENT_BYTES = 64 * 1024  # of ciphertext, as the file is laid out
TAG_BYTES = 16
_NONCE_BEGIN = 7
HEAD_BYTES = 1 + KEY_BYTES + _NONCE_BEGIN
PLAIN_BYTES = SEGMENT_BYTES - TAG_BYTES  # what one segment holds
FIRST_PLAIN_BYTES = PLAIN_BYTES - HEAD_BYTES


@dataclass(frozen=True, slots=True, repr=False)
class FileKey:
    """What opens one recording's files: 32 secret bytes, and what they are bound to (Tink's associated data)."""

    secret: bytes
    bound_to: bytes

    def __post_init__(self) -> None:
        if len(self.secret) != KEY_BYTES:
            raise ValueError(f"the key of a file has {KEY_BYTES} bytes")

    def derived(self, salt: bytes) -> bytes:
        """The key of one file: HKDF (RFC 5869) for exactly one block of SHA-256."""
        extracted = hmac.digest(salt, self.secret, "sha256")
        return hmac.digest(extracted, self.bound_to + b"\x01", "sha256")

    def __repr__(self) -> str:
        return "FileKey(…)"


class Sealing:
    """A file being sealed, from its first byte to its last: write `head`, what `update` gives, what `finish` gives."""

    def __init__(self, key: FileKey) -> None:
        salt, self._nonce_begin = os.urandom(KEY_BYTES), os.urandom(_NONCE_BEGIN)
        self.head = bytes([HEAD_BYTES]) + salt + self._nonce_begin
        self._cipher = AESGCM(key.derived(salt))
        self._number, self._rest = 0, b""

    def update(self, plain: bytes) -> list[bytes]:
        """The segments that are whole now. One is held back: only the end tells which is the last."""
        held = memoryview(self._rest + plain if self._rest else plain)
        made, at = [], 0
        while len(held) - at > (room := FIRST_PLAIN_BYTES if self._number == 0 else PLAIN_BYTES):
            made.append(self._seal(held[at : at + room], is_last=False))
            at += room
        self._rest = bytes(held[at:])
        return made

    def finish(self) -> bytes:
        """The last segment; there is always one."""
        return self._seal(memoryview(self._rest), is_last=True)

    def _seal(self, plain: memoryview, *, is_last: bool) -> bytes:
        sealed = self._cipher.encrypt(_nonce(self._nonce_begin, self._number, is_last=is_last), plain, None)
        self._number += 1
        return sealed


class Opening:
    """A sealed file of a known length, opened segment by segment. Raises `BlobAltered` for a head that is none."""

    def __init__(self, key: FileKey, head: bytes, *, sealed_bytes: int) -> None:
        if len(head) != HEAD_BYTES or head[0] != HEAD_BYTES or sealed_bytes < HEAD_BYTES + TAG_BYTES:
            raise BlobAltered("A sealed file is cut short or of another format")
        self._cipher = AESGCM(key.derived(head[1 : 1 + KEY_BYTES]))
        self._nonce_begin, self._sealed_bytes = head[1 + KEY_BYTES :], sealed_bytes
        self.segments = -(-sealed_bytes // SEGMENT_BYTES)
        self.size_bytes = content_bytes(sealed_bytes)

    def open(self, number: int, sealed: bytes | memoryview) -> bytes:
        """The content of one segment. Raises `BlobAltered`."""
        nonce = _nonce(self._nonce_begin, number, is_last=number == self.segments - 1)
        try:
            return self._cipher.decrypt(nonce, sealed, None)
        except InvalidTag as why:
            raise BlobAltered("A sealed file was altered or cut short, or belongs to another key") from why

    def place(self, number: int) -> tuple[int, int]:
        """Where a segment lies in the file: from, up to."""
        start = max(HEAD_BYTES, number * SEGMENT_BYTES)
        return start, min((number + 1) * SEGMENT_BYTES, self._sealed_bytes)

    def covering(self, start: int, stop: int) -> tuple[range, int]:
        """The segments that hold the content from `start` up to `stop`, and where in it the first of them begins."""
        first, last = _segment_of(start), _segment_of(stop - 1)
        return range(first, last + 1), 0 if first == 0 else first * PLAIN_BYTES - HEAD_BYTES


def content_bytes(sealed_bytes: int) -> int:
    """How much a sealed file of this length holds."""
    return sealed_bytes - HEAD_BYTES - TAG_BYTES * -(-sealed_bytes // SEGMENT_BYTES)


def sealed_bytes_of(content: int) -> int:
    """How long the sealed file of so much content is."""
    return content + HEAD_BYTES + TAG_BYTES * max(1, -(-(content + HEAD_BYTES) // PLAIN_BYTES))


def sealed(key: FileKey, plain: bytes) -> Iterator[bytes]:
    """A whole file from bytes in memory."""
    sealing = Sealing(key)
    yield sealing.head
    yield from sealing.update(plain)
    yield sealing.finish()


def _segment_of(position: int) -> int:
    return (position + HEAD_BYTES) // PLAIN_BYTES


def _nonce(begin: bytes, number: int, *, is_last: bool) -> bytes:
    return begin + number.to_bytes(4, "big") + (b"\x01" if is_last else b"\x00")
