"""The service itself as a process: `callreel serve`, as it is run, watched from outside."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.child import START_LIMIT_S, environment, peak_rss_bytes
from benchmarks.installation import PRIVATE_NETWORKS, Installation

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Service:
    """A running `callreel serve`."""

    url: str
    pid: int

    @property
    def peak_rss_bytes(self) -> int:
        """The most it ever had resident; PostgreSQL is not in it."""
        return peak_rss_bytes(self.pid)

    @property
    def cpu_s(self) -> float:
        """User and system time of the process so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


@asynccontextmanager
async def serve(installation: Installation, *, role: str) -> AsyncIterator[Service]:
    """Run it on an installation until left."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "callreel.cli.main", "serve", "--json", "--port", "0", "--role", role, "--log-level", "error"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env=environment()
        | {
            "CALLREEL_DATA_DIR": str(installation.data_dir),
            "CALLREEL_ALLOWED_PRIVATE_NETWORKS": PRIVATE_NETWORKS,
        },
    )
    try:
        assert process.stdout is not None
        said = await asyncio.wait_for(process.stdout.readline(), START_LIMIT_S)
        yield Service(json.loads(said)["url"], process.pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        await process.wait()
