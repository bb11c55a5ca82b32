from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest

from callreel.bucket.s3 import S3Bucket
from callreel.clock import SystemClock
from callreel.model.credential import AccessKey
from callreel.model.destination import Destination
from callreel.rehearsal.embedded_s3 import EmbeddedS3

MANAGER = AccessKey("AKMANAGER00000000000", "m" * 40)
WRITER = AccessKey("AKWRITER000000000000", "w" * 40)

MakeBucket = Callable[..., S3Bucket]


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session


@pytest.fixture
async def s3(tmp_path: Path) -> AsyncIterator[EmbeddedS3]:
    async with EmbeddedS3(tmp_path / "s3") as server:
        server.create_bucket("recordings")
        server.add_user(MANAGER.key_id, MANAGER.secret)
        server.add_user(WRITER.key_id, WRITER.secret, may="write")
        yield server


def destination_at(url: str, bucket: str = "recordings", **changes: object) -> Destination:
    facts = {
        "endpoint": url,
        "bucket": bucket,
        "region": "us-east-1",
        "prefix": "",
        "path_style": True,
        "is_aws": False,
    }
    return Destination(**(facts | changes))  # type: ignore[arg-type]


@pytest.fixture
def make_bucket(s3: EmbeddedS3, http: aiohttp.ClientSession) -> MakeBucket:
    """A bucket of the embedded S3, as somebody sees it."""

    def make(key: AccessKey = MANAGER, *, url: str = "", **named: object) -> S3Bucket:
        changes = {n: named.pop(n) for n in ("region", "bucket", "path_style", "is_aws") if n in named}
        named.setdefault("clock", SystemClock())
        return S3Bucket(destination_at(url or s3.url, **changes), key, http, **named)  # type: ignore[arg-type]

    return make


@pytest.fixture
def bucket(make_bucket: MakeBucket) -> S3Bucket:
    return make_bucket()
