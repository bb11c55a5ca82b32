"""The load of the ingest figure: so many clients, each on a connection it keeps, each waiting for its 201."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import uvloop

from benchmarks.child import Account, hear, read_job, say_ready

READ_BYTES = 256 << 10


async def run(job: dict[str, Any]) -> None:
    """Upload every file. Raises `RuntimeError` unless each is acknowledged with a SID of its own."""
    paths = iter([Path(path) for path in job["paths"]])
    sids: set[str] = set()
    connector = aiohttp.TCPConnector(limit=job["clients"])
    sign_in = {"Authorization": aiohttp.encode_basic_auth(*job["sign_in"])}
    async with aiohttp.ClientSession(connector=connector, headers=sign_in) as http:
        say_ready()
        await hear()
        account = Account()
        await asyncio.gather(*[_upload(http, job["url"], paths, sids) for _ in range(job["clients"])])
        account.tell()
    if len(sids) != len(job["paths"]):
        raise RuntimeError(f"{len(job['paths'])} uploads became {len(sids)} recordings")


async def _upload(http: aiohttp.ClientSession, url: str, paths: Iterator[Path], sids: set[str]) -> None:
    for path in paths:
        size_bytes = path.stat().st_size
        body = path.read_bytes() if size_bytes <= READ_BYTES else path.open("rb")
        headers = {"Content-Type": "audio/wav", "Content-Length": str(size_bytes)}
        async with http.post(url, data=body, headers=headers, timeout=aiohttp.ClientTimeout(total=600)) as response:
            if response.status != 201:
                raise RuntimeError(f"{path.name}: {response.status} {await response.text()}")
            sids.add((await response.json())["sid"])


if __name__ == "__main__":
    uvloop.run(run(read_job()))
