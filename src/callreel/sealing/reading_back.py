"""Media as it is read back from a file of Twilio's format that is still being written, without the tag.

GCM encrypts as CTR does, from the counter 2 on, so any place opens without what lies before it.
"""

from __future__ import annotations

import os

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

_BLOCK_BYTES = 16
_FIRST_COUNTER = 2  # NIST SP 800-38D: 1 is for the tag
_LOOK_BYTES = 4096  # a parser reads few bytes at a time, many times


class CiphertextReader:
    """`read`, `seek` and `tell` as of a binary file of `size_bytes`. The descriptor stays the caller's. Blocks.

    What it gives is unverified. Raises `OSError`.
    """

    def __init__(self, descriptor: int, cek: bytes, iv: bytes, size_bytes: int) -> None:
        self._descriptor, self._cek, self._iv, self.size_bytes = descriptor, cek, iv, size_bytes
        self._at = 0
        self._remembered: tuple[int, bytes] = (0, b"")

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size_bytes}[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        stop = self.size_bytes if size < 0 else min(self._at + size, self.size_bytes)
        if self._at >= stop:
            return b""
        start, self._at = self._at, stop
        begins, held = self._remembered
        if not (begins <= start and stop <= begins + len(held)):
            begins = start - start % _BLOCK_BYTES
            held = self._opened(begins, min(max(stop, begins + _LOOK_BYTES), self.size_bytes))
            self._remembered = (begins, held[:_LOOK_BYTES])
        return held[start - begins : stop - begins]

    def _opened(self, start: int, stop: int) -> bytes:
        """`start` is the beginning of a block."""
        counter = _FIRST_COUNTER + start // _BLOCK_BYTES
        cipher = Cipher(AES(self._cek), CTR(self._iv + counter.to_bytes(4, "big")))
        return cipher.decryptor().update(os.pread(self._descriptor, stop - start, start))
