"""The n-th system call fails: `strace` injects the error into a running listener, one upload at a time is sent to it.

Whatever was answered 201 must be durable and intact; whatever was not may at most be nobody's file. An upload during
which the disk refused to sync, to rename or to write must not be answered 201 at all.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp

from callreel.app import open_parts
from callreel.clock import SetClock
from callreel.ledger.embedded_postgres import EmbeddedPostgres
from callreel.model.recording import State
from callreel.parts import Parts
from callreel.settings import load_settings
from callreel.worker.duties import recover_at_start
from tests.crash.invariants import fetch_all, violations_in
from tests.journeys.service import environment
from tests.stage import a_wav

START_LIMIT_S = 240.0  # also where many others work
ROOT = Path(__file__).resolve().parents[2]
AN_HOUR = timedelta(hours=1, seconds=1)


@dataclass(frozen=True, slots=True)
class Failure:
    """One kind of call, its error, and whether an upload in which it failed may still be acknowledged."""

    call: str
    error: str
    is_harmless: bool = False

    @property
    def name(self) -> str:
        return f"{self.call} {self.error}"


FAILURES = (
    Failure("fsync", "EIO"),
    Failure("write", "ENOSPC"),
    Failure("renameat2", "EIO"),
    # A read-only descriptor that does not close takes nothing with it; one that was written to is the file's last word.
    Failure("close", "EIO", is_harmless=True),
)


def why_not() -> str | None:
    """Why system calls cannot be made to fail here; None when they can."""
    if shutil.which("strace") is None:
        return "strace is not installed: apt-get install strace"
    tried = subprocess.run(["strace", "-o", os.devnull, "-e", "trace=none", "true"], check=False, capture_output=True)
    return None if tried.returncode == 0 else "ptrace is not allowed here: docker run --cap-add=SYS_PTRACE"


@dataclass(slots=True)
class Found:
    """What came of it."""

    uploads: int = 0
    injected: Counter[str] = field(default_factory=Counter)
    reached: Counter[str] = field(default_factory=Counter)
    """How many of the n were reached, by kind of call."""
    refused: Counter[int] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)


class Listener:
    """The process under attack, and the one client it has."""

    def __init__(self, http: aiohttp.ClientSession, said: dict[str, str], home: Path, found: Found) -> None:
        self._http, self._home, self._found = http, home, found
        self._pid, self._account = int(said["pid"]), said["account"]
        self._headers = {
            "Authorization": aiohttp.encode_basic_auth(said["account"], said["token"]),
            "Content-Type": "audio/x-wav",
        }
        self.acknowledged: dict[str, str] = {}

    async def upload(self) -> bool:
        """Hand one recording in; whether it was acknowledged. Nobody sends it again."""
        number = self._found.uploads
        self._found.uploads += 1
        media = a_wav(seconds=0.02, seed=number)
        path = f"/callreel/v1/Accounts/{self._account}/Recordings"
        try:
            async with self._http.post(path, data=media, headers=self._headers) as answer:
                if answer.status == 201:
                    self.acknowledged[(await answer.json())["sid"]] = hashlib.sha256(media).hexdigest()
                    return True
                self._found.refused[answer.status] += 1
                if answer.status not in (503, 507):
                    self._found.violations.append(f"answered with {answer.status}: {(await answer.text())[:200]}")
        except aiohttp.ClientError:
            self._found.refused[0] += 1
        return False

    async def attack(self, failure: Failure, n: int) -> None:
        """Make the n-th such call fail from now on, and hand in until it did."""
        log = self._home / "strace.log"
        log.write_bytes(b"")
        strace = await self._attach(failure, n, log)
        try:
            for _ in range(n + 2):  # every upload makes each of these calls at least once
                before = _injections(log)
                acknowledged = await self.upload()
                if _injections(log) > before:
                    self._found.injected[failure.name] += 1
                    self._found.reached[failure.name] += 1
                    if acknowledged and not failure.is_harmless:
                        self._found.violations.append(
                            f"{failure.name}, the {n}th, and it was answered 201: {_last(log)}"
                        )
                    break
            else:
                self._found.violations.append(f"{failure.name}: the {n}th never came")
            if not await self.upload() and not await self.upload():
                self._found.violations.append(f"{failure.name}, the {n}th: nothing was taken in after it")
        finally:
            strace.send_signal(signal.SIGINT)
            await strace.wait()

    async def _attach(self, failure: Failure, n: int, log: Path) -> asyncio.subprocess.Process:
        """To every thread but the loop's: they are the ones that touch files."""
        threads = [t.name for t in Path(f"/proc/{self._pid}/task").iterdir() if int(t.name) != self._pid]
        strace = await asyncio.create_subprocess_exec(
            *("strace", "-y", "-o", str(log), "-e", f"trace={failure.call}"),
            *("-e", f"inject={failure.call}:error={failure.error}:when={n}"),
            *[word for thread in threads for word in ("-p", thread)],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        assert strace.stderr is not None
        for _ in threads:
            line = await asyncio.wait_for(strace.stderr.readline(), START_LIMIT_S)
            assert b"attached" in line, line
        return strace


def _injections(log: Path) -> int:
    return log.read_bytes().count(b"(INJECTED)")


def _last(log: Path) -> str:
    return next((line for line in reversed(log.read_text().splitlines()) if "INJECTED" in line), "")


@asynccontextmanager
async def _listening(home: Path, database_url: str, found: Found) -> AsyncIterator[Listener]:
    words = ("-m", "tests.chaos.ingest_process", "--data-dir", str(home / "data"), "--database-url", database_url)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env=environment(PYTHONPATH=os.pathsep.join([str(ROOT), str(ROOT / "src")])),
    )
    try:
        assert process.stdout is not None
        said = json.loads(await asyncio.wait_for(process.stdout.readline(), START_LIMIT_S))
        async with aiohttp.ClientSession(said["url"]) as http:
            listener = Listener(http, said, home, found)
            await listener.upload()  # its threads are there now
            yield listener
    finally:
        if process.returncode is None:
            process.kill()  # nothing is closed, nothing is flushed
        await process.wait()


