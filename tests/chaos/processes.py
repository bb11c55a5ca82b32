"""The processes of a storm: service, PostgreSQL and a faulty S3, each killed for real and each gone at the end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from callreel.ledger.embedded_postgres import EmbeddedPostgres
from tests.journeys.service import environment

START_LIMIT_S = 240.0  # also where many others work
STOP_LIMIT_S = 240.0
BUCKET = "calls"
KEY_ID, SECRET = "AKCHAOS0000000000000", "c" * 40


class DidNotStart(Exception):
    """A process that should have started after a crash did not. That alone breaks the promise."""


def free_port() -> int:
    """A port that was free a moment ago; who comes back after a crash has to come back to the same one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Process:
    """One process in a group of its own, which says one line when it is ready."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._running: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        assert self._running is not None
        return self._running.pid

    @property
    def is_up(self) -> bool:
        return self._running is not None and self._running.returncode is None

    async def launch(self, *words: str, environment: dict[str, str], cwd: Path) -> str:
        """The first line it says. Raises `DidNotStart` with its last words."""
        with self._log.open("ab") as log:
            self._running = await asyncio.create_subprocess_exec(
                sys.executable,
                *words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=cwd,
                env=environment,
                start_new_session=True,
            )
        assert self._running.stdout is not None
        try:
            line = await asyncio.wait_for(self._running.stdout.readline(), START_LIMIT_S)
        except TimeoutError:
            line = b""
        if not line:
            words_of = self._log.read_text(errors="replace").strip().splitlines()[-3:]
            raise DidNotStart(f"{words[1]}: {' / '.join(words_of)}")
        return line.decode()

    async def kill(self) -> None:
        """SIGKILL to the whole group: nothing is finished, nothing is closed."""
        if self._running is not None and self._running.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._running.pid, signal.SIGKILL)
            await self._running.communicate()

    async def stop(self) -> tuple[int, str]:
        """SIGTERM; exit code and what it said at last."""
        assert self._running is not None
        with contextlib.suppress(ProcessLookupError):
            self._running.terminate()
        said, _ = await asyncio.wait_for(self._running.communicate(), STOP_LIMIT_S)
        assert self._running.returncode is not None
        return self._running.returncode, said.decode()


class Service(Process):
    """`callreel serve` with a PostgreSQL of its own, always at the same address."""

    def __init__(self, home: Path, **settings: str) -> None:
        super().__init__(home / "service.log")
        self.home, self.data_dir, self.settings = home, home / "data", settings
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.account: dict[str, str] = {}
        self.starts = 0

    async def start(self) -> None:
        """Return once it answers."""
        said = await self.launch(
            *("-m", "callreel.cli.main", "serve", "--port", str(self._port), "--data-dir", str(self.data_dir)),
            *("--first-account", "--json", "--log-level", "warning"),
            environment=environment(**{f"CALLREEL_{name.upper()}": value for name, value in self.settings.items()}),
            cwd=self.home,
        )
        self.account = json.loads(said)["account"] or self.account
        self.starts += 1

    def kill_postgres(self) -> bool:
        """What `pg_ctl stop -m immediate` does, which refuses to run as root: SIGQUIT, no checkpoint, no farewell.

        False when there was none to kill.
        """
        pid = self._postgres_pid()
        if pid is None:
            return False
        os.kill(pid, signal.SIGQUIT)
        return True

    def sweep_up(self) -> None:
        """Stop the PostgreSQL that a killed service left running. Blocks."""
        if self._postgres_pid() is not None:
            server = EmbeddedPostgres(self.data_dir)
            server.start()
            server.stop()

    def _postgres_pid(self) -> int | None:
        cluster = self.data_dir / "postgres" / "cluster"
        try:
            pid = int((cluster / "postmaster.pid").read_text().split("\n", 1)[0])
            return pid if Path(f"/proc/{pid}/cwd").resolve(strict=True) == cluster.resolve() else None
        except (OSError, ValueError):
            return None


class FaultyS3(Process):
    """The embedded S3 in a process of its own. It keeps what it has when it is started again without faults."""

    def __init__(self, home: Path) -> None:
        super().__init__(home / "s3.log")
        self.home, self.root, self._port = home, home / "s3", free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.requests = 0
        self.faults: Counter[str] = Counter()

    async def start(self, *, faults: float = 0.0, seed: int = 0, stall_s: float = 3.0) -> None:
        """Return once it listens."""
        await self.launch(
            *("-m", "callreel.rehearsal.embedded_s3", "--root", str(self.root), "--port", str(self._port)),
            *("--bucket", BUCKET, "--key-id", KEY_ID, "--secret", SECRET, "--stall-seconds", str(stall_s)),
            *("--faults", str(faults), "--seed", str(seed)),
            environment=environment(),
            cwd=self.home,
        )

    async def calm_down(self) -> None:
        """Begin again without faults. Uploads in parts that were open are forgotten, as some providers do."""
        _, said = await self.stop()
        account: dict[str, Any] = json.loads(said.strip() or "{}")
        self.requests += account.get("requests", 0)
        self.faults.update(account.get("faults", {}))
        await self.start()


async def until_gone(processes: Sequence[Process]) -> None:
    """Whatever became of the storm, none of its processes outlives it."""
    for process in processes:
        await process.kill()


def wait_for_death(pid: int, limit_s: float = 10.0) -> None:
    """Return when the process is no more. Blocks."""
    deadline = time.monotonic() + limit_s
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
