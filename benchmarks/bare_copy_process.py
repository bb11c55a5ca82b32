"""The measured process: this project's own clients of source and bucket, and nothing written down in between.

List, and for each recording: fetch into memory, hash, put, look whether it is there, delete at the source.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from ipaddress import ip_network
from random import Random
from typing import Any

import uvloop

from benchmarks.bare_process import OPTIONS
from benchmarks.child import Account, hear, read_job, say_ready
from callreel.bucket.s3 import S3Bucket
from callreel.clock import SystemClock
from callreel.model.credential import AccessKey
from callreel.model.destination import parse_destination
from callreel.model.source import DeleteOutcome, SourceCredential, SourceRecording
from callreel.outbound.guard import Guard, PlainHttp
from callreel.source.pace import Pace
from callreel.source.twilio_account import TwilioAccount

NETWORKS = (ip_network("127.0.0.0/8"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class _InMemory:
    """A blob that lies in memory."""

    content: bytes
    sha256: str
    md5: str

    @property
    def size_bytes(self) -> int:
        return len(self.content)

    def read(self, start: int, length: int) -> bytes:
        return self.content[start : start + length]


async def run(job: dict[str, Any]) -> None:
    """Move every recording of the account under the prefix, so many at once."""
    source, clock, guard = job["source"], SystemClock(), Guard(NETWORKS)
    destination = parse_destination(job["url"], private_networks=NETWORKS)
    async with (
        guard.open_session(plain_http=PlainHttp.PRIVATE_ONLY) as fetches,
        guard.open_session(plain_http=PlainHttp.PRIVATE_ONLY) as uploads,
    ):
        account = TwilioAccount(
            source["url"],
            source["account_sid"],
            SourceCredential(source["account_sid"], source["auth_token"]),
            fetches,
            pace=Pace(clock=clock, rng=Random(1)),
            clock=clock,
        )
        bucket = S3Bucket(destination, AccessKey(job["key_id"], job["secret"]), uploads, clock=clock)
        say_ready()
        await hear()
        spent = Account()
        left = aiter(_listed(account))
        await asyncio.gather(*[_move(left, account, bucket, destination.prefix) for _ in range(job["concurrency"])])
        spent.tell()


async def _listed(account: TwilioAccount) -> AsyncIterator[SourceRecording]:
    next_page: str | None = None
    while True:
        page = await account.list_page(account.account_sid, next_page=next_page)
        for one in page.recordings:
            yield one
        next_page = page.next_page
        if next_page is None:
            return


async def _move(left: AsyncIterator[SourceRecording], account: TwilioAccount, bucket: S3Bucket, prefix: str) -> None:
    while (one := await _next(left)) is not None:
        async with account.media(one.account_sid, one.sid, channels=one.channels) as media:
            content = b"".join([chunk async for chunk in media.chunks()])
        blob = _InMemory(
            content=content,
            sha256=hashlib.sha256(content).hexdigest(),
            md5=hashlib.md5(content, usedforsecurity=False).hexdigest(),
        )
        await bucket.put(f"{prefix}/{one.sid}", blob, OPTIONS)
        facts = await bucket.head(f"{prefix}/{one.sid}")
        if facts is None or facts.size_bytes != len(content):
            raise RuntimeError(f"{one.sid} did not arrive whole")
        if (await account.delete(one.account_sid, one.sid)).outcome is not DeleteOutcome.DELETED:
            raise RuntimeError(f"{one.sid} was not deleted")


_turn = asyncio.Lock()


async def _next(left: AsyncIterator[SourceRecording]) -> SourceRecording | None:
    async with _turn:  # an async generator is asked by one at a time
        return await anext(left, None)


if __name__ == "__main__":
    uvloop.run(run(read_job()))
