"""A large blob as parts: how large they are, reading them in order, sending two at a time."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from callreel.bucket.bucket import MULTIPART_ABOVE_BYTES, Blob
from callreel.errors import BlobAltered, PromiseBroken

PART_BYTES = MULTIPART_ABOVE_BYTES
MAX_PARTS = 10_000  # S3's limit
PARTS_IN_MEMORY = 2

_MD5 = re.compile(r"[0-9a-f]{32}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Part:
    """One part, read and hashed. Numbers begin at 1; digests are raw."""

    number: int
    body: bytes
    sha256: bytes
    md5: bytes


class SentPart(NamedTuple):
    """A part the bucket holds. `etag` as it came, quotes included."""

    number: int
    etag: str
    sha256: bytes
    md5: bytes
    sse_algorithm: str | None = None
    sse_kms_key_id: str | None = None

    @property
    def bare_etag(self) -> str:
        return self.etag.strip('"').lower()

    @property
    def etag_is_an_md5(self) -> bool:
        return _MD5.fullmatch(self.bare_etag) is not None

    @property
    def etag_matches(self) -> bool:
        """Whether the ETag is the MD5 of the part."""
        return self.bare_etag == self.md5.hex()


class HeldPart(NamedTuple):
    """A part as the bucket lists it. `checksum_sha256` is Base64, None where it keeps none."""

    etag: str
    size_bytes: int
    checksum_sha256: str | None

    def holds(self, part: Part) -> bool:
        """Whether the bucket has proved to hold exactly this part."""
        if self.size_bytes != len(part.body):
            return False
        if self.checksum_sha256 is not None:
            return self.checksum_sha256 == base64_of(part.sha256)
        return self.etag.strip('"').lower() == part.md5.hex()


def part_bytes_of(size_bytes: int) -> int:
    """The size of every part but the last: 8 MiB, or whole MiB as many as keep within 10,000 parts.

    A function of the blob's size alone, so that a resumed upload has the same parts.
    """
    smallest = -(-size_bytes // MAX_PARTS)
    return max(PART_BYTES, -(-smallest // (1 << 20)) << 20)


def composite_of(parts: Sequence[SentPart]) -> str:
    """S3's checksum of checksums: the SHA-256 of the parts' digests in Base64, and the number of parts."""
    whole = hashlib.sha256(b"".join(part.sha256 for part in parts)).digest()
    return f"{base64_of(whole)}-{len(parts)}"


def base64_of(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


async def send_parts(blob: Blob, send: Callable[[Part], Awaitable[SentPart]]) -> list[SentPart]:
    """Read the blob part by part and send each; the parts as sent, in order.

    Raises `BlobAltered` as soon as the last part is read and the whole is not `blob.sha256`, `BlobMissing`, and
    what `send` raises; the parts still on their way are cancelled.
    """
    reader, free = _Reader(blob), asyncio.Semaphore(PARTS_IN_MEMORY)
    sending: list[asyncio.Task[SentPart]] = []

    async def send_and_free(part: Part) -> SentPart:
        try:
            return await send(part)
        finally:
            free.release()

    try:
        async with asyncio.TaskGroup() as group:
            for number in range(1, reader.parts + 1):
                await free.acquire()
                part = await asyncio.to_thread(reader.read, number)
                sending.append(group.create_task(send_and_free(part)))
                del part
    except BaseExceptionGroup as several:
        worst = next((e for e in several.exceptions if isinstance(e, PromiseBroken)), several.exceptions[0])
        raise worst from worst.__cause__
    return [task.result() for task in sending]


class _Reader:
    """Reads parts in order and keeps a hash of the whole."""

    def __init__(self, blob: Blob) -> None:
        self._blob, self._whole = blob, hashlib.sha256()
        self._part_bytes = part_bytes_of(blob.size_bytes)
        self.parts = max(1, -(-blob.size_bytes // self._part_bytes))

    def read(self, number: int) -> Part:
        start = (number - 1) * self._part_bytes
        expected = min(self._part_bytes, self._blob.size_bytes - start)
        body = self._blob.read(start, expected)
        self._whole.update(body)
        if len(body) != expected or (number == self.parts and self._whole.hexdigest() != self._blob.sha256):
            raise BlobAltered
        digest = hashlib.sha256(body).digest()
        return Part(number, body, digest, hashlib.md5(body, usedforsecurity=False).digest())
