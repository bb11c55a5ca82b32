"""The real service as a child process, for the demo: started, asked where it listens, and stopped."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from callreel.errors import Misconfigured

START_S = 60.0
STOP_S = 90.0  # requests and jobs under way, then the database's own shutdown


@dataclass(frozen=True, slots=True)
class Child:
    """A running service and the sign-in of its first account."""

    url: str
    account_sid: str
    auth_token: str


@asynccontextmanager
async def service(home: Path, settings: dict[str, str]) -> AsyncIterator[Child]:
    """`callreel serve` on a free port, its data and its log below `home`, with these settings and no others.

    Stopped by SIGTERM on the way out. Raises `Misconfigured` with its last words when it does not start.
    """
    log = home / "service.log"
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "callreel.cli.main", "serve", "--port", "0"),
            *("--data-dir", str(home / "data"), "--first-account", "--json"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            cwd=home,
            env=_environment(settings),
            start_new_session=True,  # a Ctrl-C is ours; the service is stopped once, by us
        )
    try:
        yield await _started(process, log)
    finally:
        await _stop(process)


async def _started(process: asyncio.subprocess.Process, log: Path) -> Child:
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_S):
            line = await process.stdout.readline()
    except TimeoutError as why:
        raise Misconfigured(f"The service did not answer in {START_S:.0f} s") from why
    if not line:
        words = (await asyncio.to_thread(log.read_text, errors="replace")).strip().splitlines()[-1:]
        raise Misconfigured(f"The service did not start: {' '.join(words)}")
    said = json.loads(line)
    return Child(said["url"], said["account"]["sid"], said["account"]["auth_token"])


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _environment(settings: dict[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CALLREEL_", "AWS_"))}
    return kept | {f"CALLREEL_{name}": value for name, value in settings.items()}
