"""Exact search over sealed text: equal texts of one account have equal marks, and a mark says nothing else."""

from __future__ import annotations

import hashlib
import hmac

KEY_BYTES = 32


class BlindIndex:
    """HMAC-SHA256, cut to 128 bits, under a key that is kept sealed.

    Bound to account and column, so that the same number at two accounts, or as caller and callee, has marks
    that cannot be compared. Only exact search works; that is the price.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < KEY_BYTES:
            raise ValueError("a blind index needs a key of at least 32 bytes")
        self._key = key

    def __repr__(self) -> str:
        return "BlindIndex(…)"

    def mark(self, text: str, *, account: str, column: str) -> bytes:
        """16 bytes that equal texts of one account and column share."""
        # Lengths before the parts: no two sets of parts run together into the same bytes.
        parts = [part.encode("utf-8", "surrogatepass") for part in (account, column, text)]
        message = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return hmac.new(self._key, message, hashlib.sha256).digest()[:16]
