"""A process of its own for whatever is measured, so that neither the load nor the servers count into it.

A child is a module with a coroutine `run(job)`; see `serve`. Parent and child speak in lines of JSON: the child says
`ready`, the parent `go`, the child then tells what it measured of itself.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START_LIMIT_S = 60.0
RUN_LIMIT_S = 600.0
LINE_LIMIT_BYTES = 16 << 20  # a job names its files

Run = Callable[[], Awaitable[None]]
Prepare = Callable[[dict[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class Measured:
    """What one run took. `wall_s` by the parent's clock or the child's, whichever saw the work end first."""

    wall_s: float
    cpu_s: float
    peak_rss_bytes: int


class Child:
    """A running child. `go` lets it begin; `measured` waits for its account of itself."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    async def go(self) -> None:
        """Let the work begin."""
        self._say("go")

    async def stop(self) -> None:
        """Tell a child that works until it is stopped to stop."""
        self._say("stop")

    async def measured(self) -> Measured:
        """The child's own account, once it has finished. Raises `RuntimeError` when it failed."""
        return Measured(**await self._hear(RUN_LIMIT_S))

    def _say(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n".encode())

    async def _hear(self, limit_s: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), limit_s)
        if not line:
            raise RuntimeError(f"the measured process ended with {await self._process.wait()} and said nothing")
        return dict(json.loads(line))


@asynccontextmanager
async def start(module: str, job: dict[str, Any]) -> AsyncIterator[Child]:
    """Start `python -m benchmarks.<module>` and wait until it is ready; on leaving it is gone."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", f"benchmarks.{module}"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        limit=LINE_LIMIT_BYTES,
        env=environment(),
    )
    child = Child(process)
    try:
        assert process.stdin is not None
        process.stdin.write(json.dumps(job).encode() + b"\n")
        await child._hear(START_LIMIT_S)
        yield child
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def environment() -> dict[str, str]:
    """Ours without settings of callreel and AWS, and with a path on which a child finds what we found."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("CALLREEL_", "AWS_"))}
    root = Path(__file__).resolve().parent.parent
    return kept | {"PYTHONPATH": os.pathsep.join([str(root), str(root / "src")])}


# --- In the child ------------------------------------------------------------------------------------------------


async def hear() -> str:
    """The parent's next word; empty when it is gone."""
    word: str = await asyncio.to_thread(sys.stdin.readline)
    return word.strip()


def read_job() -> dict[str, Any]:
    """What the parent wants done."""
    return dict(json.loads(sys.stdin.readline()))


def say_ready() -> None:
    """Everything is open; nothing was done yet."""
    print(json.dumps({"ready": True}), flush=True)


class Account:
    """What a process has used since this was made."""

    def __init__(self) -> None:
        self._began, self._cpu_began = time.perf_counter(), _cpu_s()

    def tell(self) -> None:
        """Print it for the parent. The peak of resident memory is the process's, from its start."""
        spent = Measured(time.perf_counter() - self._began, _cpu_s() - self._cpu_began, peak_rss_bytes())
        print(
            json.dumps({"wall_s": spent.wall_s, "cpu_s": spent.cpu_s, "peak_rss_bytes": spent.peak_rss_bytes}),
            flush=True,
        )


def peak_rss_bytes(pid: int | str = "self") -> int:
    """The most memory a process ever had resident."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("this system does not tell the peak of resident memory")


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