async def fail_calls(home: Path, database_url: str, failures: Sequence[tuple[Failure, int]]) -> Found:
    """Every failure in turn against one listener, which is then killed; and what its successor finds."""
    found = Found()
    async with _listening(home, database_url, found) as listener:
        for failure, n in failures:
            await listener.attack(failure, n)
    clock = SetClock(datetime.now(UTC))
    settings = load_settings(data_dir=home / "data", allowed_private_networks="127.0.0.0/8")
    async with open_parts(settings, database_url=database_url, public_url="http://x.test", clock=clock) as parts:
        for _ in range(2):
            await recover_at_start(parts)
            clock.advance(AN_HOUR.total_seconds())
        found.violations += await _judged(parts, listener.acknowledged)
    return found


async def _judged(parts: Parts, acknowledged: dict[str, str]) -> list[str]:
    """What was acknowledged is there; what was not is gone, or in quarantine."""
    rows = await fetch_all(parts)
    found = await violations_in(parts, {}, acknowledged)
    found += [
        f"{sid} was acknowledged and is {rows[sid].state}" for sid in acknowledged if rows[sid].state != State.SPOOLED
    ]
    found += [f"{sid} has a row and was never acknowledged" for sid in rows if sid not in acknowledged]
    lying = {match[0] for p in parts.spool.ready.iterdir() if (match := re.match("RE[0-9a-f]{32}", p.name))}
    found += [f"{sid} lies in the spool, and nobody knows it" for sid in lying - rows.keys()]
    found += [f"{path.name} was left behind" for path in parts.spool.tmp.iterdir()]
    return found


async def fail_all(up_to: int) -> Found:
    """Every failure at every n, below a directory and on a PostgreSQL of their own."""
    home = Path(tempfile.mkdtemp(prefix="callreel-calls-"))
    server = EmbeddedPostgres(home / "postgres")
    try:
        await asyncio.to_thread(server.start)
        return await fail_calls(home, server.url(), [(f, n) for f in FAILURES for n in range(1, up_to + 1)])
    finally:
        await asyncio.to_thread(server.stop)
        shutil.rmtree(home, ignore_errors=True)
