"""The measured process: callreel's own uploader with no bookkeeping at all."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.child import Account, hear, read_job, say_ready
from benchmarks.installation import settings_of
from benchmarks.recordings import FileBlob, blob_of
from callreel.bucket.bucket import PutOptions
from callreel.bucket.s3 import S3Bucket
from callreel.clock import SystemClock
from callreel.model.credential import AccessKey
from callreel.model.destination import parse_destination
from callreel.outbound.guard import Guard, PlainHttp

OPTIONS = PutOptions(content_type="audio/x-wav")


async def run(job: dict[str, Any]) -> None:
    """Put every file, so many at once, under the prefix."""
    settings = settings_of(Path(job["data_dir"]))
    destination = parse_destination(job["url"], private_networks=settings.networks)
    key = AccessKey(job["key_id"], job["secret"])
    blobs = [blob_of(Path(path)) for path in job["paths"]]
    async with Guard(settings.networks).open_session(plain_http=PlainHttp.PRIVATE_ONLY) as http:
        bucket = S3Bucket(destination, key, http, clock=SystemClock())
        say_ready()
        await hear()
        account = Account()
        await _put_all(bucket, blobs, destination.prefix, settings.delivery_concurrency)
        account.tell()


async def _put_all(bucket: S3Bucket, blobs: Sequence[FileBlob], prefix: str, concurrency: int) -> None:
    left = iter(blobs)

    async def put_what_is_left() -> None:
        for blob in left:
            await bucket.put(f"{prefix}/{blob.path.name}", blob, OPTIONS)

    await asyncio.gather(*[put_what_is_left() for _ in range(concurrency)])


if __name__ == "__main__":
    uvloop.run(run(read_job()))
