"""`callreel serve` as the process it is, for journeys."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from callreel.ledger.embedded_postgres import EmbeddedPostgres

SOURCE = Path(__file__).resolve().parents[2] / "src"
LIMIT_S = 60.0
COMMAND_LIMIT_S = 180.0  # the demo's own limit, and its end
STARTED = "listening on "


def environment(**settings: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CALLREEL_", "AWS_"))}
    return kept | {"PYTHONPATH": str(SOURCE), "CALLREEL_ALLOWED_PRIVATE_NETWORKS": "127.0.0.0/8"} | settings


def callreel(*words: str, cwd: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "callreel.cli.main", *words],
        cwd=cwd,
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=COMMAND_LIMIT_S,
        check=False,
    )


class Service:
    """A service over one data directory. `url` is known once it was started."""

    def __init__(self, home: Path, **settings: str) -> None:
        self.home, self.data_dir = home, home / "data"
        self._settings = settings
        self.url = ""
        self.errors: list[str] = []
        self.account: dict[str, str] | None = None

    def start(self, *words: str) -> Self:
        """Return once it answers. Raises `RuntimeError` with its words when it does not."""
        command = [sys.executable, "-m", "callreel.cli.main", "serve", "--port", "0", "--data-dir", str(self.data_dir)]
        self.process = subprocess.Popen(
            [*command, "--first-account", "--json", *words],
            cwd=self.home,
            env=environment(**self._settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._watching = threading.Thread(target=self._watch)
        self._watching.start()
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the service ended with {self.wait()}: {self.errors[-1:]}")
        said: dict[str, Any] = json.loads(line)
        self.url, self.account = said["url"], said["account"] or self.account
        return self

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        """The exit code, once it has ended and said its last words."""
        code = self.process.wait(LIMIT_S)
        self._watching.join(LIMIT_S)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        return code

    @property
    def postgres_is_up(self) -> bool:
        return (self.data_dir / "postgres" / "cluster" / "postmaster.pid").exists()

    def _watch(self) -> None:
        assert self.process.stderr is not None
        self.errors.extend(line.rstrip("\n") for line in self.process.stderr)


@contextmanager
def serving(home: Path, *words: str, **settings: str) -> Iterator[Service]:
    """A service that is stopped afterwards, with its database, whatever became of it."""
    service = Service(home, **settings)
    try:
        yield service.start(*words)
    finally:
        if service.process.poll() is None:
            service.send(signal.SIGTERM)
            try:
                service.wait()
            except subprocess.TimeoutExpired:
                service.process.kill()
                service.wait()
        if service.postgres_is_up:  # a killed service leaves it running, as it should
            server = EmbeddedPostgres(service.data_dir)
            server.start()
            server.stop()
