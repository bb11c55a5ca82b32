"""People's passwords: argon2id, slow on purpose, in a thread and only a few at a time."""

from __future__ import annotations

import asyncio
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

AT_ONCE = 2  # 64 MiB and some 150 ms of a core each: strangers at the door must not take the service's memory
_HASHER = PasswordHasher()  # RFC 9106's second choice: argon2id, 3 passes, 64 MiB, 4 lanes
_NOBODYS = _HASHER.hash(secrets.token_hex(16))


class Passwords:
    """Hashes and checks passwords of this process."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def hash(self, password: str) -> str:
        """A hash with its salt and parameters in it. Another one each time."""
        async with self._turn:
            return await asyncio.to_thread(_HASHER.hash, password)

    async def matches(self, password: str, hashed: str | None) -> bool:
        """Whether the hash is this password's. None, for nobody, takes as long and is never right."""
        async with self._turn:
            right = await asyncio.to_thread(_verify, password, hashed or _NOBODYS)
        return right and hashed is not None


def mint_password() -> str:
    """A new password that can be read out: five groups of four letters and digits, 99 random bits."""
    letters = "abcdefghijkmnpqrstuvwxyz23456789"  # no l, o, 0 or 1
    return "-".join("".join(secrets.choice(letters) for _ in range(4)) for _ in range(5))


def _verify(password: str, hashed: str) -> bool:
    try:
        return _HASHER.verify(hashed, password)
    except (VerificationError, InvalidHashError):
        return False
