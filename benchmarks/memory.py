"""The memory figure: the whole service takes recordings in and delivers them; then one that is very large."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.child import RUN_LIMIT_S
from benchmarks.ingest import upload
from benchmarks.installation import Installation
from benchmarks.recordings import Files
from benchmarks.servers import S3Server
from benchmarks.service import serve


@dataclass(frozen=True, slots=True)
class Peak:
    """The most the service had resident until a load was delivered."""

    load: str
    peak_rss_bytes: int


async def peaks_of_memory(installation: Installation, server: S3Server, loads: Sequence[Files]) -> list[Peak]:
    """One service takes each load in turn, so that a later peak includes the earlier ones."""
    await installation.deliver_to(server, "memory")
    peaks = []
    async with serve(installation, role="all") as service:
        for files in loads:
            await upload(installation, service, files)
            await installation.until_finished(RUN_LIMIT_S)
            peaks.append(Peak(f"{len(files.names):,} × {files.size_bytes:,} bytes", service.peak_rss_bytes))
    return peaks
